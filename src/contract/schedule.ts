import { createZoneClock, type CronRule, parseCron, type ZoneClock } from '../policy/index.ts'
import type { AnyContract, Draft, LatestOf, PayloadsOf } from './contract.ts'
import { checkName, declarationError } from './declaration-error.ts'
import { callerLocation, type SourceLocation } from './source-location.ts'
import type { AlertRoute, Team } from './system.ts'
import { required } from './webhook.ts'

/** One time that a schedule is due. */
export interface ScheduledTime {
  /** When it was due; RFC 3339, UTC. */
  readonly dueAt: string
  readonly dueAtMs: number
  /** Times before it that were missed, because nothing ran then. */
  readonly missed: number
}

export interface ScheduleOptions<C extends AnyContract> {
  /** Who is told when it cannot be emitted. */
  readonly owner: Team
  readonly summary?: string
  /** Minute, hour, day of month, month, day of week, such as `0 9 * * mon-fri`. Or `at`. */
  readonly cron?: string
  /** Once, at this moment: RFC 3339 with an offset. Or `cron`. */
  readonly at?: string
  /**
   * By whose clocks on the wall `cron` goes: an IANA name.
   *
   * @default 'UTC'
   */
  readonly timezone?: string
  /** What is emitted. */
  readonly emits: C
  /** Its data. Must be pure: it may run again after a crash. */
  readonly data: (time: ScheduledTime) => PayloadsOf<C>[LatestOf<PayloadsOf<C>>]
  /**
   * What happens when it was due while nothing ran: emit once for all that were missed, or leave
   * them out. A delay of less than a minute is none.
   *
   * @default 'run-once'
   */
  readonly missed?: 'run-once' | 'skip'
  /** @default the owner's route */
  readonly alert?: AlertRoute
}

/** A schedule as the runtime reads it. */
export interface Schedule {
  readonly part: 'schedule'
  readonly name: string
  readonly owner: Team
  readonly summary?: string
  readonly cron?: CronRule
  readonly timezone: string
  readonly zone: ZoneClock
  readonly atMs?: number
  readonly emits: AnyContract
  readonly draft: (time: ScheduledTime) => Draft
  readonly missed: 'run-once' | 'skip'
  readonly alert: AlertRoute
  readonly at: SourceLocation
}

/**
 * Declares a message that is emitted at given times: each time once, in one commit with the next
 * time, over restarts and several processes. Its id names the schedule and the time.
 *
 * Where clocks change, what names its hours is due once that day: an hour that is left out is made
 * up for behind the change, one that comes twice counts the first time. What is due every hour goes
 * by the hours that pass. Times are kept on a steady clock, so a wall clock that jumps while it
 * runs fires nothing.
 *
 * @throws JUNCTURA_DECLARATION when a field is unusable; it names the field and the fix.
 */
export const schedule = <C extends AnyContract>(
  name: string,
  options: ScheduleOptions<C>,
): Schedule => {
  const what = `schedule ${JSON.stringify(name)}`
  checkName(name, 'schedule')
  const { summary, missed = 'run-once', timezone = 'UTC', data } = options
  const owner = required(options.owner, `${what}.owner`, "write owner: team('…')")
  const emits: AnyContract = required(options.emits, `${what}.emits`, 'give the contract it emits')
  if (typeof data !== 'function') {
    throw declarationError(
      `${what}.data`,
      'it is no function',
      'write data: ({ dueAt }) => ({ … })',
    )
  }
  if (missed !== 'run-once' && missed !== 'skip') {
    const fix = "write 'run-once' or 'skip'"
    throw declarationError(`${what}.missed`, `${JSON.stringify(missed)} is unknown`, fix)
  }
  return Object.freeze({
    part: 'schedule',
    name,
    owner,
    ...(summary !== undefined && { summary }),
    ...readTimes(options, what),
    timezone,
    zone: createZoneClock(timezone, `${what}.timezone`),
    emits,
    draft: (time: ScheduledTime) => ({ contract: emits, data: data(time) }),
    missed,
    alert: options.alert ?? owner.oncall,
    at: callerLocation(),
  })
}

const WITH_OFFSET = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})$/

function readTimes(
  { cron, at, timezone }: Pick<ScheduleOptions<AnyContract>, 'cron' | 'at' | 'timezone'>,
  what: string,
): Pick<Schedule, 'cron' | 'atMs'> {
  if ((cron === undefined) === (at === undefined)) {
    const fix = "write cron: '0 9 * * *', or at: '2027-01-31T09:00:00+01:00'"
    throw declarationError(what, 'it needs either cron or at', fix)
  }
  if (cron !== undefined) return { cron: parseCron(cron, `${what}.cron`) }
  const atMs = WITH_OFFSET.test(at ?? '') ? Date.parse(at ?? '') : Number.NaN
  if (Number.isNaN(atMs)) {
    const fix = "write a date and time with its offset, such as '2027-01-31T09:00:00+01:00'"
    throw declarationError(`${what}.at`, `${JSON.stringify(at)} is no moment`, fix)
  }
  if (timezone !== undefined) {
    const fix = 'leave timezone out: at has its offset'
    throw declarationError(`${what}.timezone`, 'it says nothing beside at', fix)
  }
  return { atMs }
}
