import { type Clock, LIMITS } from '../kernel/index.ts'
import type { AttemptRecord } from './events.ts'
import type { MessageConsumerView } from './views.ts'

type Attempt = MessageConsumerView['attempts'][number]

/**
 * The latest attempts of this process, for the message view. In memory and bounded: the log does
 * not grow with every attempt, and what needs somebody (retries, dead letters) has rows anyway.
 *
 * A ring of the events themselves: writing is one store, and only a person who looks pays for the
 * search. An event of a success is written over when its turn comes again: one that lives that long
 * and is then thrown away is what costs a collector of garbage most.
 */
export interface AttemptHistory {
  attempted(record: AttemptRecord): void
  /**
   * The next event, of a success, to be filled in at once. It is the caller's until as many
   * attempts as are kept have followed it.
   */
  succeeded(): SuccessRecord
  /** Oldest first. */
  of(consumer: string, messageId: string): readonly Attempt[]
  positionOf(messageId: string): number | undefined
}

export type SuccessRecord = {
  -readonly [Name in Exclude<keyof AttemptRecord, 'error'>]: AttemptRecord[Name]
}

const newSuccess = (): SuccessRecord => ({
  kind: 'attempt',
  consumer: '',
  messageId: '',
  position: 0,
  key: '',
  attempt: 1,
  outcome: 'done',
  durationMs: 0,
})

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
  const add = (record: AttemptRecord): void => {
    ring[count % size] = record
    times[count % size] = clock.now()
    count += 1
  }
  /** By place; undefined where something else has stood since. */
  const successes: (SuccessRecord | undefined)[] = []
  return {
    attempted(record) {
      successes[count % size] = undefined
      add(record)
    },
    succeeded() {
      const place = count % size
      const record = (successes[place] ??= newSuccess())
      add(record)
      return record
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
