import type { BrokerChannel } from '../broker.ts'
import type { AmqpChannel } from './amqp-client.ts'
import { failureOf, problemOf, REPLY, replyCodeOf } from './amqp-failure.ts'

/** Runs on an AMQP channel of its own, because the server closes a channel that asks amiss. */
export type UseChannel = <T>(use: (channel: AmqpChannel) => Promise<T>) => Promise<T>

/** Names of what the driver makes, and the making. */
export interface Topology {
  exchangeOf(channel: string): string
  /** Queues of other systems that are made with a channel. */
  queuesOf(channel: string): readonly string[]
}

export const createTopology = (
  prefix: string,
  queues: Readonly<Record<string, readonly string[]>>,
): Topology => ({
  exchangeOf: (channel) => `${prefix}.${channel}`,
  queuesOf: (channel) => (queues[channel] ?? []).map((name) => `${prefix}.${channel}.${name}`),
})

export const ensureChannel = async (
  { channel, retentionMs }: BrokerChannel,
  topology: Topology,
  useChannel: UseChannel,
): Promise<void> => {
  const exchange = topology.exchangeOf(channel)
  await ensureExchange(exchange, useChannel)
  for (const queue of topology.queuesOf(channel)) {
    await ensureQueue({ queue, exchange, retentionMs }, useChannel)
  }
}

async function ensureExchange(exchange: string, useChannel: UseChannel): Promise<void> {
  try {
    await useChannel((channel) => channel.assertExchange(exchange, 'topic', { durable: true }))
  } catch (error) {
    if (await isServing(exchange, error, useChannel)) return
    throw failureOf(`the exchange ${exchange}`, error)
  }
}

/** Whether an exchange that somebody else made, and we may not make, serves as it is. */
async function isServing(exchange: string, error: unknown, use: UseChannel): Promise<boolean> {
  const code = replyCodeOf(error)
  if (code === REPLY.preconditionFailed) return problemOf(error).includes('alternate-exchange')
  if (code !== REPLY.accessRefused) return false
  return await use((channel) => channel.checkExchange(exchange)).then(
    () => true,
    () => false,
  )
}

export interface OtherQueue {
  readonly queue: string
  readonly exchange: string
  readonly retentionMs: number
}

/** One that is there is only bound: what it was declared with cannot be changed. */
async function ensureQueue(wanted: OtherQueue, useChannel: UseChannel): Promise<void> {
  const { queue, exchange } = wanted
  try {
    if (!(await isThere(queue, useChannel))) {
      await useChannel((channel) => declareQueue(channel, wanted))
    }
    await useChannel((channel) => channel.bindQueue(queue, exchange, '#'))
  } catch (error) {
    throw failureOf(`the queue ${queue}`, error)
  }
}

export const isThere = (queue: string, useChannel: UseChannel): Promise<boolean> =>
  useChannel((channel) => channel.checkQueue(queue)).then(
    () => true,
    (error: unknown) => {
      if (replyCodeOf(error) === REPLY.notFound) return false
      throw error
    },
  )

const declareQueue = async (
  channel: AmqpChannel,
  { queue, retentionMs }: OtherQueue,
): Promise<void> => {
  const version = majorVersionOf(channel)
  await channel.assertQueue(queue, {
    durable: true,
    // Nobody may come to read: then it holds what the contract keeps, and not all there ever was.
    ...(retentionMs <= TTL_MS_MAX && { messageTtl: retentionMs }),
    arguments: {
      'x-queue-type': 'quorum',
      // Without it, RabbitMQ 4 drops what was delivered 20 times; 3 has no limit, and no word.
      ...(version >= 4 && { 'x-delivery-limit': -1 }),
    },
  })
}

/** RabbitMQ counts a time to live in 32 bits. */
const TTL_MS_MAX = 4_294_967_295

export const versionOf = (channel: AmqpChannel): string =>
  channel.connection.serverProperties.version

export const majorVersionOf = (channel: AmqpChannel): number =>
  Number.parseInt(versionOf(channel), 10)
