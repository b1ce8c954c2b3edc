import { JuncturaError, type Kernel, LIMITS, must } from '../kernel/index.ts'
import type { EventHub, RuntimeEvent, RuntimeEventBody } from './events.ts'

/**
 * Keeps the newest LIMITS.streamEventsKept events in a ring; readers are called at once. The ring
 * holds what was published and, beside it, the time; a numbered event is made for who reads it.
 * What is published may be written over after LIMITS.streamEventsKept more.
 */
export const createEventHub = (kernel: Pick<Kernel, 'clock'>): EventHub => {
  const size = LIMITS.streamEventsKept
  const bodies: RuntimeEventBody[] = []
  const times = new Float64Array(size)
  const listeners = new Set<(event: RuntimeEvent) => void>()
  let lastId = 0
  const eventOf = (id: number): RuntimeEvent => {
    const place = (id - 1) % size
    return { id, atMs: times[place] ?? 0, ...must(bodies[place], 'a kept event is in the ring') }
  }
  return {
    get lastId() {
      return lastId
    },
    publish(body) {
      const place = lastId % size
      bodies[place] = body
      times[place] = kernel.clock.now()
      lastId += 1
      if (listeners.size === 0) return
      const event = eventOf(lastId)
      for (const listener of listeners) {
        try {
          listener(event)
        } catch {
          // A reader that fails must not fail what it reads about.
          listeners.delete(listener)
        }
      }
    },
    subscribe({ afterId, listener }) {
      if (listeners.size >= LIMITS.streamReadersMax) {
        throw new JuncturaError('JUNCTURA_TOO_MANY_READERS', {
          details: { maximum: LIMITS.streamReadersMax },
        })
      }
      let missed = 0
      if (afterId !== undefined) {
        const oldest = lastId - bodies.length + 1
        // A reader of an earlier process has ids that this one never gave: it starts anew.
        const from = afterId > lastId ? 0 : afterId
        missed = Math.max(0, oldest - from - 1)
        for (let id = Math.max(oldest, from + 1); id <= lastId; id++) listener(eventOf(id))
      }
      listeners.add(listener)
      return { missed, close: () => void listeners.delete(listener) }
    },
  }
}
