import { beforeAll, expect, it } from 'vitest'
import { ensureBuilt, temporaryFolder } from './chaos.fixture.ts'
import { listRepairCases, makeDamagedStore, runRepairs } from './inject-repair.ts'

beforeAll(ensureBuilt)

it('finishes a repair that was cut short or failed at any rename, and loses nothing (F12, F24)', async () => {
  const store = await makeDamagedStore(temporaryFolder())
  const cases = listRepairCases(store.counts, 1).filter(({ call }) => call === 'rename')

  const results = await runRepairs(store, cases, 2)

  expect(results.flatMap(({ faults }) => faults)).toEqual([])
  expect(results.filter(({ wasMet }) => !wasMet)).toEqual([])
  // Two names change, and each change meets three faults.
  expect(results.length).toBeGreaterThanOrEqual(6)
  for (const { figures } of results) expect(figures.acknowledged).toBe(30)
})
