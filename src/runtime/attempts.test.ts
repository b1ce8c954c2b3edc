import { describe, expect, it } from 'vitest'
import { consumer, type ConsumerContext, type Database } from '../contract/index.ts'
import { JuncturaError, sleep } from '../kernel/index.ts'
import { createMemoryStore, type Store } from '../store/index.ts'
import {
  createWorld,
  effect,
  never,
  type Order,
  placedConsumer,
  policy,
  Shipped,
  type World,
} from './world.fixture.ts'

const once = { retry: { attempts: 1, first: 0, max: '1s' } } as const

const insert = (db: Database, order: Order): Promise<unknown> =>
  db.run('insert into effects(consumer, key, n) values ($1, $2, $3)', 'one', order.key, order.n)

const codes = async (world: World): Promise<readonly string[]> =>
  (await world.runtime.deadLetters({})).items.map(({ errorName }) => errorName)

/** The disk as the next process finds it. */
const reopen = async (world: World): Promise<{ readonly store: Store }> => {
  await world.runtime.close()
  return { store: createMemoryStore({ clock: world.clock, disk: world.disk }) }
}

/** Runs one message through one handler and says what it threw. */
const runOne = async (
  handle: (order: Order, ctx: ConsumerContext, world: World) => Promise<void>,
  options: Partial<Parameters<typeof placedConsumer>[1]> = once,
): Promise<World> => {
  const world = createWorld()
  await world.start([placedConsumer('one', options, (order, ctx) => handle(order, ctx, world))])
  await world.publish({ key: 'a', n: 1 })
  await world.pass(500)
  return world
}

describe('ctx.tx', () => {
  it('writes nothing when the callback throws, and the message is tried again (M1)', async () => {
    const world = createWorld()
    const shipped: Order[] = []
    const one = placedConsumer('one', {}, async (order, ctx) => {
      ctx.emit(Shipped.of({ ...order, n: ctx.attempt }))
      await ctx.tx(async (db) => {
        await insert(db, { ...order, n: ctx.attempt })
        if (ctx.attempt === 1) throw new Error('half way')
      })
    })
    const two = consumer('two', {
      ...policy,
      on: Shipped,
      handle: async (order) => void shipped.push(order),
    })
    await world.start([one, two])

    await world.publish({ key: 'a', n: 0 })
    await world.pass(500)
    expect(await world.effects()).toEqual([])
    expect(shipped).toEqual([])
    await world.pass(5_000)

    expect(await world.effects()).toEqual(['a:2'])
    expect(shipped).toEqual([{ key: 'a', n: 2 }])
  })

  it('completes the message: what the handler throws afterwards fails nothing', async () => {
    const world = await runOne(async (order, ctx) => {
      await effect('one', order, ctx)
      throw new Error('too late to fail')
    })
    expect(await world.effects()).toEqual(['a:1'])
    expect(await codes(world)).toEqual([])
  })

  it('is refused a second time in one attempt, which fails for good', async () => {
    const world = await runOne(async (order, ctx) => {
      await ctx.tx(() => Promise.reject(new Error('first'))).catch(() => undefined)
      await effect('one', order, ctx)
    }, {})
    expect(await world.effects()).toEqual([])
    expect(await codes(world)).toEqual(['JUNCTURA_TX_TWICE'])
  })

  it('is rolled back when its callback awaits anything but db, which fails for good', async () => {
    const world = await runOne(async (order, ctx, { clock }) => {
      await ctx.tx(async (db) => {
        await insert(db, order)
        await sleep(clock, 10)
      })
    }, {})
    expect(await world.effects()).toEqual([])
    expect(await codes(world)).toEqual(['JUNCTURA_TX_LEFT'])
  })

  it('that nobody awaited still decides: its effect is there, or the message fails (F15)', async () => {
    const good = await runOne((order, ctx) => {
      void effect('one', order, ctx)
      return Promise.resolve()
    })
    expect(await good.effects()).toEqual(['a:1'])
    const bad = await runOne((_order, ctx) => {
      void ctx.tx((db) => db.run('insert into nowhere values (1)'))
      return Promise.resolve()
    })
    expect(await codes(bad)).toHaveLength(1)
  })

  it('is refused after the deadline, so a late attempt has no effect beside its successor (F16)', async () => {
    const world = createWorld()
    const late: unknown[] = []
    let isFirst = true
    const one = placedConsumer('one', { timeout: '5s' }, async (order, ctx) => {
      if (isFirst) {
        isFirst = false
        ctx.signal.addEventListener('abort', () => late.push('aborted'))
        await sleep(world.clock, 20_000)
        await effect('one', { ...order, n: 99 }, ctx).catch((error: unknown) => late.push(error))
        await ctx.once('late', () => Promise.resolve(1)).catch((error: unknown) => late.push(error))
        expect(() => ctx.emit(Shipped.of(order))).toThrow('is over')
        throw new Error('nobody hears this')
      }
      await effect('one', order, ctx)
    })
    await world.start([one])
    await world.publish({ key: 'a', n: 1 })
    await world.pass(60_000)

    expect(await world.effects()).toEqual(['a:1'])
    expect(late).toMatchObject([
      'aborted',
      { code: 'JUNCTURA_ATTEMPT_OVER' },
      { code: 'JUNCTURA_ATTEMPT_OVER' },
    ])
    expect(await codes(world)).toEqual([])
  })

  it('frees the lane at the deadline when the handler hangs, before or after its tx (F16)', async () => {
    for (const isDoneFirst of [false, true]) {
      const world = createWorld()
      const one = placedConsumer('one', { timeout: '5s', concurrency: 1 }, async (order, ctx) => {
        if (isDoneFirst || order.n !== 1) await effect('one', order, ctx)
        if (order.n === 1) await never()
      })
      await world.start([one])
      await world.publish({ key: 'a', n: 1 }, { key: 'b', n: 2 })
      await world.pass(60_000)

      expect(await world.effects()).toEqual(isDoneFirst ? ['a:1', 'b:2'] : ['b:2'])
      expect(await codes(world)).toEqual(isDoneFirst ? [] : ['JUNCTURA_ATTEMPT_OVER'])
    }
  })

  it('ends the attempt when the deadline passes in its commit, its statements failed and the handler hangs', async () => {
    const world = createWorld()
    let isSlow = false
    const fault = async (point: string): Promise<void> => {
      if (point === 'before-commit' && isSlow) await sleep(world.clock, 6_000)
      isSlow = false
    }
    const one = placedConsumer('one', { timeout: '5s', ...once }, async (order, ctx) => {
      isSlow = true
      const failed = ctx.tx(async (db) => {
        await insert(db, order)
        throw new Error('half way')
      })
      await failed.catch(() => undefined)
      await never()
    })
    await world.start([one], { fault })
    await world.publish({ key: 'a', n: 1 })
    await world.pass(60_000)

    expect(await world.effects()).toEqual([])
    expect(await codes(world)).toEqual(['JUNCTURA_ATTEMPT_OVER'])
  })

  it('does not count an attempt that the store refused, and works when it takes again (F20)', async () => {
    const world = createWorld()
    let isFull = false
    const fault = (point: string): Promise<void> =>
      isFull && point === 'before-commit'
        ? Promise.reject(new JuncturaError('JUNCTURA_STORE_FULL', { details: { problem: 'full' } }))
        : Promise.resolve()
    const attempts: number[] = []
    const one = placedConsumer('one', once, async (order, ctx) => {
      attempts.push(ctx.attempt)
      await effect('one', order, ctx)
    })
    await world.start([one], { fault })
    await world.publish({ key: 'a', n: 1 }, { key: 'a', n: 2 })
    isFull = true
    await world.pass(10_000)
    expect(await world.effects()).toEqual([])
    expect(world.runtime.readiness().ready).toBe(false)
    isFull = false
    await world.pass(2_000)

    expect(await world.effects()).toEqual(['a:1', 'a:2'])
    expect(new Set(attempts)).toEqual(new Set([1]))
    expect(await codes(world)).toEqual([])
    expect(world.runtime.readiness().ready).toBe(true)
  })
})

describe('a handler that publishes through the runtime', () => {
  it('is not blamed when the store refuses what it publishes', async () => {
    const world = createWorld()
    let refusals = 0
    const fault = (point: string): Promise<void> =>
      point === 'before-commit' && refusals-- > 0
        ? Promise.reject(new Error('no'))
        : Promise.resolve()
    const attempts: number[] = []
    const one = placedConsumer('one', once, async (order, ctx) => {
      attempts.push(ctx.attempt)
      if (attempts.length === 1) refusals = 1
      await world.runtime.publish(Shipped.of(order))
      await effect('one', order, ctx)
    })
    const two = consumer('two', { ...policy, on: Shipped, handle: () => Promise.resolve() })
    await world.start([one, two], { fault })
    await world.publish({ key: 'a', n: 1 })
    await world.pass(5_000)

    expect(attempts).toEqual([1, 1])
    expect(await world.effects()).toEqual(['a:1'])
    expect(await codes(world)).toEqual([])
  })
})

describe('ctx.once', () => {
  it('runs an effect once over attempts and over a crash, and forgets it when the message is done (M10)', async () => {
    const world = createWorld()
    let mails = 0
    const results: unknown[] = []
    const one = placedConsumer(
      'one',
      { retry: { attempts: 5, first: '1s', max: '1s' } },
      async (order, ctx) => {
        results.push(await ctx.once('mail', () => Promise.resolve({ id: ++mails })))
        results.push(await ctx.once('nothing', () => Promise.resolve(undefined)))
        if (ctx.attempt === 1) await ctx.once('only at first', () => Promise.resolve(1))
        if (ctx.attempt < 3) throw new Error('after the mail')
        await effect('one', order, ctx)
      },
    )
    await world.start([one])
    await world.publish({ key: 'a', n: 1 })
    await world.pass(500)
    world.crash()
    await world.start([one])
    await world.pass(10_000)

    const { store } = await reopen(world)
    expect(await store.count({ collection: 'onceResults' })).toBe(0)
    expect(mails).toBe(1)
    expect(results).toEqual([{ id: 1 }, undefined, { id: 1 }, undefined, { id: 1 }, undefined])
    expect(await world.effects()).toEqual(['a:1'])
  })

  it('gives the message back when the store did not take it and the handler never ends (F16)', async () => {
    const world = createWorld()
    let refusals = 0
    const fault = (point: string): Promise<void> =>
      point === 'before-commit' && refusals-- > 0
        ? Promise.reject(new Error('no'))
        : Promise.resolve()
    let runs = 0
    let reason: unknown
    const one = placedConsumer('one', { timeout: '5s', ...once }, async (order, ctx) => {
      runs += 1
      if (runs === 1) {
        refusals = 1
        ctx.signal.addEventListener('abort', () => (reason = ctx.signal.reason))
        await effect('one', order, ctx).catch(() => undefined)
        await never()
      }
      await effect('one', order, ctx)
    })
    await world.start([one], { fault })
    await world.publish({ key: 'a', n: 1 }, { key: 'a', n: 2 })
    await world.pass(20_000)

    expect(await world.effects()).toEqual(['a:1', 'a:2'])
    expect(reason).toMatchObject({ code: 'JUNCTURA_ATTEMPT_OVER' })
    expect(await codes(world)).toEqual([])
  })

  it('keeps its result though the store refuses for a while, and repeats nothing', async () => {
    const world = createWorld()
    let refusals = 0
    const fault = (point: string): Promise<void> =>
      point === 'before-commit' && refusals-- > 0
        ? Promise.reject(new Error('no'))
        : Promise.resolve()
    let mails = 0
    const one = placedConsumer('one', {}, async (order, ctx) => {
      await ctx.once('mail', () => {
        mails += 1
        refusals = 3
        return Promise.resolve(1)
      })
      await effect('one', order, ctx)
    })
    await world.start([one], { fault })
    await world.publish({ key: 'a', n: 1 })
    await world.pass(10_000)

    expect(mails).toBe(1)
    expect(await world.effects()).toEqual(['a:1'])
  })

  it('fails the attempt when the result cannot be kept', async () => {
    const world = await runOne(async (_order, ctx) => {
      const circle: Record<string, unknown> = {}
      circle['self'] = circle
      await ctx.once('circle', () => Promise.resolve(circle))
    })
    expect(await codes(world)).toHaveLength(1)
  })
})

describe('ctx.emit', () => {
  it('commits with the completion of a handler that only returns, under ids that stay (M3)', async () => {
    const world = createWorld()
    const ids: string[] = []
    const one = placedConsumer('one', {}, async (order, ctx) => {
      ctx.emit(Shipped.of(order))
      ctx.emit(Shipped.of({ ...order, n: order.n + 1 }))
      if (ctx.attempt === 1) throw new Error('after the emit')
    })
    const two = consumer('two', {
      ...policy,
      on: Shipped,
      handle: async (order, ctx) => {
        ids.push(ctx.message.id)
        await effect('two', order, ctx)
      },
    })
    await world.start([one, two])
    const [id] = await world.publish({ key: 'a', n: 1 })
    await world.pass(5_000)

    expect(ids).toEqual([`${id}.one.0`, `${id}.one.1`])
    expect(await world.effects('two')).toEqual(['a:1', 'a:2'])
  })

  it('of data that does not fit its contract is a dead letter at once', async () => {
    const world = await runOne((_order, ctx) => {
      // A wrong type that only JavaScript lets through.
      ctx.emit({ contract: Shipped, data: { key: 5 } })
      return Promise.resolve()
    }, {})
    expect(await codes(world)).toEqual(['JUNCTURA_EMIT_INVALID'])
  })
})

describe('a handler that throws something strange', () => {
  it.each([
    ['undefined', undefined],
    ['a string', 'plain text'],
    ['an error whose name is no text', Object.assign(new Error('x'), { name: 5 })],
    [
      'an error whose message throws',
      Object.defineProperty(new Error('x'), 'message', {
        get: () => {
          throw new Error('no')
        },
      }),
    ],
  ])('becomes an ordinary dead letter: %s', async (_name, thrown: unknown) => {
    const world = await runOne(() => Promise.reject(thrown))
    expect(await codes(world)).toHaveLength(1)
    expect((await world.runtime.consumers())[0]).toMatchObject({ mode: 'running', lag: 0 })
  })
})
