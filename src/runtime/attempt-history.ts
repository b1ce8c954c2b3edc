import type { AttemptEvent } from '../consumer/index.ts'
import { type Clock, LIMITS } from '../kernel/index.ts'
import type { MessageConsumerView } from './views.ts'

type Attempt = MessageConsumerView['attempts'][number]

/**
 * The latest attempts of this process, for the message view. In memory and bounded: the log does
 * not grow with every attempt, and what needs somebody (retries, dead letters) has rows anyway.
 */
export interface AttemptHistory {
  attempted(event: AttemptEvent): void
  of(consumer: string, messageId: string): readonly Attempt[]
  positionOf(messageId: string): number | undefined
  noted(messageId: string, position: number): void
}

const ATTEMPTS_PER_MESSAGE = 50

export const createAttemptHistory = (clock: Clock): AttemptHistory => {
  const attempts = new Map<string, Attempt[]>()
  const positions = new Map<string, number>()
  const note = (messageId: string, position: number): void => {
    positions.set(messageId, position)
    if (positions.size > LIMITS.streamEventsKept) dropOldest(positions)
  }
  return {
    attempted(event) {
      const key = `${event.consumer}\n${event.messageId}`
      const list = attempts.get(key) ?? []
      if (list.length === 0) attempts.set(key, list)
      if (list.length >= ATTEMPTS_PER_MESSAGE) list.shift()
      list.push({
        attempt: event.attempt,
        atMs: clock.now(),
        outcome: event.outcome,
        durationMs: Math.round(event.durationMs * 100) / 100,
        ...(event.error !== undefined && { error: event.error }),
      })
      note(event.messageId, event.position)
      if (attempts.size > LIMITS.streamEventsKept) dropOldest(attempts)
    },
    of: (consumer, messageId) => attempts.get(`${consumer}\n${messageId}`) ?? [],
    positionOf: (messageId) => positions.get(messageId),
    noted: note,
  }
}

/** A Map gives its keys in the order they were put in. */
function dropOldest(map: Map<string, unknown>): void {
  const oldest = map.keys().next()
  if (!oldest.done) map.delete(oldest.value)
}
