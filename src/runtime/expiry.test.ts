import { describe, expect, it } from 'vitest'
import {
  consumer,
  type Consumer,
  type ConsumerContext,
  type ConsumerPolicy,
  event,
} from '../contract/index.ts'
import { METRICS } from '../observe/index.ts'
import {
  createWorld,
  effect,
  type Order,
  orderSchema,
  owners,
  policy,
  type World,
} from './world.fixture.ts'

const options = { owner: owners, key: 'key', versions: { 1: orderSchema } } as const
const Quoted = event('prices.quoted', { ...options, ttl: '1m' })

type Handle = (order: Order, ctx: ConsumerContext) => Promise<unknown>

const quoted = (
  handle: Handle = (order, ctx) => effect('one', order, ctx),
  more: Partial<ConsumerPolicy> = {},
): Consumer =>
  consumer('one', {
    ...policy,
    ...more,
    on: Quoted,
    handle: async (order, ctx) => void (await handle(order, ctx)),
  })

const publish = (world: World, ...orders: readonly Order[]): Promise<readonly string[]> =>
  world.runtime.publishMany(orders.map((order) => Quoted.of(order)))

const expiredOf = (world: World): number => {
  const family = world.runtime.metrics.read(METRICS.expired)
  if (family?.kind !== 'number') return 0
  return family.points.find(({ labels }) => labels['consumer'] === 'one')?.value ?? 0
}

describe('a message whose ttl has passed', () => {
  it('is discarded at receive, counted and shown, and is no dead letter (M16, F96)', async () => {
    const world = createWorld()
    await world.start([quoted()])
    await world.operate({ kind: 'consumer.pause', name: 'one' })
    const [late = ''] = await publish(world, { key: 'a', n: 1 }, { key: 'b', n: 2 })
    await world.pass(60_000)
    const [fresh = ''] = await publish(world, { key: 'a', n: 3 })

    await world.operate({ kind: 'consumer.resume', name: 'one' })
    await world.runtime.idle()

    expect(await world.effects()).toEqual(['a:3'])
    expect(expiredOf(world)).toBe(2)
    expect((await world.runtime.deadLetters({})).items).toEqual([])
    expect(await world.runtime.message(late)).toMatchObject({
      status: 'expired',
      consumers: [{ status: 'expired', attempts: [] }],
    })
    expect(await world.runtime.message(fresh)).toMatchObject({ status: 'done' })
    const { items } = await world.runtime.messages({ status: 'expired' })
    expect(items).toHaveLength(2)
  })

  it('is discarded at the recovery after a crash, and stays so after the next (M16)', async () => {
    const world = createWorld()
    await world.start([quoted(() => new Promise(() => undefined))])
    const [id = ''] = await publish(world, { key: 'a', n: 1 })
    await world.pass(1_000)
    world.crash()
    await world.pass(60_000)

    await world.start([quoted()])
    await world.pass(1_000)
    expect(expiredOf(world)).toBe(1)
    world.crash()
    await world.start([quoted()])
    await world.runtime.idle()

    expect(await world.effects()).toEqual([])
    expect(await world.runtime.message(id)).toMatchObject({ status: 'expired' })
    // No second discard: what is counted once is not looked at again.
    expect(expiredOf(world)).toBe(0)
  })

  it('is not tried again, and lets its key go on (M16)', async () => {
    const world = createWorld()
    const runs: number[] = []
    const failing = quoted(
      async (order, ctx) => {
        runs.push(order.n)
        if (order.n < 3) throw new Error('not yet')
        await effect('one', order, ctx)
      },
      {
        afterDeadLetter: 'skip',
        retry: { attempts: 4, first: '19s', factor: 1, max: '19s', jitter: 'none' },
      },
    )
    await world.start([failing])
    await publish(world, { key: 'a', n: 1 }, { key: 'a', n: 2 })
    await world.pass(30_000)
    await publish(world, { key: 'a', n: 3 })
    await world.pass(60_000)

    // The second waited for the first, failed once, and was too late for another attempt.
    expect(runs).toEqual([1, 1, 1, 1, 2, 3])
    expect(await world.effects()).toEqual(['a:3'])
    expect(expiredOf(world)).toBe(1)
    expect((await world.runtime.deadLetters({})).items).toHaveLength(1)
    expect(await world.runtime.consumers()).toMatchObject([{ retrying: 0, parked: 0, lag: 0 }])
  })

  it('is discarded when its dead letter is tried again, and the letter with it (M16)', async () => {
    const world = createWorld()
    const failing = quoted(() => Promise.reject(new Error('never')), {
      retry: { attempts: 1, first: 0, max: '1s' },
    })
    await world.start([failing])
    const [id = ''] = await publish(world, { key: 'a', n: 1 })
    await world.runtime.idle()
    const [letter] = (await world.runtime.deadLetters({})).items
    await world.pass(60_000)

    await world.operate({ kind: 'dead-letter.retry', ids: [letter?.id ?? ''] })
    await world.pass(1_000)

    expect((await world.runtime.deadLetters({})).items).toEqual([])
    const dropped = await world.runtime.deadLetters({ state: 'dropped' })
    expect(dropped.items).toMatchObject([{ id: letter?.id, resolvedBy: 'its ttl' }])
    expect(await world.runtime.message(id)).toMatchObject({ status: 'expired' })
    expect((await world.runtime.overview()).alertsOpen).toBe(0)
  })

  it('is left out of a batch, and the others of the batch are handled together (M16)', async () => {
    const world = createWorld()
    const batches: number[][] = []
    const one = consumer('one', {
      ...policy,
      on: Quoted,
      batch: { max: 10, maxAge: 0 },
      handleBatch: (batch) => {
        batches.push(batch.map(({ data }) => data.n))
        return Promise.resolve()
      },
    })
    await world.start([one])
    await world.operate({ kind: 'consumer.pause', name: 'one' })
    await publish(world, { key: 'a', n: 1 }, { key: 'b', n: 2 })
    await world.pass(60_000)
    await publish(world, { key: 'a', n: 3 }, { key: 'a', n: 4 })
    await world.operate({ kind: 'consumer.resume', name: 'one' })
    await world.runtime.idle()

    expect(batches).toEqual([[3, 4]])
    expect(expiredOf(world)).toBe(2)
  })

  it('is not what a jump of the wall clock makes of it (M16, F35)', async () => {
    const world = createWorld()
    await world.start([quoted()])
    await world.operate({ kind: 'consumer.pause', name: 'one' })
    await publish(world, { key: 'a', n: 1 })
    world.clock.stepWall(3_600_000)
    await world.operate({ kind: 'consumer.resume', name: 'one' })
    await world.runtime.idle()

    expect(await world.effects()).toEqual(['a:1'])
    expect(expiredOf(world)).toBe(0)
  })

  it('is told of as long as it may be in the log', async () => {
    const world = createWorld()
    const short = event('prices.quoted', { ...options, ttl: '1m', retention: '2h' })
    const one = consumer('one', { ...policy, on: short, handle: () => Promise.resolve() })
    await world.start([one])
    await world.operate({ kind: 'consumer.pause', name: 'one' })
    const [id = ''] = await world.runtime.publishMany([short.of({ key: 'a', n: 1 })])
    await world.pass(60_000)
    await world.operate({ kind: 'consumer.resume', name: 'one' })
    await world.pass(3_600_000)
    expect(await world.runtime.message(id)).toMatchObject({ status: 'expired' })

    await world.pass(2 * 3_600_000)

    // The open part of the log still has it; what became of it is forgotten.
    expect(await world.runtime.message(id)).toMatchObject({ status: 'done' })
  })
})
