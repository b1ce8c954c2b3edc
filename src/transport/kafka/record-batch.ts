import type { BrokerMessage } from '../broker.ts'

/**
 * Messages as one batch of records, in the format that Kafka keeps: version 2. Written in one pass
 * into one buffer, because this is done for every message.
 *
 * Attributes become the headers of the CloudEvents binding: `ce_NAME`, and `content-type`.
 *
 * @see Kafka documentation, section "Message Format"
 * @see CloudEvents Kafka protocol binding 1.0.2, section "Binary Content Mode"
 */
export interface RecordBatchOptions {
  readonly atMs: number
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly firstSequence: number
  readonly crc32c: (bytes: Buffer) => number
}

export const encodeRecordBatch = (
  messages: readonly BrokerMessage[],
  options: RecordBatchOptions,
): Buffer => {
  const bodies = messages.map(bodyBytesOf)
  let bytes = HEAD_BYTES
  for (const [at, body] of bodies.entries()) {
    const record = body + RECORD_FIXED_BYTES + varintBytes(at)
    bytes += varintBytes(record) + record
  }
  const buffer = Buffer.allocUnsafe(bytes)
  let end = HEAD_BYTES
  for (const [at, message] of messages.entries()) {
    end = writeRecord(buffer, end, { message, delta: at, body: bodies[at] ?? 0 })
  }
  writeHead(buffer, messages.length, options)
  return buffer
}

/** What a message takes in a batch, at most. */
export const recordBytesOf = (message: BrokerMessage): number =>
  bodyBytesOf(message) + RECORD_FIXED_BYTES + 2 * VARINT_BYTES_MAX

/** Of a batch without its records. */
const HEAD_BYTES = 61
/** The attributes of a record, and its time as the difference to that of the batch: 0. */
const RECORD_FIXED_BYTES = 2
const VARINT_BYTES_MAX = 5

function writeHead(buffer: Buffer, count: number, options: RecordBatchOptions): void {
  const time = BigInt(options.atMs)
  buffer.writeBigInt64BE(0n, 0) // The broker sets the offset.
  buffer.writeInt32BE(buffer.length - 12, 8)
  buffer.writeInt32BE(-1, 12) // The epoch of the leader, too.
  buffer.writeInt8(2, 16)
  buffer.writeInt16BE(0, 21) // Not compressed, not of a transaction.
  buffer.writeInt32BE(count - 1, 23)
  buffer.writeBigInt64BE(time, 27)
  buffer.writeBigInt64BE(time, 35)
  buffer.writeBigInt64BE(options.producerId, 43)
  buffer.writeInt16BE(options.producerEpoch, 51)
  buffer.writeInt32BE(options.firstSequence, 53)
  buffer.writeInt32BE(count, 57)
  buffer.writeUInt32BE(options.crc32c(buffer.subarray(21)) >>> 0, 17)
}

function writeRecord(
  buffer: Buffer,
  start: number,
  record: { readonly message: BrokerMessage; readonly delta: number; readonly body: number },
): number {
  const { message, delta, body } = record
  const { key, data, attributes } = message
  let at = writeVarint(buffer, start, body + RECORD_FIXED_BYTES + varintBytes(delta))
  buffer[at++] = 0
  buffer[at++] = 0
  at = writeVarint(buffer, at, delta)
  at = writeText(buffer, at, key)
  at = writeVarint(buffer, at, data.length)
  buffer.set(data, at)
  at += data.length
  let count = 0
  for (const _ in attributes) count += 1
  at = writeVarint(buffer, at, count)
  for (const name in attributes) {
    const header = headerOf(name)
    buffer.set(header, at)
    at = writeText(buffer, at + header.length, attributes[name] ?? '')
  }
  return at
}

/** Key, data and headers with their lengths. */
function bodyBytesOf({ key, data, attributes }: BrokerMessage): number {
  let count = 0
  let bytes = textBytes(key) + varintBytes(data.length) + data.length
  for (const name in attributes) {
    count += 1
    bytes += headerOf(name).length + textBytes(attributes[name] ?? '')
  }
  return bytes + varintBytes(count)
}

/** Few names are ever used; what senders invent beyond is made each time. */
const HEADERS_KEPT = 256
const headers = new Map<string, Buffer>()

function headerOf(attribute: string): Buffer {
  const known = headers.get(attribute)
  if (known) return known
  const name = attribute === 'datacontenttype' ? 'content-type' : `ce_${attribute}`
  const header = Buffer.alloc(textBytes(name))
  writeText(header, 0, name)
  if (headers.size < HEADERS_KEPT) headers.set(attribute, header)
  return header
}

const textBytes = (text: string): number => {
  const bytes = Buffer.byteLength(text)
  return varintBytes(bytes) + bytes
}

/** Below this a text of one byte per character has a length of one byte, zigzag. */
const SHORT = 64

function writeText(buffer: Buffer, at: number, text: string): number {
  if (text.length < SHORT) {
    const bytes = buffer.write(text, at + 1)
    if (bytes < SHORT) {
      buffer[at] = bytes * 2
      return at + 1 + bytes
    }
  }
  const start = writeVarint(buffer, at, Buffer.byteLength(text))
  return start + buffer.write(text, start)
}

/** Lengths and counts: never negative, and written as if they could be. */
function writeVarint(buffer: Buffer, at: number, value: number): number {
  let rest = value * 2
  while (rest > 127) {
    buffer[at++] = (rest & 127) | 128
    rest >>>= 7
  }
  buffer[at++] = rest
  return at
}

const varintBytes = (value: number): number => {
  if (value < 64) return 1
  if (value < 8_192) return 2
  if (value < 1_048_576) return 3
  return value < 134_217_728 ? 4 : 5
}
