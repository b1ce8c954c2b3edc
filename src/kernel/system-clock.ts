import type { Clock, Timer } from './clock.ts'

/**
 * Node fires a timer with a longer delay at once; longer delays are chained from pieces of this.
 */
const TIMER_DELAY_MS_MAX = 2 ** 31 - 1

/** The machine's clock: one of the few places that may touch real time. */
export const createSystemClock = (): Clock => ({
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer: startTimer,
  yield: () => new Promise((resolve) => setImmediate(resolve)),
})

function startTimer(delayMs: number, run: () => void): Timer {
  const dueMs = performance.now() + (delayMs > 0 ? delayMs : 0)
  let handle: NodeJS.Timeout | undefined
  const arm = (): void => {
    const leftMs = dueMs - performance.now()
    if (leftMs > TIMER_DELAY_MS_MAX) handle = setTimeout(arm, TIMER_DELAY_MS_MAX)
    else handle = setTimeout(run, Math.max(0, leftMs))
  }
  arm()
  return { cancel: () => clearTimeout(handle) }
}
