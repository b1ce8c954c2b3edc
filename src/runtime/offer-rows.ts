import { isStoreTrouble, STORE_RETRY_MS } from '../consumer/index.ts'
import { type Kernel, sleep } from '../kernel/index.ts'
import type { Committer, RowWrite } from '../store/index.ts'

/**
 * Writes rows of which memory says already that they are so: while the store refuses, they are
 * offered again, or the two would differ until the next start. Ends without having written only
 * when the process stops, or cannot trust its store any more.
 *
 * @throws what is wrong with these rows alone.
 */
export const offerRows = async (
  parts: { readonly committer: Committer; readonly kernel: Pick<Kernel, 'clock'> },
  rows: readonly RowWrite[],
  signal?: AbortSignal,
): Promise<void> => {
  const { committer, kernel } = parts
  if (rows.length === 0) return
  while (committer.mode === 'open') {
    try {
      const outcome = await committer.submit({ rows, isInternal: true })
      if (outcome.status === 'failed') throw outcome.error
      return
    } catch (error) {
      if (!isStoreTrouble(error)) throw error
      if (signal?.aborted) return
      await sleep(kernel.clock, STORE_RETRY_MS, signal)
    }
  }
}
