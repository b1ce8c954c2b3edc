import { type Clock, LIMITS } from '../kernel/index.ts'
import type { AttemptRecord } from './events.ts'
import type { MessageConsumerView } from './views.ts'

type Attempt = MessageConsumerView['attempts'][number]

/**
 * The latest attempts of this process, for the message view. In memory and bounded: the log does
 * not grow with every attempt, and what needs somebody (retries, dead letters) has rows anyway.
 *
 * A ring of the events themselves: writing is one store, and only a person who looks pays for the
 * search.
 */
export interface AttemptHistory {
  attempted(record: AttemptRecord): void
  /** Oldest first. */
  of(consumer: string, messageId: string): readonly Attempt[]
  positionOf(messageId: string): number | undefined
}

interface Kept {
  readonly record: AttemptRecord
  readonly atMs: number
}

export const createAttemptHistory = (clock: Clock): AttemptHistory => {
  const ring: Kept[] = []
  let head = 0
  const newestFirst = function* (messageId: string): Iterable<Kept> {
    for (let back = 1; back <= ring.length; back++) {
      const event = ring[(head - back + ring.length) % ring.length]
      if (event?.record.messageId === messageId) yield event
    }
  }
  return {
    attempted(record) {
      const event = { record, atMs: clock.now() }
      if (ring.length < LIMITS.streamEventsKept) {
        ring.push(event)
        return
      }
      ring[head] = event
      head = head + 1 === LIMITS.streamEventsKept ? 0 : head + 1
    },
    of(consumer, messageId) {
      const attempts: Attempt[] = []
      for (const { record, atMs } of newestFirst(messageId)) {
        if (record.consumer !== consumer) continue
        const { attempt, outcome, durationMs, error } = record
        attempts.push({ attempt, atMs, outcome, durationMs, ...(error !== undefined && { error }) })
      }
      return attempts.toReversed()
    },
    positionOf(messageId) {
      for (const { record } of newestFirst(messageId)) return record.position
      return undefined
    },
  }
}
