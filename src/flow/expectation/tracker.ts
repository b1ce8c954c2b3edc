import { contractsOf, type Expectation } from '../../contract/index.ts'
import {
  assert,
  isJuncturaError,
  type Kernel,
  LIMITS,
  messageOf,
  sleep,
  type SteadyClock,
} from '../../kernel/index.ts'
import type {
  CommitUnit,
  Committer,
  ExpectationCursorRow,
  ExpectationRow,
  ExpectationTotals,
  KeyedRow,
  RowWrite,
  Store,
} from '../../store/index.ts'
import type { Delivered, LogTransport } from '../../transport/index.ts'
import { clockAt, missedCause, NO_TOTALS, rowKeyOf } from './expectation-rows.ts'
import {
  changeByLooks,
  changeByTime,
  type Change,
  type ChangePorts,
  type ExpectationAlert,
  forgetKeys,
  withCounted,
} from './changes.ts'
import type { FollowRule, Moment } from './follow.ts'
import { createLook, type Look, type LookPorts } from './look.ts'
import { createMergedLog, type MergedLog } from './merged-log.ts'

export interface TrackerOptions extends LookPorts {
  readonly expectation: Expectation
  /** Who should act, by name. */
  readonly actors: readonly string[]
  readonly kernel: Kernel
  readonly steady: SteadyClock
  readonly store: Store
  readonly committer: Committer
  readonly transport: LogTransport
  /** Rows that make an alert durable; they commit with what raised it. */
  readonly raiseAlert: (alert: ExpectationAlert) => readonly RowWrite[]
  /** Rows that resolve the alert of a cause; none when it is not open. */
  readonly resolveAlert: (cause: string) => readonly RowWrite[]
  /** Told what became of keys, once it is durable. */
  readonly onCounted: (counted: Partial<ExpectationTotals>) => void
}

export interface TrackerStatus {
  readonly state: 'standing-by' | 'running' | 'stopped' | 'closed'
  readonly position: number
  readonly open: number
  readonly missed: number
  readonly totals: ExpectationTotals
  /** Nothing is judged before this, on the wall; undefined when nothing is held back. */
  readonly heldUntilMs?: number
}

/**
 * One expectation at work: a cursor over all channels of its contracts, in the order of positions.
 * What a page of the log changes, the rows of its keys, the figures, alerts and the cursor, is one
 * commit. So every message counts once, whatever crashes, and nothing of a key is in memory.
 *
 * Modes: `standing-by` until this process has the duties of the store; `running`; `stopped` at
 * something that must not be skipped, such as a damaged record, with an alert; `closed`.
 *
 * A deadline is judged when the log is read to its end behind it, and never within the grace after
 * a start, or after it could not look for a while. Rows in the order of deadlines are its timer.
 */
export interface ExpectationTracker {
  readonly expectation: Expectation
  status(): TrackerStatus
  /** Its clock, on which rows have their deadlines. */
  clockMs(): number
  start(): Promise<void>
  /** Takes missed keys as dealt with; all of them, or one. Gives how many. */
  settle(key?: string): Promise<number>
  /** Whether the log is passed up to there, also by what is stored. */
  hasPassed(position: number): boolean
  /** Resolves when all of the log is taken in. */
  idle(): Promise<void>
  close(): Promise<void>
}

export const createExpectationTracker = (options: TrackerOptions): ExpectationTracker =>
  new Tracker(options)

const RETRY_MS = 500
/** Longest sleep: it also says that it is not blind. */
const SLEEP_MS_MAX = 10_000
/** Others append too; what they did is asked for again after this. */
const BEHIND_MS = 100
/** What nobody dealt with is shown this long. */
const MISSED_KEPT_MS = 30 * 86_400_000

interface Settling {
  readonly rowKey: string | undefined
  resolve(count: number): void
  reject(error: unknown): void
}

class Tracker implements ExpectationTracker {
  readonly expectation: Expectation
  readonly #options: TrackerOptions
  readonly #rule: FollowRule
  readonly #look: (delivered: Delivered) => Look
  readonly #changes: ChangePorts
  readonly #rowKey: (key: string) => string
  readonly #stop = new AbortController()
  readonly #settling: Settling[] = []
  #state: TrackerStatus['state'] = 'standing-by'
  #log: MergedLog | undefined
  #taken: ReturnType<MergedLog['take']> | undefined
  #loop: Promise<void> | undefined
  #position = 0
  #stored = 0
  #totals = NO_TOTALS
  #sinceMs = 0
  #open = 0
  #missed = 0
  /** Its clock minus the steady one. */
  #offsetMs = 0
  /** On its clock: nothing is judged before. */
  #floorMs = 0
  /** On its clock: no row is due before. */
  #nextDueMs = 0
  /** What is due up to there, on its clock, is judged once the log is taken in up to `head`. */
  #judgeable: { readonly clockMs: number; readonly head: number } | undefined
  #lookedMs = 0
  #notedMs = 0
  #isAtEnd = false
  #wake: (() => void) | undefined
  #idlers: (() => void)[] = []

  constructor(options: TrackerOptions) {
    const { expectation } = options
    this.#options = options
    this.expectation = expectation
    const { withinMs, graceMs, earlyMs, after, expect } = expectation
    const isSignOfLife = after.some((one) =>
      expect.some(({ contract }) => contract.name === one.contract.name),
    )
    this.#rule = {
      expectation: expectation.name,
      withinMs,
      graceMs,
      earlyMs: isSignOfLife ? 0 : earlyMs,
    }
    this.#look = createLook(expectation, options)
    this.#changes = { ...options, rule: this.#rule }
    this.#rowKey = rowKeyOf(expectation)
  }

  status(): TrackerStatus {
    const held = this.#floorMs - this.clockMs()
    return {
      state: this.#state,
      position: this.#position,
      open: this.#open,
      missed: this.#missed,
      totals: this.#totals,
      ...(held > 0 && { heldUntilMs: this.#options.kernel.clock.now() + held }),
    }
  }

  clockMs(): number {
    return this.#options.steady.now() + this.#offsetMs
  }

  get #moment(): Moment {
    return { clockMs: this.clockMs(), wallMs: this.#options.kernel.clock.now() }
  }

  hasPassed(position: number): boolean {
    return this.#stored >= position
  }

  async start(): Promise<void> {
    if (this.#state !== 'standing-by') return
    const { store, kernel, transport, steady } = this.#options
    const { name, graceMs } = this.expectation
    const known = await store.row('expectationCursors', name)
    const wallMs = kernel.clock.now()
    const clockMs = known ? clockAt(known, wallMs) : wallMs
    this.#offsetMs = clockMs - steady.now()
    this.#position = known?.position ?? (await store.headPosition())
    this.#totals = known?.totals ?? NO_TOTALS
    this.#sinceMs = known?.sinceMs ?? wallMs
    this.#floorMs = known ? clockMs + graceMs : 0
    const count = (state: ExpectationRow['state']): Promise<number> =>
      store.count({ collection: 'expectations', index: 'byDue', where: [name, state] })
    this.#open = await count('open')
    this.#missed = await count('missed')
    const causes = [`expectation-stopped/${name}`, ...(this.#missed > 0 ? [] : [missedCause(name)])]
    await this.#commit({ rows: causes.flatMap((one) => this.#options.resolveAlert(one)) })
    const channels = contractsOf(this.expectation).map(({ channel }) => channel)
    this.#log = createMergedLog({
      transport,
      clock: kernel.clock,
      channels: [...new Set(channels)],
      afterPosition: this.#position,
      mayPass,
    })
    this.#lookedMs = kernel.clock.monotonicMs()
    this.#state = 'running'
    this.#loop = this.#run(this.#log)
  }

  settle(key?: string): Promise<number> {
    if (this.#state !== 'running') return Promise.resolve(0)
    return new Promise((resolve, reject) => {
      const rowKey = key === undefined ? undefined : this.#rowKey(key)
      this.#settling.push({ rowKey, resolve, reject })
      this.#wake?.()
    })
  }

  async idle(): Promise<void> {
    while (this.#state === 'running' && !(this.#isAtEnd && this.#hasAll)) {
      this.#wake?.()
      await new Promise<void>((resolve) => this.#idlers.push(resolve))
    }
  }

  get #hasAll(): boolean {
    return this.#position >= this.#options.transport.head
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return
    const wasRunning = this.#state === 'running'
    this.#state = 'closed'
    this.#stop.abort()
    this.#wake?.()
    await this.#log?.close()
    await this.#loop
    // So that the next start knows how long nothing ran.
    if (wasRunning && this.#options.committer.mode === 'open') await this.#commit({ rows: [] })
    for (const one of this.#settling.splice(0)) one.resolve(0)
    this.#tellIdle()
  }

  async #run(log: MergedLog): Promise<void> {
    const { kernel } = this.#options
    const { signal } = this.#stop
    while (!signal.aborted) {
      try {
        if (log.damage !== undefined) throw log.damage
        this.#noticeBlindness()
        const isFull = await this.#takeIn(log)
        if (isFull) continue
        await this.#settleAsked()
        const isJudged = await this.#judge()
        this.#lookedMs = kernel.clock.monotonicMs()
        this.#isAtEnd = true
        this.#tellIdle()
        if (isJudged) await this.#untilNews(log)
        this.#isAtEnd = false
      } catch (error) {
        if (signal.aborted) return
        if (!mayPass(error)) return this.#halt(error)
        const fields = { expectation: this.expectation.name, problem: messageOf(error) }
        kernel.log.warn(fields, 'an expectation could not go on; trying again')
        await sleep(kernel.clock, RETRY_MS, signal)
      }
    }
  }

  /** Whoever did not look could not see what came: it is given the grace of a start. */
  #noticeBlindness(): void {
    const nowMs = this.#options.kernel.clock.monotonicMs()
    if (nowMs - this.#lookedMs > LIMITS.expectationBlindMs) {
      this.#floorMs = this.clockMs() + this.expectation.graceMs
      this.#lookedMs = nowMs
    }
  }

  /** Takes in what is new; true when there may be more at once. */
  async #takeIn(log: MergedLog): Promise<boolean> {
    // What could not be taken in is still to be.
    this.#taken ??= log.take(LIMITS.expectationBatch)
    const { records, position } = this.#taken
    const looks = records.map((one) => this.#look(one)).filter(({ kind }) => kind !== 'nothing')
    if (looks.length > 0) {
      const change = await changeByLooks(this.#changes, looks, this.#moment)
      this.#position = position
      this.#taken = undefined
      await this.#apply(change)
    } else {
      this.#position = position
      await this.#note()
    }
    this.#taken = undefined
    return records.length >= LIMITS.expectationBatch
  }

  /** Judges what is due; false when it has to look again soon. */
  async #judge(): Promise<boolean> {
    const { store } = this.#options
    const nowMs = this.clockMs()
    if (nowMs < Math.max(this.#nextDueMs, this.#floorMs)) {
      this.#judgeable = undefined
      return true
    }
    // What another process appended by now may be the answer. What comes after that is not, so a
    // log that never rests delays no alarm.
    this.#judgeable ??= { clockMs: nowMs, head: await store.headPosition() }
    const { clockMs, head } = this.#judgeable
    if (head > this.#position) {
      await sleep(this.#options.kernel.clock, BEHIND_MS, this.#stop.signal)
      return false
    }
    this.#judgeable = undefined
    const { name } = this.expectation
    const dueOf = (state: ExpectationRow['state']): Promise<readonly KeyedRow<'expectations'>[]> =>
      store.scan({
        collection: 'expectations',
        index: 'byDue',
        where: [name, state],
        limit: LIMITS.pageRowsMax,
      })
    const [open, early, undone] = [await dueOf('open'), await dueOf('early'), await dueOf('undone')]
    const isDue = ({ row }: KeyedRow<'expectations'>): boolean => row.dueAtMs <= clockMs
    const due = open.filter(isDue)
    const gone = [...early, ...undone].filter(isDue)
    const next = [open, early, undone].map((page) => page.find((one) => !isDue(one))?.row.dueAtMs)
    const hasMore = [open, early, undone].some(
      (page) => page.length === LIMITS.pageRowsMax && page.every(isDue),
    )
    if (due.length > 0 && !(await this.#isStoreWell())) return false
    if (due.length + gone.length > 0)
      await this.#apply(changeByTime(this.#changes, { due, gone }, this.#moment))
    this.#nextDueMs = hasMore ? 0 : Math.min(Infinity, ...next.map((ms) => ms ?? Infinity))
    return !hasMore
  }

  /** What the store refuses to take cannot have come: an answer may have been turned away. */
  async #isStoreWell(): Promise<boolean> {
    await this.#commit({ rows: [] })
    this.#noticeBlindness()
    return this.clockMs() >= this.#floorMs
  }

  async #settleAsked(): Promise<void> {
    for (let asked = this.#settling[0]; asked; asked = this.#settling[0]) {
      this.#settling.shift()
      try {
        asked.resolve(await this.#settleOne(asked))
      } catch (error) {
        asked.reject(error)
        throw error
      }
    }
  }

  async #settleOne({ rowKey }: Settling): Promise<number> {
    const { store } = this.#options
    if (rowKey !== undefined) {
      const row = await store.row('expectations', rowKey)
      if (row?.state !== 'missed') return 0
      await this.#apply(forgetKeys([rowKey]))
      return 1
    }
    return this.#forgetMissed(Infinity)
  }

  /** Those whose deadline was up to there, on its clock. */
  async #forgetMissed(toMs: number): Promise<number> {
    let count = 0
    for (;;) {
      const page = await this.#options.store.scan({
        collection: 'expectations',
        index: 'byDue',
        where: [this.expectation.name, 'missed'],
        limit: LIMITS.pageRowsMax,
      })
      const keys = page.filter(({ row }) => row.dueAtMs <= toMs).map(({ key }) => key)
      if (keys.length === 0) return count
      await this.#apply(forgetKeys(keys))
      count += keys.length
    }
  }

  async #note(): Promise<void> {
    const nowMs = this.#options.kernel.clock.monotonicMs()
    if (nowMs - this.#notedMs < LIMITS.progressNoteMs) return
    await this.#forgetMissed(this.clockMs() - MISSED_KEPT_MS)
    await this.#commit({ rows: [] })
  }

  async #apply(change: Change): Promise<void> {
    const { counted } = change
    const totals = withCounted(this.#totals, counted)
    const open = this.#open + change.open
    const missed = this.#missed + change.missed
    assert(open >= 0, 'an expectation has no fewer than no open keys')
    assert(missed >= 0, 'an expectation has no fewer than no missed keys')
    const resolved =
      this.#missed > 0 && missed === 0
        ? this.#options.resolveAlert(missedCause(this.expectation.name))
        : []
    if (change.nextDueMs !== undefined) {
      this.#nextDueMs = Math.min(this.#nextDueMs, change.nextDueMs)
    }
    await this.#commit({ rows: [...change.rows, ...resolved], totals })
    // Shown only now: what is shown is durable.
    this.#totals = totals
    this.#open = open
    this.#missed = missed
    this.#options.onCounted(counted)
  }

  /** Commits rows and the cursor; while the store refuses, they are offered again. */
  async #commit(write: {
    readonly rows: readonly RowWrite[]
    readonly totals?: ExpectationTotals
  }): Promise<void> {
    const { committer, kernel } = this.#options
    const row: ExpectationCursorRow = {
      position: this.#position,
      clockMs: this.clockMs(),
      wallMs: kernel.clock.now(),
      sinceMs: this.#sinceMs,
      totals: write.totals ?? this.#totals,
    }
    const cursor: RowWrite = { collection: 'expectationCursors', key: this.expectation.name, row }
    const unit: CommitUnit = { rows: [...write.rows, cursor], isInternal: true }
    for (;;) {
      try {
        const outcome = await committer.submit(unit)
        if (outcome.status === 'failed') throw outcome.error
        break
      } catch (error) {
        if (committer.mode !== 'open' || !mayPass(error)) throw error
        await sleep(kernel.clock, RETRY_MS)
      }
    }
    this.#stored = row.position
    this.#notedMs = kernel.clock.monotonicMs()
  }

  async #halt(error: unknown): Promise<void> {
    const { kernel, raiseAlert, committer } = this.#options
    const { name } = this.expectation
    if (committer.mode !== 'open') return
    this.#state = 'stopped'
    kernel.log.error({ expectation: name, problem: messageOf(error) }, 'an expectation stopped')
    const title = `expectation ${name} stopped, and watches nothing: ${messageOf(error)}`
    const cause = `expectation-stopped/${name}`
    const rows = raiseAlert({
      kind: 'expectation-stopped',
      cause,
      title,
      count: 1,
      severity: 'critical',
    })
    this.#tellIdle()
    await committer.submit({ rows, isInternal: true }).catch(() => undefined)
  }

  async #untilNews(log: MergedLog): Promise<void> {
    const { clock } = this.#options.kernel
    const dueInMs = Math.max(this.#nextDueMs, this.#floorMs) - this.clockMs()
    const awake = new AbortController()
    this.#wake = () => awake.abort()
    if (this.#stop.signal.aborted) awake.abort()
    const delayMs = Math.min(SLEEP_MS_MAX, Math.max(1, dueInMs))
    const timer = clock.setTimer(delayMs, () => awake.abort())
    if (this.#settling.length === 0 && this.#hasAll) await log.changed(awake.signal)
    timer.cancel()
    // What comes close together is taken together.
    if (!awake.signal.aborted) await sleep(clock, LIMITS.expectationGatherMs, awake.signal)
    this.#wake = undefined
  }

  #tellIdle(): void {
    for (const resume of this.#idlers.splice(0)) resume()
  }
}

/** Damage, and what only a newer release can read, does not. */
const mayPass = (error: unknown): boolean => isJuncturaError(error) && error.retryable
