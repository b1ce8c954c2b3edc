import type { Integration } from '../../contract/index.ts'
import { isJuncturaError, messageOf } from '../../kernel/index.ts'
import { type ContractTestOptions, deriveCases } from './contract-tests.ts'
import type { BenchSeams } from './test-bench.ts'

export interface Outcome {
  readonly title: string
  readonly outcome: string
  readonly says: string
}

/** Runs every case, with what a test puts in between. */
export const runAll = async (
  tested: Integration,
  options: ContractTestOptions = {},
  seams: BenchSeams = {},
): Promise<readonly Outcome[]> => {
  const outcomes: Outcome[] = []
  for (const one of deriveCases(tested, options, seams)) {
    const { title } = one
    outcomes.push(
      await one.run().then(
        (report) => ({ title, ...report }),
        (error: unknown) => {
          if (!isJuncturaError(error, 'JUNCTURA_CONTRACT_TEST')) throw error
          return { title, outcome: 'fails', says: messageOf(error) }
        },
      ),
    )
  }
  return outcomes
}

export const failuresOf = (outcomes: readonly Outcome[]): readonly string[] =>
  outcomes.filter(({ outcome }) => outcome === 'fails').map(({ title }) => title)

export const saysOf = (outcomes: readonly Outcome[], title: string): string =>
  outcomes.find((one) => one.title === title)?.says ?? ''
