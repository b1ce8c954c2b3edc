import { describe, expect, it } from 'vitest'
import { integration } from '../contract/index.ts'
import { createMemoryStore, FAILED_OVER, type FailOver } from '../store/index.ts'
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
  expect(await store.row('meta', FAILED_OVER)).toBeUndefined()
  return runtime
}

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
})
