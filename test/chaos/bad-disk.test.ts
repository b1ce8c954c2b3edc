import { beforeAll, expect, it } from 'vitest'
import { ensureBuilt, temporaryFolder } from './chaos.fixture.ts'
import { runReadOnlyDisk } from './read-only-disk.ts'
import { runSlowDisk } from './slow-disk.ts'

beforeAll(ensureBuilt)

it('takes nothing on a disk that turned read-only, names it at a start, and goes on once it is mended (F26)', async () => {
  const result = await runReadOnlyDisk({ folder: temporaryFolder(), seed: 4 })

  console.log(`the process that met it: ${result.end ?? 'answered 503'}`)
  expect(result.faults).toEqual([])
  expect(result.verdict.acknowledged).toBeGreaterThan(20)
  expect(result.refusal.code).not.toBe(0)
})

it('shares each slow sync among many messages, and neither loses nor hoards any (F27)', async () => {
  const options = { folder: temporaryFolder(), seed: 4, delayMs: 200, loadMs: 3_000 }
  const result = await runSlowDisk(options)

  console.log(`${result.rate} a second, 99 % within ${result.ackMsP99} ms`)
  expect(result.faults).toEqual([])
  // Each of them alone would have needed a sync of its own.
  expect(result.verdict.acknowledged).toBeGreaterThan(result.syncs)
  expect(result.memoryMiBMax).toBeLessThan(500)
})
