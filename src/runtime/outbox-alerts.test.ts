import { describe, expect, it } from 'vitest'
import { integration, outboxSource } from '../contract/index.ts'
import { LIMITS } from '../kernel/index.ts'
import type { OutboxReader, OutboxRow } from '../outbox/index.ts'
import { createMemoryDisk, createMemoryStore } from '../store/index.ts'
import { createVirtualKernel } from '../testing/index.ts'
import { createRuntime } from './create-runtime.ts'
import type { OpenOutbox } from './relays.ts'
import type { Runtime } from './runtime-port.ts'
import { owners, Placed } from './world.fixture.ts'

const source = outboxSource('shop', {
  owner: owners,
  database: { file: 'shop.db' },
  accepts: [Placed],
})

/** A database of a service whose first number is of an open transaction, or was rolled back. */
const readerWith = (first: 'open' | 'rolled back'): OutboxReader => {
  const row = { key: 'k', fact: null, payload: '{"key":"k","n":1}', headers: null, record: null }
  const rowOf = (seq: number): OutboxRow => ({
    ...row,
    seq,
    atMs: 1,
    id: `msg_${seq}`,
    type: Placed.name,
    version: null,
  })
  const endedBelow = first === 'open' ? 0 : 1_000
  let shown = [rowOf(2)]
  return {
    read: async ({ head }) => ({
      rows: shown.filter(({ seq }) => seq > head),
      isComplete: true,
      endedBelow,
    }),
    async fence() {
      // One more, so that the relay's place is written with the fence in it.
      shown = [...shown, rowOf(3)]
      return 5
    },
    writersEndedBelow: async () => endedBelow,
    clean: async () => undefined,
    backlog: async () => ({ waiting: 0, isMore: false, oldestAtMs: undefined }),
    close: async () => undefined,
  }
}

describe('an alert about an outbox', () => {
  it.each([
    ['was away', 'outbox-away', () => Promise.reject(new Error('no server')), 30_000],
    ['had an open transaction', 'outbox-waits', async () => readerWith('open'), 90_000],
  ] as const)(
    'that a process raised when it %s, and then died, ends once the next finds it well',
    async (_, kind, openOutbox: OpenOutbox, passMs) => {
      const kernel = createVirtualKernel()
      const { clock, random } = kernel
      const disk = createMemoryDisk()
      const start = (open: OpenOutbox): Promise<Runtime> =>
        createRuntime(integration('shop', { parts: [source] }), {
          kernel,
          store: createMemoryStore({ clock, random, disk }),
          send: async () => undefined,
          openOutbox: open,
        })
      const kindsOpen = async (runtime: Runtime): Promise<readonly string[]> =>
        (await runtime.alerts({ limit: 10, state: 'open' })).items.map((alert) => alert.kind)

      const first = await begin(clock, start(openOutbox))
      await clock.advance(passMs)
      expect(passMs).toBeGreaterThan(LIMITS.outboxAwayAlertMs)
      expect(await kindsOpen(first)).toEqual([kind])
      disk.crash()
      const next = await begin(
        clock,
        start(async () => readerWith('rolled back')),
      )
      await clock.advance(5_000)

      expect(await kindsOpen(next)).toEqual([])
    },
  )
})

describe('a process with the role relay alone', () => {
  it('moves what waits in outboxes', async () => {
    const kernel = createVirtualKernel()
    const { clock, random } = kernel
    const memory = createMemoryStore({ clock, random })
    const features = { ...memory.features, multiProcess: true }
    const starting = createRuntime(integration('shop', { parts: [source] }), {
      kernel,
      // As one that several processes share, of which none is a worker.
      store: Object.assign(memory, { features }),
      roles: ['relay'],
      openOutbox: async () => readerWith('rolled back'),
    })
    const runtime = await begin(clock, starting)
    for (let round = 0; round < 50; round++) await clock.advance(100)

    expect(await runtime.outboxes()).toMatchObject([{ state: 'running', moved: 2 }])
    await begin(clock, runtime.close())
    expect(await runtime.outboxes()).toMatchObject([{ state: 'stopped' }])
  })
})

/** Time passes while a runtime starts. */
async function begin<T>(
  clock: { advance(ms: number): Promise<void> },
  starting: Promise<T>,
): Promise<T> {
  await clock.advance(100)
  return starting
}
