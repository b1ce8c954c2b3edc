import type { LaneRow } from '../store/index.ts'
import type { WorkItem } from './work-item.ts'

/**
 * The keys of one consumer that have something to do. A key with nothing to do is not here.
 *
 * A lane is in one of these states:
 * - `open`: its items run in order, one at a time; leaves the table when the last is finished.
 * - `held`: its head waits, for a retry or for a person; every arrival becomes a successor row, so
 *   memory holds no backlog of a held key.
 * - `draining`: its successor rows are run in order, and arrivals still become rows, so that none
 *   overtakes. When no row is left it becomes `open`.
 *
 * Ready lanes take turns, one item each, so that one hot key does not starve the others (F68).
 */
export class Lane {
  readonly key: string
  state: 'open' | 'held' | 'draining' = 'open'
  /** To be run, in order. */
  queue: readonly WorkItem[] = NOTHING
  running = false
  /** The row as it was last written; undefined when there is none. */
  row: LaneRow | undefined
  /** A replay that has more of this key to come: what is live waits until it says so. */
  replay: string | undefined
  /** Its timer came while its head was still settling. */
  woken = false
  /** Sections of work on its rows that are queued or under way, and the last of them. */
  sections = 0
  lastSection: Promise<void> = DONE
  turnQueued = false
  #arrivals: WorkItem[] | undefined

  constructor(key: string) {
    this.key = key
  }

  /** To become successor rows, in order; empty while the lane is open. */
  get arrivals(): WorkItem[] {
    return (this.#arrivals ??= [])
  }
}

const NOTHING: readonly WorkItem[] = []
const DONE = Promise.resolve()

export class LaneTable {
  readonly #lanes = new Map<string, Lane>()
  #ready: Lane[] = []
  #readyHead = 0

  get size(): number {
    return this.#lanes.size
  }

  get readyCount(): number {
    return this.#ready.length - this.#readyHead
  }

  find(key: string): Lane | undefined {
    return this.#lanes.get(key)
  }

  findOrCreate(key: string): Lane {
    let lane = this.#lanes.get(key)
    if (!lane) {
      lane = new Lane(key)
      this.#lanes.set(key, lane)
    }
    return lane
  }

  /** Queues an item of a lane that takes items now. */
  push(lane: Lane, item: WorkItem): void {
    if (lane.queue.length > 0) return void queueOf(lane).push(item)
    // Most lanes hold one item and go.
    lane.queue = [item]
    if (!lane.running) this.#ready.push(lane)
  }

  /** The item that `take` would give, which stays where it is. */
  peek(): WorkItem | undefined {
    for (;;) {
      const lane = this.#ready[this.#readyHead]
      if (!lane) return undefined
      const item = lane.running ? undefined : lane.queue[0]
      if (item) return item
      // A lane whose queue became rows meanwhile has nothing to run.
      this.#passReady()
    }
  }

  /** The next item to run, if any lane is ready; the lane runs until `release`. */
  take(): { readonly lane: Lane; readonly item: WorkItem } | undefined {
    const item = this.peek()
    const lane = this.#ready[this.#readyHead]
    if (!item || !lane) return undefined
    this.#passReady()
    this.takeMore(lane)
    lane.running = true
    return { lane, item }
  }

  /** Takes the next item of a lane that is already running, for a batch. */
  takeMore(lane: Lane): WorkItem | undefined {
    const item = lane.queue[0]
    if (lane.queue.length > 1) queueOf(lane).shift()
    else lane.queue = NOTHING
    return item
  }

  #passReady(): void {
    this.#readyHead += 1
    const isPassed = this.#readyHead === this.#ready.length
    if (!isPassed && this.#readyHead <= 1_024) return
    this.#ready.splice(0, this.#readyHead)
    this.#readyHead = 0
  }

  /** Puts an item back in front, to be run again. */
  putBack(lane: Lane, item: WorkItem): void {
    lane.queue = [item, ...lane.queue]
  }

  /** The running item is finished: the lane's next one may run, or the lane leaves the table. */
  release(lane: Lane): void {
    lane.running = false
    if (lane.queue.length > 0) this.#ready.push(lane)
    else this.forget(lane)
  }

  /** The lane leaves the table, unless something is still to be done for it. */
  forget(lane: Lane): void {
    const idle =
      lane.state === 'open' && !lane.running && lane.queue.length === 0 && lane.sections === 0
    if (idle && this.#lanes.get(lane.key) === lane) this.#lanes.delete(lane.key)
  }

  all(): Iterable<Lane> {
    return this.#lanes.values()
  }

  /** How many lanes wait behind a dead letter, or for a retry. */
  held(by: 'parked' | 'retry'): number {
    let count = 0
    for (const { state, row } of this.#lanes.values()) {
      if (state === 'held' && row?.state === by) count += 1
    }
    return count
  }
}

/** A queue that holds something is the lane's own. */
const queueOf = (lane: Lane): WorkItem[] => lane.queue as WorkItem[]
