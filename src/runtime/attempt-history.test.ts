import { describe, expect, it } from 'vitest'
import { LIMITS } from '../kernel/index.ts'
import { createVirtualClock } from '../testing/index.ts'
import { createAttemptHistory } from './attempt-history.ts'
import { createEventHub } from './event-hub.ts'

const KEPT = LIMITS.streamEventsKept

const open = () => {
  const clock = createVirtualClock()
  const history = createAttemptHistory(clock)
  const hub = createEventHub({ clock })
  const succeed = (messageId: string, position: number): void => {
    const record = history.succeeded()
    Object.assign(record, { consumer: 'a', messageId, position, key: 'k' })
    hub.publish(record)
  }
  const fail = (messageId: string, position: number): void => {
    const told = { kind: 'attempt', consumer: 'a', messageId, position, key: 'k' } as const
    const record = { ...told, attempt: 1, outcome: 'failed', durationMs: 1, error: 'no' } as const
    history.attempted(record)
    hub.publish(record)
  }
  return { history, hub, succeed, fail }
}

describe('the latest attempts', () => {
  it('are found by their message, oldest first, and those of others are not', () => {
    const { history, succeed, fail } = open()
    fail('m1', 1)
    succeed('m2', 2)
    succeed('m1', 1)
    expect(history.of('a', 'm1')).toMatchObject([
      { outcome: 'failed', error: 'no' },
      { outcome: 'done' },
    ])
    expect(history.of('b', 'm1')).toEqual([])
    expect(history.positionOf('m2')).toBe(2)
    expect(history.positionOf('m3')).toBeUndefined()
  })

  it('are the newest so many, each told with what it was, also to who reads the stream later', () => {
    const { history, hub, succeed, fail } = open()
    const last = KEPT * 2 + 500
    for (let n = 1; n <= last; n++) {
      if (n % 7 === 0) fail(`m${n}`, n)
      else succeed(`m${n}`, n)
    }
    const isKept = (n: number): boolean => n > last - KEPT
    for (const n of [1, last - KEPT, last - KEPT + 1, last - 3, last]) {
      expect(history.of('a', `m${n}`)).toHaveLength(isKept(n) ? 1 : 0)
    }
    const told: unknown[] = []
    hub.subscribe({ afterId: 0, listener: (event) => told.push(event) })
    expect(told).toHaveLength(KEPT)
    for (const [index, event] of told.entries()) {
      const n = last - KEPT + 1 + index
      const outcome = n % 7 === 0 ? 'failed' : 'done'
      expect(event).toMatchObject({ id: n, messageId: `m${n}`, position: n, outcome })
      expect(Object.hasOwn(Object(event), 'error')).toBe(outcome === 'failed')
    }
  })
})
