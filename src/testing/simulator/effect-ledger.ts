import type { MemoryDisk } from '../../store/index.ts'
import type { EffectRow } from './message-books.ts'

/** Reads the table in which every transaction of a handler notes that it happened. */
export class EffectLedger {
  readonly #disk: MemoryDisk
  #last = 0
  #isNoted = false
  #effects = 0

  constructor(disk: MemoryDisk) {
    this.#disk = disk
  }

  get effects(): number {
    return this.#effects
  }

  /** An effect was noted in a transaction that is still open. */
  noted(): void {
    this.#isNoted = true
  }

  /** Those that have become durable since the last call; undefined where there can be none. */
  fresh(): Promise<readonly EffectRow[]> | undefined {
    if (!this.#isNoted) return undefined
    this.#isNoted = false
    const sqlText = 'select * from simulated_effects where seq > $1 order by seq'
    return this.#disk.query(sqlText, this.#last).then((rows) => {
      this.#effects += rows.length
      return rows.map((row) => {
        this.#last = Number(row['seq'])
        return {
          consumer: String(row['consumer']),
          messageId: String(row['message_id']),
          lane: String(row['lane']),
          position: Number(row['position']),
          run: String(row['run']),
        }
      })
    })
  }
}
