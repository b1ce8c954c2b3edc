import { describe, expect, it } from 'vitest'
import { integration, schedule, type Schedule, type ScheduleOptions } from '../contract/index.ts'
import {
  createWorld,
  EFFECTS,
  effect,
  never,
  owners,
  Placed,
  placedConsumer,
  type StartOptions,
  type World,
} from './world.fixture.ts'

const HOUR_MS = 3_600_000

/** The clock of a world begins at midnight, 2026-01-01, UTC. */
const hourly = (options: Partial<ScheduleOptions<typeof Placed>> = {}): Schedule =>
  schedule('hourly', {
    owner: owners,
    cron: '0 * * * *',
    emits: Placed,
    data: ({ dueAt, missed }) => ({ key: dueAt, n: missed }),
    ...options,
  })

const sink = placedConsumer('sink', {}, async (order, ctx) => {
  await effect('sink', order, ctx)
})

const open = (world: World, one: Schedule, options: StartOptions = {}): Promise<unknown> =>
  world.start([], {
    ...options,
    build: () => integration('demo', { parts: [one, sink], tables: [EFFECTS] }),
  })

const at = (hour: number, missed = 0): string =>
  `2026-01-01T${String(hour).padStart(2, '0')}:00:00.000Z:${missed}`

describe('a schedule', () => {
  it('emits at each of its times, once, with the time as data', async () => {
    const world = createWorld()
    await open(world, hourly())

    await world.pass(3.5 * HOUR_MS)

    expect(await world.effects()).toEqual([at(1), at(2), at(3)])
    expect(await world.runtime.schedules()).toMatchObject([
      {
        name: 'hourly',
        cron: '0 * * * *',
        nextAtMs: Date.UTC(2026, 0, 1, 4),
        lastMessageId: 'schedule.hourly.2026-01-01T03:00:00.000Z',
        fired: 3,
        missed: 0,
      },
    ])
  })

  it('emits once for all times that were missed while nothing ran (S19)', async () => {
    const world = createWorld()
    await open(world, hourly())
    await world.pass(1.5 * HOUR_MS)
    world.crash()
    await world.pass(4 * HOUR_MS)

    await open(world, hourly())
    await world.pass(HOUR_MS)

    expect(await world.effects()).toEqual([at(1), at(5, 3), at(6)])
  })

  it('leaves out what was missed when it says so', async () => {
    const world = createWorld()
    await open(world, hourly({ missed: 'skip' }))
    await world.pass(1.5 * HOUR_MS)
    world.crash()
    await world.pass(4 * HOUR_MS)

    await open(world, hourly({ missed: 'skip' }))
    await world.pass(HOUR_MS)

    expect(await world.effects()).toEqual([at(1), at(6)])
    expect(await world.runtime.schedules()).toMatchObject([{ fired: 2, missed: 4 }])
  })

  it('emits each time once wherever the process dies (S1, S19)', async () => {
    for (let crashAt = 1; crashAt <= 24; crashAt++) {
      const world = createWorld()
      let commits = 0
      let isArmed = false
      const fault = async (point: string): Promise<void> => {
        if (!isArmed || point === 'read' || ++commits !== crashAt) return
        world.crash()
        await never()
      }
      const build = () => integration('demo', { parts: [hourly(), sink], tables: [EFFECTS] })
      await world.start([], { fault, build })
      isArmed = true
      for (let quarter = 0; quarter < 16; quarter++) {
        await world.pass(HOUR_MS / 4)
        while (!world.isUp) await world.boot([], { fault, build })
      }

      const effects = await world.effects()
      expect([crashAt, effects.map((one) => one.slice(0, 13))]).toEqual([
        crashAt,
        [1, 2, 3, 4].map((hour) => at(hour).slice(0, 13)).slice(0, effects.length),
      ])
      expect(effects.length).toBeGreaterThanOrEqual(3)
    }
  })

  it('is not fired by a wall clock that jumps (F35)', async () => {
    const world = createWorld()
    await open(world, hourly())
    await world.pass(HOUR_MS / 2)

    world.clock.stepWall(24 * HOUR_MS)
    await world.pass(HOUR_MS / 4)
    expect(await world.effects()).toEqual([])
    await world.pass(HOUR_MS / 2)

    expect(await world.effects()).toEqual([at(1)])
  })

  it('is due once at a moment, also where that has passed when it is declared', async () => {
    const once = (moment: string): Schedule =>
      schedule('once', {
        owner: owners,
        at: moment,
        emits: Placed,
        data: ({ dueAt }) => ({ key: dueAt, n: 0 }),
      })
    for (const moment of ['2026-01-01T02:00:00Z', '2025-12-31T23:00:00-01:00']) {
      const world = createWorld()
      await open(world, once(moment))
      await world.pass(3 * HOUR_MS)
      world.crash()
      await open(world, once(moment))
      await world.pass(3 * HOUR_MS)

      expect(await world.effects()).toHaveLength(1)
      expect(await world.runtime.schedules()).toMatchObject([{ nextAtMs: null, fired: 1 }])
    }
  })

  it('tells its owner when it cannot be emitted, and goes on with the next time', async () => {
    let isBroken = true
    const one = hourly({
      data: ({ dueAt }) => {
        if (isBroken) throw new Error('no rates today')
        return { key: dueAt, n: 0 }
      },
    })
    const world = createWorld()
    await open(world, one)
    await world.pass(1.5 * HOUR_MS)
    expect((await world.runtime.alerts({ state: 'open' })).items).toMatchObject([
      { kind: 'schedule-failed', title: expect.stringContaining('no rates today') },
    ])

    isBroken = false
    await world.pass(HOUR_MS)

    expect(await world.effects()).toEqual([at(2)])
    expect((await world.runtime.alerts({ state: 'open' })).items).toEqual([])
  })

  it('is refused without a time, with two, or with one that cannot be read', () => {
    const options = { owner: owners, emits: Placed, data: () => ({ key: 'a', n: 1 }) }
    expect(() => schedule('x', options)).toThrow('either cron or at')
    expect(() => schedule('x', { ...options, cron: '* * * * *', at: '2026-01-01T00:00Z' })).toThrow(
      'either cron or at',
    )
    expect(() => schedule('x', { ...options, at: '2026-01-01 10:00' })).toThrow('is no moment')
    expect(() => schedule('x', { ...options, cron: '61 * * * *' })).toThrow('schedule "x".cron')
  })
})
