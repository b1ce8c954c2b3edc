import { type ConsumerRunner, outageCause } from '../consumer/index.ts'
import type { Draft, Integration, Model } from '../contract/index.ts'
import type { Ingress } from '../ingress/index.ts'
import { JuncturaError, type Kernel, messageOf, sleep } from '../kernel/index.ts'
import type { Metrics } from '../observe/index.ts'
import type { DeadLetterRow, RowWrite, StoreWatch } from '../store/index.ts'
import { channelIds } from './broker-link.ts'
import type { OperationCommand, OperationResult, Operator } from './commands.ts'
import { describeEngines } from './describe-engines.ts'
import type { EventHub } from './events.ts'
import { offerRows } from './offer-rows.ts'
import { recordedContracts } from './open-transport.ts'
import { createOperations, refused } from './operations.ts'
import { consumerStatuses } from './consumer-statuses.ts'
import { buildOverview } from './overview.ts'
import { pageOf } from './paging.ts'
import type { Pipeline } from './pipeline.ts'
import { createPublisher, createRelayKeeper, type RelayKeeper } from './publisher.ts'
import type { DrainOptions, Runtime } from './runtime-port.ts'
import { leaseConsumer } from './lease-consumer.ts'
import { retireConsumer, stoppedCause } from './open-partition.ts'
import { replayWaits } from './replay-waits.ts'
import type { Role } from './roles.ts'
import type { SagaQuery } from './saga-desk.ts'
import type { SagaRunView, SagaSummary } from './saga-views.ts'
import type {
  AlertView,
  ConsumerStatus,
  ExpectationKeyQuery,
  ExpectationKeyView,
  ExpectationView,
  FlowView,
  DeadLetterGroup,
  DeadLetterQuery,
  DeadLetterView,
  InvalidGroup,
  InvalidQuery,
  InvalidView,
  MessagePage,
  MessageQuery,
  MessageView,
  OperationView,
  OutboxView,
  Overview,
  Page,
  PageQuery,
  ReplayView,
  ScheduleView,
  TopicView,
} from './views.ts'
import { createWorker, pausedKey, type Worker } from './worker.ts'

export interface RunningParts {
  readonly pipeline: Pipeline
  readonly roles: readonly Role[]
  /** Called when this process can no longer run the consumers and should be restarted. */
  readonly onFatal: (error: unknown) => void
}

const GRACE_MS_DEFAULT = 10_000

/**
 * A pipeline at work.
 *
 * `starting` recovers what was in flight, one message at a time → `running` takes messages →
 * `draining` is not ready, and still takes them until the intake is closed → `stopping` takes none
 * and finishes what runs → `drained` can be read → `closed`.
 */
export class RunningIntegration implements Runtime {
  readonly integration: Integration
  readonly model: Model
  readonly kernel: Kernel
  readonly metrics: Metrics
  readonly events: EventHub
  readonly ingress: Ingress
  readonly startedAtMs: number
  readonly roles: readonly Role[]
  readonly developmentSecrets: Runtime['developmentSecrets']
  readonly #pipeline: Pipeline
  readonly #operations: ReturnType<typeof createOperations>
  #mode: 'starting' | 'running' | 'draining' | 'stopping' | 'drained' | 'closed' = 'starting'
  /** What runs the consumers, where this process is one that does. */
  readonly #worker: Worker | undefined
  /** What publishes to brokers, where this process relays for a shared store and does not work. */
  readonly #relayKeeper: RelayKeeper | undefined
  readonly #onFatal: (error: unknown) => void
  #watch: StoreWatch | undefined
  #draining: Promise<void> | undefined
  #closing: Promise<void> | undefined

  constructor(parts: RunningParts) {
    const { pipeline } = parts
    this.roles = parts.roles
    this.#pipeline = pipeline
    this.integration = pipeline.integration
    this.model = pipeline.integration.model
    this.kernel = pipeline.kernel
    this.metrics = pipeline.metrics
    this.events = pipeline.events
    this.ingress = pipeline.ingress
    this.startedAtMs = pipeline.startedAtMs
    this.developmentSecrets = pipeline.developmentSecrets
    const { store, committer, kernel, events, links } = pipeline
    const handle = (command: OperationCommand, by: Operator): Promise<unknown> =>
      this.#perform(command, by)
    const { onFatal, roles } = parts
    this.#onFatal = onFatal
    const { leases } = store
    const publishes = leases !== undefined && links.length > 0
    const publisher = publishes ? createPublisher({ ...pipeline, leases, onFatal }) : undefined
    if (roles.includes('worker')) {
      this.#worker = createWorker({ pipeline, publisher, onFatal })
    } else if (roles.includes('relay') && publishes && publisher) {
      const publishers = channelIds(links)
      this.#relayKeeper = createRelayKeeper({ leases, kernel, publisher, publishers, onFatal })
    }
    this.#operations = createOperations({ store, committer, kernel, events, handle })
  }

  async start(): Promise<void> {
    if (this.#worker || this.#relayKeeper) await this.#watchLog()
    if (this.#worker) await this.#pipeline.sagas.checkVersions(this.integration.sagas)
    await this.#worker?.start()
    await this.#relayKeeper?.start()
    // Of the workers, the one with the duties does it. Whoever is first moves a row, and once.
    if (!this.#worker && this.roles.includes('relay')) {
      this.#pipeline.relays.start()
      this.#pipeline.topics.start()
    }
    this.#mode = 'running'
  }

  /** What others append is heard of, and when the store is another one than it was. */
  async #watchLog(): Promise<void> {
    const { store, transport } = this.#pipeline
    if (!store.leases) return
    this.#watch = await store.watch?.(({ head, lost }) => {
      if (lost) this.#onFatal(lost)
      else transport.advanced(head)
    })
  }

  isAlive(): boolean {
    return this.#mode !== 'closed'
  }

  readiness(): { readonly ready: boolean; readonly reasons: readonly string[] } {
    const { committer } = this.#pipeline
    const reasons: string[] = []
    if (this.#mode !== 'running') reasons.push(`it is ${this.#mode}`)
    if (committer.mode === 'failed')
      reasons.push('the store is not trusted any more; restart the process')
    else if (committer.lastError !== undefined) {
      reasons.push(`the store refuses: ${messageOf(committer.lastError)}`)
    }
    return { ready: reasons.length === 0, reasons }
  }

  async publish(draft: Draft): Promise<string> {
    this.#requireIntake()
    return (await this.#pipeline.inbox.publish(draft)).id
  }

  async publishMany(drafts: readonly Draft[]): Promise<readonly string[]> {
    this.#requireIntake()
    return (await this.#pipeline.inbox.publishMany(drafts)).map(({ id }) => id)
  }

  overview(): Promise<Overview> {
    return buildOverview({ ...this.#pipeline.overview, readiness: () => this.readiness() })
  }

  consumers(): Promise<readonly ConsumerStatus[]> {
    return consumerStatuses({ ...this.#pipeline.overview, readiness: () => this.readiness() })
  }

  outboxes(): Promise<readonly OutboxView[]> {
    return this.#pipeline.relays.views()
  }

  topics(): Promise<readonly TopicView[]> {
    return Promise.resolve(this.#pipeline.topics.views())
  }

  expectations(): Promise<readonly ExpectationView[]> {
    return this.#pipeline.expectations.views()
  }

  expectationKeys(
    name: string,
    query: ExpectationKeyQuery,
  ): Promise<Page<ExpectationKeyView> | undefined> {
    return this.#pipeline.expectations.keys(name, query)
  }

  flows(): Promise<readonly FlowView[]> {
    return this.#pipeline.expectations.flows()
  }

  schedules(): Promise<readonly ScheduleView[]> {
    return this.#pipeline.schedules.views()
  }

  messages(query: MessageQuery): Promise<MessagePage> {
    return this.#pipeline.views.search(query)
  }

  message(id: string): Promise<MessageView | undefined> {
    return this.#pipeline.views.find(id)
  }

  deadLetters(query: DeadLetterQuery): Promise<Page<DeadLetterRow>> {
    return this.#pipeline.deadLetters.list(query)
  }

  deadLetterGroups(): Promise<readonly DeadLetterGroup[]> {
    return this.#pipeline.deadLetters.groups()
  }

  differences(): readonly string[] {
    const { store, link, links } = this.#pipeline
    const bridges = links.filter((one) => one !== link)
    const records = recordedContracts(this.integration)
    return describeEngines(store.features, { link, bridges, records })
  }

  async deadLetter(id: string): Promise<DeadLetterView | undefined> {
    const { store, views } = this.#pipeline
    const row = await store.row('deadLetters', id)
    if (!row) return undefined
    const successors = row.parked
      ? await store.count({
          collection: 'successors',
          index: 'byLane',
          where: [`${row.consumer}\n${row.key}`],
        })
      : 0
    const consumer = row.stage === 'handler' ? row.consumer : undefined
    return { ...row, successors, payload: await views.payloadAt(row.position, consumer) }
  }

  invalid(query: InvalidQuery): Promise<Page<InvalidView>> {
    return this.#pipeline.invalid.list(query)
  }

  invalidGroups(): Promise<readonly InvalidGroup[]> {
    return this.#pipeline.invalid.groups()
  }

  invalidOne(id: string): Promise<InvalidView | undefined> {
    return this.#pipeline.invalid.one(id)
  }

  alerts(query: PageQuery & { readonly state?: AlertView['state'] }): Promise<Page<AlertView>> {
    const scan = {
      collection: 'alerts',
      index: 'byState',
      where: query.state === undefined ? [] : [query.state],
      reverse: true,
    } as const
    return pageOf(this.#pipeline.store, scan, { query, view: ({ row }) => row })
  }

  async replays(query: PageQuery): Promise<Page<ReplayView>> {
    const scan = { collection: 'replays', reverse: true } as const
    const { store, replays } = this.#pipeline
    const page = await pageOf(store, scan, { query, view: ({ row }) => row })
    return { ...page, items: await Promise.all(page.items.map((row) => replays.withParts(row))) }
  }

  async replay(id: string): Promise<ReplayView | undefined> {
    const { store, replays } = this.#pipeline
    const row = await store.row('replays', id)
    if (!row) return undefined
    const waitsFor = await replayWaits({ store, integration: this.integration }, row)
    return { ...(await replays.withParts(row)), ...(waitsFor.length > 0 && { waitsFor }) }
  }

  sagaSummaries(): Promise<readonly SagaSummary[]> {
    return this.#pipeline.sagaDesk.summaries()
  }

  sagas(query: SagaQuery): Promise<Page<SagaRunView>> {
    return this.#pipeline.sagaDesk.list(query)
  }

  sagaRun(saga: string, key: string): Promise<SagaRunView | undefined> {
    return this.#pipeline.sagaDesk.find(saga, key)
  }

  operations(query: PageQuery): Promise<Page<OperationView>> {
    const scan = { collection: 'operations', index: 'byTime', reverse: true } as const
    const { store, sagaDesk } = this.#pipeline
    return pageOf(store, scan, { query, view: ({ row }) => sagaDesk.masked(row) })
  }

  async operate(command: OperationCommand, by: Operator): Promise<OperationResult> {
    this.#requireIntake()
    return this.#operations.operate(command, by)
  }

  async announce(managementUrl: string): Promise<void> {
    await this.#worker?.announce(managementUrl)
    await this.#relayKeeper?.announce(managementUrl)
  }

  async #perform(command: OperationCommand, by: Operator): Promise<unknown> {
    const { deadLetters, replays, invalid, alerts, committer, store, requests } = this.#pipeline
    switch (command.kind) {
      case 'dead-letter.retry':
        return deadLetters.retryMany(command)
      case 'dead-letter.drop':
        return deadLetters.dropMany(command, by.actor)
      case 'replay.plan':
      case 'replay.run':
      case 'replay.pause':
      case 'replay.resume':
      case 'replay.abort':
        return replays.handle(command, by.actor, by.reason)
      case 'invalid.readmit':
        return invalid.readmit(command)
      case 'invalid.drop':
        return invalid.drop(command)
      case 'alert.acknowledge': {
        // Another process may have raised it.
        if (store.leases) await alerts.load()
        const rows = alerts.acknowledge(command.id)
        if (!rows)
          throw new JuncturaError('JUNCTURA_NOT_FOUND', {
            details: { what: 'open alert', id: command.id },
          })
        await offerRows({ committer, kernel: this.kernel }, rows)
        await requests.ring()
        return { id: command.id }
      }
      case 'expectation.settle':
        return {
          settled: await this.#pipeline.expectations.settle(command.name, command.key),
        }
      case 'saga.cancel':
      case 'saga.terminate':
      case 'saga.pause':
      case 'saga.resume':
      case 'saga.retry-step':
      case 'saga.skip-step':
      case 'saga.edit-step':
      case 'saga.signal':
      case 'saga.start':
      case 'saga.plan':
      case 'saga.run-plan':
        return this.#pipeline.sagaDesk.operate(command, by)
      case 'consumer.pause':
        return this.#pause(command.name, by)
      case 'consumer.resume':
        return this.#resume(command.name)
      case 'consumer.retire':
        return this.#retire(command.name)
    }
  }

  /** What of a consumer runs here. */
  #runnersOf(name: string): readonly ConsumerRunner[] {
    const isDeclared = this.integration.consumers.some((consumer) => consumer.name === name)
    if (!isDeclared) {
      throw new JuncturaError('JUNCTURA_NOT_FOUND', { details: { what: 'consumer', id: name } })
    }
    const all = [...this.#pipeline.runners.values()]
    return all.filter(({ consumer }) => consumer.name === name)
  }

  /** A pause outlives the process: whoever paused resumes. Others who run a part of it hear it. */
  async #pause(name: string, by: Operator): Promise<unknown> {
    const runners = this.#runnersOf(name)
    const value = { actor: by.actor, atMs: this.kernel.clock.now() }
    await this.#write({ collection: 'meta', key: pausedKey(name), row: { value } })
    for (const runner of runners) runner.pause()
    await this.#pipeline.requests.ring()
    return { paused: name }
  }

  async #resume(name: string): Promise<unknown> {
    const runners = this.#runnersOf(name)
    await this.#write({ collection: 'meta', key: pausedKey(name), row: undefined })
    for (const runner of runners) runner.resume()
    await this.#pipeline.requests.ring()
    return { resumed: name }
  }

  async #write(row: RowWrite): Promise<void> {
    const outcome = await this.#pipeline.committer.submit({ rows: [row], isInternal: true })
    if (outcome.status === 'failed') throw outcome.error
  }

  async #retire(name: string): Promise<unknown> {
    const { store, committer, deadLetters, alerts } = this.#pipeline
    if (this.integration.consumers.some((consumer) => consumer.name === name)) {
      throw refused(`consumer ${name} is declared and runs`, 'take it out of the integration first')
    }
    const taken = await leaseConsumer(store, name)
    try {
      const retired = await retireConsumer({ store, committer, clock: this.kernel.clock }, name)
      if (retired.removed === 0) {
        throw new JuncturaError('JUNCTURA_NOT_FOUND', { details: { what: 'consumer', id: name } })
      }
      for (const cause of retired.causes) await deadLetters.settled(cause)
      const stopped = [...alerts.all()]
        .map(({ cause }) => cause)
        .filter((cause) => cause.startsWith(stoppedCause(`${name}/`)))
      const causes = [stoppedCause(name), ...stopped, outageCause(name)]
      const rows = causes.flatMap((cause) => alerts.resolve(cause))
      await offerRows({ committer, kernel: this.kernel }, rows)
      return { removed: retired.removed }
    } finally {
      for (const lease of taken.toReversed()) await lease.release()
    }
  }

  async idle(): Promise<void> {
    const runners = [...this.#pipeline.runners.values()]
    await Promise.all([this.#pipeline.relays.idle(), this.#pipeline.topics.idle()])
    // One consumer's emits are another one's work: all must be idle at the same moment.
    while (!runners.every((runner) => runner.isIdle)) {
      for (const runner of runners) await runner.idle()
    }
    await this.#pipeline.expectations.idle()
  }

  drain(options: DrainOptions = {}): Promise<void> {
    this.#draining ??= this.#drain(options)
    return this.#draining
  }

  async #drain({ closeIntake, graceMs = GRACE_MS_DEFAULT }: DrainOptions): Promise<void> {
    this.#mode = 'draining'
    const { log, clock } = this.kernel
    try {
      await closeIntake?.()
    } catch (error) {
      log.error({ problem: messageOf(error) }, 'the intake could not be closed; the drain goes on')
    }
    this.#mode = 'stopping'
    const { notifier, relays, topics } = this.#pipeline
    const answered = new AbortController()
    const drained = this.ingress.drain().then(() => answered.abort())
    await Promise.race([drained, sleep(clock, graceMs, answered.signal)])
    await this.#worker?.close(graceMs)
    await this.#relayKeeper?.close()
    await this.#watch?.close()
    await relays.close()
    await topics.close()
    await notifier.close()
    this.#mode = 'drained'
  }

  close(graceMs: number = GRACE_MS_DEFAULT): Promise<void> {
    this.#closing ??= this.#close(graceMs)
    return this.#closing
  }

  async #close(graceMs: number): Promise<void> {
    await this.drain({ graceMs })
    const { inbox, committer, transport, store, links, pushes, records, sagas } = this.#pipeline
    pushes.close()
    sagas.close()
    if (committer.mode === 'open') await inbox.close()
    await records?.close()
    for (const link of links) await link.close()
    await committer.close()
    await transport.close()
    await store.close()
    this.#mode = 'closed'
  }

  /** What came too late has to come again elsewhere, or after the next start. */
  #requireIntake(): void {
    if (this.#mode === 'starting' || this.#mode === 'running' || this.#mode === 'draining') return
    throw new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'This runtime' } })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
