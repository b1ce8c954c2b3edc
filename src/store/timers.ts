import {
  type Clock,
  LIMITS,
  type Logger,
  messageOf,
  type SteadyClock,
  type Timer,
} from '../kernel/index.ts'
import type { TimerRow } from './catalogue.ts'
import type { RowWrite, Store } from './store.ts'

/**
 * The one durable timer table. A feature writes a timer as a row in its own commit and registers
 * who is woken; after a restart the rows are still there, so a timer fires once, however long it
 * slept. The woken part deletes the row in the commit that acts on it: a crash in between wakes it
 * again, never loses it.
 */
export interface Timers {
  /**
   * `wake` is called with the reference of each timer of `owner` that is due; it must not throw.
   * An owner may register several, each of which knows its own. What is given ends it.
   */
  register(owner: string, wake: (reference: string) => void): () => void
  /** Tells the service that a timer was committed, so that it may have to wake earlier. */
  scheduled(timer: TimerRow): void
  start(): Promise<void>
  close(): Promise<void>
}

export interface TimersOptions {
  readonly store: Store
  readonly clock: Clock
  readonly steady: SteadyClock
  readonly log: Logger
}

export const setTimerRow = (timer: TimerRow): RowWrite => ({
  collection: 'timers',
  key: timerKey(timer.owner, timer.reference),
  row: timer,
})

export const clearTimerRow = (owner: string, reference: string): RowWrite => ({
  collection: 'timers',
  key: timerKey(owner, reference),
  row: undefined,
})

const timerKey = (owner: string, reference: string): string => `${owner}\n${reference}`

/** A failed look at the table is repeated after this. */
const RETRY_MS = 1_000
/** The longest sleep; bounds how late a timer written by another process is seen. */
const SLEEP_MS_MAX = 60_000

export const createTimers = (options: TimersOptions): Timers => {
  const { store, clock, steady, log } = options
  const owners = new Map<string, Set<(reference: string) => void>>()
  /** Woken and not yet deleted by their owner: not woken twice by this process. */
  const woken = new Map<string, number>()
  let timer: Timer | undefined
  let armedForMs = Number.POSITIVE_INFINITY
  let looking: Promise<void> | undefined
  /** A timer fired while the table was being read: what it stood for may have been passed. */
  let lookAgain = false
  // Until the owners are there, nothing is woken: the first look finds whatever is due by then.
  let mode: 'waiting' | 'running' | 'closed' = 'waiting'

  const arm = (dueAtMs: number): void => {
    if (mode !== 'running' || dueAtMs >= armedForMs) return
    timer?.cancel()
    armedForMs = dueAtMs
    const delayMs = Math.min(SLEEP_MS_MAX, Math.max(0, dueAtMs - steady.now()))
    timer = clock.setTimer(delayMs, () => {
      armedForMs = Number.POSITIVE_INFINITY
      if (looking) lookAgain = true
      else beginLook()
    })
  }

  const beginLook = (): void => {
    lookAgain = false
    looking = look().finally(() => {
      looking = undefined
      if (lookAgain && mode === 'running') beginLook()
    })
  }

  const look = async (): Promise<void> => {
    try {
      const nowMs = steady.now()
      let after: string | undefined
      for (;;) {
        const page = await store.scan({
          collection: 'timers',
          index: 'byDue',
          limit: LIMITS.pageRowsMax,
          ...(after !== undefined && { after }),
        })
        for (const { key, row } of page) {
          if (row.dueAtMs > nowMs) return arm(row.dueAtMs)
          wake(key, row)
          after = key
        }
        if (page.length < LIMITS.pageRowsMax) return arm(nowMs + SLEEP_MS_MAX)
      }
    } catch (error) {
      if (mode === 'closed') return
      log.warn({ problem: messageOf(error) }, 'the timer table could not be read; trying again')
      arm(steady.now() + RETRY_MS)
    }
  }

  const wake = (key: string, row: TimerRow): void => {
    const wakers = owners.get(row.owner)
    // Its owner is another process's, or not here yet.
    if (!wakers || woken.get(key) === row.dueAtMs) return
    if (woken.size >= LIMITS.fetchWindowMax) woken.clear()
    woken.set(key, row.dueAtMs)
    for (const one of wakers) one(row.reference)
  }

  return {
    register(owner, wakeOwner) {
      const wakers = owners.get(owner) ?? new Set()
      owners.set(owner, wakers.add(wakeOwner))
      for (const key of woken.keys()) if (key.startsWith(`${owner}\n`)) woken.delete(key)
      // What is due, or was passed while nobody here wanted it, is found now.
      if (mode === 'running') arm(steady.now())
      return () => {
        wakers.delete(wakeOwner)
        if (wakers.size === 0 && owners.get(owner) === wakers) owners.delete(owner)
      }
    },
    scheduled(row) {
      // Set anew, perhaps for the same moment: it is owed a wake of its own.
      woken.delete(timerKey(row.owner, row.reference))
      arm(row.dueAtMs)
    },
    async start() {
      mode = 'running'
      beginLook()
      await looking
    },
    async close() {
      mode = 'closed'
      timer?.cancel()
      await looking
    },
  }
}
