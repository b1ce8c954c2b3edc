import { sleep } from '../kernel/index.ts'
import { isStoreTrouble, STORE_RETRY_MS } from './attempt.ts'
import type { ConsumerPorts } from './ports.ts'

/**
 * Waits until every commit that is under way is durable or refused: one may still write how far a
 * partition was that is about to be another process's. Never rejects.
 */
export const untilDecided = async ({
  committer,
  kernel,
}: Pick<ConsumerPorts, 'committer' | 'kernel'>): Promise<void> => {
  while (committer.mode === 'open') {
    try {
      await committer.submit({ isInternal: true })
      return
    } catch (error) {
      // Such as a lease that is lost: then nothing of this process is written any more.
      if (!isStoreTrouble(error)) return
      await sleep(kernel.clock, STORE_RETRY_MS)
    }
  }
}
