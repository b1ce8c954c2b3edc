import { existsSync, readFileSync } from 'node:fs'
import { JuncturaError } from '../../kernel/index.ts'

export interface WalTrust {
  /**
   * Whether the machine has run on since the file was written. The engine counts a commit in its
   * index before the commit is synced, so after a loss of power that count may be ahead.
   */
  readonly trustsIndex: boolean
}

/**
 * Looks at the write-ahead log before the engine does. The engine reads it up to the first frame
 * whose checksum fails and drops the rest without a word: right for a write that the loss of power
 * tore, but a flipped bit in the middle would take every later commit with it (F23, F24).
 *
 * A frame that fails is damage, and not torn, when a later transaction had begun (the one before it
 * was synced by then) or when the engine's own index counts it and can be trusted.
 *
 * Returns the number of torn frames that the engine will drop.
 *
 * @throws JUNCTURA_STORE_DAMAGED naming the file.
 * @see https://www.sqlite.org/fileformat2.html section 4, the WAL file format.
 */
export const checkWal = (databaseFile: string, { trustsIndex }: WalTrust): number => {
  const file = `${databaseFile}-wal`
  if (!existsSync(file)) return 0
  const wal = readFileSync(file)
  if (wal.length < HEADER_BYTES || wal.subarray(0, HEADER_BYTES).every((byte) => byte === 0)) {
    return 0
  }
  const header = readHeader(wal)
  if (header === undefined) throw damaged(file, 'its header does not match its checksum')
  const frames = Math.floor((wal.length - HEADER_BYTES) / header.frameBytes)
  const valid = countValidFrames(wal, header, frames)
  const synced = trustsIndex ? countedFrames(`${databaseFile}-shm`, header) : 0
  const later = laterTransaction(wal, header, { from: valid, to: frames })
  if (valid < synced || later !== undefined) {
    throw damaged(file, `frame ${valid + 1} of ${Math.max(synced, later ?? 0)} is not readable`)
  }
  const cut = frameAt(header, frames) < wal.length ? 1 : 0
  return trailingFrames(wal, header, { from: valid, to: frames }) + cut
}

const HEADER_BYTES = 32
const FRAME_HEADER_BYTES = 24
const MAGIC = 0x377f0682

interface WalHeader {
  readonly frameBytes: number
  /** Checksums are taken over words in this order, which the magic number tells. */
  readonly bigEndian: boolean
  readonly salts: Buffer
  readonly checksum: Checksum
}

type Checksum = readonly [number, number]

interface Span {
  readonly from: number
  readonly to: number
}

function readHeader(wal: Buffer): WalHeader | undefined {
  const magic = wal.readUInt32BE(0)
  if ((magic & ~1) >>> 0 !== MAGIC) return undefined
  const bigEndian = (magic & 1) === 1
  const checksum = checksumOf(wal.subarray(0, 24), [0, 0], bigEndian)
  if (wal.readUInt32BE(24) !== checksum[0] || wal.readUInt32BE(28) !== checksum[1]) return undefined
  const frameBytes = FRAME_HEADER_BYTES + wal.readUInt32BE(8)
  return { frameBytes, bigEndian, salts: wal.subarray(16, 24), checksum }
}

function countValidFrames(wal: Buffer, header: WalHeader, frames: number): number {
  let { checksum } = header
  for (let frame = 0; frame < frames; frame++) {
    const at = frameAt(header, frame)
    if (!hasSalts(wal, header, frame)) return frame
    checksum = checksumOf(wal.subarray(at, at + 8), checksum, header.bigEndian)
    const page = wal.subarray(at + FRAME_HEADER_BYTES, at + header.frameBytes)
    checksum = checksumOf(page, checksum, header.bigEndian)
    const [first, second] = checksum
    if (wal.readUInt32BE(at + 16) !== first || wal.readUInt32BE(at + 20) !== second) return frame
  }
  return frames
}

/** Number of a frame of this generation that stands behind a commit inside the span, if any. */
function laterTransaction(wal: Buffer, header: WalHeader, span: Span): number | undefined {
  let committed = false
  for (let frame = span.from; frame < span.to; frame++) {
    if (!hasSalts(wal, header, frame)) continue
    if (committed) return frame + 1
    committed = wal.readUInt32BE(frameAt(header, frame) + 4) !== 0
  }
  return undefined
}

function trailingFrames(wal: Buffer, header: WalHeader, span: Span): number {
  let count = 0
  for (let frame = span.from; frame < span.to; frame++) {
    if (hasSalts(wal, header, frame)) count += 1
  }
  return count
}

const frameAt = (header: WalHeader, frame: number): number =>
  HEADER_BYTES + frame * header.frameBytes

/** Frames of an earlier generation, which a restart of the log left behind, have other salts. */
const hasSalts = (wal: Buffer, header: WalHeader, frame: number): boolean => {
  const at = frameAt(header, frame) + 8
  return wal.subarray(at, at + 8).equals(header.salts)
}

/** Frames that the engine's index counts as committed; 0 when it speaks of another generation. */
function countedFrames(file: string, header: WalHeader): number {
  if (!existsSync(file)) return 0
  const index = readFileSync(file).subarray(0, 48)
  // The index is the machine's own memory, so its numbers have the machine's byte order.
  if (index.length < 48 || !index.subarray(32, 40).equals(header.salts)) return 0
  const numbers = new DataView(index.buffer, index.byteOffset, index.length)
  const littleEndian = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1
  const [first, second] = checksumOf(index.subarray(0, 40), [0, 0], !littleEndian)
  const holds =
    numbers.getUint32(40, littleEndian) === first && numbers.getUint32(44, littleEndian) === second
  return holds ? numbers.getUint32(16, littleEndian) : 0
}

/** Two running sums over pairs of words. */
function checksumOf(bytes: Buffer, start: Checksum, bigEndian: boolean): Checksum {
  let [first, second] = start
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = 0; at + 8 <= bytes.length; at += 8) {
    first = (first + view.getUint32(at, !bigEndian) + second) >>> 0
    second = (second + view.getUint32(at + 4, !bigEndian) + first) >>> 0
  }
  return [first, second]
}

const damaged = (file: string, problem: string): JuncturaError =>
  new JuncturaError('JUNCTURA_STORE_DAMAGED', { details: { file, problem } })
