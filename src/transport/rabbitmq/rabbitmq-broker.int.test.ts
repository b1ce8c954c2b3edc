import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ConsumeMessage } from 'amqplib'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { createSystemKernel, type Logger, silentLogger } from '../../kernel/index.ts'
import type { Broker, BrokerMessage, BrokerState, ReceivedMessage } from '../broker.ts'
import { createRabbitmqBroker, type RabbitmqBrokerOptions } from './rabbitmq-broker.ts'
import { type RabbitmqServer, startRabbitmq } from '../../../test/engines/rabbitmq-server.ts'

let started: RabbitmqServer | undefined
const opened: Broker[] = []

const server = (): RabbitmqServer => {
  if (!started) throw new TypeError('the server is started before the tests')
  return started
}

beforeAll(async () => {
  started = await startRabbitmq()
})

afterEach(async () => {
  for (const broker of opened.splice(0)) await broker.close()
})

afterAll(() => started?.stop())

let prefixes = 0

const open = async (over: Partial<RabbitmqBrokerOptions> = {}) => {
  const prefix = over.prefix ?? `own-${(prefixes += 1)}`
  const states: BrokerState[] = []
  const warnings: string[] = []
  const log: Logger = { ...silentLogger, warn: (_, text) => void warnings.push(text) }
  const broker = await createRabbitmqBroker({
    ...createSystemKernel(),
    log,
    url: server().url,
    onState: (state) => void states.push(state),
    ...over,
    prefix,
  })
  opened.push(broker)
  return { broker, prefix, states, warnings }
}

const consumerTimeout = (timeoutMs: number, tickMs: number): string =>
  `application:set_env(rabbit, consumer_timeout, ${timeoutMs}),
   application:set_env(rabbit, channel_tick_interval, ${tickMs}).`
const SHORT_CONSUMER_TIMEOUT = consumerTimeout(500, 200)
const LONG_CONSUMER_TIMEOUT = consumerTimeout(1_800_000, 60_000)

const DAY_MS = 86_400_000
const ORDERS = { channel: 'orders', retentionMs: DAY_MS }

const messageOf = (n: number, over: Partial<BrokerMessage> = {}): BrokerMessage => ({
  partition: 0,
  key: `key-${n}`,
  id: `msg_${n}`,
  attributes: { specversion: '1.0', id: `msg_${n}`, type: 'orders.changed', source: '/test' },
  data: Buffer.from(String(n)),
  ...over,
})

const textsOf = (messages: readonly ReceivedMessage[]): readonly string[] =>
  messages.map(({ data }) => Buffer.from(data).toString('utf8'))

const until = (isTrue: () => boolean): Promise<void> =>
  vi.waitUntil(isTrue, { timeout: 30_000, interval: 20 }).then(() => undefined)

const readAll = async (broker: Broker, queue: string) => {
  const got: ReceivedMessage[] = []
  const reading = await broker.read(queue, {
    from: {},
    onBatch: async (messages) => void got.push(...messages),
  })
  return { got, reading }
}

describe('with programs of others', () => {
  it('is read by a plain client that binds a queue by type', async () => {
    const { broker, prefix } = await open()
    await broker.ensure([ORDERS])

    const received = await server().asOther(async (channel) => {
      const { queue } = await channel.assertQueue('', { exclusive: true })
      await channel.bindQueue(queue, `${prefix}.orders`, 'orders.*')
      const got: ConsumeMessage[] = []
      await channel.consume(queue, (message) => void (message && got.push(message)))
      const other = messageOf(1, { attributes: { ...messageOf(1).attributes, type: 'x.y' } })
      await broker.publish('orders', [other, messageOf(2)])
      await until(() => got.length > 0)
      return got
    })

    expect(received).toHaveLength(1)
    expect(received[0]).toMatchObject({
      content: Buffer.from('2'),
      fields: { routingKey: 'orders.changed' },
      properties: {
        messageId: 'msg_2',
        deliveryMode: 2,
        headers: { 'cloudEvents:id': 'msg_2', 'cloudEvents:type': 'orders.changed' },
      },
    })
  })

  it('reads what a plain client wrote that knows nothing of CloudEvents', async () => {
    const { broker, prefix } = await open({ queues: { orders: ['till'] } })
    await broker.ensure([ORDERS])
    await server().asOther(async (channel) => {
      const options = { headers: { shop: 7 }, correlationId: 'c1', contentType: 'text/plain' }
      channel.publish(`${prefix}.orders`, 'sale', Buffer.from('hello'), options)
      await channel.checkExchange(`${prefix}.orders`)
    })
    const { got } = await readAll(broker, `${prefix}.orders.till`)
    await until(() => got.length > 0)

    expect(got[0]).toMatchObject({
      attributes: { datacontenttype: 'text/plain' },
      headers: { shop: '7', 'amqp:routing-key': 'sale', 'amqp:correlation-id': 'c1' },
    })
  })

  it('makes their queues durable, without a delivery limit, for as long as the contract keeps', async () => {
    const { broker, prefix } = await open({ queues: { orders: ['billing'] } })
    await broker.ensure([ORDERS])
    await broker.ensure([ORDERS])
    await broker.publish('orders', [messageOf(1)])
    const { got } = await readAll(broker, `${prefix}.orders.billing`)
    await until(() => got.length > 0)
    const listed = await server().control('list_queues', 'name', 'type', 'durable', 'arguments')

    const line = listed.split('\n').find((one) => one.startsWith(`${prefix}.orders.billing`))
    expect(line).toContain('quorum\ttrue')
    expect(line).toContain('{"x-message-ttl",86400000}')
    expect(line).not.toContain('delivery-limit')
    expect(await broker.check([ORDERS])).toEqual([])
  })

  it('leaves the live queue bounded, so that a slow process costs the server little', async () => {
    const { broker } = await open()
    await broker.ensure([ORDERS])
    await broker.follow('orders', () => undefined)

    const listed = await server().control('list_queues', 'name', 'exclusive', 'arguments')
    const line = listed.split('\n').find((one) => one.startsWith('amq.gen-'))
    expect(line).toContain('{"x-max-length",65536}')
    expect(line).toContain('{"x-max-length-bytes",67108864}')
    expect(line).toContain('{"x-overflow","drop-head"}')
  })
})

describe('reading a queue', () => {
  const declare = (queue: string, args: Readonly<Record<string, unknown>>) =>
    server().asOther((channel) => channel.assertQueue(queue, { arguments: args }))

  it('refuses one whose delivery limit would act before our policy, and a stream', async () => {
    const { broker, prefix } = await open()
    const limit = { 'x-queue-type': 'quorum', 'x-max-length': 9, 'x-delivery-limit': 20 }
    await declare(`${prefix}-limited`, limit)
    await declare(`${prefix}-enough`, { ...limit, 'x-delivery-limit': 1_000 })
    await declare(`${prefix}-stream`, { 'x-queue-type': 'stream' })
    await declare(`${prefix}-classic`, {})

    await expect(readAll(broker, `${prefix}-limited`)).rejects.toMatchObject({
      code: 'JUNCTURA_TRANSPORT_REFUSED',
      details: { problem: expect.stringContaining('x-delivery-limit is 20') },
    })
    await expect(readAll(broker, `${prefix}-stream`)).rejects.toMatchObject({
      code: 'JUNCTURA_TRANSPORT_REFUSED',
    })
    await expect(readAll(broker, `${prefix}-enough`)).resolves.toBeDefined()
    await expect(readAll(broker, `${prefix}-classic`)).resolves.toBeDefined()
    const names = await server().control('list_queues', 'name')
    expect(names.match(new RegExp(`^${prefix}-`, 'gm'))).toHaveLength(4)
  })

  it('lets a failed batch count as no delivery, so that the server never makes a dead letter', async () => {
    const { broker, prefix } = await open({ queues: { orders: ['all'] } })
    await broker.ensure([ORDERS])
    await broker.publish('orders', [messageOf(1)])
    const counts: (string | undefined)[] = []
    await broker.read(`${prefix}.orders.all`, {
      from: {},
      onBatch: async ([message]) => {
        counts.push(message?.headers['x-delivery-count'])
        if (counts.length < 4) return Promise.reject(new TypeError('not now'))
      },
    })
    await until(() => counts.length === 4)

    expect(counts).toEqual([undefined, undefined, undefined, undefined])
  })

  it('goes on when the server cuts off a reader that holds a batch for too long (F78)', async () => {
    // By default that is after half an hour, and the server looks once a minute.
    await server().control('eval', SHORT_CONSUMER_TIMEOUT)
    const { broker, prefix, warnings } = await open({ queues: { orders: ['all'] } })
    await broker.ensure([ORDERS])
    await broker.publish('orders', [messageOf(1), messageOf(2)])
    const got: string[] = []
    let letGo: () => void = () => undefined
    await broker.read(`${prefix}.orders.all`, {
      from: {},
      batchMax: 1,
      onBatch: async (messages) => {
        got.push(...textsOf(messages))
        if (got.length === 1) await new Promise<void>((resolve) => (letGo = resolve))
      },
    })
    await until(() => got.length === 1)
    await until(() => warnings.some((text) => text.includes('consumer ended')))
    await server().control('eval', LONG_CONSUMER_TIMEOUT)
    letGo()
    await until(() => got.length === 3)

    expect(got).toEqual(['1', '1', '2'])
  })

  it('is there again when its queue was deleted and made again', async () => {
    const { broker, prefix, warnings } = await open({ queues: { orders: ['all'] } })
    await broker.ensure([ORDERS])
    const { got } = await readAll(broker, `${prefix}.orders.all`)
    await server().asOther((channel) => channel.deleteQueue(`${prefix}.orders.all`))
    await until(() => warnings.some((text) => text.includes('did not let us subscribe')))
    await broker.ensure([ORDERS])
    await broker.publish('orders', [messageOf(1)])
    await until(() => got.length > 0)

    expect(textsOf(got)).toEqual(['1'])
  })

  it('fetches fewer messages at once when they are large', { timeout: 60_000 }, async () => {
    const { broker, prefix, warnings } = await open({ queues: { orders: ['all'] } })
    await broker.ensure([ORDERS])
    const data = Buffer.alloc(4_000_000)
    for (let n = 0; n < 20; n++) await broker.publish('orders', [messageOf(n, { data })])
    const ids = new Set<string>()
    await broker.read(`${prefix}.orders.all`, {
      from: {},
      onBatch: async (messages) => {
        // Until it is told, everything comes while the first is being handled.
        if (ids.size === 0) await until(() => warnings.length > 0)
        for (const { attributes } of messages) ids.add(attributes['id'] ?? '')
      },
    })
    await until(() => ids.size === 20)

    expect(warnings[0]).toContain('fetching fewer')
    expect([...ids]).toEqual(Array.from({ length: 20 }, (_, n) => `msg_${n}`))
  })
})

describe('when something is wrong', () => {
  it('keeps one channel from the trouble of another, whose exchange is gone', async () => {
    const { broker, prefix } = await open()
    const invoices = { channel: 'invoices', retentionMs: DAY_MS }
    await broker.ensure([ORDERS, invoices])
    const got: ReceivedMessage[] = []
    await broker.follow('orders', (messages) => void got.push(...messages))
    await server().asOther((channel) => channel.deleteExchange(`${prefix}.orders`))
    const [lost, ...kept] = await Promise.allSettled([
      broker.publish('orders', [messageOf(1)]),
      ...Array.from({ length: 20 }, (_, n) => broker.publish('invoices', [messageOf(n)])),
    ])

    expect(lost).toMatchObject({ reason: { code: 'JUNCTURA_TRANSPORT_UNAVAILABLE' } })
    expect(kept.every(({ status }) => status === 'fulfilled')).toBe(true)
    await broker.ensure([ORDERS])
    await expect(broker.publish('orders', [messageOf(2)])).resolves.toBeUndefined()
  })

  it('pauses and says so while the server is short of memory, and then goes on (F77)', async () => {
    const { broker, states } = await open({ publishTimeoutMs: 2_000 })
    await broker.ensure([ORDERS])
    await broker.publish('orders', [messageOf(1)])
    await server().control('set_vm_memory_high_watermark', 'absolute', '1')
    try {
      await expect(broker.publish('orders', [messageOf(2)])).rejects.toMatchObject({
        code: 'JUNCTURA_TRANSPORT_UNAVAILABLE',
        details: { problem: expect.stringContaining('takes no messages') },
      })
      expect(states.at(-1)).toMatchObject({ connected: false })
      // What does not publish goes on.
      await broker.ensure([ORDERS])
      expect(await broker.check([ORDERS])).toMatchObject([{ resource: 'the server' }])
    } finally {
      await server().control('set_vm_memory_high_watermark', '0.4')
    }
    await until(() => states.at(-1)?.connected === true)
    await expect(broker.publish('orders', [messageOf(3)])).resolves.toBeUndefined()
  })

  it('says which rights are missing, and does with what an administrator made', async () => {
    const { broker, prefix } = await open()
    await broker.ensure([ORDERS])
    await server().control('add_user', 'reader', 'pass-of-reader')
    await server().control('set_permissions', 'reader', '^amq\\.gen.*', '^amq\\.gen.*', '.*')
    const url = server().url.replace('guest:guest', 'reader:pass-of-reader')
    const { broker: reader } = await open({ url, prefix })

    await expect(reader.ensure([ORDERS])).resolves.toBeUndefined()
    await expect(reader.ensure([{ ...ORDERS, channel: 'new' }])).rejects.toMatchObject({
      code: 'JUNCTURA_TRANSPORT_REFUSED',
    })
    await expect(reader.publish('orders', [messageOf(1)])).rejects.toMatchObject({
      code: 'JUNCTURA_TRANSPORT_REFUSED',
    })
    expect(await reader.check([ORDERS])).toMatchObject([
      { severity: 'error', problem: expect.stringContaining('may not publish') },
    ])
  })

  it('refuses with a wrong password, which is in no text', async () => {
    const url = server().url.replace('guest:guest', 'guest:wrong-secret')
    const { broker, states } = await open({ url })
    const failed = broker.ensure([ORDERS])

    await expect(failed).rejects.toMatchObject({ code: 'JUNCTURA_TRANSPORT_REFUSED' })
    await expect(failed).rejects.not.toThrow(/wrong-secret/)
    await until(() => states.length > 0)
    expect(JSON.stringify(states)).not.toContain('wrong-secret')
    await expect(broker.publish('orders', [messageOf(1)])).rejects.toMatchObject({
      code: 'JUNCTURA_TRANSPORT_UNAVAILABLE',
    })
  })

  it('follows again after the server lost everything, once the exchange is made (F76)', async () => {
    const { broker } = await open()
    await broker.ensure([ORDERS])
    const got: ReceivedMessage[] = []
    await broker.follow('orders', (messages) => void got.push(...messages))
    await server().engine.wipe()
    let n = 0
    await vi.waitUntil(
      async () => {
        await broker.ensure([ORDERS]).catch(() => undefined)
        await broker.publish('orders', [messageOf((n += 1))]).catch(() => undefined)
        return got.length > 0
      },
      { timeout: 60_000, interval: 100 },
    )

    expect(got.length).toBeGreaterThan(0)
  })

  it('fails in bounded time while the server is frozen, and closes (F75)', async () => {
    const { broker } = await open({ publishTimeoutMs: 500 })
    await broker.ensure([ORDERS])
    await broker.follow('orders', () => undefined)
    await broker.publish('orders', [messageOf(1)])
    server().engine.pause()
    try {
      // It stops in a moment, and may still confirm something.
      const failed = await vi.waitUntil(
        () =>
          broker.publish('orders', [messageOf(2)]).then(
            () => undefined,
            (error: unknown) => error,
          ),
        { timeout: 10_000 },
      )
      expect(failed).toMatchObject({ code: 'JUNCTURA_TRANSPORT_UNAVAILABLE' })
      await expect(broker.ensure([ORDERS])).rejects.toMatchObject({
        code: 'JUNCTURA_TRANSPORT_UNAVAILABLE',
      })
      await expect(broker.close()).resolves.toBeUndefined()
    } finally {
      server().engine.resume()
    }
  })

  it('lets the process end by itself once it is closed', async () => {
    const fixture = join(import.meta.dirname, '../../../test/engines/rabbitmq-ends.fixture.ts')
    const ended = promisify(execFile)(process.execPath, [fixture, server().url])

    await expect(ended).resolves.toMatchObject({ stdout: 'closed\n' })
  })
})
