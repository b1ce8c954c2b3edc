import { JuncturaError } from './errors.ts'

/**
 * A length of time as people write it: a whole number and a unit, such as `500ms`, `30s`, `15m`,
 * `8h` or `7d`. A bare number means milliseconds.
 */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/**
 * Reads a duration into milliseconds.
 *
 * @throws JUNCTURA_DECLARATION when `value` is not a duration; `field` names the place.
 */
export const durationMs = (value: Duration, field: string): number => {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return Math.round(value)
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(String(value))
  const unit = match?.[2] as keyof typeof UNIT_MS | undefined
  if (!match || !unit) {
    throw new JuncturaError('JUNCTURA_DECLARATION', {
      details: {
        field,
        problem: `${JSON.stringify(value)} is not a duration`,
        fix: 'write a number with a unit: 500ms, 30s, 15m, 8h or 7d',
      },
    })
  }
  return Math.round(Number(match[1]) * UNIT_MS[unit])
}

/** Writes milliseconds the way people read them: `1.5s`, `15m`, `7d`. */
export const formatDuration = (ms: number): string => {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    if (Math.abs(ms) >= UNIT_MS[unit]) return `${round2(ms / UNIT_MS[unit])}${unit}`
  }
  return `${round2(ms)}ms`
}

const round2 = (value: number): number => Math.round(value * 100) / 100
