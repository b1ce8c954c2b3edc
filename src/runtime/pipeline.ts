import {
  type ConsumerPorts,
  type ConsumerProgressBook,
  type ConsumerRunner,
  createProgressBook,
  type ReplayedEvent,
} from '../consumer/index.ts'
import type { AlertRoute, Integration } from '../contract/index.ts'
import type { RouteKeeper, SagaEngine } from '../flow/index.ts'
import { type BorderAlert, createInbox, type Inbox } from '../inbox/index.ts'
import type { Ingress } from '../ingress/index.ts'
import { createSteadyClock, type Kernel, messageOf, type SteadyClock } from '../kernel/index.ts'
import {
  createContextTracer,
  createHealth,
  createMetrics,
  METRICS,
  type Metrics,
  type Tracer,
} from '../observe/index.ts'
import type { DevelopmentValue } from '../security/index.ts'
import {
  type Committer,
  createCommitter,
  createTimers,
  type Store,
  type Timers,
} from '../store/index.ts'
import type { LogTransport, RecordLog } from '../transport/index.ts'
import { type AlertBook, createAlertBook, type RaisedAlert } from './alert-book.ts'
import { createAlertDialer } from './alert-dialer.ts'
import { type AlertNotifier, createAlertNotifier } from './alert-notifier.ts'
import { type AttemptHistory, createAttemptHistory } from './attempt-history.ts'
import type { RuntimeOptions } from './create-runtime.ts'
import type { BrokerLink } from './broker-link.ts'
import type { DeadLetters } from './dead-letters.ts'
import { createEventHub } from './event-hub.ts'
import type { EventHub } from './events.ts'
import { createExpectations, type Expectations } from './expectations.ts'
import { registerGauges } from './gauges.ts'
import { createInvalidRequests, type InvalidRequests } from './invalid-requests.ts'
import { createMasks, type Masks } from './contract-masks.ts'
import { createAppendCounter } from './append-counter.ts'
import { createMessageViews, type MessageViews } from './message-views.ts'
import { createConsumerObserver } from './observers.ts'
import { offerRows } from './offer-rows.ts'
import type { OverviewOptions } from './overview.ts'
import { LetterBook, type OpenLetters } from './open-letters.ts'
import { openIngress } from './open-ingress.ts'
import { openLinks } from './open-links.ts'
import { openPushConsumers, type PushConsumers } from './push-consumers.ts'
import { recordFailOver } from './record-fail-over.ts'
import { recordRollback } from './record-rollback.ts'
import { recordStart } from './record-start.ts'
import { createRelays, type Relays } from './relays.ts'
import type { Replays } from './replays.ts'
import { createRetention, type Retention } from './retention.ts'
import { openSagaConsumers, type SagaConsumers } from './saga-consumers.ts'
import { createSagaDesk, type SagaDesk } from './saga-desk.ts'
import { openActs, type People } from './open-acts.ts'
import { type OpenPartitionOptions, stoppedTeller } from './open-partition.ts'
import type { Requests } from './requests.ts'
import { tellBorderEvent } from './tell-border-event.ts'
import { VERSION } from './version.ts'
import { createRoutes } from './routes.ts'
import { createSchedules, type Schedules } from './schedules.ts'
import { createTopics, type Topics } from './topics.ts'
import { createVolatileBus, type VolatileBus } from './volatile-bus.ts'

/**
 * The path of a message, in order:
 *
 * 1. `ingress` takes a request: size, route, rate, signature, time, parse, version, schema.
 * 2. `inbox` stores it and what the transform made of it, with its key, in one commit; then 2xx.
 *    `relays` bring what services emitted in their own transactions to the same log, and `topics`
 *    what other systems write into brokers.
 * 3. `committer` joins what came together into one transaction of the `store`.
 * 4. `transport` gives what was appended to the consumers, in order.
 * 5. `runners` run the handlers, one lane for each key; failure → retry → dead letter → alert.
 * 6. `deadLetters`, `replays` and `invalid` are what people do about it, through `operate`.
 *
 * Each stage below builds its part and hands on what the next ones need.
 */
export interface Pipeline extends Foundations, Alerting {
  readonly inbox: Inbox
  readonly ingress: Ingress
  /** Move what services wrote in their own databases into the log. */
  readonly relays: Relays
  /** Move what other systems write into topics into the log. */
  readonly topics: Topics
  /** Tell when a message that has to follow another does not come. */
  readonly expectations: Expectations
  readonly schedules: Schedules
  /** End groups whose time is over, and forget kept payloads. */
  readonly routes: RouteKeeper
  /** Runs the functions of sagas, one record of a run at a time. */
  readonly sagas: SagaEngine
  readonly sagaDesk: SagaDesk
  readonly pushes: Pick<PushConsumers, 'close'>
  /** Secrets that stand in for unset variables, to be printed. */
  readonly developmentSecrets: readonly DevelopmentValue[]
  /** What of the consumers runs here, by the id of the partition; it comes and goes. */
  readonly runners: Map<string, ConsumerRunner>
  readonly consumers: OpenPartitionOptions
  readonly letters: LetterBook
  /** Whether what one worker does for all of a shared store is done here. */
  readonly duties: { areHere: boolean }
  readonly requests: Requests
  readonly deadLetters: DeadLetters
  readonly replays: Replays
  readonly views: MessageViews
  readonly invalid: InvalidRequests
  readonly retention: Retention
  readonly overview: Omit<OverviewOptions, 'readiness'>
}

export type Opened = RuntimeOptions & { readonly kernel: Kernel; readonly store: Store }

export const buildPipeline = async (declared: Integration, options: Opened): Promise<Pipeline> => {
  const flows = openSagaConsumers(declared)
  const { integration, ...pushes } = await openPushConsumers(flows.integration, options)
  // Filled with what this process runs of the consumers.
  const runners = new Map<string, ConsumerRunner>()
  const base = await layFoundations(integration, options)
  try {
    return await buildStages(base, options, { runners, pushes, flows })
  } catch (error) {
    // A broker that is a record is open by now.
    await base.records?.close()
    for (const link of base.links) await link.close()
    throw error
  }
}

async function buildStages(
  base: Foundations,
  options: Opened,
  parts: {
    readonly runners: Map<string, ConsumerRunner>
    readonly pushes: Omit<PushConsumers, 'integration'>
    readonly flows: SagaConsumers
  },
): Promise<Pipeline> {
  const { runners, pushes, flows } = parts
  const { integration } = base
  const duties = { areHere: false }
  const alerting = await openAlerting(base, options, () => !base.store.leases || duties.areHere)
  const letters = new LetterBook()
  await recordRollback({ ...base, ...alerting })
  await recordFailOver({ ...base, ...alerting })
  const inbox = openInbox(base, alerting, letters)
  const sagas = flows.bind({ ...base, ...alerting, inbox, options })
  const people: People = {}
  const ports = consumerPorts(base, alerting, {
    inbox,
    readData: pushes.readData,
    onGivenUp: flows.onGivenUp,
    letters,
    onResolved: (cause) => people.deadLetters?.settled(cause),
    onReplayed: (event) => people.replays?.settled(event),
  })
  const consumers = { ports, book: base.book, onStopped: stoppedTeller(base, ports) }
  const webhooks = integration.webhooks.map(({ name }) => name)
  await letters.load(base.store, { consumers: [], webhooks })
  const acts = openActs(base, alerting, { people, inbox, letters, runners, duties })
  const { deadLetters } = acts
  const views = createMessageViews({ ...base, runners })
  const topics = createTopics({ ...base, ...alerting })
  const expectations = createExpectations({ ...base, ...alerting })
  const routes = createRoutes({ ...base, ...alerting, inbox, runners })
  const schedules = createSchedules({ ...base, ...alerting, inbox })
  const relays = createRelays({ ...options, ...base, ...alerting })
  const shelves = [topics.readmission, relays.readmission]
  const invalid = createInvalidRequests({ ...base, inbox, shelves })
  const retention = openRetention(base, alerting, { runners, deadLetters, expectations, options })
  const border = await openIngress(base, { inbox, views, options, pushes })
  const overview = openOverview(base, alerting, { inbox, runners, letters })
  return {
    ...base,
    ...alerting,
    ...acts,
    inbox,
    sagas,
    sagaDesk: createSagaDesk({ ...base, inbox, sagas }),
    ...border,
    relays,
    topics,
    expectations,
    schedules,
    routes,
    runners,
    consumers,
    letters,
    duties,
    views,
    invalid,
    retention,
    overview,
  }
}

export interface Foundations {
  readonly integration: Integration
  readonly kernel: Kernel
  readonly steady: SteadyClock
  readonly store: Store
  readonly metrics: Metrics
  readonly events: EventHub
  readonly tracer: Tracer
  readonly history: AttemptHistory
  readonly masks: Masks
  readonly transport: LogTransport
  /** Where a broker stands between the log and the consumers. */
  readonly link: BrokerLink | undefined
  /** Every broker: those that are given everything as well, then that of the transport. */
  readonly links: readonly BrokerLink[]
  /** Where the record of some contracts is the broker. */
  readonly records: RecordLog | undefined
  readonly book: ConsumerProgressBook
  readonly committer: Committer
  readonly volatile: VolatileBus
  readonly timers: Timers
  readonly epoch: number
  readonly startedAtMs: number
}

/** The store is migrated, the log can be read and written, this start has its number. */
export async function layFoundations(declared: Integration, options: Opened): Promise<Foundations> {
  const { kernel, store } = options
  const metrics = createMetrics(kernel.clock)
  await store.migrate(declared.tables)
  const opened = await openLinks(declared, { ...options, metrics })
  const { link, links, transport, records, integration } = opened
  const book = createProgressBook()
  const units = metrics.histogram(METRICS.commitBatchSize).with({})
  const duration = metrics.histogram(METRICS.commitDuration).with({})
  const countAppended = createAppendCounter(metrics)
  const volatile = createVolatileBus()
  const committer = createCommitter({
    store,
    clock: kernel.clock,
    log: kernel.log,
    progress: book,
    onAppended: (appended) => {
      transport.appended(appended)
      countAppended(appended)
    },
    onVolatile: (messages) => volatile.offer(messages),
    onCommit: (count, durationMs) => {
      units.record(count)
      duration.record(durationMs / 1_000)
    },
    onFailed: (error) => options.onFatal?.(error),
  })
  const epoch = await recordStart(integration, { store, kernel, committer })
  const steady = createSteadyClock(kernel.clock)
  return {
    integration,
    kernel,
    steady,
    store,
    metrics,
    events: createEventHub(kernel),
    tracer: options.tracer ?? createContextTracer(kernel.random),
    history: createAttemptHistory(kernel.clock),
    masks: createMasks(integration),
    transport,
    link,
    links,
    records,
    book,
    committer,
    volatile,
    timers: createTimers({ store, clock: kernel.clock, steady, log: kernel.log }),
    epoch,
    startedAtMs: kernel.clock.now(),
  }
}

export interface Alerting {
  readonly alerts: AlertBook
  readonly notifier: AlertNotifier
}

export async function openAlerting(
  base: Foundations,
  options: Opened,
  tellsAll: () => boolean,
): Promise<Alerting> {
  const { store, kernel, committer, events, metrics } = base
  const pokes: (() => void)[] = []
  const alerts = createAlertBook({
    store,
    kernel,
    tellsAll,
    onChange: ({ id, state, title, count }, owes) => {
      if (!owes) return
      events.publish({ kind: 'alert', alertId: id, state, title, count })
      for (const poke of pokes) poke()
    },
  })
  await alerts.load()
  const sent = metrics.counter(METRICS.alertNotifications)
  const notifier = createAlertNotifier({
    book: alerts,
    store,
    committer,
    kernel,
    send: options.send ?? createAlertDialer(kernel),
    onSent: (kind, outcome) => sent.with({ kind, outcome }).add(),
  })
  pokes.push(() => notifier.poke())
  return { alerts, notifier }
}

function openInbox(base: Foundations, { alerts }: Alerting, letters: LetterBook): Inbox {
  return createInbox({
    ...base,
    modelHash: base.integration.model.hash,
    raiseAlert: (alert) => alerts.raise(borderAlert(alert)),
    maskText: (contract, text, data) => base.masks.of(contract.name).text(text, data),
    onEvent: (event) => {
      if (event.kind === 'transform-failed') {
        letters.add({ stage: 'transform', consumer: event.webhook }, 1)
      }
      tellBorderEvent(base.events)(event)
    },
  })
}

const borderAlert = (alert: BorderAlert): RaisedAlert => ({
  ...alert,
  target: alert.owner?.oncall ?? LOG_ROUTE,
})

const LOG_ROUTE: AlertRoute = { kind: 'log' }

function consumerPorts(
  base: Foundations,
  { alerts }: Alerting,
  parts: {
    readonly inbox: Inbox
    readonly readData: ConsumerPorts['readData']
    readonly onGivenUp: NonNullable<ConsumerPorts['onGivenUp']>
    readonly letters: LetterBook
    readonly onResolved: (cause: string) => Promise<void> | undefined
    readonly onReplayed: (event: ReplayedEvent) => void
  },
): ConsumerPorts {
  const { kernel, metrics, events, tracer, integration, history } = base
  const { inbox, letters } = parts
  const settle = (cause: string): void => {
    parts.onResolved(cause)?.catch((error: unknown) => {
      kernel.log.warn({ problem: messageOf(error) }, 'an alert could not be resolved yet')
    })
  }
  return {
    ...base,
    readData: parts.readData,
    onGivenUp: parts.onGivenUp,
    prepareEmit: (draft, by) => inbox.emitAppend(draft, by),
    messageIdAt: (position) => inbox.messageIdAt(position),
    raiseAlert: ({ kind, cause, title, consumer, atMs }) =>
      alerts.raise({
        kind,
        cause,
        title,
        owner: consumer.deadLetter?.owner ?? consumer.owner,
        target: consumer.deadLetter?.alert ?? LOG_ROUTE,
        severity: 'critical',
        atMs,
      }),
    resolveAlert: (cause) => alerts.resolve(cause),
    loadAlerts: () => alerts.load(),
    openAlerts: (cause) => alerts.countOf(cause),
    maskText: (consumer, text, data) => base.masks.of(consumer.on.name).text(text, data),
    observer: createConsumerObserver({
      kernel,
      metrics,
      events,
      tracer,
      integration,
      history,
      onDeadLetter: (consumer, previousCause) => {
        if (previousCause === undefined) letters.add({ stage: 'handler', consumer }, 1)
        else settle(previousCause)
      },
      onReplayed: parts.onReplayed,
      onLetterResolved: (letter) => {
        letters.add(letter, -1)
        settle(letter.cause)
      },
    }),
    modelHash: integration.model.hash,
  }
}

function openRetention(
  base: Foundations,
  { alerts, notifier }: Alerting,
  parts: {
    readonly runners: ReadonlyMap<string, ConsumerRunner>
    readonly deadLetters: DeadLetters
    readonly expectations: Expectations
    readonly options: Opened
  },
): Retention {
  const { kernel, committer, metrics } = base
  const { archive } = parts.options
  const expired = metrics.counter(METRICS.expired)
  return createRetention({
    ...base,
    runners: parts.runners,
    expectations: parts.expectations,
    ...(archive && { archive }),
    tidyAlerts: async () => {
      await parts.deadLetters.settleLate()
      await parts.expectations.tidy()
      const rows = [...(await alerts.reconcile()), ...alerts.resolveQuiet()]
      for (const { resource, problem, fix } of (await base.store.warnings?.()) ?? []) {
        const told = {
          kind: 'store-warning',
          cause: `store/${resource}`,
          title: `${problem}. ${fix}`,
        }
        const target = LOG_ROUTE
        const atMs = kernel.clock.now()
        rows.push(...alerts.raise({ ...told, owner: undefined, target, severity: 'warning', atMs }))
      }
      // What a process raised that died before it told.
      notifier.poke()
      return rows
    },
    onExpired: (count) => {
      expired.with({ consumer: 'all' }).add(count)
      const rows = alerts.raise({
        kind: 'expired',
        cause: 'retention/expired',
        title: `${count} messages that an exception still needed were dropped by retention`,
        owner: undefined,
        target: LOG_ROUTE,
        severity: 'critical',
        atMs: kernel.clock.now(),
      })
      void offerRows({ committer, kernel }, rows).catch(() => undefined)
    },
  })
}

function openOverview(
  base: Foundations,
  { alerts }: Alerting,
  parts: {
    readonly inbox: Inbox
    readonly runners: ReadonlyMap<string, ConsumerRunner>
    readonly letters: OpenLetters
  },
): Omit<OverviewOptions, 'readiness'> {
  const { kernel, metrics, transport, committer, integration } = base
  const { runners } = parts
  const lagOf = ({ progress, atHead, behind }: ConsumerRunner): number =>
    behind !== undefined
      ? progress.unfinished + behind
      : atHead
        ? progress.unfinished
        : Math.max(0, transport.head - progress.watermark)
  const openLetters = parts.letters
  const { links } = base
  registerGauges({ metrics, kernel, runners, committer, alerts, lagOf, openLetters, links })
  const model = integration.model.hash.slice(0, 12)
  metrics.gauge(METRICS.build).with({ version: VERSION, model }).set(1)
  return {
    ...base,
    inbox: parts.inbox,
    runners,
    alerts,
    openLetters,
    lagOf,
    health: createHealth({ metrics, clock: kernel.clock }),
    version: VERSION,
  }
}
