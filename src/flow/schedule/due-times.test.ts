import { describe, expect, it } from 'vitest'
import { event, jsonSchema, schedule, type Schedule, team } from '../../contract/index.ts'
import { dueTimes } from './due-times.ts'

const owner = team('owners')
const Ticked = event('ticked', {
  owner,
  key: 'at',
  versions: {
    1: jsonSchema<{ readonly at: string }>({
      type: 'object',
      properties: { at: { type: 'string' } },
    }),
  },
})

const every = (cron: string): Schedule =>
  schedule('tick', { owner, cron, emits: Ticked, data: ({ dueAt }) => ({ at: dueAt }) })

const START_MS = Date.UTC(2026, 0, 1)
const DAY_MS = 86_400_000

describe('what is due', () => {
  it('is the newest time, also where more were missed than are counted', () => {
    const nowMs = START_MS + 30 * DAY_MS + 90_000

    expect(dueTimes(every('* * * * *'), START_MS, nowMs)).toEqual({
      dueAtMs: nowMs - 30_000,
      missed: 10_000,
      nextMs: nowMs + 30_000,
      fires: true,
    })
    // It was down for a year, and the newest time is a weekend away.
    const monday = Date.UTC(2027, 0, 4, 8)
    expect(dueTimes(every('* 9-16 * * mon-fri'), START_MS, monday)).toMatchObject({
      dueAtMs: Date.UTC(2027, 0, 1, 16, 59),
      nextMs: Date.UTC(2027, 0, 4, 9),
    })
  })

  it('asks the clocks on the wall a few times for each time, not for each minute of days', () => {
    const tick = every('* * * * *')
    let asked = 0
    const zone = {
      ...tick.zone,
      offsetMs(atMs: number) {
        asked += 1
        return tick.zone.offsetMs(atMs)
      },
    }

    const { missed } = dueTimes({ ...tick, zone }, START_MS, START_MS + DAY_MS)

    expect(missed).toBe(1_440)
    expect(asked).toBeLessThan(10 * missed)
  })
})
