import type { TopicSource } from '../contract/index.ts'
import { isJuncturaError, JuncturaError, LIMITS, messageOf } from '../kernel/index.ts'
import type { TopicLoss } from './topic-cursor.ts'

/** Something about a topic that its owner should know. */
export interface TopicAlert {
  readonly kind: 'topic-away' | 'topic-lost' | 'contract-mismatch'
  readonly cause: string
  readonly title: string
  readonly source: TopicSource
  readonly severity: 'critical' | 'warning'
  readonly atMs: number
}

/** What was lost, for whoever is called at night. */
export const lossTitle = ({ name, resource }: TopicSource, loss: TopicLoss): string => {
  const where = loss.partitions.slice(0, 10).join(', ')
  switch (loss.kind) {
    case 'retention':
      return (
        `Topic ${name} has lost ${loss.offsets} offsets before they were moved (partitions ${where}): ` +
        `the retention of ${resource} has passed them, or somebody deleted them`
      )
    case 'replaced':
      return (
        `Topic ${name} was deleted and made again: what ${resource} held and was not moved is gone; ` +
        'the new one is moved from its beginning'
      )
    case 'end':
      return (
        `Topic ${name} ends ${loss.offsets} offsets before what was moved (partitions ${where}): ` +
        `${resource} has lost its end, and what was written there in its stead may be missing`
      )
  }
}

/** Nothing is dropped and nothing grows without end: then it waits, and the topic keeps it. */
export const shelfFull = (topic: string): JuncturaError =>
  new JuncturaError('JUNCTURA_TOPIC_REFUSED', {
    details: {
      topic,
      problem: `${LIMITS.topicInvalidOpenMax} of its messages are invalid, and nobody has dealt with them`,
      fix: 'Correct their writer or the contract, then re-admit or drop them: junctura invalid',
    },
  })

/** What is wrong and what to do about it, in one line. */
export const problemOf = (error: unknown): string => {
  const message = messageOf(error)
  const fix = isJuncturaError(error) ? error.details['fix'] : undefined
  return typeof fix !== 'string' || message.includes(fix) ? message : `${message}; ${fix}`
}
