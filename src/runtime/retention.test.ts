import { describe, expect, it } from 'vitest'
import {
  consumer,
  type Consumer,
  event,
  integration,
  type Integration,
  jsonSchema,
  system,
  unsigned,
  webhook,
} from '../contract/index.ts'
import { bodyOfBytes } from '../ingress/index.ts'
import type { StoredRecord } from '../store/index.ts'
import { createMemoryBroker } from '../testing/index.ts'
import { replay } from './replays.fixture.ts'
import {
  createWorld,
  effect,
  EFFECTS,
  type Order,
  owners,
  policy,
  type StartOptions,
  type World,
} from './world.fixture.ts'

const HOUR_MS = 3_600_000

const schema = jsonSchema<Order>({
  type: 'object',
  required: ['key', 'n'],
  properties: { key: { type: 'string' }, n: { type: 'number' } },
})

const Moved = event('stock.moved', {
  owner: owners,
  key: 'key',
  retention: '2h',
  versions: { 1: schema },
})
const Quiet = event('rare.happened', {
  owner: owners,
  key: 'key',
  retention: '2h',
  versions: { 1: schema },
})

const Lasting = event('rare.stayed', {
  owner: owners,
  key: 'key',
  retention: '6h',
  versions: { 1: schema },
})

/** A partner's own, kept as long as its keys are. */
const Told = event('partner.told', { owner: owners, retention: '7d', versions: { 1: schema } })

const mover = (
  isBad: (order: Order) => boolean,
  options: {
    readonly retry?: { attempts: number; first: '24h'; max: '24h' }
    readonly replay?: 'guarded'
  } = {},
): Consumer =>
  consumer('mover', {
    ...policy,
    retry: { attempts: 1, first: 0, max: '1s' },
    ...options,
    on: Moved,
    handle: async (order, ctx) => {
      if (isBad(order)) throw new Error('bad')
      await effect('mover', order, ctx)
    },
  })

const quiet = consumer('quiet', { ...policy, on: Quiet, handle: () => Promise.resolve() })

const start = (
  world: World,
  parts: readonly Consumer[],
  options: StartOptions = {},
): Promise<unknown> =>
  world.start(parts, {
    partitionMs: HOUR_MS,
    build: (all) => integration('stock', { parts: [Quiet, ...all], tables: [EFFECTS] }),
    ...options,
  })

const publish = async (world: World, ...orders: readonly Order[]): Promise<void> => {
  await world.runtime.publishMany(orders.map((order) => Moved.of(order)))
  await world.pass(100)
}

/** One message an hour closes the partition of the hour before. */
const passHours = async (world: World, hours: number): Promise<void> => {
  for (let hour = 0; hour < hours; hour++) {
    await world.pass(HOUR_MS)
    await publish(world, { key: 'tick', n: hour })
  }
}

const kept = async (world: World): Promise<readonly number[]> =>
  (await world.runtime.messages({ limit: 500 })).items.map(({ position }) => position)

describe('retention', () => {
  it('drops whole partitions that every consumer has passed, also one on a quiet channel (M35)', async () => {
    const world = createWorld()
    await start(world, [mover(() => false), quiet])
    await publish(world, { key: 'a', n: 1 }, { key: 'b', n: 2 })
    expect(await kept(world)).toEqual([2, 1])
    await passHours(world, 5)

    const positions = await kept(world)
    expect(positions).not.toContain(1)
    expect(positions).toContain(7)
    world.crash()
    await start(world, [mover(() => false), quiet])
    await world.pass(1_000)
    expect(await world.effects()).toHaveLength(7)
  })

  it('keeps a contract of shorter retention as long as the longest: to be read and replayed', async () => {
    const world = createWorld()
    const parts = [
      mover(() => false, { replay: 'guarded' }),
      consumer('quiet', { ...policy, on: Lasting, handle: () => Promise.resolve() }),
    ]
    const build = (all: readonly Consumer[]): Integration =>
      integration('stock', { parts: all, tables: [EFFECTS] })
    await start(world, parts, { build })
    await publish(world, { key: 'a', n: 1 })
    await passHours(world, 4)
    expect(await kept(world)).toContain(1)

    const filter = { from: 'messages', consumer: 'mover', key: 'a' } as const
    await replay(world, filter)
    await passHours(world, 4)

    expect((await world.effects()).filter((one) => one.startsWith('a:'))).toEqual(['a:1', 'a:1'])
    expect(await kept(world)).not.toContain(1)
  })

  it('keeps everything while a consumer has not passed it', async () => {
    const world = createWorld()
    await start(world, [mover(() => false), quiet])
    await world.operate({ kind: 'consumer.pause', name: 'mover' })
    await publish(world, { key: 'a', n: 1 })
    await passHours(world, 6)
    expect(await kept(world)).toContain(1)

    await world.operate({ kind: 'consumer.resume', name: 'mover' })
    await world.pass(HOUR_MS)

    expect(await world.effects()).toHaveLength(7)
    expect(await kept(world)).not.toContain(1)
  })

  it('copies aside what an exception still needs, so that it can be tried again, and forgets it then', async () => {
    const world = createWorld()
    let isMended = false
    await start(world, [mover((order) => !isMended && order.key === 'a'), quiet])
    await publish(world, { key: 'a', n: 1 }, { key: 'a', n: 2 })
    await passHours(world, 6)
    expect(await kept(world)).not.toContain(1)
    const [letter] = (await world.runtime.deadLetters({})).items
    expect(await world.runtime.deadLetter(letter?.id ?? '')).toMatchObject({
      payload: { key: 'a', n: 1 },
      successors: 1,
    })
    world.crash()
    isMended = true
    await start(world, [mover(() => false), quiet])
    await world.operate({ kind: 'dead-letter.retry', ids: [letter?.id ?? ''] })
    await world.pass(HOUR_MS)

    expect((await world.effects()).filter((one) => one.startsWith('a:'))).toEqual(['a:1', 'a:2'])
    expect(await world.runtime.deadLetter(letter?.id ?? '')).toMatchObject({
      state: 'resolved',
      payload: null,
    })
  })

  it('keeps the raw message whose transform failed, so that it can be tried again', async () => {
    const world = createWorld()
    let isMended = false
    const hook = webhook('partner', {
      from: system('partner', { owner: owners }),
      path: '/webhooks/partner',
      verify: unsigned({ reason: 'a test' }),
      accepts: Told,
      retriesFor: '1h',
      idempotency: { retention: '7d' },
      emit: (order) => {
        if (!isMended) throw new Error('not yet')
        return Moved.of(order)
      },
    })
    await start(world, [mover(() => false)], {
      partitionMs: 24 * HOUR_MS,
      build: (all) => integration('stock', { parts: [hook, ...all], tables: [EFFECTS] }),
    })
    const answer = await world.runtime.ingress.handle({
      method: 'POST',
      target: '/webhooks/partner',
      rawHeaders: ['content-type', 'application/json'],
      body: bodyOfBytes(Buffer.from(JSON.stringify({ key: 'a', n: 1 }))),
      remoteAddress: '127.0.0.1',
    })
    expect(answer).toMatchObject({ status: 202 })
    for (let day = 0; day < 10; day++) {
      await world.pass(24 * HOUR_MS)
      await publish(world, { key: 'tick', n: day })
    }
    expect(await kept(world)).not.toContain(1)

    isMended = true
    const { items } = await world.runtime.deadLetters({})
    await world.operate({ kind: 'dead-letter.retry', ids: items.map(({ id }) => id) })
    await world.pass(1_000)

    expect(await world.effects()).toContain('a:1')
    expect((await world.runtime.deadLetters({})).items).toEqual([])
  })

  it('keeps what waits for a retry of tomorrow', async () => {
    const world = createWorld()
    let isMended = false
    const retry = { retry: { attempts: 5, first: '24h', max: '24h' } } as const
    await start(world, [mover((order) => !isMended && order.key === 'a', retry), quiet])
    await publish(world, { key: 'a', n: 1 })
    await passHours(world, 5)
    isMended = true
    await passHours(world, 20)

    expect((await world.effects()).filter((one) => one.startsWith('a:'))).toEqual(['a:1'])
  })

  it('gives a partition to the archive before it is dropped, and keeps it while the archive refuses', async () => {
    const world = createWorld()
    const archived: number[] = []
    let refusals = 3
    const archive = async (
      _partition: unknown,
      records: AsyncIterable<StoredRecord>,
    ): Promise<void> => {
      if (refusals-- > 0) throw new Error('the archive is down')
      for await (const { position } of records) archived.push(position)
    }
    await start(world, [mover(() => false), quiet], { archive })
    await publish(world, { key: 'a', n: 1 }, { key: 'b', n: 2 })
    await passHours(world, 6)

    expect(refusals).toBeLessThan(0)
    expect(new Set(archived.slice(0, 2))).toEqual(new Set([1, 2]))
    expect(new Set(archived).size).toBe(archived.length)
    expect(await kept(world)).not.toContain(1)
  })
})

describe('a bridge that is taken out for a while', () => {
  const bridges = (): StartOptions => ({
    bridges: [{ engine: 'custom', name: 'other', open: async () => createMemoryBroker() }],
  })
  const lossesOf = async (world: World): Promise<readonly string[]> => {
    const { items } = await world.runtime.alerts({})
    return items.filter(({ kind }) => kind === 'transport-loss').map(({ title }) => title)
  }
  const close = async (world: World): Promise<void> => {
    let isClosed = false
    void world.runtime.close().then(() => (isClosed = true))
    while (!isClosed) await world.pass(100)
  }

  it('is told what the log has dropped without it, of each channel', async () => {
    const world = createWorld()
    await start(world, [mover(() => false), quiet], bridges())
    await publish(world, { key: 'a', n: 1 })
    await close(world)
    await start(world, [mover(() => false), quiet])
    await passHours(world, 6)
    await close(world)
    await start(world, [mover(() => false), quiet], bridges())
    await world.pass(1_000)

    expect(await lossesOf(world)).toContainEqual(
      expect.stringMatching(/all of channel stock: positions 2 to \d+ are not in the log/),
    )
    await close(world)
  })

  it('has lost nothing where it was there, also of a channel that was quiet', async () => {
    const world = createWorld()
    await start(world, [mover(() => false), quiet], bridges())
    await passHours(world, 6)
    await close(world)
    await start(world, [mover(() => false), quiet], {
      bridges: [
        { engine: 'custom', name: 'other', open: async () => createMemoryBroker() },
        { engine: 'custom', name: 'new', from: 'earliest', open: async () => createMemoryBroker() },
      ],
    })
    await world.pass(1_000)

    expect((await lossesOf(world)).filter((title) => title.includes('not in the log'))).toEqual([])
    await close(world)
  })
})
