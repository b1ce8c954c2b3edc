import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSystemKernel } from '../../src/kernel/index.ts'
import { createRuntime, type Runtime } from '../../src/runtime/index.ts'
import {
  type Broker,
  type BrokerMessage,
  createKafkaBroker,
  createNatsBroker,
  createRabbitmqBroker,
  type ReceivedMessage,
} from '../../src/transport/index.ts'
import { engineForTests, type RunningEngine } from '../../test/engines/engine.ts'
import { fetchPythonPackages } from './python-packages.ts'
import { shopOrders } from './shop-orders.ts'

const BROKERS = {
  nats: (url: string) => createNatsBroker({ ...createSystemKernel(), url }),
  kafka: (url: string) => createKafkaBroker({ ...createSystemKernel(), url }),
  rabbitmq: (url: string) =>
    createRabbitmqBroker({ ...createSystemKernel(), url, queues: { [CHANNEL]: ['reporting'] } }),
} as const

/** Servers may be shared: names of our own. */
const CHANNEL = `python.orders-${process.pid}`
const TOPIC = `python-shop-${process.pid}`
const DAY_MS = 86_400_000

let packages = ''
let folder = ''
beforeAll(async () => {
  packages = await fetchPythonPackages()
  folder = mkdtempSync(join(tmpdir(), 'junctura-python-'))
}, 900_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const python = (program: string, args: readonly string[]): ChildProcess =>
  spawn('python3', [join(import.meta.dirname, program), ...args], {
    env: { ...process.env, PYTHONPATH: packages, PYTHONDONTWRITEBYTECODE: '1' },
    stdio: ['pipe', 'ignore', 'inherit'],
  })

/** What the consumer has committed: one row for each event. */
const effects = (file: string): readonly (readonly [key: string, data: string])[] => {
  if (!existsSync(file)) return []
  const database = new DatabaseSync(file, { readOnly: true, timeout: 5_000 })
  try {
    const rows = database.prepare('select key, data from received order by number').all()
    return rows.map(({ key, data }) => [String(key), String(data)])
  } catch (error) {
    // Its tables are not there yet.
    if (error instanceof Error && error.message.includes('no such table')) return []
    throw error
  } finally {
    database.close()
  }
}

const KEYS = ['o-1', 'ö 2%', 'o-3']

const messageOf = (number: number, partitions: number): BrokerMessage => {
  const key = KEYS[number % KEYS.length] ?? ''
  return {
    partition: (number % KEYS.length) % partitions,
    key,
    id: `id-${number}`,
    attributes: {
      specversion: '1.0',
      id: `id-${number}`,
      type: 'orders.status-changed',
      source: '/junctura',
      datacontenttype: 'application/json',
      partitionkey: key,
    },
    data: Buffer.from(JSON.stringify({ number })),
  }
}

describe.each(Object.entries(BROKERS))('Python over %s', (name, open) => {
  let engine: Pick<RunningEngine, 'url' | 'stop'>
  let broker: Broker
  beforeAll(async () => {
    engine = await engineForTests(name as keyof typeof BROKERS)
    broker = await open(engine.url)
    await broker.ensure([{ channel: CHANNEL, retentionMs: DAY_MS }])
  })
  afterAll(async () => {
    await broker.close()
    await engine.stop()
  })

  it('has one effect for each event, in order per key, though events repeat and it is killed', async () => {
    const inbox = join(folder, `${name}.db`)
    const numbers = Array.from({ length: 300 }, (_, number) => number)
    const start = (): ChildProcess =>
      python('consume.py', [engine.url, CHANNEL, '--inbox', inbox, '--name', 'reporting'])

    const messages = numbers.map((number) => messageOf(number, broker.features.partitions))
    const first = start()
    await broker.publish(CHANNEL, messages.slice(0, 150))
    await expect.poll(() => effects(inbox).length, { timeout: 60_000 }).toBeGreaterThan(10)
    first.kill('SIGKILL')
    // As a relay that was killed before it knew what it had published.
    await broker.publish(CHANNEL, messages.slice(100))
    const second = start()
    await expect.poll(() => effects(inbox).length, { timeout: 60_000 }).toBe(numbers.length)
    second.kill('SIGINT')
    await once(second, 'exit')

    for (const key of KEYS) {
      const seen = effects(inbox).filter(([of]) => of === key)
      const sent = messages.filter((one) => one.key === key)
      expect(seen).toEqual(sent.map(({ data }) => [key, Buffer.from(data).toString('utf8')]))
    }
  })

  it('publishes what the driver reads: the same attributes, key, data and order', async () => {
    const producer = python('produce.py', [engine.url, TOPIC, '--source', '/shop'])
    for (let number = 0; number < 20; number += 1) {
      const line = { type: 'shop.order-placed', key: 'ö 1%', data: { number, text: 'żółw' } }
      producer.stdin?.write(`${JSON.stringify(line)}\n`)
    }
    producer.stdin?.end()
    expect((await once(producer, 'exit'))[0]).toBe(0)

    const received: ReceivedMessage[] = []
    const onBatch = async (messages: readonly ReceivedMessage[]): Promise<void> => {
      received.push(...messages)
    }
    const reading = await broker.read(TOPIC, { from: {}, onBatch })
    await expect.poll(() => received.length, { timeout: 60_000 }).toBe(20)
    await reading.close()

    for (const [number, { attributes, key, data }] of received.entries()) {
      expect(attributes).toEqual({
        specversion: '1.0',
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        type: 'shop.order-placed',
        source: '/shop',
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        datacontenttype: 'application/json',
        partitionkey: 'ö 1%',
      })
      expect(key).toBe('ö 1%')
      expect(JSON.parse(Buffer.from(data).toString('utf8'))).toEqual({ number, text: 'żółw' })
    }
  })

  it('is a source: what a program without a library of ours writes has one effect each', async () => {
    const topic = `python-topic-${process.pid}`
    const directory = join(folder, `store-${name}`)
    const kernel = {
      ...createSystemKernel(),
      env: (variable: string) => (variable === 'SHOP_BROKER_URL' ? engine.url : undefined),
    }
    const produce = async (numbers: readonly number[]): Promise<void> => {
      const producer = python('produce.py', [engine.url, topic, '--source', '/shop'])
      for (const number of numbers) {
        const data = number === 7 ? { number } : { number, text: 'żółw' }
        const line = { type: 'shop.order-placed', key: KEYS[number % 3], data }
        producer.stdin?.write(`${JSON.stringify(line)}\n`)
      }
      producer.stdin?.end()
      expect((await once(producer, 'exit'))[0]).toBe(0)
    }
    const store = { engine: 'sqlite', directory } as const
    const run = (): Promise<Runtime> => createRuntime(shopOrders(name, topic), { kernel, store })
    const placed = (): readonly number[] => {
      const database = new DatabaseSync(join(directory, 'junctura.db'), { readOnly: true })
      const rows = database.prepare('select number from placed order by id').all()
      database.close()
      return rows.map(({ number }) => Number(number))
    }

    await produce([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    const first = await run()
    await expect.poll(placed, { timeout: 60_000 }).toHaveLength(9)
    await first.close()
    await produce([10, 11, 12])
    const second = await run()
    await expect.poll(placed, { timeout: 60_000 }).toHaveLength(12)
    const { items } = await second.invalid({ limit: 9 })
    await second.close()

    expect(items).toMatchObject([{ webhook: 'topic/shop-orders', reason: 'schema' }])
    for (const key of [0, 1, 2]) {
      const numbers = placed().filter((number) => number % 3 === key)
      expect(numbers).toEqual(numbers.toSorted((one, other) => one - other))
    }
  })
})
