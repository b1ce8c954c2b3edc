import type { Random } from '../kernel/index.ts'
import type { OutboxCursor, OutboxView } from './cursor.ts'

/** One open transaction of the model. */
interface Writer {
  id: number | undefined
  readonly key: string | undefined
  readonly numbers: number[]
  /** Drawn, and its row not written yet. */
  pending: number | undefined
}

/**
 * An outbox table as PostgreSQL keeps it, with its transactions: ids and numbers are drawn while a
 * transaction runs, rows become visible when it ends, and a snapshot knows what had ended. One that
 * emits under a key holds it until its end, as a lock on the user's row does.
 */
export class TableModel {
  readonly committed: number[] = []
  /** Numbers of each key, in the order of commits. */
  readonly ordered: Map<string, number[]> = new Map()
  readonly keyOf: Map<number, string> = new Map()
  readonly #visible = new Set<number>()
  readonly #open = new Set<Writer>()
  readonly #random: Random
  #nextId = 3
  #lastEnded = 2
  #nextNumber = 1

  constructor(random: Random) {
    this.#random = random
  }

  get openCount(): number {
    return this.#open.size
  }

  /** One step of some transaction, of the model's choice. */
  step(): void {
    const writers = [...this.#open]
    const which = this.#below(writers.length + 2)
    const writer = writers[which]
    if (!writer) return this.#begin()
    const action = this.#below(10)
    if (action < 5) this.#draw(writer)
    else this.#end(writer, action < 8)
  }

  endAll(): void {
    for (const writer of this.#open) this.#end(writer, this.#below(2) === 0)
  }

  /** A transaction of another table: it has an id and holds back what counts as ended. */
  neighbour(): { end(): void } {
    const writer: Writer = { id: this.#nextId++, key: undefined, numbers: [], pending: undefined }
    this.#open.add(writer)
    return { end: () => this.#end(writer, true) }
  }

  /** Draws an id as the relay does. */
  fence(): number {
    const id = this.#nextId++
    this.#lastEnded = Math.max(this.#lastEnded, id)
    return id
  }

  /** What a snapshot says lies behind every transaction that has ended. */
  get snapshotEnd(): number {
    return this.#lastEnded + 1
  }

  get endedBelow(): number {
    const ids = [...this.#open].flatMap(({ id }) => id ?? [])
    return Math.min(this.snapshotEnd, ...ids)
  }

  view({ head, gaps }: OutboxCursor, limit: number): OutboxView {
    const isWanted = (number: number): boolean =>
      number > head || gaps.some(({ from, to }) => number >= from && number <= to)
    const found = [...this.#visible].filter(isWanted).toSorted((a, b) => a - b)
    const numbers = found.slice(0, limit)
    return { numbers, isComplete: found.length < limit, endedBelow: this.endedBelow }
  }

  #begin(): void {
    const taken = new Set([...this.#open].map(({ key }) => key))
    const key = `k${this.#below(4)}`
    const isFree = !taken.has(key)
    this.#open.add({
      id: undefined,
      key: isFree ? key : undefined,
      numbers: [],
      pending: undefined,
    })
  }

  /** The id first, then the number, then the row: in between, others go on. */
  #draw(writer: Writer): void {
    if (writer.pending !== undefined) {
      writer.numbers.push(writer.pending)
      writer.pending = undefined
      return
    }
    writer.id ??= this.#nextId++
    writer.pending = this.#nextNumber++
  }

  #end(writer: Writer, commits: boolean): void {
    this.#open.delete(writer)
    if (writer.id !== undefined) this.#lastEnded = Math.max(this.#lastEnded, writer.id)
    if (!commits) return
    for (const number of writer.numbers) {
      this.#visible.add(number)
      this.committed.push(number)
      if (writer.key === undefined) continue
      this.keyOf.set(number, writer.key)
      this.ordered.set(writer.key, [...(this.ordered.get(writer.key) ?? []), number])
    }
  }

  #below(limit: number): number {
    return Math.floor(this.#random.next() * limit)
  }
}
