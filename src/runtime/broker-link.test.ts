import { describe, expect, it } from 'vitest'
import { LIMITS } from '../kernel/index.ts'
import { createMetrics } from '../observe/index.ts'
import { createCommitter, type Store } from '../store/index.ts'
import { createMemoryStore } from '../store/memory/index.ts'
import { createMemoryBroker, createVirtualKernel, type MemoryBroker } from '../testing/index.ts'
import { createChannelRelays, createEmbeddedTransport } from '../transport/index.ts'
import { createAlertBook } from './alert-book.ts'
import { createBrokerLink } from './broker-link.ts'
import { leasesOf } from './leases.fixture.ts'
import { createWorld, effect, Placed, placedConsumer } from './world.fixture.ts'

describe('a broker that is away from the start', () => {
  it('is told of after half a minute, and resolved when it comes; consumers read the store meanwhile', async () => {
    const world = createWorld()
    const broker = createMemoryBroker()
    broker.isDown = true
    const one = placedConsumer('one', {}, (order, ctx) => effect('one', order, ctx).then(() => {}))
    await world.start([one], { transport: { engine: 'custom', open: async () => broker } })
    await world.publish({ key: 'a', n: 1 }, { key: 'b', n: 2 })
    await world.pass(5_000)
    expect(await world.effects()).toEqual(['a:1', 'b:2'])
    expect((await world.runtime.alerts({})).items).toEqual([])

    await world.pass(LIMITS.brokerDownAlertMs)
    const { items } = await world.runtime.alerts({})
    expect(items).toMatchObject([{ kind: 'transport-down', state: 'open' }])

    broker.isDown = false
    await world.pass(60_000)
    expect((await world.runtime.alerts({})).items).toMatchObject([{ state: 'resolved' }])
    expect(broker.messages(Placed.channel)).toHaveLength(2)
  })
})

describe('a broker that is still being opened', () => {
  it('is closed as well by whoever closes its link meanwhile', async () => {
    const kernel = createVirtualKernel()
    const { clock } = kernel
    const store = createMemoryStore({ clock })
    const { promise, resolve } = Promise.withResolvers<MemoryBroker>()
    let closed = 0
    const link = await createBrokerLink({
      name: 'other',
      engine: 'custom',
      open: () => promise,
      channels: [{ channel: Placed.channel, retentionMs: 1 }],
      from: 'now',
      store,
      kernel,
      metrics: createMetrics(clock),
      carry: (given) => createChannelRelays({ ...given, log: createEmbeddedTransport(store, 0) }),
    })
    const committer = createCommitter({
      store,
      clock,
      log: kernel.log,
      onAppended: () => undefined,
    })
    const alerts = createAlertBook({ store, kernel, onChange: () => undefined })
    const starting = link.start({ committer, alerts })
    await clock.advance(1)
    const closing = link.close()
    await clock.advance(1)
    resolve(
      Object.assign(createMemoryBroker(), {
        close: async () => {
          closed += 1
        },
      }),
    )
    await Promise.all([starting, closing])

    expect(closed).toBe(1)
  })
})

describe('a broker that another process of a shared store publishes to', () => {
  const linkOn = (store: Store, broker = createMemoryBroker()) => {
    const kernel = createVirtualKernel()
    const { clock } = kernel
    return createBrokerLink({
      name: 'other',
      engine: 'custom',
      open: async () => broker,
      channels: [{ channel: Placed.channel, retentionMs: 1 }],
      from: 'earliest',
      store,
      kernel,
      metrics: createMetrics(clock),
      carry: (given) => createChannelRelays({ ...given, log: createEmbeddedTransport(store, 0) }),
    })
  }
  const sharedStore = (): Store =>
    Object.assign(createMemoryStore({ clock: createVirtualKernel().clock }), {
      leases: leasesOf(),
    })

  it('has what that one has kept as published, and nothing more: retention waits for it', async () => {
    const store = sharedStore()
    const link = await linkOn(store)
    const key = `relay/other/${Placed.channel}`
    const bytes = new Uint8Array([1])
    const append = { channel: Placed.channel, slot: 0, atMs: 1, bytes }
    await store.commit([{ appends: [append, append] }])

    expect([await link.hasPublished(2), await link.unpublished()]).toEqual([false, 2])
    const value = { publishedTo: 2, incarnation: '', ends: {} }
    await store.commit([{ rows: [{ collection: 'meta', key, row: { value } }] }])
    expect([await link.hasPublished(2), await link.unpublished()]).toEqual([true, 0])
  })

  it('is looked at also where nothing is published: retention keeps what it lost', async () => {
    const store = sharedStore()
    const broker = createMemoryBroker()
    await broker.ensure([{ channel: Placed.channel, retentionMs: 1 }])
    const link = await linkOn(store, broker)
    const value = { publishedTo: 2, ...(await broker.inspect(Placed.channel)) }
    const key = `relay/other/${Placed.channel}`
    await store.commit([{ rows: [{ collection: 'meta', key, row: { value } }] }])
    expect(await link.stillHas()).toBe(true)

    broker.wipe()
    await broker.ensure([{ channel: Placed.channel, retentionMs: 1 }])

    expect(await link.stillHas()).toBe(false)
    broker.isDown = true
    expect(await link.stillHas()).toBe(false)
  })

  it('knows one store by one name, and keeps one place, however many begin at once', async () => {
    const store = sharedStore()
    const ids = new Set<unknown>()
    const read = store.row.bind(store)
    // Each looks before any has written.
    const row: Store['row'] = async (collection, key) => {
      const found = await read(collection, key)
      for (let turn = 0; turn < 20; turn++) await Promise.resolve()
      if (key === 'storeId' && found) ids.add((await read('meta', 'storeId'))?.value)
      return found
    }
    Object.assign(store, { row })
    const write = store.commit.bind(store)
    const commit: Store['commit'] = async (units, finish) => {
      const outcomes = await write(units, finish)
      ids.add((await read('meta', 'storeId'))?.value)
      return outcomes
    }
    Object.assign(store, { commit })

    await Promise.all([linkOn(store), linkOn(store), linkOn(store)])

    ids.delete(undefined)
    expect(ids.size).toBe(1)
  })
})
