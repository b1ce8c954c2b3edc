import type { SlotRange } from '../store/index.ts'
import type { Delivered } from './transport.ts'

/**
 * A stretch of the log: every record of a channel with `after` < position <= `to`, of some slots or
 * of all.
 */
export interface Page {
  readonly after: number
  readonly to: number
  readonly records: readonly Delivered[]
  /** Of the records as they are stored: whoever asked them for theirs would decode them. */
  readonly bytes: number
  /** Undefined for all. */
  readonly slots: readonly SlotRange[] | undefined
}

/** Gives at least the slots that are wanted, or all. */
export type ReadPage = (afterPosition: number, wanted: SlotRange | undefined) => Promise<Page>

const PAGES_MAX = 16
const BYTES_MAX = 33_554_432

/**
 * What was read of one channel for readers behind its tail, until all have passed it. Consumers of
 * one channel that fell behind are mostly at the same place, so ten of them read and decode once:
 * what is read is of the slots of all who are there.
 */
export class SharedPages {
  readonly #read: ReadPage
  #pages: Page[] = []
  #bytes = 0
  readonly #reading = new Map<number, Promise<Page>>()

  constructor(read: ReadPage) {
    this.#read = read
  }

  /** The page that goes on behind a position; it may begin before it. */
  behind(afterPosition: number, wanted: SlotRange | undefined): Promise<Page> {
    const known = this.#pages.find(
      ({ after, to, slots }) =>
        after <= afterPosition && afterPosition < to && isWithin(wanted, slots),
    )
    if (known) return Promise.resolve(known)
    const reading = this.#reading.get(afterPosition)
    if (reading) {
      // One who came meanwhile may want more than was asked for; it is read again with its own.
      return reading.then((page) =>
        isWithin(wanted, page.slots) ? page : this.behind(afterPosition, wanted),
      )
    }
    const own = this.#keep(afterPosition, wanted)
    this.#reading.set(afterPosition, own)
    return own
  }

  /** Everybody has read up to here. */
  passed(position: number): void {
    if (this.#pages.length === 0) return
    this.#pages = this.#pages.filter(({ to }) => to > position)
    this.#bytes = this.#pages.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  async #keep(afterPosition: number, wanted: SlotRange | undefined): Promise<Page> {
    try {
      const page = await this.#read(afterPosition, wanted)
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

/** Whether what was read holds all that is wanted: a range lies in one that was asked for. */
const isWithin = (wanted: SlotRange | undefined, slots: Page['slots']): boolean =>
  slots === undefined ||
  (wanted !== undefined &&
    slots.some(({ first, last }) => first <= wanted.first && wanted.last <= last))
