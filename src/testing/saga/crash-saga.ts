import { AssertionError } from 'node:assert'
import { JuncturaError, LIMITS } from '../../kernel/index.ts'
import type { DeathPoint } from '../contract-tests/test-bench.ts'
import { demandOneKey, demandSame } from './compare-runs.ts'
import { playSaga } from './play-saga.ts'
import type { SagaTestResult } from './saga-result.ts'
import type { SagaScenario } from './saga-scenario.ts'

export interface SagaCrashReport {
  /** Of the run that nothing disturbed. */
  readonly result: SagaTestResult
  /** Commits of that run. */
  readonly commits: number
  /** How often the process was killed: before and after each commit. */
  readonly crashes: number
}

const POINTS: readonly DeathPoint[] = ['before-commit', 'after-commit']

/** @throws AssertionError that names the crash after which the saga went another way. */
export const crashSagaEverywhere = async (scenario: SagaScenario): Promise<SagaCrashReport> => {
  const { result, commits } = await playSaga(scenario, {})
  if (commits > LIMITS.sagaTestCommitsMax) {
    const problem = `the scenario makes ${commits} commits; at most ${LIMITS.sagaTestCommitsMax}: test it in parts`
    throw new JuncturaError('JUNCTURA_USAGE', { details: { problem } })
  }
  await demandSuspended(scenario, result)
  let crashes = 0
  for (let nth = 1; nth <= commits; nth++) {
    for (const point of POINTS) {
      const where = `crash ${point === 'before-commit' ? 'before' : 'after'} commit ${nth} of ${commits}`
      const played = await named(where, () => playSaga(scenario, { crash: { nth, point } }))
      if (!played.hasCrashed) continue
      crashes += 1
      demandSame(result, { where, actual: played.result })
      demandOneKey(played.result.effects, where)
    }
  }
  return { result, commits, crashes }
}

/** The function is run anew at each step, as it is after a restart, and must not notice. */
export const demandSuspended = async (
  scenario: SagaScenario,
  expected: SagaTestResult,
): Promise<void> => {
  const where = 'always suspended'
  const { result } = await named(where, () => playSaga(scenario, { alwaysSuspend: true }))
  demandSame(expected, { where, actual: result })
}

/** Says where an assertion failed. */
export const named = async <T>(where: string, play: () => Promise<T>): Promise<T> => {
  try {
    return await play()
  } catch (error) {
    if (!(error instanceof AssertionError)) throw error
    throw new AssertionError({ message: `${where}: ${error.message}` })
  }
}
