import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeRecord, type LogRecord } from '../contract/index.ts'
import { type Append, createMemoryStore, type Store } from '../store/index.ts'
import { createVirtualClock } from '../testing/index.ts'
import { createEmbeddedTransport, type EmbeddedTransport } from './embedded.ts'
import type { Subscription } from './transport.ts'

const recordOf = (channel: string, n: number): LogRecord => ({
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
      partitionkey: 'k',
      correlationid: `msg_${n}`,
      tenant: 'default',
    },
  },
  data: new TextEncoder().encode(String(n)),
})

/** Appends as the committer does: first durable, then told. */
const write = async (
  store: Store,
  transport: EmbeddedTransport,
  channels: readonly string[],
): Promise<readonly number[]> => {
  const appends = channels.map((channel, n): Append => {
    const record = recordOf(channel, n)
    return { channel, slot: 0, atMs: 1, bytes: encodeRecord(record), record }
  })
  const [outcome] = await store.commit([{ appends }])
  if (outcome?.status !== 'committed') throw new Error('the store refused')
  const { positions } = outcome
  transport.appended(appends.map((append, at) => ({ append, position: positions[at] ?? 0 })))
  return positions
}

const open = (): { readonly store: Store; readonly transport: EmbeddedTransport } => {
  const store = createMemoryStore({ clock: createVirtualClock() })
  return { store, transport: createEmbeddedTransport(store, 0) }
}

const never = new AbortController().signal

describe('the embedded transport', () => {
  it('gives each record of a channel once, in order, wherever the reader begins and however fast it reads', async () => {
    const batches = fc.array(fc.array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 40 }), {
      minLength: 1,
      maxLength: 8,
    })
    await fc.assert(
      fc.asyncProperty(
        batches,
        fc.nat({ max: 60 }),
        fc.integer({ min: 1, max: 50 }),
        async (all, from, limit) => {
          const { store, transport } = open()
          const early = transport.subscribe('a', from)
          const wanted: number[] = []
          for (const batch of all) {
            const positions = await write(store, transport, batch)
            wanted.push(...positions.filter((position, at) => batch[at] === 'a' && position > from))
          }
          // One that was there from the start, and one that has to read the store.
          const restarted = createEmbeddedTransport(store, await store.headPosition())
          for (const subscription of [early, restarted.subscribe('a', from)]) {
            const got: number[] = []
            while (got.length < wanted.length) {
              got.push(...(await subscription.next(limit, never)).map(({ position }) => position))
            }
            expect(got).toEqual(wanted)
            // Whoever reads the store learns with its next read that nothing is left.
            const stop = new AbortController()
            const more = subscription.next(limit, stop.signal)
            for (let turn = 0; turn < 5; turn++) await Promise.resolve()
            expect(subscription.atHead).toBe(true)
            stop.abort()
            expect(await more).toEqual([])
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  it('serves a reader far behind its memory from the store, and joins both without a gap', async () => {
    const { store, transport } = open()
    const slow = transport.subscribe('a', 0)
    for (let batch = 0; batch < 25; batch++) {
      await write(
        store,
        transport,
        Array.from({ length: 1_000 }, () => 'a'),
      )
    }
    let last = 0
    let count = 0
    while (count < 25_000) {
      for (const { position } of await slow.next(512, never)) {
        expect(position).toBe(last + 1)
        last = position
        count += 1
      }
    }
    expect(slow.atHead).toBe(true)
  })

  it('reads the store once for all who are behind, and gives each what it has not read', async () => {
    const { store } = open()
    const first = createEmbeddedTransport(store, 0)
    for (let batch = 0; batch < 3; batch++) {
      const channels = Array.from({ length: 1_000 }, (_, n) => (n % 2 === 0 ? 'a' : 'b'))
      await write(store, first, channels)
    }
    const restarted = createEmbeddedTransport(store, 3_000)
    let reads = 0
    const { readLog } = store
    store.readLog = (query) => {
      reads += 1
      return readLog.call(store, query)
    }
    const froms = [0, 0, 700]
    const readers = froms.map((from) => ({ from, reader: restarted.subscribe('a', from) }))
    const readAll = async (reader: Subscription, limit: number): Promise<readonly number[]> => {
      const got: number[] = []
      while (!reader.atHead) {
        const stop = new AbortController()
        const page = reader.next(limit, stop.signal)
        if (got.at(-1) === 2_999) stop.abort()
        got.push(...(await page).map(({ position }) => position))
      }
      return got
    }
    const all = await Promise.all(
      readers.map(({ reader }, index) => readAll(reader, [512, 100, 512][index] ?? 1)),
    )
    for (const [index, got] of all.entries()) {
      const from = froms[index] ?? 0
      expect(got).toEqual(
        Array.from({ length: 1_500 }, (_, n) => 2 * n + 1).filter((position) => position > from),
      )
    }
    expect(reads).toBeLessThanOrEqual(10)
  })

  it('knows at once when something came: a reader that has not read it is not at the head', async () => {
    const { store, transport } = open()
    const reader = transport.subscribe('a', 0)
    expect(reader.atHead).toBe(true)
    await write(store, transport, ['b'])
    expect(reader.atHead).toBe(true)
    await write(store, transport, ['a'])
    expect(reader.atHead).toBe(false)
    await reader.next(10, never)
    expect(reader.atHead).toBe(true)
  })

  it('waits for the next record, and stops waiting when told', async () => {
    const { store, transport } = open()
    const reader = transport.subscribe('a', 0)
    const stop = new AbortController()
    const waiting = reader.next(10, stop.signal)
    stop.abort()
    expect(await waiting).toEqual([])
    const next = reader.next(10, never)
    await write(store, transport, ['b', 'a'])
    expect((await next).map(({ position }) => position)).toEqual([2])
    const last = reader.next(10, never)
    await transport.close()
    expect(await last).toEqual([])
  })
})
