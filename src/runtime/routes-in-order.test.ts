import { describe, expect, it } from 'vitest'
import { resequence, type ResequenceOptions } from '../flow/index.ts'
import { build, orders, run, start } from './routes.fixture.ts'
import { createWorld, never, owners, Placed, Shipped, type Order } from './world.fixture.ts'

const MINUTE_MS = 60_000

describe('a resequencer', () => {
  const inOrder = (options: Partial<ResequenceOptions<typeof Placed>> = {}) =>
    resequence('in-order', {
      owner: owners,
      on: Placed,
      from: 'earliest',
      emits: Shipped,
      sequence: ({ n }) => n,
      timeout: '1m',
      onGap: 'skip',
      late: 'discard',
      emit: (order) => Shipped.of(order),
      ...options,
    })

  it('gives messages on in the order of their numbers, each sequence by itself', async () => {
    const effects = await run(inOrder(), 'a:2', 'b:1', 'a:3', 'a:1', 'b:2', 'a:1')

    expect(effects.filter((one) => one.startsWith('a'))).toEqual(['a:1', 'a:2', 'a:3'])
    expect(effects.filter((one) => one.startsWith('b'))).toEqual(['b:1', 'b:2'])
  })

  it('tells of a gap that stays, and goes on without it', async () => {
    const world = createWorld()
    await start(world, [inOrder()])
    await world.publish(...orders('a:1', 'a:4', 'a:5'))
    await world.pass(MINUTE_MS / 2)
    expect(await world.effects()).toEqual(['a:1'])
    await world.pass(MINUTE_MS)

    expect(await world.effects()).toEqual(['a:1', 'a:4', 'a:5'])
    const { items } = await world.runtime.alerts({ state: 'open' })
    expect(items).toMatchObject([
      { kind: 'route-gap', title: expect.stringContaining('numbers 2 to 3 are missing') },
    ])
    await world.publish(...orders('a:6', 'a:2'))
    await world.runtime.idle()
    expect(await world.effects()).toEqual(['a:1', 'a:4', 'a:5', 'a:6'])
  })

  it('tells of a gap and goes on waiting where it says so', async () => {
    const world = createWorld()
    await start(world, [inOrder({ onGap: 'wait' })])
    await world.publish(...orders('a:2'))
    await world.pass(3 * MINUTE_MS)
    expect(await world.effects()).toEqual([])
    expect((await world.runtime.alerts({ state: 'open' })).items).toHaveLength(1)

    await world.publish(...orders('a:1'))
    await world.runtime.idle()

    expect(await world.effects()).toEqual(['a:1', 'a:2'])
  })

  it('waits for no more than its window, and hands out long runs in lots', async () => {
    const world = createWorld()
    await start(world, [inOrder({ window: 150, timeout: '1h' })])
    await world.publish(...orders(...Array.from({ length: 149 }, (_, n) => `a:${n + 2}`)))
    await world.pass(5_000)
    expect(await world.effects()).toEqual([])

    await world.publish(...orders('a:151'))
    await world.pass(10_000)

    expect(await world.effects()).toEqual(Array.from({ length: 150 }, (_, n) => `a:${n + 2}`))
  })

  it('goes on without a gap also while it is far behind', async () => {
    const world = createWorld()
    let isSlow = false
    const fault = async (point: string): Promise<void> => {
      if (!isSlow || point !== 'before-commit') return
      await new Promise<void>((resolve) => world.clock.setTimer(1_000, resolve))
    }
    await start(world, [])
    for (let from = 2; from < 6_000; from += 1_000) {
      await world.publish(...orders(...Array.from({ length: 1_000 }, (_, n) => `a:${n + from}`)))
    }
    await world.runtime.close()
    isSlow = true
    let taken = 0
    let takenAtFirst: number | undefined
    const route = inOrder({
      window: 10,
      sequence: ({ n }) => {
        taken += 1
        return n
      },
      emit: (order) => {
        takenAtFirst ??= taken
        return Shipped.of(order)
      },
    })
    const started = start(world, [route], { fault })
    await world.pass(120_000)
    isSlow = false
    await world.pass(20_000)
    await started

    expect(taken).toBeGreaterThanOrEqual(6_000)
    expect(takenAtFirst).toBeLessThan(3_000)
  }, 60_000)

  it('makes what is behind a dead letter, or passes it on, where it says so', async () => {
    expect(await run(inOrder({ late: 'emit', first: 5 }), 'a:5', 'a:1')).toEqual(['a:5', 'a:1'])
    const world = createWorld()
    await start(world, [inOrder({ late: 'dead-letter', first: 5 })])
    await world.publish(...orders('a:1'))
    await world.runtime.idle()

    expect((await world.runtime.deadLetters({})).items).toMatchObject([
      { errorName: 'BehindSequence' },
    ])
  })

  it('loses and repeats nothing wherever the process dies (S1)', async () => {
    for (let crashAt = 1; crashAt <= 30; crashAt++) {
      const world = createWorld()
      let commits = 0
      let isArmed = false
      const fault = async (point: string): Promise<void> => {
        if (!isArmed || point === 'read' || ++commits !== crashAt) return
        world.crash()
        await never()
      }
      const options = { fault, build: build([inOrder({ timeout: '20s' })]) }
      await world.start([], options)
      await world.publish(...orders('a:3', 'a:1', 'b:2', 'a:2', 'a:5'))
      isArmed = true
      for (let step = 0; step < 5; step++) {
        await world.pass(10_000)
        while (!world.isUp) await world.boot([], options)
      }

      const effects = await world.effects()
      expect([crashAt, effects.filter((one) => one.startsWith('a'))]).toEqual([
        crashAt,
        ['a:1', 'a:2', 'a:3', 'a:5'],
      ])
      expect(effects).toContain('b:2')
    }
  }, 60_000)

  it('is held up by no message that it cannot give on, nor are the other sequences', async () => {
    let isBroken = true
    const emit = (order: Order) => {
      if (isBroken && order.key === 'a') throw new Error('no format')
      return Shipped.of(order)
    }
    const world = createWorld()
    await start(world, [inOrder({ emit })])
    await world.publish(...orders('a:2', 'b:2'))
    await world.pass(2 * MINUTE_MS)

    expect(await world.effects()).toEqual(['b:2'])
    const { items } = await world.runtime.alerts({ state: 'open' })
    expect(items.map(({ kind }) => kind).sort()).toEqual(['route-gap', 'route-stuck'])

    isBroken = false
    await world.pass(2 * MINUTE_MS)
    expect(await world.effects()).toEqual(['b:2', 'a:2'])
  })

  it('tells of every gap that it went on without, wherever the process dies (S1)', async () => {
    for (let crashAt = 30; crashAt <= 60; crashAt++) {
      const world = createWorld()
      let commits = 0
      let isArmed = false
      const fault = async (point: string): Promise<void> => {
        if (!isArmed || point === 'read' || ++commits !== crashAt) return
        world.crash()
        await never()
      }
      const options = { fault, build: build([inOrder({ timeout: '20s' })]) }
      await world.start([], options)
      await world.publish(...orders('a:2'))
      isArmed = true
      for (let step = 0; step < 5; step++) {
        await world.pass(10_000)
        while (!world.isUp) await world.boot([], options)
      }

      expect(await world.effects()).toEqual(['a:2'])
      const { items } = await world.runtime.alerts({ state: 'open' })
      expect([crashAt, items.map(({ kind }) => kind)]).toEqual([crashAt, ['route-gap']])
    }
  }, 60_000)

  it('loses no other message that has the number of one that waits', async () => {
    const world = createWorld()
    await start(world, [inOrder({ late: 'dead-letter' })])
    await world.publish(...orders('a:2', 'a:2'))
    await world.runtime.idle()

    expect((await world.runtime.deadLetters({})).items).toMatchObject([
      { errorName: 'BehindSequence' },
    ])
  })
})
