import type { OutboxRow, TransactionHandle } from '../../outbox/index.ts'
import { WORLD_START_MS } from './node-clock.ts'
import { SimulatedFault } from './simulated-fault.ts'

export interface SimulatedTransactionOptions {
  readonly id: number
  readonly isInTurns: boolean
  /** Resolves when nobody else holds the key; it is held until this transaction has ended. */
  readonly lockKey: (key: string, ended: Promise<void>) => Promise<void>
  /** The next number of the outbox: drawn before the row is written, and never given back. */
  readonly draw: () => number
  readonly nowMs: () => number
  readonly onDrawn: (row: OutboxRow) => void
  readonly onEnded: (rows: readonly OutboxRow[], isCommitted: boolean) => void
}

/** Columns of the statement of `outbox(tx).emit`, in order. */
const COLUMNS = 6

/** A transaction of a service: what it writes is seen when it commits, or never. */
export class SimulatedTransaction {
  readonly id: number
  readonly ended: Promise<void>
  /** What `outbox(tx)` is given: a client of the kind that the database has. */
  readonly handle: TransactionHandle
  /** Whether it has written to the outbox. */
  isWriter = false
  isOpen = true
  readonly #options: SimulatedTransactionOptions
  readonly #rows: OutboxRow[] = []
  readonly #locked = new Set<string>()
  #end: () => void = () => undefined

  constructor(options: SimulatedTransactionOptions) {
    this.#options = options
    this.id = options.id
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
    this.handle = options.isInTurns
      ? {
          isTransaction: true,
          prepare: () => ({ run: (...values: readonly unknown[]) => this.#insert(values) }),
        }
      : { query: (_: string, values: readonly unknown[]) => this.#query(values) }
  }

  /** A row of somebody who does not use `emit`. */
  write(row: Pick<OutboxRow, 'id' | 'type' | 'key' | 'payload'>): void {
    this.#put({ ...row, version: null, fact: null, record: null })
  }

  commit(): void {
    this.#finish(true)
  }

  rollback(): void {
    this.#finish(false)
  }

  #finish(isCommitted: boolean): void {
    if (!this.isOpen) return
    this.isOpen = false
    this.#options.onEnded(this.#rows, isCommitted)
    this.#end()
  }

  async #query(values: readonly unknown[]): Promise<{ readonly rowCount: number }> {
    const key = String(values[3])
    // One key for each transaction: two would wait for each other now and then.
    if (this.#locked.size === 0) {
      this.#locked.add(key)
      await this.#options.lockKey(key, this.ended)
    }
    return { rowCount: this.#insert(values).changes }
  }

  #insert(values: readonly unknown[]): { readonly changes: number } {
    for (let at = 0; at < values.length; at += COLUMNS) {
      const [id, type, version, key, fact, record] = values.slice(at, at + COLUMNS)
      this.#put({
        id: String(id),
        type: String(type),
        version: typeof version === 'number' ? version : null,
        key: typeof key === 'string' ? key : null,
        fact: typeof fact === 'string' ? fact : null,
        payload: null,
        record: record instanceof Uint8Array ? record : null,
      })
    }
    return { changes: values.length / COLUMNS }
  }

  #put(row: Omit<OutboxRow, 'seq' | 'atMs' | 'headers'>): void {
    if (!this.isOpen) throw new SimulatedFault('the transaction is over')
    this.isWriter = true
    const atMs = Math.floor(WORLD_START_MS + this.#options.nowMs())
    const written: OutboxRow = { ...row, seq: this.#options.draw(), atMs, headers: null }
    this.#rows.push(written)
    this.#options.onDrawn(written)
  }
}
