import { assert, type Clock, type Timer } from '../kernel/index.ts'

/**
 * A clock that moves only when told. Wall time and monotonic time move together, except where a
 * test steps the wall clock.
 */
export interface VirtualClock extends Clock {
  /** Runs everything that comes due within `ms`, in order of time, letting promises settle. */
  advance(ms: number): Promise<void>
  /** Runs until no timer is left or `untilMs` virtual milliseconds have passed. */
  runUntilIdle(untilMs?: number): Promise<void>
  /** Moves the wall clock only, as an operator or NTP would (F35). */
  stepWall(ms: number): void
  /** Due times of the timers that wait, ascending. */
  readonly pendingTimers: readonly number[]
}

export interface VirtualClockOptions {
  /** @default 2026-01-01T00:00:00Z */
  readonly startMs?: number
}

interface Entry {
  readonly dueMs: number
  readonly order: number
  readonly run: () => void
}

export const createVirtualClock = (options: VirtualClockOptions = {}): VirtualClock => {
  let monotonicMs = 0
  let wallOffsetMs = options.startMs ?? Date.UTC(2026, 0, 1)
  let order = 0
  const entries = new Set<Entry>()
  const earliest = (): Entry | undefined => {
    let first: Entry | undefined
    for (const entry of entries) {
      const before =
        !first ||
        entry.dueMs < first.dueMs ||
        (entry.dueMs === first.dueMs && entry.order < first.order)
      if (before) first = entry
    }
    return first
  }
  const runTo = async (targetMs: number): Promise<void> => {
    await settle()
    for (let next = earliest(); next && next.dueMs <= targetMs; next = earliest()) {
      entries.delete(next)
      monotonicMs = Math.max(monotonicMs, next.dueMs)
      next.run()
      await settle()
    }
  }
  return {
    now: () => Math.floor(wallOffsetMs + monotonicMs),
    monotonicMs: () => monotonicMs,
    setTimer(delayMs, run): Timer {
      const entry = { dueMs: monotonicMs + Math.max(0, delayMs || 0), order: order++, run }
      entries.add(entry)
      return { cancel: () => void entries.delete(entry) }
    },
    yield: settle,
    async advance(ms) {
      assert(ms >= 0, 'a virtual clock moves forward')
      const targetMs = monotonicMs + ms
      await runTo(targetMs)
      monotonicMs = targetMs
    },
    async runUntilIdle(untilMs = 365 * 86_400_000) {
      await runTo(monotonicMs + untilMs)
    },
    stepWall(ms) {
      wallOffsetMs += ms
    },
    get pendingTimers() {
      return [...entries].map((entry) => entry.dueMs).sort((a, b) => a - b)
    },
  }
}

/**
 * Lets every promise that can settle do so: the one real turn of the loop a virtual clock takes.
 */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
