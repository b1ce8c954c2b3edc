import type { Clock } from './clock.ts'

/**
 * Wall time as it was at the start, carried on by the monotonic clock. Schedules are kept against
 * it: a wall clock that jumps back an hour delays nothing, one that jumps forward a day fires
 * nothing early (F35). It is read anew from the wall at the next start.
 */
export interface SteadyClock {
  now(): number
}

export const createSteadyClock = (clock: Clock): SteadyClock => {
  const originMs = clock.now() - clock.monotonicMs()
  return { now: () => Math.floor(originMs + clock.monotonicMs()) }
}
