import { JuncturaError } from '../kernel/index.ts'

/** When a schedule is due, as read from the five fields of cron. */
export interface CronRule {
  readonly text: string
  /** Ascending, as hours are. */
  readonly minutes: ReadonlySet<number>
  readonly hours: ReadonlySet<number>
  readonly days: ReadonlySet<number>
  readonly months: ReadonlySet<number>
  /** 0 is Sunday. */
  readonly weekdays: ReadonlySet<number>
  /** Where both days and weekdays are restricted, either is enough. */
  readonly eitherDay: boolean
  /** `*` or a step of it as hour: then it follows the hours that pass, not those on the wall. */
  readonly everyHour: boolean
}

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']

interface FieldRule {
  readonly name: string
  readonly minimum: number
  readonly maximum: number
  readonly names: readonly string[]
}

const FIELDS: readonly FieldRule[] = [
  { name: 'minute', minimum: 0, maximum: 59, names: [] },
  { name: 'hour', minimum: 0, maximum: 23, names: [] },
  { name: 'day of month', minimum: 1, maximum: 31, names: [] },
  { name: 'month', minimum: 1, maximum: 12, names: MONTHS },
  { name: 'day of week', minimum: 0, maximum: 7, names: WEEKDAYS },
]

const ALIASES: Readonly<Record<string, string>> = {
  '@hourly': '0 * * * *',
  '@daily': '0 0 * * *',
  '@weekly': '0 0 * * 0',
  '@monthly': '0 0 1 * *',
  '@yearly': '0 0 1 1 *',
}

/**
 * Reads minute, hour, day of month, month and day of week: numbers, `*`, ranges, lists, steps, and
 * English names of months and days; 7 is Sunday too. Or `@hourly`, `@daily`, `@weekly`, `@monthly`,
 * `@yearly`. There are no seconds.
 *
 * @throws JUNCTURA_DECLARATION naming `field`, when it cannot be read or never comes.
 * @see crontab(5), POSIX.1-2024 crontab
 */
export const parseCron = (text: string, field: string): CronRule => {
  const parts = (ALIASES[text] ?? text).trim().split(/\s+/)
  if (parts.length !== FIELDS.length) {
    throw unreadable(field, text, `it has ${parts.length} fields, not 5`)
  }
  const [minutes, hours, days, months, weekdays] = FIELDS.map((rule, index) =>
    parseField(parts[index] ?? '', rule, { text, field }),
  )
  if (!minutes || !hours || !days || !months || !weekdays) {
    throw unreadable(field, text, 'a field is missing')
  }
  const rule: CronRule = {
    text,
    minutes,
    hours,
    days,
    months,
    weekdays: new Set([...weekdays].map((day) => day % 7)),
    eitherDay: !isAny(parts[2]) && !isAny(parts[4]),
    everyHour: hours.size === 24,
  }
  // Where either is enough, a weekday always comes.
  const isPossible =
    rule.eitherDay || [...months].some((month) => [...days].some((day) => day <= daysOf(month)))
  if (!isPossible) throw unreadable(field, text, 'no month has such a day')
  return rule
}

const isAny = (part: string | undefined): boolean => part?.startsWith('*') === true

const daysOf = (month: number): number =>
  month === 2 ? 29 : [4, 6, 9, 11].includes(month) ? 30 : 31

function parseField(
  part: string,
  rule: FieldRule,
  whole: { readonly text: string; readonly field: string },
): ReadonlySet<number> {
  const values = new Set<number>()
  const refuse = (problem: string): JuncturaError =>
    unreadable(whole.field, whole.text, `its ${rule.name} ${JSON.stringify(part)} ${problem}`)
  for (const item of part.split(',')) {
    const match = /^(\*|[a-z0-9]+)(?:-([a-z0-9]+))?(?:\/(\d{1,2}))?$/i.exec(item)
    if (!match) throw refuse('cannot be read')
    const [, from = '', to, step] = match
    const every = step === undefined ? 1 : Number(step)
    if (every < 1) throw refuse('has a step below 1')
    const first = from === '*' ? rule.minimum : valueOf(from, rule)
    // `5/10` goes on to the end, as `5-59/10` does.
    const end = from === '*' || step !== undefined ? rule.maximum : first
    const last = to === undefined ? end : valueOf(to, rule)
    const isInRange = first >= rule.minimum && last <= rule.maximum && first <= last
    if (!isInRange)
      throw refuse(`is not within ${rule.minimum} to ${rule.maximum}, or goes backwards`)
    for (let value = first; value <= last; value += every) values.add(value)
  }
  return new Set([...values].sort((a, b) => a - b))
}

function valueOf(text: string, { names, minimum }: FieldRule): number {
  const name = names.indexOf(text.toLowerCase())
  if (name >= 0) return name + minimum
  return /^\d+$/.test(text) ? Number(text) : Number.NaN
}

const unreadable = (field: string, text: string, problem: string): JuncturaError => {
  const fix = "write minute, hour, day of month, month, day of week, such as '0 9 * * mon-fri'"
  return new JuncturaError('JUNCTURA_DECLARATION', {
    details: { field, problem: `${JSON.stringify(text)} is no schedule: ${problem}; ${fix}`, fix },
  })
}

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const DAY_MS = 86_400_000
/** From one 29 February on a given weekday to the next, over a century without one: 40 years. */
const DAYS_AHEAD = 41 * 366

/**
 * The first moment after `afterMs` at which the rule is due, by the wall clocks of a time zone.
 *
 * What names its hours is due once a day each, also where clocks change: an hour that is left out
 * is made up for right behind the change, as `Temporal` does, and one that comes twice counts the
 * first time. What is due every hour goes by the hours that pass.
 */
export const nextCron = (rule: CronRule, zone: ZoneClock, afterMs: number): number => {
  const soon = nextOnSteadyClock(rule, zone, afterMs)
  if (soon !== undefined) return soon
  const after = zone.wallOf(afterMs)
  let best = Number.POSITIVE_INFINITY
  // The day before, too: its left-out hours may fall behind midnight.
  for (let day = Math.floor(after / DAY_MS) - 1, tried = 0; tried < DAYS_AHEAD; day++, tried++) {
    // Nothing of a later day comes before what an earlier one has, but for a change at midnight.
    if (best < Number.POSITIVE_INFINITY && tried > 2 && day * DAY_MS > zone.wallOf(best))
      return best
    if (isDay(rule, day)) best = Math.min(best, firstOfDay(rule, zone, { day, afterMs }))
  }
  return best
}

/**
 * The next moment where it is within a day and no clock changes around it, which is nearly always:
 * without asking for each minute of several days what the wall says then.
 */
function nextOnSteadyClock(rule: CronRule, zone: ZoneClock, afterMs: number): number | undefined {
  const offset = zone.offsetMs(afterMs)
  if (zone.offsetMs(afterMs - 2 * DAY_MS) !== offset) return undefined
  if (zone.offsetMs(afterMs + 3 * DAY_MS) !== offset) return undefined
  const after = afterMs + offset
  const today = Math.floor(after / DAY_MS)
  for (const day of [today, today + 1]) {
    if (!isDay(rule, day)) continue
    for (const hour of rule.hours) {
      const hourMs = day * DAY_MS + hour * HOUR_MS
      if (hourMs + HOUR_MS <= after) continue
      for (const minute of rule.minutes) {
        const wallMs = hourMs + minute * MINUTE_MS
        if (wallMs > after) return wallMs - after <= DAY_MS ? wallMs - offset : undefined
      }
    }
  }
  return undefined
}

/** The first moment of a day that is due after another one; Infinity when there is none. */
function firstOfDay(
  { hours, minutes, everyHour }: CronRule,
  zone: ZoneClock,
  { day, afterMs }: { readonly day: number; readonly afterMs: number },
): number {
  let first = Number.POSITIVE_INFINITY
  for (const hour of hours) {
    for (const minute of minutes) {
      const wallMs = day * DAY_MS + (hour * 60 + minute) * MINUTE_MS
      const moments = momentsOf(zone, wallMs, everyHour).filter((atMs) => atMs > afterMs)
      first = Math.min(first, ...moments)
    }
  }
  return first
}

function isDay({ days, months, weekdays, eitherDay }: CronRule, day: number): boolean {
  const date = new Date(day * DAY_MS)
  if (!months.has(date.getUTCMonth() + 1)) return false
  const isOfMonth = days.has(date.getUTCDate())
  const isOfWeek = weekdays.has(date.getUTCDay())
  return eitherDay ? isOfMonth || isOfWeek : isOfMonth && isOfWeek
}

/** When the wall clocks say so: once, never in an hour left out, twice in one that comes again. */
function momentsOf(zone: ZoneClock, wallMs: number, isEvery: boolean): readonly number[] {
  const before = wallMs - zone.offsetMs(wallMs - DAY_MS)
  const behind = wallMs - zone.offsetMs(wallMs + DAY_MS)
  const real = [...new Set([before, behind])].filter((atMs) => zone.wallOf(atMs) === wallMs)
  real.sort((a, b) => a - b)
  if (isEvery) return real
  // The offset of before the change puts it as far behind the change as it was into the gap.
  return real.length === 0 ? [before] : real.slice(0, 1)
}

/** What clocks on the wall say in a time zone, as milliseconds of a day counted like UTC. */
export interface ZoneClock {
  readonly zone: string
  offsetMs(atMs: number): number
  wallOf(atMs: number): number
}

/** @throws JUNCTURA_DECLARATION naming `field`, when this machine knows no such zone. */
export const createZoneClock = (zone: string, field: string): ZoneClock => {
  const format = openFormat(zone, field)
  const offsets = new Map<number, number>()
  const offsetMs = (atMs: number): number => {
    // Offsets change at most at quarters of an hour.
    const quarter = Math.floor(atMs / QUARTER_MS)
    const known = offsets.get(quarter)
    if (known !== undefined) return known
    if (offsets.size >= OFFSETS_MAX) offsets.clear()
    const offset = offsetOf(format, quarter * QUARTER_MS)
    offsets.set(quarter, offset)
    return offset
  }
  return { zone, offsetMs, wallOf: (atMs) => atMs + offsetMs(atMs) }
}

const QUARTER_MS = 900_000
const OFFSETS_MAX = 1_000

function openFormat(zone: string, field: string): Intl.DateTimeFormat {
  try {
    return new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
  } catch (cause) {
    const fix = "write an IANA name such as 'Europe/Berlin', or 'UTC'"
    const problem = `${JSON.stringify(zone)} is no time zone; ${fix}`
    throw new JuncturaError('JUNCTURA_DECLARATION', { cause, details: { field, problem, fix } })
  }
}

function offsetOf(format: Intl.DateTimeFormat, atMs: number): number {
  const parts = new Map(format.formatToParts(atMs).map(({ type, value }) => [type, Number(value)]))
  const of = (type: Intl.DateTimeFormatPartTypes): number => parts.get(type) ?? 0
  const wallMs = Date.UTC(
    of('year'),
    of('month') - 1,
    of('day'),
    of('hour'),
    of('minute'),
    of('second'),
  )
  return wallMs - atMs
}
