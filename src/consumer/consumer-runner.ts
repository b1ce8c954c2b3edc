import type { Consumer } from '../contract/index.ts'
import { LIMITS, messageOf, sleep } from '../kernel/index.ts'
import type { CommitUnit, ProgressRow, SlotRange, UnitOutcome } from '../store/index.ts'
import { type Delivered, RECORD_STRIDE, type Subscription } from '../transport/index.ts'
import { STORE_RETRY_MS } from './attempt.ts'
import { AttemptWatch } from './attempt-watch.ts'
import { commitInTheEnd } from './commit-in-the-end.ts'
import { HeldLanes } from './held-lanes.ts'
import { type Lane, LaneTable } from './lane-table.ts'
import { Outage } from './outage.ts'
import { isPlain, PlainRun } from './plain-run.ts'
import type { ConsumerPorts } from './ports.ts'
import {
  ALL_SLOTS,
  hasSlot,
  holdsSlots,
  partitionId,
  readSlots,
  slotOfDelivered,
  slotOfLaneOf,
} from './partition.ts'
import { ConsumerProgress, type ConsumerProgressBook } from './progress.ts'
import { runBatch, runItem, type TakenItem } from './run-item.ts'
import { collectSuspects, runSuspects } from './suspects.ts'
import { VolatileItems } from './volatile-items.ts'
import { mustNotBeSkipped, openSubscription } from './open-subscription.ts'
import { takeBatch } from './take-batch.ts'
import { untilDecided } from './until-decided.ts'
import { itemOf, type WorkItem } from './work-item.ts'

const FETCH_RECORDS = 512

export interface ConsumerRunnerOptions {
  readonly ports: ConsumerPorts
  readonly consumer: Consumer
  readonly book: ConsumerProgressBook
  /** Its row of the last run, or a first one. */
  readonly progress: ProgressRow
  /** Told when the consumer cannot go on, for example because a record is damaged. */
  readonly onStopped?: (error: unknown) => void
}

export type ConsumerMode = 'recovering' | 'running' | 'paused' | 'stopped' | 'closed'

/**
 * One partition of a consumer at work: a durable cursor over its slots of one channel that feeds
 * lanes. Most consumers have one partition, which is all of it.
 *
 * Modes: `recovering` runs what was in flight when the last process died, one message at a time;
 * `running` fetches and dispatches; `paused` fetches nothing and starts nothing; `stopped` after
 * something was found that must not be skipped (a damaged record); `closed`. While it `rests`, as
 * when suspects of another partition run alone, it starts nothing whatever its mode.
 */
export class ConsumerRunner {
  readonly consumer: Consumer
  /** Of the partition; the consumer's name where it has all slots. */
  readonly id: string
  readonly slots: SlotRange
  readonly ports: ConsumerPorts
  readonly progress: ConsumerProgress
  readonly lanes: LaneTable = new LaneTable()
  readonly held: HeldLanes
  readonly watch: AttemptWatch
  readonly outage: Outage
  readonly volatile: VolatileItems = new VolatileItems(this)
  readonly #options: ConsumerRunnerOptions
  readonly #hasAllSlots: boolean
  readonly #stop = new AbortController()
  readonly #fetching = new AbortController()
  #suspects: readonly WorkItem[] = []
  /** What the last run had in flight has not all been run alone yet. */
  #isInDoubt = false
  #running = 0
  #mode: ConsumerMode = 'recovering'
  #pauseAtStart = false
  #loop: Promise<void> | undefined
  #subscription: Subscription | undefined
  #wakeFetch: (() => void) | undefined
  #waiters: (() => void)[] = []
  #isClaiming = false
  #batchTimer: { cancel(): void } | undefined
  #isBatchDue = false
  #takenTo = 0
  #isDispatching = false
  #rests = 0

  constructor(options: ConsumerRunnerOptions) {
    this.#options = options
    this.consumer = options.consumer
    this.slots = readSlots(options.progress.slots)
    this.id = partitionId(options.consumer.name, this.slots)
    this.#hasAllSlots = holdsSlots(this.slots, ALL_SLOTS)
    this.ports = options.ports
    const { concurrency, batch, timeoutMs } = options.consumer
    const { clock } = options.ports.kernel
    this.watch = new AttemptWatch({ clock, timeoutMs, stop: this.#stop.signal })
    this.progress = new ConsumerProgress(options.progress, {
      epoch: options.ports.epoch,
      // What may start between two commits, so that claiming seldom needs one of its own.
      ...(options.consumer.on.record === 'transport' && { stride: RECORD_STRIDE }),
      claimAhead: Math.max(LIMITS.claimWindow, 2 * Math.max(concurrency, batch?.max ?? 0)),
      onApplied: () => this.changed(),
    })
    options.book.add(this.progress)
    this.held = new HeldLanes(this)
    this.outage = new Outage(this)
  }

  get mode(): ConsumerMode {
    return this.#mode
  }

  /** Whether everything in the log has been fetched. */
  get atHead(): boolean {
    if (!this.#subscription) return false
    // What was given is on its way here for a moment.
    return this.#subscription.atHead && this.#takenTo >= this.#subscription.givenTo
  }

  get inFlight(): number {
    return this.#running
  }

  /** Aborts when the runtime stops without waiting any longer. */
  get stopSignal(): AbortSignal {
    return this.#stop.signal
  }

  /** False once nothing more may be run: what a handler does now could not be committed. */
  get mayGoOn(): boolean {
    return !this.#stop.signal.aborted && this.ports.committer.mode === 'open'
  }

  /** Whether nothing that can run now remains to be run; a scheduled retry does not count. */
  get isIdle(): boolean {
    if (this.#mode === 'paused' || this.#mode === 'stopped' || this.#mode === 'closed') return true
    const work = this.#running + this.lanes.readyCount + this.progress.unfinished
    return this.#mode === 'running' && this.atHead && work + this.held.working === 0
  }

  /** Whether the last run left anything that has to run alone. */
  get hasSuspects(): boolean {
    return this.#suspects.length + this.held.crashed.length > 0
  }

  /** Starts nothing until the same number of `wake`; resolves when nothing runs, or it is told. */
  async rest(signal: AbortSignal): Promise<void> {
    this.#rests += 1
    await this.#untilQuiet(signal)
  }

  wake(): void {
    this.#rests -= 1
    this.dispatch()
  }

  /** Reads what the last run left: held lanes, and what was running when it died. */
  async load(): Promise<void> {
    this.#suspects = await collectSuspects(this, this.#options.progress)
    await this.held.load()
    this.#isInDoubt = this.hasSuspects
    // The first claim of this run is durable before anything is handed out.
    await this.note()
  }

  /** Writes its row, which says how far it is also when it had nothing to handle. */
  note(): Promise<unknown> {
    return this.commit({ marks: [{ consumer: this.id }] })
  }

  /** Runs the suspects, each alone in the process; called for one consumer after the other. */
  async recover(): Promise<void> {
    const suspects = this.#suspects
    this.#suspects = []
    await runSuspects(this, suspects)
    if (this.mayGoOn) this.#isInDoubt = false
  }

  start(): void {
    if (this.#mode !== 'recovering') return
    this.#mode = this.#pauseAtStart ? 'paused' : 'running'
    this.#loop = this.#fetchLoop()
    this.held.start()
    this.dispatch()
  }

  pause(): void {
    if (this.#mode === 'recovering') this.#pauseAtStart = true
    if (this.#mode !== 'running') return
    this.#mode = 'paused'
    this.changed()
  }

  resume(): void {
    if (this.#mode !== 'paused') return
    this.#mode = 'running'
    this.dispatch()
    this.#wakeFetch?.()
  }

  async idle(): Promise<void> {
    while (!this.isIdle) await this.#change()
  }

  /**
   * Stops: nothing new is started, what runs may finish within `graceMs`, then it is cut off and
   * will be redelivered. After a clean stop nothing is claimed any more.
   */
  async close(graceMs: number): Promise<void> {
    if (this.#mode === 'closed') return
    this.#mode = 'closed'
    this.#fetching.abort()
    this.#wakeFetch?.()
    this.#batchTimer?.cancel()
    this.outage.close()
    await this.#untilFinished(graceMs)
    // What the last run had in flight and nobody has run alone may still take the process down.
    const isClean = this.#running === 0 && !this.#isInDoubt
    this.#stop.abort()
    await this.#loop
    await this.held.close(isClean)
    this.volatile.dropQueued()
    this.changed()
    if (isClean) this.progress.close()
    await this.note()
    this.#subscription?.close()
  }

  /**
   * Stops so that another process may go on: once it resolves, nothing of this run is written any
   * more, whatever its handlers do. What was cut off is suspect there.
   */
  async handBack(graceMs: number): Promise<void> {
    await this.close(graceMs)
    // A transaction that had begun when it was cut off decides by itself how it ends.
    while (this.#running > 0) await this.#change()
    this.#options.book.remove(this.progress)
    await untilDecided(this.ports)
  }

  /** Whether a record of the channel is a message for this consumer. */
  isMine(delivered: Delivered): boolean {
    // Asked first: of what is another partition's, nothing is decoded.
    const { consumer, slots } = this
    if (!this.#hasAllSlots && !hasSlot(slots, slotOfDelivered(consumer, delivered))) return false
    const { record } = delivered
    // A receipt without data tells what the border did; nobody handles it.
    return record.head.envelope.type === this.consumer.on.name && record.data.length > 0
  }

  /** Whether a lane is one of this partition. */
  hasLane(lane: string): boolean {
    return this.#hasAllSlots || hasSlot(this.slots, slotOfLaneOf(this.consumer, lane))
  }

  /** Starts as many ready items as the consumer may run at once. */
  dispatch(): void {
    if (this.#mode !== 'running' || !this.mayGoOn || this.#rests > 0) return
    if (this.consumer.batch) return this.#dispatchBatch(this.consumer.batch)
    // What is over as soon as it began asks for the next: that is the loop's, not one level deeper.
    if (this.#isDispatching) return
    this.#isDispatching = true
    try {
      this.#startReady()
    } finally {
      this.#isDispatching = false
    }
  }

  #startReady(): void {
    const { concurrency } = this.consumer
    while (this.#running < concurrency && this.outage.mayStart(this.#running)) {
      const item = this.lanes.peek()
      if (!item || !this.#mayRun(item)) return
      const next = this.lanes.take()
      if (next) this.#begin([next])
      if (this.#mode !== 'running' || !this.mayGoOn || this.#rests > 0) return
    }
  }

  /** Something that somebody may wait for has changed. */
  changed(): void {
    this.#wakeFetch?.()
    if (this.#waiters.length === 0) return
    for (const wake of this.#waiters.splice(0)) wake()
  }

  /**
   * Commits bookkeeping that must not get lost: while the store refuses, it is offered again.
   * Undefined when the runtime stops first; then the work is redelivered.
   *
   * @throws what was wrong with this unit alone.
   */
  commit(unit: CommitUnit): Promise<UnitOutcome | undefined> {
    return commitInTheEnd(this.ports, unit, this.#stop.signal)
  }

  async #fetchLoop(): Promise<void> {
    const { consumer, ports, progress } = this
    const subscription = this.subscription()
    this.#takenTo = subscription.givenTo
    const { signal } = this.#fetching
    while (!signal.aborted && this.#mode !== 'stopped') {
      const room = LIMITS.fetchWindowMax - progress.span
      const isFull = room <= 0 || progress.bytesHeld >= LIMITS.fetchWindowBytesMax
      if (isFull || this.#mode === 'paused') {
        await this.#untilRoom()
        continue
      }
      try {
        const page = await subscription.next(Math.min(room, FETCH_RECORDS), signal)
        // It is told to stop, or the transport is closed: nothing will come any more.
        if (page.length === 0) return
        for (const delivered of page) this.#take(delivered)
        this.#takenTo = page.at(-1)?.position ?? this.#takenTo
        progress.passed(subscription.scannedTo)
        this.dispatch()
        this.changed()
        // Fetching must not starve the rest of the loop while a backlog is drained.
        if (page.length >= FETCH_RECORDS) await ports.kernel.clock.yield()
      } catch (error) {
        if (signal.aborted || ports.committer.mode !== 'open') return
        if (mustNotBeSkipped(error)) return this.halt(error)
        const fields = { consumer: consumer.name, problem: messageOf(error) }
        ports.kernel.log.warn(fields, 'the log could not be read; trying again')
        await sleep(ports.kernel.clock, STORE_RETRY_MS, signal)
      }
    }
  }

  /** What it reads the log by; the suspects of a record that is not the store come by it too. */
  subscription(): Subscription {
    this.#subscription ??= openSubscription(this, this.#options.progress)
    return this.#subscription
  }

  /** Records that are still to be fetched, where its log can say it. */
  get behind(): number | undefined {
    return this.#subscription?.behind
  }

  #take(delivered: Delivered): void {
    const { consumer, progress, lanes } = this
    const { position } = delivered
    if (position <= progress.fetchedTo) return
    if (!this.isMine(delivered)) return progress.passed(position)
    // Only now: it may be decoded when it is asked for.
    const { record } = delivered
    if (progress.wasDone(position)) return progress.fetchedFinished(position)
    progress.fetched(position, delivered.atMs, record.data.length + (record.raw?.length ?? 0))
    const item = itemOf(consumer, delivered, 'log')
    const lane = lanes.findOrCreate(item.lane)
    if (lane.state === 'open') lanes.push(lane, item)
    else this.held.arrive(lane, item)
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

  #dispatchBatch(batch: { readonly max: number; readonly maxAgeMs: number }): void {
    if (this.#running > 0 || this.lanes.readyCount === 0) return
    if (!this.outage.mayStart(0)) return
    const isEnough = this.progress.unfinished >= batch.max
    if (!isEnough && !this.#isBatchDue && batch.maxAgeMs > 0) {
      this.#batchTimer ??= this.ports.kernel.clock.setTimer(batch.maxAgeMs, () => {
        this.#batchTimer = undefined
        this.#isBatchDue = true
        this.dispatch()
      })
      return
    }
    this.#batchTimer?.cancel()
    this.#batchTimer = undefined
    this.#isBatchDue = false
    const max = this.outage.isOut ? 1 : batch.max
    const taken = takeBatch(this.lanes, (item) => this.#mayRun(item), max)
    if (taken.length > 0) this.#begin(taken)
  }

  /** A fetched message runs only once its claim is durable (M19). */
  #mayRun(item: WorkItem): boolean {
    if (item.origin !== 'log') return true
    this.progress.wantClaim(item.position)
    if (this.progress.isClaimed(item.position)) return true
    if (!this.#isClaiming) {
      this.#isClaiming = true
      void this.#claim()
    }
    return false
  }

  async #claim(): Promise<void> {
    try {
      await this.note()
      this.#isClaiming = false
      this.dispatch()
    } catch (error) {
      this.halt(error)
    }
  }

  #begin(taken: readonly TakenItem[]): void {
    this.#running += 1
    const [first] = taken
    if (first && taken.length === 1 && isPlain(first.item)) return this.#beginPlain(first)
    void this.#run(taken).finally(() => this.#settled(new Set(taken.map(({ lane }) => lane))))
  }

  #beginPlain(taken: TakenItem): void {
    const run = new PlainRun(this, taken)
    try {
      run.start()
    } catch (error) {
      this.goOn(Promise.reject(error), taken)
    }
  }

  /** A plain run has met something that takes more than one step; then it is over. */
  goOn(rest: Promise<void>, taken: TakenItem): void {
    // Its bookkeeping could not be written: going on would skip the message.
    void rest.catch((error: unknown) => this.halt(error)).finally(() => this.settled(taken))
  }

  /** A plain run is over. */
  settled({ lane }: TakenItem): void {
    this.#running -= 1
    this.held.settled(lane)
    this.dispatch()
    this.changed()
  }

  #settled(lanes: ReadonlySet<Lane>): void {
    this.#running -= 1
    for (const lane of lanes) this.held.settled(lane)
    this.dispatch()
    this.changed()
  }

  async #run(taken: readonly TakenItem[]): Promise<void> {
    const [first, ...rest] = taken
    if (!first) return
    try {
      if (rest.length === 0) await runItem(this, first)
      else await runBatch(this, taken)
    } catch (error) {
      // Its bookkeeping could not be written: going on would skip the message.
      this.halt(error)
    } finally {
      if (first.item.origin === 'volatile') this.volatile.ended()
    }
  }

  /** Stops at something that must not be skipped. */
  halt(error: unknown): void {
    if (this.#mode === 'closed' || this.#mode === 'stopped' || !this.mayGoOn) return
    this.#mode = 'stopped'
    const fields = { consumer: this.consumer.name, problem: messageOf(error) }
    this.ports.kernel.log.error(fields, 'the consumer stopped')
    this.#options.onStopped?.(error)
    this.changed()
  }

  async #untilFinished(graceMs: number): Promise<void> {
    const over = new AbortController()
    const grace = this.ports.kernel.clock.setTimer(graceMs, () => over.abort())
    await this.#untilQuiet(over.signal)
    grace.cancel()
  }

  /** Until nothing runs, or it is told. */
  async #untilQuiet(signal: AbortSignal): Promise<void> {
    const told = new Promise((resolve) => signal.addEventListener('abort', resolve))
    while (this.#running > 0 && !signal.aborted) await Promise.race([this.#change(), told])
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve))
  }
}
