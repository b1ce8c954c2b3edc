import { join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import { runBothKilled } from './both-killed.ts'
import { faultsOf } from './attack.ts'
import { ensureBuilt, temporaryFolder } from './chaos.fixture.ts'
import { runClockJumps } from './clock-jumps.ts'
import { describeFrozen, runFrozen } from './frozen-process.ts'

beforeAll(ensureBuilt)

it('neither loses, doubles nor delays anything when the wall clock jumps (F35)', async () => {
  const options = { folder: temporaryFolder(), seed: 6, loadMs: 500 }
  const { verdict, partner, offSeconds } = await runClockJumps(options)

  expect(faultsOf(verdict, partner)).toEqual([])
  expect(verdict.acknowledged).toBeGreaterThan(50)
  // The jumps were there; the header of an answer has whole seconds, and may be one old.
  const [still = 0, back = 0, forward = 0] = offSeconds
  expect(Math.abs(still)).toBeLessThan(60)
  expect(Math.abs(back + 3_600)).toBeLessThan(60)
  expect(Math.abs(forward - 86_400)).toBeLessThan(60)
})

it('goes on after SIGSTOP and SIGCONT under load, and kept a second process out (F28, F39)', async () => {
  const dataDir = join(temporaryFolder(), 'data')
  const result = await runFrozen({ dataDir, seed: 6, frozenMs: 3_000 })

  expect(describeFrozen(result).faults).toEqual([])
  expect(result.verdict.acknowledged).toBeGreaterThan(50)
})

it('settles what neither side remembers after both were killed at one moment (F3, F92)', async () => {
  const { verdict, partner } = await runBothKilled({
    folder: temporaryFolder(),
    seed: 6,
    rounds: 3,
  })

  expect(faultsOf(verdict, partner)).toEqual([])
  expect(verdict.acknowledged).toBeGreaterThan(50)
})
