import type { ConsumerRunner } from '../consumer/index.ts'
import type { Consumer } from '../contract/index.ts'
import type { DeadLetterRow, ReplayRow, Store } from '../store/index.ts'
import type { Delivered } from '../transport/index.ts'
import type { ReplayFilter } from './commands.ts'
import type { ConsumerPlace } from './consumer-places.ts'
import { refused } from './operations.ts'

/** The filter with its open ends closed at the moment of the plan. */
export interface FrozenFilter extends ReplayFilter {
  readonly from: 'dead-letters' | 'messages'
  readonly fromPosition: number
  readonly toPosition: number
  readonly frozenAtMs: number
}

export const freezeFilter = (
  filter: ReplayFilter,
  now: { readonly headPosition: number; readonly atMs: number },
): FrozenFilter => ({
  ...filter,
  from: filter.from ?? 'dead-letters',
  fromPosition: Math.max(1, filter.fromPosition ?? 1),
  toPosition: Math.min(now.headPosition, filter.toPosition ?? now.headPosition),
  frozenAtMs: now.atMs,
})

/**
 * The positions that a replay of messages looks at. Those of a filter are the store's; where the
 * record is the broker, it looks at what the partition has read and the broker still has.
 */
export const spanOf = (
  filter: FrozenFilter,
  { consumer, progress }: Pick<ConsumerRunner, 'consumer' | 'progress'>,
): { readonly fromPosition: number; readonly toPosition: number } =>
  consumer.on.record === 'transport' ? { fromPosition: 1, toPosition: progress.fetchedTo } : filter

/** It was frozen by us and read back from our own row. */
export const filterOf = (row: ReplayRow): FrozenFilter => row.filter as FrozenFilter

/** Consumers that the filter names and that may be replayed, always in the same order. */
export const consumersOf = (
  consumers: readonly Consumer[],
  filter: FrozenFilter,
): readonly Consumer[] =>
  consumers
    .filter(
      (consumer) =>
        (filter.consumer === undefined || consumer.name === filter.consumer) &&
        (filter.type === undefined || consumer.on.name === filter.type) &&
        consumer.replay !== 'never',
    )
    .sort((a, b) => (a.name < b.name ? -1 : 1))

/** The same of those that run here. */
export const runnersOf = (
  runners: ReadonlyMap<string, ConsumerRunner>,
  filter: FrozenFilter,
): readonly ConsumerRunner[] => {
  const all = [...runners.values()]
  const chosen = consumersOf([...new Set(all.map(({ consumer }) => consumer))], filter)
  return chosen.flatMap((one) => all.filter(({ consumer }) => consumer === one))
}

/** @throws JUNCTURA_OPERATION_REFUSED when the consumer it names is unknown or never replayed. */
export const checkFilter = (consumers: readonly Consumer[], filter: FrozenFilter): void => {
  if (filter.consumer === undefined) return
  const consumer = consumers.find(({ name }) => name === filter.consumer)
  if (!consumer) {
    throw refused(
      `there is no consumer ${filter.consumer}`,
      `use one of: ${consumers.map(({ name }) => name).join(', ')}`,
    )
  }
  if (consumer.replay === 'never') {
    throw refused(
      `consumer ${filter.consumer} declares replay: 'never', which no option overrides`,
      'declare another replay rule, or publish a new message',
    )
  }
}

export const matchesLetter = (filter: FrozenFilter, letter: DeadLetterRow): boolean =>
  (filter.consumer === undefined || letter.consumer === filter.consumer) &&
  (filter.cause === undefined || letter.cause === filter.cause) &&
  (filter.type === undefined || letter.type === filter.type) &&
  (filter.key === undefined || letter.key === filter.key) &&
  letter.diedAtMs <= filter.frozenAtMs &&
  (filter.sinceMs === undefined || letter.receivedAtMs >= filter.sinceMs) &&
  (filter.untilMs === undefined || letter.receivedAtMs < filter.untilMs)

export const matchesMessage = (
  filter: FrozenFilter,
  place: Pick<ConsumerPlace, 'isMine'>,
  delivered: Delivered,
): boolean => {
  if (!place.isMine(delivered)) return false
  const { envelope } = delivered.record.head
  return (
    (filter.key === undefined || envelope.partitionkey === filter.key) &&
    (filter.sinceMs === undefined || delivered.atMs >= filter.sinceMs) &&
    (filter.untilMs === undefined || delivered.atMs < filter.untilMs)
  )
}

/** By its position too: systems that write topics and outboxes may use one id for two messages. */
export const openLetterOf = async (
  store: Store,
  consumer: string,
  delivered: Delivered,
): Promise<DeadLetterRow | undefined> => {
  const page = await store.scan({
    collection: 'deadLetters',
    index: 'byMessage',
    where: [delivered.record.head.envelope.id],
    limit: 100,
  })
  const { position } = delivered
  return page.find(
    ({ row }) => row.consumer === consumer && row.state === 'open' && row.position === position,
  )?.row
}
