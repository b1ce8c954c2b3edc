import type { OutboxSource } from '../contract/index.ts'
import type { ContractBook } from '../inbox/index.ts'
import {
  isJuncturaError,
  JuncturaError,
  type Kernel,
  LIMITS,
  messageOf,
  sleep,
} from '../kernel/index.ts'
import type { Append, Committer, RowWrite, Store } from '../store/index.ts'
import { advance, fenceGaps, needsFence, NEW_CURSOR, type OutboxView } from './cursor.ts'
import { beginCursor, nextCursor, readCursor, type StoredCursor } from './cursor-rows.ts'
import type { OutboxBacklog, OutboxPage, OutboxReader } from './outbox-reader.ts'
import { outboxShelf, readRow, shelve } from './relay-row.ts'

/** Something about an outbox that its owner should know. */
export interface OutboxAlert {
  readonly kind: 'outbox-away' | 'outbox-waits' | 'contract-mismatch' | 'shelf-full'
  readonly cause: string
  readonly title: string
  readonly source: OutboxSource
  readonly severity: 'critical' | 'warning'
  readonly atMs: number
}

export interface RelayOptions {
  readonly source: OutboxSource
  readonly kernel: Kernel
  readonly store: Pick<Store, 'scan' | 'count'>
  readonly committer: Pick<Committer, 'submit' | 'mode'>
  readonly book: ContractBook
  /** Opens the user's database, each time it was away. */
  readonly open: (cursor: StoredCursor['cursor']) => Promise<OutboxReader>
  /** Rows that make an alert durable; those of an invalid row commit with it. */
  readonly raiseAlert: (alert: OutboxAlert) => readonly RowWrite[]
  readonly resolveAlert: (cause: string) => readonly RowWrite[]
  /** Writes rows that stand for themselves, again while the store refuses. */
  readonly offer: (rows: readonly RowWrite[]) => void
  /** Told after each commit. */
  readonly onMoved: (moved: RelayMoved) => void
}

export interface RelayMoved {
  readonly appends: readonly Append[]
  readonly invalid: number
  /** Written by the source to moved, of the oldest row. */
  readonly lagMs: number
}

export interface RelayStatus {
  readonly name: string
  /** `away`: its database cannot be read, and is tried again. */
  readonly state: 'starting' | 'running' | 'away' | 'stopped'
  /** Since this process started. */
  readonly moved: number
  readonly invalid: number
  /** Highest number moved. */
  readonly head: number
  /** Numbers below it that are waited for, in ranges. */
  readonly gaps: number
  readonly oldestGapAtMs: number | undefined
  readonly lastMovedAtMs: number | undefined
  /** Why it does not run, or has just not run; code and message, no data. */
  readonly lastError: string | undefined
}

/** Moves the rows of one outbox into the log. */
export interface Relay {
  readonly source: OutboxSource
  start(): void
  status(): RelayStatus
  /** Rows not moved yet; undefined while the database is away. */
  backlog(): Promise<OutboxBacklog | undefined>
  /** Resolves when everything is moved that was committed before the call, or it is away. */
  idle(): Promise<void>
  /** Ends after the commit that is under way. Idempotent. */
  close(): Promise<void>
}

const PAGE = { rows: LIMITS.outboxRowsMax, bytes: LIMITS.outboxBytesMax }
/** A gap of a transaction that is about to commit closes by itself. */
const FENCE_AFTER_MS = 20
const WRITERS_EVERY_MS = 1_000
const CLEAN_BUSY_MS = 1_000
const CLEAN_IDLE_MS = 60_000
const BACKOFF_MS_MIN = 100
const BACKOFF_MS_MAX = 30_000

/**
 * `starting` → `running` → `away` when the database, the table or the store fails; then it is
 * opened anew, later each time, and is `running` again. In each round it reads what one snapshot
 * shows beyond its cursor, and commits the messages with the next cursor: whenever it crashes,
 * nothing is moved twice. Rows that one snapshot shows together are moved in the order of their
 * numbers.
 */
export const createRelay = (options: RelayOptions): Relay => new OutboxRelay(options)

class OutboxRelay implements Relay {
  readonly source: OutboxSource
  readonly #options: RelayOptions
  readonly #stop = new AbortController()
  #loop: Promise<void> | undefined
  #reader: OutboxReader | undefined
  #stored: StoredCursor = { cursor: NEW_CURSOR, generation: 0 }
  #state: RelayStatus['state'] = 'starting'
  #moved = 0
  #invalid = 0
  #lastMovedAtMs: number | undefined
  #lastError: string | undefined
  #awaySinceMs: number | undefined
  #failures = 0
  #endedBelow = 0
  #writersAtMs = 0
  #cleanedAtMs = -Infinity
  #movedAtClean = 0
  /** Unknown at first: the process before may have told of one that has ended meanwhile. */
  #isToldOfGap: boolean | undefined
  #wasWell = false
  /** Read behind the cursor of the commit under way, while that one is made. */
  #ahead: Promise<OutboxPage> | undefined
  /** Resolved by the next round that finds nothing. */
  #idlers: (() => void)[] = []

  constructor(options: RelayOptions) {
    this.#options = options
    this.source = options.source
  }

  start(): void {
    this.#loop ??= this.#run()
  }

  status(): RelayStatus {
    const { head, gaps } = this.#stored.cursor
    return {
      name: this.source.name,
      state: this.#state,
      moved: this.#moved,
      invalid: this.#invalid,
      head,
      gaps: gaps.length,
      oldestGapAtMs: oldestOf(gaps),
      lastMovedAtMs: this.#lastMovedAtMs,
      lastError: this.#lastError,
    }
  }

  async backlog(): Promise<OutboxBacklog | undefined> {
    return await this.#reader?.backlog(this.#stored.cursor).catch(() => undefined)
  }

  idle(): Promise<void> {
    if (this.#state === 'away' || this.#state === 'stopped') return Promise.resolve()
    return new Promise((resolve) => this.#idlers.push(resolve))
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#loop
    this.#state = 'stopped'
    this.#settle(this.#idlers.length)
  }

  async #run(): Promise<void> {
    const { clock } = this.#options.kernel
    const { signal } = this.#stop
    let waitMs = 1
    while (!signal.aborted) {
      try {
        const reader = (this.#reader ??= await this.#open())
        const asked = this.#idlers.length
        const moved = await this.#round(reader)
        this.#isWell()
        if (moved === 0) this.#settle(asked)
        await this.#clean(reader)
        waitMs = moved > 0 ? 1 : Math.min(waitMs * 2, LIMITS.outboxIdleMs)
        if (moved < LIMITS.outboxRowsMax) await sleep(clock, waitMs, signal)
      } catch (error) {
        await this.#failed(error)
        if (this.#options.committer.mode !== 'open') break
        await sleep(clock, this.#backoffMs(), signal)
      }
    }
    await this.#forgetReader()
  }

  async #open(): Promise<OutboxReader> {
    const { store, committer, open } = this.#options
    const { name } = this.source
    let stored = await readCursor(store, name)
    if (!stored) {
      const outcome = await committer.submit(beginCursor(name))
      if (outcome.status === 'failed') throw outcome.error
      stored = await readCursor(store, name)
    }
    if (stored) this.#stored = stored
    this.#endedBelow = 0
    return await open(this.#stored.cursor)
  }

  /** Moves one page; says how many rows that were. */
  async #round(reader: OutboxReader): Promise<number> {
    const { kernel } = this.#options
    const nowMs = kernel.clock.now()
    // Before the read whose snapshot is to show what these writers have committed.
    if (await this.#askForWriters(reader, nowMs)) this.#ahead = undefined
    const ahead = this.#ahead
    this.#ahead = undefined
    const page = await (ahead ?? reader.read(this.#stored.cursor, PAGE))
    const moved = await this.#move(page, { reader, nowMs })
    const { clock } = kernel
    if (needsFence(this.#stored.cursor, clock.now() - FENCE_AFTER_MS)) {
      const fence = await reader.fence()
      this.#stored = { ...this.#stored, cursor: fenceGaps(this.#stored.cursor, fence) }
    }
    this.#tellOfGaps(nowMs)
    return moved
  }

  /** A gap that stays is perhaps kept open by somebody who never writes here. */
  async #askForWriters(reader: OutboxReader, nowMs: number): Promise<boolean> {
    const oldest = oldestOf(this.#stored.cursor.gaps)
    const isStuck = oldest !== undefined && nowMs - oldest >= WRITERS_EVERY_MS
    if (!isStuck || Math.abs(nowMs - this.#writersAtMs) < WRITERS_EVERY_MS) return false
    this.#writersAtMs = nowMs
    this.#endedBelow = Math.max(this.#endedBelow, await reader.writersEndedBelow())
    return true
  }

  async #move(
    page: OutboxPage,
    { reader, nowMs }: { readonly reader: OutboxReader; readonly nowMs: number },
  ): Promise<number> {
    const { source, book, committer } = this.#options
    const reading = { source, book, nowMs }
    const verdicts = page.rows.map((row) => ({ row, verdict: readRow(row, reading) }))
    const count = await this.#countFitting(
      verdicts.map(({ verdict }) => verdict.kind === 'invalid'),
    )
    const view: OutboxView = {
      numbers: page.rows.slice(0, count).map(({ seq }) => seq),
      isComplete: page.isComplete && count === page.rows.length,
      endedBelow: Math.max(page.endedBelow, this.#endedBelow),
    }
    const limits = { nowMs, gapsMax: LIMITS.outboxGapsMax }
    const { cursor, taken } = advance(this.#stored.cursor, view, limits)
    if (taken === 0) {
      // Gaps that closed are written with the next message; until then they would close again.
      this.#stored = { ...this.#stored, cursor }
      return 0
    }
    const some = verdicts.slice(0, taken)
    const appends = some.flatMap(({ verdict }) => (verdict.kind === 'append' ? verdict.append : []))
    const invalid = some.flatMap(({ row, verdict }) =>
      verdict.kind === 'invalid' ? shelve(row, verdict.fault, reading) : [],
    )
    const step = nextCursor(source.name, this.#stored, cursor)
    const submitted = committer.submit({
      appends,
      guards: step.guards ?? [],
      rows: [
        ...step.rows,
        ...invalid.map((row) => ({ collection: 'invalid', key: row.id, row }) as const),
        ...invalid.slice(0, 1).flatMap(({ causeTitle }) => this.#mismatch(causeTitle, nowMs)),
      ],
      isInternal: true,
    })
    // A page that was cut is followed by more, and the database would wait for this commit.
    if (!view.isComplete && taken === page.rows.length) this.#readAhead(reader, cursor)
    const outcome = await submitted
    if (outcome.status === 'guarded') throw new MovedElsewhere()
    if (outcome.status === 'failed') throw outcome.error
    this.#stored = { cursor, generation: this.#stored.generation + 1 }
    this.#moved += appends.length
    this.#invalid += invalid.length
    this.#lastMovedAtMs = nowMs
    const oldestAtMs = Math.min(...some.map(({ row }) => row.atMs))
    this.#options.onMoved({
      appends,
      invalid: invalid.length,
      lagMs: Math.max(0, this.#options.kernel.clock.now() - oldestAtMs),
    })
    return taken
  }

  #readAhead(reader: OutboxReader, cursor: StoredCursor['cursor']): void {
    this.#ahead = reader.read(cursor, PAGE)
    // Should the commit fail, nobody asks for it.
    this.#ahead.catch(() => undefined)
  }

  /** How many rows may be moved before the shelf of invalid ones is full. */
  async #countFitting(isInvalid: readonly boolean[]): Promise<number> {
    const invalid = isInvalid.filter(Boolean).length
    if (invalid === 0) return isInvalid.length
    const where = [outboxShelf(this.source.name), 'open']
    const open = await this.#options.store.count({
      collection: 'invalid',
      index: 'byWebhook',
      where,
    })
    const room = LIMITS.outboxInvalidOpenMax - open
    if (invalid <= room) return isInvalid.length
    let kept = 0
    const count = isInvalid.findIndex((one) => one && ++kept > room)
    if (count > 0) return count
    throw shelfFull(this.source.name)
  }

  #mismatch(title: string, atMs: number): readonly RowWrite[] {
    const { source } = this
    const cause = `contract-mismatch:${outboxShelf(source.name)}`
    const kind = 'contract-mismatch'
    return this.#options.raiseAlert({ kind, cause, title, source, severity: 'warning', atMs })
  }

  #tellOfGaps(nowMs: number): void {
    const { source } = this
    const oldest = oldestOf(this.#stored.cursor.gaps)
    const isLong = oldest !== undefined && nowMs - oldest >= LIMITS.outboxGapAlertMs
    if (isLong === this.#isToldOfGap) return
    this.#isToldOfGap = isLong
    const cause = `outbox-waits:${source.name}`
    const title =
      `A transaction that writes to outbox ${source.name} has been open for more than ` +
      `${LIMITS.outboxGapAlertMs / 1_000} s, or was left prepared; what it wrote waits for its end`
    const alert = { kind: 'outbox-waits', cause, title, source, severity: 'warning' } as const
    const { raiseAlert, resolveAlert, offer } = this.#options
    offer(isLong ? raiseAlert({ ...alert, atMs: nowMs }) : resolveAlert(cause))
  }

  async #clean(reader: OutboxReader): Promise<void> {
    const nowMs = this.#options.kernel.clock.monotonicMs()
    const everyMs = this.#moved === this.#movedAtClean ? CLEAN_IDLE_MS : CLEAN_BUSY_MS
    if (nowMs - this.#cleanedAtMs < everyMs) return
    this.#cleanedAtMs = nowMs
    this.#movedAtClean = this.#moved
    await reader.clean(this.#stored.cursor)
  }

  #isWell(): void {
    this.#state = 'running'
    this.#failures = 0
    // Who ran before may have told that it is away, and died.
    if (this.#wasWell && this.#awaySinceMs === undefined) return
    this.#wasWell = true
    this.#awaySinceMs = undefined
    this.#lastError = undefined
    this.#options.offer(this.#options.resolveAlert(`outbox-away:${this.source.name}`))
  }

  async #failed(error: unknown): Promise<void> {
    const { kernel, raiseAlert, offer } = this.#options
    const { source } = this
    await this.#forgetReader()
    if (error instanceof MovedElsewhere) {
      // The other one is at work: a while later is soon enough.
      this.#failures = 1
      return
    }
    const nowMs = kernel.clock.now()
    this.#state = 'away'
    this.#settle(this.#idlers.length)
    this.#failures += 1
    this.#awaySinceMs ??= nowMs
    const problem = messageOf(error)
    if (problem !== this.#lastError) kernel.log.warn({ outbox: source.name, problem }, AWAY)
    this.#lastError = problem
    const isMistake = isJuncturaError(error, 'JUNCTURA_OUTBOX_REFUSED')
    if (!isMistake && nowMs - this.#awaySinceMs < LIMITS.outboxAwayAlertMs) return
    const title = `Outbox ${source.name} is not moved: ${problem}`
    const cause = `outbox-away:${source.name}`
    offer(
      raiseAlert({ kind: 'outbox-away', cause, title, source, severity: 'critical', atMs: nowMs }),
    )
  }

  #backoffMs(): number {
    if (this.#failures === 0) return 0
    const fullMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(this.#failures - 1, 20))
    // Half of it by chance, so that relays which lost one server do not come back in step.
    return fullMs / 2 + (this.#options.kernel.random.next() * fullMs) / 2
  }

  async #forgetReader(): Promise<void> {
    const reader = this.#reader
    this.#reader = undefined
    this.#ahead = undefined
    await reader?.close().catch(() => undefined)
  }

  #settle(count: number): void {
    for (const resolve of this.#idlers.splice(0, count)) resolve()
  }
}

const AWAY = 'an outbox cannot be moved; it is tried again'

const oldestOf = (gaps: StoredCursor['cursor']['gaps']): number | undefined =>
  gaps.length === 0 ? undefined : Math.min(...gaps.map(({ sinceMs }) => sinceMs))

/** Another relay of the same outbox was first; its cursor is read again. */
class MovedElsewhere extends Error {}

const shelfFull = (outbox: string): JuncturaError =>
  new JuncturaError('JUNCTURA_OUTBOX_REFUSED', {
    details: {
      outbox,
      problem: `${LIMITS.outboxInvalidOpenMax} of its rows are invalid, and nobody has dealt with them`,
      fix: 'Mend the contract and re-admit them, or correct their writer and drop them: junctura invalid',
    },
  })
