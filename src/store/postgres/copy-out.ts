import type { Connection, Submittable } from 'pg'

/**
 * One exchange of `copy (…) to stdout (format binary)`. `pg` reads rows only as text, where bytes
 * are twice as long and go through a string; it hands whatever has `submit` the connection, and the
 * data as they come.
 *
 * @see PostgreSQL documentation, COPY, "Binary Format".
 */
export class CopyOut<Row> implements Submittable {
  readonly rows: Promise<readonly Row[]>
  /** Read by `pg`: without an answer by then, it fails. */
  readonly query_timeout: number | undefined
  /** Set by a pool, and where a statement has a time limit: called when it is over. */
  callback: ((error?: unknown) => void) | undefined
  readonly #text: string
  readonly #read: (tuple: CopyTuple) => Row
  readonly #found: Row[] = []
  #isBegun = false
  #error: unknown
  #resolve: (rows: readonly Row[]) => void = () => undefined
  #reject: (error: unknown) => void = () => undefined

  /** What `read` gives is all that stays: the bytes under the tuple are used again. */
  constructor(text: string, read: (tuple: CopyTuple) => Row, answerMs: number = Infinity) {
    this.query_timeout = Number.isFinite(answerMs) ? answerMs : undefined
    this.#text = text
    this.#read = read
    this.rows = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // Whoever asked may have been told by the pool already.
    this.rows.catch(() => undefined)
  }

  submit(connection: Connection): void {
    connection.query(this.#text)
  }

  /** One message is one row; the header comes before the first. */
  handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    let at = 0
    if (!this.#isBegun) {
      this.#isBegun = true
      at = FIXED_HEADER_BYTES + chunk.readInt32BE(FIXED_HEADER_BYTES - 4)
      if (at === chunk.length) return
    }
    const columns = chunk.readInt16BE(at)
    if (columns === TRAILER) return
    try {
      this.#found.push(this.#read(new CopyTuple(chunk, at + 2)))
    } catch (error) {
      // Thrown here it would be thrown at the connection.
      this.#error ??= error
    }
  }

  handleReadyForQuery(): void {
    this.callback?.()
    if (this.#error === undefined) this.#resolve(this.#found)
    else this.#reject(this.#error)
  }

  handleError(error: unknown): void {
    this.callback?.(error)
    this.#reject(error)
  }

  handleCommandComplete(): void {}
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
}

const FIXED_HEADER_BYTES = 19
const TRAILER = -1

/** The columns of one row, one after the other. */
export class CopyTuple {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes
    this.#at = at
  }

  text(): string | null {
    const end = this.#next()
    return end < 0 ? null : this.#bytes.toString('utf8', this.#at, (this.#at = end))
  }

  /** A copy. */
  bytes(): Uint8Array | null {
    const end = this.#next()
    if (end < 0) return null
    // `Buffer.from` would copy byte by byte.
    const copied = Buffer.allocUnsafe(end - this.#at)
    this.#bytes.copy(copied, 0, this.#at, end)
    this.#at = end
    return copied
  }

  /** Of four or eight bytes; exact as far as JavaScript is. */
  integer(): number | null {
    const end = this.#next()
    if (end < 0) return null
    const high = this.#bytes.readInt32BE(this.#at)
    const isLong = end - this.#at === 8
    const value = isLong ? high * 2 ** 32 + this.#bytes.readUInt32BE(this.#at + 4) : high
    this.#at = end
    return value
  }

  /** Where the next column ends, with `#at` at its begin; below zero for null. */
  #next(): number {
    const length = this.#bytes.readInt32BE(this.#at)
    this.#at += 4
    return length < 0 ? -1 : this.#at + length
  }
}
