import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream'
import { connect, headers, type NatsConnection } from '@nats-io/transport-node'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { type RunningEngine, startEngine } from '../../../test/engines/engine.ts'
import { createSystemKernel, isJuncturaError, type LogFields } from '../../kernel/index.ts'
import type { Broker, ReadOptions, ReceivedMessage } from '../broker.ts'
import { createNatsBroker, type NatsBrokerOptions } from './index.ts'
import {
  DAY_MS,
  message,
  messages,
  numbersOf,
  ORDERS,
  PATIENCE,
  range,
  type Read,
  readStream,
} from './messages.fixture.ts'
import { rightsOfThePage } from './rights.fixture.ts'

const kernel = createSystemKernel()

let server: RunningEngine
let plain: NatsConnection
let manager: JetStreamManager
let broker: Broker
let prefix: string
let stream: string
let prefixes = 0
const opened: Broker[] = []
const warnings: LogFields[] = []

beforeAll(async () => {
  const settings = {
    max_payload: '16MB',
    accounts: `{
      ALL: { jetstream: enabled, users: [
        { user: all, password: all },
        { user: reader, password: reader, permissions: { publish: { deny: "*.orders.>" } } },
        { user: deaf, password: deaf, permissions: { subscribe: { deny: "*.orders.>" } } },
        { user: clerk, password: clerk, permissions: { publish: { deny: "$JS.API.STREAM.>" } } },
        { user: least, password: least, permissions: ${rightsOfThePage()} },
      ] },
      BARE: { users: [{ user: bare, password: bare }] },
    }`,
  }
  server = await startEngine('nats', { settings })
}, 300_000)
afterAll(() => server.stop())

const urlFor = (user: string): string => server.url.replace('//', `//${user}:${user}@`)

const open = async (options: Partial<NatsBrokerOptions> = {}): Promise<Broker> => {
  const { clock, random } = kernel
  const log = { ...kernel.log, warn: (fields: LogFields) => void warnings.push(fields) }
  const url = urlFor('all')
  const made = await createNatsBroker({ url, prefix, clock, random, log, ...options })
  opened.push(made)
  return made
}

beforeEach(async () => {
  prefixes += 1
  prefix = `test-${prefixes}`
  stream = `${prefix}_orders`
  warnings.length = 0
  plain = await connect({ servers: server.url, user: 'all', pass: 'all' })
  manager = await jetstreamManager(plain)
  broker = await open()
})

afterEach(async () => {
  for (const one of opened.splice(0)) await one.close()
  await plain.close()
})

const read = (from: Broker, options: Partial<ReadOptions> = {}): Promise<Read> =>
  readStream(from, stream, options)

describe('publishing', () => {
  it('keeps order and drops repeats when a rewound batch is half known already (F76)', async () => {
    await broker.ensure([ORDERS])
    await broker.publish('orders', messages(0, 300))
    await broker.publish('orders', messages(100, 500))
    await broker.publish('orders', messages(490, 505))

    const inbox = await read(broker)
    expect(numbersOf(await inbox.until(505))).toEqual(range(0, 505))
    const { state } = await manager.streams.info(stream)
    expect(state.messages).toBe(505)
  })

  it('publishes again what the stream lost, within the time in which it knows ids', async () => {
    await broker.ensure([ORDERS])
    await broker.publish('orders', messages(0, 50))
    await manager.streams.delete(stream)
    await broker.ensure([ORDERS])
    await broker.publish('orders', messages(0, 50))

    const inbox = await read(broker)
    expect(numbersOf(await inbox.until(50))).toEqual(range(0, 50))
  })

  it('keeps two messages of one id from two sources, and two records of one id', async () => {
    await broker.ensure([ORDERS])
    const { attributes } = message(1)
    await broker.publish('orders', [
      message(1),
      message(1, { attributes: { ...attributes, source: '/billing' } }),
      message(1, { attributes: { ...attributes, logposition: '1' } }),
      message(1, { attributes: { ...attributes, logposition: '2' } }),
      message(1, { attributes: { ...attributes, logposition: '2' } }),
    ])

    const inbox = await read(broker)
    await inbox.until(4)
    const { state } = await manager.streams.info(stream)
    expect(state.messages).toBe(4)
  })

  it('takes far more than one batch in one call, in order', async () => {
    await broker.ensure([ORDERS])
    await broker.publish('orders', messages(0, 3_000))

    const inbox = await read(broker)
    expect(numbersOf(await inbox.until(3_000))).toEqual(range(0, 3_000))
  })

  it('says in bounded time that a server which hangs has confirmed nothing (F75)', async () => {
    const impatient = await open({ publishTimeoutMs: 300 })
    await impatient.ensure([ORDERS])
    await server.pause()
    const [batch, single] = await Promise.allSettled([
      impatient.publish('orders', messages(0, 100)),
      impatient.publish('orders', messages(100, 101)),
    ])
    await server.resume()

    for (const outcome of [batch, single]) {
      const reason: unknown = outcome.status === 'rejected' ? outcome.reason : undefined
      expect(isJuncturaError(reason, 'JUNCTURA_TRANSPORT_UNAVAILABLE')).toBe(true)
    }
    await vi.waitFor(() => impatient.publish('orders', messages(0, 101)), PATIENCE)
    const inbox = await read(broker)
    expect(numbersOf(await inbox.until(101))).toEqual(range(0, 101))
  })

  it('fails at once, without waiting, when the stream was deleted (F77)', async () => {
    await broker.ensure([ORDERS])
    await manager.streams.delete(stream)

    await expect(broker.publish('orders', messages(0, 3))).rejects.toThrow('no stream')
    await expect(broker.publish('orders', messages(0, 100))).rejects.toThrow('no stream')
  })

  it('fails every message that waits when more wait than may', async () => {
    await broker.ensure([ORDERS])
    const first = broker.publish('orders', messages(0, 16_384))
    await expect(broker.publish('orders', messages(0, 1))).rejects.toThrow('wait to be published')
    await first

    const { state } = await manager.streams.info(stream)
    expect(state.messages).toBe(16_384)
  })
})

describe('messages of other programs', () => {
  it('reads what has no attributes, with its headers as text', async () => {
    await broker.ensure([ORDERS])
    const other = headers()
    other.set('Content-Type', 'text/plain')
    other.set('X-Origin', 'scale 7')
    plain.publish(`${prefix}.orders.0.weight`, '12 kg', { headers: other })
    plain.publish(`${prefix}.orders.0.weight`, 'bare')

    const inbox = await read(broker)
    const [first, second] = await inbox.until(2)
    expect(first).toMatchObject({
      partition: 0,
      offset: '1',
      key: '',
      attributes: { datacontenttype: 'text/plain' },
      headers: { 'X-Origin': 'scale 7' },
      data: Buffer.from('12 kg'),
    })
    expect(second).toMatchObject({ attributes: {}, headers: {}, offset: '2' })
  })

  it('reads CloudEvents as another language writes them, quoted, escaped or damaged', async () => {
    await broker.ensure([ORDERS])
    const other = headers()
    other.set('Ce-Id', '1')
    other.set('ce-subject', '"a \\"b\\""')
    other.set('ce-partitionkey', 'Z%c3%bcrich%20%F0%9F%98%80')
    other.set('ce-broken', '%C0%A0')
    plain.publish(`${prefix}.orders.0.weight`, '{}', { headers: other })

    const inbox = await read(broker)
    const [received] = await inbox.until(1)
    expect(received?.attributes).toEqual({
      id: '1',
      subject: 'a "b"',
      partitionkey: 'Zürich 😀',
    })
    expect(received?.key).toBe('Zürich 😀')
    expect(received?.headers).toEqual({ 'ce-broken': '%C0%A0' })
  })

  it('writes what the binding says, under a subject that others can choose by', async () => {
    await broker.ensure([ORDERS])
    const taken = plain.subscribe(`${prefix}.orders.*.orders.changed`, { max: 1 })
    await plain.flush()
    const attributes = { ...message(1).attributes, subject: 'Euro € 😀' }
    await broker.publish('orders', [message(1, { key: 'ä', attributes })])

    for await (const found of taken) {
      expect(found.headers?.get('ce-subject')).toBe('Euro%20%E2%82%AC%20%F0%9F%98%80')
      expect(found.headers?.get('ce-datacontenttype')).toBe('application/json')
      expect(found.headers?.get('Content-Type')).toBe('')
      expect(found.headers?.get('junctura-key')).toBe('%C3%A4')
    }
  })
})

describe('streams', () => {
  it('widens a stream that is there, and never narrows it', async () => {
    const { nanos } = await import('@nats-io/transport-node')
    await manager.streams.add({
      name: stream,
      subjects: [`${prefix}.orders.>`],
      max_age: nanos(60_000),
      duplicate_window: nanos(1_000),
      max_msgs: 1_000,
    })
    await manager.streams.add({
      name: `${prefix}_bills`,
      subjects: [`${prefix}.bills.>`],
      max_age: nanos(90 * DAY_MS),
      duplicate_window: nanos(600_000),
    })
    await broker.ensure([ORDERS, { channel: 'bills', retentionMs: DAY_MS }])

    const { config } = await manager.streams.info(stream)
    expect(config).toMatchObject({
      max_age: nanos(DAY_MS),
      duplicate_window: nanos(120_000),
      max_msgs: 1_000,
      allow_atomic: true,
    })
    const bills = await manager.streams.info(`${prefix}_bills`)
    expect(bills.config).toMatchObject({
      max_age: nanos(90 * DAY_MS),
      duplicate_window: nanos(600_000),
    })
  })

  it('keeps a channel for less time than ids are known, where that is what it says', async () => {
    await broker.ensure([{ channel: 'orders', retentionMs: 30_000 }])
    await broker.ensure([{ channel: 'orders', retentionMs: 30_000 }])

    const { config } = await manager.streams.info(stream)
    expect(config.duplicate_window).toBe(config.max_age)
  })

  it('refuses a stream that somebody else uses for something else', async () => {
    await manager.streams.add({ name: stream, subjects: [`${prefix}.weights`] })

    await expect(broker.ensure([ORDERS])).rejects.toMatchObject({
      code: 'JUNCTURA_TRANSPORT_REFUSED',
    })
    const { config } = await manager.streams.info(stream)
    expect(config.subjects).toEqual([`${prefix}.weights`])
  })

  it.each([
    ['in memory', { storage: 'memory' as const }],
    ['a work queue', { retention: 'workqueue' as const }],
    ['that confirms nothing', { no_ack: true }],
  ])('refuses a stream %s', async (_, config) => {
    await manager.streams.add({ name: stream, subjects: [`${prefix}.orders.>`], ...config })

    await expect(broker.ensure([ORDERS])).rejects.toMatchObject({
      code: 'JUNCTURA_TRANSPORT_REFUSED',
    })
  })

  it('refuses more replicas than there are servers', async () => {
    const cluster = await open({ replicas: 3 })

    expect(cluster.features.durability).toBe('replicated')
    await expect(cluster.ensure([ORDERS])).rejects.toMatchObject({
      code: 'JUNCTURA_TRANSPORT_REFUSED',
    })
  })
})

describe('reading', () => {
  it('goes on when its consumer is deleted under it', async () => {
    await broker.ensure([ORDERS])
    await broker.publish('orders', messages(0, 10))
    const inbox = await read(broker)
    await inbox.until(10)
    for await (const { name } of manager.consumers.list(stream)) {
      await manager.consumers.delete(stream, name)
    }
    await broker.publish('orders', messages(10, 20))

    expect(numbersOf(await inbox.until(20))).toEqual(range(0, 20))
  })

  it('begins anew, and says so, when the stream was made again (F79)', async () => {
    await broker.ensure([ORDERS])
    await broker.publish('orders', messages(0, 10))
    const inbox = await read(broker)
    await inbox.until(10)
    await manager.streams.delete(stream)
    await broker.ensure([ORDERS])
    await broker.publish('orders', messages(50, 53))

    expect(numbersOf(await inbox.until(13)).slice(10)).toEqual(range(50, 53))
    expect(warnings).toContainEqual(expect.objectContaining({ stream, end: 3 }))
  })

  it('does not skip what is there when its place is behind the end', async () => {
    await broker.ensure([ORDERS])
    await broker.publish('orders', messages(0, 3))

    const inbox = await read(broker, { from: { 0: '1000' } })
    expect(numbersOf(await inbox.until(3))).toEqual(range(0, 3))
  })

  it('reads a message that is larger than what it asks for at once', async () => {
    await broker.ensure([ORDERS])
    const data = Buffer.alloc(12_000_000, 'x')
    await broker.publish('orders', [message(1), message(2, { data }), message(3)])

    const inbox = await read(broker)
    const found = await inbox.until(3)
    expect(found.map(({ data: bytes }) => bytes.length)).toEqual([1, 12_000_000, 1])
  })

  it('leaves no consumer behind', async () => {
    await broker.ensure([ORDERS])
    const reading = await broker.read(stream, { from: {}, onBatch: async () => undefined })
    await reading.close()

    await vi.waitFor(async () => {
      const { state } = await manager.streams.info(stream)
      expect(state.consumer_count).toBe(0)
    }, PATIENCE)
  })
})

describe('rights', () => {
  it('needs no more rights than the page says', async () => {
    const least = await open({ url: urlFor('least'), prefix: 'least' })
    stream = 'least_orders'
    const followed: ReceivedMessage[] = []
    await least.ensure([ORDERS])
    await least.ensure([{ channel: 'orders', retentionMs: 2 * DAY_MS }])
    await least.follow('orders', (batch) => void followed.push(...batch))
    await least.publish('orders', messages(0, 30))

    const inbox = await read(least)
    expect(numbersOf(await inbox.until(30))).toEqual(range(0, 30))
    await vi.waitFor(() => expect(followed.length).toBe(30), PATIENCE)
    const problems = await least.check([ORDERS])
    expect(problems.map(({ severity }) => severity)).not.toContain('error')
  })

  it('refuses a wrong password, and does not repeat it', async () => {
    const url = server.url.replace('//', '//all:s3cret@')

    const error: unknown = await open({ url }).catch((thrown: unknown) => thrown)
    expect(isJuncturaError(error, 'JUNCTURA_TRANSPORT_REFUSED')).toBe(true)
    expect(String(error)).not.toContain('s3cret')
  })

  it('refuses at once to publish where that is forbidden (F77)', async () => {
    await broker.ensure([ORDERS])
    const reader = await open({ url: urlFor('reader') })

    for (const count of [1, 100]) {
      await expect(reader.publish('orders', messages(0, count))).rejects.toMatchObject({
        code: 'JUNCTURA_TRANSPORT_REFUSED',
      })
    }
  })

  it('refuses to follow where that is forbidden', async () => {
    await broker.ensure([ORDERS])
    const deaf = await open({ url: urlFor('deaf') })

    await expect(deaf.follow('orders', () => undefined)).rejects.toMatchObject({
      code: 'JUNCTURA_TRANSPORT_REFUSED',
    })
  })

  it('refuses to make streams where that is forbidden', async () => {
    const clerk = await open({ url: urlFor('clerk') })

    await expect(clerk.ensure([ORDERS])).rejects.toMatchObject({
      code: 'JUNCTURA_TRANSPORT_REFUSED',
    })
  })

  it('says that an account has no JetStream', async () => {
    const bare = await open({ url: urlFor('bare') })

    await expect(bare.ensure([ORDERS])).rejects.toThrow('JetStream')
  })
})

describe('check', () => {
  const found = async (): Promise<readonly string[]> =>
    (await broker.check([ORDERS])).map(
      ({ severity, resource, problem }) => `${severity}: ${resource}: ${problem}`,
    )

  it('says which stream is missing, and what a power failure costs', async () => {
    const problems = await found()

    expect(problems).toContain(`error: the stream ${stream}: it is not there`)
    expect(problems.join()).toContain('warning: sync_interval: a power failure may lose')
  })

  it('says which limits of others drop or refuse messages', async () => {
    await manager.streams.add({
      name: stream,
      subjects: [`${prefix}.orders.>`],
      discard: 'new',
      max_bytes: 1_000_000,
      max_msg_size: 1_000,
    })
    const before = await found()
    await broker.ensure([ORDERS])
    const after = await found()

    expect(before.join()).toContain('allow_atomic is less than the channel needs')
    expect(after.join()).not.toContain('allow_atomic')
    expect(after.join()).toContain('when max_bytes is reached (1000000)')
    expect(after.join()).toContain('max_msg_size is 1000')
  })

  it('finds a right to publish that is missing, and stores nothing to find out', async () => {
    await broker.ensure([ORDERS])
    const reader = await open({ url: urlFor('reader') })
    const followed: ReceivedMessage[] = []
    await broker.follow('orders', (batch) => void followed.push(...batch))

    const problems = await reader.check([ORDERS])
    expect(problems).toContainEqual(expect.objectContaining({ severity: 'error' }))
    expect((await broker.check([ORDERS])).map(({ severity }) => severity)).not.toContain('error')
    await broker.publish('orders', [message(1)])
    await vi.waitFor(() => expect(followed.length).toBe(1), PATIENCE)
    const { state } = await manager.streams.info(stream)
    expect(state.messages).toBe(1)
  })
})

describe('the connection', () => {
  it('tells of both changes once, and closes while there is no server', async () => {
    const states: boolean[] = []
    const watched = await open({ onState: ({ connected }) => void states.push(connected) })
    await watched.ensure([ORDERS])
    await watched.follow('orders', () => undefined)
    await server.restart()
    await vi.waitFor(() => expect(states).toEqual([false, true]), PATIENCE)
    await server.kill()
    await vi.waitFor(() => expect(states).toEqual([false, true, false]), PATIENCE)
    await watched.close()
    await server.restart()

    expect(states).toEqual([false, true, false])
  })

  it('refuses a URL that names no server, and a prefix that is no name', async () => {
    await expect(open({ url: 'http://127.0.0.1' })).rejects.toMatchObject({
      code: 'JUNCTURA_TRANSPORT_REFUSED',
    })
    const odd = await open({ prefix: 'a.b' })
    await expect(odd.ensure([ORDERS])).rejects.toMatchObject({
      code: 'JUNCTURA_TRANSPORT_REFUSED',
    })
  })

  it('says that no server answers', async () => {
    const error: unknown = await open({ url: 'nats://127.0.0.1:9' }).catch(
      (thrown: unknown) => thrown,
    )
    expect(isJuncturaError(error, 'JUNCTURA_TRANSPORT_UNAVAILABLE')).toBe(true)
  })
})
