import type { Draft, Schedule } from '../../contract/index.ts'
import {
  isJuncturaError,
  type Kernel,
  messageOf,
  sleep,
  type SteadyClock,
} from '../../kernel/index.ts'
import type {
  Append,
  Committer,
  CommitUnit,
  RowWrite,
  ScheduleRow,
  Store,
} from '../../store/index.ts'
import { type Due, dueTimes, nextTime, ruleText } from './due-times.ts'

export interface ScheduleKeeperOptions {
  readonly schedules: readonly Schedule[]
  readonly kernel: Kernel
  readonly steady: SteadyClock
  readonly store: Store
  readonly committer: Committer
  /** Turns a draft into an append, validated against its contract. */
  readonly prepare: (
    draft: Draft,
    own: { readonly id: string; readonly source: string; readonly atMs: number },
  ) => Append
  readonly raiseAlert: (schedule: Schedule, title: string) => readonly RowWrite[]
  readonly resolveAlert: (schedule: Schedule) => readonly RowWrite[]
  readonly onFired: (schedule: Schedule, append: Append) => void
}

/**
 * Emits what is due. The message, the next time and an alert are one commit, so a crash repeats or
 * loses none; of processes that share a store one has the duty, and its lease fences the others.
 * The row of a schedule that is no longer declared stays, so that one that comes back, as after a
 * roll-back, does not emit a time again.
 */
export interface ScheduleKeeper {
  start(): Promise<void>
  rows(): Promise<ReadonlyMap<string, ScheduleRow>>
  close(): Promise<void>
}

const RETRY_MS = 500
/** A schedule is never kept longer than this by a timer that was lost with a suspended machine. */
const SLEEP_MS_MAX = 60_000

export const createScheduleKeeper = (options: ScheduleKeeperOptions): ScheduleKeeper => {
  const { schedules, kernel, steady, store, committer } = options
  const stop = new AbortController()
  const known = new Map<string, ScheduleRow>()
  let loop: Promise<void> | undefined

  const write = (name: string, row: ScheduleRow | undefined): RowWrite => ({
    collection: 'schedules',
    key: name,
    row,
  })

  const commit = async (
    rows: readonly RowWrite[],
    messages: Pick<CommitUnit, 'appends' | 'volatile'> = {},
  ): Promise<boolean> => {
    for (;;) {
      try {
        const outcome = await committer.submit({ rows, isInternal: true, ...messages })
        if (outcome.status === 'failed') throw outcome.error
        return true
      } catch (error) {
        if (committer.mode !== 'open' || stop.signal.aborted) return false
        if (!isJuncturaError(error) || !error.retryable) throw error
        await sleep(kernel.clock, RETRY_MS, stop.signal)
      }
    }
  }

  const load = async (schedule: Schedule): Promise<void> => {
    const { name } = schedule
    const rule = ruleText(schedule)
    const row = await store.row('schedules', name)
    if (row?.rule === rule) return void known.set(name, row)
    // A moment that has passed when it is declared is one that was missed.
    const dueAtMs = schedule.atMs ?? nextTime(schedule, steady.now())
    const begun: ScheduleRow = { rule, dueAtMs, fired: row?.fired ?? 0, missed: row?.missed ?? 0 }
    if (await commit([write(name, begun)])) known.set(name, begun)
  }

  /** A message, or what keeps it from being one. */
  const make = (schedule: Schedule, due: Due): Append | { readonly problem: string } => {
    const dueAt = new Date(due.dueAtMs).toISOString()
    try {
      const { dueAtMs, missed } = due
      return options.prepare(schedule.draft({ dueAt, dueAtMs, missed }), {
        id: `schedule.${schedule.name}.${dueAt}`,
        source: `/schedules/${schedule.name}`,
        atMs: kernel.clock.now(),
      })
    } catch (error) {
      return { problem: messageOf(error) }
    }
  }

  const fire = async (schedule: Schedule, row: ScheduleRow, nowMs: number): Promise<void> => {
    const due = dueTimes(schedule, row.dueAtMs ?? nowMs, nowMs)
    const { lastError: _, ...before } = row
    const next = { ...before, dueAtMs: due.nextMs, missed: row.missed + due.missed }
    if (!due.fires) {
      const skipped: ScheduleRow = { ...next, missed: next.missed + 1 }
      if (await commit([write(schedule.name, skipped)])) known.set(schedule.name, skipped)
      return
    }
    const made = make(schedule, due)
    if ('problem' in made) {
      const failed: ScheduleRow = { ...next, lastDueAtMs: due.dueAtMs, lastError: made.problem }
      const title = `schedule ${schedule.name} could not emit ${schedule.emits.name}: ${made.problem}`
      const rows = options.raiseAlert(schedule, title)
      if (await commit([write(schedule.name, failed), ...rows])) known.set(schedule.name, failed)
      return
    }
    const lastMessageId = made.record?.head.envelope.id
    const fired: ScheduleRow = {
      ...next,
      lastDueAtMs: due.dueAtMs,
      lastFiredAtMs: kernel.clock.now(),
      ...(lastMessageId !== undefined && { lastMessageId }),
      fired: row.fired + 1,
    }
    const rows = [write(schedule.name, fired), ...options.resolveAlert(schedule)]
    const isVolatile = schedule.emits.guarantee === 'at-most-once'
    if (!(await commit(rows, isVolatile ? { volatile: [made] } : { appends: [made] }))) return
    known.set(schedule.name, fired)
    options.onFired(schedule, made)
  }

  const run = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      const nowMs = steady.now()
      let nextMs = nowMs + SLEEP_MS_MAX
      for (const schedule of schedules) {
        const row = known.get(schedule.name)
        if (row?.dueAtMs === null || row === undefined) continue
        if (row.dueAtMs <= nowMs) await fire(schedule, row, nowMs)
        nextMs = Math.min(nextMs, known.get(schedule.name)?.dueAtMs ?? nextMs)
      }
      await sleep(kernel.clock, Math.max(1, nextMs - steady.now()), stop.signal)
    }
  }

  const runInTheEnd = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      try {
        await run()
      } catch (error) {
        kernel.log.error({ problem: messageOf(error) }, 'the schedules stopped; trying again')
        await sleep(kernel.clock, SLEEP_MS_MAX, stop.signal)
      }
    }
  }

  return {
    async start() {
      if (loop) return
      for (const schedule of schedules) await load(schedule)
      if (schedules.length > 0) loop = runInTheEnd()
    },
    async rows() {
      const found = new Map<string, ScheduleRow>()
      for (const { name } of schedules) {
        const row = loop ? known.get(name) : await store.row('schedules', name)
        if (row) found.set(name, row)
      }
      return found
    },
    async close() {
      stop.abort()
      await loop
    },
  }
}
