/**
 * Time as an input. No room reads the machine's clock itself: it takes a `Clock`, so that one
 * virtual clock can drive retries, deadlines, retention and alerts in a test or in the simulator.
 */
export interface Clock {
  /** Wall time in milliseconds since the epoch. May jump; never use it to measure a duration. */
  now(): number
  /** Milliseconds from an arbitrary origin; never goes backwards. */
  monotonicMs(): number
  /**
   * Calls `run` once, after at least `delayMs`. A delay of any length is safe: delays longer than
   * a 32-bit timer can hold are chained (F38). A negative or NaN delay counts as 0.
   */
  setTimer(delayMs: number, run: () => void): Timer
  /**
   * Set where real time says nothing: code is not cut off for how long it really runs, or the same
   * seed would not always give the same run.
   */
  readonly isSimulated?: boolean
  /** Resolves on a later turn of the event loop; group commit collects work until then. */
  yield(): Promise<void>
}

export interface Timer {
  /** Idempotent. After it, `run` is not called. */
  cancel(): void
}

/** Resolves after `delayMs`, or at once when `signal` aborts; never rejects. */
export const sleep = (clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const done = (): void => {
      timer.cancel()
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = clock.setTimer(delayMs, done)
    signal?.addEventListener('abort', done, { once: true })
  })
