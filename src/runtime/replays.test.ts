import { describe, expect, it } from 'vitest'
import { METRICS } from '../observe/index.ts'
import {
  effector,
  guarded,
  numbers,
  plan,
  quick,
  replay,
  run,
  stateOf,
  worldAfter,
} from './replays.fixture.ts'
import { effect, placedConsumer } from './world.fixture.ts'

describe('a replay of dead letters', () => {
  it('plans what it will touch, then runs that with the ids they had (M15)', async () => {
    let isMended = false
    const ids: string[] = []
    const one = placedConsumer('one', quick, async (order, ctx) => {
      ids.push(ctx.message.id)
      if (!isMended && order.n % 2 === 0) throw new Error('even')
      await effect('one', order, ctx)
    })
    const two = placedConsumer('two', quick, (order) =>
      Promise.reject(new Error(`two ${order.key}`)),
    )
    const world = await worldAfter([one, two], numbers(40))
    const row = await plan(world, { consumer: 'one' })
    expect(row.plan).toMatchObject({ total: 20, keys: 20, alreadyDone: 0 })
    expect(row.plan.byCause).toMatchObject([{ count: 20 }])

    isMended = true
    await run(world, row)
    expect(world.runtime.metrics.read(METRICS.replayPlanned)).toMatchObject({
      points: [{ labels: { replay: row.id }, value: 20 }],
    })
    await world.pass(60_000)

    expect(world.runtime.metrics.read(METRICS.replayPlanned)).toMatchObject({ points: [] })
    expect(await stateOf(world, row)).toMatchObject({
      state: 'done',
      released: 20,
      failed: 0,
      total: 20,
    })
    expect(await world.effects('one')).toHaveLength(40)
    expect(new Set(ids).size).toBe(40)
    expect((await world.runtime.overview()).deadLettersOpen).toBe(40)
  })

  it('comes past any number of dead letters that it does not want, all of one moment', async () => {
    let isMended = false
    const many = placedConsumer('a-many', { ...quick, afterDeadLetter: 'skip' }, () =>
      Promise.reject(new Error('always')),
    )
    const one = placedConsumer('one', quick, async (order, ctx) => {
      if (!isMended && order.n === 1_100) throw new Error('last')
      await effect('one', order, ctx)
    })
    const world = await worldAfter([many, one], numbers(1_101))
    isMended = true
    const row = await plan(world, { consumer: 'one' })
    expect(row.plan.total).toBe(1)
    await run(world, row)
    await world.pass(10_000)

    expect(await stateOf(world, row)).toMatchObject({ state: 'done', released: 1 })
    expect(await world.effects('one')).toHaveLength(1_101)
  })

  it('counts what dies again and still comes to its end', async () => {
    const one = placedConsumer('one', { ...quick, afterDeadLetter: 'skip' }, async (order, ctx) => {
      if (order.n < 100) throw new Error('for ever')
      await effect('one', order, ctx)
    })
    const world = await worldAfter([one], numbers(150))
    const row = await replay(world, {})
    await world.pass(60_000)

    expect(await stateOf(world, row)).toMatchObject({ state: 'done', released: 100, failed: 100 })
    expect((await world.runtime.overview()).deadLettersOpen).toBe(100)
  })

  it('goes on after a crash in the middle, and does nothing twice (F11)', async () => {
    let isMended = false
    const one = placedConsumer('one', { ...quick, afterDeadLetter: 'skip' }, async (order, ctx) => {
      if (!isMended) throw new Error('down')
      await effect('one', order, ctx)
    })
    const world = await worldAfter([one], numbers(300))
    const row = await plan(world, {}, 20)
    isMended = true
    await run(world, row)
    for (let crash = 0; crash < 4; crash++) {
      await world.pass(2_900)
      world.crash()
      await world.start([one])
    }
    await world.pass(60_000)

    expect(await stateOf(world, row)).toMatchObject({ state: 'done' })
    const effects = await world.effects()
    expect(effects).toHaveLength(300)
    expect(new Set(effects).size).toBe(300)
  })
})

describe('a replay of messages', () => {
  it('of a safe consumer, twice over ten thousand done messages, changes no effect', async () => {
    const one = effector('one', quick)
    const world = await worldAfter([one], numbers(10_000, 7))
    const before = await world.effects()

    for (let round = 0; round < 2; round++) {
      const row = await plan(world, { from: 'messages', consumer: 'one' })
      expect(row.plan).toMatchObject({ total: 10_000, alreadyDone: 10_000 })
      await run(world, { id: row.id })
      await world.pass(10_000)
      expect(await stateOf(world, row)).toMatchObject({
        state: 'done',
        skipped: 10_000,
        released: 0,
      })
    }

    expect(await world.effects()).toEqual(before)
  })

  it('of a guarded consumer needs the token of its plan, and runs again with the same ids, in order', async () => {
    const ids: string[] = []
    const runIds = new Set<string | undefined>()
    const one = placedConsumer('one', guarded, async (order, ctx) => {
      ids.push(ctx.message.id)
      runIds.add(ctx.replay?.runId)
      await effect('one', order, ctx)
    })
    const world = await worldAfter([one], numbers(70, 7))
    const row = await plan(world, { from: 'messages', consumer: 'one' })
    expect(row.plan.warnings.join()).toContain('guarded')
    await expect(run(world, { id: row.id })).rejects.toThrow('token')
    expect(ids).toHaveLength(70)

    await run(world, row)
    await world.pass(60_000)

    expect(await stateOf(world, row)).toMatchObject({ state: 'done', released: 70 })
    expect(ids).toHaveLength(140)
    expect(new Set(ids).size).toBe(70)
    expect([...runIds]).toEqual([undefined, row.id])
    const again = (await world.effects()).slice(70).filter((one) => one.startsWith('k3:'))
    expect(again).toEqual(
      (await world.effects()).slice(0, 70).filter((one) => one.startsWith('k3:')),
    )
  })

  it('of a guarded consumer is not run twice by a restart, wherever the crash falls (F11)', async () => {
    const one = effector('one', guarded)
    const world = await worldAfter([one], numbers(200, 7))
    const row = await replay(world, { from: 'messages', consumer: 'one' }, 100)
    for (let crash = 0; crash < 8; crash++) {
      await world.pass(130 + crash * 7)
      for (let turn = 0; turn < crash; turn++) await world.clock.yield()
      world.crash()
      await world.start([one])
    }
    await world.pass(60_000)

    expect(await stateOf(world, row)).toMatchObject({ state: 'done' })
    const effects = await world.effects()
    expect(effects).toHaveLength(400)
    const counts = new Map<string, number>()
    for (const one of effects) counts.set(one, (counts.get(one) ?? 0) + 1)
    expect(new Set(counts.values())).toEqual(new Set([2]))
  })

  it('resumes with the consumer that it was at: none of the others is left out', async () => {
    const parts = ['one', 'two'].map((name) => effector(name, guarded))
    const world = await worldAfter(parts, numbers(150, 7))
    const row = await replay(world, { from: 'messages' }, 100)
    await world.pass(1_200)
    world.crash()
    await world.start(parts)
    await world.pass(60_000)

    expect(await stateOf(world, row)).toMatchObject({ state: 'done' })
    expect(await world.effects('one')).toHaveLength(300)
    expect(await world.effects('two')).toHaveLength(300)
  })

  it('holds what is live of a key until its part is done, then goes on in order', async () => {
    const one = effector('one', guarded)
    const world = await worldAfter([one], numbers(30, 1))
    await replay(world, { from: 'messages', consumer: 'one' }, 10)
    await world.pass(1_000)

    await world.publish({ key: 'k0', n: 100 }, { key: 'b', n: 101 }, { key: 'k0', n: 102 })
    await world.pass(500)
    expect(await world.effects()).toContain('b:101')
    expect(await world.effects()).not.toContain('k0:100')
    // Also a process that dies and comes back lets nothing overtake.
    world.crash()
    await world.start([one])
    await world.pass(10_000)

    const effects = (await world.effects()).filter((one) => one.startsWith('k0:')).slice(30)
    expect(effects).toEqual([...numbers(30, 1).map(({ n }) => `k0:${n}`), 'k0:100', 'k0:102'])
    expect((await world.runtime.consumers())[0]).toMatchObject({ lag: 0 })
  })

  it('lets a key go on whose last message another replay has given', async () => {
    const one = effector('one', guarded)
    const world = await worldAfter([one], numbers(10, 1))
    const messages = { from: 'messages', consumer: 'one' } as const
    const first = await replay(world, messages, 1)
    // Its last one waits for its turn.
    await world.pass(8_500)

    const last = await replay(world, { ...messages, fromPosition: 10 })
    await world.publish({ key: 'k0', n: 100 })
    await world.pass(60_000)

    for (const row of [first, last]) {
      expect(await stateOf(world, row)).toMatchObject({ state: 'done' })
    }
    expect(await world.effects()).toContain('k0:100')
  })

  it('does not run what waits parked: it was never done, and comes in its turn', async () => {
    let isMended = false
    const one = placedConsumer('one', guarded, async (order, ctx) => {
      if (!isMended && order.n === 2) throw new Error('bad')
      await effect('one', order, ctx)
    })
    const world = await worldAfter([one], numbers(5, 1))
    isMended = true
    const row = await replay(world, { from: 'messages', consumer: 'one', fromPosition: 3 })
    await world.pass(20_000)

    expect(await world.effects()).toEqual(['k0:0', 'k0:1', 'k0:2', 'k0:3', 'k0:4'])
    expect(await stateOf(world, row)).toMatchObject({ state: 'done', released: 1, skipped: 2 })
  })

  it('says which parked key it waits for, since when and why, until somebody deals with that', async () => {
    const one = placedConsumer('one', guarded, async (order, ctx) => {
      if (order.n === 100) throw new Error('bad')
      await effect('one', order, ctx)
    })
    const world = await worldAfter([one], numbers(3, 1))
    await world.publish({ key: 'k0', n: 100 })
    await world.pass(60_000)
    const [letter] = (await world.runtime.deadLetters({})).items
    const row = await replay(world, { from: 'messages', consumer: 'one', toPosition: 3 })
    await world.pass(60_000)

    expect(await world.runtime.replay(row.id)).toMatchObject({
      state: 'running',
      waitsFor: [
        {
          consumer: 'one',
          key: 'k0',
          sinceMs: letter?.diedAtMs,
          because: letter?.causeTitle,
          deadLetter: letter?.id,
        },
      ],
    })
    await world.operate({ kind: 'dead-letter.drop', ids: [letter?.id ?? ''] })
    await world.pass(10_000)
    const over = await world.runtime.replay(row.id)
    expect(over).toMatchObject({ state: 'done', released: 3 })
    expect(over).not.toHaveProperty('waitsFor')
  })

  it('pauses, resumes and aborts, and lets live messages of its keys go on meanwhile', async () => {
    const one = effector('one', guarded)
    const world = await worldAfter([one], numbers(50, 1))
    const row = await replay(world, { from: 'messages', consumer: 'one' }, 10)
    await world.pass(1_000)

    await world.operate({ kind: 'replay.pause', id: row.id })
    await world.pass(1_000)
    const paused = await world.effects()
    await world.publish({ key: 'k0', n: 100 })
    await world.pass(60_000)
    expect(await world.effects()).toEqual([...paused, 'k0:100'])
    expect(await stateOf(world, row)).toMatchObject({ state: 'paused' })
    await expect(world.operate({ kind: 'replay.pause', id: row.id })).rejects.toThrow('paused')

    await world.operate({ kind: 'replay.resume', id: row.id })
    await world.pass(1_000)
    const resumed = await world.effects()
    // A minute of rest buys no burst.
    expect(resumed.length - paused.length - 1).toBeLessThanOrEqual(12)
    await world.operate({ kind: 'replay.abort', id: row.id })
    await world.pass(60_000)

    expect((await world.effects()).length).toBeLessThan(resumed.length + 3)
    expect(await stateOf(world, row)).toMatchObject({ state: 'aborted' })
    await expect(run(world, row)).rejects.toThrow('aborted')
    await world.publish({ key: 'k0', n: 200 })
    await world.runtime.idle()
    expect(await world.effects()).toContain('k0:200')
  })

  it('keeps to its rate', async () => {
    const one = effector('one', guarded)
    const world = await worldAfter([one], numbers(100, 7))
    await replay(world, { from: 'messages', consumer: 'one' }, 5)
    await world.pass(10_000)

    const replayed = (await world.effects()).length - 100
    expect(replayed).toBeGreaterThanOrEqual(48)
    expect(replayed).toBeLessThanOrEqual(52)
  })

  it('retries what fails under it in its order, and parks as the policy says', async () => {
    const failing = new Set<number>()
    const one = placedConsumer(
      'one',
      { ...guarded, retry: { attempts: 2, first: '1s', max: '1s', jitter: 'none' } },
      async (order, ctx) => {
        if (ctx.replay && order.n === 3 && !failing.has(3)) {
          failing.add(3)
          throw new Error('once')
        }
        if (ctx.replay && order.n === 6) throw new Error('always')
        await effect('one', order, ctx)
      },
    )
    const world = await worldAfter([one], numbers(10, 1))
    const row = await replay(world, { from: 'messages', consumer: 'one' })
    await world.pass(2_000)
    await world.publish({ key: 'k0', n: 50 })
    await world.pass(30_000)

    expect((await world.effects()).slice(10)).toEqual([
      'k0:0',
      'k0:1',
      'k0:2',
      'k0:3',
      'k0:4',
      'k0:5',
    ])
    const { items } = await world.runtime.deadLetters({})
    expect(items).toMatchObject([{ position: 7, attempts: 2 }])
    expect(await world.runtime.deadLetter(items[0]?.id ?? '')).toMatchObject({ successors: 4 })
    await world.operate({ kind: 'dead-letter.drop', ids: [items[0]?.id ?? ''] })
    await world.pass(10_000)

    expect((await world.effects()).slice(16)).toEqual(['k0:7', 'k0:8', 'k0:9', 'k0:50'])
    expect(await stateOf(world, row)).toMatchObject({ state: 'done' })
  })

  it('is started once, though two people start it at the same moment', async () => {
    const one = effector('one', guarded)
    const world = await worldAfter([one], numbers(10, 7))
    const row = await plan(world, { from: 'messages', consumer: 'one' })

    const results = await Promise.allSettled([run(world, row), run(world, row)])
    await world.pass(10_000)

    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(await world.effects()).toHaveLength(20)
  })
})
