import { describe, expect, it } from 'vitest'
import { scriptedRuntime } from '../../test/pages/scripted-runtime.fixture.ts'
import { LIMITS } from '../kernel/index.ts'
import type { EventHub } from '../runtime/index.ts'
import { createVirtualKernel } from '../testing/index.ts'
import { type EventStreamOptions, openEventStream } from './event-stream.ts'
import type { EventStream } from './manage-request.ts'

const RUN = 42

function setup() {
  const kernel = createVirtualKernel()
  const { events } = scriptedRuntime(kernel)
  const open = (options: Partial<EventStreamOptions> = {}): EventStream =>
    openEventStream({ events, clock: kernel.clock, run: RUN, ...options })
  return { kernel, events, open }
}

const log = (events: EventHub, message: string): void =>
  events.publish({ kind: 'log', consumer: 'finance', messageId: 'msg_1', message })

/** Collects what comes until the stream has nothing more at once. */
function collect(stream: EventStream): {
  readonly text: () => string
  readonly ended: Promise<void>
} {
  let text = ''
  const ended = (async () => {
    for await (const chunk of stream) text += chunk
  })()
  return { text: () => text, ended }
}

const idsIn = (text: string): readonly number[] =>
  [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id))

describe('the event stream', () => {
  it('tells a reader that comes back what it missed, so that nothing is skipped in silence', async () => {
    const { kernel, events, open } = setup()
    for (let n = 1; n <= 150; n++) log(events, `${n}`)
    const reader = collect(open({ afterId: 20 }))
    await kernel.clock.yield()
    expect(reader.text()).toContain('event: missed\ndata: {"missed":30,"restarted":false}\n\n')
    expect(idsIn(reader.text())).toEqual(Array.from({ length: 100 }, (_, index) => 51 + index))
  })

  it('goes on just after the last event seen, then with what comes', async () => {
    const { kernel, events, open } = setup()
    for (let n = 1; n <= 5; n++) log(events, `${n}`)
    const reader = collect(open({ afterId: 3, afterRun: RUN }))
    await kernel.clock.yield()
    log(events, '6')
    await kernel.clock.yield()
    expect(idsIn(reader.text())).toEqual([4, 5, 6])
    expect(reader.text()).not.toContain('missed')
  })

  it('gives the whole new run to a reader of an earlier one, though the numbers look seen', async () => {
    const { kernel, events, open } = setup()
    for (let n = 1; n <= 5; n++) log(events, `${n}`)
    const reader = collect(open({ afterId: 4, afterRun: RUN - 1 }))
    await kernel.clock.yield()
    expect(reader.text()).toContain('data: {"missed":0,"restarted":true}')
    expect(idsIn(reader.text())).toEqual([1, 2, 3, 4, 5])
  })

  it('begins with what comes, or with the newest that were asked for', async () => {
    const { kernel, events, open } = setup()
    for (let n = 1; n <= 5; n++) log(events, `${n}`)
    const fresh = collect(open())
    const some = collect(open({ newest: 2 }))
    await kernel.clock.yield()
    expect(idsIn(fresh.text())).toEqual([])
    expect(fresh.text()).toBe(`retry: 2000\nevent: hello\ndata: {"run":42,"lastId":5}\n\n`)
    expect(idsIn(some.text())).toEqual([4, 5])
  })

  it('keeps one event one frame, whatever is in it (F56)', async () => {
    const { kernel, events, open } = setup()
    const reader = collect(open())
    log(events, 'a\r\n\r\nid: 999\rdata: {"kind":"forged"}\n\n')
    await kernel.clock.yield()
    const frames = reader
      .text()
      .split('\n\n')
      .filter((frame) => frame.startsWith('id:'))
    expect(frames).toHaveLength(1)
    expect(idsIn(reader.text())).toEqual([1])
    expect(reader.text()).not.toContain('\r')
  })

  it('shows that it is there while nothing happens', async () => {
    const { kernel, open } = setup()
    const reader = collect(open())
    await kernel.clock.advance(14_999)
    expect(reader.text()).not.toContain(':\n\n')
    await kernel.clock.advance(1)
    expect(reader.text().endsWith('\n\n:\n\n')).toBe(true)
    await kernel.clock.advance(15_000)
    expect(reader.text().endsWith(':\n\n:\n\n')).toBe(true)
  })

  it('cuts a reader that lets too much wait, and frees its place (F100)', async () => {
    const { kernel, events, open } = setup()
    const stream = open()
    const slow = stream[Symbol.asyncIterator]()
    await slow.next()
    for (let n = 0; n <= LIMITS.streamReaderEventsMax; n++) log(events, `${n}`)
    expect(await slow.next()).toEqual({ done: true, value: undefined })
    expect(kernel.clock.pendingTimers).toEqual([])
    for (let n = 0; n < LIMITS.streamReadersMax; n++) open()
    expect(() => open()).toThrow('maximum of 100 readers')
  })

  it('ends when it is closed, while it waits, and stops its heartbeat', async () => {
    const { kernel, open } = setup()
    const stream = open()
    const reader = collect(stream)
    await kernel.clock.yield()
    stream.close()
    stream.close()
    await reader.ended
    expect(kernel.clock.pendingTimers).toEqual([])
  })
})
