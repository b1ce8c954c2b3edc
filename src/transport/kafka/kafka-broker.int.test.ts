import { Admin, Producer } from '@platformatic/kafka'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type ProxiedEngine, startProxiedEngine } from '../../../test/engines/engine.ts'
import { createSystemKernel, isJuncturaError, sleep } from '../../kernel/index.ts'
import type { Broker, BrokerMessage, BrokerState, ReceivedMessage } from '../broker.ts'
import { createKafkaBroker, type KafkaBrokerOptions } from './kafka-broker.ts'

const { clock, random, log } = createSystemKernel()
const DAY_MS = 86_400_000
const orders = { channel: 'orders', retentionMs: DAY_MS }

let engine: ProxiedEngine
let admin: Admin
let prefixes = 0
let prefix = ''
const opened: Broker[] = []

beforeAll(async () => {
  engine = await startProxiedEngine('kafka')
  admin = new Admin({ clientId: 'test', bootstrapBrokers: [hostOf(engine.url)], retries: 20 })
})

beforeEach(async () => {
  prefix = `test-${(prefixes += 1)}`
  return async () => {
    await engine.proxy.heal()
    await Promise.all(opened.splice(0).map((broker) => broker.close()))
  }
})

afterAll(async () => {
  await admin.close()
  await engine.stop()
})

const hostOf = (url: string): string => url.replace('kafka://', '')

const open = async (over: Partial<KafkaBrokerOptions> = {}): Promise<Broker> => {
  const base = { url: engine.url, prefix, clock, random, log, publishTimeoutMs: 5_000 }
  const broker = await createKafkaBroker({ ...base, ...over })
  opened.push(broker)
  return broker
}

const ready = async (over: Partial<KafkaBrokerOptions> = {}): Promise<Broker> => {
  const broker = await open(over)
  await broker.ensure([orders])
  return broker
}

const message = (n: number, over: Partial<BrokerMessage> = {}): BrokerMessage => ({
  partition: 0,
  key: `key-${n}`,
  id: `msg_${n}`,
  attributes: { specversion: '1.0', id: `msg_${n}`, datacontenttype: 'application/json' },
  data: Buffer.from(String(n)),
  ...over,
})

const numbersOf = (messages: readonly ReceivedMessage[]): readonly number[] =>
  messages.map(({ data }) => Number(Buffer.from(data).toString()))

const until = async (what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> => {
  const endMs = clock.monotonicMs() + 60_000
  while (!(await isTrue())) {
    if (clock.monotonicMs() > endMs) throw new TypeError(`waited a minute for: ${what}`)
    await sleep(clock, 20)
  }
}

/** Everything in a topic that is there now, as soon as it holds `count`. */
const readAll = async (
  broker: Broker,
  count: number,
  topic = `${prefix}.orders`,
): Promise<readonly ReceivedMessage[]> => {
  const found: ReceivedMessage[] = []
  const onBatch = async (some: readonly ReceivedMessage[]): Promise<void> => {
    found.push(...some)
  }
  const reading = await broker.read(topic, { from: {}, onBatch })
  await until(`${count} messages`, () => found.length >= count)
  await sleep(clock, 200)
  await reading.close()
  return found
}

/** A producer of somebody else. */
const foreign = async (
  work: (producer: Producer<string, string, string, string>) => Promise<void>,
  options: { readonly transactionalId?: string } = {},
): Promise<void> => {
  const bytes = (text?: string): Buffer => Buffer.from(text ?? '')
  const producer = new Producer<string, string, string, string>({
    clientId: 'foreign',
    bootstrapBrokers: [hostOf(engine.url)],
    serializers: { key: bytes, value: bytes, headerKey: bytes, headerValue: bytes },
    ...(options.transactionalId && { ...options, idempotent: true }),
  })
  try {
    await work(producer)
  } finally {
    await producer.close()
  }
}

const settingsOf = async (topic: string): Promise<ReadonlyMap<string, string>> => {
  const resources = [{ resourceType: 2, resourceName: topic } as const]
  const [found] = await admin.describeConfigs({ resources })
  return new Map(found?.configs.map(({ name, value }) => [name, value ?? '']))
}

describe('the topics of channels', () => {
  it('keep their number of partitions: another one is refused, with both numbers', async () => {
    await ready()
    const other = await open({ partitions: 12 })

    await expect(other.ensure([orders])).rejects.toMatchObject({
      code: 'JUNCTURA_TRANSPORT_REFUSED',
      message: expect.stringMatching(/has 8 partitions and 12 are wanted/),
      details: { fix: expect.stringContaining('partitions to 8') },
    })
    expect(await other.check([orders])).toContainEqual(
      expect.objectContaining({ severity: 'error', resource: `topic ${prefix}.orders` }),
    )
  })

  it('have their retention lengthened and never shortened, and take ever larger messages', async () => {
    const broker = await ready()
    const topic = `${prefix}.orders`
    await broker.ensure([{ ...orders, retentionMs: 2 * DAY_MS }])
    await until('the longer retention', async () => {
      return (await settingsOf(topic)).get('retention.ms') === String(2 * DAY_MS)
    })
    const larger = await open({ messageBytesMax: 9_000_000 })
    await larger.ensure([{ ...orders, retentionMs: 1_000 }])
    await until('the larger messages', async () => {
      return Number((await settingsOf(topic)).get('max.message.bytes')) > 9_000_000
    })
    await broker.ensure([orders])
    const settings = await settingsOf(topic)

    expect(settings.get('retention.ms')).toBe(String(2 * DAY_MS))
    expect(Number(settings.get('max.message.bytes'))).toBeGreaterThan(9_000_000)
    expect(settings.get('cleanup.policy')).toBe('delete')
  })

  it('are refused where others compact them, since that loses messages', async () => {
    const broker = await open()
    const configs = [{ name: 'cleanup.policy', value: 'compact' }]
    await admin.createTopics({ topics: [`${prefix}.orders`], partitions: 8, replicas: 1, configs })

    await expect(broker.ensure([orders])).rejects.toMatchObject({
      code: 'JUNCTURA_TRANSPORT_REFUSED',
      details: { fix: 'set cleanup.policy to delete' },
    })
  })

  it('are looked at by check: the single broker, what is missing and what is set', async () => {
    const broker = await open()
    const missing = await broker.check([orders])
    await broker.ensure([orders])
    const there = await broker.check([orders])

    expect(missing.map(({ severity, resource }) => `${severity} ${resource}`)).toEqual([
      'warning the cluster',
      `warning topic ${prefix}.orders`,
    ])
    expect(there.map(({ severity, resource }) => `${severity} ${resource}`)).toEqual([
      'warning the cluster',
    ])
    expect(broker.features.durability).toBe('process')
  })
})

describe('messages of other systems', () => {
  it('are read without CloudEvents attributes, headers as text', async () => {
    const broker = await ready()
    const topic = `${prefix}.orders`
    await foreign(async (producer) => {
      const headers = { trace: 'äö', ce_id: 'theirs', 'content-type': 'text/plain' }
      await producer.send({
        messages: [
          { topic, partition: 5, key: 'k', value: 'plain', headers: { trace: 'abc' } },
          { topic, partition: 5, key: 'k', value: 'event', headers },
        ],
      })
    })
    const [plain, event] = await readAll(broker, 2)

    expect(plain).toMatchObject({
      partition: 5,
      offset: '0',
      key: 'k',
      attributes: {},
      headers: { trace: 'abc' },
    })
    expect(Buffer.from(plain?.data ?? []).toString()).toBe('plain')
    expect(event).toMatchObject({
      attributes: { id: 'theirs', datacontenttype: 'text/plain' },
      headers: { trace: 'äö' },
    })
  })

  it('are not read when their transaction was given up', async () => {
    const broker = await ready()
    const topic = `${prefix}.orders`
    await foreign(
      async (producer) => {
        for (const [value, keeps] of [
          ['1', true],
          ['2', false],
          ['3', true],
        ] as const) {
          const transaction = await producer.beginTransaction()
          await transaction.send({ messages: [{ topic, partition: 0, key: 'k', value }] })
          await (keeps ? transaction.commit() : transaction.abort())
        }
      },
      { transactionalId: `${prefix}-transaction` },
    )

    expect(numbersOf(await readAll(broker, 2))).toEqual([1, 3])
  })
})

describe('a broken network', () => {
  it('repeats and reorders nothing of what is published while connections break', async () => {
    const broker = await ready({ publishTimeoutMs: 30_000 })
    let isDone = false
    const cutting = (async () => {
      while (!isDone) {
        await sleep(clock, 150)
        await engine.proxy.cut()
        await sleep(clock, 50)
        await engine.proxy.heal()
      }
    })()
    const sent: Promise<void>[] = []
    for (let n = 0; n < 3_000; n += 10) {
      sent.push(
        broker.publish(
          'orders',
          Array.from({ length: 10 }, (_, at) => message(n + at)),
        ),
      )
      await sleep(clock, 5)
    }
    await Promise.all(sent)
    isDone = true
    await cutting
    const found = numbersOf(await readAll(broker, 3_000))

    expect(found).toEqual(Array.from({ length: 3_000 }, (_, n) => n))
  })

  it('that goes silent is noticed: publishing fails in time, and goes on when it is back', async () => {
    const states: BrokerState[] = []
    const broker = await ready({ publishTimeoutMs: 1_500, onState: (state) => states.push(state) })
    const followed: ReceivedMessage[] = []
    await broker.follow('orders', (some) => void followed.push(...some))
    await broker.publish('orders', [message(1)])
    engine.proxy.blackhole()
    const startMs = clock.monotonicMs()
    const lost = await broker.publish('orders', [message(2)]).catch((error: unknown) => error)

    expect(isJuncturaError(lost, 'JUNCTURA_TRANSPORT_UNAVAILABLE')).toBe(true)
    expect(clock.monotonicMs() - startMs).toBeLessThan(3_000)
    await until('the silence to be told', () => states.at(-1)?.connected === false)
    await engine.proxy.heal()
    await until('publishing to go on', async () => {
      return await broker.publish('orders', [message(3)]).then(
        () => true,
        () => false,
      )
    })
    await until('the follower to be back', () => numbersOf(followed).includes(3))
    expect(states.map(({ connected }) => connected)).toEqual([true, false, true])
  })
})

describe('a broker that is closed', () => {
  it('while Kafka is away, is closed at once and leaves nothing behind', async () => {
    const before = process
      .getActiveResourcesInfo()
      .filter((name) => name === 'TCPSocketWrap').length
    const states: boolean[] = []
    const broker = await ready({ onState: ({ connected }) => states.push(connected) })
    const topic = `${prefix}.orders`
    await broker.follow('orders', () => undefined)
    await broker.read(topic, { from: {}, onBatch: async () => undefined })
    await broker.publish('orders', [message(1)])
    await engine.proxy.cut()
    await until('the loss to be told', () => states.at(-1) === false)
    const startMs = clock.monotonicMs()
    await broker.close()
    const tookMs = clock.monotonicMs() - startMs

    expect(tookMs).toBeLessThan(1_000)
    await until('the sockets to be closed', () => {
      const open = process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap')
      return open.length <= before
    })
    await expect(broker.inspect('orders')).rejects.toMatchObject({ code: 'JUNCTURA_CLOSED' })
  })
})

describe('a lost topic', () => {
  it('that is made again is followed and published to as before', async () => {
    const broker = await ready()
    const followed: ReceivedMessage[] = []
    await broker.follow('orders', (some) => void followed.push(...some))
    await broker.publish('orders', [message(1), message(2)])
    await until('the first messages', () => followed.length === 2)
    const before = await broker.inspect('orders')
    await admin.deleteTopics({ topics: [`${prefix}.orders`] })
    await until('the topic to be made again', async () => {
      return await broker.ensure([orders]).then(
        () => true,
        () => false,
      )
    })
    await until('publishing to go on', async () => {
      return await broker.publish('orders', [message(3)]).then(
        () => true,
        () => false,
      )
    })
    await until('the follower to see it', () => numbersOf(followed).includes(3))

    expect((await broker.inspect('orders')).incarnation).not.toBe(before.incarnation)
  })

  it('is told at once to who publishes, and holds back no other channel', async () => {
    const broker = await ready()
    const [lost, other] = await Promise.allSettled([
      broker.publish('nothing', [message(1)]),
      broker.publish('orders', [message(2)]),
    ])

    expect(lost).toMatchObject({
      status: 'rejected',
      reason: { code: 'JUNCTURA_TRANSPORT_UNAVAILABLE' },
    })
    expect(other.status).toBe('fulfilled')
  })
})

describe('a cluster with a sign-in', () => {
  let guarded: ProxiedEngine

  beforeAll(async () => {
    const login = 'org.apache.kafka.common.security.plain.PlainLoginModule'
    guarded = await startProxiedEngine('kafka', {
      settings: {
        'listener.security.protocol.map':
          'PLAINTEXT:SASL_PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT',
        'sasl.enabled.mechanisms': 'PLAIN',
        'listener.name.plaintext.plain.sasl.jaas.config': `${login} required user_app="open sesame";`,
      },
    })
  })

  afterAll(async () => {
    await guarded.stop()
  })

  const urlWith = (password: string): string =>
    `${guarded.url.replace('//', `//app:${encodeURIComponent(password)}@`)}?mechanism=PLAIN`

  it('is entered with user and password, also again after the connection broke', async () => {
    const broker = await ready({ url: urlWith('open sesame') })
    await broker.publish('orders', [message(1)])
    await guarded.proxy.cut()
    await guarded.proxy.heal()
    await broker.publish('orders', [message(2)])

    expect(numbersOf(await readAll(broker, 2))).toEqual([1, 2])
  })

  it('refuses a wrong password in words that do not repeat it', async () => {
    const error = await open({ url: urlWith('open barley') }).catch((thrown: unknown) => thrown)

    expect(isJuncturaError(error, 'JUNCTURA_TRANSPORT_REFUSED')).toBe(true)
    expect(JSON.stringify(error) + String(error)).not.toContain('barley')
  })
})
