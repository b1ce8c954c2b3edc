import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeRecord, type LogRecord } from '../contract/index.ts'
import {
  type Append,
  createMemoryStore,
  type LogQuery,
  type SlotRange,
  type Store,
} from '../store/index.ts'
import { createVirtualClock } from '../testing/index.ts'
import { createEmbeddedTransport } from './embedded.ts'
import type { LogReader, Subscription } from './transport.ts'

const record: LogRecord = {
  head: {
    codec: 'json',
    envelope: {
      specversion: '1.0',
      id: 'msg_1',
      type: 'a.x',
      source: '/publish',
      time: '2026-01-01T00:00:00Z',
      datacontenttype: 'application/json',
      contractversion: 1,
      partitionkey: 'k',
      correlationid: 'msg_1',
      tenant: 'default',
    },
  },
  data: new TextEncoder().encode('1'),
}
const bytes = encodeRecord(record)

const appendsOf = (slots: readonly number[]): readonly Append[] =>
  slots.map((slot) => ({ channel: 'a', slot, atMs: 1, bytes, record }))

const wanting = (wanted: SlotRange): LogReader => ({
  wanted,
  slots: wanted,
  bookmark: undefined,
  usedTo: 0,
  onMoved: () => undefined,
})

/** Everything that can be read without waiting. */
const readUp = async (reader: Subscription): Promise<readonly number[]> => {
  const got: number[] = []
  const stop = new AbortController()
  for (;;) {
    const page = reader.next(7, stop.signal)
    let isThere = false
    void page.then(() => (isThere = true))
    for (let turn = 0; turn < 60 && !isThere; turn++) await Promise.resolve()
    if (!isThere) stop.abort()
    const records = await page
    if (records.length === 0) return got
    got.push(...records.map(({ position }) => position))
  }
}

const recording = (): { readonly store: Store; readonly queries: LogQuery[] } => {
  const store = createMemoryStore({ clock: createVirtualClock() })
  const queries: LogQuery[] = []
  const read = store.readLog.bind(store)
  const readLog: Store['readLog'] = (query) => {
    queries.push(query)
    return read(query)
  }
  return { store: Object.assign(store, { readLog }), queries }
}

describe('a reader of some slots', () => {
  it('is given all of them in order, whoever reads what beside it, and comes and goes', async () => {
    const ranges = fc
      .tuple(fc.nat({ max: 63 }), fc.nat({ max: 63 }))
      .map(([a, b]) => ({ first: Math.min(a, b), last: Math.max(a, b) }))
    const steps = fc.array(
      fc.oneof(
        fc.record({ kind: fc.constant('own' as const), slots: fc.array(fc.nat({ max: 63 })) }),
        fc.record({ kind: fc.constant('other' as const), slots: fc.array(fc.nat({ max: 63 })) }),
        fc.record({ kind: fc.constant('open' as const), range: fc.option(ranges) }),
        fc.record({ kind: fc.constant('read' as const), at: fc.nat() }),
        fc.record({ kind: fc.constant('close' as const), at: fc.nat() }),
      ),
      { minLength: 1, maxLength: 30 },
    )
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const store = createMemoryStore({ clock: createVirtualClock() })
        const transport = createEmbeddedTransport(store, 0, { isShared: true })
        const readers: {
          readonly reader: Subscription
          readonly wants: (slot: number) => boolean
          readonly got: number[]
        }[] = []
        const log: { readonly position: number; readonly slot: number }[] = []
        for (const step of all) {
          if (step.kind === 'own' || step.kind === 'other') {
            if (step.slots.length === 0) continue
            const appends = appendsOf(step.slots)
            const [outcome] = await store.commit([{ appends }])
            const positions = outcome?.status === 'committed' ? outcome.positions : []
            positions.forEach((position, at) => log.push({ position, slot: step.slots[at] ?? 0 }))
            if (step.kind === 'other') transport.advanced(log.length)
            else {
              const told = appends.map((append, at) => ({ append, position: positions[at] ?? 0 }))
              transport.appended(told)
            }
            continue
          }
          if (step.kind === 'open') {
            const { range } = step
            const reader = transport.subscribe('a', 0, range ? wanting(range) : undefined)
            const wants = (slot: number): boolean =>
              range === null || (range.first <= slot && slot <= range.last)
            readers.push({ reader, wants, got: [] })
            continue
          }
          const one = readers[step.at % Math.max(1, readers.length)]
          if (!one) continue
          one.got.push(...(await readUp(one.reader)))
          if (step.kind === 'close') {
            one.reader.close()
            readers.splice(readers.indexOf(one), 1)
          }
        }
        for (const { reader, wants, got } of readers) {
          got.push(...(await readUp(reader)))
          const wanted = new Set(log.filter(({ slot }) => wants(slot)).map((one) => one.position))
          expect(got.filter((position) => wanted.has(position))).toEqual([...wanted])
        }
        await transport.close()
      }),
      { numRuns: 300 },
    )
  })

  it('makes the store leave out what nobody wants, and read everything when somebody does', async () => {
    const { store, queries } = recording()
    const transport = createEmbeddedTransport(store, 0, { isShared: true })
    await store.commit([{ appends: appendsOf([1, 9, 17, 40]) }])
    transport.advanced(4)

    const one = transport.subscribe('a', 0, wanting({ first: 0, last: 7 }))
    const other = transport.subscribe('a', 0, wanting({ first: 8, last: 15 }))
    expect(await readUp(one)).toEqual([1, 2])
    expect(queries.at(-1)?.slots).toEqual([{ first: 0, last: 15 }])
    other.close()
    const all = transport.subscribe('a', 0)
    expect(await readUp(all)).toEqual([1, 2, 3, 4])
    expect(queries.at(-1)?.slots).toBeUndefined()
    all.close()
    const late = transport.subscribe('a', 0, wanting({ first: 40, last: 63 }))
    expect(await readUp(late)).toEqual([1, 4])
    expect(queries.at(-1)?.slots).toEqual([
      { first: 0, last: 7 },
      { first: 40, last: 63 },
    ])
  })
})
