import { Admin } from '@platformatic/kafka'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type KafkaCluster, startKafkaCluster } from '../../../test/engines/kafka-cluster.ts'
import { createSystemKernel, sleep } from '../../kernel/index.ts'
import type { BrokerMessage, ReceivedMessage } from '../broker.ts'
import { createKafkaBroker } from './kafka-broker.ts'

const { clock, random, log } = createSystemKernel()
const channel = { channel: 'orders', retentionMs: 86_400_000 }

let cluster: KafkaCluster

beforeAll(async () => {
  cluster = await startKafkaCluster()
})

afterAll(async () => {
  await cluster.stop()
})

const message = (n: number): BrokerMessage => ({
  partition: n % 8,
  key: `key-${n % 8}`,
  id: `msg_${n}`,
  attributes: { specversion: '1.0', id: `msg_${n}` },
  data: Buffer.from(String(n)),
})

const until = async (what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> => {
  const endMs = clock.monotonicMs() + 90_000
  while (!(await isTrue())) {
    if (clock.monotonicMs() > endMs) throw new TypeError(`waited too long for: ${what}`)
    await sleep(clock, 50)
  }
}

it('F75: brokers that die while it is published lose, repeat and reorder nothing', async () => {
  const states: boolean[] = []
  const broker = await createKafkaBroker({
    url: cluster.url,
    clock,
    random,
    log,
    publishTimeoutMs: 60_000,
    onState: ({ connected }) => states.push(connected),
  })
  await until('three brokers', async () => {
    return await broker.ensure([channel]).then(
      () => true,
      () => false,
    )
  })
  const seen: ReceivedMessage[] = []
  const reading = await broker.read('junctura.orders', {
    from: {},
    onBatch: async (messages) => void seen.push(...messages),
  })
  const sent: Promise<void>[] = []
  let count = 0
  let isOver = false
  const publishing = (async () => {
    while (!isOver) {
      const from = count
      count += 40
      const some = Array.from({ length: 40 }, (_, at) => message(from + at))
      sent.push(broker.publish('orders', some))
      await sleep(clock, 5)
    }
  })()
  for (const node of [1, 3]) {
    await sleep(clock, 1_000)
    await cluster.kill(node)
    await sleep(clock, 1_000)
    await cluster.restart(node)
    await until('all replicas to be in sync', async () => {
      const problems = await broker.check([channel]).catch(() => [channel])
      return problems.length === 0
    })
  }
  isOver = true
  await publishing
  await Promise.all(sent)
  await until('everything to be read', () => seen.length >= count)
  await sleep(clock, 300)
  await reading.close()
  const durability = broker.features.durability
  await broker.close()

  expect(durability).toBe('replicated')
  expect(states.at(-1)).toBe(true)
  for (let partition = 0; partition < 8; partition++) {
    const found = seen
      .filter((one) => one.partition === partition)
      .map(({ data }) => Number(Buffer.from(data).toString()))
    expect(found).toEqual(Array.from({ length: count / 8 }, (_, at) => at * 8 + partition))
  }
})

it('keeps three copies of each message and confirms with two', async () => {
  const [bootstrap = ''] = cluster.url.replace('kafka://', '').split(',')
  const admin = new Admin({ clientId: 'test', bootstrapBrokers: [bootstrap], retries: 20 })
  const resources = [{ resourceType: 2, resourceName: 'junctura.orders' } as const]
  const [found] = await admin.describeConfigs({ resources })
  const { topics } = await admin.metadata({ topics: ['junctura.orders'] })
  await admin.close()
  const settings = new Map(found?.configs.map(({ name, value }) => [name, value]))

  expect(settings.get('min.insync.replicas')).toBe('2')
  expect(topics.get('junctura.orders')?.partitions.map(({ replicas }) => replicas.length)).toEqual(
    Array.from({ length: 8 }, () => 3),
  )
})
