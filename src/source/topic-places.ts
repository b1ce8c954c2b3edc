import type { TopicSource } from '../contract/index.ts'
import { type CommitUnit, type GenerationRows, generationRows } from '../store/index.ts'
import type { TopicState } from '../transport/index.ts'
import { beginTopic } from './topic-cursor.ts'

const generations: GenerationRows<'topicCursors'> = generationRows('topicCursors', (key, row) => ({
  collection: 'topicCursors',
  key,
  row,
}))

/** The place of a topic's relay and its generation; undefined before its first relay has begun. */
export const readPlace: typeof generations.read = generations.read

/** The next step from a generation; refused when another relay has moved something since. */
export const nextPlace: typeof generations.next = generations.next

/** Writes the first generation; refused when another relay has begun meanwhile, or ever. */
export const beginPlace = (source: TopicSource, state: TopicState): CommitUnit => ({
  ...generations.begin(source.name, beginTopic(source, state)),
  isInternal: true,
})
