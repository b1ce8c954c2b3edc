import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createZoneClock, nextCron, parseCron } from './cron.ts'

const at = (text: string): number => Date.parse(text)

/** The next moments, as ISO text. */
const next = (cron: string, zone: string, after: string, count = 1): readonly string[] => {
  const rule = parseCron(cron, 'cron')
  const clock = createZoneClock(zone, 'timezone')
  const found: string[] = []
  for (let ms = at(after); found.length < count;) {
    ms = nextCron(rule, clock, ms)
    found.push(new Date(ms).toISOString().replace(':00.000Z', 'Z'))
  }
  return found
}

describe('a cron rule', () => {
  it('reads numbers, ranges, lists, steps, names and aliases', () => {
    expect(next('*/20 * * * *', 'UTC', '2026-01-01T00:05:00Z', 3)).toEqual([
      '2026-01-01T00:20Z',
      '2026-01-01T00:40Z',
      '2026-01-01T01:00Z',
    ])
    expect(next('30 9 * * mon-fri', 'UTC', '2026-01-02T10:00:00Z')).toEqual(['2026-01-05T09:30Z'])
    expect(next('0 0 1 jan,JUL *', 'UTC', '2026-01-02T00:00:00Z')).toEqual(['2026-07-01T00:00Z'])
    expect(next('5/25 3 * * 7', 'UTC', '2026-01-01T00:00:00Z', 3)).toEqual([
      '2026-01-04T03:05Z',
      '2026-01-04T03:30Z',
      '2026-01-04T03:55Z',
    ])
    expect(next('@monthly', 'UTC', '2026-01-01T00:00:00Z')).toEqual(['2026-02-01T00:00Z'])
  })

  it('takes either day where both are given, and both where one is any', () => {
    expect(next('0 0 13 * fri', 'UTC', '2026-01-01T00:00:00Z', 3)).toEqual([
      '2026-01-02T00:00Z',
      '2026-01-09T00:00Z',
      '2026-01-13T00:00Z',
    ])
  })

  it('finds a leap day over a century that has none', () => {
    expect(next('0 0 29 2 *', 'UTC', '2096-03-01T00:00:00Z')).toEqual(['2104-02-29T00:00Z'])
    // A Sunday as well: 28 years, and 40 over a century without a leap day.
    expect(next('0 0 29 2 */7', 'UTC', '2032-03-01T00:00:00Z')).toEqual(['2060-02-29T00:00Z'])
    expect(next('0 0 29 2 */7', 'UTC', '2088-03-01T00:00:00Z')).toEqual(['2128-02-29T00:00Z'])
  })

  it('takes a day that no month has where the day of the week is enough', () => {
    expect(next('0 0 30 2 0-6', 'UTC', '2026-01-01T00:00:00Z')).toEqual(['2026-02-01T00:00Z'])
  })

  it.each([
    ['* * * *', 'it has 4 fields'],
    ['60 * * * *', 'minute "60" is not within 0 to 59'],
    ['* 5-3 * * *', 'goes backwards'],
    ['*/0 * * * *', 'step below 1'],
    ['x * * * *', 'minute "x"'],
    ['0 0 30 2 *', 'no month has such a day'],
    ['0 0 30 2 */2', 'no month has such a day'],
    ['* * * * * *', 'it has 6 fields'],
  ])('refuses %s and says why', (text, problem) => {
    expect(() => parseCron(text, 'schedule "x".cron')).toThrow(problem)
  })

  it('refuses a time zone that nobody knows', () => {
    expect(() => createZoneClock('Europe/Nowhere', 'timezone')).toThrow('is no time zone')
  })
})

describe('a cron rule where clocks change (S19)', () => {
  it('runs once, behind the change, for an hour that is left out', () => {
    // 2026-03-29 02:00 became 03:00 in Berlin.
    expect(next('30 2 * * *', 'Europe/Berlin', '2026-03-28T12:00:00Z', 2)).toEqual([
      '2026-03-29T01:30Z',
      '2026-03-30T00:30Z',
    ])
  })

  it('runs once for an hour that comes twice', () => {
    // 2026-10-25 03:00 became 02:00 in Berlin.
    expect(next('30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00:00Z', 2)).toEqual([
      '2026-10-25T00:30Z',
      '2026-10-26T01:30Z',
    ])
  })

  it('goes by the hours that pass when it is due every hour', () => {
    expect(next('0 * * * *', 'Europe/Berlin', '2026-10-24T23:30:00Z', 4)).toEqual([
      '2026-10-25T00:00Z',
      '2026-10-25T01:00Z',
      '2026-10-25T02:00Z',
      '2026-10-25T03:00Z',
    ])
    expect(next('0 * * * *', 'Europe/Berlin', '2026-03-29T00:30:00Z', 2)).toEqual([
      '2026-03-29T01:00Z',
      '2026-03-29T02:00Z',
    ])
  })

  it('keeps to the wall where the change is at midnight, or of half an hour', () => {
    // Midnight was left out in Santiago on 2026-09-06.
    expect(next('0 0 * * *', 'America/Santiago', '2026-09-05T12:00:00Z', 2)).toEqual([
      '2026-09-06T04:00Z',
      '2026-09-07T03:00Z',
    ])
    expect(next('15 2 * * *', 'Australia/Lord_Howe', '2026-10-03T00:00:00Z', 2)).toEqual([
      '2026-10-03T15:45Z',
      '2026-10-04T15:15Z',
    ])
  })

  it('is always later, shows what was asked for, and misses no day', () => {
    const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu', 'America/Santiago']
    expect(() =>
      fc.assert(
        fc.property(
          fc.integer({ min: at('2025-01-01T00:00:00Z'), max: at('2030-01-01T00:00:00Z') }),
          fc.integer({ min: 0, max: 23 }),
          fc.integer({ min: 0, max: 59 }),
          fc.constantFrom(...zones),
          (afterMs, hour, minute, zone) => {
            const clock = createZoneClock(zone, 'timezone')
            const rule = parseCron(`${minute} ${hour} * * *`, 'cron')
            const first = nextCron(rule, clock, afterMs)
            const second = nextCron(rule, clock, first)
            const wall = new Date(clock.wallOf(second))
            // Never behind the next but one, and only a change moves it.
            return (
              first > afterMs &&
              first - afterMs <= 25 * 3_600_000 &&
              second - first >= 22 * 3_600_000 &&
              second - first <= 26 * 3_600_000 &&
              wall.getUTCMinutes() % 15 === minute % 15
            )
          },
        ),
        { numRuns: 300 },
      ),
    ).not.toThrow()
  })

  it('misses nothing and adds nothing, minute by minute (S19)', () => {
    const zones = ['UTC', 'Europe/Berlin', 'America/Santiago', 'Australia/Lord_Howe']
    expect(() =>
      fc.assert(
        fc.property(
          fc.integer({ min: at('2025-01-01T00:00:00Z'), max: at('2030-01-01T00:00:00Z') }),
          fc.constantFrom('*/7 * * * *', '5,50 * * * sun', '*/20 * 28-31,1 * *', '0 * * 3,10 0-6'),
          fc.constantFrom(...zones),
          (fromMs, text, zone) => {
            const clock = createZoneClock(zone, 'timezone')
            const rule = parseCron(text, 'cron')
            const found = nextCron(rule, clock, fromMs)
            // What is due every hour is due whenever the wall says so.
            const isDue = (ms: number): boolean => {
              const wall = new Date(clock.wallOf(ms))
              const isDay = rule.days.has(wall.getUTCDate()) && rule.weekdays.has(wall.getUTCDay())
              const isMonth = rule.months.has(wall.getUTCMonth() + 1)
              return isDay && isMonth && rule.minutes.has(wall.getUTCMinutes())
            }
            let ms = (Math.floor(fromMs / 60_000) + 1) * 60_000
            while (ms < found && !isDue(ms)) ms += 60_000
            return ms === found && isDue(found)
          },
        ),
        { numRuns: 200 },
      ),
    ).not.toThrow()
  }, 30_000)
})
