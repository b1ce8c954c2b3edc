import {
  type Clock,
  gather,
  isJuncturaError,
  JuncturaError,
  LIMITS,
  type Logger,
  messageOf,
  type Timer,
} from '../kernel/index.ts'
import type { Append, RowWrite, Store, Unit, UnitOutcome } from './store.ts'

/**
 * Group commit: units that arrive together share one transaction, so that one fsync pays for many
 * messages. An idle system commits at once; a busy one collects while the commit before is running,
 * and then as long as every turn of the event loop brings more, for a few milliseconds at most.
 *
 * Where the store commits in parallel (`features.commitsInParallel`), units with statements of the
 * user wait in a lane of their own, so that a statement which waits for a lock holds up no accept.
 * Their order against the others needs no more than this: positions and progress follow the order
 * in which the store calls `finish`, one commit at a time. Whatever was marked by then goes with
 * it, so a mark is durable no later than a unit that was submitted after it, whichever lane that
 * unit took; and a row of progress is made from one that is durable or refused already, so that no
 * commit writes progress without what the one before it finished. Units that need an order among
 * each other, those of one key, are submitted one after the other.
 *
 * Such a store also works beside this thread, so neither should wait for the other: the answers of
 * a large commit are given out a few at a time, and as soon as what they set off is worth a commit
 * the next one begins, while the rest are still given out.
 *
 * Modes: `open` takes units; `failed` after a commit whose outcome is unknown refuses everything,
 * because what the store holds and what memory believes may differ (a new process must read it
 * again, F21); `closed` after `close`. A full disk does not change the mode: its units are refused
 * and later ones may succeed (F20).
 */
export interface Committer {
  /**
   * @throws JUNCTURA_STORE_BUSY when more than LIMITS.acceptQueueMax units, or acceptQueueBytesMax
   *   bytes, wait for a commit.
   * @throws JUNCTURA_STORE_FULL, JUNCTURA_STORE_FAILED or JUNCTURA_STORE_UNKNOWN from the store.
   * @throws JUNCTURA_CLOSED after `close`.
   */
  submit(unit: CommitUnit): Promise<UnitOutcome>
  /** The same for one that takes the answer itself, also at once: it costs no promise. */
  enqueue(submission: Submission): void
  /**
   * Says that a consumer is finished with a position and has nothing else to write. It becomes
   * durable with the next commit, never after a unit that is submitted later; while the store
   * refuses, it waits for one that succeeds. Lost with the process: then it is redelivered.
   */
  mark(mark: ProgressMark): void
  /** The end of the commit under way, if there is one: what is submitted now goes with the next. */
  whenFree(): Promise<void> | undefined
  /** Waits until everything submitted so far is settled. */
  drain(): Promise<void>
  readonly waiting: number
  readonly mode: 'open' | 'failed' | 'closed'
  /** The error of the last commit, until one succeeds. */
  readonly lastError: unknown
  close(): Promise<void>
}

export interface CommitUnit extends Unit {
  /**
   * At-most-once messages: handed to `onVolatile` when the unit is committed, and never written. A
   * unit that holds nothing else does not wait for the store. Read when the commit is over.
   */
  readonly volatile?: readonly Append[]
  /**
   * Bookkeeping of the runtime, whose number is bounded by its own windows: it is taken also while
   * the queue is full, so that a flood at the border does not stop the consumers.
   */
  readonly isInternal?: boolean
  /**
   * Rows that name where the unit's records stand: called inside the transaction with the positions
   * of its outcome, if it is committed; they commit with it. It must not throw, or the whole commit
   * fails.
   */
  readonly rowsAt?: (positions: readonly number[]) => readonly RowWrite[]
  /** Called inside the transaction if this unit is committed; its rows commit with it. */
  readonly marks?: readonly ProgressMark[]
}

/** A unit that waits for its commit, and whoever is told what became of it. */
export interface Submission {
  readonly unit: CommitUnit
  /** What the unit's statements asked to append, once they ran. */
  readonly returned?: readonly Append[] | undefined
  /** Exactly one of the two is called, once. Neither may throw. */
  settled(outcome: UnitOutcome): void
  refused(error: unknown): void
}

/**
 * Positions that a consumer is finished with, or has given rows of their own; without one, the
 * consumer only wants its row written, to claim what it fetched.
 */
export interface ProgressMark {
  readonly consumer: string
  readonly position?: number
  /** Those of a batch. */
  readonly positions?: readonly number[]
}

/** An append that is durable now, in the order of positions. */
export interface Appended {
  readonly append: Append
  readonly position: number
}

/** Turns marks into rows, so that a batch of them costs one write per consumer. */
export interface ProgressBook {
  preview(marks: readonly ProgressMark[]): readonly RowWrite[]
  /** The same marks, now durable. */
  apply(marks: readonly ProgressMark[]): void
}

export interface CommitterOptions {
  readonly store: Pick<Store, 'commit' | 'features'>
  readonly clock: Clock
  readonly log: Logger
  readonly progress?: ProgressBook
  /** Called after each commit with what it appended, before any of its units settles. */
  readonly onAppended?: (appended: readonly Appended[]) => void
  /** Called with the at-most-once messages of a unit that is committed. */
  readonly onVolatile?: (messages: readonly Append[]) => void
  /** Called after each commit: units in it and how long it took. */
  readonly onCommit?: (units: number, durationMs: number) => void
  /** Called once, when the store can no longer be trusted by this process. */
  readonly onFailed?: (error: unknown) => void
}

/** Units that are committed one group after the other. */
interface Lane {
  readonly queue: Submission[]
  running: Promise<void> | undefined
  committing: Promise<void> | undefined
}

const newLane = (): Lane => ({ queue: [], running: undefined, committing: undefined })

export const createCommitter = (options: CommitterOptions): Committer => new GroupCommitter(options)

class GroupCommitter implements Committer {
  readonly #options: CommitterOptions
  readonly #plain: Lane = newLane()
  /** For units with statements of the user; the same where the store does one after the other. */
  readonly #statements: Lane
  /** Bounded by the windows of the consumers. */
  #marks: ProgressMark[] = []
  /** Waits before marks that the store refused are offered again. */
  #marksTimer: Timer | undefined
  #queueBytes = 0
  #mode: 'open' | 'failed' | 'closed' = 'open'
  #lastError: unknown
  /** Where the store works beside this thread. */
  readonly #isBeside: boolean
  /** Until all answers of the commits so far are given out. */
  #telling: Promise<void> | undefined

  constructor(options: CommitterOptions) {
    this.#options = options
    this.#isBeside = options.store.features.commitsInParallel === true
    this.#statements = this.#isBeside ? newLane() : this.#plain
  }

  get waiting(): number {
    const { queue } = this.#plain
    return this.#statements === this.#plain
      ? queue.length
      : queue.length + this.#statements.queue.length
  }

  get mode(): 'open' | 'failed' | 'closed' {
    return this.#mode
  }

  get lastError(): unknown {
    return this.#lastError
  }

  submit(unit: CommitUnit): Promise<UnitOutcome> {
    return new Promise((resolve, reject) => this.enqueue(submissionOf(unit, resolve, reject)))
  }

  enqueue(submission: Submission): void {
    if (this.#mode === 'closed') return submission.refused(closedError())
    if (this.#mode === 'failed') return submission.refused(failedError(this.#lastError))
    const { unit } = submission
    if (isVolatileOnly(unit)) {
      this.#options.onVolatile?.(unit.volatile ?? [])
      return submission.settled({ status: 'committed', positions: [] })
    }
    const bytes = bytesOf(unit)
    // One unit is taken whatever its size, or it would be refused for ever.
    const isFull =
      this.waiting >= LIMITS.acceptQueueMax ||
      (this.waiting > 0 && this.#queueBytes + bytes > LIMITS.acceptQueueBytesMax)
    if (isFull && unit.isInternal !== true) {
      const details = { waiting: this.waiting }
      return submission.refused(new JuncturaError('JUNCTURA_STORE_BUSY', { details }))
    }
    const lane = unit.tx ? this.#statements : this.#plain
    lane.queue.push(submission)
    this.#queueBytes += bytes
    this.#begin(lane)
  }

  mark(mark: ProgressMark): void {
    if (this.#mode !== 'open') return
    this.#marks.push(mark)
    if (this.#isBeside) this.#offerIn(MARKS_ALONE_MS)
    else if (!this.#marksTimer) this.#begin(this.#plain)
  }

  whenFree(): Promise<void> | undefined {
    return this.#plain.committing
  }

  async drain(): Promise<void> {
    this.#offerNow()
    while (this.#plain.running ?? this.#statements.running ?? this.#telling) {
      await this.#plain.running
      await this.#statements.running
      await this.#telling
    }
  }

  async close(): Promise<void> {
    if (this.#mode === 'open') this.#mode = 'closed'
    this.#marksTimer?.cancel()
    this.#marksTimer = undefined
    if (this.#hasWork(this.#plain)) this.#begin(this.#plain)
    await this.drain()
  }

  #begin(lane: Lane): void {
    lane.running ??= this.#run(lane)
  }

  async #run(lane: Lane): Promise<void> {
    const { queue } = lane
    const enough = this.#isBeside ? LIMITS.commitEarlyUnits : LIMITS.commitUnitsMax
    while (this.#hasWork(lane)) {
      // A single unit waits for one turn; a flood for a few milliseconds at most.
      const size = (): number => queue.length + (lane === this.#plain ? this.#marks.length : 0)
      await gather(this.#options.clock, { size, enough })
      const batch = queue.splice(0, unitsOfCommit(queue))
      for (const { unit } of batch) this.#queueBytes -= bytesOf(unit)
      if (this.#mode === 'failed') {
        this.#marks = []
        for (const waiting of batch) waiting.refused(failedError(this.#lastError))
        continue
      }
      lane.committing = this.#commit(batch)
      await lane.committing
      lane.committing = undefined
    }
    lane.running = undefined
  }

  #hasWork(lane: Lane): boolean {
    if (lane.queue.length > 0) return true
    return lane === this.#plain && this.#marks.length > 0 && !this.#marksTimer
  }

  async #commit(batch: readonly Submission[]): Promise<void> {
    const { store, clock, progress, onCommit } = this.#options
    const startedMs = clock.monotonicMs()
    const loose: ProgressMark[] = []
    let marks: readonly ProgressMark[] = []
    const needsPositions = batch.some(({ unit }) => unit.rowsAt)
    try {
      const outcomes = await store.commit(
        batch.map((waiting) => waiting.unit),
        (results) => {
          // Only here: whichever commit comes first takes all that was marked by then.
          for (const mark of this.#marks) loose.push(mark)
          this.#marks = []
          marks = withCommitted(loose, batch, results)
          const rows = progress?.preview(marks) ?? []
          return needsPositions ? [...rowsOf(batch, results), ...rows] : rows
        },
        { needsNoPositions: !needsPositions },
      )
      this.#lastError = undefined
      progress?.apply(marks)
      onCommit?.(batch.length, clock.monotonicMs() - startedMs)
      if (this.#isBeside) await this.#tellInLots(batch, outcomes)
      else this.#tell(batch, outcomes)
    } catch (error) {
      this.#fail(batch, error)
      if (this.#mode === 'open') this.#offerAgain(loose)
    }
  }

  /** Tells of what is durable, and then those who wait for it. */
  #tell(batch: readonly Submission[], outcomes: readonly UnitOutcome[]): void {
    this.#tellAppended(batch, outcomes)
    this.#tellVolatile(batch, outcomes)
    for (let index = 0; index < batch.length; index++) {
      const outcome = outcomes[index]
      if (outcome) batch[index]?.settled(outcome)
      else batch[index]?.refused(failedError(new Error('the store gave no outcome')))
    }
  }

  /**
   * In the order of commits, whichever lane they are of. Resolves when those before are told: at
   * most one commit of a lane is being told while the next one is made.
   */
  async #tellInLots(batch: readonly Submission[], outcomes: readonly UnitOutcome[]): Promise<void> {
    const before = this.#telling
    const telling = this.#lotsAfter(before, batch, outcomes).finally(() => {
      if (this.#telling === telling) this.#telling = undefined
    })
    this.#telling = telling
    await before
  }

  async #lotsAfter(
    before: Promise<void> | undefined,
    batch: readonly Submission[],
    outcomes: readonly UnitOutcome[],
  ): Promise<void> {
    if (before) await before
    for (let from = 0; from < batch.length; from += LOT_UNITS) {
      if (from > 0) await this.#options.clock.yield()
      const lot = batch.slice(from, from + LOT_UNITS)
      try {
        this.#tell(lot, outcomes.slice(from, from + LOT_UNITS))
      } catch (error) {
        return this.#fail(batch.slice(from), error)
      }
    }
  }

  #offerAgain(marks: ProgressMark[]): void {
    this.#marks = [...marks, ...this.#marks]
    if (this.#marks.length === 0) return
    this.#offerIn(MARKS_RETRY_MS)
  }

  /** Until then marks go with whatever is committed anyway. */
  #offerIn(waitMs: number): void {
    this.#marksTimer ??= this.#options.clock.setTimer(waitMs, () => {
      this.#marksTimer = undefined
      if (this.#hasWork(this.#plain)) this.#begin(this.#plain)
    })
  }

  /** Nothing may be left to a timer, unless the store refuses it. */
  #offerNow(): void {
    if (this.#marks.length === 0 || this.#lastError !== undefined) return
    this.#marksTimer?.cancel()
    this.#marksTimer = undefined
    this.#begin(this.#plain)
  }

  #tellAppended(batch: readonly Submission[], outcomes: readonly UnitOutcome[]): void {
    const { onAppended } = this.#options
    if (!onAppended) return
    const appended: Appended[] = []
    for (let index = 0; index < batch.length; index++) {
      const waiting = batch[index]
      const outcome = outcomes[index]
      if (!waiting || outcome?.status !== 'committed' || outcome.positions.length === 0) continue
      const { positions, leftOut } = outcome
      const { appends = NOTHING } = waiting.unit
      const { returned = NOTHING } = waiting
      for (let place = 0; place < positions.length; place++) {
        if (leftOut?.includes(place) === true) continue
        const append = appends[place] ?? returned[place - appends.length]
        if (append) appended.push({ append, position: positions[place] ?? 0 })
      }
    }
    if (appended.length > 0) onAppended(appended)
  }

  #tellVolatile(batch: readonly Submission[], outcomes: readonly UnitOutcome[]): void {
    for (let index = 0; index < batch.length; index++) {
      const { volatile = NOTHING } = batch[index]?.unit ?? {}
      if (volatile.length === 0 || outcomes[index]?.status !== 'committed') continue
      this.#options.onVolatile?.(volatile)
    }
  }

  #fail(batch: readonly Submission[], error: unknown): void {
    const { log, onFailed } = this.#options
    this.#lastError = error
    log.error({ problem: messageOf(error), units: batch.length }, 'a commit failed')
    for (const waiting of batch) waiting.refused(error)
    const mayGoOn =
      isJuncturaError(error, 'JUNCTURA_STORE_FULL') ||
      isJuncturaError(error, 'JUNCTURA_STORE_FAILED')
    if (mayGoOn || this.#mode === 'failed') return
    this.#mode = 'failed'
    onFailed?.(error)
  }
}

const MARKS_RETRY_MS = 500
/**
 * Where a commit is an exchange with a server and a turn among other processes, marks that have no
 * company wait so long for some; nobody waits for them.
 */
const MARKS_ALONE_MS = 10

/** Answers given out in one turn of the loop: what they set off delays what the store answers. */
const LOT_UNITS = 16

/** How many of those that wait go into one commit: at least one, whatever it holds. */
function unitsOfCommit(queue: readonly Submission[]): number {
  let records = 0
  for (let units = 0; units < queue.length; units++) {
    records += queue[units]?.unit.appends?.length ?? 0
    const isFull = units === LIMITS.commitUnitsMax || records > LIMITS.commitRecordsMax
    if (isFull && units > 0) return units
  }
  return queue.length
}

const NOTHING: readonly never[] = []

function bytesOf({ appends }: CommitUnit): number {
  let bytes = 0
  if (appends) for (const append of appends) bytes += append.bytes.length
  return bytes
}

/** For `submit`: the appends that the unit's statements return are seen here as well. */
function submissionOf(
  unit: CommitUnit,
  settled: (outcome: UnitOutcome) => void,
  refused: (error: unknown) => void,
): Submission {
  const { tx } = unit
  if (!tx) return { unit, settled, refused }
  const submission: { -readonly [Name in keyof Submission]: Submission[Name] } = {
    unit: {
      ...unit,
      tx: async (db) => {
        const parts = await tx(db)
        submission.returned = parts.appends
        return parts
      },
    },
    settled,
    refused,
  }
  return submission
}

const isVolatileOnly = (unit: CommitUnit): boolean =>
  unit.volatile !== undefined &&
  unit.volatile.length > 0 &&
  !unit.tx &&
  !unit.rowsAt &&
  [unit.claims, unit.guards, unit.appends, unit.rows, unit.marks].every(
    (part) => (part?.length ?? 0) === 0,
  )

function rowsOf(
  batch: readonly Submission[],
  outcomes: readonly UnitOutcome[],
): readonly RowWrite[] {
  return batch.flatMap(({ unit }, index) => {
    const outcome = outcomes[index]
    return outcome?.status === 'committed' ? (unit.rowsAt?.(outcome.positions) ?? []) : []
  })
}

function withCommitted(
  loose: readonly ProgressMark[],
  batch: readonly Submission[],
  outcomes: readonly UnitOutcome[],
): readonly ProgressMark[] {
  const marks = [...loose]
  for (let index = 0; index < batch.length; index++) {
    const own = batch[index]?.unit.marks
    if (!own || outcomes[index]?.status !== 'committed') continue
    for (const mark of own) marks.push(mark)
  }
  return marks
}

const closedError = (): JuncturaError =>
  new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'The store' } })

const failedError = (cause: unknown): JuncturaError =>
  new JuncturaError('JUNCTURA_STORE_UNKNOWN', { cause, details: { problem: messageOf(cause) } })
