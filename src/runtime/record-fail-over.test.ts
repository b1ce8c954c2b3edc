import { describe, expect, it } from 'vitest'
import { integration } from '../contract/index.ts'
import {
  type AlertRow,
  createMemoryDisk,
  createMemoryStore,
  FAILED_OVER,
  type FailOver,
  type OperationRow,
  type Store,
  type Unit,
} from '../store/index.ts'
import { createVirtualKernel } from '../testing/index.ts'
import { createRuntime } from './create-runtime.ts'
import { describeFailOver } from './record-fail-over.ts'
import type { Runtime } from './runtime-port.ts'
import { placedConsumer } from './world.fixture.ts'

const base: FailOver = {
  durability: 'fsync',
  position: 98,
  reached: 105,
  missing: 7,
  nextPosition: 1_000_106,
  noticedAtMs: 1,
}

const startAfter = async (failOver: FailOver): Promise<Runtime> => {
  const kernel = createVirtualKernel()
  const store = createMemoryStore({ clock: kernel.clock, random: kernel.random })
  const row = { value: failOver }
  await store.commit([{ rows: [{ collection: 'meta', key: FAILED_OVER, row }] }])
  const parts = [placedConsumer('one', {}, () => Promise.resolve())]
  const runtime = await createRuntime(integration('demo', { parts }), { kernel, store })
  return runtime
}

const note = (failOver: FailOver): Unit => ({
  rows: [{ collection: 'meta', key: FAILED_OVER, row: { value: failOver } }],
})

describe('a fail-over of the store (F80)', () => {
  it('that lost positions is journaled and raises a critical alert with their number', async () => {
    const runtime = await startAfter(base)

    expect((await runtime.operations({})).items).toMatchObject([
      { command: 'store.fail-over', state: 'done', result: { missing: 7 } },
    ])
    expect((await runtime.alerts({})).items).toMatchObject([
      {
        cause: 'store/failed-over',
        severity: 'critical',
        title: expect.stringContaining('7 position(s) that were given are gone, 99 to 105'),
      },
    ])
    await runtime.close()
  })

  it('that waited for no replica raises a warning also when nobody misses anything', async () => {
    for (const told of [
      { ...base, reached: 98, missing: 0 },
      { ...base, reached: null, missing: null },
    ]) {
      const runtime = await startAfter(told)
      expect((await runtime.alerts({})).items).toMatchObject([
        { severity: 'warning', title: describeFailOver(told) },
      ])
      expect(describeFailOver(told)).toContain('may be gone')
      await runtime.close()
    }
  })

  it('to a synchronous replica is journaled, and wakes nobody', async () => {
    const runtime = await startAfter({
      ...base,
      durability: 'replicated',
      reached: 98,
      missing: 0,
    })

    expect((await runtime.operations({})).items).toHaveLength(1)
    expect((await runtime.alerts({})).items).toEqual([])
    await runtime.close()
  })

  const onDisk = () => {
    const kernel = createVirtualKernel()
    const { clock, random } = kernel
    const disk = createMemoryDisk()
    const parts = [placedConsumer('one', {}, () => Promise.resolve())]
    return {
      open: (): Store => createMemoryStore({ clock, random, disk }),
      async leave(failOver: FailOver): Promise<void> {
        const store = createMemoryStore({ clock, random, disk })
        await store.commit([note(failOver)])
        await store.close()
      },
      start: (store: Store): Promise<Runtime> =>
        createRuntime(integration('demo', { parts }), { kernel, store }),
    }
  }

  it('is told once, however often a process starts, and again when one remembers more', async () => {
    const { open, start, leave } = onDisk()
    await leave(base)
    for (let round = 0; round < 2; round++) await (await start(open())).close()
    await leave({ ...base, reached: 110, missing: 12 })

    const runtime = await start(open())

    const told = (await runtime.operations({})).items.map(({ result }) => result)
    expect(told).toMatchObject([{ missing: 12 }, { missing: 7 }])
    await runtime.close()
  })

  it('is told again when the correction comes while the first number is being told', async () => {
    const { open, start } = onDisk()
    const store = open()
    await store.commit([note(base)])
    const read = store.row.bind(store)
    let isCorrected = false
    const row: Store['row'] = async (collection, key) => {
      const found = await read(collection, key)
      if (key === FAILED_OVER && !isCorrected) {
        isCorrected = true
        await store.commit([note({ ...base, reached: 110, missing: 12 })])
      }
      return found
    }
    await (await start(Object.assign(store, { row }))).close()

    const runtime = await start(open())

    expect((await runtime.operations({})).items).toHaveLength(2)
    await runtime.close()
  })

  it('is journaled and told once by two processes that start at the same moment', async () => {
    const { open, start } = onDisk()
    const store = open()
    await store.commit([note(base)])
    const read = store.row.bind(store)
    let isTold = false
    const row: Store['row'] = async (collection, key) => {
      const found = await read(collection, key)
      if (collection === 'operations' && !isTold) {
        isTold = true
        // The other one commits between this look and this commit.
        const alert: AlertRow = {
          id: 'alert_other',
          kind: 'store-failed-over',
          cause: 'store/failed-over',
          title: 'told by the other one',
          owner: '',
          route: 'log',
          target: { kind: 'log' },
          severity: 'critical',
          state: 'open',
          firstAtMs: 0,
          lastAtMs: 0,
          count: 1,
          countAtOpening: 1,
          isGrown: false,
          owed: [],
          notifiedCount: 1,
          notifiedAtMs: 0,
        }
        const told: OperationRow = {
          id: key,
          command: 'store.fail-over',
          parameters: {},
          actor: 'the other one',
          reason: '',
          origin: 'start',
          atMs: 0,
          state: 'done',
          result: null,
        }
        await store.commit([
          {
            rows: [
              { collection: 'operations', key, row: told },
              { collection: 'alerts', key: alert.id, row: alert },
            ],
          },
        ])
      }
      return found
    }
    const runtime = await start(Object.assign(store, { row }))

    expect((await runtime.alerts({})).items.map(({ id }) => id)).toEqual(['alert_other'])
    expect((await runtime.operations({})).items).toHaveLength(1)
    await runtime.close()
  })
})
