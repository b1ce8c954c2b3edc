import { describe, expect, it } from 'vitest'
import { sleep } from '../kernel/index.ts'
import { createWorld, effect, type Order, placedConsumer } from './world.fixture.ts'

const of = (effects: readonly string[], key: string): readonly string[] =>
  effects.filter((one) => one.startsWith(`${key}:`))

const orders = (key: string, count: number): readonly Order[] =>
  Array.from({ length: count }, (_, index) => ({ key, n: index + 1 }))

const failing = new Error('not yet')

describe('the order of one key', () => {
  it('does not let a successor overtake a message that is retried, while other keys flow (M6, F66)', async () => {
    const world = createWorld()
    let failuresLeft = 2
    const one = placedConsumer('one', {}, async (order, ctx) => {
      if (order.key === 'a' && order.n === 1 && failuresLeft-- > 0) throw failing
      await effect('one', order, ctx)
    })
    await world.start([one])

    await world.publish(...orders('a', 3), ...orders('b', 3))
    await world.runtime.idle()
    expect(of(await world.effects(), 'b')).toEqual(['b:1', 'b:2', 'b:3'])
    expect(of(await world.effects(), 'a')).toEqual([])
    await world.pass(3_100)

    expect(of(await world.effects(), 'a')).toEqual(['a:1', 'a:2', 'a:3'])
  })

  it('parks the successors of a dead letter as rows and keeps none in memory (M8)', async () => {
    const world = createWorld()
    const one = placedConsumer(
      'one',
      { retry: { attempts: 1, first: 0, max: '1s' } },
      async (order, ctx) => {
        if (order.key === 'a') throw failing
        await effect('one', order, ctx)
      },
    )
    await world.start([one])

    await world.publish({ key: 'a', n: 0 })
    await world.runtime.idle()
    await world.publish(...orders('a', 1_000))
    await world.publish(...orders('b', 2))
    await world.runtime.idle()

    const letters = await world.runtime.deadLetters({})
    expect(letters.items).toHaveLength(1)
    const letter = await world.runtime.deadLetter(letters.items[0]?.id ?? '')
    expect(letter?.successors).toBe(1_000)
    expect(await world.effects()).toEqual(['b:1', 'b:2'])
    const [status] = await world.runtime.consumers()
    expect(status).toMatchObject({ lag: 0, parked: 1, inFlight: 0, watermark: 1_003 })
  })

  it('goes on with the key after a dead letter where the consumer says skip (M8)', async () => {
    const world = createWorld()
    const options = {
      afterDeadLetter: 'skip',
      retry: { attempts: 2, first: '1s', max: '1s' },
    } as const
    const one = placedConsumer('one', options, async (order, ctx) => {
      if (order.n === 2) throw failing
      await effect('one', order, ctx)
    })
    await world.start([one])

    await world.publish(...orders('a', 4))
    await world.pass(5_000)

    expect(await world.effects()).toEqual(['a:1', 'a:3', 'a:4'])
    expect((await world.runtime.deadLetters({})).items).toMatchObject([
      { parked: false, attempts: 2 },
    ])
    expect((await world.runtime.consumers())[0]).toMatchObject({ retrying: 0, parked: 0 })
  })

  it('holds across a crash while the head waits for its retry (M6, F7)', async () => {
    const world = createWorld()
    let isMended = false
    const one = placedConsumer('one', {}, async (order, ctx) => {
      if (!isMended && order.n === 1) throw failing
      await effect('one', order, ctx)
    })
    await world.start([one])
    await world.publish(...orders('a', 3))
    await world.runtime.idle()

    world.crash()
    isMended = true
    await world.start([one])
    await world.publish({ key: 'a', n: 4 })
    await world.pass(5_000)

    expect(await world.effects()).toEqual(['a:1', 'a:2', 'a:3', 'a:4'])
  })

  it('lets other keys take turns with one that has nine tenths of the traffic (F68)', async () => {
    const world = createWorld()
    const one = placedConsumer('one', { concurrency: 1 }, (order, ctx) =>
      effect('one', order, ctx).then(() => undefined),
    )
    await world.start([one])

    await world.publish(...orders('hot', 900), ...orders('cold', 1))
    await world.runtime.idle()

    const effects = await world.effects()
    expect(effects).toHaveLength(901)
    expect(effects.indexOf('cold:1')).toBeLessThan(600)
    expect(of(effects, 'hot')).toEqual(orders('hot', 900).map(({ n }) => `hot:${n}`))
  })

  it('keeps no order where the consumer wants none: a retry holds nobody', async () => {
    const world = createWorld()
    let failuresLeft = 1
    const one = placedConsumer('one', { ordering: 'none' }, async (order, ctx) => {
      if (order.n === 1 && failuresLeft-- > 0) throw failing
      await effect('one', order, ctx)
    })
    await world.start([one])

    await world.publish(...orders('a', 3))
    await world.runtime.idle()
    expect(await world.effects()).toEqual(['a:2', 'a:3'])
    await world.pass(2_000)

    expect(await world.effects()).toEqual(['a:2', 'a:3', 'a:1'])
  })

  it('keeps order and loses nothing while messages keep arriving through a slow disk', async () => {
    for (const diskMs of [7, 30, 90]) {
      const world = createWorld()
      const fault = (point: string): Promise<void> =>
        point === 'before-commit' ? sleep(world.clock, diskMs) : Promise.resolve()
      const retry = {
        attempts: 3,
        first: '200ms',
        factor: 1,
        max: '200ms',
        jitter: 'none',
      } as const
      const one = placedConsumer('one', { retry }, async (order, ctx) => {
        if (order.n % 9 === 3 && ctx.attempt === 1) throw failing
        await effect('one', order, ctx)
      })
      void world.start([one], { fault })
      await world.pass(5_000)
      const published: Promise<unknown>[] = []
      for (const order of orders('a', 150)) {
        published.push(world.publish(order))
        await world.pass(order.n % 40 === 0 ? 900 : 20)
      }
      await world.pass(120_000)
      await Promise.all(published)

      expect(await world.effects()).toEqual(orders('a', 150).map(({ n }) => `a:${n}`))
      expect((await world.runtime.consumers())[0]).toMatchObject({ lag: 0, retrying: 0 })
    }
  })

  it('keeps order while the store refuses some of the commits (F20)', async () => {
    const world = createWorld()
    let commits = 0
    const fault = (point: string): Promise<void> => {
      if (point === 'before-commit' && ++commits % 3 === 0) return Promise.reject(new Error('no'))
      return Promise.resolve()
    }
    let failuresLeft = 3
    const one = placedConsumer(
      'one',
      { retry: { attempts: 9, first: '1s', max: '2s' } },
      async (order, ctx) => {
        if (order.n === 2 && failuresLeft-- > 0) throw failing
        await effect('one', order, ctx)
      },
    )
    await world.start([one])
    world.crash()
    while (!(await world.boot([one], { fault }))) world.crash()

    for (const order of orders('a', 12)) {
      for (let tries = 0; tries < 5; tries++) {
        const done = await world.publish(order).then(
          () => true,
          () => false,
        )
        if (done) break
      }
      await world.pass(400)
    }
    await world.pass(60_000)

    expect(await world.effects()).toEqual(orders('a', 12).map(({ n }) => `a:${n}`))
  })
})
