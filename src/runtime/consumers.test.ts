import { describe, expect, it } from 'vitest'
import { consumer, type Consumer, event, jsonSchema } from '../contract/index.ts'
import { METRICS } from '../observe/index.ts'
import type { Leases } from '../store/index.ts'
import { leasesOf } from './leases.fixture.ts'
import {
  createWorld,
  effect,
  type Order,
  owners,
  placedConsumer,
  policy,
  Shipped,
} from './world.fixture.ts'

const plain = (
  name: string,
  options: Partial<Parameters<typeof placedConsumer>[1]> = {},
): Consumer =>
  placedConsumer(name, options, (order, ctx) => effect(name, order, ctx).then(() => undefined))

const numbers = (count: number, key = (n: number): string => `k${n}`): readonly Order[] =>
  Array.from({ length: count }, (_, n) => ({ key: key(n), n }))

describe('a new consumer', () => {
  it('begins now, with the earliest message, or at a position, and keeps that over restarts', async () => {
    const world = createWorld()
    await world.start([plain('first')])
    await world.publish(...numbers(5))
    await world.runtime.close()
    const parts = [
      plain('first'),
      plain('now', { from: 'now' }),
      plain('all', { from: 'earliest' }),
      plain('third', { from: { position: 3 } }),
    ]

    await world.start(parts)
    await world.runtime.idle()
    world.crash()
    await world.start(parts)
    await world.publish({ key: 'late', n: 9 })
    await world.runtime.idle()

    expect(await world.effects('first')).toHaveLength(6)
    expect(await world.effects('now')).toEqual(['late:9'])
    expect(await world.effects('all')).toHaveLength(6)
    expect(await world.effects('third')).toEqual(['k2:2', 'k3:3', 'k4:4', 'late:9'])
  })
})

describe('a renamed consumer', () => {
  it('keeps progress, what waits for a retry, parked successors and dead letters, also when it dies on the way', async () => {
    for (let dieAt = 0; dieAt < 14; dieAt++) {
      const world = createWorld()
      let isMended = false
      const handle = (name: string) => async (order: Order, ctx: Parameters<typeof effect>[2]) => {
        if (!isMended && order.key !== 'good') throw new Error(order.key)
        await effect(name, order, ctx)
      }
      const permanent = {
        ...policy,
        retry: { attempts: 3, first: '1h', max: '1h', jitter: 'none' },
      } as const
      // A neighbour whose name sorts before, so that scans do not begin with ours.
      const other = plain('aaa')
      const old = placedConsumer('old', permanent, handle('old'))
      const bad = { ...old, permanent: ['Error'] }
      await world.start([other, bad])
      await world.publish({ key: 'good', n: 1 }, { key: 'dead', n: 2 }, { key: 'dead', n: 3 })
      await world.runtime.idle()
      world.crash()
      await world.start([other, old])
      await world.publish({ key: 'slow', n: 4 }, { key: 'slow', n: 5 })
      await world.runtime.idle()
      await world.runtime.close()

      isMended = true
      const renamed = placedConsumer('new', { ...permanent, was: 'old' }, handle('new'))
      let commits = 0
      const fault = async (point: string): Promise<void> => {
        if (point !== 'after-commit' || ++commits !== dieAt) return
        world.crash()
        await new Promise(() => undefined)
      }
      await world.boot([other, renamed], { fault })
      world.crash()
      await world.start([other, renamed])
      await world.pass(3_700_000)
      const { items } = await world.runtime.deadLetters({ consumer: 'new' })
      expect(items).toMatchObject([{ key: 'dead', parked: true }])
      await world.operate({ kind: 'dead-letter.retry', ids: [items[0]?.id ?? ''] })
      await world.runtime.idle()

      expect(await world.effects('old')).toEqual(['good:1'])
      expect([...(await world.effects('new'))].sort()).toEqual([
        'dead:2',
        'dead:3',
        'slow:4',
        'slow:5',
      ])
      expect((await world.runtime.overview()).alertsOpen).toBe(0)
      world.crash()
    }
  })
})

describe('a retired consumer', () => {
  it('leaves nothing behind: no lanes, timers or open dead letters, and its alert is resolved', async () => {
    const world = createWorld()
    const parts = [plain('aaa'), plain('zzz')]
    const gone = placedConsumer('gone', { retry: { attempts: 2, first: '1h', max: '1h' } }, () =>
      Promise.reject(new Error('bad')),
    )
    await world.start([...parts, { ...gone, permanent: ['Error'] }])
    await world.publish({ key: 'a', n: 1 }, { key: 'a', n: 2 })
    await world.pass(1_000)
    world.crash()
    await world.start([...parts, gone])
    await world.publish({ key: 'b', n: 3 })
    await world.pass(1_000)
    await expect(world.operate({ kind: 'consumer.retire', name: 'gone' })).rejects.toThrow('runs')
    await world.runtime.close()

    await world.start(parts)
    const { result } = await world.operate({ kind: 'consumer.retire', name: 'gone' })
    await world.pass(2_000)

    // Its progress, two lanes, a successor, a timer and a dead letter.
    expect(result).toMatchObject({ removed: 6 })
    expect((await world.runtime.overview()).deadLettersOpen).toBe(0)
    expect((await world.runtime.overview()).alertsOpen).toBe(0)
    await expect(world.operate({ kind: 'consumer.retire', name: 'gone' })).rejects.toMatchObject({
      code: 'JUNCTURA_NOT_FOUND',
    })
    expect(await world.effects('aaa')).toHaveLength(3)
  })

  it('can be begun by no worker of a shared store meanwhile, and not where one has it', async () => {
    const world = createWorld()
    const others: string[] = []
    const leases = leasesOf(others)
    const gone = placedConsumer('gone', { partitions: 2 }, () => Promise.resolve())
    await world.start([gone], { leases })
    await world.pass(1_000)
    await world.runtime.close()
    const taken: string[] = []
    let heldAtCommit: readonly string[] = []
    const watched: Leases = {
      ...leases,
      take: (request) => {
        taken.push(request.name)
        return leases.take(request)
      },
    }
    const fault = async (): Promise<void> => {
      const all = [...((await leases.list?.()) ?? new Map()).keys()]
      if (all.includes('progress/gone')) heldAtCommit = all
    }
    await world.start([plain('aaa')], { leases: watched, fault })

    others.push('consumer/gone/32-63')
    const retire = { kind: 'consumer.retire', name: 'gone' } as const
    await expect(world.operate(retire)).rejects.toThrow('consumer/gone/32-63')
    expect((await leases.list?.())?.has('progress/gone')).toBe(false)
    others.splice(0)
    expect((await world.operate(retire)).result).toMatchObject({ removed: 2 })

    expect(heldAtCommit).toEqual(
      expect.arrayContaining(['progress/gone', 'consumer/gone/0-31', 'consumer/gone/32-63']),
    )
    expect((await leases.list?.())?.has('consumer/gone/0-31')).toBe(false)
  })
})

describe('a paused consumer', () => {
  it('starts nothing, also no retry, until it is resumed; a restart does not resume it', async () => {
    const world = createWorld()
    let failuresLeft = 1
    const one = placedConsumer('one', {}, async (order, ctx) => {
      if (order.n === 0 && failuresLeft-- > 0) throw new Error('once')
      await effect('one', order, ctx)
    })
    await world.start([one])
    await world.publish({ key: 'a', n: 0 })
    await world.runtime.idle()
    await world.operate({ kind: 'consumer.pause', name: 'one' })
    await world.publish(...numbers(3, () => 'a'))
    await world.pass(60_000)
    expect(await world.effects()).toEqual([])
    await world.runtime.close()
    await world.start([one])
    await world.pass(60_000)
    expect(await world.effects()).toEqual([])

    await world.operate({ kind: 'consumer.resume', name: 'one' })
    await world.pass(60_000)

    expect(await world.effects()).toEqual(['a:0', 'a:0', 'a:1', 'a:2'])
  })
})

describe('a batch consumer', () => {
  const batching = (
    options: Partial<{ max: number; maxAge: '1s' }>,
    onBatch: (orders: readonly Order[], attempt: number) => Promise<void> | void,
  ): Consumer =>
    consumer('batch', {
      ...policy,
      on: plainContract,
      batch: { max: options.max ?? 10, maxAge: options.maxAge ?? '1s' },
      handleBatch: async (items, ctx) => {
        await onBatch(
          items.map(({ data }) => data),
          ctx.attempt,
        )
        await ctx.tx(async (db) => {
          for (const { data } of items) {
            await db.run(
              'insert into effects(consumer, key, n) values ($1, $2, $3)',
              'batch',
              data.key,
              data.n,
            )
          }
        })
      },
    })
  const plainContract = plainPlaced()

  it('takes as many as there are up to its maximum, in the order of each key', async () => {
    const world = createWorld()
    const sizes: number[] = []
    await world.start([batching({}, (orders) => void sizes.push(orders.length))])
    await world.publish(...numbers(35, (n) => `k${n % 3}`))
    await world.pass(5_000)

    expect(sizes).toEqual([10, 10, 10, 5])
    const effects = await world.effects()
    for (const key of ['k0', 'k1', 'k2']) {
      const own = effects
        .filter((one) => one.startsWith(`${key}:`))
        .map((one) => Number(one.slice(3)))
      expect(own).toEqual([...own].sort((a, b) => a - b))
    }
    expect(effects).toHaveLength(35)
  })

  it('waits no longer than its age for a batch that does not fill', async () => {
    const world = createWorld()
    await world.start([batching({}, () => undefined)])
    await world.publish(...numbers(3))
    await world.pass(900)
    expect(await world.effects()).toHaveLength(0)
    await world.pass(200)
    expect(await world.effects()).toHaveLength(3)
  })

  it('that fails runs one by one: only the culprit is counted and its key held', async () => {
    const world = createWorld()
    const alone: [number, number][] = []
    const part = batching({}, (orders, attempt) => {
      if (orders.length === 1) alone.push([orders[0]?.n ?? -1, attempt])
      if (orders.some(({ n }) => n === 4)) throw new Error('bad')
    })
    await world.start([part])
    await world.publish(...numbers(10, (n) => (n < 8 ? `k${n % 2}` : `k${n}`)))
    await world.pass(60_000)

    const effects = await world.effects()
    expect([...effects].sort()).toEqual([
      'k0:0',
      'k0:2',
      'k1:1',
      'k1:3',
      'k1:5',
      'k1:7',
      'k8:8',
      'k9:9',
    ])
    const { items } = await world.runtime.deadLetters({})
    expect(items).toMatchObject([{ key: 'k0', attempts: 3 }])
    expect(await world.runtime.deadLetter(items[0]?.id ?? '')).toMatchObject({ successors: 1 })
    expect(alone.filter(([n]) => n !== 4).every(([, attempt]) => attempt === 1)).toBe(true)
  })

  it('loses and repeats nothing over crashes', async () => {
    const world = createWorld()
    const part = batching({ max: 7 }, () => undefined)
    await world.start([part])
    for (let crash = 0; crash < 12; crash++) {
      await world.publish(
        ...numbers(20, (n) => `k${n % 4}`).map(({ key, n }) => ({ key, n: n + crash * 100 })),
      )
      for (let turn = 0; turn < crash; turn++) await world.clock.yield()
      world.crash()
      await world.start([part])
    }
    await world.pass(60_000)

    const effects = await world.effects()
    expect(effects).toHaveLength(240)
    expect(new Set(effects).size).toBe(240)
    for (const key of ['k0', 'k1', 'k2', 'k3']) {
      const own = effects
        .filter((one) => one.startsWith(`${key}:`))
        .map((one) => Number(one.slice(3)))
      expect(own).toEqual([...own].sort((a, b) => a - b))
    }
  })
})

function plainPlaced() {
  return event('orders.placed', {
    owner: owners,
    key: 'key',
    versions: {
      1: jsonSchema<Order>({
        type: 'object',
        required: ['key', 'n'],
        properties: { key: { type: 'string' }, n: { type: 'number' } },
      }),
    },
  })
}

describe('an at-most-once contract', () => {
  const Seen = event('pages.seen', {
    owner: owners,
    key: 'key',
    guarantee: 'at-most-once',
    versions: {
      1: jsonSchema<Order>({
        type: 'object',
        properties: { key: { type: 'string' }, n: { type: 'number' } },
      }),
    },
  })

  const emitter = placedConsumer('emitter', {}, (order, ctx) => {
    ctx.emit(Seen.of(order))
    if (ctx.message.key === 'a') ctx.emit(Shipped.of(order))
    return Promise.resolve()
  })

  it('is handed to its consumers after the commit, in order, and leaves nothing in the log', async () => {
    const world = createWorld()
    const seen: string[] = []
    const counter = consumer('counter', {
      ...policy,
      on: Seen,
      handle: async (order, ctx) => {
        await ctx.once('x', () => Promise.resolve(1))
        seen.push(`${order.key}:${order.n}:${ctx.message.id.split('.').slice(1).join('.')}`)
      },
    })
    const shipped = consumer('shipped', { ...policy, on: Shipped, handle: () => Promise.resolve() })
    await world.start([emitter, counter, shipped])
    await world.publish(...numbers(3, () => 'a'))
    await world.runtime.idle()

    expect(seen).toEqual(['a:0:emitter.0', 'a:1:emitter.0', 'a:2:emitter.0'])
    const types = (await world.runtime.messages({})).items.map(({ type }) => type)
    expect(types).not.toContain('pages.seen')
    expect(types).toHaveLength(6)
  })

  it('is handed over when it is published, too, and is not in the log', async () => {
    const world = createWorld()
    const seen: number[] = []
    const counter = consumer('counter', {
      ...policy,
      on: Seen,
      handle: async (order) => {
        seen.push(order.n)
        await Promise.resolve()
      },
    })
    await world.start([counter])
    await world.runtime.publishMany([1, 2, 3].map((n) => Seen.of({ key: 'a', n })))
    await world.runtime.idle()

    expect(seen).toEqual([1, 2, 3])
    expect((await world.runtime.messages({})).items).toEqual([])
  })

  it('is dropped and counted when its handler fails, is full, or the process stops; never tried twice', async () => {
    const world = createWorld()
    let runs = 0
    const counter = consumer('counter', {
      ...policy,
      on: Seen,
      concurrency: 1,
      handle: async (order) => {
        runs += 1
        if (order.n === 0) throw new Error('no')
        if (order.n === 2) await new Promise(() => undefined)
      },
    })
    await world.start([emitter, counter])
    await world.publish(...numbers(5, () => 'b'))
    await world.pass(1_000)
    const { runtime } = world
    const dropped = (): number => {
      const family = runtime.metrics.read(METRICS.droppedAtMostOnce)
      if (family?.kind !== 'number') return 0
      return family.points.reduce((sum, { value }) => sum + value, 0)
    }
    expect(runs).toBe(3)
    expect(dropped()).toBe(1)
    const closing = runtime.close(100)
    await world.pass(1_000)
    await closing

    // The one that hung was cut off; the two behind it never ran.
    expect(dropped()).toBe(4)
    expect((await world.rows('select count(*) as c from effects'))[0]?.['c']).toBe(0)
    await world.start([emitter, counter])
    await world.pass(60_000)
    expect(runs).toBe(3)
  })
})
