import { JuncturaError } from '../kernel/index.ts'
import type { TopicSource } from '../contract/index.ts'
import type { Row } from '../store/index.ts'
import type { TopicState } from '../transport/index.ts'

/** How far a topic is moved, as a row of the store. */
export type TopicCursor = Row<'topicCursors'>

/** What was in the topic and cannot be read any more, found by comparing it with the cursor. */
export interface TopicLoss {
  /**
   * `retention`: the topic dropped what was not moved. `replaced`: it was deleted and made again.
   * `end`: it ends before the place, so its newest messages were lost, perhaps written anew.
   */
  readonly kind: 'retention' | 'replaced' | 'end'
  /** Offsets that were not moved and are gone, for `end` those that were moved and are gone. */
  readonly offsets: number
  readonly partitions: readonly string[]
}

export interface TopicMeeting {
  readonly cursor: TopicCursor
  readonly loss?: TopicLoss
}

/** Where the first start begins. */
export const beginTopic = (
  { engine, resource, startAt }: Pick<TopicSource, 'engine' | 'resource' | 'startAt'>,
  { incarnation, partitions }: TopicState,
): TopicCursor => {
  const next = mapValues(partitions, (span) => (startAt === 'now' ? span.next : span.first))
  return { engine, resource, incarnation, era: 0, next, lost: 0 }
}

/**
 * Where to go on in a topic as it is now. What the retention has passed is counted and left behind.
 * A topic that was made again is read from its beginning. Behind a lost end it goes on at the end:
 * what was moved is not moved again, and whether something was written in its stead is not known.
 *
 * @throws JUNCTURA_TOPIC_REFUSED when the cursor is of another topic.
 */
export const meetTopic = (
  source: Pick<TopicSource, 'name' | 'engine' | 'resource'>,
  cursor: TopicCursor,
  state: TopicState,
): TopicMeeting => {
  const { engine, resource } = source
  if (cursor.engine !== engine || cursor.resource !== resource) throw otherTopic(source, cursor)
  const { incarnation, partitions } = state
  if (cursor.incarnation !== incarnation) return replaced(cursor, state)
  const next: Record<string, string> = { ...cursor.next }
  const gone: string[] = []
  const cut: string[] = []
  let goneOffsets = 0
  let cutOffsets = 0
  for (const [partition, span] of Object.entries(partitions)) {
    const [first, end] = [BigInt(span.first), BigInt(span.next)]
    // A partition that was added is read from its beginning.
    const place = BigInt(cursor.next[partition] ?? span.first)
    next[partition] = String(place < first ? first : place > end ? end : place)
    if (place < first) {
      gone.push(partition)
      goneOffsets += Number(first - place)
    } else if (place > end) {
      cut.push(partition)
      cutOffsets += Number(place - end)
    }
  }
  const lost = cursor.lost + goneOffsets
  const met = { ...cursor, next, lost }
  if (cut.length > 0) {
    return { cursor: met, loss: { kind: 'end', offsets: cutOffsets, partitions: cut } }
  }
  if (gone.length === 0) return { cursor: met }
  return { cursor: met, loss: { kind: 'retention', offsets: goneOffsets, partitions: gone } }
}

/** How much of the old one was not moved cannot be known: its ends went with it. */
function replaced(cursor: TopicCursor, { incarnation, partitions }: TopicState): TopicMeeting {
  const next = mapValues(partitions, ({ first }) => first)
  return {
    cursor: { ...cursor, incarnation, era: cursor.era + 1, next },
    loss: { kind: 'replaced', offsets: 0, partitions: Object.keys(cursor.next) },
  }
}

/** The cursor behind messages that were moved; those without an offset leave it as it is. */
export const moveCursor = (
  cursor: TopicCursor,
  messages: readonly { readonly partition: number; readonly offset: string }[],
): TopicCursor => {
  const next: Record<string, string> = { ...cursor.next }
  for (const { partition, offset } of messages) {
    if (offset !== '') next[String(partition)] = String(BigInt(offset) + 1n)
  }
  return { ...cursor, next }
}

/** Whether a message lies before the place: it is moved. */
export const isMoved = (
  cursor: TopicCursor,
  { partition, offset }: { readonly partition: number; readonly offset: string },
): boolean => offset !== '' && BigInt(offset) < BigInt(cursor.next[String(partition)] ?? '0')

const mapValues = <T>(
  record: Readonly<Record<string, T>>,
  map: (value: T) => string,
): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]))

const otherTopic = (
  { name, engine, resource }: Pick<TopicSource, 'name' | 'engine' | 'resource'>,
  cursor: TopicCursor,
): JuncturaError =>
  new JuncturaError('JUNCTURA_TOPIC_REFUSED', {
    details: {
      topic: name,
      problem: `its place is one in ${cursor.engine} ${cursor.resource}, and it names ${engine} ${resource} now`,
      fix: 'Give the source of the other topic another name',
    },
  })
