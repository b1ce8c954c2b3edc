import type { Connection, Submittable } from 'pg'
import type { PlacedAppend } from './unit-group.ts'

/**
 * The log's rows in the binary form of COPY, their columns in the order of `RECORD_COLUMNS`. It
 * costs the server half of an INSERT: rows go into pages many at a time, with one record in its own
 * log for each page, no statement is planned, and no value is parsed. Where they are not numbered,
 * the server does it, in their order.
 *
 * @see PostgreSQL documentation, COPY, "Binary Format".
 */
export const encodeCopy = (
  appends: readonly PlacedAppend[],
  { isNumbered = true }: { readonly isNumbered?: boolean } = {},
): Uint8Array => {
  const columns = isNumbered ? COLUMNS : COLUMNS - 1
  const channels = new Map<string, Buffer>()
  let size = HEADER_BYTES + TRAILER_BYTES
  for (const { channel, bytes } of appends) {
    let encoded = channels.get(channel)
    if (encoded === undefined) channels.set(channel, (encoded = Buffer.from(channel, 'utf8')))
    size += ROW_BYTES + encoded.length + bytes.length
  }
  const out = Buffer.allocUnsafe(size)
  let at = out.write('PGCOPY\n\xff\r\n\0', 0, 'latin1')
  // No flags, and no extension of the header.
  at = out.writeInt32BE(0, at)
  at = out.writeInt32BE(0, at)
  for (const { position, channel, slot, atMs, bytes } of appends) {
    at = out.writeInt16BE(columns, at)
    if (isNumbered) at = writeInteger(out, position, at)
    const encoded = channels.get(channel) ?? Buffer.from(channel, 'utf8')
    at = out.writeInt32BE(encoded.length, at)
    out.set(encoded, at)
    at = out.writeInt32BE(4, at + encoded.length)
    at = out.writeInt32BE(slot, at)
    at = writeInteger(out, atMs, at)
    at = out.writeInt32BE(bytes.length, at)
    out.set(bytes, at)
    at += bytes.length
  }
  at = out.writeInt16BE(-1, at)
  return out.subarray(0, at)
}

export const UNNUMBERED_COLUMNS = 'channel, slot, at_ms, bytes'
export const RECORD_COLUMNS: string = `position, ${UNNUMBERED_COLUMNS}`
const COLUMNS = 5
const HEADER_BYTES = 19
const TRAILER_BYTES = 2
/** The count of columns, the length of each, and the three numbers. */
const ROW_BYTES = 2 + COLUMNS * 4 + 8 + 4 + 8

/** A length of eight and a whole number of eight bytes; exact as far as JavaScript is. */
function writeInteger(out: Buffer, value: number, at: number): number {
  const low = out.writeInt32BE(8, at)
  const high = out.writeInt32BE(Math.floor(value / 2 ** 32), low)
  return out.writeUInt32BE(value >>> 0, high)
}

/**
 * One exchange of `copy … from stdin`, which `pg` leaves to others: it hands the connection to
 * whatever has `submit`, and calls it for each answer. The text may go on with other statements.
 */
export class CopyIn implements Submittable {
  /** Rows of the text's other statements, in their order; values as text. */
  readonly done: Promise<readonly (readonly (string | null)[])[]>
  /** Read by `pg`: without an answer by then, it fails. */
  readonly query_timeout: number | undefined
  /** Set by `pg` where there is a time limit: called when it is over. */
  callback: ((error?: unknown) => void) | undefined
  readonly #text: string
  readonly #data: Uint8Array
  readonly #rows: (readonly (string | null)[])[] = []
  #resolve: (rows: readonly (readonly (string | null)[])[]) => void = () => undefined
  #reject: (error: unknown) => void = () => undefined

  constructor(text: string, data: Uint8Array, answerMs: number = Infinity) {
    this.query_timeout = Number.isFinite(answerMs) ? answerMs : undefined
    this.#text = text
    this.#data = data
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  /**
   * The data go along, so that the server, which may have locked something by then, need not wait
   * for this thread once more. Where a statement before fails, it reads over them.
   */
  submit(connection: Connection): void {
    const { stream } = connection
    const head = Buffer.allocUnsafe(5)
    head.write('d', 0, 'latin1')
    head.writeInt32BE(this.#data.length + 4, 1)
    stream.cork()
    connection.query(this.#text)
    stream.write(head)
    stream.write(this.#data)
    stream.write(COPY_DONE)
    stream.uncork()
  }

  handleCopyInResponse(): void {}

  handleDataRow({ fields }: { readonly fields: readonly (string | null)[] }): void {
    this.#rows.push(fields)
  }

  handleReadyForQuery(): void {
    this.callback?.()
    this.#resolve(this.#rows)
  }

  handleError(error: unknown): void {
    this.callback?.(error)
    this.#reject(error)
  }

  handleCommandComplete(): void {}
  handleRowDescription(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
  handleCopyData(): void {}
}

/** `c` and its length. */
const COPY_DONE: Uint8Array = Uint8Array.from([0x63, 0, 0, 0, 4])
