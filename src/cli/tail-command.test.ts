import { describe, expect, it } from 'vitest'
import {
  checkOutput,
  createFakeIo,
  type FakeIoOptions,
  type FakeRequest,
} from '../../test/cli/fake-io.ts'
import { utf8 } from '../kernel/index.ts'
import { main } from './main.ts'

const frame = (id: number, event: object): string =>
  `id: ${id}\ndata: ${JSON.stringify({ id, atMs: Date.UTC(2026, 0, 1), ...event })}\n\n`
const accepted = (id: number): string =>
  frame(id, { kind: 'accepted', webhook: 'acme', messageId: `msg_${id}`, type: 't', key: 'k' })
const attempt = (id: number, consumer: string): string =>
  frame(id, {
    kind: 'attempt',
    consumer,
    messageId: `msg_${id}`,
    key: 'k',
    attempt: 1,
    outcome: 'failed',
    durationMs: 3,
    error: 'no \u001b[2J stock',
  })
const hello = (run: number, lastId: number): string =>
  `event: hello\ndata: ${JSON.stringify({ run, lastId })}\n\n`

/** Each connection gets the next text; the last one stays open. */
const streams = (texts: readonly string[]) => {
  let next = 0
  return {
    'GET /api/v1/stream': (request: FakeRequest) => {
      const text = texts[next++] ?? ''
      return { chunks: streamOf(text, next >= texts.length ? request.signal : undefined) }
    },
  }
}

async function* streamOf(text: string, open: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  yield utf8(text)
  if (open) await new Promise((resolve) => open.addEventListener('abort', resolve))
}

const tail = async (argv: readonly string[], options: FakeIoOptions) => {
  const io = createFakeIo(options)
  const running = main(['tail', ...argv], io)
  // Lets a reconnect come due.
  await io.kernel.clock.advance(5_000)
  return { io, running }
}

describe('tail', () => {
  it('says of a refusal which cause it was, and by how much a time was off', async () => {
    const refused = {
      kind: 'refused',
      webhook: 'acme',
      status: 401,
      code: 'C',
      reason: 'signature',
    }
    const texts = [
      frame(1, { ...refused, detail: 'mismatch' }),
      frame(2, { ...refused, detail: 'too-old', skewSeconds: 301 }),
      frame(3, { ...refused, reason: 'rate' }),
    ]
    const routes = streams([hello(11, 3) + texts.join('')])
    const { io, running } = await tail(['--limit', '3'], { routes })

    expect(await running).toBe(0)
    const lines = io.out().trimEnd().split('\n')
    expect(lines.map((line) => line.replace(/.*401 /, ''))).toEqual([
      'C: signature (mismatch)',
      'C: signature (too-old by 301s)',
      'C: rate',
    ])
  })

  it('goes on after the last event seen, in the same run, when the stream breaks off', async () => {
    const routes = streams([hello(11, 4) + accepted(5), hello(11, 6) + accepted(6)])
    const { io, running } = await tail(['--limit', '2'], { routes })

    expect(await running).toBe(0)
    expect(io.requests.map(({ headers, url }) => [headers['last-event-id'], url.search])).toEqual([
      [undefined, ''],
      ['5', '?run=11'],
    ])
    expect(io.out()).toContain('msg_5')
    expect(io.out()).toContain('msg_6')
    expect(io.err()).toContain('broke off')
  })

  it('goes on from where it began when the stream breaks off before the first event', async () => {
    const routes = streams([hello(11, 4), hello(11, 6) + accepted(6)])
    const { io, running } = await tail(['--limit', '1'], { routes })

    expect(await running).toBe(0)
    expect(io.requests[1]?.headers['last-event-id']).toBe('4')
  })

  it('says how many events are gone', async () => {
    const missed = 'event: missed\ndata: {"missed":12,"restarted":true}\n\n'
    const { io, running } = await tail(['--limit', '1', '--after', '2'], {
      routes: streams([hello(12, 40) + missed + accepted(40)]),
    })

    expect(await running).toBe(0)
    expect(io.requests[0]?.headers['last-event-id']).toBe('2')
    expect(io.err()).toContain('12 events are gone')
  })

  it('shows only what was asked for', async () => {
    const text = hello(1, 0) + accepted(1) + attempt(2, 'finance') + attempt(3, 'warehouse')
    const { io, running } = await tail(['--consumer', 'finance', '--limit', '1'], {
      routes: streams([text]),
    })

    expect(await running).toBe(0)
    expect(io.out()).toContain('msg_2')
    expect(io.out()).not.toMatch(/msg_1|msg_3/)
  })

  it('F56: escapes what a handler put into its error', async () => {
    const { io, running } = await tail(['--limit', '1'], {
      routes: streams([hello(1, 0) + attempt(1, 'finance')]),
    })
    await running

    expect(io.out()).toContain('no \\x1b[2J stock')
  })

  it('prints one object a line under --json, kinds that it does not know included', async () => {
    const text = hello(1, 0) + accepted(1) + frame(2, { kind: 'of-a-later-release', x: 1 })
    const { io, running } = await tail(['--json', '--limit', '2'], { routes: streams([text]) })
    await running

    const lines = io.out().trimEnd().split('\n')
    const events = lines.map((line) => checkOutput(JSON.parse(line)))
    expect(events.map(({ kind, event }) => [kind, event.kind])).toEqual([
      ['event', 'accepted'],
      ['event', 'of-a-later-release'],
    ])
  })

  it('exits with 130 on Ctrl-C', async () => {
    const { io, running } = await tail([], { routes: streams([hello(1, 0) + accepted(1)]) })
    io.sendSignal('SIGINT')

    expect(await running).toBe(130)
  })

  it('exits with 69 at once when nobody was ever there', async () => {
    const { io, running } = await tail([], {})

    expect(await running).toBe(69)
    expect(io.requests.length).toBe(1)
  })

  it('stops when it is refused, also after a break', async () => {
    let calls = 0
    const { running } = await tail([], {
      routes: {
        'GET /api/v1/stream': () =>
          calls++ === 0
            ? { chunks: [utf8(hello(1, 0))] }
            : { status: 401, body: { code: 'JUNCTURA_TOKEN_REQUIRED', detail: 'no' } },
      },
    })

    expect(await running).toBe(1)
  })
})
