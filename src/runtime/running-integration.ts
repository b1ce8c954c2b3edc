import { type ConsumerRunner, outageCause, readNewerVersionCause } from '../consumer/index.ts'
import type { Draft, Integration, Model } from '../contract/index.ts'
import type { Ingress } from '../ingress/index.ts'
import { JuncturaError, type Kernel, messageOf, sleep } from '../kernel/index.ts'
import type { Metrics } from '../observe/index.ts'
import type { DeadLetterRow, RowWrite, StoreWatch } from '../store/index.ts'
import type { OperationCommand, OperationResult, Operator } from './commands.ts'
import { describeEngines } from './describe-engines.ts'
import type { EventHub } from './events.ts'
import { offerRows } from './offer-rows.ts'
import { createOperations, refused } from './operations.ts'
import { buildOverview, consumerStatuses } from './overview.ts'
import { pageOf } from './paging.ts'
import type { Pipeline } from './pipeline.ts'
import type { DrainOptions, Runtime } from './runtime-port.ts'
import { CONSUMERS_LEASE, type Role } from './roles.ts'
import { retireConsumer } from './start-consumers.ts'
import type {
  AlertView,
  ConsumerStatus,
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
  TopicView,
} from './views.ts'
import { createWorkerRole, type WorkerRole } from './worker-role.ts'

export interface RunningParts {
  readonly pipeline: Pipeline
  readonly roles: readonly Role[]
  /** Called when this process can no longer run the consumers and should be restarted. */
  readonly onFatal: (error: unknown) => void
}

const pausedKey = (consumer: string): string => `paused/${consumer}`

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
  readonly #parts: RunningParts
  readonly #pipeline: Pipeline
  readonly #operations: ReturnType<typeof createOperations>
  #mode: 'starting' | 'running' | 'draining' | 'stopping' | 'drained' | 'closed' = 'starting'
  /** Where the store is shared: who runs the consumers. */
  #worker: WorkerRole | undefined
  #watch: StoreWatch | undefined
  #draining: Promise<void> | undefined
  #closing: Promise<void> | undefined

  constructor(parts: RunningParts) {
    const { pipeline } = parts
    this.#parts = parts
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
    const { store, committer, kernel, events } = pipeline
    const handle = (command: OperationCommand, by: Operator): Promise<unknown> =>
      this.#perform(command, by)
    this.#operations = createOperations({ store, committer, kernel, events, handle })
  }

  async start(): Promise<void> {
    const { roles } = this
    const { pipeline, onFatal } = this.#parts
    const { leases } = pipeline.store
    if (roles.includes('worker') && leases) {
      const { kernel } = this
      this.#worker = createWorkerRole({ leases, kernel, activate: () => this.#work(), onFatal })
      // The relay of a broker has to hear of every message: then only one process takes any.
      await this.#worker.start({ untilActive: pipeline.link !== undefined })
    } else if (roles.includes('worker')) await this.#work()
    this.#mode = 'running'
  }

  /** Brings the consumers to work, and what belongs to them. */
  async #work(): Promise<void> {
    const { runners, timers, retention, replays, notifier, deadLetters } = this.#pipeline
    const { alerts, committer, link, relays, store, topics, transport } = this.#pipeline
    await this.#pipeline.loadConsumers()
    this.#watch = await store.watch?.(({ head }) => transport.advanced(head))
    await this.#applyPauses()
    await link?.start({ committer, alerts })
    // What was in flight runs alone, before anything else: if it kills the process, it is known.
    for (const runner of runners.values()) await runner.recover()
    // A consumer that had stopped runs again; should it stop again, that is a new alert.
    const rows = [...runners].flatMap(([name, { consumer }]) => [
      ...alerts.resolve(`stopped/${name}`),
      // One that no longer looks for outages could never say that it is over.
      ...(consumer.outage ? [] : alerts.resolve(outageCause(name))),
    ])
    rows.push(...[...alerts.all()].flatMap(({ cause }) => this.#knownNow(cause)))
    await offerRows({ committer, kernel: this.kernel }, rows)
    for (const runner of runners.values()) runner.start()
    await timers.start()
    retention.start()
    relays.start()
    topics.start()
    await replays.resumeAll()
    await deadLetters.settleAll()
    notifier.poke()
  }

  /** Resolves the alert of a contract version that the last code did not know and this one does. */
  #knownNow(cause: string): readonly RowWrite[] {
    const { alerts, runners } = this.#pipeline
    const told = readNewerVersionCause(cause)
    if (!told) return []
    const on = runners.get(told.consumer)?.consumer.on
    const isUnknown = on?.name === told.type && on.latest < told.version
    return isUnknown ? [] : alerts.resolve(cause)
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
    const { store, link } = this.#pipeline
    return describeEngines(store.features, link && { engine: link.engine, broker: link.broker })
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
    return { ...row, successors, payload: await views.payloadAt(row.position) }
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

  replays(query: PageQuery): Promise<Page<ReplayView>> {
    const scan = { collection: 'replays', reverse: true } as const
    return pageOf(this.#pipeline.store, scan, { query, view: ({ row }) => row })
  }

  replay(id: string): Promise<ReplayView | undefined> {
    return this.#pipeline.store.row('replays', id)
  }

  operations(query: PageQuery): Promise<Page<OperationView>> {
    const scan = { collection: 'operations', index: 'byTime', reverse: true } as const
    return pageOf(this.#pipeline.store, scan, { query, view: ({ row }) => row })
  }

  async operate(command: OperationCommand, by: Operator): Promise<OperationResult> {
    this.#requireIntake()
    await this.#requireHere(command)
    return this.#operations.operate(command, by)
  }

  async announce(managementUrl: string): Promise<void> {
    await this.#worker?.announce(managementUrl)
  }

  /** What the consumers have in memory can only be changed where they run. */
  async #requireHere({ kind }: OperationCommand): Promise<void> {
    const { store } = this.#pipeline
    const isHere = this.#worker ? this.#worker.isActive : !store.leases
    if (isHere || kind === 'invalid.readmit' || kind === 'invalid.drop') return
    const holder = await store.leases?.holder(CONSUMERS_LEASE)
    const at = holder?.url === undefined ? '' : ` at ${holder.url}`
    const where = holder ? `${holder.owner}${at} does` : 'No process does at the moment'
    const fix = holder?.url === undefined ? undefined : `Use --management-url ${holder.url}`
    throw new JuncturaError('JUNCTURA_ROLE_ELSEWHERE', {
      details: { command: kind, where, ...(fix !== undefined && { fix }) },
    })
  }

  async #perform(command: OperationCommand, by: Operator): Promise<unknown> {
    const { deadLetters, replays, invalid, alerts, committer } = this.#pipeline
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
        const rows = alerts.acknowledge(command.id)
        if (!rows)
          throw new JuncturaError('JUNCTURA_NOT_FOUND', {
            details: { what: 'open alert', id: command.id },
          })
        await offerRows({ committer, kernel: this.kernel }, rows)
        return { id: command.id }
      }
      case 'consumer.pause':
        return this.#pause(this.#consumer(command.name), by)
      case 'consumer.resume':
        return this.#resume(this.#consumer(command.name))
      case 'consumer.retire':
        return this.#retire(command.name)
    }
  }

  #consumer(name: string): ConsumerRunner {
    const runner = this.#pipeline.runners.get(name)
    if (runner) return runner
    throw new JuncturaError('JUNCTURA_NOT_FOUND', { details: { what: 'consumer', id: name } })
  }

  /** A pause outlives the process: whoever paused resumes. */
  async #pause(runner: ConsumerRunner, by: Operator): Promise<unknown> {
    const { name } = runner.consumer
    const value = { actor: by.actor, atMs: this.kernel.clock.now() }
    await this.#write({ collection: 'meta', key: pausedKey(name), row: { value } })
    runner.pause()
    return { paused: name }
  }

  async #resume(runner: ConsumerRunner): Promise<unknown> {
    const { name } = runner.consumer
    await this.#write({ collection: 'meta', key: pausedKey(name), row: undefined })
    runner.resume()
    return { resumed: name }
  }

  async #applyPauses(): Promise<void> {
    const { runners, store } = this.#pipeline
    for (const [name, runner] of runners) {
      if (await store.row('meta', pausedKey(name))) runner.pause()
    }
  }

  async #write(row: RowWrite): Promise<void> {
    const outcome = await this.#pipeline.committer.submit({ rows: [row], isInternal: true })
    if (outcome.status === 'failed') throw outcome.error
  }

  async #retire(name: string): Promise<unknown> {
    const { runners, store, committer } = this.#pipeline
    if (runners.has(name)) {
      throw refused(`consumer ${name} is declared and runs`, 'take it out of the integration first')
    }
    const retired = await retireConsumer({ store, committer, clock: this.kernel.clock }, name)
    if (retired.removed === 0) {
      throw new JuncturaError('JUNCTURA_NOT_FOUND', { details: { what: 'consumer', id: name } })
    }
    for (const cause of retired.causes) await this.#pipeline.deadLetters.settled(cause)
    const causes = [`stopped/${name}`, outageCause(name)]
    const rows = causes.flatMap((cause) => this.#pipeline.alerts.resolve(cause))
    await offerRows({ committer, kernel: this.kernel }, rows)
    return { removed: retired.removed }
  }

  async idle(): Promise<void> {
    const runners = [...this.#pipeline.runners.values()]
    await Promise.all([this.#pipeline.relays.idle(), this.#pipeline.topics.idle()])
    // One consumer's emits are another one's work: all must be idle at the same moment.
    while (!runners.every((runner) => runner.isIdle)) {
      for (const runner of runners) await runner.idle()
    }
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
    const { runners, timers, retention, replays, notifier, relays, topics } = this.#pipeline
    const answered = new AbortController()
    const drained = this.ingress.drain().then(() => answered.abort())
    await Promise.race([drained, sleep(clock, graceMs, answered.signal)])
    await this.#worker?.close()
    await this.#watch?.close()
    await relays.close()
    await topics.close()
    await replays.close()
    await retention.close()
    await timers.close()
    await Promise.all([...runners.values()].map((runner) => runner.close(graceMs)))
    await notifier.close()
    this.#mode = 'drained'
  }

  close(graceMs: number = GRACE_MS_DEFAULT): Promise<void> {
    this.#closing ??= this.#close(graceMs)
    return this.#closing
  }

  async #close(graceMs: number): Promise<void> {
    await this.drain({ graceMs })
    const { inbox, committer, transport, store, link } = this.#pipeline
    if (committer.mode === 'open') await inbox.close()
    await link?.close()
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
