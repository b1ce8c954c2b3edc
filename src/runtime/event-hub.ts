import { JuncturaError, type Kernel, LIMITS } from '../kernel/index.ts'
import type { EventHub, RuntimeEvent } from './events.ts'

/** Keeps the newest LIMITS.streamEventsKept events in a ring; readers are called at once. */
export const createEventHub = (kernel: Pick<Kernel, 'clock'>): EventHub => {
  const kept: RuntimeEvent[] = []
  const listeners = new Set<(event: RuntimeEvent) => void>()
  let lastId = 0
  let head = 0
  return {
    get lastId() {
      return lastId
    },
    publish(body) {
      const event: RuntimeEvent = { id: ++lastId, atMs: kernel.clock.now(), ...body }
      if (kept.length < LIMITS.streamEventsKept) kept.push(event)
      else {
        kept[head] = event
        head = (head + 1) % LIMITS.streamEventsKept
      }
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
        const ordered = [...kept.slice(head), ...kept.slice(0, head)]
        const oldest = ordered[0]?.id ?? lastId + 1
        // A reader of an earlier process has ids that this one never gave: it starts anew.
        const from = afterId > lastId ? 0 : afterId
        missed = Math.max(0, oldest - from - 1)
        for (const event of ordered) if (event.id > from) listener(event)
      }
      listeners.add(listener)
      return { missed, close: () => void listeners.delete(listener) }
    },
  }
}
