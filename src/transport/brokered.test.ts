import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeRecord, type LogRecord, slotOf } from '../contract/index.ts'
import { LIMITS, silentLogger } from '../kernel/index.ts'
import { type Append, createMemoryStore, type Store } from '../store/index.ts'
import {
  createMemoryBroker,
  createVirtualClock,
  type MemoryBroker,
  type VirtualClock,
} from '../testing/index.ts'
import type { Broker } from './broker.ts'
import { type BrokeredTransport, createBrokeredTransport } from './brokered.ts'
import type { RelayPlace } from './channel-relays.ts'

const recordOf = (channel: string, n: number, key: string): LogRecord => ({
  head: {
    codec: 'json',
    envelope: {
      specversion: '1.0',
      id: `msg_${n}`,
      type: `${channel}.x`,
      source: '/publish',
      time: '2026-01-01T00:00:00Z',
      datacontenttype: 'application/json',
      contractversion: 1,
      partitionkey: key,
      correlationid: `msg_${n}`,
      tenant: 'default',
    },
  },
  data: new TextEncoder().encode(JSON.stringify({ n })),
})

interface World {
  readonly clock: VirtualClock
  readonly store: Store
  readonly broker: MemoryBroker
  readonly transport: BrokeredTransport
  readonly told: string[]
  readonly later: (() => void)[]
  publish(channel: string, keys: readonly string[]): Promise<readonly number[]>
  restart(): Promise<World>
}

interface Before extends Partial<World> {
  /** Used instead of the broker itself. */
  readonly over?: (broker: MemoryBroker) => Broker
}

const open = async (before?: Before): Promise<World> => {
  const clock = before?.clock ?? createVirtualClock()
  const store = before?.store ?? createMemoryStore({ clock })
  const later: (() => void)[] = before?.later ?? []
  const broker = before?.broker ?? createMemoryBroker({ later: (run) => later.push(run) })
  const told: string[] = []
  const transport = createBrokeredTransport({
    store,
    kernel: { clock, log: silentLogger },
    channels: ['a', 'b'].map((channel) => ({ channel, retentionMs: 86_400_000 })),
    storeId: 'store_1',
    headPosition: await store.headPosition(),
    places: async () => before?.transport?.places ?? new Map<string, RelayPlace>(),
    republishAfter: async () => 0,
    on: {
      moved: () => undefined,
      published: () => undefined,
      recovered: (channel, count) => told.push(`recovered ${count} of ${channel}`),
      lost: (channel, problem) => told.push(`lost ${channel}: ${problem}`),
      oversize: (channel, position) => told.push(`oversize ${channel} ${position}`),
      foreign: (channel) => told.push(`foreign ${channel}`),
      stopped: (channel) => told.push(`stopped ${channel}`),
    },
  })
  await transport.start(before?.over?.(broker) ?? broker).catch(() => undefined)
  const world: World = {
    clock,
    store,
    broker,
    transport,
    told,
    later,
    async publish(channel, keys) {
      const appends = keys.map((key, n): Append => {
        const record = recordOf(channel, n, key)
        return {
          channel,
          slot: slotOf('default', key),
          atMs: 1,
          bytes: encodeRecord(record),
          record,
        }
      })
      const [outcome] = await store.commit([{ appends }])
      if (outcome?.status !== 'committed') throw new Error('the store refused')
      const { positions } = outcome
      transport.appended(appends.map((append, at) => ({ append, position: positions[at] ?? 0 })))
      return positions
    },
    async restart() {
      await transport.close()
      return open(world)
    },
  }
  return world
}

/** Lets everything happen that needs no time; what is on its way arrives in the order given. */
const settle = async ({ later }: World, order: (waiting: number) => number = () => 0) => {
  for (let turn = 0; turn < 40; turn++) {
    for (let microtask = 0; microtask < 20; microtask++) await Promise.resolve()
    if (later.length > 0) later.splice(order(later.length), 1)[0]?.()
  }
}

const readAll = async (
  world: World,
  channel: string,
  count: number,
): Promise<readonly number[]> => {
  const subscription = world.transport.subscribe(channel, 0)
  const got: number[] = []
  const stop = new AbortController()
  while (got.length < count) {
    const page = subscription.next(100, stop.signal)
    let isThere = false
    void page.then(() => (isThere = true))
    for (let tries = 0; tries < 100 && !isThere; tries++) {
      await settle(world)
      await world.clock.advance(LIMITS.brokerPatienceMs)
    }
    if (!isThere) {
      stop.abort()
      break
    }
    got.push(...(await page).map(({ position }) => position))
  }
  subscription.close()
  return got
}

describe('a broker between the log and the consumers', () => {
  it('brings every record once and in the order of the log, whatever order the partitions arrive in, what is lost, and when the broker is down (F, M6)', async () => {
    const steps = fc.array(
      fc.record({
        channel: fc.constantFrom('a', 'b'),
        keys: fc.array(fc.constantFrom('k1', 'k2', 'k3', 'k4', 'k5'), {
          minLength: 1,
          maxLength: 6,
        }),
        event: fc.constantFrom('none', 'none', 'none', 'drop', 'down', 'up', 'wipe', 'restart'),
        pick: fc.nat({ max: 30 }),
      }),
      { minLength: 1, maxLength: 12 },
    )
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        let world = await open()
        const wanted = { a: [] as number[], b: [] as number[] }
        for (const { channel, keys, event, pick } of all) {
          world.broker.filter = () => event !== 'drop'
          if (event === 'down') {
            world.broker.isDown = true
            world.transport.connected(false)
          }
          if (event === 'wipe') world.broker.wipe()
          if (event === 'up' || event === 'restart') {
            world.broker.isDown = false
            world.transport.connected(true)
          }
          if (event === 'restart') {
            await settle(world)
            world = await world.restart()
          }
          const positions = await world.publish(channel, keys)
          wanted[channel === 'a' ? 'a' : 'b'].push(...positions)
          await settle(world, (waiting) => pick % waiting)
        }
        world.broker.isDown = false
        world.transport.connected(true)
        for (const channel of ['a', 'b'] as const) {
          expect(await readAll(world, channel, wanted[channel].length)).toEqual(wanted[channel])
        }
        await world.clock.advance(LIMITS.relayPauseMsMax * 4)
        await settle(world)
        await world.clock.advance(LIMITS.relayPauseMsMax * 4)
        await settle(world)
        expect(world.transport.hasPublished(await world.store.headPosition())).toBe(true)
        await world.transport.close()
      }),
      { numRuns: 150 },
    )
  })

  it('publishes again what a wiped broker lost, and says so', async () => {
    const world = await open()
    await world.publish('a', ['k1', 'k2'])
    await settle(world)
    expect(world.broker.messages('a')).toHaveLength(2)
    world.broker.wipe()
    await world.publish('a', ['k3'])
    for (let round = 0; round < 6; round++) {
      await settle(world)
      await world.clock.advance(LIMITS.relayPauseMsMax)
    }
    const ids = world.broker.messages('a').map(({ attributes }) => attributes['logposition'])
    expect(new Set(ids)).toEqual(new Set(['1', '2', '3']))
    expect(world.told).toContain('lost a: it was deleted and made again')
    await world.transport.close()
  })

  it('leaves alone what another system wrote into a channel', async () => {
    const world = await open()
    const positions = await world.publish('a', ['k1'])
    await settle(world)
    const [ours] = world.broker.messages('a')
    if (!ours) throw new Error('nothing was published')
    const attributes = { ...ours.attributes, logstore: 'store_2', logposition: '99' }
    await world.broker.publish('a', [{ ...ours, id: 'x', attributes }])
    await settle(world)
    expect(world.told).toContain('foreign a')
    expect(await readAll(world, 'a', 2)).toEqual(positions)
    await world.transport.close()
  })

  it('publishes each record once when a start has failed half-way and is made again', async () => {
    let fails = 1
    const over = (broker: MemoryBroker): Broker => ({
      ...broker,
      async inspect(channel) {
        if (channel === 'b' && fails-- > 0) throw new Error('cut off')
        return broker.inspect(channel)
      },
    })
    const world = await open({ over })
    await world.transport.start(world.broker)
    await world.publish('a', ['k1', 'k2'])
    await settle(world)
    expect(world.broker.messages('a')).toHaveLength(2)
    await world.transport.close()
  })

  it.each([true, false])(
    'gives what other processes appended and the broker never brought (reached: %s)',
    async (isConnected) => {
      const world = await open()
      world.transport.connected(isConnected)
      const bytes = encodeRecord(recordOf('a', 1, 'k1'))
      const slot = slotOf('default', 'k1')
      await world.store.commit([{ appends: [{ channel: 'a', slot, atMs: 1, bytes }] }])
      world.broker.isDown = true
      world.transport.advanced(1)
      expect(await readAll(world, 'a', 1)).toEqual([1])
      await world.transport.close()
    },
  )
})
