import type { Random, Timer } from '../../kernel/index.ts'
import { settle } from '../virtual-clock.ts'

/** Whoever looks at this thread from outside gets a turn of the loop once in so many events. */
const EVENTS_A_TURN = 64

/**
 * The one queue of everything that is going to happen in a simulated world, in order of virtual
 * time; what comes due at the same moment runs in an order drawn from the seed. Between two events
 * every promise that can settle does so, so an event is one turn of every simulated process.
 */
export interface Scheduler {
  readonly nowMs: number
  /** Events run so far. */
  readonly events: number
  at(delayMs: number, run: () => void): Timer
  /** Runs the next event; false when nothing is going to happen any more. */
  step(): Promise<boolean>
  /** Waits that many virtual milliseconds. */
  sleep(delayMs: number): Promise<void>
}

interface Entry {
  readonly dueMs: number
  readonly tie: number
  run: (() => void) | undefined
}

export const createScheduler = (random: Random): Scheduler => {
  const heap: Entry[] = []
  let nowMs = 0
  let events = 0
  const at = (delayMs: number, run: () => void): Timer => {
    const entry: Entry = { dueMs: nowMs + Math.max(0, delayMs || 0), tie: random.next(), run }
    push(heap, entry)
    return {
      cancel: () => {
        entry.run = undefined
      },
    }
  }
  return {
    get nowMs() {
      return nowMs
    },
    get events() {
      return events
    },
    at,
    async step() {
      for (let entry = pop(heap); entry; entry = pop(heap)) {
        if (!entry.run) continue
        nowMs = entry.dueMs
        events += 1
        entry.run()
        await (events % EVENTS_A_TURN === 0 ? settle() : drainPromises())
        return true
      }
      return false
    },
    sleep: (delayMs) => new Promise((resolve) => void at(delayMs, resolve)),
  }
}

/**
 * Everything that promises lead to without the outside world happens before the next tick: a turn
 * of the loop would do the same, and costs as much as many an event.
 */
const drainPromises = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve))

const isBefore = (left: Entry, right: Entry): boolean =>
  left.dueMs < right.dueMs || (left.dueMs === right.dueMs && left.tie < right.tie)

function push(heap: Entry[], entry: Entry): void {
  let index = heap.length
  while (index > 0) {
    const parent = (index - 1) >>> 1
    const above = heap[parent]
    if (!above || !isBefore(entry, above)) break
    heap[index] = above
    index = parent
  }
  heap[index] = entry
}

function pop(heap: Entry[]): Entry | undefined {
  const first = heap[0]
  const last = heap.pop()
  if (!first || !last || heap.length === 0) return first
  let index = 0
  for (;;) {
    const left = 2 * index + 1
    let least = left
    const leftEntry = heap[left]
    const rightEntry = heap[left + 1]
    if (!leftEntry) break
    if (rightEntry && isBefore(rightEntry, leftEntry)) least = left + 1
    const child = heap[least]
    if (!child || !isBefore(child, last)) break
    heap[index] = child
    index = least
  }
  heap[index] = last
  return first
}
