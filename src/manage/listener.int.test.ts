import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { scriptedRuntime, type ScriptedRuntime } from '../../test/pages/scripted-runtime.fixture.ts'
import { createSystemKernel, isJuncturaError, sleep } from '../kernel/index.ts'
import {
  createManagementApi,
  type ManagementListener,
  type ManagementListenerOptions,
  startManagementListener,
} from './index.ts'

const kernel = createSystemKernel()
const open: ManagementListener[] = []

afterEach(async () => {
  for (const listener of open.splice(0)) await listener.close(0)
})

type Options = Partial<Omit<ManagementListenerOptions, 'api' | 'clock'>> & {
  readonly token?: string
}

async function start(
  options: Options = {},
): Promise<{ listener: ManagementListener; runtime: ScriptedRuntime }> {
  const { token, ...rest } = options
  const runtime = scriptedRuntime(kernel)
  const api = createManagementApi({ runtime, ...(token !== undefined && { token }) })
  const listener = await startManagementListener({ api, clock: kernel.clock, port: 0, ...rest })
  open.push(listener)
  return { listener, runtime }
}

/** Sends bytes as they are and gives all that comes back until the connection ends. */
const raw = (
  listener: ManagementListener,
  text: string,
  keep?: (socket: Socket) => void,
): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(listener.port, '127.0.0.1', () => socket.write(text))
    let answer = ''
    socket.on('data', (chunk) => (answer += chunk.toString('utf8')))
    socket.on('close', () => resolve(answer))
    socket.on('error', reject)
    keep?.(socket)
  })

const until = async (isDone: () => boolean): Promise<void> => {
  const deadlineMs = kernel.clock.monotonicMs() + 10_000
  while (!isDone() && kernel.clock.monotonicMs() < deadlineMs) await sleep(kernel.clock, 10)
  expect(isDone()).toBe(true)
}

const codeOf = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise
    return 'none'
  } catch (error) {
    return isJuncturaError(error) ? error.code : 'other'
  }
}

describe('where it listens', () => {
  it('refuses an address that others reach, unless there is a token', async () => {
    for (const host of ['0.0.0.0', '::', '192.0.2.1', 'example.org', '127.0.0.1.example.org', '']) {
      expect(await codeOf(start({ host }))).toBe('JUNCTURA_MANAGEMENT_OPEN')
    }
    const { listener } = await start({ host: '0.0.0.0', token: 'a-token-for-tests' })
    const answer = await fetch(`${listener.url}/api/v1/overview`)
    expect(answer.status).toBe(401)
  })

  it('listens on 127.0.0.1 by default and says where', async () => {
    const { listener } = await start()
    expect(listener.url).toBe(`http://127.0.0.1:${listener.port}`)
    const answer = await fetch(`${listener.url}/healthz`)
    expect(await answer.json()).toEqual({ schemaVersion: 1, status: 'alive' })
  })

  it('says that a port is taken', async () => {
    const { listener } = await start()
    await expect(start({ port: listener.port })).rejects.toThrow('EADDRINUSE')
  })
})

describe('a request', () => {
  it('is refused when two readers could see two requests in it (F101)', async () => {
    const { listener } = await start()
    const head =
      'POST /api/v1/operations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n'
    const smuggled = [
      `${head}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
      `${head}content-length: 2\r\ncontent-length: 3\r\n\r\n{}`,
      `GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: a\r\n  folded\r\n\r\n`,
      `GET /healthz HTTP/1.1\r\nhost : localhost\r\n\r\n`,
    ]
    for (const text of smuggled) {
      const answer = await raw(listener, text)
      expect(answer).toMatch(/^HTTP\/1\.1 400 /)
      expect(answer).toContain('connection: close')
    }
  })

  it('is refused past the size of its headers (F102)', async () => {
    const { listener } = await start()
    const large = `GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`
    expect(await raw(listener, large)).toMatch(/^HTTP\/1\.1 431 /)
    const many = Array.from({ length: 150 }, (_, index) => `x-${index}: 1`).join('\r\n')
    const counted = `GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n${many}\r\n\r\n`
    expect(await raw(listener, counted)).toMatch(/^HTTP\/1\.1 431 /)
  })

  it('is cut when its headers or its body come too slowly; others are served meanwhile (F100)', async () => {
    const { listener } = await start({ timeouts: { headersMs: 200, requestMs: 400 } })
    const post =
      'POST /api/v1/operations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n'
    const slow = [
      raw(listener, 'GET /healthz HTTP/1.1\r\nhost: lo'),
      raw(listener, `${post}content-length: 100\r\n\r\n{`),
    ]
    const answer = await fetch(`${listener.url}/healthz`)
    expect(answer.status).toBe(200)
    for (const text of await Promise.all(slow)) expect(text).toMatch(/^HTTP\/1\.1 408 |^$/)
  })

  it('with a body past the limit is answered and its connection closed', async () => {
    const { listener } = await start()
    const size = 4_000_000
    const head = `POST /api/v1/publish HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${size}\r\n\r\n`
    const answer = await raw(listener, head + 'x'.repeat(1_100_000))
    expect(answer).toMatch(/^HTTP\/1\.1 413 /)
    expect(answer.toLowerCase()).toContain('connection: close')
  })

  it('waits for leave to send its body (F105)', async () => {
    const { listener } = await start()
    const head = 'POST /api/v1/publish HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n'
    const asked = await raw(listener, `${head}expect: 100-continue\r\ncontent-length: 2\r\n\r\n{}`)
    expect(asked).toMatch(/^HTTP\/1\.1 (100 Continue|415)/)
    const other = await raw(listener, `${head}expect: 200-ok\r\ncontent-length: 0\r\n\r\n`)
    expect(other).toMatch(/^HTTP\/1\.1 417 /)
  })

  it('gets a body only if it asked for one', async () => {
    const { listener } = await start()
    const answer = await raw(
      listener,
      'HEAD /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n',
    )
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
    expect(answer).toMatch(/content-length: \d\d/)
    expect(answer.endsWith('\r\n\r\n')).toBe(true)
  })
})

describe('the stream over a connection', () => {
  it('brings events as they happen, and frees its place when the reader goes', async () => {
    const { listener, runtime } = await start()
    const leave = new AbortController()
    const answer = await fetch(`${listener.url}/api/v1/stream`, { signal: leave.signal })
    expect(answer.headers.get('content-type')).toBe('text/event-stream')
    let text = ''
    const reading = (async () => {
      for await (const chunk of answer.body ?? []) text += Buffer.from(chunk).toString('utf8')
    })().catch(() => undefined)
    await until(() => text.includes('event: hello'))
    runtime.events.publish({
      kind: 'replay',
      replayId: 'r',
      state: 'running',
      released: 1,
      total: 2,
    })
    await until(() => text.includes('"kind":"replay"'))
    leave.abort()
    await reading
    // A hundred more find room only if the first one gave its place back.
    const more = await Promise.all(
      Array.from({ length: 100 }, () => fetch(`${listener.url}/api/v1/stream`)),
    )
    expect(new Set(more.map(({ status }) => status))).toEqual(new Set([200]))
    const full = await fetch(`${listener.url}/api/v1/stream`)
    expect(full.status).toBe(503)
  })

  it('cuts a reader that reads nothing, with bounded memory, and no one else (F100)', async () => {
    const { listener, runtime } = await start()
    let stuck: Socket | undefined
    const done = raw(
      listener,
      'GET /api/v1/stream HTTP/1.1\r\nhost: localhost\r\n\r\n',
      (socket) => {
        stuck = socket
        socket.pause()
      },
    )
    await sleep(kernel.clock, 50)
    const message = 'x'.repeat(2_000)
    for (let n = 0; n < 60_000; n++) {
      runtime.events.publish({ kind: 'log', consumer: 'finance', messageId: 'msg_1', message })
      if (n % 1_000 === 0) await sleep(kernel.clock, 1)
    }
    expect((await fetch(`${listener.url}/healthz`)).status).toBe(200)
    stuck?.resume()
    const text = await done
    const received = text.match(/^id: \d+$/gm) ?? []
    expect(received.length).toBeGreaterThan(0)
    expect(received.length).toBeLessThan(60_000)
  })

  it('ends for every reader when the listener closes', async () => {
    const { listener } = await start()
    const answer = await fetch(`${listener.url}/api/v1/stream`)
    const text = answer.text()
    await listener.close()
    expect(await text).toContain('event: hello')
    await expect(fetch(`${listener.url}/healthz`)).rejects.toThrow('fetch failed')
  })
})
