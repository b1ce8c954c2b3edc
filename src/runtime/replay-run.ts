import {
  type ConsumerRunner,
  handOver,
  laneOf,
  releaseKey,
  releaseReplays,
  type ReplayedEvent,
  type ReplayMark,
  successorKey,
} from '../consumer/index.ts'
import { isJuncturaError, LIMITS, messageOf, sleep } from '../kernel/index.ts'
import type { DeadLetterRow, ReplayRow, RowWrite } from '../store/index.ts'
import type { Delivered } from '../transport/index.ts'
import { openLetters } from './paging.ts'
import { readBehind } from './read-behind.ts'
import {
  filterOf,
  type FrozenFilter,
  matchesLetter,
  matchesMessage,
  openLetterOf,
  runnersOf,
  spanOf,
} from './replay-filter.ts'
import type { ReplaysOptions } from './replays.ts'

/** Items handed to lanes and not yet settled. */
const IN_FLIGHT_MAX = 64
/** The cursor is written after this many items; so many are looked at again after a crash. */
const CURSOR_EVERY = 50
/** After the store refused, the replay goes on after this. */
const STORE_RETRY_MS = 1_000

export type ReplayRunOptions = Pick<
  ReplaysOptions,
  'store' | 'committer' | 'kernel' | 'runners' | 'records'
> & {
  readonly deadLetters: Pick<ReplaysOptions['deadLetters'], 'retry'>
  /** Of dead letters, those that this run tries again. @default all */
  readonly mayRetry?: (letter: DeadLetterRow) => boolean
}

/** Writes the row, and others in the same commit. */
export type SaveReplay = (row: ReplayRow, along?: readonly RowWrite[]) => Promise<ReplayRow>

/**
 * One replay at work. What it hands over becomes a row first, in the commit that also notes that
 * this run has done so: a restart goes on at the cursor and hands nothing over twice.
 */
export class ReplayRun {
  readonly done: Promise<void>
  readonly #options: ReplayRunOptions
  readonly #save: SaveReplay
  readonly #stop = new AbortController()
  readonly #inFlight = new Set<string>()
  /** Messages of each key still to come, so that a key is let go when its part is done. */
  readonly #toCome = new Map<string, number>()
  #row: ReplayRow
  #wake: (() => void) | undefined
  #sinceSaved = 0
  #stopState: 'paused' | 'aborted' | undefined
  #nextAtMs = 0

  constructor(options: ReplayRunOptions, row: ReplayRow, save: SaveReplay) {
    this.#options = options
    this.#row = row
    this.#save = save
    this.done = this.#run()
  }

  /** How far it is; saved now and then. */
  get row(): ReplayRow {
    return this.#row
  }

  /** Whether it has handed this over and not heard of it. */
  awaits({ consumer, position }: ReplayedEvent): boolean {
    return this.#inFlight.has(`${consumer}\n${position}`)
  }

  /** Whether it hands over to this consumer. */
  has(consumer: string): boolean {
    return [...this.#options.runners.values()].some((one) => one.consumer.name === consumer)
  }

  /** What became of an item of this run. */
  settled({ consumer, position, outcome }: ReplayedEvent): void {
    this.#inFlight.delete(`${consumer}\n${position}`)
    if (outcome === 'failed') this.#row = { ...this.#row, failed: this.#row.failed + 1 }
    this.#wake?.()
  }

  /** Stops handing over; the row says where to go on. */
  async stop(state: 'paused' | 'aborted'): Promise<ReplayRow> {
    this.#stopState = state
    this.#stop.abort()
    await this.done
    return this.#row
  }

  /** Stops with the process; the next one goes on. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.done
  }

  async #run(): Promise<void> {
    const { kernel } = this.#options
    for (;;) {
      try {
        await this.#handOverAll()
        while (this.#inFlight.size > 0 && !this.#isStopped) await this.#change()
        return await this.#finish(this.#stopState ?? (this.#isStopped ? 'running' : 'done'))
      } catch (error) {
        const fields = { replay: this.#row.id, problem: messageOf(error) }
        if (this.#options.committer.mode !== 'open') return
        if (isJuncturaError(error) && !error.retryable) {
          kernel.log.error(fields, 'a replay stopped')
          return this.#finish('failed').catch(() => undefined)
        }
        kernel.log.warn(fields, 'a replay waits for its store')
        await sleep(kernel.clock, STORE_RETRY_MS, this.#stop.signal)
        if (this.#isStopped)
          return this.#finish(this.#stopState ?? 'running').catch(() => undefined)
      }
    }
  }

  get #isStopped(): boolean {
    return this.#stop.signal.aborted
  }

  async #finish(state: ReplayRow['state']): Promise<void> {
    const isOver = state === 'done' || state === 'aborted' || state === 'failed'
    const finishedAtMs = this.#options.kernel.clock.now()
    this.#row = { ...this.#row, state, ...(isOver && { finishedAtMs }) }
    await this.#save(this.#row)
    // A stop of the process keeps the keys held, because the next one goes on.
    if (state === 'running') return
    for (const runner of this.#options.runners.values()) {
      await releaseReplays(runner, (runId) => runId === this.#row.id)
    }
  }

  async #handOverAll(): Promise<void> {
    const filter = filterOf(this.#row)
    if (filter.from === 'messages') await this.#runMessages(filter)
    else await this.#runDeadLetters(filter)
  }

  async #runDeadLetters(filter: FrozenFilter): Promise<void> {
    const scan = { index: 'byState', where: ['open'] }
    const range = { from: Number(this.#row.cursor) || 0, to: filter.frozenAtMs }
    for await (const letter of openLetters(this.#options.store, scan, range)) {
      if (this.#isStopped) return
      if (matchesLetter(filter, letter) && this.#mayRetry(letter)) await this.#retry(letter)
      await this.#advance(String(letter.diedAtMs))
    }
  }

  #mayRetry(letter: DeadLetterRow): boolean {
    return this.#options.mayRetry?.(letter) ?? true
  }

  /** The cursor names the consumer too: those before it in the order are done. */
  async #runMessages(filter: FrozenFilter): Promise<void> {
    const runners = runnersOf(this.#options.runners, filter)
    const [name, position] = this.#row.cursor.split('\n')
    const first = Math.max(
      0,
      runners.findIndex(({ consumer }) => consumer.name === name),
    )
    for (const [index, runner] of runners.entries()) {
      if (index < first || this.#isStopped) continue
      const after = index === first && position !== undefined ? Number(position) : 0
      await this.#runConsumer(runner, filter, after)
    }
  }

  async #runConsumer(runner: ConsumerRunner, filter: FrozenFilter, after: number): Promise<void> {
    const { consumer } = runner
    this.#toCome.clear()
    const range = { filter, after }
    if (consumer.replay === 'guarded') {
      await this.#eachMessage(runner, range, (delivered) => {
        const lane = laneOf(consumer, delivered)
        const known = this.#toCome.get(lane)
        if (known !== undefined || this.#toCome.size < LIMITS.jsonNodesMax)
          this.#toCome.set(lane, (known ?? 0) + 1)
        return Promise.resolve()
      })
    }
    await this.#eachMessage(runner, range, async (delivered) => {
      await this.#replayOne(runner, delivered)
      await this.#advance(`${consumer.name}\n${delivered.position}`)
    })
  }

  async #eachMessage(
    runner: ConsumerRunner,
    { filter, after }: { readonly filter: FrozenFilter; readonly after: number },
    visit: (delivered: Delivered) => Promise<void>,
  ): Promise<void> {
    const { fromPosition, toPosition } = spanOf(filter, runner)
    let afterPosition = Math.max(after, fromPosition - 1)
    while (!this.#isStopped && afterPosition < toPosition) {
      const { consumer, slots, progress } = runner
      const place = { consumer, slots, bookmark: progress.bookmark }
      const page = await readBehind(this.#options, place, afterPosition)
      for (const delivered of page.records) {
        if (delivered.position > toPosition || this.#isStopped) return
        if (matchesMessage(filter, runner, delivered)) await visit(delivered)
      }
      if (page.scannedTo <= afterPosition) return
      afterPosition = page.scannedTo
      await this.#options.kernel.clock.yield()
    }
  }

  async #replayOne(runner: ConsumerRunner, delivered: Delivered): Promise<void> {
    const { consumer } = runner
    const lane = laneOf(consumer, delivered)
    const toCome = Math.max(0, (this.#toCome.get(lane) ?? 1) - 1)
    this.#toCome.set(lane, toCome)
    const letter = await openLetterOf(this.#options.store, consumer.name, delivered)
    if (letter) await this.#retry(letter)
    else if (consumer.replay === 'guarded' && (await this.#isDone(runner, delivered))) {
      const isNew = await this.#give(runner, delivered, toCome > 0)
      if (isNew) return
    } else {
      // Done before, or on its way: under `safe` it is not run again.
      this.#row = { ...this.#row, skipped: this.#row.skipped + 1 }
    }
    if (toCome === 0) await releaseKey(runner, lane, this.#row.id)
  }

  /** What waits, or is being retried, has not been done: it will be, in its turn. */
  async #isDone(runner: ConsumerRunner, delivered: Delivered): Promise<boolean> {
    const { consumer, progress, lanes } = runner
    const { position } = delivered
    if (!progress.isFinished(position)) return false
    const lane = laneOf(consumer, delivered)
    if (lanes.find(lane)?.state === 'held' && lanes.find(lane)?.row?.position === position)
      return false
    const key = successorKey(consumer.name, lane, position)
    return (await this.#options.store.row('successors', key)) === undefined
  }

  async #give(runner: ConsumerRunner, delivered: Delivered, more: boolean): Promise<boolean> {
    await this.#paced()
    if (this.#isStopped) return true
    const key = `${runner.consumer.name}\n${delivered.position}`
    this.#inFlight.add(key)
    const isNew = await handOver(runner, { delivered, replay: this.#mark(), more })
    if (isNew) this.#row = { ...this.#row, released: this.#row.released + 1 }
    else this.#inFlight.delete(key)
    return isNew
  }

  /** Tries a dead letter again; one that cannot be is counted and stops nothing. */
  async #retry(letter: DeadLetterRow): Promise<void> {
    const { deadLetters, kernel } = this.#options
    await this.#paced()
    if (this.#isStopped) return
    const key = `${letter.consumer}\n${letter.position}`
    this.#inFlight.add(key)
    try {
      const outcome = await deadLetters.retry(letter, this.#mark())
      if (outcome !== 'running') this.#inFlight.delete(key)
      const failed = this.#row.failed + (outcome === 'failed' ? 1 : 0)
      this.#row = { ...this.#row, released: this.#row.released + 1, failed }
    } catch (error) {
      this.#inFlight.delete(key)
      if (!isJuncturaError(error, 'JUNCTURA_OPERATION_REFUSED')) throw error
      this.#row = { ...this.#row, failed: this.#row.failed + 1 }
      const fields = { replay: this.#row.id, problem: messageOf(error) }
      kernel.log.warn(fields, 'a dead letter was not tried again')
    }
  }

  #mark(): ReplayMark {
    return { runId: this.#row.id, startedAtMs: this.#row.startedAtMs ?? 0 }
  }

  /** Waits for room, and for the rate. */
  async #paced(): Promise<void> {
    const { clock } = this.#options.kernel
    while (this.#inFlight.size >= IN_FLIGHT_MAX && !this.#isStopped) await this.#change()
    const nowMs = clock.monotonicMs()
    const waitMs = this.#nextAtMs - nowMs
    this.#nextAtMs = Math.max(nowMs, this.#nextAtMs) + 1_000 / this.#row.ratePerSecond
    if (waitMs >= 1) await sleep(clock, waitMs, this.#stop.signal)
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#wake = undefined
        this.#stop.signal.removeEventListener('abort', done)
        resolve()
      }
      this.#wake = done
      this.#stop.signal.addEventListener('abort', done, { once: true })
    })
  }

  async #advance(cursor: string): Promise<void> {
    if (this.#isStopped) return
    this.#row = { ...this.#row, cursor }
    if (++this.#sinceSaved < CURSOR_EVERY) return
    this.#sinceSaved = 0
    await this.#save(this.#row)
  }
}
