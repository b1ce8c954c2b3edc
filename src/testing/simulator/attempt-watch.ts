import { LIMITS } from '../../kernel/index.ts'
import { nextDelayMs } from '../../policy/index.ts'
import type { MessageBooks } from './message-books.ts'
import type { HandlerCall } from './observer.ts'

export interface AttemptWatchOptions {
  readonly books: MessageBooks
  readonly nowMs: () => number
  readonly fail: (sentence: string) => void
  /** Whether the process has the disk, or the lease. */
  readonly isCurrent: (call: HandlerCall) => boolean
  /** Whether the store is shared: then each partition of a consumer may run so many. */
  readonly isShared: boolean
  /** Nothing has disturbed time or processes since this moment. */
  readonly undisturbedSinceMs: () => number
}

interface History {
  /** A replay has attempts of its own. */
  readonly run: string | undefined
  /** Attempts that failed before somebody brought the message back. */
  failures: number
  kills: number
  /** Processes that have died since the first of them. */
  deaths: number
  lastFailedAtMs: number
  lastAttempt: number
}

/**
 * Each call of a handler against what was declared: no more attempts than allowed, none too early,
 * one at a time for each key, no more keys at once than allowed, and nothing past a held message.
 */
export class AttemptWatch {
  readonly #options: AttemptWatchOptions
  readonly #histories = new Map<string, History>()
  readonly #running = new Map<string, Set<HandlerCall>>()

  constructor(options: AttemptWatchOptions) {
    this.#options = options
  }

  runningOn(node: number): number {
    let count = 0
    for (const [place, calls] of this.#running) {
      if (place.startsWith(`${node}\n`)) count += calls.size
    }
    return count
  }

  *callsOn(node: number): Iterable<HandlerCall> {
    for (const [place, calls] of this.#running) {
      if (place.startsWith(`${node}\n`)) yield* calls
    }
  }

  began(call: HandlerCall): void {
    const { consumer, messageId, position } = call
    const { books, fail, isCurrent } = this.#options
    if (books.messages.get(position)?.id !== messageId)
      fail(`${consumer.name} was given ${messageId}, which is not in the log at ${position}`)
    if (isCurrent(call)) {
      this.#checkAttempt(call)
      this.#checkOrder(call)
    }
    const place = `${call.node}\n${consumer.name}`
    let running = this.#running.get(place)
    if (!running) this.#running.set(place, (running = new Set()))
    running.add(call)
    const most = consumer.concurrency * (this.#options.isShared ? consumer.partitions : 1)
    if (consumer.batch === undefined && running.size > most)
      fail(`${consumer.name} runs ${running.size} at once, allowed are ${most}`)
  }

  ended(call: HandlerCall, outcome: 'done' | 'failed' | 'refused', isLive: boolean): void {
    const wasRunning = this.#leave(call)
    if (outcome === 'failed' && isLive && wasRunning) this.#failed(call)
  }

  /** The attempt is over for the runtime, whatever the handler still does. */
  timedOut(call: HandlerCall, isLive: boolean): void {
    if (this.#leave(call) && isLive) this.#failed(call)
  }

  #leave(call: HandlerCall): boolean {
    return this.#running.get(`${call.node}\n${call.consumer.name}`)?.delete(call) ?? false
  }

  #failed(call: HandlerCall): void {
    if (call.isShared) return
    const history = this.#historyOf(call)
    history.failures += 1
    history.lastFailedAtMs = this.#options.nowMs()
    history.lastAttempt = call.attempt
    this.#checkTotals(call, history)
  }

  killed(call: HandlerCall): void {
    if (call.isShared) return
    const history = this.#historyOf(call)
    history.kills += 1
    this.#checkTotals(call, history)
  }

  /** A process died: what ran in it may run again without having been counted. */
  died(): void {
    for (const history of this.#histories.values()) history.deaths += 1
  }

  /** A person has brought it back, or it died: its attempts begin anew. */
  forget(consumer: string, position: number): void {
    this.#histories.delete(`${consumer}\n${position}`)
  }

  #historyOf({ consumer, position, run }: HandlerCall): History {
    const key = `${consumer.name}\n${position}`
    let history = this.#histories.get(key)
    if (!history || history.run !== run) {
      history = { run, failures: 0, kills: 0, deaths: 0, lastFailedAtMs: -1, lastAttempt: 0 }
      this.#histories.set(key, history)
    }
    return history
  }

  #checkAttempt(call: HandlerCall): void {
    const { consumer, attempt, messageId } = call
    const { fail, nowMs, undisturbedSinceMs } = this.#options
    const maximum = consumer.retry?.attempts ?? 1
    if (attempt > maximum)
      fail(`${consumer.name} tries ${messageId} for the ${attempt}th time, allowed are ${maximum}`)
    const history = this.#histories.get(`${consumer.name}\n${call.position}`)
    if (!history || !consumer.retry || attempt !== history.lastAttempt + 1) return
    if (undisturbedSinceMs() > history.lastFailedAtMs || consumer.batch) return
    const leastMs = nextDelayMs(consumer.retry, history.lastAttempt, { next: () => 0 }) ?? 0
    const waitedMs = nowMs() - history.lastFailedAtMs
    // Schedules are kept in whole milliseconds.
    if (waitedMs < leastMs - 2) {
      fail(
        `${consumer.name} tried ${messageId} again after ${waitedMs.toFixed(0)} ms, at least ` +
          `${leastMs.toFixed(0)} ms are declared`,
      )
    }
  }

  #checkOrder(call: HandlerCall): void {
    const { consumer, key, position, messageId } = call
    if (consumer.ordering === 'none') return
    const { books, fail } = this.#options
    const running = this.#running.get(`${call.node}\n${consumer.name}`) ?? []
    for (const other of running) {
      if (other.key === key && consumer.batch === undefined)
        fail(`${consumer.name} handles ${other.messageId} and ${messageId} of ${key} at once`)
    }
    const lane = books.lane(consumer.name, key)
    const isHeld = lane?.state === 'parked' || lane?.state === 'retry'
    if (isHeld && lane.position !== position)
      fail(`${consumer.name} handles ${messageId} of ${key}, which is held (${lane.state})`)
  }

  #checkTotals({ consumer, messageId }: HandlerCall, history: History): void {
    const { fail } = this.#options
    const maximum = consumer.retry?.attempts ?? 1
    // A failure is counted in a commit; a process that dies before it has not counted.
    if (history.failures > maximum + history.deaths)
      fail(`${consumer.name} failed ${messageId} ${history.failures} times, allowed are ${maximum}`)
    // The first time it may have run beside others, and its neighbours may be at fault.
    const others = history.deaths - history.kills
    if (history.kills > LIMITS.crashesMax + 1 + Math.max(0, others))
      fail(`${messageId} took the process down ${history.kills} times in ${consumer.name}`)
  }
}
