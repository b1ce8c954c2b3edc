// 1 KB messages through the port of brokers to NATS JetStream and back, or the same with the
// vendor's client by hand. Prints one line of JSON.
//   node bench/nats-load.ts ours|batches|acks --url URL [--seconds S] [--bytes B]
//     [--batch M] [--in-flight F]
// All: one stream, the id of each message for the server to drop repeats by, the attributes of a
// CloudEvent as headers. By hand there are two ways: atomic batches, and each message with an
// answer of its own, all of a batch in flight together. First as many batches are published as fit
// into the time, then all of them are read. By hand, too, each header is looked at.
import { parseArgs } from 'node:util'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, headers, type MsgHdrs } from '@nats-io/transport-node'
import { createSystemKernel } from '../src/kernel/index.ts'
import { type BrokerMessage, createNatsBroker } from '../src/transport/index.ts'

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
const STREAM = `${prefix}_${CHANNEL}`
const data = Buffer.alloc(Number(values.bytes), 'x')
const broker = await createNatsBroker({ url: values.url, prefix, clock, random, log })
await broker.ensure([{ channel: CHANNEL, retentionMs: 3_600_000 }])

let made = 0
const makeBatch = (): readonly BrokerMessage[] =>
  Array.from({ length: batch }, () => {
    made += 1
    return {
      partition: 0,
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
    const reading = await broker.read(STREAM, {
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

const makeTheirs = async (isAtomic: boolean): Promise<Client> => {
  const connection = await connect({ servers: values.url, noAsyncTraces: true })
  const manager = await jetstreamManager(connection)
  const client = jetstream(connection)
  const subject = `${prefix}.${CHANNEL}.0.orders.changed`
  const headersOf = (one: BrokerMessage): MsgHdrs => {
    const made = headers()
    for (const [name, value] of Object.entries(one.attributes)) made.set(`ce-${name}`, value)
    made.set('Nats-Msg-Id', one.id)
    return made
  }
  const together = async (messages: readonly BrokerMessage[]): Promise<void> => {
    const [first, ...rest] = messages.map((one) => ({ headers: headersOf(one) }))
    const last = rest.pop()
    const open = await client.startBatch(subject, data, first)
    for (const options of rest) open.add(subject, data, options)
    await open.commit(subject, data, last)
  }
  const each = async (messages: readonly BrokerMessage[]): Promise<void> => {
    const sent = messages.map((one) =>
      client.publish(subject, data, { headers: headersOf(one), timeout: 60_000 }),
    )
    await Promise.all(sent)
  }
  return {
    publish: isAtomic ? together : each,
    read: async (count) => {
      let seen = 0
      const all = Promise.withResolvers<void>()
      const { name } = await manager.consumers.add(STREAM, {
        ack_policy: 'none',
        mem_storage: true,
      })
      const consumer = await client.consumers.get(STREAM, name)
      const reading = await consumer.consume({
        max_messages: 1_000,
        callback: (message) => {
          for (const [name] of message.headers ?? []) if (name === 'ce-id') seen += 1
          if (seen >= count) all.resolve()
        },
      })
      await all.promise
      await reading.close()
    },
    close: () => connection.close(),
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

const client = which === 'ours' ? ours : await makeTheirs(which === 'batches')
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
