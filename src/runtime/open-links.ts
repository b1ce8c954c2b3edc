import type { Integration } from '../contract/index.ts'
import type { Kernel } from '../kernel/index.ts'
import type { Metrics } from '../observe/index.ts'
import type { Store } from '../store/index.ts'
import {
  type BrokeredTransport,
  createBrokeredTransport,
  createChannelRelays,
  createEmbeddedTransport,
  type LogTransport,
  type RecordLog,
  withRecords,
} from '../transport/index.ts'
import { type BrokerLink, createBrokerLink } from './broker-link.ts'
import { openRecords } from './open-records.ts'
import {
  type BridgeChoice,
  bridgeChannelsOf,
  brokerChannelsOf,
  brokerName,
  brokerOpener,
  checkTransportChoice,
  isBroker,
  type TransportChoice,
} from './open-transport.ts'

export interface LinkOptions {
  readonly store: Store
  readonly kernel: Kernel
  readonly metrics: Metrics
  readonly transport?: TransportChoice
  readonly bridges?: readonly BridgeChoice[]
}

export interface OpenedLinks {
  /** The same, as the broker divides its consumers. */
  readonly integration: Integration
  /** Where the record of some contracts is the broker. */
  readonly records: RecordLog | undefined
  readonly transport: LogTransport
  /** Where a broker stands between the log and the consumers. */
  readonly link: BrokerLink | undefined
  /** Every broker: those of the bridges, which read the transport, then that of the transport. */
  readonly links: readonly BrokerLink[]
}

/**
 * What carries messages from the log to the consumers, and the brokers that are given them as well;
 * no broker is opened yet.
 *
 * @throws JUNCTURA_TRANSPORT_REFUSED when the store cannot carry the transport.
 * @throws JUNCTURA_RECORD_REFUSED, JUNCTURA_TRANSPORT_UNAVAILABLE where the broker is a record.
 */
export const openLinks = async (
  integration: Integration,
  options: LinkOptions,
): Promise<OpenedLinks> => {
  const { store, kernel, metrics, bridges = [] } = options
  const opened: { records?: RecordLog } = {}
  const link = await linkTransport(integration, options, (channel) => {
    opened.records?.published(channel)
  })
  const log =
    link?.relays ??
    createEmbeddedTransport(store, await store.headPosition(), {
      isShared: store.features.multiProcess,
    })
  const engine = options.transport?.engine ?? 'embedded'
  const { log: records, integration: divided } = await openRecords(integration, {
    link,
    engine,
    kernel,
    metrics,
  })
  if (records) opened.records = records
  const transport = records ? withRecords(log, records) : log
  const links: BrokerLink[] = []
  for (const choice of bridges) {
    const bridge = await createBrokerLink({
      name: brokerName(choice),
      engine: choice.engine,
      open: brokerOpener(choice),
      channels: bridgeChannelsOf(integration, choice),
      from: choice.from ?? 'now',
      store,
      kernel,
      metrics,
      carry: (given) => createChannelRelays({ ...given, log: link?.relays.log ?? transport }),
    })
    links.push(bridge)
  }
  const all = link ? [...links, link] : links
  return { transport, link, links: all, records, integration: divided }
}

async function linkTransport(
  integration: Integration,
  { transport, store, kernel, metrics }: LinkOptions,
  onPublished: (channel: string) => void,
): Promise<BrokerLink<BrokeredTransport> | undefined> {
  const choice = transport ?? { engine: 'embedded' }
  checkTransportChoice(choice, store)
  if (!isBroker(choice)) return undefined
  const { engine } = choice
  const channels = brokerChannelsOf(integration)
  const open = brokerOpener(choice)
  const given = { name: brokerName(choice), engine, open, channels, store, kernel, metrics }
  return createBrokerLink({ ...given, onPublished, from: 'now', carry: createBrokeredTransport })
}
