import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect as connectNats } from '@nats-io/transport-node'
import {
  Admin,
  Consumer,
  Producer,
  stringDeserializers,
  stringSerializers,
} from '@platformatic/kafka'
import amqp from 'amqplib'
import pg from 'pg'
import type { EngineName } from './engine-instance.ts'

/** One thing that a client writes so that it lasts, and what it reads back; a connection each. */
export interface EngineClient {
  /** Resolves when the server has acknowledged it. */
  put(url: string, text: string): Promise<void>
  /** All that was put, in order; nothing where there is no place for it any more. */
  list(url: string): Promise<readonly string[]>
}

const CONNECT_MS_MAX = 3_000
const NAME = 'engine-test'

const postgres: EngineClient = {
  put: (url, text) =>
    withPostgres(url, async (client) => {
      await client.query('create table if not exists texts (id serial, text text)')
      await client.query('insert into texts (text) values ($1)', [text])
    }),
  list: (url) =>
    withPostgres(url, async (client) => {
      const there = await client.query(`select to_regclass('texts') is not null as there`)
      if (there.rows[0]?.there !== true) return []
      const { rows } = await client.query<{ text: string }>('select text from texts order by id')
      return rows.map(({ text }) => text)
    }),
}

const withPostgres = async <T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> => {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_MS_MAX,
    query_timeout: CONNECT_MS_MAX,
  })
  // A connection that breaks fails the query; without a listener it would also end the process.
  client.on('error', () => {})
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

const nats: EngineClient = {
  put: (url, text) =>
    withNats(url, async (connection) => {
      const manager = await jetstreamManager(connection, { timeout: CONNECT_MS_MAX })
      await manager.streams.add({ name: NAME, subjects: [NAME] })
      await jetstream(connection).publish(NAME, text)
    }),
  list: (url) =>
    withNats(url, async (connection) => {
      const manager = await jetstreamManager(connection, { timeout: CONNECT_MS_MAX })
      const names = await manager.streams.names(NAME).next()
      if (!names.includes(NAME)) return []
      const { state } = await manager.streams.info(NAME)
      const texts: string[] = []
      for (let seq = state.first_seq; seq <= state.last_seq; seq += 1) {
        texts.push((await manager.streams.getMessage(NAME, { seq }))?.string() ?? '')
      }
      return texts
    }),
}

const withNats = async <T>(
  servers: string,
  use: (connection: Awaited<ReturnType<typeof connectNats>>) => Promise<T>,
): Promise<T> => {
  const connection = await connectNats({ servers, timeout: CONNECT_MS_MAX, reconnect: false })
  try {
    return await use(connection)
  } finally {
    await connection.close()
  }
}

const kafka: EngineClient = {
  async put(url, text) {
    await withAdmin(url, async (admin) => {
      const topics = await admin.listTopics()
      if (!topics.includes(NAME)) await admin.createTopics({ topics: [NAME], partitions: 1 })
    })
    const producer = new Producer({ ...kafkaOptions(url), serializers: stringSerializers })
    try {
      await producer.send({ messages: [{ topic: NAME, value: text }], acks: -1 })
    } finally {
      await producer.close()
    }
  },
  async list(url) {
    const topics = await withAdmin(url, (admin) => admin.listTopics())
    if (!topics.includes(NAME)) return []
    const groupId = `${NAME}-${Math.random()}`
    const options = { ...kafkaOptions(url), groupId, deserializers: stringDeserializers }
    const consumer = new Consumer(options)
    try {
      const offsets = await consumer.listOffsets({ topics: [NAME] })
      const count = Number(offsets.get(NAME)?.[0] ?? 0n)
      if (count === 0) return []
      const stream = await consumer.consume({ topics: [NAME], mode: 'earliest', autocommit: false })
      const texts: string[] = []
      for await (const message of stream) {
        texts.push(message.value)
        if (texts.length === count) break
      }
      return texts
    } finally {
      await consumer.close(true)
    }
  },
}

const withAdmin = async <T>(url: string, use: (admin: Admin) => Promise<T>): Promise<T> => {
  const admin = new Admin(kafkaOptions(url))
  try {
    return await use(admin)
  } finally {
    await admin.close()
  }
}

const kafkaOptions = (url: string) => ({
  clientId: NAME,
  bootstrapBrokers: [new URL(url).host],
  connectTimeout: CONNECT_MS_MAX,
  timeout: CONNECT_MS_MAX,
  retries: 1,
})

const rabbitmq: EngineClient = {
  put: (url, text) =>
    withRabbit(url, async (connection) => {
      const channel = await connection.createConfirmChannel()
      const { messageCount } = await channel.assertQueue(NAME, QUORUM)
      if (messageCount === 0) await quorumIsOnDisk()
      channel.sendToQueue(NAME, Buffer.from(text), { persistent: true })
      await channel.waitForConfirms()
    }),
  list: (url) =>
    withRabbit(url, async (connection) => {
      const channel = await connection.createChannel()
      await channel.assertQueue(NAME, QUORUM)
      const texts: string[] = []
      for (;;) {
        const message = await channel.get(NAME)
        // What is not acknowledged goes back when the connection closes.
        if (message === false) return texts
        texts.push(message.content.toString('utf8'))
      }
    }),
}

/**
 * RabbitMQ 3.10 writes which quorum queues it runs up to a second after it has confirmed their
 * declaration. Killed before that, it knows the queue by name and never serves it again. There is
 * nothing to ask it for.
 */
const quorumIsOnDisk = (): Promise<void> =>
  new Promise((resolve) => void setTimeout(resolve, 2_000))

const QUORUM = { durable: true, arguments: { 'x-queue-type': 'quorum' } }

const withRabbit = async <T>(
  url: string,
  use: (connection: amqp.ChannelModel) => Promise<T>,
): Promise<T> => {
  const connection = await amqp.connect(url, { noDelay: true, timeout: CONNECT_MS_MAX })
  connection.on('error', () => {})
  try {
    return await use(connection)
  } finally {
    await connection.close()
  }
}

/** With the libraries that users would take. */
export const ENGINE_CLIENTS: Readonly<Record<EngineName, EngineClient>> = {
  postgres15: postgres,
  postgres18: postgres,
  nats,
  kafka,
  rabbitmq,
}
