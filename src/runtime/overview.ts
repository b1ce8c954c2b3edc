import type { ConsumerRunner } from '../consumer/index.ts'
import type { Integration } from '../contract/index.ts'
import type { Inbox } from '../inbox/index.ts'
import type { Kernel } from '../kernel/index.ts'
import { type Health, histogramOf, METRICS, type Metrics } from '../observe/index.ts'
import type { Store } from '../store/index.ts'
import type { AlertBook } from './alert-book.ts'
import { type BrokerLink, channelId, channelIds } from './broker-link.ts'
import { consumerStatuses } from './consumer-statuses.ts'
import { type LeaseView, viewLeases } from './lease-names.ts'
import type { OpenLetters } from './open-letters.ts'
import { counterOf, quantileMs } from './read-metrics.ts'
import type {
  BrokerStatus,
  ConsumerStatus,
  Overview,
  PublisherStatus,
  WebhookStatus,
} from './views.ts'

export interface OverviewOptions {
  readonly kernel: Kernel
  readonly integration: Integration
  readonly store: Store
  readonly metrics: Metrics
  readonly health: Health
  readonly inbox: Pick<Inbox, 'repeatsOf'>
  readonly runners: ReadonlyMap<string, ConsumerRunner>
  readonly alerts: AlertBook
  readonly openLetters: OpenLetters
  readonly link: BrokerLink | undefined
  readonly links: readonly BrokerLink[]
  readonly lagOf: (runner: ConsumerRunner) => number
  readonly readiness: () => { readonly ready: boolean; readonly reasons: readonly string[] }
  readonly startedAtMs: number
  readonly version: string
}

export const buildOverview = async (options: OverviewOptions): Promise<Overview> => {
  const { kernel, integration, store, metrics, health, alerts } = options
  const figures = health.figures()
  const consumers = await consumerStatuses(options)
  const webhooks = await Promise.all(
    integration.webhooks.map((hook) => webhookStatus(options, hook)),
  )
  const { ready, reasons } = options.readiness()
  const notes = [...reasons, ...notesOf(options, consumers)]
  const ingress = histogramOf(metrics, METRICS.ingressLatency)
  const invalidOpen = await store.count({
    collection: 'invalid',
    index: 'byState',
    where: ['open'],
  })
  const deadLettersOpen = await store.count({
    collection: 'deadLetters',
    index: 'byState',
    where: ['open'],
  })
  return {
    name: integration.name,
    version: options.version,
    modelHash: integration.model.hash,
    startedAtMs: options.startedAtMs,
    nowMs: kernel.clock.now(),
    status: ready ? (notes.length > 0 ? 'degraded' : 'ok') : 'down',
    reasons: notes,
    health: {
      duplicateRate: figures.duplicateRatio ?? 0,
      deadLetters: deadLettersOpen,
      contractMismatchRate: figures.contractMismatchRatio ?? 0,
      consumerLatencyMsP50: figures.latencyMsP50 ?? null,
      consumerLatencyMsP99: figures.latencyMsP99 ?? null,
      correlationCoverage: figures.correlationRatio ?? 1,
    },
    accepted: sum(webhooks, (one) => one.accepted),
    duplicates: sum(webhooks, (one) => one.duplicates),
    refused: sum(webhooks, (one) => one.refused),
    invalidOpen,
    deadLettersOpen,
    alertsOpen: alerts.openCount(),
    ingressLatencyMsP50: quantileMs(ingress, 0.5),
    ingressLatencyMsP99: quantileMs(ingress, 0.99),
    consumers,
    webhooks,
    store: {
      engine: store.features.engine,
      durability: store.features.durability,
      unitOfOrder: store.features.unitOfOrder,
      headPosition: await store.headPosition(),
      sizeBytes: (await store.sizeBytes()) ?? null,
    },
    transport: await transportStatus(options),
  }
}

/** Alerts whose title says it. */
const NOTED_KINDS: ReadonlySet<string> = new Set([
  'newer-version',
  'expectation-missed',
  'expectation-stopped',
  'saga',
])

/** What keeps it from being well, one sentence each. */
function notesOf(options: OverviewOptions, consumers: readonly ConsumerStatus[]): string[] {
  const { link, links, alerts } = options
  return [
    ...links
      .filter(({ state }) => state?.connected === false)
      .map((one) =>
        one === link
          ? `the broker ${one.name} is away; consumers read the store`
          : `the bridge ${one.name} is away; what it misses is kept`,
      ),
    ...consumers
      .filter((one) => one.mode === 'stopped')
      .map((one) => `consumer ${one.name} is stopped`),
    ...consumers
      .filter((one) => one.mode === 'outage')
      .map((one) => `consumer ${one.name} fails on everything and tries one message at a time`),
    ...consumers
      .filter((one) => one.deadLettersOpen > 0)
      .map((one) => `${one.name} has ${one.deadLettersOpen} open dead letters`),
    ...[...alerts.all()].filter(({ kind }) => NOTED_KINDS.has(kind)).map(({ title }) => title),
    ...[...options.openLetters.transform]
      .filter(([, count]) => count > 0)
      .map(([name, count]) => `the transform of ${name} has ${count} open dead letters`),
  ]
}

const transportStatus = async (options: OverviewOptions): Promise<Overview['transport']> => {
  const { link, links, store } = options
  const names = { partitions: [], publishers: channelIds(links) }
  const isPublishing = store.leases !== undefined && links.length > 0
  const view = isPublishing ? await viewLeases(store.leases, names) : undefined
  const statusOf = (one: BrokerLink): Promise<BrokerStatus> => brokerStatus(one, view)
  const bridges = await Promise.all(links.filter((one) => one !== link).map(statusOf))
  if (link) return { ...(await statusOf(link)), bridges }
  const { durability, unitOfOrder } = store.features
  const engine = 'embedded'
  const none = { connected: null, unpublished: null, publishers: [] }
  return { name: engine, engine, ...none, durability, unitOfOrder, bridges }
}

async function brokerStatus(link: BrokerLink, view: LeaseView | undefined): Promise<BrokerStatus> {
  const { name, engine, state, broker } = link
  return {
    name,
    engine,
    connected: state?.connected ?? null,
    unpublished: await link.unpublished(),
    durability: broker?.features.durability ?? null,
    unitOfOrder: broker?.features.unitOfOrder ?? null,
    publishers: view ? link.channels.map((channel) => publisherOf(view, link, channel)) : [],
  }
}

function publisherOf(view: LeaseView, link: BrokerLink, channel: string): PublisherStatus {
  const owner = view.publishers.get(channelId(link, channel))?.owner
  const holder =
    owner === undefined ? undefined : (view.relays.get(owner) ?? view.workers.get(owner))
  return { channel, holder: owner ?? null, managementUrl: holder?.url ?? null }
}

async function webhookStatus(
  options: OverviewOptions,
  hook: Integration['webhooks'][number],
): Promise<WebhookStatus> {
  const { metrics, inbox } = options
  const labels = { webhook: hook.name }
  const repeats = await inbox.repeatsOf(hook.name)
  return {
    name: hook.name,
    path: hook.path,
    from: hook.from.name,
    accepted: counterOf(metrics, METRICS.accepted.name, labels),
    duplicates: counterOf(metrics, METRICS.duplicates.name, labels),
    refused: counterOf(metrics, METRICS.refused.name, labels),
    mismatches: counterOf(metrics, METRICS.contractMismatches.name, labels),
    repeats: {
      ids: repeats.messages.length,
      ...(repeats.longest && { longest: repeats.longest }),
    },
  }
}

const sum = <T>(items: readonly T[], read: (item: T) => number): number =>
  items.reduce((total, item) => total + read(item), 0)
