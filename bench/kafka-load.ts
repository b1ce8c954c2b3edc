// 1 KB messages through the port of brokers to Kafka and back, or the same with the vendor's client
// batched by hand. Prints one line of JSON.
//   node bench/kafka-load.ts ours|theirs --url URL [--seconds S] [--bytes B] [--batch M]
//     [--in-flight F]
// Both: eight partitions, acks=all, idempotent producer, the attributes of a CloudEvent as headers.
// First as many batches are published as fit into the time, then all of them are read.
import { parseArgs } from 'node:util'
import { Consumer, Producer } from '@platformatic/kafka'
import { createSystemKernel } from '../src/kernel/index.ts'
import { type BrokerMessage, createKafkaBroker } from '../src/transport/index.ts'

const number = (fallback: string) => ({ type: 'string', default: fallback }) as const
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: 'string', default: '' },
    seconds: number('3'),
    bytes: number('1000'),
    batch: number('512'),
    'in-flight': number('4'),
  },
})
const [which = 'ours'] = positionals
const batch = Number(values.batch)
const inFlight = Number(values['in-flight'])
const { clock, random, log } = createSystemKernel()
const prefix = `bench-${which}-${process.pid}`
const CHANNEL = 'orders'
const PARTITIONS = 8
const data = Buffer.alloc(Number(values.bytes), 'x')
const broker = await createKafkaBroker({ url: values.url, prefix, clock, random, log })
await broker.ensure([{ channel: CHANNEL, retentionMs: 3_600_000 }])

let made = 0
const makeBatch = (): readonly BrokerMessage[] =>
  Array.from({ length: batch }, () => {
    made += 1
    return {
      partition: made % PARTITIONS,
      key: `key-${made % 1_000}`,
      id: `msg_${made}`,
      attributes: {
        specversion: '1.0',
        id: `msg_${made}`,
        type: 'orders.changed',
        source: '/publish/orders',
        time: '2026-01-01T00:00:00.000Z',
        datacontenttype: 'application/json',
        contractversion: '1',
        partitionkey: `key-${made % 1_000}`,
        correlationid: `msg_${made}`,
        tenant: 'default',
        logstore: 'store_1',
        logposition: String(made),
        logprevious: String(made - 1),
        logtime: '1767225600000',
      },
      data,
    }
  })

interface Client {
  publish(messages: readonly BrokerMessage[]): Promise<void>
  /** Resolves when so many have come. */
  read(count: number): Promise<void>
  close(): Promise<void>
}

const ours: Client = {
  publish: (messages) => broker.publish(CHANNEL, messages),
  read: async (count) => {
    let seen = 0
    const all = Promise.withResolvers<void>()
    const reading = await broker.read(`${prefix}.${CHANNEL}`, {
      from: {},
      onBatch: async (messages) => {
        seen += messages.length
        if (seen >= count) all.resolve()
      },
    })
    await all.promise
    await reading.close()
  },
  close: async () => undefined,
}

const makeTheirs = (): Client => {
  const bootstrapBrokers = [values.url.replace('kafka://', '')]
  const topic = `${prefix}.${CHANNEL}`
  const producer = new Producer({ clientId: 'bench', bootstrapBrokers, idempotent: true })
  const consumer = new Consumer({ clientId: 'bench', groupId: prefix, bootstrapBrokers })
  const names = new Map<string, Buffer>()
  const nameOf = (attribute: string): Buffer => {
    let name = names.get(attribute)
    if (!name) names.set(attribute, (name = Buffer.from(`ce_${attribute}`)))
    return name
  }
  return {
    publish: async (messages) => {
      await producer.send({
        messages: messages.map((one) => ({
          topic,
          partition: one.partition,
          key: Buffer.from(one.key),
          value: data,
          headers: new Map(
            Object.entries(one.attributes).map(([name, value]) => [
              nameOf(name),
              Buffer.from(value),
            ]),
          ),
        })),
      })
    },
    read: async (count) => {
      let seen = 0
      const all = Promise.withResolvers<void>()
      const options = { mode: 'earliest', autocommit: false, maxWaitTime: 1_000 } as const
      const stream = await consumer.consume({ topics: [topic], ...options, maxBytes: 4_194_304 })
      stream.on('data', () => {
        seen += 1
        if (seen >= count) all.resolve()
      })
      await all.promise
      await stream.close()
    },
    close: async () => {
      await producer.close()
      await consumer.close(true)
    },
  }
}

const timed = async (work: () => Promise<number>) => {
  const cpu = process.cpuUsage()
  const startMs = clock.monotonicMs()
  const count = await work()
  const seconds = (clock.monotonicMs() - startMs) / 1_000
  const { user, system } = process.cpuUsage(cpu)
  return { perSecond: count / seconds, cpuMicros: (user + system) / count, count }
}

const client = which === 'ours' ? ours : makeTheirs()
await client.publish(makeBatch())
const publish = await timed(async () => {
  const endMs = clock.monotonicMs() + Number(values.seconds) * 1_000
  let count = 0
  const writer = async (): Promise<void> => {
    while (clock.monotonicMs() < endMs) {
      await client.publish(makeBatch())
      count += batch
    }
  }
  await Promise.all(Array.from({ length: inFlight }, writer))
  return count
})
const read = await timed(async () => {
  await client.read(publish.count + batch)
  return publish.count + batch
})
await client.close()
await broker.close()
process.stdout.write(`${JSON.stringify({ publish, read })}\n`)
