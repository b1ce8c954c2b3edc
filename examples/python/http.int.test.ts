import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { createRuntime, createSystemKernel, serveRuntime, type Runtime } from 'junctura'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { findFreePorts } from '../../test/engines/free-ports.ts'

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
const TOKEN = 'the-token-of-the-order-desk-1234'
const ENV = { EVENTS_TOKEN: TOKEN, PUSH_SECRET: SECRET, PYTHONDONTWRITEBYTECODE: '1' }

let folder = ''
let receiverPort = 0
let runtime: Runtime
let events = ''
let stopServing: () => Promise<void> = () => Promise.resolve()
const running = new Set<ChildProcess>()

beforeAll(async () => {
  Object.assign(process.env, ENV)
  const [port = 0] = await findFreePorts(1)
  receiverPort = port
  process.env['RECEIVER_URL'] = `http://127.0.0.1:${port}/`
})
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'junctura-python-http-'))
  const { default: integration } = await import('./integration.ts')
  runtime = await createRuntime(integration, {
    kernel: createSystemKernel(),
    store: { engine: 'sqlite', directory: join(folder, 'store') },
  })
  const served = await serveRuntime(runtime, { port: 0, host: '127.0.0.1', managementPort: 0 })
  events = `${served.url}/events`
  stopServing = () => served.close()
})
afterEach(async () => {
  await stopServing()
  for (const child of running) await kill(child)
  rmSync(folder, { recursive: true, force: true })
})
afterAll(() => {
  for (const name of [...Object.keys(ENV), 'RECEIVER_URL']) delete process.env[name]
})

const python = (program: string, args: readonly string[]): ChildProcess => {
  const child = spawn('python3', [join(import.meta.dirname, program), ...args], {
    env: { ...process.env, ...ENV },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  running.add(child)
  return child
}

const kill = async (child: ChildProcess): Promise<void> => {
  running.delete(child)
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

/** Resolves when it takes requests. */
const startReceiver = async (...args: readonly string[]): Promise<ChildProcess> => {
  const inbox = ['--inbox', join(folder, 'invoices.db')]
  const receiver = python('http_receive.py', ['--port', String(receiverPort), ...inbox, ...args])
  if (!receiver.stdout) throw new Error('the receiver has no stdout')
  await once(createInterface(receiver.stdout), 'line')
  return receiver
}

interface Order {
  readonly orderId: string
  readonly cents: number
}

/** Runs the producer to its end. */
const produce = async (
  orders: readonly Order[],
  ...args: readonly string[]
): Promise<{ readonly code: number; readonly results: readonly Record<string, unknown>[] }> => {
  const producer = python('http_send.py', [events, '--source', '/order-desk', ...args])
  const results: Record<string, unknown>[] = []
  if (!producer.stdout || !producer.stdin) throw new Error('the producer has no pipes')
  createInterface(producer.stdout).on('line', (line) => results.push(JSON.parse(line)))
  for (const data of orders) {
    const line = { type: 'orders.placed', id: `${data.orderId}-${data.cents}`, data }
    producer.stdin.write(`${JSON.stringify(line)}\n`)
  }
  producer.stdin.end()
  const [code] = await once(producer, 'close')
  running.delete(producer)
  return { code: Number(code), results }
}

const rowsOf = (file: string, query: string): readonly Record<string, unknown>[] => {
  if (!existsSync(join(folder, file))) return []
  const database = new DatabaseSync(join(folder, file), { readOnly: true, timeout: 5_000 })
  try {
    return database.prepare(query).all()
  } finally {
    database.close()
  }
}

/** What the receiver has committed, in its order. */
const invoices = (): readonly Order[] =>
  rowsOf('invoices.db', 'select data from received order by number').map(({ data }) =>
    JSON.parse(String(data)),
  )

const ledger = (): readonly unknown[] =>
  rowsOf('store/junctura.db', 'select order_id, cents from ledger order by rowid').map((row) => ({
    orderId: row['order_id'],
    cents: row['cents'],
  }))

const ORDERS: readonly Order[] = Array.from({ length: 30 }, (_, n) => ({
  orderId: ['A-1', 'ö 2%', 'A-3'][n % 3] ?? '',
  cents: n,
}))

const byOrder = (list: readonly Order[]): Readonly<Record<string, readonly number[]>> =>
  Object.fromEntries(
    Array.from(
      Map.groupBy(list, ({ orderId }) => orderId),
      ([orderId, some]) => [orderId, some.map(({ cents }) => cents)],
    ),
  )

describe('Python over HTTP', () => {
  it('publishes and consumes, one effect for each event though all is sent twice', async () => {
    await startReceiver()

    const first = await produce(ORDERS)
    const second = await produce(ORDERS)
    const third = await produce(ORDERS, '--batch', '7')
    await expect.poll(() => invoices().length, { timeout: 30_000 }).toBe(ORDERS.length)
    await runtime.idle()

    expect([first.code, second.code, third.code]).toEqual([0, 0, 0])
    expect(first.results.map(({ status }) => status)).toEqual(ORDERS.map(() => 'accepted'))
    expect(second.results).toEqual(first.results.map(({ id }) => ({ id, status: 'duplicate' })))
    expect(third.results).toMatchObject(
      first.results.map(({ id }) => ({ id, status: 'duplicate' })),
    )
    expect(byOrder(invoices())).toEqual(byOrder(ORDERS))
  })

  it('answers events of its own, which commit with the completion', async () => {
    await startReceiver('--reply')

    await produce(ORDERS.slice(0, 3), '--batch', '10')
    await expect.poll(() => ledger().length, { timeout: 30_000 }).toBe(3)

    expect(ledger()).toEqual(expect.arrayContaining(ORDERS.slice(0, 3)))
  })

  it('gets what came while it was away, in order for each key, also when it is killed', async () => {
    const before = await startReceiver('--reply')
    await produce(ORDERS.slice(0, 6))
    await kill(before)
    await produce(ORDERS.slice(6, 24), '--batch', '6')
    const killed = await startReceiver('--reply')
    await expect.poll(() => invoices().length, { timeout: 30_000 }).toBeGreaterThan(8)
    await kill(killed)
    await startReceiver('--reply')
    await produce(ORDERS.slice(24), '--batch', '6')

    await expect.poll(() => ledger().length, { timeout: 60_000 }).toBe(ORDERS.length)
    expect(byOrder(invoices())).toEqual(byOrder(ORDERS))
    expect((await runtime.deadLetters({})).items).toEqual([])
  })

  it('refuses for good with 400: a dead letter with its answer, and the next goes on', async () => {
    await startReceiver()

    await produce([
      { orderId: 'A-1', cents: -1 },
      { orderId: 'A-1', cents: 2 },
    ])
    await expect.poll(() => invoices(), { timeout: 30_000 }).toEqual([{ orderId: 'A-1', cents: 2 }])

    const { items } = await runtime.deadLetters({})
    expect(items).toMatchObject([{ consumer: 'invoices', attempts: 1, key: 'A-1' }])
    expect(items[0]?.errorMessage).toContain(
      'it answered HTTP 400: “{"error": "order A-1 costs less than nothing"}”',
    )
  })

  it('believes nobody without a signature, with another one, or with an old one', async () => {
    await startReceiver()
    const body = JSON.stringify({ orderId: 'A-1', cents: 1 })
    const send = async (headers: Readonly<Record<string, string>>): Promise<number> => {
      const url = `http://127.0.0.1:${receiverPort}/`
      const answer = await fetch(url, { method: 'POST', body, headers })
      await answer.text()
      return answer.status
    }
    const wrong = Buffer.alloc(32).toString('base64')
    const now = String(Math.floor(Date.now() / 1_000))

    expect(await send({})).toBe(401)
    expect(
      await send({
        'webhook-id': '1',
        'webhook-timestamp': now,
        'webhook-signature': `v1,${wrong}`,
      }),
    ).toBe(401)
    expect(
      await send({
        'webhook-id': '1',
        'webhook-timestamp': '1',
        'webhook-signature': `v1,${wrong}`,
      }),
    ).toBe(401)
    expect(invoices()).toEqual([])
  })

  it('is told what is wrong with an event, and ends with 1', async () => {
    const { code, results } = await produce([{ orderId: 'A-1', cents: 1.5 }])

    expect(code).toBe(1)
    expect(results).toMatchObject([
      { code: 'JUNCTURA_BODY_INVALID', errors: [{ pointer: '/cents' }] },
    ])
  })
})
