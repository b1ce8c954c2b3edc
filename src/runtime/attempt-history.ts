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

export const createAttemptHistory = (clock: Clock): AttemptHistory => {
  const size = LIMITS.streamEventsKept
  const ring: AttemptRecord[] = []
  const times = new Float64Array(size)
  let count = 0
  /** Places in the ring, the newest first. */
  const placesOf = function* (messageId: string): Iterable<number> {
    for (let back = 1; back <= ring.length; back++) {
      const place = (count - back) % size
      if (ring[place]?.messageId === messageId) yield place
    }
  }
  return {
    attempted(record) {
      ring[count % size] = record
      times[count % size] = clock.now()
      count += 1
    },
    of(consumer, messageId) {
      const attempts: Attempt[] = []
      for (const place of placesOf(messageId)) {
        const record = ring[place]
        if (record?.consumer !== consumer) continue
        const { attempt, outcome, durationMs, error } = record
        const atMs = times[place] ?? 0
        attempts.push({ attempt, atMs, outcome, durationMs, ...(error !== undefined && { error }) })
      }
      return attempts.toReversed()
    },
    positionOf(messageId) {
      for (const place of placesOf(messageId)) return ring[place]?.position
      return undefined
    },
  }
}
