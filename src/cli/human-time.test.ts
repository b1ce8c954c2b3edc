import { describe, expect, it } from 'vitest'
import { formatAge, parseLength, parseMoment } from './human-time.ts'

const clock = { now: () => Date.UTC(2026, 0, 31, 12) }

describe('times as people give them', () => {
  it('are refused without a unit or without an offset, since two people would mean two moments', () => {
    for (const text of ['', '2', 'yesterday', '2026-01-31', '2026-01-31T08:00:00', '-2h', '2w']) {
      expect(() => parseMoment(text, clock, '--since'), text).toThrow('is no time')
    }
    expect(() => parseLength('10', '--drain-timeout')).toThrow('is no length of time')
  })

  it('are a length before now, or a moment of RFC 3339', () => {
    expect(parseMoment('2h', clock, '--since')).toBe(clock.now() - 7_200_000)
    expect(parseMoment('1.5m', clock, '--since')).toBe(clock.now() - 90_000)
    expect(parseMoment('2026-01-31T08:00:00Z', clock, '--since')).toBe(Date.UTC(2026, 0, 31, 8))
    expect(parseMoment('2026-01-31T08:00:00+02:00', clock, '--since')).toBe(
      Date.UTC(2026, 0, 31, 6),
    )
  })

  it('are shown in the largest whole unit', () => {
    const ages = [0, 999, 61_000, 3_599_000, 90_000_000, -5_000]
    expect(ages.map((age) => formatAge(clock, clock.now() - age))).toEqual([
      'now',
      'now',
      '1m ago',
      '59m ago',
      '1d ago',
      'in 5s',
    ])
  })
})
