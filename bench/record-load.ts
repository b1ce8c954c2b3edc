// 1 KB messages from publish to handled, with the broker as their record: a contract with
// `record: 'transport'`, or the same by hand with the vendor's client. Prints one line of JSON.
//   node bench/record-load.ts ours|theirs --engine kafka|nats --url URL [--seconds S] [--bytes B]
//     [--batch M] [--in-flight F]
// Both: batches in flight, each confirmed as the broker's durability says; a consumer that reads
// from the broker at the same time, parses each message and keeps its progress: ours in a SQLite
// store, theirs as offsets in the consumer group, or as acknowledgements of all up to a message.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, headers } from '@nats-io/transport-node'
import { Consumer, Producer } from '@platformatic/kafka'
import { consumer, event, integration, jsonSchema, team } from '../src/contract/index.ts'
import { createSystemKernel, silentLogger } from '../src/kernel/index.ts'
import { createRuntime } from '../src/runtime/index.ts'
import { createKafkaBroker, createNatsBroker } from '../src/transport/index.ts'

const number = (fallback: string) => ({ type: 'string', default: fallback }) as const
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    engine: { type: 'string', default: 'kafka' },
    url: { type: 'string', default: '' },
    seconds: number('3'),
    bytes: number('1000'),
    batch: number('512'),
    'in-flight': number('4'),
  },
})
const [which = 'ours'] = positionals
const { engine, url } = values
const batch = Number(values.batch)
const { clock, random } = createSystemKernel()
const log = silentLogger
const prefix = `bench-${which}-${process.pid}`
const CHANNEL = 'meters'
const PARTITIONS = 8
const text = 'x'.repeat(Number(values.bytes))

interface Reading {
  readonly key: string
  readonly n: number
  readonly text: string
}

let made = 0
const makeBatch = (): readonly Reading[] =>
  Array.from({ length: batch }, () => {
    made += 1
    return { key: `key-${made % 1_000}`, n: made, text }
  })

let handled = 0
let wanted = Infinity
const all = Promise.withResolvers<void>()
const handle = (reading: Reading): void => {
  if (reading.n > 0) handled += 1
  if (handled >= wanted) all.resolve()
}

interface Side {
  publish(readings: readonly Reading[]): Promise<unknown>
  close(): Promise<unknown>
}

const startOurs = async (): Promise<Side> => {
  const owner = team('meters')
  const schema = {
    type: 'object',
    required: ['key', 'n', 'text'],
    properties: { key: { type: 'string' }, n: { type: 'number' }, text: { type: 'string' } },
  } as const
  const Metered = event('meters.metered', {
    owner,
    key: 'key',
    record: 'transport',
    versions: { 1: jsonSchema<Reading>(schema) },
  })
  const reader = consumer('reader', {
    on: Metered,
    owner,
    idempotency: 'natural',
    retry: { attempts: 3, first: '1s', max: '10s' },
    deadLetter: { alert: owner.oncall },
    afterDeadLetter: 'skip',
    replay: 'safe',
    from: 'earliest',
    concurrency: 64,
    handle: async (reading) => handle(reading),
  })
  const directory = mkdtempSync(join(tmpdir(), 'junctura-bench-'))
  const choice = engine === 'nats' ? ({ engine: 'nats' } as const) : ({ engine: 'kafka' } as const)
  const runtime = await createRuntime(integration('meters', { parts: [reader] }), {
    store: { engine: 'sqlite', directory },
    transport: { ...choice, url, prefix },
    log,
    send: () => Promise.resolve(),
  })
  return {
    publish: (readings) => runtime.publishMany(readings.map((one) => Metered.of(one))),
    async close() {
      await runtime.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

const attributesOf = ({ key, n }: Reading): Readonly<Record<string, string>> => ({
  specversion: '1.0',
  id: `msg_${n}`,
  type: 'meters.metered',
  source: '/publish',
  time: '2026-01-01T00:00:00.000Z',
  contractversion: '1',
  partitionkey: key,
  correlationid: `msg_${n}`,
  tenant: 'default',
})

const partitionOf = ({ n }: Reading): number => (n % 1_000) % PARTITIONS

const startKafka = async (): Promise<Side> => {
  const topic = `${prefix}.${CHANNEL}`
  const broker = await createKafkaBroker({ url, prefix, clock, random, log })
  await broker.ensure([{ channel: CHANNEL, retentionMs: 3_600_000 }])
  await broker.close()
  const bootstrapBrokers = [url.replace('kafka://', '')]
  const producer = new Producer({ clientId: 'bench', bootstrapBrokers, idempotent: true })
  const reader = new Consumer({ clientId: 'bench', groupId: prefix, bootstrapBrokers })
  const options = { mode: 'earliest', autocommit: 1_000, maxWaitTime: 1_000 } as const
  const stream = await reader.consume({ topics: [topic], ...options, maxBytes: 4_194_304 })
  stream.on('data', ({ value, headers: found }) => {
    // What a contract says of a message is in its headers, by hand as well.
    for (const [name] of found) if (name.toString() === '') return
    handle(JSON.parse(value.toString()) as Reading)
  })
  const names = new Map<string, Buffer>()
  const nameOf = (attribute: string): Buffer => {
    let name = names.get(attribute)
    if (!name) names.set(attribute, (name = Buffer.from(`ce_${attribute}`)))
    return name
  }
  return {
    publish: (readings) =>
      producer.send({
        messages: readings.map((one) => ({
          topic,
          partition: partitionOf(one),
          key: Buffer.from(one.key),
          value: Buffer.from(JSON.stringify(one)),
          headers: new Map(
            Object.entries(attributesOf(one)).map(([name, value]) => [
              nameOf(name),
              Buffer.from(value),
            ]),
          ),
        })),
      }),
    async close() {
      await stream.close()
      await producer.close()
      await reader.close(true)
    },
  }
}

const ACK_EVERY = 500

const startNats = async (): Promise<Side> => {
  const stream = `${prefix}_${CHANNEL}`
  const broker = await createNatsBroker({ url, prefix, clock, random, log })
  await broker.ensure([{ channel: CHANNEL, retentionMs: 3_600_000 }])
  await broker.close()
  const connection = await connect({ servers: url, noAsyncTraces: true })
  const manager = await jetstreamManager(connection)
  const client = jetstream(connection)
  const subject = `${prefix}.${CHANNEL}.0.meters.metered`
  await manager.consumers.add(stream, { durable_name: 'reader', ack_policy: 'all' })
  const reader = await client.consumers.get(stream, 'reader')
  let unacked = 0
  const reading = await reader.consume({
    max_messages: 1_000,
    callback: (message) => {
      for (const [name] of message.headers ?? []) if (name === '') return
      handle(message.json<Reading>())
      if (++unacked < ACK_EVERY) return
      unacked = 0
      message.ack()
    },
  })
  return {
    // One transaction of the server for each batch, as our driver does it.
    async publish(readings) {
      const sent = readings.map((one) => {
        const made = headers()
        for (const [name, value] of Object.entries(attributesOf(one))) made.set(`ce-${name}`, value)
        made.set('Nats-Msg-Id', `msg_${one.n}`)
        return { data: JSON.stringify(one), options: { headers: made } }
      })
      const [first, ...rest] = sent
      const last = rest.pop()
      if (!first || !last) return
      const open = await client.startBatch(subject, first.data, first.options)
      for (const { data, options } of rest) open.add(subject, data, options)
      await open.commit(subject, last.data, last.options)
    },
    async close() {
      await reading.close()
      await connection.close()
    },
  }
}

const start = which === 'ours' ? startOurs : engine === 'nats' ? startNats : startKafka
const side = await start()
await side.publish(makeBatch())
while (handled < batch) await new Promise((resolve) => setTimeout(resolve, 5))

handled = 0
const cpu = process.cpuUsage()
const startMs = clock.monotonicMs()
const endMs = startMs + Number(values.seconds) * 1_000
let count = 0
const writer = async (): Promise<void> => {
  while (clock.monotonicMs() < endMs) {
    await side.publish(makeBatch())
    count += batch
  }
}
await Promise.all(Array.from({ length: Number(values['in-flight']) }, writer))
wanted = count
if (handled < wanted) await all.promise
const seconds = (clock.monotonicMs() - startMs) / 1_000
const { user, system } = process.cpuUsage(cpu)
await side.close()
const result = { perSecond: count / seconds, cpuMicros: (user + system) / count, count }
process.stdout.write(`${JSON.stringify(result)}\n`)
process.exit(0)
