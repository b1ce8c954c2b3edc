import { expect, it } from 'vitest'
import { encodeRecord, type LogRecord } from '../contract/index.ts'
import { LIMITS, silentLogger } from '../kernel/index.ts'
import { createMemoryStore, type Store } from '../store/index.ts'
import { createMemoryBroker, createVirtualClock, type MemoryBroker } from '../testing/index.ts'
import { type ChannelRelays, createChannelRelays, type RelayPlace } from './channel-relays.ts'
import { createEmbeddedTransport } from './embedded.ts'

const recordOf = (n: number): LogRecord => ({
  head: {
    codec: 'json',
    envelope: {
      specversion: '1.0',
      id: `msg_${n}`,
      type: 'a.x',
      source: '/publish',
      time: '2026-01-01T00:00:00Z',
      datacontenttype: 'application/json',
      contractversion: 1,
      partitionkey: 'k',
      correlationid: `msg_${n}`,
      tenant: 'default',
    },
  },
  data: Buffer.from(`{"n":${n}}`),
})

interface Bench {
  readonly broker: MemoryBroker
  readonly relays: ChannelRelays
  /** Set to make the next answers of the store fail. */
  readonly store: { isAway: boolean }
  readonly log: Store
  /** What was told as lost. */
  readonly lost: readonly string[]
  publish(n: number): Promise<void>
  pass(ms: number): Promise<void>
}

interface Before extends Pick<Bench, 'broker' | 'log'> {
  readonly places: ReadonlyMap<string, RelayPlace>
}

const open = async (before?: Before): Promise<Bench> => {
  const clock = createVirtualClock()
  const store = before?.log ?? createMemoryStore({ clock })
  const broker = before?.broker ?? createMemoryBroker()
  const lost: string[] = []
  const state = { isAway: false }
  const log = createEmbeddedTransport(store, await store.headPosition())
  const relays = createChannelRelays({
    log,
    kernel: { clock, log: silentLogger },
    channels: [{ channel: 'a', retentionMs: 1 }],
    storeId: 'store_1',
    headPosition: 0,
    places: async () => before?.places ?? new Map(),
    republishAfter: async () => {
      if (state.isAway) throw new Error('the store is away')
      return 0
    },
    on: {
      moved: () => undefined,
      published: () => undefined,
      lost: (_channel, problem) => lost.push(problem),
      oversize: () => undefined,
      stopped: () => undefined,
    },
  })
  await relays.start(broker)
  return {
    broker,
    relays,
    store: state,
    log: store,
    lost,
    async publish(n) {
      const record = recordOf(n)
      const append = { channel: 'a', slot: 0, atMs: 1, bytes: encodeRecord(record), record }
      const [outcome] = await store.commit([{ appends: [append] }])
      const position = outcome?.status === 'committed' ? (outcome.positions[0] ?? 0) : 0
      log.appended([{ append, position }])
      await clock.advance(10)
    },
    async pass(ms) {
      for (let passed = 0; passed < ms; passed += 100) await clock.advance(100)
    },
  }
}

const numbersOf = (broker: MemoryBroker): readonly string[] =>
  broker.messages('a').map(({ attributes }) => attributes['id'] ?? '')

it('publishes again what a broker lost, also where the store is away as that is noticed', async () => {
  const bench = await open()
  await bench.publish(1)
  await bench.publish(2)
  await bench.pass(LIMITS.brokerSurveyMs)
  bench.store.isAway = true
  bench.broker.wipe()
  await bench.publish(3)
  await bench.pass(LIMITS.brokerSurveyMs)
  bench.store.isAway = false
  await bench.publish(4)
  await bench.pass(LIMITS.brokerSurveyMs)

  expect(new Set(numbersOf(bench.broker))).toEqual(new Set(['msg_1', 'msg_2', 'msg_3', 'msg_4']))
  await bench.relays.close()
})

it('goes back at once: the place that is kept is never past what was lost', async () => {
  const bench = await open()
  await bench.publish(1)
  await bench.pass(LIMITS.brokerSurveyMs)
  const before = bench.relays.places.get('a')
  bench.broker.wipe()
  // Its publishes fail from now on, but it can be looked at.
  const { publish } = bench.broker
  Object.assign(bench.broker, { publish: () => new Promise(() => undefined) })
  await bench.publish(2)
  bench.relays.connected(false)
  bench.relays.connected(true)
  await bench.pass(100)

  const after = bench.relays.places.get('a')
  expect(after?.incarnation).not.toBe(before?.incarnation)
  expect(after?.publishedTo).toBe(0)
  Object.assign(bench.broker, { publish })
})

it('publishes again what a broker lost of its newest messages, also where it has grown beyond them since', async () => {
  const bench = await open()
  for (const n of [1, 2, 3, 4, 5]) await bench.publish(n)
  await bench.pass(LIMITS.brokerSurveyMs)
  bench.broker.lose('a', 2)
  for (const n of [6, 7, 8]) await bench.publish(n)
  expect(numbersOf(bench.broker)).not.toContain('msg_5')

  await bench.pass(LIMITS.brokerSurveyMs + 1_000)

  const ids = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => `msg_${n}`)
  expect([...new Set(numbersOf(bench.broker))].toSorted()).toEqual(ids)
  expect(bench.lost).toHaveLength(1)
  // Nothing more is taken for lost, however often it is looked.
  await bench.publish(9)
  await bench.pass(3 * LIMITS.brokerSurveyMs)
  expect(bench.lost).toHaveLength(1)
  await bench.relays.close()
})

it('finds at its start what was lost since the place was kept', async () => {
  const first = await open()
  for (const n of [1, 2, 3, 4, 5]) await first.publish(n)
  const places = first.relays.places
  await first.relays.close()
  first.broker.lose('a', 2)

  const next = await open({ ...first, places })
  await next.pass(1_000)

  expect(next.lost).toHaveLength(1)
  expect([...new Set(numbersOf(first.broker))].toSorted()).toEqual(
    [1, 2, 3, 4, 5].map((n) => `msg_${n}`),
  )
  await next.relays.close()
})
