import { connect, type Socket } from 'node:net'
import { Agent, request as httpRequest } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import { createSystemKernel } from '../kernel/index.ts'
import {
  acmeHook,
  type BorderBench,
  bytesOf,
  openBorder,
  order,
  signedHeaders,
} from './border.fixture.ts'
import type { IngressRequest, IngressResponse } from './ingress-request.ts'
import { type Listener, type ListenerOptions, openListener } from './listener.ts'

const open: { close(): Promise<void> }[] = []

afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
})

type Handle = (request: IngressRequest) => Promise<IngressResponse>

async function listen(
  handle: Handle,
  options: Partial<Omit<ListenerOptions, 'timeouts'>> & {
    readonly timeouts?: ListenerOptions['timeouts']
  } = {},
): Promise<Listener> {
  const { timeouts, ...rest } = options
  const listener = await openListener({
    kernel: createSystemKernel(),
    ingress: { handle },
    port: 0,
    host: '127.0.0.1',
    timeouts: { lameDuckMs: 0, ...timeouts },
    ...rest,
  })
  open.push({ close: () => listener.close(200) })
  return listener
}

/** Reads the body and says how long it was. */
const measure: Handle = async (request) => {
  const read = await request.body.read(1_000_000, {
    take: () => true,
    give: () => undefined,
    held: 0,
  })
  const body = read.kind === 'bytes' ? String(read.bytes.length) : read.kind
  return {
    status: read.kind === 'bytes' ? 200 : 400,
    headers: {},
    body,
    close: read.kind !== 'bytes',
  }
}

/** Never reads the body. */
const turnAway: Handle = () =>
  Promise.resolve({ status: 413, headers: {}, body: 'too large', close: true })

interface RawClient {
  readonly socket: Socket
  send(text: string): void
  /** Everything the server said, once it has closed the connection or the text is there. */
  until(text: string | undefined): Promise<string>
}

function dial(listener: Listener): RawClient {
  const socket = connect(listener.port, '127.0.0.1')
  open.push({ close: () => Promise.resolve(void socket.destroy()) })
  let said = ''
  let isClosed = false
  const waiting = new Set<() => void>()
  const wake = (): void => waiting.forEach((check) => check())
  socket.on('data', (chunk) => {
    said += chunk.toString('latin1')
    wake()
  })
  socket.on('error', () => undefined)
  socket.on('close', () => {
    isClosed = true
    wake()
  })
  return {
    socket,
    send: (text) => void socket.write(text, 'latin1'),
    until: (text) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (!isClosed && (text === undefined || !said.includes(text))) return
          waiting.delete(check)
          resolve(said)
        }
        waiting.add(check)
        check()
      }),
  }
}

const post = (headers: string, body = ''): string =>
  `POST /x HTTP/1.1\r\nHost: a\r\n${headers}\r\n\r\n${body}`

describe('framing (F101)', () => {
  const attacks = [
    [
      'Content-Length and Transfer-Encoding',
      post('Content-Length: 3\r\nTransfer-Encoding: chunked', '0\r\n\r\n'),
    ],
    ['two Content-Lengths', post('Content-Length: 3\r\nContent-Length: 4', 'abcd')],
    ['a Content-Length that is a list', post('Content-Length: 3, 3', 'abc')],
    ['a Content-Length with a sign', post('Content-Length: +3', 'abc')],
    ['a folded header line', post('X-A: b\r\n folded\r\nContent-Length: 0')],
    ['bare line feeds', 'POST /x HTTP/1.1\nHost: a\nContent-Length: 0\n\n'],
    ['a space before the colon', post('X-A : b\r\nContent-Length: 0')],
    ['a null byte in a header', post('X-A: b\0c\r\nContent-Length: 0')],
    ['a chunk size that is no number', post('Transfer-Encoding: chunked', 'xyz\r\n')],
    ['a chunk size beyond any number', post('Transfer-Encoding: chunked', 'FFFFFFFFFFFFFFFFF\r\n')],
    ['a coding after chunked', post('Transfer-Encoding: chunked, identity', '0\r\n\r\n')],
    [
      'a trailer that is a length',
      post('Transfer-Encoding: chunked', '0\r\nContent-Length: 9\r\n\r\n'),
    ],
    ['no Host', 'POST /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n'],
    ['an unknown protocol', 'POST /x HTTP/9.9\r\nHost: a\r\n\r\n'],
    ['no HTTP at all', '\x16\x03\x01\x02\x00\x01'],
  ] as const

  it.each(attacks)('%s is refused with 400 and the connection is closed', async (_, bytes) => {
    const client = dial(await listen(measure))

    client.send(bytes)

    const said = await client.until(undefined)
    expect(said.startsWith('HTTP/1.1 400')).toBe(true)
    expect(said.match(/^HTTP\/1\.1 \d/gm)).toHaveLength(1)
  })

  it('broken behind a whole request leaves that request its own answer', async () => {
    let finish: (() => void) | undefined
    const client = dial(
      await listen(async (request) => {
        const answer = await measure(request)
        await new Promise<void>((resolve) => (finish = resolve))
        return answer
      }),
    )
    client.send(post('Content-Length: 3', 'abc') + 'garbage\r\n\r\n')
    await untilTrue(() => Promise.resolve(finish !== undefined))

    finish?.()

    const said = await client.until(undefined)
    expect(said).toMatch(/^HTTP\/1\.1 200/)
    expect(said.match(/^HTTP\/1\.1 \d/gm)).toHaveLength(1)
  })

  it('with headers beyond the cap is answered 431 (F102, W18)', async () => {
    const client = dial(await listen(measure))

    client.send(post(`X-A: ${'a'.repeat(70_000)}\r\nContent-Length: 0`))

    expect(await client.until(undefined)).toMatch(/^HTTP\/1\.1 431 .*application\/problem\+json/s)
  })

  it('with trailers and chunk extensions is read as what it says, and they mean nothing', async () => {
    const client = dial(await listen(measure))

    client.send(post('Transfer-Encoding: chunked', '3;a=b\r\nabc\r\n0\r\nX-Trailer: 99\r\n\r\n'))

    expect(await client.until('\r\n\r\n3')).toContain('HTTP/1.1 200')
  })

  it('shows every header line to the border, however many (F102)', async () => {
    let seen = 0
    const client = dial(
      await listen((request) => {
        seen = request.rawHeaders.length / 2
        return turnAway(request)
      }),
    )

    client.send(post(`${'a: b\r\n'.repeat(2_500)}Content-Length: 0`))
    await client.until('too large')

    expect(seen).toBe(2_502)
  })
})

describe('slow clients (F100)', () => {
  it('that never finish their headers are cut off', async () => {
    const client = dial(await listen(measure, { timeouts: { headersMs: 200 } }))

    client.send('POST /x HTTP/1.1\r\nHost: a\r\n')

    expect(await client.until(undefined)).toContain('HTTP/1.1 408')
  })

  it('that send a byte a second are cut off, and the others are served meanwhile', async () => {
    const listener = await listen(measure, {
      timeouts: { bodyGraceMs: 300, bodyBytesPerSecondMin: 100 },
    })
    const slow = dial(listener)
    const quick = dial(listener)

    slow.send(post('Content-Length: 1000', 'a'))
    quick.send(post('Content-Length: 3', 'abc'))

    expect(await quick.until('\r\n\r\n3')).toContain('HTTP/1.1 200')
    expect(await slow.until(undefined)).toContain('too-slow')
  })

  it('that are idle lose their connection', async () => {
    const listener = await listen(measure, { timeouts: { keepAliveMs: 100 } })
    const client = dial(listener)
    client.send(post('Content-Length: 3', 'abc'))
    await client.until('\r\n\r\n3')

    await client.until(undefined)

    expect(client.socket.destroyed).toBe(true)
  })

  it('beyond the number of connections are not taken', async () => {
    const listener = await listen(measure, { connectionsMax: 1 })
    const first = dial(listener)
    first.send(post('Content-Length: 3', 'abc'))
    await first.until('\r\n\r\n3')

    const second = dial(listener)

    expect(await second.until(undefined)).toBe('')
  })
})

describe('bodies', () => {
  it('beyond the cap are refused while they come, and the answer arrives (F45)', async () => {
    const client = dial(await listen(measure))

    client.send(post('Transfer-Encoding: chunked'))
    for (let index = 0; index < 20; index++) client.send(`10000\r\n${'a'.repeat(65_536)}\r\n`)

    const said = await client.until(undefined)
    expect(said).toContain('too-large')
    expect(said).toMatch(/connection: close/i)
  })

  it('that nobody reads do not keep the answer from arriving', async () => {
    const client = dial(await listen(turnAway))

    client.send(post('Content-Length: 100000000', 'a'.repeat(100_000)))

    expect(await client.until(undefined)).toContain('too large')
  })

  it('are asked for only when they are wanted (F105)', async () => {
    const wanted = dial(await listen(measure))
    const unwanted = dial(await listen(turnAway))
    const headers = 'Expect: 100-continue\r\nContent-Length: 3'

    wanted.send(post(headers))
    unwanted.send(post(headers))
    await wanted.until('100 Continue')
    wanted.send('abc')

    expect(await wanted.until('\r\n\r\n3')).toContain('HTTP/1.1 200')
    expect(await unwanted.until(undefined)).not.toContain('100 Continue')
  })

  it('behind another expectation are answered 417', async () => {
    const client = dial(await listen(measure))

    client.send(post('Expect: the-unexpected\r\nContent-Length: 3', 'abc'))

    expect(await client.until('417')).toContain('HTTP/1.1 417')
  })

  it('cut off by the client end as incomplete, and nothing else happens (F106)', async () => {
    const outcomes: string[] = []
    const listener = await listen(async (request) => {
      const answer = await measure(request)
      outcomes.push(answer.body)
      return answer
    })
    const client = dial(listener)
    client.send(post('Content-Length: 100', 'abc'))
    await untilTrue(async () => (await listener.connections()) === 1)

    client.socket.destroy()

    await untilTrue(() => Promise.resolve(outcomes.length === 1))
    expect(outcomes).toEqual(['incomplete'])
  })
})

describe('draining (F14)', () => {
  it('finishes what is in flight, says close, and takes nothing more', async () => {
    let finish: (() => void) | undefined
    const listener = await listen(async (request) => {
      await new Promise<void>((resolve) => (finish = resolve))
      return measure(request)
    })
    const { port } = listener
    const busy = dial(listener)
    busy.send(post('Content-Length: 3', 'abc'))
    await untilTrue(() => Promise.resolve(finish !== undefined))

    const closing = listener.close(5_000)
    await untilShut(port)
    finish?.()
    const said = await busy.until(undefined)
    await closing

    expect(said).toContain('HTTP/1.1 200')
    expect(said).toMatch(/connection: close/i)
  })

  it('cuts what does not finish within its grace', async () => {
    const listener = await listen(() => new Promise(() => undefined))
    const stuck = dial(listener)
    stuck.send(post('Content-Length: 0'))
    await untilTrue(async () => (await listener.connections()) === 1)

    await listener.close(100)

    expect(await stuck.until(undefined)).toBe('')
  })

  it('goes on as if nothing was until the lame duck time is over, for old and new connections', async () => {
    const listener = await listen(measure, { timeouts: { lameDuckMs: 300 } })
    const old = dial(listener)
    old.send(post('Content-Length: 3', 'abc'))
    await old.until('\r\n\r\n3')

    const closing = listener.close(2_000)
    old.send(post('Content-Length: 4', 'abcd'))
    const fresh = dial(listener)
    fresh.send(post('Content-Length: 5', 'abcde'))

    expect(await old.until('\r\n\r\n4')).not.toMatch(/connection: close/i)
    expect(await fresh.until('\r\n\r\n5')).not.toMatch(/connection: close/i)
    await closing
  })

  it('then answers what is connected, idle before or not, and tells it to leave', async () => {
    const listener = await listen(measure, { timeouts: { lameDuckMs: 400 } })
    const { port } = listener
    const client = dial(listener)
    client.send(post('Content-Length: 3', 'abc'))
    await client.until('\r\n\r\n3')

    const closing = listener.close(2_000)
    await untilShut(port)
    client.send(post('Content-Length: 4', 'abcd'))

    expect(await client.until(undefined)).toMatch(/connection: close[^]*\r\n\r\n4$/i)
    await closing
  })
})

describe('the whole border over a socket', () => {
  it('takes a signed webhook and dedupes it, on one connection', async () => {
    const border = await openBorder()
    const listener = await listen((request) => border.ingress.handle(request))
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })

    const statuses = [await send(border, listener, agent), await send(border, listener, agent)]
    agent.destroy()

    expect(statuses).toEqual([202, 200])
    expect(await border.stored()).toBe(1)
  })

  it('finishes what was received whole when the client leaves before the answer (F3, F106)', async () => {
    const border = await openBorder()
    const listener = await listen((request) => border.ingress.handle(request))
    const client = dial(listener)
    const body = JSON.stringify(order())
    const headers = signedHeaders(border, acmeHook(), { signed: bytesOf(order()) })
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)

    client.send(
      `POST /webhooks/acme HTTP/1.1\r\nHost: a\r\n${lines.join('')}` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    )
    await untilTrue(() =>
      Promise.resolve(border.ingress.inFlight === 1 || border.events.length > 0),
    )
    client.socket.destroy()

    await untilTrue(async () => (await border.stored()) === 1)
    const agent = new Agent()
    expect(await send(border, listener, agent)).toBe(200)
    agent.destroy()
  })
})

function send(border: BorderBench, listener: Listener, agent: Agent): Promise<number> {
  const body = bytesOf(order())
  const headers = {
    ...signedHeaders(border, acmeHook(), { signed: body }),
    'content-type': 'application/json',
    'content-length': body.length,
  }
  const { port } = listener
  return new Promise((resolve, reject) => {
    const sent = httpRequest(
      { port, host: '127.0.0.1', method: 'POST', path: '/webhooks/acme', headers, agent },
      (response) => {
        response.resume()
        response.on('end', () => resolve(response.statusCode ?? 0))
      },
    )
    sent.on('error', reject)
    sent.end(body)
  })
}

/** Until nobody can connect any more. */
function untilShut(port: number): Promise<void> {
  return untilTrue(
    () =>
      new Promise((resolve) => {
        const probe = connect(port, '127.0.0.1')
        probe.on('connect', () => resolve(false))
        probe.on('error', () => resolve(true))
        probe.on('connect', () => probe.destroy())
      }),
  )
}

async function untilTrue(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5))
}
