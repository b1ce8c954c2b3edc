import type { Clock, Timer } from '../kernel/index.ts'

/** Why an attempt is ended from outside. */
export type AttemptCut = 'deadline' | 'stop'

/** An attempt that is watched; `cutShort` is called at most once, and not after `end`. */
export interface Watched {
  /** Set by the watch. */
  dueMs: number
  /** Where it stands in the queue of the watch, which sets it; -1 when it is not watched. */
  place: number
  cutShort(why: AttemptCut): void
}

/**
 * The deadlines of the attempts of one consumer. All of them last the same, so they fall due in the
 * order they began, and one timer and one listener serve all: a timer and a listener each would
 * cost more than a small handler.
 */
export class AttemptWatch {
  readonly #clock: Clock
  readonly #timeoutMs: number
  /** In order of their deadlines; one that has ended leaves a hole, and is not kept. */
  #queue: (Watched | undefined)[] = []
  /** Place of the first of `#queue`, and of the first that may still be watched. */
  #base = 0
  #head = 0
  #live = 0
  #timer: Timer | undefined

  constructor(options: {
    readonly clock: Clock
    readonly timeoutMs: number
    readonly stop: AbortSignal
  }) {
    this.#clock = options.clock
    this.#timeoutMs = options.timeoutMs
    options.stop.addEventListener('abort', () => this.#stopAll(), { once: true })
  }

  /** Watches an attempt that begins now. */
  begin(watched: Watched, nowMs: number): void {
    watched.dueMs = nowMs + this.#timeoutMs
    watched.place = this.#base + this.#queue.length
    this.#queue.push(watched)
    this.#live += 1
    if (!this.#timer) this.#arm()
  }

  /** Idempotent. */
  end(watched: Watched): void {
    if (watched.place < 0) return
    this.#queue[watched.place - this.#base] = undefined
    watched.place = -1
    this.#live -= 1
    if (this.#live === 0) this.#reset()
    else this.#skipHoles()
  }

  #reset(): void {
    this.#base += this.#queue.length
    this.#head = this.#base
    this.#queue = []
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #skipHoles(): void {
    const length = this.#queue.length
    let index = this.#head - this.#base
    while (index < length && !this.#queue[index]) index += 1
    this.#head = this.#base + index
    if (index < DROP_AT || index * 2 < length) return
    this.#queue.splice(0, index)
    this.#base = this.#head
  }

  #arm(): void {
    const next = this.#next()
    if (!next) return
    const delayMs = next.dueMs - this.#clock.monotonicMs()
    this.#timer = this.#clock.setTimer(delayMs, () => {
      this.#timer = undefined
      const nowMs = this.#clock.monotonicMs()
      for (let due = this.#next(); due && due.dueMs <= nowMs; due = this.#next()) {
        this.#cut(due, 'deadline')
      }
      if (!this.#timer) this.#arm()
    })
  }

  /** The one that falls due first. */
  #next(): Watched | undefined {
    this.#skipHoles()
    return this.#queue[this.#head - this.#base]
  }

  #cut(watched: Watched, why: AttemptCut): void {
    this.end(watched)
    watched.cutShort(why)
  }

  #stopAll(): void {
    for (const watched of this.#queue.slice(this.#head - this.#base)) {
      if (watched) this.#cut(watched, 'stop')
    }
  }
}

const DROP_AT = 1_024
