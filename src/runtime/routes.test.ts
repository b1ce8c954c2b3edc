import { describe, expect, it } from 'vitest'
import { consumer, event, jsonSchema } from '../contract/index.ts'
import {
  aggregate,
  claimCheck,
  contentRoute,
  enrich,
  recipientList,
  redeemClaim,
  split,
  wireTap,
} from '../flow/index.ts'
import { build, orders, run, start, Summed } from './routes.fixture.ts'
import { createWorld, never, owners, Placed, policy, Shipped } from './world.fixture.ts'

const MINUTE_MS = 60_000

describe('routes', () => {
  it('send a message on by what it says, and the rest as declared', async () => {
    const route = (otherwise: 'discard' | 'dead-letter') =>
      contentRoute('by-size', {
        owner: owners,
        on: Placed,
        from: 'earliest',
        emits: [Shipped, Summed],
        to: [
          { when: ({ n }) => n > 100, emit: ({ key, n }) => Summed.of({ key, sizes: [n] }) },
          { when: ({ n }) => n > 10, emit: (order) => Shipped.of(order) },
        ],
        otherwise,
      })

    expect(await run(route('discard'), 'a:5', 'b:50', 'c:500')).toEqual(['b:50', 'c:500:1'])
    const world = createWorld()
    await start(world, [route('dead-letter')])
    await world.publish(...orders('a:5', 'b:50'))
    await world.runtime.idle()

    const { items } = await world.runtime.deadLetters({})
    expect(items).toMatchObject([
      { consumer: 'by-size', key: 'a', errorName: 'NoRoute', attempts: 1 },
    ])
  })

  it('send a message to all of a list, or to none', async () => {
    const route = recipientList('both', {
      owner: owners,
      on: Placed,
      from: 'earliest',
      emits: [Shipped, Summed],
      to: ({ key, n }) =>
        n === 0 ? [] : [Shipped.of({ key, n }), Summed.of({ key, sizes: n < 0 ? [] : [n] })],
    })

    expect([...(await run(route, 'a:1', 'b:0'))].sort()).toEqual(['a:1', 'a:1:1'])
  })

  it('split a message into parts, in their order', async () => {
    const route = split('parts', {
      owner: owners,
      on: Placed,
      from: 'earliest',
      into: Shipped,
      items: ({ key, n }) => Array.from({ length: n }, (_, part) => ({ key, n: part })),
    })

    expect(await run(route, 'a:3', 'a:2')).toEqual(['a:0', 'a:1', 'a:2', 'a:0', 'a:1'])
  })

  it('refuse to emit what they have not declared: a dead letter says so', async () => {
    const route = wireTap('tap', {
      owner: owners,
      on: Placed,
      from: 'earliest',
      emits: Summed,
      retry: { attempts: 1, first: '1s', max: '1s' },
      emit: (order) => Shipped.of(order),
    })
    const world = createWorld()
    await start(world, [route])
    await world.publish(...orders('a:1', 'a:2'))
    await world.runtime.idle()

    // A tap that fails does not hold the key.
    const { items } = await world.runtime.deadLetters({})
    expect(items).toHaveLength(2)
    expect(items[0]?.errorMessage).toContain('add it to emits: baskets.summed')
  })

  it('enrich a message with what a lookup finds, and keep the order while it fails', async () => {
    let failures = 2
    const route = enrich('rates', {
      owner: owners,
      on: Placed,
      from: 'earliest',
      emits: Shipped,
      lookup: async ({ n }) => {
        if (failures-- > 0) throw new Error('the rates are down')
        return n * 10
      },
      emit: ({ key }, rate) => Shipped.of({ key, n: rate }),
    })
    const world = createWorld()
    await start(world, [route])
    await world.publish(...orders('a:1', 'a:2'))
    await world.pass(MINUTE_MS)

    expect(await world.effects()).toEqual(['a:10', 'a:20'])
  })

  it('keep a payload apart, give it back to whoever has the claim, and forget it in time', async () => {
    const route = claimCheck('store', {
      owner: owners,
      on: Placed,
      from: 'earliest',
      emits: Summed,
      retention: '1h',
      emit: (_order, claim) => Summed.of({ key: claim, sizes: [] }),
    })
    const found: unknown[] = []
    const redeem = consumer('redeem', {
      ...policy,
      on: Summed,
      handle: async ({ key }, ctx) => {
        await ctx.tx(async (db) => {
          found.push(await redeemClaim(db, key))
        })
      },
    })
    const world = createWorld()
    await start(world, [route, redeem])
    await world.publish(...orders('a:7'))
    await world.runtime.idle()

    expect(found).toEqual([{ key: 'a', n: 7 }])
    expect(await world.rows('select claim from route_claim')).toHaveLength(1)
    await world.pass(61 * MINUTE_MS)
    expect(await world.rows('select claim from route_claim')).toEqual([])
  })

  it('keep a payload for its whole retention, however late it was put apart', async () => {
    const route = claimCheck('store', {
      owner: owners,
      on: Placed,
      from: 'earliest',
      emits: Summed,
      retention: '1h',
      emit: (_order, claim) => Summed.of({ key: claim, sizes: [] }),
    })
    const world = createWorld()
    await start(world, [])
    await world.publish(...orders('a:7'))
    await world.pass(120 * MINUTE_MS)
    await world.runtime.close()

    await start(world, [route])
    await world.pass(50 * MINUTE_MS)
    expect(await world.rows('select claim from route_claim')).toHaveLength(1)
    await world.pass(20 * MINUTE_MS)

    expect(await world.rows('select claim from route_claim')).toEqual([])
  })

  it('are part of the Model: what they emit, and where it goes', () => {
    const route = split('parts', { owner: owners, on: Placed, into: Shipped, items: () => [] })
    const { model } = build([route])()

    expect(model.consumers.at(-1)).toMatchObject({
      name: 'parts',
      route: { pattern: 'split', emits: ['orders.shipped'] },
    })
    expect(model.edges).toContainEqual(
      expect.objectContaining({ kind: 'route', from: 'consumer/parts', to: 'channel/orders' }),
    )
  })
})

describe('an aggregate', () => {
  const basket = (partial: 'emit' | 'discard' = 'emit', timeout: '10m' | '20s' = '10m') =>
    aggregate('basket', {
      owner: owners,
      on: Placed,
      from: 'earliest',
      emits: Summed,
      by: ({ key }) => key[0] ?? '',
      until: (items) => items.some(({ n }) => n === 0),
      timeout,
      partial,
      emit: ({ group, items }) => Summed.of({ key: group, sizes: items.map(({ n }) => n) }),
    })

  it('makes one message of those that belong together, over keys', async () => {
    expect(await run(basket(), 'a1:1', 'b1:5', 'a2:2', 'a1:0', 'b1:0', 'a1:9')).toEqual([
      'a:1+2+0:3',
      'b:5+0:2',
    ])
  })

  it('ends a group whose time is over, as it is or not at all', async () => {
    for (const partial of ['emit', 'discard'] as const) {
      const world = createWorld()
      await start(world, [basket(partial)])
      await world.publish(...orders('a:1'))
      await world.pass(6 * MINUTE_MS)
      await world.publish(...orders('a:2'))
      await world.pass(3 * MINUTE_MS)
      expect(await world.effects()).toEqual([])

      await world.pass(2 * MINUTE_MS)

      expect(await world.effects()).toEqual(partial === 'emit' ? ['a:1+2:2'] : [])
      expect(await world.rows('select * from route_item')).toEqual([])
    }
  })

  it('takes in what came in time before it ends a group, after a downtime too', async () => {
    const world = createWorld()
    await start(world, [basket()])
    await world.publish(...orders('a:1'))
    await world.pass(MINUTE_MS)
    await world.publish(...orders('a:2', 'a:0'))
    world.crash()
    await world.pass(60 * MINUTE_MS)

    await start(world, [basket()])
    await world.pass(MINUTE_MS)

    expect(await world.effects()).toEqual(['a:1+2+0:3'])
  })

  it('loses and repeats nothing wherever the process dies (S1)', async () => {
    for (let crashAt = 1; crashAt <= 40; crashAt++) {
      const world = createWorld()
      let commits = 0
      let isArmed = false
      const fault = async (point: string): Promise<void> => {
        if (!isArmed || point === 'read' || ++commits !== crashAt) return
        world.crash()
        await never()
      }
      const options = { fault, build: build([basket('emit', '20s')]) }
      await world.start([], options)
      await world.publish(...orders('a:1', 'b:5', 'a:2', 'c:7', 'a:0'))
      isArmed = true
      for (let step = 0; step < 5; step++) {
        await world.pass(10_000)
        while (!world.isUp) await world.boot([], options)
      }

      const effects = [...(await world.effects())].sort()
      expect([crashAt, effects]).toEqual([crashAt, ['a:1+2+0:3', 'b:5:1', 'c:7:1']])
    }
  }, 60_000)

  it('ends all groups whose time is over within a second or two', async () => {
    const route = aggregate('basket', {
      owner: owners,
      on: Placed,
      from: 'earliest',
      emits: Summed,
      by: ({ key }) => key,
      until: () => false,
      timeout: '1m',
      partial: 'discard',
      emit: ({ group }) => Summed.of({ key: group, sizes: [] }),
    })
    const world = createWorld()
    await start(world, [route])
    await world.publish(...orders(...Array.from({ length: 450 }, (_, n) => `a${n}:1`)))
    await world.pass(MINUTE_MS + 2_000)

    expect(await world.rows('select name from route_group')).toEqual([])
  })

  it('tells its owner when a group cannot be emitted, and tries again', async () => {
    let isBroken = true
    const route = aggregate('basket', {
      owner: owners,
      on: Placed,
      from: 'earliest',
      emits: Summed,
      by: ({ key }) => key,
      until: () => false,
      timeout: '1m',
      partial: 'emit',
      emit: ({ group, items }) => {
        if (isBroken) throw new Error('no format')
        return Summed.of({ key: group, sizes: items.map(({ n }) => n) })
      },
    })
    const world = createWorld()
    await start(world, [route])
    await world.publish(...orders('a:1'))
    await world.pass(2 * MINUTE_MS)
    expect((await world.runtime.alerts({ state: 'open' })).items).toMatchObject([
      { kind: 'route-stuck' },
    ])

    isBroken = false
    await world.pass(2 * MINUTE_MS)

    expect(await world.effects()).toEqual(['a:1:1'])
    expect((await world.runtime.alerts({ state: 'open' })).items).toEqual([])
  })
})

describe('an alert of a route', () => {
  it('shows nothing of a message with personal data that could not be emitted', async () => {
    const Signed = event('signups.made', {
      owner: owners,
      key: 'key',
      pii: ['mail'],
      versions: {
        1: jsonSchema<{ readonly key: string; readonly mail: string }>({
          type: 'object',
          required: ['key', 'mail'],
          properties: { key: { type: 'string' }, mail: { type: 'string' } },
        }),
      },
    })
    const route = aggregate('basket', {
      owner: owners,
      on: Signed,
      from: 'earliest',
      emits: Summed,
      by: ({ key }) => key,
      until: () => false,
      timeout: '1m',
      partial: 'emit',
      emit: ({ items }) => {
        throw new TypeError(`no format for ${items[0]?.mail}`)
      },
    })
    const world = createWorld()
    await start(world, [Signed, route])
    await world.runtime.publishMany([Signed.of({ key: 'a', mail: 'ann@example.com' })])
    await world.pass(2 * MINUTE_MS)

    const { items } = await world.runtime.alerts({ state: 'open' })
    expect(items).toMatchObject([{ kind: 'route-stuck' }])
    expect(items[0]?.title).toContain('TypeError')
    expect(JSON.stringify(items)).not.toContain('ann@example.com')
  })
})
