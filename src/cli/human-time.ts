import { type Clock, durationMs, formatDuration, JuncturaError } from '../kernel/index.ts'

/** `3m ago`, for a column; the exact time is in `--json`. */
export const formatAge = (clock: Pick<Clock, 'now'>, atMs: number | null | undefined): string => {
  if (atMs === null || atMs === undefined) return '-'
  const ageMs = clock.now() - atMs
  if (Math.abs(ageMs) < 1_000) return 'now'
  const rounded = formatDuration(roundToUnit(Math.abs(ageMs)))
  return ageMs < 0 ? `in ${rounded}` : `${rounded} ago`
}

/** RFC 3339 in UTC. */
export const formatTime = (atMs: number): string => new Date(atMs).toISOString()

/** The time of day, for a line of a live view. */
export const formatClock = (atMs: number): string => formatTime(atMs).slice(11, 23)

/**
 * A point in time as people give it: a length of time before now (`2h`), or a date and time of
 * RFC 3339, which needs its offset from UTC: two people in two places must mean the same moment.
 *
 * @throws JUNCTURA_USAGE when it is neither.
 */
export const parseMoment = (text: string, clock: Pick<Clock, 'now'>, option: string): number => {
  if (/^\d+(?:\.\d+)?(?:ms|s|m|h|d)$/.test(text)) return clock.now() - lengthMs(text)
  const atMs = /^\d{4}-\d\d-\d\dT\d\d:\d\d.*(?:Z|[+-]\d\d:\d\d)$/.test(text)
    ? Date.parse(text)
    : Number.NaN
  if (!Number.isNaN(atMs)) return atMs
  throw new JuncturaError('JUNCTURA_USAGE', {
    details: {
      problem: `${option}: ${JSON.stringify(text)} is no time`,
      fix: `write ${option} 2h, or ${option} 2026-01-31T08:00:00Z`,
    },
  })
}

/** @throws JUNCTURA_USAGE when `text` is no length of time. */
export const parseLength = (text: string, option: string): number => {
  if (/^\d+(?:\.\d+)?(?:ms|s|m|h|d)$/.test(text)) return lengthMs(text)
  throw new JuncturaError('JUNCTURA_USAGE', {
    details: {
      problem: `${option}: ${JSON.stringify(text)} is no length of time`,
      fix: `write a number with a unit: ${option} 10s`,
    },
  })
}

function lengthMs(text: string): number {
  const unit = /(ms|s|m|h|d)$/.exec(text)?.[1]
  if (unit !== 'ms' && unit !== 's' && unit !== 'm' && unit !== 'h' && unit !== 'd') return 0
  return durationMs(`${Number.parseFloat(text)}${unit}`, 'length')
}

const UNITS_MS: readonly number[] = [86_400_000, 3_600_000, 60_000, 1_000]

/** `3h` rather than `3.21h`: a column of ages is for comparing. */
function roundToUnit(ms: number): number {
  const unit = UNITS_MS.find((each) => ms >= each) ?? 1
  return Math.floor(ms / unit) * unit
}
