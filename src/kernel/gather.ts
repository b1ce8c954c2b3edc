import type { Clock } from './clock.ts'
import { LIMITS } from './limits.ts'

/**
 * Waits until what is on its way has arrived: a turn of the event loop, and another as long as the
 * last one brought more, until there is enough or LIMITS.gatherMs have passed. One that comes alone
 * waits for one turn; what comes in a flood shares one batch.
 */
export const gather = async (
  clock: Clock,
  queue: { readonly size: () => number; readonly enough: number },
): Promise<void> => {
  const untilMs = clock.monotonicMs() + LIMITS.gatherMs
  for (let before = 0; before < queue.size();) {
    before = queue.size()
    await clock.yield()
    if (before >= queue.enough || clock.monotonicMs() >= untilMs) return
  }
}
