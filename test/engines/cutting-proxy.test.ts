import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type CuttingProxy, startCuttingProxy } from './cutting-proxy.ts'
import { findFreePorts } from './free-ports.ts'

let proxy: CuttingProxy
let closeServer: () => void

beforeEach(async () => {
  const [port = 0] = await findFreePorts(1)
  const accepted = new Set<Socket>()
  const echo = createServer((socket) => {
    accepted.add(socket)
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  echo.listen(port, '127.0.0.1')
  await once(echo, 'listening')
  closeServer = () => {
    for (const socket of accepted) socket.destroy()
    echo.close()
  }
  proxy = await startCuttingProxy({ host: '127.0.0.1', port })
})
afterEach(async () => {
  await proxy.close()
  closeServer()
})

/** A client that keeps what it heard, and when. */
const openClient = async () => {
  const socket = connect({ host: '127.0.0.1', port: proxy.port })
  let heard = ''
  socket.on('data', (chunk: Buffer) => (heard += chunk.toString('utf8')))
  const closed = new Promise<void>((resolve) => void socket.once('close', () => resolve()))
  socket.on('error', () => {})
  await once(socket, 'connect')
  return {
    say: (text: string) => void socket.write(text),
    end: () => void socket.destroy(),
    closed,
    heard: () => heard,
    hears: (text: string) => expect.poll(() => heard, { timeout: 10_000, interval: 5 }).toBe(text),
  }
}

describe('a network that is cut', () => {
  it('breaks every connection and refuses new ones until it is healed, on the same port', async () => {
    const client = await openClient()
    client.say('a')
    await client.hears('a')

    await proxy.cut()

    await client.closed
    await expect(openClient()).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    await proxy.heal()
    const next = await openClient()
    next.say('b')
    await next.hears('b')
  })

  it('loses the answer to a named request, and only that', async () => {
    proxy.cutAt('lost', 'after')
    const client = await openClient()
    client.say('kept ')
    await client.hears('kept ')

    client.say('lost')

    await client.closed
    expect(client.heard()).toBe('kept ')
  })
})

describe('a network that swallows', () => {
  it('keeps connections open and silent, and delivers what was sent when it is healed', async () => {
    const client = await openClient()
    client.say('a')
    await client.hears('a')

    proxy.blackhole()
    client.say('b')
    const late = await openClient()
    late.say('c')

    await new Promise((resolve) => void setTimeout(resolve, 200))
    expect([client.heard(), late.heard()]).toEqual(['a', ''])
    await proxy.heal()
    await client.hears('ab')
    await late.hears('c')
  })

  it('does not let the end of the server through', async () => {
    const client = await openClient()
    client.say('a')
    await client.hears('a')
    let isClosed = false
    void client.closed.then(() => (isClosed = true))

    proxy.blackhole()
    closeServer()

    await new Promise((resolve) => void setTimeout(resolve, 200))
    expect(isClosed).toBe(false)
    await proxy.heal()
    await client.closed
    expect(isClosed).toBe(true)
  })
})

describe('a slow network', () => {
  it('delays in both directions, keeps the order, and is fast again when healed', async () => {
    const client = await openClient()
    proxy.slow({ delayMs: 100 })
    const startMs = performance.now()

    for (const text of ['a', 'b', 'c']) client.say(text)
    await client.hears('abc')

    expect(performance.now() - startMs).toBeGreaterThanOrEqual(195)
    await proxy.heal()
    client.say('d')
    await client.hears('abcd')
  })

  it('lets no more through than it was given', async () => {
    const client = await openClient()
    proxy.slow({ delayMs: 0, bytesPerSecond: 100_000 })
    const startMs = performance.now()
    const text = 'x'.repeat(50_000)

    client.say(text)
    await client.hears(text)

    expect(performance.now() - startMs).toBeGreaterThanOrEqual(450)
  })

  it('passes what is far more than it may hold', async () => {
    const client = await openClient()
    proxy.slow({ delayMs: 1 })
    const text = 'x'.repeat(8_000_000)

    client.say(text)

    await client.hears(text)
  })
})
