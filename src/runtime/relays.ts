import type { AlertRoute, Integration, OutboxSource } from '../contract/index.ts'
import { createContractBook, type ShelfReadmission } from '../inbox/index.ts'
import { type Kernel, messageOf } from '../kernel/index.ts'
import { METRICS, type Metrics } from '../observe/index.ts'
import {
  createOutboxReadmission,
  createRelay,
  openReader,
  type OutboxCursor,
  type OutboxReader,
  type Relay,
  type RelayMoved,
} from '../outbox/index.ts'
import type { Append, Committer, RowWrite, Store } from '../store/index.ts'
import type { RecordLog } from '../transport/index.ts'
import type { AlertBook } from './alert-book.ts'
import type { EventHub } from './events.ts'
import { offerRows } from './offer-rows.ts'
import type { OutboxView } from './views.ts'

/** Opens the database of an outbox for a relay that has come as far as the cursor says. */
export type OpenOutbox = (
  source: OutboxSource,
  kernel: Kernel,
  cursor: OutboxCursor,
) => Promise<OutboxReader>

export interface RelaysOptions {
  readonly integration: Integration
  readonly kernel: Kernel
  readonly store: Store
  readonly committer: Committer
  readonly metrics: Metrics
  readonly events: EventHub
  readonly alerts: AlertBook
  /** Where the record of some contracts is the broker. */
  readonly records?: RecordLog | undefined
  /** @default by the client of its engine */
  readonly openOutbox?: OpenOutbox
}

/** The relays of all outboxes, each on a connection of its own. */
export interface Relays {
  readonly all: ReadonlyMap<string, Relay>
  /** Reads what was kept as invalid once more, by today's contracts. */
  readonly readmission: ShelfReadmission
  start(): void
  views(): Promise<readonly OutboxView[]>
  idle(): Promise<void>
  close(): Promise<void>
}

const LOG_ROUTE: AlertRoute = { kind: 'log' }

export const createRelays = (options: RelaysOptions): Relays => {
  const { integration, kernel, alerts, metrics, openOutbox = openReader } = options
  const book = createContractBook(
    integration.outboxes.flatMap(({ accepts }) => accepts),
    options.records?.dataBytesMax,
  )
  const offer = (rows: readonly RowWrite[]): void => {
    offerRows(options, rows).catch((error: unknown) => {
      kernel.log.warn({ problem: messageOf(error) }, 'an alert of an outbox could not be written')
    })
  }
  const all = new Map(
    integration.outboxes.map((source) => {
      const relay = createRelay({
        ...options,
        source,
        book,
        offer,
        open: (cursor) => openOutbox(source, kernel, cursor),
        raiseAlert: ({ source: { owner }, ...alert }) =>
          alerts.raise({ ...alert, owner, target: owner.oncall ?? LOG_ROUTE }),
        resolveAlert: (cause) => alerts.resolve(cause),
        onMoved: createTeller(options, source.name),
      })
      return [source.name, relay] as const
    }),
  )
  metrics.observe(METRICS.outboxGaps, () =>
    [...all.values()].map((relay) => {
      const { name, gaps } = relay.status()
      return { labels: { outbox: name }, value: gaps }
    }),
  )
  metrics.observe(METRICS.outboxUp, () =>
    [...all.values()].map((relay) => {
      const { name, state } = relay.status()
      return { labels: { outbox: name }, value: state === 'running' ? 1 : 0 }
    }),
  )
  return {
    all,
    readmission: createOutboxReadmission({ ...options, book, outboxes: integration.outboxes }),
    start: () => {
      for (const relay of all.values()) relay.start()
    },
    views: () => Promise.all([...all.values()].map(viewOf)),
    idle: async () => {
      await Promise.all([...all.values()].map((relay) => relay.idle()))
    },
    close: async () => {
      await Promise.all([...all.values()].map((relay) => relay.close()))
    },
  }
}

async function viewOf(relay: Relay): Promise<OutboxView> {
  const { source } = relay
  const backlog = await relay.backlog()
  return {
    ...relay.status(),
    database: 'file' in source.database ? 'sqlite' : 'postgres',
    accepts: source.accepts.map(({ name }) => name),
    ...(backlog && { waiting: backlog.waiting, waitingIsMore: backlog.isMore }),
    ...(backlog?.oldestAtMs !== undefined && { oldestAtMs: backlog.oldestAtMs }),
  }
}

/** Counts what was moved, and shows it in the live view as what was published is. */
function createTeller(
  { metrics, events }: RelaysOptions,
  outbox: string,
): (moved: RelayMoved) => void {
  const moved = metrics.counter(METRICS.outboxMoved).with({ outbox })
  const invalid = metrics.counter(METRICS.outboxInvalid).with({ outbox })
  const lag = metrics.histogram(METRICS.outboxLag).with({ outbox })
  const tell = ({ record }: Append): void => {
    if (!record) return
    const { id, type, partitionkey } = record.head.envelope
    events.publish({ kind: 'published', messageId: id, type, key: partitionkey })
  }
  return (batch) => {
    moved.add(batch.appends.length)
    if (batch.invalid > 0) invalid.add(batch.invalid)
    lag.record(batch.lagMs / 1_000)
    for (const append of batch.appends) tell(append)
  }
}
