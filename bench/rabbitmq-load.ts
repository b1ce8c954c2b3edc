import { type Channel, connect, type ConsumeMessage, type Options } from 'amqplib'
import { createSystemKernel } from '../src/kernel/index.ts'
import { type BrokerMessage, createRabbitmqBroker } from '../src/transport/index.ts'

/**
 * `node rabbitmq-load.ts ours|hand URL SECONDS`: publishes messages of 1 KB to a durable quorum
 * queue for so long, two batches of 512 at a time, then reads them all; prints a line of JSON.
 *
 * By hand is the client alone, used as well as it can be: no Nagle, a channel with confirms, a
 * whole batch sent before anything is waited for, a prefetch of two batches and one
 * acknowledgement for each. Both send the same properties and headers.
 */
const [, , which = 'ours', url = '', seconds = '2'] = process.argv
const BATCH = 512
const READ_BATCH = 500
const prefix = `bench-${process.pid}`
const exchange = `${prefix}.orders`
const queue = `${exchange}.all`
const data = Buffer.alloc(1_024, 'x')

const attributesOf = (n: number): Readonly<Record<string, string>> => ({
  specversion: '1.0',
  id: `msg_${n}`,
  type: 'orders.changed',
  source: '/publish',
  time: '2025-01-01T00:00:00.000Z',
  datacontenttype: 'application/json',
  partitionkey: `key-${n % 1_000}`,
  correlationid: `msg_${n}`,
  tenant: 'default',
  contractversion: '1',
  logstore: 'store-1',
  logposition: String(n),
  logprevious: String(n - 1),
  logtime: '1735689600000',
})

interface Side {
  publish(from: number): Promise<void>
  /** Until so many have come. */
  read(count: number): Promise<void>
  close(): Promise<void>
}

const ours = async (): Promise<Side> => {
  const broker = await createRabbitmqBroker({
    ...createSystemKernel(),
    url,
    prefix,
    queues: { orders: ['all'] },
  })
  await broker.ensure([{ channel: 'orders', retentionMs: 3_600_000 }])
  return {
    publish: (from) => {
      const messages: BrokerMessage[] = []
      for (let n = from; n < from + BATCH; n++) {
        const attributes = attributesOf(n)
        const key = attributes['partitionkey'] ?? ''
        messages.push({ partition: 0, key, id: `msg_${n}`, attributes, data })
      }
      return broker.publish('orders', messages)
    },
    read: async (count) => {
      let read = 0
      await new Promise<void>((resolve, reject) => {
        const onBatch = async (messages: readonly unknown[]): Promise<void> => {
          read += messages.length
          if (read >= count) resolve()
        }
        broker.read(queue, { from: {}, batchMax: READ_BATCH, onBatch }).catch(reject)
      })
    },
    close: () => broker.close(),
  }
}

const hand = async (): Promise<Side> => {
  const [writing, reading] = [
    await connect(url, { noDelay: true }),
    await connect(url, { noDelay: true }),
  ]
  const publisher = await writing.createConfirmChannel()
  await publisher.assertExchange(exchange, 'topic', { durable: true })
  await publisher.assertQueue(queue, { arguments: { 'x-queue-type': 'quorum' } })
  await publisher.bindQueue(queue, exchange, '#')
  const optionsOf = (n: number): Options.Publish => {
    const { datacontenttype, ...attributes } = attributesOf(n)
    const headers: Record<string, string> = {}
    for (const name in attributes) headers[`cloudEvents:${name}`] = attributes[name] ?? ''
    const contentType = datacontenttype ?? ''
    return { headers, contentType, messageId: `msg_${n}`, persistent: true }
  }
  return {
    publish: (from) =>
      new Promise((resolve, reject) => {
        let left = BATCH
        const confirmed = (error: unknown): void => {
          if (error !== null) reject(new TypeError('not confirmed', { cause: error }))
          else if ((left -= 1) === 0) resolve()
        }
        for (let n = from; n < from + BATCH; n++) {
          publisher.publish(exchange, 'orders.changed', data, optionsOf(n), confirmed)
        }
      }),
    read: async (count) => {
      const channel = await reading.createChannel()
      await channel.prefetch(READ_BATCH * 2)
      await readByHand(channel, count)
    },
    close: async () => {
      await writing.close()
      await reading.close()
    },
  }
}

const readByHand = (channel: Channel, count: number): Promise<void> =>
  new Promise((resolve, reject) => {
    let read = 0
    const onMessage = (message: ConsumeMessage | null): void => {
      if (message === null) return
      read += 1
      if (read % READ_BATCH === 0 || read === count) channel.ack(message, true)
      if (read === count) resolve()
    }
    channel.consume(queue, onMessage).catch(reject)
  })

const cpuUs = (): number => {
  const { user, system } = process.cpuUsage()
  return user + system
}

const side = await (which === 'ours' ? ours() : hand())
let sent = 0
const publishFor = async (ms: number): Promise<number> => {
  const startMs = performance.now()
  const lane = async (): Promise<void> => {
    while (performance.now() - startMs < ms) await side.publish((sent += BATCH) - BATCH)
  }
  await Promise.all([lane(), lane()])
  return performance.now() - startMs
}
await publishFor(300)
const warm = sent
const cpuBefore = cpuUs()
const publishMs = await publishFor(Number(seconds) * 1_000)
const published = sent - warm
const cpuBetween = cpuUs()
const startMs = performance.now()
await side.read(sent)
const readMs = performance.now() - startMs
const cpuAfter = cpuUs()
await side.close()
const admin = await connect(url)
await (await admin.createChannel()).deleteQueue(queue)
await admin.close()
console.log(
  JSON.stringify({
    published,
    publishPerSecond: (published / publishMs) * 1_000,
    publishCpuUs: (cpuBetween - cpuBefore) / published,
    readPerSecond: (sent / readMs) * 1_000,
    readCpuUs: (cpuAfter - cpuBetween) / sent,
  }),
)
