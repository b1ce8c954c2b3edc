import { describe, expect, it } from 'vitest'
import { LIMITS } from '../kernel/index.ts'
import { createVirtualClock } from '../testing/index.ts'
import { createEventHub } from './event-hub.ts'
import type { RuntimeEventBody } from './events.ts'

const event = (messageId: string): RuntimeEventBody => ({
  kind: 'published',
  messageId,
  type: 't',
  key: 'k',
})

const open = () => createEventHub({ clock: createVirtualClock() })

describe('the event stream', () => {
  it('gives a reader that resumes what it has not seen, and says how much is gone', () => {
    const hub = open()
    const count = LIMITS.streamEventsKept + 10
    for (let n = 1; n <= count; n++) hub.publish(event(`m${n}`))
    const seen: number[] = []
    const { missed } = hub.subscribe({ afterId: 5, listener: ({ id }) => seen.push(id) })
    expect(missed).toBe(5)
    expect([seen[0], seen.at(-1), seen.length]).toEqual([11, count, LIMITS.streamEventsKept])
    hub.publish(event('new'))
    expect(seen.at(-1)).toBe(count + 1)
  })

  it('cuts off a reader that throws, and tells the others: what is told about does not fail', () => {
    const hub = open()
    const seen: number[] = []
    hub.subscribe({
      listener: () => {
        throw new Error('the socket is gone')
      },
    })
    hub.subscribe({ listener: ({ id }) => seen.push(id) })
    hub.publish(event('a'))
    hub.publish(event('b'))
    expect(seen).toEqual([1, 2])
  })

  it('has room for so many readers and no more', () => {
    const hub = open()
    const readers = Array.from({ length: LIMITS.streamReadersMax }, () =>
      hub.subscribe({ listener: () => undefined }),
    )
    expect(() => hub.subscribe({ listener: () => undefined })).toThrow('readers')
    readers[0]?.close()
    expect(() => hub.subscribe({ listener: () => undefined })).not.toThrow()
  })
})
