import { describe, expect, it } from 'vitest'
import { JuncturaError } from '../kernel/index.ts'
import {
  createExpectationWorld,
  type ExpectationWorld,
  MINUTE_MS,
  paid,
} from './expectation-world.fixture.ts'
import { never, placedConsumer } from './world.fixture.ts'

const PAID = [paid()]
const HOUR_MS = 60 * MINUTE_MS

const totals = async (world: ExpectationWorld): Promise<unknown> =>
  (await world.runtime.expectations())[0]?.totals

const EXPECTED = {
  opened: 4,
  met: 1,
  late: 1,
  undone: 1,
  missed: 2,
  unexpected: 0,
  unreadable: 0,
}

/**
 * Met, undone, missed and late, missed for good; the process dies at the chosen commit of those
 * that are made while time passes. Gives how many there were.
 */
const runWithCrash = async (world: ExpectationWorld, crashAt: number): Promise<number> => {
  let commits = 0
  let isArmed = false
  const fault = async (point: string): Promise<void> => {
    if (!isArmed || point === 'read' || ++commits !== crashAt) return
    world.crash()
    await never()
  }
  const step = async (act: () => Promise<void>, passMs: number): Promise<void> => {
    isArmed = false
    await world.upInTheEnd({ fault })
    await act()
    isArmed = true
    await world.pass(passMs)
    await world.upInTheEnd({ fault })
    await world.pass(15_000)
  }
  await step(async () => world.place('met', 'undone', 'late', 'missing'), MINUTE_MS)
  await step(async () => world.capture('met'), MINUTE_MS)
  await step(async () => world.cancel('undone'), MINUTE_MS)
  await step(async () => undefined, 20 * MINUTE_MS)
  await step(async () => world.capture('late'), MINUTE_MS)
  isArmed = false
  await world.upInTheEnd({ fault })
  await world.pass(15_000)
  return commits
}

describe('an expectation whose process dies', () => {
  it('counts each message once and tells once, wherever it dies (F161, S1)', async () => {
    const parts = [paid({ grace: '10s' })]
    const whole = createExpectationWorld(parts)
    const commits = await runWithCrash(whole, 0)
    expect(await totals(whole)).toEqual(EXPECTED)
    expect(commits).toBeGreaterThan(10)

    for (let crashAt = 1; crashAt <= commits; crashAt++) {
      const world = createExpectationWorld(parts)
      await runWithCrash(world, crashAt)

      expect([crashAt, await totals(world)]).toEqual([crashAt, EXPECTED])
      expect(await world.missed()).toEqual(['missing'])
      const alerts = await world.openAlerts()
      expect(alerts).toHaveLength(1)
      expect(alerts[0]).toMatch(/^2: /)
      // A route that dedupes by id hears of it once.
      expect(new Set(world.sent.map(({ id }) => id)).size).toBe(1)
    }
  }, 120_000)

  it('reads what came before it judges what was due while it was down (F161)', async () => {
    const world = createExpectationWorld(PAID)
    await world.up()
    await world.place('a', 'b')
    await world.pass(MINUTE_MS)
    // The answer is in the log, and the process dies before it is taken in.
    await world.capture('a')
    world.crash()
    await world.pass(HOUR_MS)

    await world.up()
    await world.pass(MINUTE_MS)
    expect(await world.openAlerts()).toEqual([])
    await world.pass(5 * MINUTE_MS)

    expect(await world.missed()).toEqual(['b'])
    expect(await world.openAlerts()).toHaveLength(1)
  })

  it('raises no storm after a downtime in which nobody could answer (F161)', async () => {
    const capture = placedConsumer('payments', {}, async () => undefined)
    const world = createExpectationWorld([paid(), capture])
    const first = await world.up()
    const keys = Array.from({ length: 200 }, (_, n) => `k${n}`)
    await world.place(...keys)
    await world.pass(MINUTE_MS)
    await first.close()
    await world.pass(3 * HOUR_MS)

    await world.up()
    await world.pass(3 * MINUTE_MS)
    // What stood still goes on, within the grace.
    await world.capture(...keys.slice(1))
    await world.pass(HOUR_MS)

    expect(await world.missed()).toEqual(['k0'])
    expect(await world.openAlerts()).toHaveLength(1)
    expect((await world.openAlerts())[0]).toMatch(/^1: /)
  })

  it('gives what stood unread in the log its grace, too', async () => {
    const world = createExpectationWorld(PAID)
    await world.up()
    await world.place('a')
    world.crash()
    await world.pass(HOUR_MS)

    await world.up()
    await world.pass(4 * MINUTE_MS)
    expect(await world.openAlerts()).toEqual([])
    await world.pass(2 * MINUTE_MS)

    expect(await world.missed()).toEqual(['a'])
  })

  it('opens no second alarm when what began it is replayed', async () => {
    const idle = placedConsumer('payments', { replay: 'guarded' }, async () => undefined)
    const world = createExpectationWorld([paid(), idle])
    await world.up()
    await world.place('a')
    await world.pass(20 * MINUTE_MS)

    const filter = { from: 'messages', consumer: 'payments' } as const
    const { result } = await world.operate({ kind: 'replay.plan', filter })
    const { id, token } = result as { readonly id: string; readonly token: string }
    await world.operate({ kind: 'replay.run', id, token })
    await world.pass(HOUR_MS)

    expect((await world.runtime.replay(id))?.state).toBe('done')
    expect(await totals(world)).toMatchObject({ opened: 1, missed: 1 })
    expect(world.sent).toHaveLength(1)
  })
})

describe('an expectation and a clock that jumps', () => {
  it('is neither early nor late when the wall clock jumps (F161, F35)', async () => {
    for (const stepMs of [24 * HOUR_MS, -24 * HOUR_MS]) {
      const world = createExpectationWorld(PAID)
      await world.up()
      await world.place('a')
      await world.pass(MINUTE_MS)

      world.clock.stepWall(stepMs)
      await world.place('b')
      await world.pass(13 * MINUTE_MS)
      expect(await world.openAlerts()).toEqual([])
      await world.pass(3 * MINUTE_MS)

      expect(await world.missed()).toEqual(['a', 'b'])
    }
  })

  it('judges nothing early when it is started again after a jump (F161)', async () => {
    const world = createExpectationWorld([paid({ within: '2h' })])
    const first = await world.up()
    await world.place('a')
    await world.pass(MINUTE_MS)
    world.clock.stepWall(24 * HOUR_MS)
    await world.pass(2 * MINUTE_MS)
    await first.close()

    await world.up()
    await world.pass(HOUR_MS)
    expect(await world.openAlerts()).toEqual([])
    await world.pass(HOUR_MS)

    expect(await world.missed()).toEqual(['a'])
  })
})

describe('an expectation on a log that never rests', () => {
  it('judges what is due while more comes all the time (F161)', async () => {
    const world = createExpectationWorld([paid({ within: '1m', grace: '1s' })])
    let isBusy = false
    let count = 0
    // Whatever is committed, something else comes at once.
    const fault = async (point: string): Promise<void> => {
      if (!isBusy || point !== 'read') return
      isBusy = false
      await world.place(`later-${++count}`)
      isBusy = true
    }
    await world.up(undefined, { fault })
    await world.place('a')
    await world.pass(MINUTE_MS / 2)
    isBusy = true
    await world.pass(2 * MINUTE_MS)
    isBusy = false

    expect(count).toBeGreaterThan(100)
    expect(await world.missed()).toContain('a')
  })
})

describe('an expectation and a store that refuses', () => {
  it('loses nothing, and gives its grace when it could not look for a while', async () => {
    const world = createExpectationWorld(PAID)
    let isDown = false
    const fault = async (): Promise<void> => {
      if (isDown) throw new JuncturaError('JUNCTURA_STORE_FULL', { details: {} })
    }
    await world.up(PAID, { fault })
    await world.place('a', 'b')
    await world.pass(14 * MINUTE_MS)

    isDown = true
    await world.pass(HOUR_MS)
    isDown = false
    await world.pass(MINUTE_MS)
    expect(await world.openAlerts()).toEqual([])
    await world.capture('a')
    await world.pass(6 * MINUTE_MS)

    expect(await world.missed()).toEqual(['b'])
    expect(await totals(world)).toMatchObject({ opened: 2, missed: 1 })
  })
})
