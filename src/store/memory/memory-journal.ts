import { crc32 } from 'node:zlib'
import { JuncturaError, messageOf } from '../../kernel/index.ts'
import type { MemoryChange } from './memory-disk.ts'

/**
 * A file beneath a memory disk: the port through which the simulator brings the failures of a real
 * one. What was appended may be lost, or half lost, until it is synced.
 */
export interface JournalFile {
  /** Adds bytes at the end. An error means that there is no room; part of them may be there. */
  append(bytes: Uint8Array): void
  /** An error means that nobody knows what of it is on the disk. */
  sync(): Promise<void>
  /** What a process that starts now would read. */
  read(): Uint8Array
  truncate(length: number): void
}

/** Length and checksum before each commit. */
const HEADER_BYTES = 8

/**
 * The commits of a memory disk as frames of a file, each with its checksum. The state itself stays
 * in memory and is never read back; the file decides what of it has survived. A tail that was cut
 * off is cut away; damage before it is damage (F23, F24).
 */
export class MemoryJournal {
  readonly #file: JournalFile
  /** Frames that are durable, and where the last of them ends. */
  #frames = 0
  #end = 0
  /** The frame that is written and not known to be durable. */
  #unsure: Uint8Array | undefined

  constructor(file: JournalFile) {
    this.#file = file
  }

  /**
   * Appends a commit and syncs it.
   *
   * @throws JUNCTURA_STORE_FULL with nothing written.
   * @throws JUNCTURA_STORE_UNKNOWN: a second sync may succeed without having written (F21).
   */
  async write(change: MemoryChange): Promise<void> {
    const frame = this.#append(change)
    try {
      await this.#file.sync()
    } catch (error) {
      throw new JuncturaError('JUNCTURA_STORE_UNKNOWN', {
        cause: error,
        details: { problem: messageOf(error) },
      })
    }
    // Whoever took the disk over meanwhile has counted this frame, or cut it away.
    if (this.#unsure !== frame) return
    this.#unsure = undefined
    this.#frames += 1
    this.#end = this.#file.read().length
  }

  #append(change: MemoryChange): Uint8Array {
    const frame = encodeFrame(change)
    try {
      this.#file.append(frame)
    } catch (error) {
      this.#file.truncate(this.#end)
      throw new JuncturaError('JUNCTURA_STORE_FULL', {
        cause: error,
        details: { problem: messageOf(error) },
      })
    }
    this.#unsure = frame
    return frame
  }

  /** After a crash: whether the commit that was under way is there. The rest of it is cut away. */
  recover(): boolean {
    const isUnsure = this.#unsure !== undefined
    this.#unsure = undefined
    const { frames, end } = readFrames(this.#file.read())
    if (isUnsure && frames === this.#frames + 1) {
      this.#frames = frames
      this.#end = end
      this.#file.truncate(end)
      return true
    }
    this.#file.truncate(this.#end)
    return false
  }

  /** @throws JUNCTURA_STORE_DAMAGED when what was durable is not there. */
  open(): void {
    const { frames } = readFrames(this.#file.read())
    if (frames === this.#frames) return
    throw new JuncturaError('JUNCTURA_STORE_DAMAGED', {
      details: {
        file: 'journal',
        problem: `commit ${frames + 1} of ${this.#frames} does not match its checksum`,
      },
    })
  }
}

function encodeFrame({ records, rows, claims }: MemoryChange): Uint8Array {
  let head = ''
  let recordBytes = 0
  for (const { position, channel, slot, atMs, bytes } of records) {
    head += `${position} ${channel} ${slot} ${atMs} ${bytes.length}\n`
    recordBytes += bytes.length
  }
  // The value is JSON already; written as JSON it would be escaped once more.
  for (const { collection, key, value } of rows) head += `${collection} ${key} ${value ?? ''}\n`
  for (const [key, { position, expiresAtMs }] of claims)
    head += `${key} ${position} ${expiresAtMs}\n`
  const headBytes = Buffer.byteLength(head)
  const frame = Buffer.allocUnsafe(HEADER_BYTES + headBytes + recordBytes)
  frame.write(head, HEADER_BYTES)
  let at = HEADER_BYTES + headBytes
  for (const { bytes } of records) {
    frame.set(bytes, at)
    at += bytes.length
  }
  frame.writeUInt32LE(headBytes + recordBytes, 0)
  frame.writeUInt32LE(crc32(frame.subarray(HEADER_BYTES)), 4)
  return frame
}

/** How many frames from the start are whole, and where they end. */
function readFrames(bytes: Uint8Array): { readonly frames: number; readonly end: number } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let frames = 0
  let end = 0
  while (end + HEADER_BYTES <= buffer.length) {
    const next = end + HEADER_BYTES + buffer.readUInt32LE(end)
    if (next > buffer.length) break
    const payload = buffer.subarray(end + HEADER_BYTES, next)
    if (crc32(payload) !== buffer.readUInt32LE(end + 4)) break
    frames += 1
    end = next
  }
  return { frames, end }
}
