import { describe, expect, it } from 'vitest'
import { integration, type ConsumerContext } from '../contract/index.ts'
import { createMemoryStore } from '../store/index.ts'
import { createVirtualKernel } from '../testing/index.ts'
import { METRICS } from '../observe/index.ts'
import { Billed, meterConsumer, Metered, recordBroker } from './record.fixture.ts'
import {
  createWorld,
  effect,
  EFFECTS,
  type Order,
  Placed,
  placedConsumer,
} from './world.fixture.ts'

const orders = (count: number, keys = 5): Order[] =>
  Array.from({ length: count }, (_, n) => ({ key: `k${n % keys}`, n }))

const billed = async (order: Order, ctx: ConsumerContext): Promise<void> => {
  await effect('billing', order, ctx)
}

const publish = (world: ReturnType<typeof createWorld>, those: readonly Order[]) =>
  world.runtime.publishMany(those.map((order) => Metered.of(order)))

const byKey = (effects: readonly string[]): Record<string, number[]> => {
  const all: Record<string, number[]> = {}
  for (const one of effects) {
    const [key = '', n] = one.split(':')
    ;(all[key] ??= []).push(Number(n))
  }
  return all
}

const alertsOf = async (world: ReturnType<typeof createWorld>): Promise<readonly string[]> =>
  (await world.runtime.alerts({ state: 'open' })).items.map(({ kind }) => kind)

const sorted = (numbers: readonly number[]): number[] => numbers.toSorted((a, b) => a - b)

describe("a contract with record: 'transport'", () => {
  it('keeps its messages in the broker alone, and handles each once in the order of its key (M6)', async () => {
    const world = createWorld()
    const { broker, options } = recordBroker()
    const billing = meterConsumer('billing', {}, billed)
    await world.start([billing], options)

    await publish(world, orders(200))
    await world.pass(2_000)

    const effects = byKey(await world.effects())
    expect(Object.values(effects).flat()).toHaveLength(200)
    for (const numbers of Object.values(effects)) expect(numbers).toEqual(sorted(numbers))
    expect(broker.messages('meters')).toHaveLength(200)
    expect((await world.runtime.messages({})).items).toEqual([])
    const [status] = await world.runtime.consumers()
    expect(status).toMatchObject({ name: 'billing', lag: 0, mode: 'running' })
  })

  it('is acknowledged only once the broker has confirmed it (M14)', async () => {
    const world = createWorld()
    const { broker, options } = recordBroker()
    await world.start([meterConsumer('billing', {}, async () => undefined)], options)

    broker.isDown = true
    const refused = world.runtime.publish(Metered.of({ key: 'a', n: 1 }))

    await expect(refused).rejects.toMatchObject({ code: 'JUNCTURA_TRANSPORT_UNAVAILABLE' })
    expect(broker.messages('meters')).toHaveLength(0)
  })

  it('goes on behind its progress after a crash, and doubles no effect (M19, F30)', async () => {
    const world = createWorld()
    const { options } = recordBroker()
    const billing = meterConsumer('billing', { concurrency: 4 }, async (order, ctx) => {
      await effect('billing', order, ctx)
    })
    await world.start([billing], options)
    await publish(world, orders(60))
    await world.clock.yield()
    world.crash()
    await world.start([billing], options)
    await publish(world, orders(20))
    await world.pass(1)
    world.crash()
    await world.start([billing], options)
    await world.pass(5_000)

    const effects = byKey(await world.effects())
    expect(Object.values(effects).flat()).toHaveLength(80)
  })

  it('is refused without a broker, by the name of the contract', async () => {
    const started = createWorld().start([meterConsumer('billing', {}, async () => undefined)])

    await expect(started).rejects.toMatchObject({
      code: 'JUNCTURA_RECORD_REFUSED',
      message: expect.stringContaining('meters.metered'),
    })
  })

  it('is refused on a broker whose messages cannot be read again', async () => {
    const { broker } = recordBroker()
    const queues = { ...broker, features: { ...broker.features, reading: 'ack' as const } }
    const transport = { engine: 'custom', open: async () => queues } as const
    const started = createWorld().start([meterConsumer('b', {}, async () => undefined)], {
      transport,
    })

    await expect(started).rejects.toMatchObject({
      code: 'JUNCTURA_RECORD_REFUSED',
      message: expect.stringContaining('cannot be read again'),
    })
  })

  it('is refused beside a contract of its channel whose record is the store', async () => {
    const { options } = recordBroker()
    const other = placedConsumer('shipping', {}, async () => undefined)
    const mixed = { ...other, on: { ...other.on, channel: 'meters' } }

    const started = createWorld().start(
      [meterConsumer('billing', {}, async () => undefined), mixed],
      options,
    )

    await expect(started).rejects.toMatchObject({ code: 'JUNCTURA_REFUSED_START' })
  })

  it('says at start and for doctor what the record is worth', async () => {
    const world = createWorld()
    const { options } = recordBroker()
    const runtime = await world.start(
      [meterConsumer('billing', {}, async () => undefined)],
      options,
    )

    const [, , record] = runtime.differences()

    expect(record).toContain('is the record of meters.metered')
    expect(record).toContain('the end of the process, not a power failure')
    expect(record).toContain('wiped')
  })
})

describe('what is not as it should be, of a record in the transport', () => {
  it('waits for its retry with its key, from a copy, also when the broker dropped it (M8)', async () => {
    const world = createWorld()
    const { broker, options } = recordBroker()
    let isBroken = true
    const billing = meterConsumer('billing', {}, async (order, ctx) => {
      if (isBroken && order.key === 'k0') throw new Error('not yet')
      await effect('billing', order, ctx)
    })
    await world.start([billing], options)
    await publish(world, orders(50))
    await world.pass(500)
    expect(Object.keys(byKey(await world.effects()))).not.toContain('k0')

    broker.expire('meters', 1_000)
    isBroken = false
    world.crash()
    await world.start([billing], options)
    await world.pass(30_000)

    const effects = byKey(await world.effects())
    expect(effects['k0']).toEqual(
      orders(50)
        .filter(({ key }) => key === 'k0')
        .map(({ n }) => n),
    )
    expect(Object.values(effects).flat()).toHaveLength(50)
    expect(await alertsOf(world)).not.toContain('record-loss')
  })

  it('becomes a dead letter that parks its key, is retried by a person, and leaves no copy (M22)', async () => {
    const world = createWorld()
    const { options } = recordBroker()
    let isBroken = true
    const billing = meterConsumer('billing', {}, async (order, ctx) => {
      if (isBroken && order.n === 0) throw new Error('no')
      await effect('billing', order, ctx)
    })
    await world.start([billing], options)
    await publish(world, orders(30))
    await world.pass(60_000)
    const letters = (await world.runtime.deadLetters({})).items
    expect(letters).toHaveLength(1)
    const id = letters[0]?.id ?? ''
    expect(await world.runtime.deadLetter(id)).toMatchObject({
      successors: 5,
      payload: { key: 'k0', n: 0 },
    })

    isBroken = false
    await world.operate({ kind: 'dead-letter.retry', ids: [id] })
    await world.pass(180_000)

    expect(byKey(await world.effects())['k0']).toEqual([0, 5, 10, 15, 20, 25])
    expect(await copies(world)).toBe(0)
  })

  it('forgets the copy of a dead letter that was dropped', async () => {
    const world = createWorld()
    const { options } = recordBroker()
    const skipping = meterConsumer('billing', { afterDeadLetter: 'skip', ordering: 'none' }, () => {
      throw new Error('never')
    })
    await world.start([skipping], options)
    await publish(world, orders(3))
    await world.pass(60_000)
    const { items } = await world.runtime.deadLetters({})
    expect(items).toHaveLength(3)

    await world.operate({ kind: 'dead-letter.drop', ids: items.map(({ id }) => id) })
    await world.pass(180_000)

    expect(await copies(world)).toBe(0)
  })

  it('is replayed from what the broker still has (M15)', async () => {
    const world = createWorld()
    const { options } = recordBroker()
    const billing = meterConsumer('billing', { replay: 'guarded' }, billed)
    await world.start([billing], options)
    await publish(world, orders(12))
    await world.pass(2_000)

    const planned = await world.operate({
      kind: 'replay.plan',
      filter: { from: 'messages', key: 'k1' },
    })
    const plan = planned.result as { id: string; token: string; plan: { total: number } }
    expect(plan.plan.total).toBe(3)
    await world.operate({ kind: 'replay.run', id: plan.id, token: plan.token })
    await world.pass(5_000)

    expect(byKey(await world.effects())['k1']).toEqual([1, 6, 11, 1, 6, 11])
    expect(await world.effects()).toHaveLength(15)
  })
})

describe('a broker that loses what it is the record of', () => {
  it('is noticed and told when it was wiped, and positions never mean two messages', async () => {
    const world = createWorld()
    const { broker, options } = recordBroker()
    const billing = meterConsumer('billing', {}, billed)
    await world.start([billing], options)
    await publish(world, orders(40))
    await world.pass(2_000)

    broker.wipe()
    await world.pass(10_000)
    await publish(
      world,
      orders(10).map((one) => ({ ...one, n: one.n + 1_000 })),
    )
    await world.pass(5_000)
    world.crash()
    await world.start([billing], options)
    await world.pass(5_000)

    const numbers = Object.values(byKey(await world.effects())).flat()
    expect(numbers.filter((n) => n >= 1_000)).toHaveLength(10)
    expect(numbers).toHaveLength(50)
    expect(await alertsOf(world)).toContain('record-loss')
  })

  it('is noticed and told when a wipe happened while the process was down', async () => {
    const world = createWorld()
    const { broker, options } = recordBroker()
    const billing = meterConsumer('billing', {}, billed)
    await world.start([billing], options)
    await publish(world, orders(40))
    await world.pass(2_000)
    world.crash()

    broker.wipe()
    await world.start([billing], options)
    await publish(world, orders(10))
    await world.pass(5_000)

    expect(await world.effects()).toHaveLength(50)
    expect(await alertsOf(world)).toContain('record-loss')
  })

  it('counts what its retention has dropped before it was read (F12)', async () => {
    const world = createWorld()
    const { broker, options } = recordBroker(1)
    const billing = meterConsumer('billing', {}, billed)
    await world.start([billing], options)
    await world.pass(1_000)
    world.crash()
    const publisher = createWorld(2)
    await publisher.start([], { ...options, build: () => only() })
    await publish(publisher, orders(20))
    broker.expire('meters', 15)

    await world.start([billing], options)
    await world.pass(5_000)

    expect(await world.effects()).toHaveLength(5)
    const lost = world.runtime.metrics.read(METRICS.recordLost)
    expect(JSON.stringify(lost)).toContain('15')
    expect(await alertsOf(world)).toContain('record-loss')
  })

  it('tells of a lost end, and handles what is written behind it', async () => {
    const world = createWorld()
    const { broker, options } = recordBroker(1)
    const billing = meterConsumer('billing', {}, billed)
    await world.start([billing], options)
    await publish(world, orders(20))
    await world.pass(2_000)

    broker.loseEnd('meters', 15)
    await publish(
      world,
      orders(7).map((one) => ({ ...one, n: one.n + 1_000 })),
    )
    await world.pass(5_000)

    const numbers = Object.values(byKey(await world.effects())).flat()
    expect(new Set(numbers).size).toBe(numbers.length)
    expect(await alertsOf(world)).toContain('record-loss')
  })
})

describe('what reaches such a contract with a commit of the store', () => {
  it('commits with the handler that emitted it, and is read from the broker once (M1, M12)', async () => {
    const world = createWorld()
    const { broker, options } = recordBroker()
    const billing = meterConsumer('billing', {}, async (order, ctx) => {
      ctx.emit(Billed.of(order))
    })
    const books = {
      ...meterConsumer('books', {}, async (order, ctx) => {
        await effect('books', order, ctx)
      }),
    }
    const onBilled = { ...books, on: Billed }
    await world.start([billing, onBilled], options)
    await publish(world, orders(40))
    await world.pass(3_000)
    world.crash()
    // The relay begins again where its place was last kept, and repeats itself.
    await world.start([billing, onBilled], options)
    await world.pass(10_000)

    const effects = byKey(await world.effects('books'))
    expect(Object.values(effects).flat()).toHaveLength(40)
    for (const numbers of Object.values(effects)) expect(numbers).toEqual(sorted(numbers))
    expect(broker.messages('meters').length).toBeGreaterThanOrEqual(80)
  })

  it('is published with others in one commit, all or none', async () => {
    const world = createWorld()
    const { options } = recordBroker()
    const billing = meterConsumer('billing', {}, billed)
    const shipping = placedConsumer('shipping', {}, async (order, ctx) => {
      await effect('shipping', order, ctx)
    })
    await world.start([billing, shipping], options)

    const one = { key: 'a', n: 1 }
    await world.runtime.publishMany([Metered.of(one), Placed.of(one)])
    await world.pass(3_000)

    expect(await world.effects()).toHaveLength(2)
  })
})

describe('a change of record', () => {
  it('is refused while a consumer has progress in the other one', async () => {
    const world = createWorld()
    const { options } = recordBroker()
    const before = meterConsumer('billing', {}, async () => undefined)
    const { record: _, ...stored } = before.on
    await world.start([{ ...before, on: stored }], options)
    await world.pass(1_000)
    world.crash()

    const started = world.start([before], options)

    await expect(started).rejects.toMatchObject({ code: 'JUNCTURA_RECORD_CHANGED' })
  })
})

const only = () => {
  const parts = [meterConsumer('nobody', { from: 'now' }, async () => undefined)]
  return integration('publisher', { parts, tables: [EFFECTS] })
}

/** How many the store has, seen by another process on its disk. */
const copies = async (world: ReturnType<typeof createWorld>): Promise<number> => {
  world.crash()
  const { clock, random } = createVirtualKernel({ seed: 1 })
  const store = createMemoryStore({ clock, random, disk: world.disk })
  const count = await store.count({ collection: 'copies' })
  await store.close()
  return count
}
