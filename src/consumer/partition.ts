import { type Consumer, SLOT_COUNT, slotOf } from '../contract/index.ts'
import type { SlotRange } from '../store/index.ts'
import type { Delivered } from '../transport/index.ts'

export const ALL_SLOTS: SlotRange = { first: 0, last: SLOT_COUNT - 1 }

/** The slots of each partition, in order; their sizes differ by one at most. */
export const slotRanges = (partitions: number): readonly SlotRange[] =>
  Array.from({ length: partitions }, (_, index) => ({
    first: Math.ceil((index * SLOT_COUNT) / partitions),
    last: Math.ceil(((index + 1) * SLOT_COUNT) / partitions) - 1,
  }))

export const slotsText = ({ first, last }: SlotRange): string => `${first}-${last}`

/** Of a text that `slotsText` gave. */
export const readSlots = (text: string): SlotRange => {
  const [first = 0, last = SLOT_COUNT - 1] = text.split('-').map(Number)
  return { first, last }
}

export const hasSlot = ({ first, last }: SlotRange, slot: number): boolean =>
  first <= slot && slot <= last

export const holdsSlots = (range: SlotRange, other: SlotRange): boolean =>
  range.first <= other.first && other.last <= range.last

export const sharesSlots = (range: SlotRange, other: SlotRange): boolean =>
  range.first <= other.last && other.first <= range.last

/** Names one partition of a consumer: that of the consumer itself where it has all slots. */
export const partitionId = (consumer: string, slots: SlotRange): string =>
  holdsSlots(slots, ALL_SLOTS) ? consumer : `${consumer}/${slotsText(slots)}`

/**
 * The slot of a lane of a consumer: that of its key, or without order that of the message. Lanes do
 * not name their tenant, so this stands for the default one as they do.
 */
export const slotOfLane = (lane: string): number => slotOf('default', lane)

/** The same of a lane of a consumer, whatever its record is. */
export const slotOfLaneOf = ({ on, ordering }: Consumer, lane: string): number =>
  // Positions of such a record end in the first slot of their partition.
  on.record === 'transport' && ordering === 'none'
    ? Number(lane.slice(1)) % SLOT_COUNT
    : slotOfLane(lane)

/** The same of a message, without looking into it. */
export const slotOfDelivered = (consumer: Consumer, { position, slot }: Delivered): number =>
  consumer.ordering === 'none' && consumer.on.record !== 'transport'
    ? slotOfLane(`#${position}`)
    : slot

/** Of the log, for a partition; undefined for all: without order it has some of each. */
export const wantedSlots = (consumer: Consumer, slots: SlotRange): SlotRange | undefined =>
  consumer.ordering === 'none' || holdsSlots(slots, ALL_SLOTS) ? undefined : slots

/** A part of a consumer that one worker runs at a time. */
export interface ConsumerPartition {
  readonly id: string
  readonly consumer: Consumer
  readonly slots: SlotRange
}

export const partitionsOf = (
  consumer: Consumer,
  ranges: readonly SlotRange[],
): readonly ConsumerPartition[] =>
  ranges.map((slots) => ({ id: partitionId(consumer.name, slots), consumer, slots }))
