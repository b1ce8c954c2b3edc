import { beforeAll, expect, it } from 'vitest'
import { ensureBuilt, temporaryFolder } from './chaos.fixture.ts'
import { listRepairCases, makeDamagedStore, runRepairs } from './inject-repair.ts'

beforeAll(ensureBuilt)

/** The last syncs of a repair: what was salvaged becomes one file there. */
const SYNCS = 8

it('finishes a repair that was cut short or failed at a rename or sync, and loses nothing (F12, F21, F24)', async () => {
  const store = await makeDamagedStore(temporaryFolder())
  const syncs = store.counts.get('fsync') ?? 0
  const cases = listRepairCases(store.counts, 1).filter(
    ({ call, n, injection }) =>
      call === 'rename' || (call === 'fsync' && injection === 'EIO' && n > syncs - SYNCS),
  )

  const results = await runRepairs(store, cases, 2)

  expect(results.flatMap(({ faults }) => faults)).toEqual([])
  expect(results.filter(({ wasMet }) => !wasMet)).toEqual([])
  // Two names change, and each change meets three faults.
  expect(results.length).toBeGreaterThanOrEqual(6 + SYNCS)
  for (const { figures } of results) expect(figures.acknowledged).toBe(30)
})
