// The load generator, in a process of its own: signed, unique requests over keep-alive sockets.
// node bench/webhook-load.ts URL SECONDS CONNECTIONS RATE (0 = as fast as answers come)
import { createHmac } from 'node:crypto'
import { connect, type Socket } from 'node:net'

const [url = '', seconds = '3', connections = '64', rate = '0'] = process.argv.slice(2)
const target = new URL(url)
const key = Buffer.from('b25seSBmb3IgZGV2ZWxvcG1lbnQsIG5vdCBhIHNlY3JldA==', 'base64')
const run = `${process.pid}-${Date.now()}`
const padding = 'x'.repeat(700)
const latencies: number[] = []
let sent = 0
let failed = 0

/** About 1 KB, a new id and a new order each time. */
function nextRequest(): Buffer {
  const id = `bench-${run}-${sent++}`
  const timestamp = Math.floor(Date.now() / 1_000)
  const body = JSON.stringify({
    version: 2,
    orderId: `A-${id}`,
    status: 'placed',
    occurredAt: '2026-01-01T00:00:00Z',
    customer: { email: `customer-${padding}@example.com` },
    total: { amount: '12.50', currency: 'EUR' },
  })
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')
  return Buffer.from(
    `POST ${target.pathname} HTTP/1.1\r\nhost: ${target.host}\r\ncontent-type: application/json\r\n` +
      `webhook-id: ${id}\r\nwebhook-timestamp: ${timestamp}\r\nwebhook-signature: v1,${signature}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

/** One connection, one request at a time. */
class Connection {
  readonly #socket: Socket
  #text = ''
  #dueMs = 0
  #done: () => void = () => undefined

  constructor() {
    this.#socket = connect(Number(target.port), target.hostname)
    this.#socket.setNoDelay(true)
    this.#socket.on('data', (chunk) => this.#read(chunk.toString('latin1')))
  }

  send(request: Buffer, dueMs: number, done: () => void): void {
    this.#dueMs = dueMs
    this.#done = done
    this.#socket.write(request)
  }

  #read(text: string): void {
    this.#text += text
    const end = this.#text.indexOf('\r\n\r\n')
    const length = /content-length: (\d+)/i.exec(this.#text)?.[1]
    if (end < 0 || this.#text.length < end + 4 + Number(length ?? 0)) return
    if (!this.#text.startsWith('HTTP/1.1 202')) failed += 1
    this.#text = ''
    latencies.push(performance.now() - this.#dueMs)
    this.#done()
  }

  close(): void {
    this.#socket.destroy()
  }
}

async function closedLoop(): Promise<number> {
  const all = Array.from({ length: Number(connections) }, () => new Connection())
  const startedMs = performance.now()
  const endMs = startedMs + Number(seconds) * 1_000
  await Promise.all(
    all.map(async (connection) => {
      while (performance.now() < endMs) {
        const request = nextRequest()
        await new Promise<void>((done) => connection.send(request, performance.now(), done))
      }
    }),
  )
  for (const connection of all) connection.close()
  return (performance.now() - startedMs) / 1_000
}

/** Requests are due on a schedule, whether or not the earlier ones were answered. */
async function openLoop(perSecond: number): Promise<number> {
  const idle = Array.from({ length: Number(connections) }, () => new Connection())
  const all = [...idle]
  const waiting: { readonly request: Buffer; readonly dueMs: number }[] = []
  const startedMs = performance.now()
  const total = perSecond * Number(seconds)
  const give = (): void => {
    while (waiting.length > 0 && idle.length > 0) {
      const connection = idle.pop()
      const next = waiting.shift()
      if (!connection || !next) return
      connection.send(next.request, next.dueMs, () => {
        idle.push(connection)
        give()
      })
    }
  }
  let due = 0
  while (latencies.length < total) {
    const shouldBe = Math.min(total, ((performance.now() - startedMs) / 1_000) * perSecond)
    for (; due < shouldBe; due++) {
      waiting.push({ request: nextRequest(), dueMs: startedMs + (due / perSecond) * 1_000 })
    }
    give()
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  for (const connection of all) connection.close()
  return (performance.now() - startedMs) / 1_000
}

const elapsed = Number(rate) > 0 ? await openLoop(Number(rate)) : await closedLoop()
latencies.sort((a, b) => a - b)
const at = (share: number): number =>
  Math.round((latencies[Math.floor(latencies.length * share)] ?? 0) * 100) / 100
const perSecond = Math.round(latencies.length / elapsed)
console.log(
  JSON.stringify({ requests: latencies.length, failed, perSecond, p50: at(0.5), p99: at(0.99) }),
)
