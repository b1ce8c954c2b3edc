import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { integration } from '../contract/index.ts'
import { createVirtualKernel } from '../testing/index.ts'
import { createRuntime } from './create-runtime.ts'
import type { Runtime } from './runtime-port.ts'
import { Placed, placedConsumer } from './world.fixture.ts'

const kernel = createVirtualKernel()

const worked = async (runtime: Runtime, ...numbers: readonly number[]): Promise<void> => {
  for (const n of numbers) await runtime.publish(Placed.of({ key: 'k', n }))
  await runtime.idle()
}

describe('an older store that is accepted (F29)', () => {
  it('is journaled and told once, and consumers go on over the positions that are left out', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'junctura-rollback-'))
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
    const file = join(directory, 'junctura.db')
    const handled: number[] = []
    const one = placedConsumer('one', {}, ({ n }) => {
      handled.push(n)
      return Promise.resolve()
    })
    const start = (acceptRollback: boolean): Promise<Runtime> =>
      createRuntime(integration('demo', { parts: [one] }), {
        kernel,
        store: { engine: 'sqlite', directory, acceptRollback },
      })
    const first = await start(false)
    await worked(first, 1, 2)
    await first.close()
    copyFileSync(file, `${file}.backup`)
    const second = await start(false)
    await worked(second, 3, 4, 5)
    await second.close()
    copyFileSync(`${file}.backup`, file)
    await expect(start(false)).rejects.toMatchObject({ code: 'JUNCTURA_STORE_ROLLED_BACK' })

    const third = await start(true)
    await worked(third, 6, 7)
    expect((await third.operations({})).items).toMatchObject([
      { command: 'store.accept-rollback', state: 'done', result: { position: 2, reached: 5 } },
    ])
    await third.close()
    const fourth = await start(false)
    await worked(fourth, 8)

    expect(handled).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    expect((await fourth.consumers())[0]).toMatchObject({ lag: 0, watermark: 1_000_008 })
    expect((await fourth.operations({})).items).toHaveLength(1)
    expect((await fourth.alerts({})).items).toMatchObject([
      { cause: 'store/rolled-back', state: 'open', severity: 'critical', count: 1 },
    ])
    await fourth.close()
  })
})
