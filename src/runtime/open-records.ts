import type { Integration } from '../contract/index.ts'
import type { Kernel } from '../kernel/index.ts'
import { METRICS, type Metrics } from '../observe/index.ts'
import {
  openRecordLog,
  type RecordLog,
  type RecordLoss,
  refusedRecord,
} from '../transport/index.ts'
import type { BrokerLink } from './broker-link.ts'
import { brokerChannelsOf, recordedContracts } from './open-transport.ts'

/** Contracts may have their record in the transport; then it is opened before anything else. */
export interface Records {
  /** Undefined where every record is the store's. */
  readonly log: RecordLog | undefined
  /** The same integration; consumers of such contracts have the partitions of their topics. */
  readonly integration: Integration
}

/**
 * @throws JUNCTURA_RECORD_REFUSED, naming the contracts, when there is no broker that can be it.
 * @throws JUNCTURA_TRANSPORT_UNAVAILABLE when it cannot be reached: nothing could be published, and
 *   how consumers are divided is not known.
 */
export const openRecords = async (
  integration: Integration,
  parts: {
    readonly link: BrokerLink | undefined
    readonly engine: string
    readonly kernel: Kernel
    readonly metrics: Metrics
  },
): Promise<Records> => {
  const names = recordedContracts(integration)
  if (names.length === 0) return { log: undefined, integration }
  const contracts = names.join(', ')
  const { link, engine, kernel, metrics } = parts
  if (!link) {
    const problem = "record: 'transport' needs a broker, and this is the log of the store"
    throw refusedRecord({ engine, contracts, problem })
  }
  const { name: broker } = link
  const published = metrics.counter(METRICS.transportPublished)
  const lost = metrics.counter(METRICS.recordLost)
  const foreign = metrics.counter(METRICS.recordForeign)
  const told = new Set<string>()
  const open = openRecordLog({
    broker: await link.connect(),
    channels: brokerChannelsOf(integration).filter(({ isRecord }) => isRecord === true),
    contracts,
    kernel,
    on: {
      published: (channel, count) => published.with({ broker, channel }).add(count),
      lost(channel, partition, loss) {
        // What is gone with a topic cannot be counted; that it is gone is.
        lost.with({ broker, channel }).add(Math.max(1, loss.offsets))
        const title = `channel ${channel} of the broker ${broker} ${LOSSES[loss.kind](loss)}`
        const about = `transport/${broker}/record/${channel}/${loss.kind}`
        kernel.log.error(
          { broker, channel, partition, loss: loss.kind, offsets: loss.offsets },
          title,
        )
        link.raise('record-loss', about, title)
      },
      foreign(channel) {
        foreign.with({ broker, channel }).add()
        if (told.has(channel)) return
        told.add(channel)
        const fields = { broker, channel }
        kernel.log.warn(fields, 'messages that no contract can have made are left out')
      },
    },
  })
  const log = await open.catch(async (error: unknown) => {
    await link.close()
    throw error
  })
  return { log, integration: withPartitions(integration, log.partitions) }
}

const LOSSES: Readonly<Record<RecordLoss['kind'], (loss: RecordLoss) => string>> = {
  retention: ({ offsets }) => `has dropped ${offsets} messages before a consumer read them`,
  replaced: () =>
    'was deleted and made again: what consumers had not read is gone, and is nowhere else',
  end: ({ offsets }) =>
    `has lost ${offsets > 0 ? `its newest ${offsets} messages` : 'its newest messages'}, which ` +
    'consumers had read; what was written in their stead may be left out',
}

const withPartitions = (integration: Integration, partitions: number): Integration => ({
  ...integration,
  consumers: integration.consumers.map((consumer) =>
    consumer.on.record === 'transport' ? { ...consumer, partitions } : consumer,
  ),
})
