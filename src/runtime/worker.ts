import {
  type ConsumerPartition,
  type ConsumerRunner,
  outageCause,
  outageMark,
  partitionId,
  partitionsOf,
  progressKey,
  readNewerVersionCause,
  untilDecided,
  readSlots,
} from '../consumer/index.ts'
import type { Consumer } from '../contract/index.ts'
import { LIMITS, messageOf, sleep } from '../kernel/index.ts'
import type { Lease, Leases, RowWrite } from '../store/index.ts'
import { channelIds, isOfFormerBroker } from './broker-link.ts'
import { type LeaseView, partitionLease, progressLease } from './lease-names.ts'
import { offerRows } from './offer-rows.ts'
import { openPartition, stoppedCause, warnOfOrphans } from './open-partition.ts'
import { createPartitionKeeper, type PartitionKeeper } from './partition-keeper.ts'
import type { Pipeline } from './pipeline.ts'
import type { Publisher } from './publisher.ts'
import { prepareProgress, progressRowsOf, rangesOf } from './prepare-progress.ts'
import { readBell } from './requests.ts'

/** Key in `meta` of a consumer that a person has paused; a pause outlives the process. */
export const pausedKey = (consumer: string): string => `paused/${consumer}`

/**
 * The consumers at work in this process, and what belongs to them: all of them where the store has
 * one process; where it is shared, the partitions that the leases give to this worker, which come
 * and go while it runs.
 */
export interface Worker {
  start(): Promise<void>
  announce(url: string): Promise<void>
  /** Takes nothing more; then what is not the consumers' stops, and then they do. */
  close(graceMs: number): Promise<void>
}

export interface WorkerOptions {
  readonly pipeline: Pipeline
  /** Of a shared store with brokers: this worker may publish to them. */
  readonly publisher?: Publisher | undefined
  readonly onFatal: (error: unknown) => void
}

export const createWorker = (options: WorkerOptions): Worker => new ConsumersAtWork(options)

class ConsumersAtWork implements Worker {
  readonly #pipeline: Pipeline
  readonly #keeper: PartitionKeeper | undefined
  readonly #publisher: Publisher | undefined
  readonly #stop = new AbortController()
  #hasTimers = false
  #bell: unknown
  #listening: Promise<void> | undefined

  constructor({ pipeline, publisher, onFatal }: WorkerOptions) {
    this.#pipeline = pipeline
    this.#publisher = publisher
    const { kernel, links } = pipeline
    const { leases } = pipeline.store
    if (!leases) return
    this.#keeper = createPartitionKeeper({
      leases,
      kernel,
      partitions: this.#partitions,
      publishers: channelIds(links),
      looked: async (view, self) => publisher?.look(view, self),
      open: (partitions) => this.#openThose(leases, partitions),
      handBack: (id) => this.#handBack(id),
      beginDuties: () => this.#beginDuties(),
      onFatal,
    })
  }

  async start(): Promise<void> {
    const { store, kernel, integration, link, committer, alerts, replays } = this.#pipeline
    if (!this.#keeper) {
      await link?.start({ committer, alerts })
      for (const consumer of integration.consumers)
        await prepareProgress({ ...this.#ports, records: this.#pipeline.records }, consumer)
      await this.#open(this.#partitions)
      await this.#beginDuties()
      await replays.resumeAll()
    } else {
      await this.#keeper.start()
      this.#listening = this.#listen()
    }
    this.#pipeline.routes.start()
    await warnOfOrphans(store, kernel, integration)
  }

  async announce(url: string): Promise<void> {
    await this.#keeper?.announce(url)
  }

  async close(graceMs: number): Promise<void> {
    const { runners, timers, retention, replays, relays, topics, expectations, schedules } =
      this.#pipeline
    this.#stop.abort()
    await this.#listening
    await this.#keeper?.leave()
    await this.#publisher?.close()
    await relays.close()
    await topics.close()
    await replays.close()
    await retention.close()
    await expectations.close()
    await schedules.close()
    await this.#pipeline.routes.close()
    await timers.close()
    const all = [...runners.values()]
    await Promise.all(
      all.map((runner) => (this.#keeper ? runner.handBack(graceMs) : runner.close(graceMs))),
    )
    // Also of what was being opened when this began.
    if (this.#keeper) await untilDecided(this.#pipeline)
    await this.#keeper?.release()
  }

  get #partitions(): readonly ConsumerPartition[] {
    const { integration, store } = this.#pipeline
    return integration.consumers.flatMap((one) => partitionsOf(one, rangesOf(store, one)))
  }

  get #ports(): Pipeline['consumers']['ports'] {
    return this.#pipeline.consumers.ports
  }

  async #openThose(
    leases: Leases,
    partitions: readonly ConsumerPartition[],
  ): Promise<ReadonlySet<string>> {
    const { alerts, transport, store, link, committer } = this.#pipeline
    const notYet = new Set<string>()
    const view = await this.#keeper?.view()
    const known = await Promise.all(partitions.map((partition) => this.#hasProgress(partition)))
    for (const [index, partition] of partitions.entries()) {
      const { consumer, id } = partition
      const isDividedOtherwise = view !== undefined && runsOtherwise(view, partition, this.#ids)
      if (isDividedOtherwise) {
        notYet.add(id)
        const fields = { consumer: consumer.name }
        this.#pipeline.kernel.log.info(fields, 'another version runs it; waiting for its end')
      } else if (known[index] !== true && !(await this.#prepare(leases, partition))) notYet.add(id)
    }
    const ready = partitions.filter(({ id }) => !notYet.has(id))
    if (ready.length === 0) return notYet
    // Whoever had them before has written since this process last looked.
    await alerts.load()
    transport.advanced(await store.headPosition())
    if (!this.#hasTimers) await link?.start({ committer, alerts })
    await this.#open(ready)
    return notYet
  }

  get #ids(): ReadonlySet<string> {
    return new Set(this.#partitions.map(({ id }) => id))
  }

  async #hasProgress({ consumer, slots }: ConsumerPartition): Promise<boolean> {
    const key = progressKey(consumer.name, consumer.on.channel, slots)
    return (await this.#pipeline.store.row('progress', key)) !== undefined
  }

  /** False while another process makes the rows of its progress fit. */
  async #prepare(leases: Leases, partition: ConsumerPartition): Promise<boolean> {
    const { consumer } = partition
    // Those before it have made it, too.
    if (await this.#hasProgress(partition)) return true
    const names = [progressLease(consumer.name), ...(await this.#formerLeases(consumer))]
    const taken: Lease[] = []
    try {
      for (const name of names) {
        const lease = await leases.take({ name })
        if (!lease) return false
        taken.push(lease)
      }
      await prepareProgress({ ...this.#ports, records: this.#pipeline.records }, consumer)
      return true
    } finally {
      for (const lease of taken.toReversed()) await lease.release()
    }
  }

  /**
   * Of the partitions that the consumer was divided into before, and under its former names. Who
   * slept past one could commit still, as nobody else would ever take it: so it is taken once.
   */
  async #formerLeases({ name, was, on }: Consumer): Promise<readonly string[]> {
    const ids: string[] = []
    for (const one of [name, ...was]) {
      for (const { slots } of await progressRowsOf(this.#pipeline.store, one, on.channel)) {
        ids.push(partitionId(one, readSlots(slots)))
      }
    }
    return ids.filter((id) => !this.#ids.has(id)).map(partitionLease)
  }

  async #open(partitions: readonly ConsumerPartition[]): Promise<void> {
    const { runners, store, timers, volatile, letters, kernel, committer, replays, notifier } =
      this.#pipeline
    const { integration } = this.#pipeline
    const { consumers } = this.#pipeline
    // What is free after a death is wanted soon; each waits for a few reads.
    const openings = partitions.map((one) => openPartition(consumers, one))
    // Where one fails, none of the others writes its progress once its lease is given back.
    await Promise.allSettled(openings)
    const opened = await Promise.all(openings)
    const others = [...runners.values()]
    const names = new Set(partitions.map(({ consumer }) => consumer.name))
    for (const runner of opened) {
      runners.set(runner.id, runner)
      volatile.connect(runner)
    }
    const hooks = integration.webhooks.map(({ name }) => name)
    // A consumer and a webhook may have one name, and are counted apart.
    const webhooks = hooks.filter((name) => others.length === 0 || names.has(name))
    await letters.load(store, { consumers: names, webhooks })
    await this.#applyPauses()
    // What was in flight runs alone, before anything else: if it kills the process, it is known.
    await this.#recover(opened, others)
    await offerRows({ committer, kernel }, this.#resolvedBy(opened))
    for (const runner of opened) runner.start()
    if (!this.#hasTimers) await timers.start()
    this.#hasTimers = true
    await replays.look()
    // What was asked of a partition that nobody had is answered now.
    this.#bell = undefined
    notifier.poke()
  }

  async #recover(
    opened: readonly ConsumerRunner[],
    others: readonly ConsumerRunner[],
  ): Promise<void> {
    const suspected = opened.filter((runner) => runner.hasSuspects)
    if (suspected.length === 0) return
    const { clock } = this.#pipeline.kernel
    const waited = new AbortController()
    const limit = clock.setTimer(LIMITS.aloneWaitMs, () => waited.abort())
    await Promise.all(others.map((runner) => runner.rest(waited.signal)))
    limit.cancel()
    try {
      for (const runner of suspected) await runner.recover()
    } finally {
      for (const runner of others) runner.wake()
    }
  }

  /** A consumer that had stopped runs again; should it stop again, that is a new alert. */
  #resolvedBy(opened: readonly ConsumerRunner[]): readonly RowWrite[] {
    const { alerts } = this.#pipeline
    const rows = opened.flatMap(({ id, consumer }) => [
      // Another partition of it may be stopped still, here or elsewhere.
      ...alerts.resolve(stoppedCause(id)),
      ...this.#stoppedOtherwise(consumer).flatMap((cause) => alerts.resolve(cause)),
      // One that no longer looks for outages could never say that it is over.
      ...(consumer.outage ? [] : this.#withoutOutage(id, consumer.name)),
    ])
    return [...rows, ...[...alerts.all()].flatMap(({ cause }) => this.#knownNow(cause, opened))]
  }

  #withoutOutage(id: string, name: string): readonly RowWrite[] {
    const mark: RowWrite = { collection: 'meta', key: outageMark(id), row: undefined }
    return [mark, ...this.#pipeline.alerts.resolve(outageCause(name))]
  }

  /** Alerts of partitions that the consumer was divided into before. */
  #stoppedOtherwise({ name }: Consumer): readonly string[] {
    const of = new Set([...this.#ids].map(stoppedCause))
    const [whole, part] = [stoppedCause(name), stoppedCause(`${name}/`)]
    return [...this.#pipeline.alerts.all()]
      .map(({ cause }) => cause)
      .filter((cause) => (cause === whole || cause.startsWith(part)) && !of.has(cause))
  }

  /** Resolves the alert of a contract version that the last code did not know and this one does. */
  #knownNow(cause: string, opened: readonly ConsumerRunner[]): readonly RowWrite[] {
    const told = readNewerVersionCause(cause)
    if (!told) return []
    const on = opened.find(({ consumer }) => consumer.name === told.consumer)?.consumer.on
    const isUnknown = on?.name === told.type && on.latest < told.version
    const isMine = on !== undefined || !this.#keeper
    return isUnknown || !isMine ? [] : this.#pipeline.alerts.resolve(cause)
  }

  async #handBack(id: string): Promise<void> {
    const { runners, volatile, replays } = this.#pipeline
    const runner = runners.get(id)
    if (!runner) return
    // First: what looks for work here must not begin any on a partition that is leaving.
    runners.delete(id)
    volatile.disconnect(runner)
    await replays.leave(id)
    await runner.handBack(LIMITS.handBackMs)
  }

  async #beginDuties(): Promise<void> {
    const { retention, relays, topics, deadLetters, duties, notifier, expectations, schedules } =
      this.#pipeline
    const { alerts, committer, kernel, link, links } = this.#pipeline
    duties.areHere = true
    // Whoever had them before has told of what only this worker can say is over.
    if (this.#keeper) await alerts.load()
    const over = [...alerts.all()].filter(({ cause }) => isOfFormerBroker(cause, links))
    const rows = over.flatMap(({ cause }) => alerts.resolve(cause))
    await offerRows({ committer, kernel }, rows)
    // Where the store is shared, whoever has their leases publishes to them.
    const bridges = this.#keeper ? [] : links.filter((one) => one !== link)
    for (const bridge of bridges) await bridge.start({ committer, alerts })
    await expectations.start()
    await schedules.start()
    retention.start()
    relays.start()
    topics.start()
    await this.#pipeline.replays.look()
    await deadLetters.settleAll()
    notifier.poke()
  }

  async #applyPauses(): Promise<void> {
    const { runners, store } = this.#pipeline
    const paused = new Map<string, boolean>()
    for (const runner of runners.values()) {
      const { name } = runner.consumer
      const row = paused.get(name) ?? (await store.row('meta', pausedKey(name))) !== undefined
      paused.set(name, row)
      if (row) runner.pause()
      else runner.resume()
    }
  }

  /** What people ask of other processes is found here, and looked at when the bell has rung. */
  async #listen(): Promise<void> {
    const { kernel, store, alerts, replays, requests, runners } = this.#pipeline
    const { signal } = this.#stop
    let notedMs = kernel.clock.monotonicMs()
    while (!signal.aborted) {
      await sleep(kernel.clock, LIMITS.requestPollMs, signal)
      if (signal.aborted) return
      try {
        const bell = await readBell(store)
        if (bell !== this.#bell) {
          this.#bell = bell
          await alerts.load()
          await this.#applyPauses()
          await replays.look()
          await requests.answer()
        }
        if (kernel.clock.monotonicMs() - notedMs < LIMITS.progressNoteMs) continue
        notedMs = kernel.clock.monotonicMs()
        for (const runner of runners.values()) await runner.note()
      } catch (error) {
        this.#bell = undefined
        kernel.log.warn({ problem: messageOf(error) }, 'requests could not be looked at')
      }
    }
  }
}

/** Whether somebody runs the consumer under its former name, or divided into other partitions. */
const runsOtherwise = (
  view: LeaseView,
  { consumer }: ConsumerPartition,
  declared: ReadonlySet<string>,
): boolean =>
  [...view.partitions.keys()].some((id) => {
    const name = id.split('/')[0] ?? id
    return consumer.was.includes(name) || (name === consumer.name && !declared.has(id))
  })
