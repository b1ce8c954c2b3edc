import { join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import { runCareless } from './careless-handlers.ts'
import { ensureBuilt, temporaryFolder } from './chaos.fixture.ts'
import { runManyMessages } from './many-messages.ts'
import { runSlowSenders } from './slow-senders.ts'

beforeAll(ensureBuilt)

it('serves honest senders beside a thousand slow ones, and cuts those off (F100)', async () => {
  const dataDir = join(temporaryFolder(), 'data')
  const result = await runSlowSenders({ dataDir, seed: 9, senders: 1_000 })

  console.log(`all cut off within ${result.allCutMs} ms`)
  expect(result.faults).toEqual([])
  expect(result.acknowledgedMeanwhile).toBeGreaterThan(20)
})

it('survives handlers that block its loop, and tells of the lag (F17)', async () => {
  const dataDir = join(temporaryFolder(), 'data')
  const result = await runCareless({ dataDir, seed: 9, prefix: 'BLOCK' })

  expect(result.faults).toEqual([])
  expect(result.lives).toBe(1)
  expect(result.lagSecondsMax).toBeGreaterThan(1)
})

it('loses and doubles nothing when handlers leak until the process is out of memory (F13)', async () => {
  const dataDir = join(temporaryFolder(), 'data')
  const result = await runCareless({ dataDir, seed: 9, prefix: 'LEAK' })

  console.log(`out of memory ${result.lives - 1} times`)
  expect(result.faults).toEqual([])
  expect(result.lives).toBeGreaterThan(1)
})

it('keeps thousands of keys, and thousands of messages of one key, in order and in memory (F68, F90)', async () => {
  const manyKeys = { dataDir: temporaryFolder(), messages: 5_000, keys: 5_000 }
  const oneKey = { dataDir: temporaryFolder(), messages: 5_000, keys: 1, waitMs: 3_000 }

  const many = await runManyMessages(manyKeys)
  const one = await runManyMessages(oneKey)

  expect([...many.faults, ...one.faults]).toEqual([])
  expect(many.pending).toBe(0)
  expect(one.figures.effects).toBeGreaterThan(0)
})
