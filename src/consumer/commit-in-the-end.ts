import { sleep } from '../kernel/index.ts'
import type { CommitUnit, UnitOutcome } from '../store/index.ts'
import { isStoreTrouble, STORE_RETRY_MS } from './attempt.ts'
import type { ConsumerPorts } from './ports.ts'

/**
 * Commits bookkeeping that must not get lost: while the store refuses, it is offered again.
 * Undefined when `stop` comes first, or the store is not trusted any more.
 *
 * @throws what was wrong with this unit alone.
 */
export const commitInTheEnd = async (
  { committer, kernel }: Pick<ConsumerPorts, 'committer' | 'kernel'>,
  unit: CommitUnit,
  stop: AbortSignal,
): Promise<UnitOutcome | undefined> => {
  for (;;) {
    try {
      const outcome = await committer.submit({ ...unit, isInternal: true })
      if (outcome.status === 'failed') throw outcome.error
      return outcome
    } catch (error) {
      if (committer.mode !== 'open') return undefined
      if (!isStoreTrouble(error)) throw error
      if (stop.aborted) return undefined
      await sleep(kernel.clock, STORE_RETRY_MS, stop)
    }
  }
}
