import { beforeAll, expect, it } from 'vitest'
import { ensureBuilt } from './chaos.fixture.ts'
import { countCalls, describeInjections, sampleCases, runInjections } from './inject-faults.ts'

beforeAll(ensureBuilt)

/** Of each call, with each fault; `npm run chaos` takes every one. */
const CASES_PER_CALL = 2

it('loses and doubles nothing when a sync, write or send fails or is the last call (F2, F3, F8, F9, F20, F21)', async () => {
  const counts = await countCalls()

  const results = await runInjections(sampleCases(counts, CASES_PER_CALL), 2)

  for (const { what, recovery } of describeInjections(results)) console.log(`${what}: ${recovery}`)
  expect(results.flatMap(({ faults }) => faults)).toEqual([])
  for (const { figures } of results) expect(figures.acknowledged).toBe(20)
  // A fault that never came proves nothing: runs differ by a few calls at their end.
  const met = results.filter(({ target }) => target !== undefined)
  expect(met.length).toBeGreaterThan(results.length * 0.8)
})
