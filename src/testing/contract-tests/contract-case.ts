import { JuncturaError } from '../../kernel/index.ts'

/** One promise of a declaration, tried by itself in a world of its own. */
export interface ContractCase {
  readonly part: 'webhook' | 'consumer'
  /** Of the webhook or consumer. */
  readonly name: string
  /** What is tried, such as `wrong-signature`; stable, for programs. */
  readonly case: string
  /** For a test runner: `webhook acme: wrong signature`. */
  readonly title: string
  /**
   * Tries it. Each call is a world of its own: a store in memory, virtual time, chance from the
   * seed.
   *
   * @throws JUNCTURA_CONTRACT_TEST when the promise is not kept; it says what came instead.
   */
  run(): Promise<ContractCaseReport>
}

export interface ContractCaseReport {
  /**
   * `holds`: it was tried and kept. `told`: there is nothing to keep, and what that means is said.
   * `not-tried`: the handler does not take the example; the case `takes` fails for it.
   */
  readonly outcome: 'holds' | 'told' | 'not-tried'
  /** Plain sentences. */
  readonly says: string
}

export const holds = (says: string): ContractCaseReport => ({ outcome: 'holds', says })

export const told = (says: string): ContractCaseReport => ({ outcome: 'told', says })

export const notTried = (says: string): ContractCaseReport => ({ outcome: 'not-tried', says })

/**
 * Ends the case unless the promise was kept.
 *
 * @throws JUNCTURA_CONTRACT_TEST otherwise.
 */
export function expectKept(kept: boolean, problem: string, fix?: string): asserts kept {
  if (kept) return
  throw new JuncturaError('JUNCTURA_CONTRACT_TEST', {
    details: { problem, ...(fix !== undefined && { fix }) },
  })
}
