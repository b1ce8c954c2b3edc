import type { Clock } from '../../kernel/index.ts'
import type { Scheduler } from './scheduler.ts'

/**
 * The clock of one simulated process: its own wall time and its own idea of how fast time passes.
 * While the process is paused nothing of it happens; when it dies, nothing it waits for ever does.
 */
export interface NodeClock extends Clock {
  readonly isPaused: boolean
  /** Runs as the process would: later while it is paused, never once it is dead. */
  wake(delayMs: number, run: () => void): void
  /** Moves the wall clock only (F35). */
  jump(ms: number): void
  /** From now on this clock runs that much faster than the world's. */
  drift(rate: number): void
  /** Sets the wall clock right again. */
  correct(): void
  pause(): void
  resume(): void
  kill(): void
}

/** What a turn of the event loop takes, at most. */
const TURN_MS_MAX = 0.05
/** 2026-01-01T00:00:00Z */
export const WORLD_START_MS = 1_767_225_600_000

export const createNodeClock = (scheduler: Scheduler, chance: () => number): NodeClock => {
  let state: 'running' | 'paused' | 'dead' = 'running'
  let rate = 1
  let jumpedMs = 0
  /** This clock showed `ownMs` when the world's showed `worldMs`. */
  let worldMs = scheduler.nowMs
  let ownMs = scheduler.nowMs
  let waiting: (() => void)[] = []
  const elapsedMs = (): number => ownMs + (scheduler.nowMs - worldMs) * rate
  const deliver = (run: () => void): void => {
    if (state === 'paused') waiting.push(run)
    else if (state === 'running') run()
  }
  const setTimer: Clock['setTimer'] = (delayMs, run) => {
    let isCancelled = false
    const timer = scheduler.at(Math.max(0, delayMs || 0) / rate, () =>
      deliver(() => {
        if (!isCancelled) run()
      }),
    )
    return {
      cancel: () => {
        isCancelled = true
        timer.cancel()
      },
    }
  }
  return {
    isSimulated: true,
    get isPaused() {
      return state === 'paused'
    },
    now: () => Math.floor(WORLD_START_MS + jumpedMs + elapsedMs()),
    monotonicMs: elapsedMs,
    setTimer,
    wake: (delayMs, run) => void setTimer(delayMs, run),
    yield: () => new Promise((resolve) => void setTimer(chance() * TURN_MS_MAX, resolve)),
    jump(ms) {
      jumpedMs += ms
    },
    drift(faster) {
      ownMs = elapsedMs()
      worldMs = scheduler.nowMs
      rate = faster
    },
    correct() {
      jumpedMs = scheduler.nowMs - elapsedMs()
    },
    pause() {
      if (state === 'running') state = 'paused'
    },
    resume() {
      if (state !== 'paused') return
      state = 'running'
      const late = waiting
      waiting = []
      for (const run of late) setTimer(0, run)
    },
    kill() {
      state = 'dead'
      waiting = []
    },
  }
}
