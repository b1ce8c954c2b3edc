import type { CommitUnit, ProgressMark } from '../store/index.ts'
import { type AttemptResult, type AttemptRun, beginAttempt, STORE_RETRY_MS } from './attempt.ts'
import type { AttemptWatch } from './attempt-watch.ts'
import type { ConsumerRunner } from './consumer-runner.ts'
import type { ConsumerPorts } from './ports.ts'
import { complete, done, failed, readItem, runItem, succeeded, type TakenItem } from './run-item.ts'
import type { WorkItem } from './work-item.ts'
import { sleep } from '../kernel/index.ts'
import type { Consumer } from '../contract/index.ts'

/** Nothing has happened to it, and it has no row: success is a mark and what its handler wrote. */
export const isPlain = ({ origin, attempts, isSuspect, letter, replay }: WorkItem): boolean =>
  origin === 'log' && attempts === 0 && isSuspect !== true && !letter && !replay

/**
 * The first attempt of a message that was fetched, which is what nearly every message has. It does
 * what `runItem` does, step by step without a promise of its own for each; whatever is not plain
 * success goes on there.
 */
export class PlainRun implements AttemptRun {
  readonly #runner: ConsumerRunner
  readonly #taken: TakenItem
  readonly item: WorkItem
  readonly attempt = 1
  readonly batch = undefined
  readonly onceKeys: readonly string[] = NONE
  readonly hasRows = false
  startedMs = 0
  data: unknown

  constructor(runner: ConsumerRunner, taken: TakenItem) {
    this.#runner = runner
    this.#taken = taken
    this.item = taken.item
  }

  get ports(): ConsumerPorts {
    return this.#runner.ports
  }

  get consumer(): Consumer {
    return this.#runner.consumer
  }

  get watch(): AttemptWatch {
    return this.#runner.watch
  }

  success(): Pick<CommitUnit, 'marks'> {
    return { marks: [this.#mark()] }
  }

  mask(text: string): string {
    return this.ports.maskText(this.consumer, text, this.data)
  }

  /** The runner is told when it is over, perhaps at once. */
  start(): void {
    const runner = this.#runner
    if (!runner.mayGoOn) return this.#over()
    const read = readItem(runner, this.item)
    if (read.kind === 'filtered') {
      if (this.#markDone()) done(runner, this.#taken, 'filtered')
      return this.#over()
    }
    if (read.kind !== 'read') return this.#goOn(runItem(runner, this.#taken))
    this.data = read.data
    this.startedMs = runner.ports.kernel.clock.monotonicMs()
    beginAttempt(this)
  }

  ended(result: AttemptResult): void {
    try {
      this.#ended(result)
    } catch (error) {
      this.#goOn(Promise.reject(error))
    }
  }

  #ended(result: AttemptResult): void {
    const { kind } = result
    if (kind === 'completed') return this.#succeeded()
    if (kind === 'returned') {
      if (result.unit) return this.#goOn(this.#complete(result.unit))
      if (this.#markDone()) return this.#succeeded()
      return this.#over()
    }
    const run = { taken: this.#taken, attempt: 1, startedMs: this.startedMs }
    if (kind === 'store') return this.#goOn(this.#again())
    this.#goOn(failed(this.#runner, run, { ...result, data: this.data }))
  }

  /** Progress alone is not waited for. False when nothing more is taken. */
  #markDone(): boolean {
    const { committer } = this.ports
    if (committer.mode !== 'open') return false
    committer.mark(this.#mark())
    return true
  }

  #mark(): ProgressMark {
    return { consumer: this.#runner.id, position: this.item.position }
  }

  #succeeded(): void {
    const { startedMs } = this
    succeeded(this.#runner, { taken: this.#taken, attempt: 1, startedMs })
    this.#over()
  }

  async #complete(unit: CommitUnit): Promise<void> {
    const run = { taken: this.#taken, attempt: 1, startedMs: this.startedMs }
    const refusal = await complete(this.#runner, this.item, unit)
    if (refusal === 'stopped') return
    if (!refusal) return succeeded(this.#runner, run)
    const result = { error: refusal.error, timedOut: false, data: this.data }
    await failed(this.#runner, run, result)
  }

  /** The store did not take it, which is not the handler's fault. */
  async #again(): Promise<void> {
    const { kernel } = this.ports
    await sleep(kernel.clock, STORE_RETRY_MS, this.#runner.stopSignal)
    await runItem(this.#runner, this.#taken)
  }

  #goOn(rest: Promise<void>): void {
    this.#runner.goOn(rest, this.#taken)
  }

  #over(): void {
    this.#runner.settled(this.#taken)
  }
}

const NONE: readonly string[] = []
