import { describe, expect, it } from 'vitest'
import {
  consumer,
  type Consumer,
  type ConsumerOptions,
  type Contract,
  type EmittedMessage,
  event,
} from '../contract/index.ts'
import { must } from '../kernel/index.ts'
import type { RuntimeEvent } from './events.ts'
import { replay } from './replays.fixture.ts'
import {
  createWorld,
  effect,
  type Order,
  orderSchema,
  owners,
  type Placed,
  placedConsumer,
  policy,
  type World,
} from './world.fixture.ts'

/** Told once for each key, however often and by whomever. */
const Paid: Contract<'orders.paid', { readonly 1: Order }, 1> = event('orders.paid', {
  owner: owners,
  key: 'key',
  idempotency: { key: 'key', retention: '7d' },
  versions: { 1: orderSchema },
})

type Options = Partial<ConsumerOptions<typeof Placed>>
type Handle = ConsumerOptions<typeof Placed>['handle']

/** A consumer that emits, and one that has an effect for each `orders.paid`. */
const partsOf = (handle: Handle, options: Options = {}): readonly Consumer[] => [
  placedConsumer('emitter', options, handle),
  consumer('payer', {
    ...policy,
    on: Paid,
    handle: async (order, ctx) => void (await effect('payer', order, ctx)),
  }),
]

const started = async (handle: Handle, options: Options = {}): Promise<World> => {
  const world = createWorld()
  await world.start(partsOf(handle, options))
  return world
}

/** Ids of the records that say `orders.paid`. */
const paidIds = async ({ runtime }: World): Promise<readonly string[]> =>
  (await runtime.messages({ type: Paid.name })).items.map(({ id }) => id)

const only = (list: readonly string[]): string => must(list.length === 1 ? list[0] : undefined, '1')

describe('the fact of what a handler emits (M5)', () => {
  it('is in the log once, though two messages tell it, and the second has its other effects', async () => {
    const told: EmittedMessage[] = []
    const world = await started(async (order, ctx) => {
      await ctx.tx(async (db) => {
        await db.run(
          "insert into effects(consumer, key, n) values ('emitter', $1, $2)",
          order.key,
          order.n,
        )
        told.push(ctx.emit(Paid.of(order)))
      })
    })

    await world.publish({ key: 'a', n: 1 }, { key: 'a', n: 2 })
    await world.pass(1_000)
    await world.publish({ key: 'b', n: 3 })
    await world.pass(1_000)

    expect(await world.effects('emitter')).toEqual(['a:1', 'a:2', 'b:3'])
    expect(await world.effects('payer')).toEqual(['a:1', 'b:3'])
    expect(await paidIds(world)).toHaveLength(2)
    const [first, second, other] = told.map(({ id, isDuplicate }) => ({ id, isDuplicate }))
    expect(first).toMatchObject({ isDuplicate: false })
    expect(second).toEqual({ id: first?.id, isDuplicate: true })
    expect(other).toMatchObject({ isDuplicate: false })
  })

  it('is left out where publish told it before, with the id of that message', async () => {
    const told: EmittedMessage[] = []
    const world = await started(async (order, ctx) => {
      const emitted = ctx.emit(Paid.of(order))
      expect(emitted.isDuplicate).toBeUndefined()
      await effect('emitter', order, ctx)
      told.push(emitted)
    })
    const published = await world.runtime.publish(Paid.of({ key: 'a', n: 9 }))

    await world.publish({ key: 'a', n: 1 })
    await world.pass(1_000)

    expect(told).toEqual([{ id: published, isDuplicate: true }])
    expect(await world.effects('payer')).toEqual(['a:9'])
    expect(await world.effects('emitter')).toEqual(['a:1'])
  })

  it('is known to publish afterwards: nothing is appended and the id is that of the emit', async () => {
    const world = await started(async (order, ctx) => void ctx.emit(Paid.of(order)))
    await world.publish({ key: 'a', n: 1 })
    await world.pass(1_000)

    const id = await world.runtime.publish(Paid.of({ key: 'a', n: 9 }))

    expect(await paidIds(world)).toEqual([id])
    await world.pass(1_000)
    expect(await world.effects('payer')).toEqual(['a:1'])
  })

  it('is told at once to a handler that emits it twice, inside ctx.tx and outside', async () => {
    const told: boolean[] = []
    const world = await started(async (order, ctx) => {
      const first = ctx.emit(Paid.of(order))
      const again = ctx.emit(Paid.of({ ...order, n: 50 }))
      told.push(again.isDuplicate === true, again.id === first.id)
      if (order.key === 'with-tx') await ctx.tx(async () => void ctx.emit(Paid.of(order)))
    })

    await world.publish({ key: 'with-tx', n: 1 }, { key: 'without', n: 2 })
    await world.pass(1_000)

    expect(told).toEqual([true, true, true, true])
    expect([...(await world.effects('payer'))].sort()).toEqual(['with-tx:1', 'without:2'])
  })

  it('is free again when the transaction that told it was rolled back', async () => {
    const world = await started(async (order, ctx) => {
      await ctx.tx(async (db) => {
        ctx.emit(Paid.of(order))
        await db.run("insert into effects(consumer, key, n) values ('emitter', 'x', 0)")
        if (ctx.attempt === 1) throw new Error('half way')
      })
    })

    await world.publish({ key: 'a', n: 1 })
    await world.pass(10_000)

    expect(await world.effects('payer')).toEqual(['a:1'])
    expect(await world.effects('emitter')).toEqual(['x:0'])
    expect(await paidIds(world)).toHaveLength(1)
  })

  it('can be told by a handler that goes on after its transaction failed', async () => {
    const world = await started(async (order, ctx) => {
      const failed = ctx.tx(async () => {
        ctx.emit(Paid.of({ ...order, n: 50 }))
        throw new Error('half way')
      })
      await failed.catch(() => undefined)
      expect(ctx.emit(Paid.of(order)).isDuplicate).toBeUndefined()
    })

    await world.publish({ key: 'a', n: 1 })
    await world.pass(1_000)

    expect(await world.effects('payer')).toEqual(['a:1'])
  })

  it('is claimed in the commit of the effect: a crash leaves both or neither (M1)', async () => {
    for (const point of ['before-commit', 'after-commit']) {
      const world = createWorld()
      let isArmed = false
      const handle: Handle = async (order, ctx) => {
        isArmed = order.n === 1 && !isDead
        ctx.emit(Paid.of(order))
        await effect('emitter', order, ctx)
      }
      let isDead = false
      const fault = async (at: string): Promise<void> => {
        if (!isArmed || at !== point) return
        isDead = true
        isArmed = false
        world.crash()
        await new Promise(() => undefined)
      }
      await world.start(partsOf(handle), { fault })
      await world.publish({ key: 'a', n: 1 })
      await world.pass(1_000)
      expect(isDead).toBe(true)

      await world.start(partsOf(handle))
      await world.publish({ key: 'a', n: 2 })
      await world.pass(20_000)

      expect([point, await world.effects('emitter')]).toEqual([point, ['a:1', 'a:2']])
      expect([point, await world.effects('payer')]).toEqual([point, ['a:1']])
      expect([point, (await paidIds(world)).length]).toEqual([point, 1])
    }
  })

  it('is told once by a guarded replay that runs its handler again', async () => {
    const options: Options = { replay: 'guarded' }
    const world = await started(async (order, ctx) => {
      ctx.emit(Paid.of(order))
      await effect('emitter', order, ctx)
    }, options)
    await world.publish({ key: 'a', n: 1 })
    await world.pass(1_000)

    const filter = { from: 'messages', consumer: 'emitter' } as const
    await replay(world, filter)
    await world.pass(5_000)

    expect(await world.effects('emitter')).toEqual(['a:1', 'a:1'])
    expect(await world.effects('payer')).toEqual(['a:1'])
  })

  it('may be told again once its retention is over', async () => {
    const world = await started(async (order, ctx) => void ctx.emit(Paid.of(order)))
    await world.publish({ key: 'a', n: 1 })
    await world.pass(7 * 86_400_000 + 60_000)

    await world.publish({ key: 'a', n: 2 })
    await world.pass(1_000)

    expect(await world.effects('payer')).toEqual(['a:1', 'a:2'])
  })

  it('that is left out is a line in the log of the message whose handler told it', async () => {
    const world = await started(async (order, ctx) => void ctx.emit(Paid.of(order)))
    const lines: RuntimeEvent[] = []
    world.runtime.events.subscribe({
      listener: (one) => {
        if (one.kind === 'log') lines.push(one)
      },
    })
    await world.publish({ key: 'a', n: 1 })
    await world.pass(1_000)
    const firstId = only(await paidIds(world))

    const second = only(await world.publish({ key: 'a', n: 2 }))
    await world.pass(1_000)

    const message = `emitted orders.paid is not appended: ${firstId} told the same fact first`
    expect(lines).toMatchObject([{ kind: 'log', consumer: 'emitter', messageId: second, message }])
  })
})
