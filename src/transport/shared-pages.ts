import type { Delivered } from './transport.ts'

/** A stretch of the log: every record of a channel with `after` < position <= `to`. */
export interface Page {
  readonly after: number
  readonly to: number
  /** Decoded when somebody looks into them. */
  readonly records: readonly Delivered[]
  /** Of the records as they are stored: whoever asked them for theirs would decode them. */
  readonly bytes: number
}

const PAGES_MAX = 16
const BYTES_MAX = 33_554_432

/**
 * What was read of one channel for readers behind its tail, until all have passed it. Consumers of
 * one channel that fell behind are mostly at the same place, so ten of them read and decode once.
 */
export class SharedPages {
  readonly #read: (afterPosition: number) => Promise<Page>
  #pages: Page[] = []
  #bytes = 0
  readonly #reading = new Map<number, Promise<Page>>()

  constructor(read: (afterPosition: number) => Promise<Page>) {
    this.#read = read
  }

  /** The page that goes on behind a position; it may begin before it. */
  behind(afterPosition: number): Promise<Page> {
    const known = this.#pages.find(({ after, to }) => after <= afterPosition && afterPosition < to)
    if (known) return Promise.resolve(known)
    let reading = this.#reading.get(afterPosition)
    if (!reading) {
      reading = this.#keep(afterPosition)
      this.#reading.set(afterPosition, reading)
    }
    return reading
  }

  /** Everybody has read up to here. */
  passed(position: number): void {
    if (this.#pages.length === 0) return
    this.#pages = this.#pages.filter(({ to }) => to > position)
    this.#bytes = this.#pages.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  async #keep(afterPosition: number): Promise<Page> {
    try {
      const page = await this.#read(afterPosition)
      if (page.records.length === 0) return page
      this.#pages.push(page)
      this.#bytes += page.bytes
      while (this.#pages.length > PAGES_MAX || this.#bytes > BYTES_MAX) {
        const oldest = this.#pages.shift()
        if (!oldest) break
        this.#bytes -= oldest.bytes
      }
      return page
    } finally {
      this.#reading.delete(afterPosition)
    }
  }
}
