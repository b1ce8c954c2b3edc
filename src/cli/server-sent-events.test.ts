import { describe, expect, it } from 'vitest'
import { utf8 } from '../kernel/index.ts'
import { readServerSentEvents } from './server-sent-events.ts'

const STREAM = [
  'retry: 2000\nevent: hello\ndata: {"run":1}\n\n',
  ':\n\n',
  'id: 7\r\ndata: {"text":"größer"}\r\n\r\n',
  'id: 8\ndata: a\ndata: b\n\n',
  'id: 9\ndata: cut off',
].join('')

const EXPECTED = [
  { id: undefined, event: 'hello', data: '{"run":1}' },
  { id: '7', event: 'message', data: '{"text":"größer"}' },
  { id: '8', event: 'message', data: 'a\nb' },
]

describe('an event stream', () => {
  it('reads the same events however its bytes are cut, also inside a character', async () => {
    const bytes = utf8(STREAM)
    for (let size = 1; size <= bytes.length; size++) {
      const events = []
      for await (const event of readServerSentEvents(pieces(bytes, size))) events.push(event)
      expect([size, events]).toEqual([size, EXPECTED])
    }
  })

  it('keeps a bounded part of what never ends', async () => {
    const flood = Array.from({ length: 40 }, () => utf8('x'.repeat(10_000)))
    const events = []
    for await (const event of readServerSentEvents(each([...flood, utf8('\n\ndata: 1\n\n')]))) {
      events.push(event)
    }

    expect(events).toEqual([{ id: undefined, event: 'message', data: '1' }])
  })
})

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function* each(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}
