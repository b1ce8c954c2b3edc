import type { Schedule } from '../../contract/index.ts'
import { nextCron } from '../../policy/index.ts'

/** A delay below this is none: the process started, or the store took a moment. */
const LATE_MS = 60_000

/** What a row was computed from. */
export const ruleText = ({ cron, timezone, atMs }: Schedule): string =>
  cron ? `${cron.text} ${timezone}` : `at ${atMs}`

/** The first time after a moment; null when there is none. */
export const nextTime = ({ cron, zone, atMs }: Schedule, afterMs: number): number | null => {
  if (!cron) return atMs !== undefined && atMs > afterMs ? atMs : null
  const nextMs = nextCron(cron, zone, afterMs)
  return Number.isFinite(nextMs) ? nextMs : null
}

/** What is due at a moment, from the first time that has not been dealt with. */
export interface Due {
  /** The newest time that has come. */
  readonly dueAtMs: number
  /** Times before it. */
  readonly missed: number
  readonly nextMs: number | null
  /** False where the schedule leaves out what is late. */
  readonly fires: boolean
}

/** More are not counted: a minute's schedule that was down for a week. */
const MISSED_COUNTED_MAX = 10_000

export const dueTimes = (schedule: Schedule, firstDueMs: number, nowMs: number): Due => {
  let dueAtMs = firstDueMs
  let nextMs = nextTime(schedule, dueAtMs)
  let missed = 0
  while (nextMs !== null && nextMs <= nowMs && missed < MISSED_COUNTED_MAX) {
    missed += 1
    dueAtMs = nextMs
    nextMs = nextTime(schedule, dueAtMs)
  }
  if (nextMs !== null && nextMs <= nowMs) {
    dueAtMs = lastTime(schedule, { fromMs: nextMs, nowMs })
    nextMs = nextTime(schedule, nowMs)
  }
  const fires = schedule.missed === 'run-once' || nowMs - dueAtMs < LATE_MS
  return { dueAtMs, missed, nextMs, fires }
}

/** The newest time up to now, looked for in ever longer stretches before it. */
function lastTime(
  schedule: Schedule,
  { fromMs, nowMs }: { readonly fromMs: number; readonly nowMs: number },
): number {
  let found: number | null = null
  for (let spanMs = LATE_MS; found === null; spanMs *= 2) {
    const beginMs = Math.max(fromMs - 1, nowMs - spanMs)
    for (let at = nextTime(schedule, beginMs); at !== null && at <= nowMs;) {
      found = at
      at = nextTime(schedule, at)
    }
    if (beginMs < fromMs) break
  }
  return found ?? fromMs
}
