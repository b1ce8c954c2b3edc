import type { BrokerFeatures, Features } from '../contract/index.ts'

interface Linked {
  readonly name: string
  readonly engine: string
  /** Absent while it has never been reached. */
  readonly broker: { readonly features: BrokerFeatures } | undefined
}

/**
 * What the engines in use give, in sentences, for whoever changes one of them: printed at start.
 * What is the same on every engine, such as retries and dead letters, is said once.
 */
export interface DescribedEngines {
  readonly link: Linked | undefined
  readonly bridges: readonly Linked[]
  /** Names of the contracts whose record is the transport. @default none */
  readonly records?: readonly string[]
}

export const describeEngines = (
  store: Features,
  { link, bridges, records = [] }: DescribedEngines,
): readonly string[] => [
  `store ${store.engine}: what is accepted survives ${SURVIVES[store.durability]}; ` +
    `order is kept per ${store.unitOfOrder}; a record may have ${store.recordBytesMax} bytes`,
  store.multiProcess
    ? `store ${store.engine}: several processes may use it at once`
    : `store ${store.engine}: one process at a time`,
  ...(store.multiProcess && (link || bridges.length > 0) ? [SHARED] : []),
  ...(link && records.length > 0 ? [describeRecords(link, records)] : []),
  ...(link
    ? describeBroker(link, store, records.length > 0)
    : ['transport embedded: the log of the store itself']),
  ...bridges.map(
    ({ name, engine }) =>
      `bridge ${name}: ${engine} is given every message as well, in the order of the log; ` +
      'what it misses while it is away is kept for it',
  ),
]

/** What a broker must promise by itself, as nothing else has these messages. */
function describeRecords({ engine, broker }: Linked, records: readonly string[]): string {
  const survives = broker ? SURVIVES[broker.features.durability] : 'what the broker says'
  return (
    `transport ${engine}: it is the record of ${records.join(', ')}: what it confirmed survives ` +
    `${survives}, and no more; if its data is wiped these messages are gone, and it is told`
  )
}

function describeBroker(
  { engine, broker }: Linked,
  store: Features,
  isMixed: boolean,
): readonly string[] {
  const always =
    `transport ${engine}: the store is the record${isMixed ? ' of all others' : ''}; delays, retries, dead letters and replays ` +
    'are kept there, and what the broker loses is read from there'
  if (!broker) {
    return [always, `transport ${engine}: not reached by this process; the store has everything`]
  }
  const { durability, unitOfOrder, partitions, messageBytesMax, dedupeWindowMs } = broker.features
  const repeats =
    dedupeWindowMs > 0
      ? `drops what is published twice within ${dedupeWindowMs / 1_000} s`
      : 'does not drop what is published twice: other readers go by the id'
  return [
    always,
    `transport ${engine}: what it confirmed survives ${SURVIVES[durability]}; other readers get ` +
      `order per ${unitOfOrder}, ${partitions} of them for each channel; it ${repeats}`,
    ...(messageBytesMax < store.recordBytesMax
      ? [
          `transport ${engine}: records over ${messageBytesMax} bytes are not published; ` +
            'consumers here get them from the store, other readers do not get them',
        ]
      : []),
  ]
}

const SHARED =
  'processes: each channel is published to its brokers by one process at a time, of those with ' +
  'the role relay while one lives, else of the workers; workers share the consumers'

const SURVIVES = {
  accepted: 'the end of the connection, not of the broker',
  process: 'the end of the process, not a power failure',
  fsync: 'a power failure',
  replicated: 'the loss of a machine',
} as const
