import { describe, expect, it } from 'vitest'
import {
  consumer,
  type Consumer,
  type Contract,
  event,
  integration,
  jsonSchema,
  type Part,
} from '../contract/index.ts'
import {
  type ResequenceOptions,
  aggregate,
  claimCheck,
  contentRoute,
  enrich,
  recipientList,
  redeemClaim,
  resequence,
  split,
  wireTap,
} from '../flow/index.ts'
import {
  createWorld,
  effect,
  EFFECTS,
  never,
  owners,
  Placed,
  policy,
  Shipped,
  type Order,
  type StartOptions,
  type World,
} from './world.fixture.ts'

const MINUTE_MS = 60_000

interface Basket {
  readonly key: string
  readonly sizes: readonly number[]
}

const Summed: Contract<'baskets.summed', { readonly 1: Basket }, 1> = event('baskets.summed', {
  owner: owners,
  key: 'key',
  versions: {
    1: jsonSchema<Basket>({
      type: 'object',
      required: ['key', 'sizes'],
      properties: {
        key: { type: 'string' },
        sizes: { type: 'array', items: { type: 'number' } },
      },
    }),
  },
})

const shipped = consumer('shipped', {
  ...policy,
  on: Shipped,
  handle: async (order, ctx) => {
    await effect('shipped', order, ctx)
  },
})

const summed = consumer('summed', {
  ...policy,
  on: Summed,
  handle: async ({ key, sizes }, ctx) => {
    await effect('summed', { key: `${key}:${sizes.join('+')}`, n: sizes.length }, ctx)
  },
})

const build = (parts: readonly Part[]) => () =>
  integration('demo', { parts: [Placed, shipped, summed, ...parts], tables: [EFFECTS] })

const start = (world: World, parts: readonly Part[], options: StartOptions = {}) =>
  world.start([], { ...options, build: build(parts) })

const orders = (...texts: readonly string[]): readonly Order[] =>
  texts.map((text) => {
    const [key = '', n] = text.split(':')
    return { key, n: Number(n) }
  })

/** Runs the route over the orders, and says what came out, in order. */
const run = async (route: Consumer, ...texts: readonly string[]): Promise<readonly string[]> => {
  const world = createWorld()
  await start(world, [route])
  await world.publish(...orders(...texts))
  await world.runtime.idle()
  return world.effects()
}

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
