import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { HttpCall } from './http-dial.ts'
import { createHttpDialer, type HttpDialer } from './http-dialer.ts'

interface Seen {
  readonly headers: IncomingMessage['headers']
  readonly body: string
  readonly port: number | undefined
}

const servers: Server[] = []
const dialers: HttpDialer[] = []
afterEach(() => {
  for (const dialer of dialers.splice(0)) dialer.close()
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

const listen = async (
  answer: (response: ServerResponse, n: number, socket: Socket) => void,
): Promise<{ readonly url: string; readonly seen: Seen[] }> => {
  const seen: Seen[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString()
      seen.push({ headers: request.headers, body, port: request.socket.remotePort })
      answer(response, seen.length, request.socket)
    })
  })
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  // A server that listens has an address.
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/events`, seen }
}

const open = (): HttpDialer => {
  const dialer = createHttpDialer()
  dialers.push(dialer)
  return dialer
}

const call = (url: string, more: Partial<HttpCall> = {}): HttpCall => ({
  method: 'POST',
  url,
  headers: { 'content-type': 'application/json', 'ce-id': '1' },
  body: Buffer.from('{"ö":1}'),
  signal: AbortSignal.timeout(10_000),
  answerBytesMax: 1_000,
  ...more,
})

describe('a request over a real socket', () => {
  it('carries headers and bytes as they are, and keeps its connection for the next', async () => {
    const { url, seen } = await listen((response) =>
      response.writeHead(200, { 'Retry-After': '3', 'X-Two': ['a', 'b'] }).end('taken'),
    )
    const { dial } = open()

    const reply = await dial(call(url))
    await dial(call(url))

    expect(reply).toMatchObject({ status: 200, isCut: false })
    expect(reply.headers).toMatchObject({ 'retry-after': '3', 'x-two': 'a, b' })
    expect(Buffer.from(reply.body).toString()).toBe('taken')
    expect(seen[0]).toMatchObject({ body: '{"ö":1}', headers: { 'content-length': '8' } })
    expect(seen[0]?.headers['accept-encoding']).toBe('identity')
    expect(seen[1]?.port).toBe(seen[0]?.port)
  })

  it('follows no redirect', async () => {
    const { url, seen } = await listen((response) =>
      response.writeHead(302, { location: '/elsewhere' }).end(),
    )

    expect((await open().dial(call(url))).status).toBe(302)
    expect(seen).toHaveLength(1)
  })

  it('reads no more of an answer than it may', async () => {
    const { url } = await listen((response) => {
      response.writeHead(200)
      const more = (): void => {
        if (!response.destroyed) response.write('x'.repeat(500), () => setImmediate(more))
      }
      more()
    })

    const reply = await open().dial(call(url))

    expect(reply).toMatchObject({ status: 200, isCut: true })
    expect(reply.body).toHaveLength(1_000)
  })

  it('ends with its signal, also while the body of the answer drips (W16)', async () => {
    const { url } = await listen((response) => {
      response.writeHead(200)
      response.write('x')
    })

    await expect(open().dial(call(url, { signal: AbortSignal.timeout(100) }))).rejects.toThrow()
  })

  it('fails when the answer ends before it is whole', async () => {
    const { url } = await listen((response, _, socket) => {
      response.writeHead(200, { 'content-length': '100' })
      response.write('x', () => socket.destroy())
    })

    await expect(open().dial(call(url))).rejects.toThrow()
  })

  it('fails at once when the receiver switches to another protocol, and holds nothing', async () => {
    const { url } = await listen((_, __, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n')
    })

    await expect(open().dial(call(url))).rejects.toThrow('without an answer')
  })

  it('is sent again at once where a kept connection was closed meanwhile, and only there', async () => {
    const { url, seen } = await listen((response, n, socket) => {
      if (n === 2) socket.destroy()
      else response.end('taken')
    })
    const { dial } = open()
    await dial(call(url))

    expect((await dial(call(url))).status).toBe(200)
    expect(seen).toHaveLength(3)

    const other = await listen((_, __, socket) => socket.destroy())
    await expect(dial(call(other.url))).rejects.toMatchObject({ code: 'ECONNRESET' })
    expect(other.seen).toHaveLength(1)
  })

  it('fails where nobody listens, with the code of the system', async () => {
    const { url } = await listen(() => undefined)
    servers.splice(0).forEach((server) => server.close())

    await expect(open().dial(call(url))).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })
})
