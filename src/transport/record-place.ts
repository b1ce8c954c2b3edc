import { SLOT_COUNT } from '../contract/index.ts'
import { assert } from '../kernel/index.ts'
import type { RecordBookmark, RelayedTo } from '../store/index.ts'
import type { TopicState } from './foreign-topic.ts'

/**
 * How a place in a broker's topic is a position of the log. A channel whose record is the broker
 * has a partition of its consumers for each partition of the topic: the slots of a channel are
 * divided evenly, so that a lane and the topic agree on who has a key.
 *
 * A position is `(offset + shift + 1) × 64 + first slot of the partition`: unique over the channel,
 * growing with the offset, and never zero. The shift is there for topics that were made again or
 * have lost their end: what is given next stands behind everything that was given before, so a
 * position never means two messages.
 */
export const RECORD_STRIDE: number = SLOT_COUNT

/** The partition of a topic that has a slot; the same division as that of the consumers. */
export const placeOfSlot = (slot: number, partitions: number): number =>
  Math.floor((slot * partitions) / SLOT_COUNT)

/** The first slot of a partition. */
export const firstSlotOf = (partition: number, partitions: number): number =>
  Math.ceil((partition * SLOT_COUNT) / partitions)

/** Offsets below it are exact as positions; more than any partition will have. */
const OFFSET_MAX = Math.floor(Number.MAX_SAFE_INTEGER / RECORD_STRIDE) - 2

/** Changes of shift that are remembered; those before them are far behind every reader. */
const SPANS_MAX = 16

export const positionOf = (
  { spans }: Pick<RecordBookmark, 'spans'>,
  offset: number,
  firstSlot: number,
): number => {
  let shift = 0
  for (const span of spans) if (span.from <= offset) ({ shift } = span)
  assert(offset + shift <= OFFSET_MAX, 'an offset is exact as a position')
  return (offset + shift + 1) * RECORD_STRIDE + firstSlot
}

/** The first offset whose position lies behind one. */
export const offsetAfter = (
  { spans }: Pick<RecordBookmark, 'spans'>,
  position: number,
  firstSlot: number,
): number => {
  const raw = Math.floor((position - firstSlot) / RECORD_STRIDE)
  let next = Infinity
  for (let at = spans.length - 1; at >= 0; at--) {
    const { from, shift } = spans[at] ?? { from: 0, shift: 0 }
    if (raw - shift >= from) return Math.min(raw - shift, next)
    next = from
  }
  return Math.min(Math.max(0, raw), next)
}

/** What was in a topic and cannot be read any more. */
export interface RecordLoss {
  /**
   * `retention`: the topic dropped what was not read. `replaced`: it was deleted and made again.
   * `end`: it ends before the place, so its newest messages were lost, perhaps written anew.
   */
  readonly kind: 'retention' | 'replaced' | 'end'
  /** How many, where it can be known: 0 for `replaced`. */
  readonly offsets: number
}

export interface RecordMeeting {
  readonly bookmark: RecordBookmark
  /** The next offset wanted. */
  readonly next: number
  readonly loss?: RecordLoss
}

export interface RecordReaderPlace {
  /** The next offset wanted. */
  readonly next: number
  /** No position beyond it was given to anybody. */
  readonly usedTo: number
  /** Offsets below it have been there: some behind `next` may be handled already. @default next */
  readonly seenTo?: number
}

/** Where to go on in a partition as it is now. */
export const meetRecord = (
  bookmark: RecordBookmark,
  place: RecordReaderPlace,
  now: { readonly state: TopicState; readonly partition: number },
): RecordMeeting => {
  const { incarnation, partitions } = now.state
  const span = partitions[String(now.partition)] ?? { first: '0', next: '0' }
  const [first, end] = [Number(span.first), Number(span.next)]
  if (bookmark.incarnation !== incarnation) {
    const shift = Math.max(0, Math.ceil(place.usedTo / RECORD_STRIDE) - first)
    const met = { ...bookmark, incarnation, spans: [{ from: 0, shift }] }
    return { bookmark: met, next: first, loss: { kind: 'replaced', offsets: 0 } }
  }
  const { next } = place
  if (next < first) {
    return { bookmark, next: first, loss: { kind: 'retention', offsets: first - next } }
  }
  const offsets = Math.max(next, place.seenTo ?? next) - end
  if (offsets <= 0) return { bookmark, next }
  const shift = (bookmark.spans.at(-1)?.shift ?? 0) + offsets
  const spans = [...bookmark.spans, { from: end, shift }].slice(-SPANS_MAX)
  const met = { ...bookmark, spans }
  return { bookmark: met, next: Math.min(next, end), loss: { kind: 'end', offsets } }
}

/** Where a consumer begins that has no progress yet: its watermark, and the bookmark with it. */
export const beginRecord = (
  from: 'now' | 'earliest',
  { incarnation, partitions }: TopicState,
  place: { readonly partition: number; readonly firstSlot: number },
): { readonly bookmark: RecordBookmark; readonly watermark: number } => {
  const span = partitions[String(place.partition)] ?? { first: '0', next: '0' }
  const bookmark = { incarnation, spans: [], relayed: {} }
  const next = Number(from === 'now' ? span.next : span.first)
  return { bookmark, watermark: positionOf(bookmark, next, place.firstSlot) - 1 }
}

/**
 * What is known of a relay after one more of its messages, which is new where its position is. Of a
 * relay that was replaced nothing counts any more: the one with the newer turn began before it, and
 * brings it.
 */
export const meetRelayed = (known: RelayedTo | undefined, met: RelayedTo): RelayedTo => {
  if (!known) return met
  if (met.turn < known.turn) return known
  return { turn: met.turn, position: Math.max(known.position, met.position) }
}

/** Whether the last message changed what is known: a repeat did not. */
export const isNewOf = (known: RelayedTo | undefined, now: RelayedTo): boolean =>
  known === undefined || now.position > known.position
