import {
  type ConsumerRunner,
  partitionsOf,
  progressKey,
  readSlots,
  slotOfDelivered,
} from '../consumer/index.ts'
import type { Consumer, Integration } from '../contract/index.ts'
import type { ProgressRow, Store } from '../store/index.ts'
import type { Delivered } from '../transport/index.ts'
import { progressRowsOf, rangesOf } from './prepare-progress.ts'

/** How far one partition of a consumer has come, as much of it as a view of a message needs. */
export interface ConsumerPlace {
  readonly consumer: Consumer
  isMine(delivered: Delivered): boolean
  readonly progress: { isFinished(position: number): boolean; readonly watermark: number }
}

/** Whether a record is a message for a consumer, whichever of its partitions it falls into. */
export const isFor = ({ on }: Consumer, { record }: Delivered): boolean =>
  record.head.envelope.type === on.name && record.data.length > 0

/** From memory what this process runs of the consumers, else as last stored by those who do. */
export const consumerPlaces = async (parts: {
  readonly runners: ReadonlyMap<string, ConsumerRunner>
  readonly integration: Integration
  readonly store: Store
}): Promise<readonly ConsumerPlace[]> => {
  const { runners, integration, store } = parts
  const places: ConsumerPlace[] = []
  for (const consumer of integration.consumers) {
    const partitions = partitionsOf(consumer, rangesOf(store, consumer))
    const here = partitions.map(({ id }) => runners.get(id)).filter((one) => one !== undefined)
    places.push(...here)
    if (here.length === partitions.length) continue
    const rows = await progressRowsOf(store, consumer.name, consumer.on.channel)
    const mine = new Set(here.map(({ slots }) => progressKey(consumer.name, '', slots)))
    for (const row of rows) {
      if (mine.has(progressKey(consumer.name, '', readSlots(row.slots)))) continue
      places.push(storedPlace(consumer, row))
    }
    // Nobody has run it yet.
    if (rows.length === 0 && here.length === 0) places.push(storedPlace(consumer, NOTHING))
  }
  return places
}

const NOTHING = { slots: '0-63', watermark: 0, done: [] } as const

function storedPlace(
  consumer: Consumer,
  { slots, watermark, done }: Pick<ProgressRow, 'slots' | 'watermark' | 'done'>,
): ConsumerPlace {
  const { first, last } = readSlots(slots)
  return {
    consumer,
    isMine: (delivered) => {
      const slot = slotOfDelivered(consumer, delivered)
      return first <= slot && slot <= last && isFor(consumer, delivered)
    },
    progress: {
      watermark,
      isFinished: (position) =>
        position <= watermark || done.some(([from, to]) => from <= position && position <= to),
    },
  }
}
