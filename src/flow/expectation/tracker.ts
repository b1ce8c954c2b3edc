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
import {
  clockAt,
  expectationWrite,
  missedCause,
  NO_TOTALS,
  rowKeyOf,
  unreadableCause,
} from './expectation-rows.ts'
import { follow, type FollowRule } from './follow.ts'
import { createLook, type Look, type LookPorts } from './look.ts'
import { createMergedLog, type MergedLog } from './merged-log.ts'
import { describeMissed } from './describe-missed.ts'

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

export interface ExpectationAlert {
  readonly kind: 'expectation-missed' | 'expectation-unreadable' | 'expectation-stopped'
  readonly cause: string
  readonly title: string
  readonly count: number
  readonly severity: 'critical' | 'warning'
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

/** What one pass changes. */
interface Change {
  readonly rows: readonly RowWrite[]
  readonly counted: Partial<Record<keyof ExpectationTotals, number>>
  readonly open: number
  readonly missed: number
}

class Tracker implements ExpectationTracker {
  readonly expectation: Expectation
  readonly #options: TrackerOptions
  readonly #rule: FollowRule
  readonly #look: (delivered: Delivered) => Look
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
      const change = await this.#changeBy(looks)
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

  async #changeBy(looks: readonly Look[]): Promise<Change> {
    const { store, kernel } = this.#options
    const moment = { clockMs: this.clockMs(), wallMs: kernel.clock.now() }
    const keys = [...new Set(looks.flatMap((one) => (one.kind === 'seen' ? [one.rowKey] : [])))]
    const read = await Promise.all(keys.map((key) => store.row('expectations', key)))
    const before = new Map(keys.map((key, index) => [key, read[index]]))
    const after = new Map(before)
    const counted: Partial<Record<keyof ExpectationTotals, number>> = {}
    const unreadable: string[] = []
    for (const look of looks) {
      if (look.kind === 'nothing') continue
      if (look.kind === 'unreadable') {
        unreadable.push(look.messageId)
        count(counted, 'unreadable', 1)
        continue
      }
      const followed = follow(after.get(look.rowKey), look.seen, { rule: this.#rule, moment })
      after.set(look.rowKey, followed.row)
      for (const one of followed.counted) count(counted, one, 1)
    }
    const rows: RowWrite[] = []
    let [open, missed] = [0, 0]
    for (const [key, row] of after) {
      const was = before.get(key)
      if (row === was) continue
      rows.push(expectationWrite(key, row))
      open += Number(row?.state === 'open') - Number(was?.state === 'open')
      missed += Number(row?.state === 'missed') - Number(was?.state === 'missed')
      if (row) this.#nextDueMs = Math.min(this.#nextDueMs, row.dueAtMs)
    }
    if (unreadable.length > 0) rows.push(...this.#raiseUnreadable(unreadable))
    return { rows, counted, open, missed }
  }

  /** Judges what is due; false when it has to look again soon. */
  async #judge(): Promise<boolean> {
    const { store } = this.#options
    const clockMs = this.clockMs()
    if (clockMs < Math.max(this.#nextDueMs, this.#floorMs)) return true
    // What another process appended by now may be the answer.
    if ((await store.headPosition()) > this.#position) {
      await sleep(this.#options.kernel.clock, BEHIND_MS, this.#stop.signal)
      return false
    }
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
    if (due.length + gone.length > 0) await this.#apply(this.#missBy(due, gone))
    this.#nextDueMs = hasMore ? 0 : Math.min(Infinity, ...next.map((ms) => ms ?? Infinity))
    return !hasMore
  }

  /** What the store refuses to take cannot have come: an answer may have been turned away. */
  async #isStoreWell(): Promise<boolean> {
    await this.#commit({ rows: [] })
    this.#noticeBlindness()
    return this.clockMs() >= this.#floorMs
  }

  #missBy(
    due: readonly KeyedRow<'expectations'>[],
    gone: readonly KeyedRow<'expectations'>[],
  ): Change {
    const { kernel, raiseAlert, actors } = this.#options
    const missedAtMs = kernel.clock.now()
    const rows: RowWrite[] = due.map(({ key, row }) =>
      expectationWrite(key, { ...row, state: 'missed', missedAtMs }),
    )
    rows.push(...gone.map(({ key }) => expectationWrite(key, undefined)))
    if (due.length > 0) {
      const { name, severity } = this.expectation
      const title = describeMissed(
        this.expectation,
        actors,
        due.map(({ row }) => row),
      )
      const alert = { kind: 'expectation-missed', cause: missedCause(name), title } as const
      rows.push(...raiseAlert({ ...alert, count: due.length, severity }))
    }
    const unexpected = gone.filter(({ row }) => row.state === 'early').length
    const counted = { missed: due.length, unexpected }
    return { rows, counted, open: -due.length, missed: due.length }
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
      await this.#apply(forget([rowKey]))
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
      await this.#apply(forget(keys))
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
    const totals = { ...this.#totals }
    for (const [name, by] of Object.entries(counted)) {
      count(totals, name as keyof ExpectationTotals, by)
    }
    this.#totals = totals
    this.#open += change.open
    const hadMissed = this.#missed > 0
    this.#missed += change.missed
    assert(this.#open >= 0, 'an expectation has no fewer than no open keys')
    assert(this.#missed >= 0, 'an expectation has no fewer than no missed keys')
    const resolved =
      hadMissed && this.#missed === 0
        ? this.#options.resolveAlert(missedCause(this.expectation.name))
        : []
    await this.#commit({ rows: [...change.rows, ...resolved] })
    this.#options.onCounted(counted)
  }

  /** Commits rows and the cursor; while the store refuses, they are offered again. */
  async #commit({ rows }: { readonly rows: readonly RowWrite[] }): Promise<void> {
    const { committer, kernel } = this.#options
    const row: ExpectationCursorRow = {
      position: this.#position,
      clockMs: this.clockMs(),
      wallMs: kernel.clock.now(),
      sinceMs: this.#sinceMs,
      totals: this.#totals,
    }
    const cursor: RowWrite = { collection: 'expectationCursors', key: this.expectation.name, row }
    const unit: CommitUnit = { rows: [...rows, cursor], isInternal: true }
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

  #raiseUnreadable(ids: readonly string[]): readonly RowWrite[] {
    const { name } = this.expectation
    const title =
      `expectation ${name} cannot tell what ${ids[0]} is about, so nothing is expected of it; ` +
      'make its correlate(…) take such data'
    return this.#options.raiseAlert({
      kind: 'expectation-unreadable',
      cause: unreadableCause(name),
      title,
      count: ids.length,
      severity: 'warning',
    })
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

const forget = (keys: readonly string[]): Change => ({
  rows: keys.map((key) => expectationWrite(key, undefined)),
  counted: {},
  open: 0,
  missed: -keys.length,
})

function count(
  counted: Partial<Record<keyof ExpectationTotals, number>>,
  name: keyof ExpectationTotals,
  by: number,
): void {
  counted[name] = (counted[name] ?? 0) + by
}

/** Damage, and what only a newer release can read, does not. */
const mayPass = (error: unknown): boolean => isJuncturaError(error) && error.retryable
