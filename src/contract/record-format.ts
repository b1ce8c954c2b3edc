import { crc32 } from 'node:zlib'
import { assert, JuncturaError, LIMITS } from '../kernel/index.ts'
import type { Envelope } from './envelope.ts'

/**
 * One record of the log, as bytes. Version 1, fixed from the first release:
 *
 * ```
 * offset  size  what
 * 0       2     'J' 'R'
 * 2       1     version, 1
 * 3       1     flags: bit 0 = a raw receipt follows the data
 * 4       4     CRC-32 of everything from offset 8, little endian
 * 8       4     length of the head, then the head: UTF-8 JSON of `RecordHead`
 * ..      4     length of the data, then the data as written by the codec
 * ..      4     length of the raw body, then the raw body (only with flag bit 0)
 * ```
 *
 * The head carries what cannot be added later: tenant, media type, codec, contract version and the
 * id of the key the data is encrypted with. A reader of a later version must read this one.
 */
export interface LogRecord {
  readonly head: RecordHead
  readonly data: Uint8Array
  /** The bytes that came over the border, exactly. */
  readonly raw?: Uint8Array
}

export interface RecordHead {
  readonly envelope: Envelope
  /** How the data is written: `json` today. */
  readonly codec: string
  /** Key the data is encrypted with; absent while it is not. */
  readonly encryptionKeyId?: string
  readonly receipt?: Receipt
}

/** How a message crossed the border; kept with its raw bytes. */
export interface Receipt {
  readonly webhook: string
  readonly receivedAtMs: number
  readonly scheme: string
  /** Index of the secret that verified it, so that a rotation can be watched. */
  readonly keyIndex?: number
  readonly signedAtMs?: number
  readonly mediaType: string
  /** Version of the partner's contract the body was written in. */
  readonly version: number
  /** Headers the scheme and the keys read; never credentials. */
  readonly headers: Readonly<Record<string, string>>
  readonly bodySha256: string
  /** Id of the earlier message that carried the same fact. */
  readonly duplicateOf?: string
  /** Why the transform made no event of it; the raw bytes can be replayed after a mend. */
  readonly transformError?: string
  /** Set on a message that was kept as invalid and went through the border again. */
  readonly readmittedFrom?: string
}

const HEADER_BYTES = 8
const VERSION = 1
const FLAG_RAW = 1

/**
 * @throws JUNCTURA_RECORD_TOO_LARGE when the record would exceed LIMITS.recordBytesMax.
 */
export const encodeRecord = (record: LogRecord): Uint8Array => sealRecord(record).bytes

/** A record that is about to be written; its data may still be text. */
export interface UnsealedRecord extends Omit<LogRecord, 'data'> {
  readonly data: Uint8Array | string
}

/**
 * Writes a record, and gives it as a reader of the bytes would see it: its data is a part of them,
 * so that nothing is kept twice.
 *
 * @throws JUNCTURA_RECORD_TOO_LARGE when the record would exceed LIMITS.recordBytesMax.
 */
export const sealRecord = (
  record: UnsealedRecord,
): { readonly bytes: Uint8Array; readonly record: LogRecord } => {
  const { data, raw } = record
  const head = JSON.stringify(record.head)
  const headBytes = Buffer.byteLength(head)
  const dataBytes = typeof data === 'string' ? Buffer.byteLength(data) : data.length
  const dataAt = HEADER_BYTES + 4 + headBytes + 4
  const size = dataAt + dataBytes + (raw ? 4 + raw.length : 0)
  if (size > LIMITS.recordBytesMax) {
    throw new JuncturaError('JUNCTURA_RECORD_TOO_LARGE', {
      details: { size, maximum: LIMITS.recordBytesMax, type: record.head.envelope.type },
    })
  }
  const bytes = Buffer.allocUnsafe(size)
  bytes[0] = 0x4a
  bytes[1] = 0x52
  bytes[2] = VERSION
  bytes[3] = raw ? FLAG_RAW : 0
  let offset = writePart(bytes, HEADER_BYTES, { part: head, length: headBytes })
  assert(offset === dataAt - 4, 'a head is as long as it was measured')
  offset = writePart(bytes, offset, { part: data, length: dataBytes })
  if (raw) offset = writePart(bytes, offset, { part: raw, length: raw.length })
  assert(offset === size, 'a record is as long as its parts')
  bytes.writeUInt32LE(crc32(bytes.subarray(HEADER_BYTES)), 4)
  const sealed = { head: record.head, data: bytes.subarray(dataAt, dataAt + dataBytes) }
  return { bytes, record: raw ? { ...sealed, raw } : sealed }
}

/**
 * @throws JUNCTURA_RECORD_DAMAGED when the checksum or a length does not hold; never skipped.
 * @throws JUNCTURA_RECORD_VERSION when a newer Junctura wrote it.
 */
export const decodeRecord = (bytes: Uint8Array, position: number): LogRecord => {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (buffer.length < HEADER_BYTES + 8 || buffer[0] !== 0x4a || buffer[1] !== 0x52) {
    throw damaged(position, 'it does not start like a record')
  }
  if (buffer[2] !== VERSION) {
    throw new JuncturaError('JUNCTURA_RECORD_VERSION', {
      details: { position, version: buffer[2], known: VERSION },
    })
  }
  if (crc32(buffer.subarray(HEADER_BYTES)) !== buffer.readUInt32LE(4)) {
    throw damaged(position, 'its checksum does not match')
  }
  const head = readPart(buffer, HEADER_BYTES, position)
  const data = readPart(buffer, head.end, position)
  const raw = (buffer[3] ?? 0) & FLAG_RAW ? readPart(buffer, data.end, position) : undefined
  // The checksum vouches for the head: we wrote it.
  const parsed = JSON.parse(head.part.toString('utf8')) as RecordHead
  return { head: parsed, data: data.part, ...(raw && { raw: raw.part }) }
}

interface Part {
  readonly part: Uint8Array | string
  /** Of it in bytes. */
  readonly length: number
}

function writePart(target: Buffer, offset: number, { part, length }: Part): number {
  target.writeUInt32LE(length, offset)
  if (typeof part !== 'string') target.set(part, offset + 4)
  // One that is shorter than it was measured would leave what the memory held before.
  else assert(target.write(part, offset + 4) === length, 'a text is as long as it was measured')
  return offset + 4 + length
}

function readPart(
  source: Buffer,
  offset: number,
  position: number,
): { readonly part: Buffer; readonly end: number } {
  if (offset + 4 > source.length) throw damaged(position, 'it ends early')
  const end = offset + 4 + source.readUInt32LE(offset)
  if (end > source.length) throw damaged(position, 'it ends early')
  return { part: source.subarray(offset + 4, end), end }
}

const damaged = (position: number, problem: string): JuncturaError =>
  new JuncturaError('JUNCTURA_RECORD_DAMAGED', { details: { position, problem } })
