import type { AlertRoute, Integration } from '../contract/index.ts'
import { createContractBook, type ShelfReadmission } from '../inbox/index.ts'
import { type Kernel, messageOf } from '../kernel/index.ts'
import { METRICS, type Metrics } from '../observe/index.ts'
import {
  createReadmission,
  createTopicRelay,
  openTopic,
  type TopicRelay,
  type TopicRelayOptions,
} from '../source/index.ts'
import type { Committer, RowWrite, Store } from '../store/index.ts'
import type { RecordLog } from '../transport/index.ts'
import type { AlertBook } from './alert-book.ts'
import type { EventHub } from './events.ts'
import { offerRows } from './offer-rows.ts'
import type { TopicView } from './views.ts'

export interface TopicsOptions {
  readonly integration: Integration
  readonly kernel: Kernel
  readonly store: Store
  readonly committer: Committer
  readonly metrics: Metrics
  readonly events: EventHub
  readonly alerts: AlertBook
  /** Where the record of some contracts is the broker. */
  readonly records?: RecordLog | undefined
}

/** The relays of all topics of others, each on connections of its own. */
export interface Topics {
  /** Reads what was kept as invalid once more, by today's contracts. */
  readonly readmission: ShelfReadmission
  start(): void
  views(): readonly TopicView[]
  idle(): Promise<void>
  close(): Promise<void>
}

const LOG_ROUTE: AlertRoute = { kind: 'log' }

export const createTopics = (options: TopicsOptions): Topics => {
  const { integration, kernel, alerts, metrics } = options
  const book = createContractBook(
    integration.topics.flatMap(({ accepts }) => accepts),
    options.records?.dataBytesMax,
  )
  const offer = (rows: readonly RowWrite[]): void => {
    offerRows(options, rows).catch((error: unknown) => {
      kernel.log.warn({ problem: messageOf(error) }, 'an alert of a topic could not be written')
    })
  }
  const relays = integration.topics.map((source) =>
    createTopicRelay({
      ...options,
      source,
      book,
      offer,
      open: () => openTopic(source, kernel),
      raiseAlert: ({ source: { owner }, ...alert }) =>
        alerts.raise({ ...alert, owner, target: owner.oncall ?? LOG_ROUTE }),
      resolveAlert: (cause) => alerts.resolve(cause),
      ...createTellers(options, source.name),
    }),
  )
  observe(metrics, relays)
  return {
    readmission: createReadmission({ ...options, book, topics: integration.topics }),
    start: () => {
      for (const relay of relays) relay.start()
    },
    views: () => relays.map(viewOf),
    idle: async () => {
      await Promise.all(relays.map((relay) => relay.idle()))
    },
    close: async () => {
      await Promise.all(relays.map((relay) => relay.close()))
    },
  }
}

const viewOf = (relay: TopicRelay): TopicView => {
  const { engine, resource, accepts } = relay.source
  return { ...relay.status(), engine, resource, accepts: accepts.map(({ name }) => name) }
}

function observe(metrics: Metrics, relays: readonly TopicRelay[]): void {
  metrics.observe(METRICS.topicUp, () =>
    relays.map((relay) => {
      const { name, state } = relay.status()
      return { labels: { topic: name }, value: state === 'running' ? 1 : 0 }
    }),
  )
  metrics.observe(METRICS.topicLag, () =>
    relays.flatMap((relay) => {
      const { name, lag } = relay.status()
      // What is not known is no zero.
      return lag === undefined ? [] : [{ labels: { topic: name }, value: lag }]
    }),
  )
}

/** Counts what was moved, and shows it in the live view as what was published is. */
function createTellers(
  { metrics, events }: TopicsOptions,
  topic: string,
): Pick<TopicRelayOptions, 'onMoved' | 'onLost'> {
  const moved = metrics.counter(METRICS.topicMoved).with({ topic })
  const invalid = metrics.counter(METRICS.topicInvalid).with({ topic })
  const repeats = metrics.counter(METRICS.topicRepeats).with({ topic })
  const lost = metrics.counter(METRICS.topicLost).with({ topic })
  return {
    onMoved: (batch) => {
      moved.add(batch.appends.length)
      if (batch.invalid > 0) invalid.add(batch.invalid)
      if (batch.repeats > 0) repeats.add(batch.repeats)
      for (const { record } of batch.appends) {
        if (!record) continue
        const { id, type, partitionkey } = record.head.envelope
        events.publish({ kind: 'published', messageId: id, type, key: partitionkey })
      }
    },
    onLost: ({ kind, offsets }) => {
      if (kind === 'retention') lost.add(offsets)
    },
  }
}
