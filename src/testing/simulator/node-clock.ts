import type { Clock, Timer } from '../../kernel/index.ts'
import type { VirtualClock } from '../virtual-clock.ts'

/** The clock of one simulated process; when it dies, nothing it waits for ever happens. */
export interface NodeClock extends Clock {
  kill(): void
}

export const createNodeClock = (world: VirtualClock): NodeClock => {
  const timers = new Set<Timer>()
  let dead = false
  const never = new Promise<never>(() => undefined)
  return {
    now: () => world.now(),
    monotonicMs: () => world.monotonicMs(),
    setTimer(delayMs, run) {
      if (dead) return { cancel: () => undefined }
      const timer = world.setTimer(delayMs, () => {
        timers.delete(timer)
        if (!dead) run()
      })
      timers.add(timer)
      return {
        cancel: () => {
          timers.delete(timer)
          timer.cancel()
        },
      }
    },
    async yield() {
      if (dead) return never
      await world.yield()
      return dead ? never : undefined
    },
    kill() {
      dead = true
      for (const timer of timers) timer.cancel()
      timers.clear()
    },
  }
}
