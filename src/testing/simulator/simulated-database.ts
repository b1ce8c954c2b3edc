import type { OutboxSource } from '../../contract/index.ts'
import {
  type OutboxCursor,
  type OutboxLimit,
  type OutboxPage,
  type OutboxReader,
  type OutboxRow,
  watermarkOf,
} from '../../outbox/index.ts'
import type { FaultDice } from './fault-dice.ts'
import type { NodeClock } from './node-clock.ts'
import type { OutboxWatch } from './outbox-watch.ts'
import type { RandomStreams } from './random-streams.ts'
import type { Scheduler } from './scheduler.ts'
import { SimulatedFault } from './simulated-fault.ts'
import { SimulatedTransaction } from './simulated-transaction.ts'
import type { SituationBook } from './situations.ts'

export interface SimulatedDatabaseOptions {
  readonly source: OutboxSource
  readonly scheduler: Scheduler
  readonly dice: FaultDice
  readonly streams: RandomStreams
  readonly situations: SituationBook
  readonly watch: OutboxWatch
  readonly trace: (what: string) => void
}

/** A connection of a relay. */
interface Link {
  readonly clock: NodeClock
  readonly incarnation: number
  isBroken: boolean
}

const WAY_MS_MAX = 3
const SLOW_MS_MAX = 2_000
const OUTAGE_MS_MAX = 60_000
const NEIGHBOUR_MS_MAX = 180_000
/** Nothing is shown to who has seen everything before something changes, or after so long. */
const NOTHING_NEW_MS = 5_000
/** The same for one who waits for the end of a transaction. */
const STILL_WAITING_MS = 400

/**
 * The database of a service, with an outbox in it. As in PostgreSQL, a transaction draws its id,
 * then numbers for its rows, and they become visible when it commits: late, out of order, or never.
 * Where the source is a file, writers take turns, as in SQLite.
 */
export class SimulatedDatabase {
  readonly isInTurns: boolean
  readonly #options: SimulatedDatabaseOptions
  readonly #open = new Set<SimulatedTransaction>()
  /** Committed and not cleaned away, ascending. */
  #rows: OutboxRow[] = []
  #nextId = 1
  #nextNumber = 1
  #moment = 0
  #incarnation = 0
  #isDown = false
  #turn: Promise<void> = Promise.resolve()
  readonly #keyLocks = new Map<string, Promise<void>>()
  #onChange: (() => void)[] = []

  constructor(options: SimulatedDatabaseOptions) {
    this.#options = options
    this.isInTurns = 'file' in options.source.database
  }

  get source(): OutboxSource {
    return this.#options.source
  }

  get isDown(): boolean {
    return this.#isDown
  }

  /** Draws when it is away, and when somebody keeps a transaction open beside the outbox. */
  plan(withinMs: number): void {
    const { dice, scheduler, streams, trace, source } = this.#options
    const random = streams(`database/${source.name}`)
    for (const { atMs, take } of dice.planned('outboxOutages', withinMs)) {
      scheduler.at(atMs, () => {
        if (this.#isDown || !take()) return
        this.#isDown = true
        this.#incarnation += 1
        trace(`the database of ${source.name} is away`)
        for (const transaction of this.#open) transaction.rollback()
        scheduler.at(random.next() * OUTAGE_MS_MAX, () => this.#up())
      })
    }
    if (this.isInTurns) return
    for (const { atMs, take } of dice.planned('outboxNeighbours', withinMs)) {
      scheduler.at(atMs, () => {
        if (this.#isDown || !take()) return
        const neighbour = this.#begin(async () => undefined)
        scheduler.at(random.next() * NEIGHBOUR_MS_MAX, () => neighbour.rollback())
      })
    }
  }

  /** Nothing goes wrong any more: it is there, and nobody keeps a transaction open for nothing. */
  heal(): void {
    this.#up()
    for (const transaction of this.#open) if (!transaction.isWriter) transaction.rollback()
  }

  /** Waits for its turn where writers take turns; undefined while the database is away. */
  async begin(): Promise<SimulatedTransaction | undefined> {
    if (!this.isInTurns) return this.#isDown ? undefined : this.#begin(this.#lockKey)
    const before = this.#turn
    let pass = (): void => undefined
    this.#turn = new Promise((resolve) => {
      pass = resolve
    })
    await before
    if (this.#isDown) {
      pass()
      return undefined
    }
    const transaction = this.#begin(async () => undefined)
    void transaction.ended.then(pass)
    return transaction
  }

  /** A relay's connection, from a process with that clock. */
  async connect(clock: NodeClock): Promise<OutboxReader> {
    const link: Link = { clock, incarnation: this.#incarnation, isBroken: false }
    await this.#ask(link, () => undefined)
    const endsBelow = (isOnlyWriters: boolean): number => {
      if (this.isInTurns) return Number.POSITIVE_INFINITY
      const ids = [...this.#open].filter((one) => !isOnlyWriters || one.isWriter)
      return ids.reduce((least, { id }) => Math.min(least, id), this.#nextId)
    }
    return {
      read: async (cursor, limit) => {
        await this.#news(link, cursor)
        return this.#ask(link, () => ({
          ...this.#page(cursor, limit),
          endedBelow: endsBelow(false),
        }))
      },
      fence: () => this.#ask(link, () => (this.isInTurns ? 0 : this.#nextId++)),
      writersEndedBelow: async () => {
        const ended = await this.#ask(link, () => ({ all: endsBelow(false), own: endsBelow(true) }))
        if (ended.own > ended.all) this.#options.situations.hit('outbox-neighbour-open')
        return ended.own
      },
      clean: (cursor) =>
        this.#ask(link, () => {
          const watermark = watermarkOf(cursor)
          this.#rows = this.#rows.filter(({ seq }) => seq > watermark)
        }),
      backlog: (cursor) =>
        this.#ask(link, () => {
          const waiting = this.#rows.filter(({ seq }) => isBeyond(cursor, seq))
          return { waiting: waiting.length, isMore: false, oldestAtMs: waiting[0]?.atMs }
        }),
      close: async () => {
        link.isBroken = true
      },
    }
  }

  #begin(lockKey: (key: string, ended: Promise<void>) => Promise<void>): SimulatedTransaction {
    const { watch, trace, source } = this.#options
    const firstNumber = this.#nextNumber
    const transaction = new SimulatedTransaction({
      id: this.#nextId++,
      isInTurns: this.isInTurns,
      lockKey,
      draw: () => this.#nextNumber++,
      nowMs: () => this.#options.scheduler.nowMs,
      onDrawn: (row) => watch.drawn(row, { transaction: transaction.id, moment: ++this.#moment }),
      onEnded: (rows, isCommitted) => {
        this.#open.delete(transaction)
        // In SQLite the numbers of who was rolled back are given again.
        if (!isCommitted && this.isInTurns) this.#nextNumber = firstNumber
        if (isCommitted) this.#show(rows)
        const moment = ++this.#moment
        for (const row of rows) watch.ended(row, { isCommitted, moment })
        const what = isCommitted ? 'commits' : 'is rolled back'
        trace(`transaction ${transaction.id} of ${source.name} ${what}, ${rows.length} rows`)
        this.#tellChange()
      },
    })
    this.#open.add(transaction)
    return transaction
  }

  /** As a row of business data would: who writes about one thing waits for who did before. */
  readonly #lockKey = async (key: string, ended: Promise<void>): Promise<void> => {
    const before = this.#keyLocks.get(key)
    this.#keyLocks.set(key, before ? before.then(() => ended) : ended)
    await before
  }

  #show(rows: readonly OutboxRow[]): void {
    if (rows.length === 0) return
    this.#rows = [...this.#rows, ...rows].toSorted((left, right) => left.seq - right.seq)
  }

  #page(cursor: OutboxCursor, limit: OutboxLimit): Omit<OutboxPage, 'endedBelow'> {
    const rows: OutboxRow[] = []
    let bytes = 0
    for (const row of this.#rows) {
      if (!isBeyond(cursor, row.seq)) continue
      if (rows.length >= limit.rows || bytes >= limit.bytes) return { rows, isComplete: false }
      rows.push(row)
      bytes += (row.record?.length ?? 0) + (row.payload?.length ?? 0)
    }
    return { rows, isComplete: true }
  }

  /** A relay that asks again and again for what is not there would be most of what happens. */
  async #news({ clock }: Link, cursor: OutboxCursor): Promise<void> {
    if (this.#rows.some(({ seq }) => isBeyond(cursor, seq))) return
    const ms = cursor.gaps.length > 0 ? STILL_WAITING_MS : NOTHING_NEW_MS
    await new Promise<void>((resolve) => {
      const timer = clock.setTimer(ms, resolve)
      this.#onChange.push(() => {
        timer.cancel()
        clock.wake(0, resolve)
      })
    })
  }

  /** One statement: it may fail, and it may be done and its answer never come. */
  async #ask<T>(link: Link, run: () => T): Promise<T> {
    const { dice, situations } = this.#options
    await this.#way(link)
    this.#mustAnswer(link)
    if (dice.happens('outboxFails')) throw breakLink(link)
    const answer = run()
    await this.#way(link)
    this.#mustAnswer(link)
    if (!dice.happens('outboxLies')) return answer
    situations.hit('outbox-answer-lost')
    throw breakLink(link)
  }

  #mustAnswer(link: Link): void {
    if (link.isBroken || this.#isDown || link.incarnation !== this.#incarnation) {
      throw breakLink(link)
    }
  }

  #way({ clock }: Link): Promise<void> {
    const { dice, streams } = this.#options
    const msMax = dice.happens('outboxSlow') ? SLOW_MS_MAX : WAY_MS_MAX
    const ms = streams('database/way').next() * msMax
    return new Promise((resolve) => clock.wake(ms, resolve))
  }

  #up(): void {
    if (!this.#isDown) return
    this.#isDown = false
    this.#options.trace(`the database of ${this.source.name} is back`)
    this.#tellChange()
  }

  #tellChange(): void {
    const told = this.#onChange
    this.#onChange = []
    for (const tell of told) tell()
  }
}

const isBeyond = ({ head, gaps }: OutboxCursor, seq: number): boolean =>
  seq > head || gaps.some(({ from, to }) => from <= seq && seq <= to)

const breakLink = (link: Link): SimulatedFault => {
  link.isBroken = true
  return new SimulatedFault('the connection to the database of an outbox is gone')
}
