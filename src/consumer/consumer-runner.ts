import type { Consumer } from '../contract/index.ts'
import { isJuncturaError, LIMITS, messageOf as textOf, sleep } from '../kernel/index.ts'
import type { CommitUnit, LaneRow, ProgressRow, UnitOutcome } from '../store/index.ts'
import type { Delivered, Subscription } from '../transport/index.ts'
import { isStoreTrouble, runAttempt } from './attempt.ts'
import { describeFailure } from './failure.ts'
import { HeldLanes } from './held-lanes.ts'
import { type Lane, LaneTable } from './lane-table.ts'
import type { ConsumerPorts } from './ports.ts'
import { ConsumerProgress, type ConsumerProgressBook } from './progress.ts'
import {
  collectSuspects,
  CRASHES_MAX,
  crashFailure,
  runSuspects,
  type Suspect,
} from './suspects.ts'
import { itemOf, type WorkItem } from './work-item.ts'

/** After the store refused, the same work is offered again after this. */
const STORE_RETRY_MS = 500

export interface ConsumerRunnerOptions {
  readonly ports: ConsumerPorts
  readonly consumer: Consumer
  readonly book: ConsumerProgressBook
  /** Its row of the last run, or a first one. */
  readonly progress: ProgressRow
  /** Told when the consumer cannot go on, for example because a record is damaged. */
  readonly onStopped?: (error: unknown) => void
}

/**
 * One consumer at work: a durable cursor over one channel that feeds lanes.
 *
 * Modes: `recovering` runs what was in flight when the last process died, one message at a time;
 * `running` fetches and dispatches; `paused` keeps fetching nothing and starts nothing; `stopped`
 * after the log could not be read (damage is never skipped); `closed`.
 */
export class ConsumerRunner {
  readonly consumer: Consumer
  readonly ports: ConsumerPorts
  readonly progress: ConsumerProgress
  readonly lanes: LaneTable = new LaneTable()
  readonly held: HeldLanes
  readonly #options: ConsumerRunnerOptions
  readonly #stop = new AbortController()
  readonly #fetching = new AbortController()
  #suspects: readonly Suspect[] = []
  #running = 0
  #mode: 'recovering' | 'running' | 'paused' | 'stopped' | 'closed' = 'recovering'
  #loop: Promise<void> | undefined
  #subscription: Subscription | undefined
  #wakeFetch: (() => void) | undefined
  #wakeIdle: (() => void)[] = []
  #claiming = false
  #batchTimer: { cancel(): void } | undefined
  #batchDue = false
  #volatile = 0

  constructor(options: ConsumerRunnerOptions) {
    this.#options = options
    this.consumer = options.consumer
    this.ports = options.ports
    this.progress = new ConsumerProgress(options.progress, options.ports.epoch)
    options.book.add(this.progress)
    this.held = new HeldLanes(this)
  }

  get mode(): string {
    return this.#mode
  }

  /** Whether everything in the log has been fetched. */
  get atHead(): boolean {
    return this.#subscription?.atHead ?? false
  }

  get inFlight(): number {
    return this.#running
  }

  /** Reads what the last run left: held lanes, and what was running when it died. */
  async load(): Promise<void> {
    const { consumer, ports } = this
    this.#suspects = await collectSuspects(ports, consumer, this, this.#options.progress)
    await this.held.load()
    // The first claim of this run is durable before anything is handed out.
    await this.commitStubbornly({ marks: [{ consumer: consumer.name }] })
  }

  /** Runs the suspects, each alone in the process; called for one consumer after the other. */
  async recover(): Promise<void> {
    await runSuspects(this, this.#suspects)
    this.#suspects = []
  }

  /** Runs a head that was running when the process died, with nothing beside it. */
  async runHeadAlone(lane: Lane, row: LaneRow): Promise<void> {
    await this.held.runHead(lane, row)
    const item = lane.queue.shift()
    if (!item) return
    if (item.crashes >= CRASHES_MAX)
      await this.held.die(lane, item, crashFailure(item.crashes), item.attempts)
    else await this.runItem(lane, item)
    this.held.settled(lane)
  }

  start(): void {
    if (this.#mode !== 'recovering') return
    this.#mode = 'running'
    this.#loop = this.#fetchLoop()
    this.held.start()
    this.dispatch()
  }

  pause(): void {
    if (this.#mode === 'running') this.#mode = 'paused'
  }

  resume(): void {
    if (this.#mode !== 'paused') return
    this.#mode = 'running'
    this.dispatch()
    this.#wakeFetch?.()
  }

  /** Resolves when nothing that is fetched or held by a timer remains to be run. */
  async idle(): Promise<void> {
    while (this.#running > 0 || this.lanes.readyCount > 0 || this.progress.unfinished > 0) {
      await new Promise<void>((resolve) => this.#wakeIdle.push(resolve))
    }
  }

  /**
   * Stops: nothing new is started, what runs may finish within `graceMs`, then it is cut off and
   * will be redelivered. The last progress row claims nothing.
   */
  async close(graceMs: number): Promise<void> {
    if (this.#mode === 'closed') return
    this.#mode = 'closed'
    this.#fetching.abort()
    this.#wakeFetch?.()
    this.#batchTimer?.cancel()
    const { clock } = this.ports.kernel
    const graceOver = new AbortController()
    const grace = sleep(clock, graceMs, graceOver.signal)
    const finished = (async () => {
      while (this.#running > 0) await new Promise<void>((resolve) => this.#wakeIdle.push(resolve))
    })()
    await Promise.race([finished, grace])
    graceOver.abort()
    const clean = this.#running === 0
    this.#stop.abort()
    await this.#loop
    await this.held.close()
    if (clean) this.progress.close()
    if (this.ports.committer.mode !== 'open') return
    await this.ports.committer
      .submit({ marks: [{ consumer: this.consumer.name }] })
      .catch((error: unknown) => {
        this.ports.kernel.log.warn({ problem: textOf(error) }, 'the last progress was not written')
      })
  }

  /** A message of an at-most-once contract; dropped, and counted, when there is no room. */
  offerVolatile(delivered: Delivered): void {
    if (this.#mode !== 'running' || this.#volatile >= LIMITS.fetchWindowMax) {
      const messageId = delivered.record.head.envelope.id
      this.ports.observer.dropped({ consumer: this.consumer.name, messageId })
      return
    }
    this.#volatile += 1
    this.arrive(itemOf(this.consumer, delivered, 'volatile'))
    this.dispatch()
  }

  /** Puts an item into its lane, or behind it when the lane is held. */
  arrive(item: WorkItem): void {
    const lane = this.lanes.findOrCreate(item.lane)
    if (lane.state === 'open' || item.origin === 'volatile') this.lanes.push(lane, item)
    else this.held.storeSuccessor(lane, item)
  }

  /** Gives an item of a replay to its lane, whether or not the lane is held for that replay. */
  replayInto(item: WorkItem): void {
    this.lanes.push(this.lanes.findOrCreate(item.lane), item)
    this.dispatch()
  }

  async #fetchLoop(): Promise<void> {
    const { consumer, ports, progress } = this
    const subscription = ports.transport.subscribe(consumer.on.channel, progress.fetchedTo)
    this.#subscription = subscription
    try {
      while (!this.#fetching.signal.aborted) {
        const room = LIMITS.fetchWindowMax - Math.max(progress.span, this.held.storing)
        if (room <= 0 || this.#mode === 'paused') {
          await this.#untilRoom()
          continue
        }
        const page = await subscription.next(Math.min(room, 512), this.#fetching.signal)
        for (const delivered of page) this.#take(delivered)
        if (page.length > 0) this.progress.passed(subscription.scannedTo)
        this.dispatch()
        // Fetching must not starve the rest of the loop while a backlog is drained.
        if (page.length >= 512) await ports.kernel.clock.yield()
      }
    } catch (error) {
      if (this.#mode === 'closed') return
      this.#mode = 'stopped'
      ports.kernel.log.error(
        { consumer: consumer.name, problem: textOf(error) },
        'the consumer stopped',
      )
      this.#options.onStopped?.(error)
    }
  }

  #take(delivered: Delivered): void {
    const { consumer, progress } = this
    const { position, record } = delivered
    if (position <= progress.fetchedTo) return
    if (record.head.envelope.type !== consumer.on.name) return progress.passed(position)
    if (progress.wasDone(position)) return progress.fetchedFinished(position)
    progress.fetched(position, delivered.atMs)
    this.arrive(itemOf(consumer, delivered, 'log'))
  }

  #untilRoom(): Promise<void> {
    return new Promise((resolve) => {
      this.#wakeFetch = () => {
        this.#wakeFetch = undefined
        resolve()
      }
      if (this.#fetching.signal.aborted) this.#wakeFetch()
    })
  }

  /** Starts as many ready items as the consumer may run at once. */
  dispatch(): void {
    if (this.#mode !== 'running') return
    const { batch } = this.consumer
    if (batch) return this.#dispatchBatch(batch)
    while (this.#running < this.consumer.concurrency) {
      const next = this.lanes.take()
      if (!next) return
      if (!this.#mayRun(next.item)) {
        this.lanes.putBack(next.lane, next.item)
        this.lanes.release(next.lane)
        return
      }
      this.#begin([next])
    }
  }

  #dispatchBatch(batch: { readonly max: number; readonly maxAgeMs: number }): void {
    if (this.#running > 0) return
    const enough = this.lanes.readyCount >= batch.max || this.progress.unfinished >= batch.max
    if (this.lanes.readyCount === 0) return
    if (!enough && !this.#batchDue && batch.maxAgeMs > 0) {
      this.#batchTimer ??= this.ports.kernel.clock.setTimer(batch.maxAgeMs, () => {
        this.#batchTimer = undefined
        this.#batchDue = true
        this.dispatch()
      })
      return
    }
    this.#batchTimer?.cancel()
    this.#batchTimer = undefined
    this.#batchDue = false
    const taken: { lane: Lane; item: WorkItem }[] = []
    while (taken.length < batch.max) {
      const next = this.lanes.take()
      if (!next) break
      const alone = next.item.attempts > 0 || next.item.crashes > 0 || next.item.origin !== 'log'
      if (!this.#mayRun(next.item) || (alone && taken.length > 0)) {
        this.lanes.putBack(next.lane, next.item)
        this.lanes.release(next.lane)
        break
      }
      taken.push(next)
      if (alone) break
      for (let more = this.#moreOf(next.lane, batch.max - taken.length); more;) {
        taken.push({ lane: next.lane, item: more })
        more = this.#moreOf(next.lane, batch.max - taken.length)
      }
    }
    if (taken.length > 0) this.#begin(taken)
  }

  /** The next item of a lane already in the batch, if it may go along. */
  #moreOf(lane: Lane, room: number): WorkItem | undefined {
    const next = lane.queue[0]
    if (room <= 0 || next?.origin !== 'log' || !this.#mayRun(next)) return undefined
    return this.lanes.takeMore(lane)
  }

  /** A fetched message runs only once its claim is durable (M19). */
  #mayRun(item: WorkItem): boolean {
    if (item.origin !== 'log' || this.progress.isClaimed(item.position)) return true
    if (!this.#claiming) {
      this.#claiming = true
      void this.commitStubbornly({ marks: [{ consumer: this.consumer.name }] }).then(() => {
        this.#claiming = false
        this.dispatch()
      })
    }
    return false
  }

  #begin(taken: readonly { readonly lane: Lane; readonly item: WorkItem }[]): void {
    this.#running += 1
    void this.#runTaken(taken).finally(() => {
      this.#running -= 1
      for (const lane of new Set(taken.map((one) => one.lane))) this.held.settled(lane)
      this.dispatch()
      this.#wakeFetch?.()
      if (this.#wakeIdle.length > 0) for (const wake of this.#wakeIdle.splice(0)) wake()
    })
  }

  async #runTaken(
    taken: readonly { readonly lane: Lane; readonly item: WorkItem }[],
  ): Promise<void> {
    try {
      if (taken.length === 1 && taken[0]) {
        await this.runItem(taken[0].lane, taken[0].item)
        if (taken[0].item.origin === 'volatile') this.#volatile -= 1
      } else await this.#runBatch(taken)
    } catch (error) {
      if (this.#mode === 'closed' || this.ports.committer.mode !== 'open') return
      this.ports.kernel.log.error(
        { consumer: this.consumer.name, problem: textOf(error) },
        'an attempt broke',
      )
      this.#options.onStopped?.(error)
    }
  }

  async #runBatch(
    taken: readonly { readonly lane: Lane; readonly item: WorkItem }[],
  ): Promise<void> {
    const items = taken.map((one) => one.item)
    const outcome = await this.#attemptBatch(items)
    if (outcome) return
    // Which of them is at fault is not known: each runs alone, and only that counts (M19).
    for (const { lane, item } of taken) {
      if (lane.state === 'open') await this.runItem(lane, item)
      else this.held.storeSuccessor(lane, item)
    }
  }

  async #attemptBatch(items: readonly WorkItem[]): Promise<boolean> {
    const { ports, consumer } = this
    const readable: WorkItem[] = []
    const data: unknown[] = []
    const marks = items.map((item) => ({ consumer: consumer.name, position: item.position }))
    try {
      for (const item of items) {
        const value = this.readData(item)
        if (consumer.filter && !consumer.filter(value)) continue
        readable.push(item)
        data.push(value)
      }
    } catch {
      return false
    }
    const [first, ...rest] = readable
    if (!first) return (await this.commitStubbornly({ marks })) !== undefined
    const startedMs = ports.kernel.clock.monotonicMs()
    const result = await runAttempt({
      ports,
      consumer,
      items: [first, ...rest],
      data,
      attempt: 1,
      success: { marks },
      stop: this.#stop.signal,
    })
    if (result.kind === 'failed') return false
    if (result.kind === 'store') {
      await sleep(ports.kernel.clock, STORE_RETRY_MS, this.#stop.signal)
      return this.#stop.signal.aborted
    }
    if (result.kind === 'returned' && !(await this.commitStubbornly(result.unit))) return true
    for (const item of readable) this.tellAttempt(item, 1, { outcome: 'done', startedMs })
    for (const item of readable) this.tellFinished(item, 'done')
    return true
  }

  /** Runs one message to its end: done, a retry that is scheduled, or a dead letter. */
  async runItem(lane: Lane, item: WorkItem): Promise<void> {
    const { ports, consumer } = this
    const attempt = item.attempts + 1
    for (;;) {
      if (this.#stop.signal.aborted) return
      const startedMs = ports.kernel.clock.monotonicMs()
      let data: unknown
      try {
        data = this.readData(item)
        if (consumer.filter && !consumer.filter(data)) {
          await this.commitStubbornly(this.held.successUnit(lane, item))
          return this.#done(lane, item, 'filtered')
        }
      } catch (error) {
        return this.#failed(lane, item, { error, timedOut: false, attempt, startedMs, data })
      }
      const result = await runAttempt({
        ports,
        consumer,
        items: [item],
        data: [data],
        attempt,
        success: this.held.successUnit(lane, item),
        stop: this.#stop.signal,
      })
      if (result.kind === 'store') {
        if (this.#stop.signal.aborted || !isStoreTrouble(result.error)) return
        await sleep(ports.kernel.clock, STORE_RETRY_MS, this.#stop.signal)
        continue
      }
      if (result.kind === 'failed') {
        return this.#failed(lane, item, { ...result, attempt, startedMs, data })
      }
      if (result.kind === 'returned' && !(await this.commitStubbornly(result.unit))) return
      this.tellAttempt(item, attempt, { outcome: 'done', startedMs })
      return this.#done(lane, item, 'done')
    }
  }

  #done(lane: Lane, item: WorkItem, how: 'done' | 'filtered'): void {
    if (item.origin === 'head') lane.state = 'draining'
    if (item.letterRow) this.ports.observer.letterResolved(item.letterRow)
    item.replay?.settled(how === 'done' ? 'done' : 'skipped')
    this.tellFinished(item, how)
  }

  async #failed(
    lane: Lane,
    item: WorkItem,
    run: { error: unknown; timedOut: boolean; attempt: number; startedMs: number; data: unknown },
  ): Promise<void> {
    const { ports, consumer } = this
    const mask = (text: string): string => ports.maskText(consumer, text, run.data)
    const failure = describeFailure(run.error, mask)
    this.tellAttempt(item, run.attempt, {
      outcome: run.timedOut ? 'timeout' : 'failed',
      startedMs: run.startedMs,
      error: `${failure.name}: ${failure.message}`,
    })
    await this.held.failed(lane, item, failure, run.attempt)
  }

  readData(item: WorkItem): unknown {
    return this.ports.readData(this.consumer, item.record.head.envelope, item.record.data)
  }

  /**
   * Commits bookkeeping that must not get lost: while the store refuses, it is offered again.
   * Undefined when the runtime stops first; then the work is redelivered.
   */
  async commitStubbornly(unit: CommitUnit): Promise<UnitOutcome | undefined> {
    const { committer, kernel } = this.ports
    for (;;) {
      try {
        return await committer.submit(unit)
      } catch (error) {
        const final =
          committer.mode !== 'open' ||
          isJuncturaError(error, 'JUNCTURA_STORE_UNKNOWN') ||
          !isStoreTrouble(error)
        if (final && committer.mode === 'open') throw error
        if (final || this.#stop.signal.aborted) return undefined
        await sleep(kernel.clock, STORE_RETRY_MS, this.#stop.signal)
      }
    }
  }

  tellAttempt(
    item: WorkItem,
    attempt: number,
    end: { outcome: 'done' | 'failed' | 'timeout'; startedMs: number; error?: string },
  ): void {
    const { envelope } = item.record.head
    this.ports.observer.attempt({
      consumer: this.consumer.name,
      messageId: envelope.id,
      position: item.position,
      key: envelope.partitionkey,
      attempt,
      outcome: end.outcome,
      durationMs: this.ports.kernel.clock.monotonicMs() - end.startedMs,
      ...(end.error !== undefined && { error: end.error }),
    })
  }

  tellFinished(item: WorkItem, how: 'done' | 'filtered' | 'skipped'): void {
    this.ports.observer.finished({
      consumer: this.consumer.name,
      messageId: item.record.head.envelope.id,
      position: item.position,
      receivedAtMs: item.atMs,
      finishedAtMs: this.ports.kernel.clock.now(),
      how,
    })
  }
}
