import type { Clock, Timer } from '../kernel/index.ts'

/** Why an attempt is ended from outside. */
export type AttemptCut = 'deadline' | 'stop'

/** An attempt that is watched; `cut` is called at most once, and not after `end`. */
interface Watched {
  readonly dueMs: number
  cut: ((why: AttemptCut) => void) | undefined
}

/**
 * The deadlines of the attempts of one consumer. All of them last the same, so they fall due in the
 * order they began, and one timer and one listener serve all: a timer and a listener each would
 * cost more than a small handler.
 */
export class AttemptWatch {
  readonly #clock: Clock
  readonly #timeoutMs: number
  #queue: Watched[] = []
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

  /** Watches an attempt from now on; the function that is returned ends that. */
  begin(cut: (why: AttemptCut) => void): () => void {
    const watched: Watched = { dueMs: this.#clock.monotonicMs() + this.#timeoutMs, cut }
    this.#queue.push(watched)
    this.#live += 1
    if (!this.#timer) this.#arm()
    return () => this.#end(watched)
  }

  #end(watched: Watched): void {
    if (!watched.cut) return
    watched.cut = undefined
    this.#live -= 1
    if (this.#live === 0) {
      this.#queue = []
      this.#head = 0
      this.#timer?.cancel()
      this.#timer = undefined
    } else if (this.#queue.length - this.#head > COMPACT_AT + 2 * this.#live) this.#compact()
  }

  /** One that runs for long must not keep everything that ended behind it. */
  #compact(): void {
    this.#queue = this.#queue.filter(({ cut }) => cut)
    this.#head = 0
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

  /** The live one that falls due first. */
  #next(): Watched | undefined {
    for (; this.#head < this.#queue.length; this.#head++) {
      const watched = this.#queue[this.#head]
      if (watched?.cut) return watched
    }
    return undefined
  }

  #cut(watched: Watched, why: AttemptCut): void {
    const { cut } = watched
    this.#end(watched)
    cut?.(why)
  }

  #stopAll(): void {
    for (const watched of this.#queue.slice(this.#head)) {
      if (watched.cut) this.#cut(watched, 'stop')
    }
  }
}

const COMPACT_AT = 1_024
