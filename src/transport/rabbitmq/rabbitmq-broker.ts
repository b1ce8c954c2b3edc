import type { BrokerFeatures } from '../../contract/index.ts'
import { JuncturaError, LIMITS } from '../../kernel/index.ts'
import type {
  Broker,
  BrokerChannel,
  BrokerMessage,
  BrokerOptions,
  FollowListener,
  ReadOptions,
  Reading,
} from '../broker.ts'
import { type AmqpModule, loadAmqp } from './amqp-client.ts'
import { problemOf } from './amqp-failure.ts'
import { AmqpLink, type LinkContext } from './amqp-link.ts'
import { checkSize } from './amqp-message.ts'
import { ChannelPublisher } from './channel-publisher.ts'
import { checkBroker } from './check-broker.ts'
import { type ConnectTarget, readTarget } from './connect-target.ts'
import { admitQueue } from './admit-queue.ts'
import { startFollower } from './queue-follower.ts'
import { startQueueReader } from './queue-reader.ts'
import { createTopology, ensureChannel, type Topology, type UseChannel } from './topology.ts'
import type { RabbitmqTls } from './tls-options.ts'
import { channelUser } from './use-channel.ts'

export interface RabbitmqBrokerOptions extends BrokerOptions {
  /**
   * Durable quorum queues for other systems, by channel: `{ orders: ['billing'] }` makes
   * `junctura.orders.billing`, bound to everything of the channel. An exchange keeps nothing: what
   * is published before a queue is bound to it is not there for that queue.
   *
   * @maximum 100 for each channel
   */
  readonly queues?: Readonly<Record<string, readonly string[]>>
  /** For `amqps:` where the certificate of the server, or ours, is not one that all know. */
  readonly tls?: RabbitmqTls
}

/** What this engine gives; `durability` is that of the queues that other systems read. */
export const RABBITMQ_FEATURES: BrokerFeatures = {
  engine: 'rabbitmq',
  durability: 'fsync',
  unitOfOrder: 'partition',
  partitions: 1,
  // RabbitMQ takes more; but nothing larger than a record and its headers is ever sent.
  messageBytesMax: LIMITS.recordBytesMax + LIMITS.rabbitmqHeaderBytesMax,
  dedupeWindowMs: 0,
  reading: 'ack',
  delayMsMax: 0,
}

/**
 * Opens RabbitMQ as a broker, by the package `amqplib`, over AMQP 0-9-1. Each channel is a durable
 * topic exchange `<prefix>.<channel>`, and the type of a message is its routing key.
 *
 * It returns before the server has answered: what needs the connection waits for the first try and
 * then fails, or works, by what came of it.
 *
 * @throws JUNCTURA_PEER_MISSING when `amqplib` is not installed.
 * @throws JUNCTURA_DECLARATION when an option cannot be used.
 */
export const createRabbitmqBroker = async (options: RabbitmqBrokerOptions): Promise<Broker> => {
  const target = readTarget(options.url, options.tls)
  checkQueues(options.queues ?? {})
  return new RabbitmqBroker(options, target, await loadAmqp())
}

function checkQueues(queues: Readonly<Record<string, readonly string[]>>): void {
  for (const [channel, { length }] of Object.entries(queues)) {
    if (length <= LIMITS.rabbitmqQueuesMax) continue
    const field = `queues.${channel}`
    const problem = `it names ${length} queues; the maximum is ${LIMITS.rabbitmqQueuesMax}`
    const fix = 'let several readers share a queue, or bind theirs themselves'
    throw new JuncturaError('JUNCTURA_DECLARATION', { details: { field, problem, fix } })
  }
}

class RabbitmqBroker implements Broker {
  readonly features: BrokerFeatures = RABBITMQ_FEATURES
  readonly #options: RabbitmqBrokerOptions
  readonly #context: LinkContext
  readonly #topology: Topology
  /** A server that is short of memory stops reading from connections that publish. */
  readonly #publishing: AmqpLink
  /** So what reads and administers has another. */
  readonly #reading: AmqpLink
  readonly #publishers = new Map<string, ChannelPublisher>()
  readonly #readings = new Set<Reading>()
  readonly #timeoutMs: number
  readonly #useChannel: UseChannel
  #isConnected: boolean | undefined
  #closing: Promise<void> | undefined

  constructor(options: RabbitmqBrokerOptions, target: ConnectTarget, amqp: AmqpModule) {
    const { prefix = 'junctura', clock, random, log, publishTimeoutMs = 10_000 } = options
    this.#options = options
    this.#context = { clock, random, log }
    this.#topology = createTopology(prefix, options.queues ?? {})
    this.#timeoutMs = publishTimeoutMs
    const link = (purpose: string): AmqpLink =>
      new AmqpLink({
        ...this.#context,
        connect: () => target.connect(amqp, `${prefix} ${purpose}`),
        mask: target.mask,
        onChange: () => this.#changed(),
      })
    this.#publishing = link('publishes')
    this.#reading = link('reads')
    this.#useChannel = channelUser(this.#reading, { clock, log, timeoutMs: publishTimeoutMs })
  }

  async ensure(channels: readonly BrokerChannel[]): Promise<void> {
    this.#assertOpen()
    for (const channel of channels) {
      await ensureChannel(channel, this.#topology, this.#useChannel)
    }
  }

  async publish(channel: string, messages: readonly BrokerMessage[]): Promise<void> {
    this.#assertOpen()
    for (const message of messages) checkSize(message, this.features.messageBytesMax)
    await this.#publisherOf(channel).publish(messages)
  }

  async follow(channel: string, listener: FollowListener): Promise<Reading> {
    this.#assertOpen()
    const reading = await startFollower({
      ...this.#context,
      link: this.#reading,
      timeoutMs: this.#timeoutMs,
      exchange: this.#topology.exchangeOf(channel),
      listener,
    })
    return this.#track(reading)
  }

  async read(queue: string, read: ReadOptions): Promise<Reading> {
    this.#assertOpen()
    const reading = await startQueueReader({
      ...this.#context,
      link: this.#reading,
      timeoutMs: this.#timeoutMs,
      queue,
      read,
      admit: () => admitQueue(queue, this.#context.log, this.#useChannel),
    })
    return this.#track(reading)
  }

  /** The server keeps no count of what passed an exchange, and no mark of when it was made. */
  async inspect(): Promise<{
    readonly incarnation: string
    readonly ends: Record<string, string>
  }> {
    this.#assertOpen()
    return { incarnation: '', ends: {} }
  }

  async check(channels: readonly BrokerChannel[]): ReturnType<Broker['check']> {
    this.#assertOpen()
    return await checkBroker({
      channels,
      url: this.#options.url,
      topology: this.#topology,
      blockedBy: this.#publishing.blockedBy,
      useChannel: this.#useChannel,
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#readings].map((reading) => reading.close()))
    await Promise.all([...this.#publishers.values()].map((publisher) => publisher.close()))
    await Promise.all([this.#publishing.close(), this.#reading.close()])
  }

  #publisherOf(channel: string): ChannelPublisher {
    const known = this.#publishers.get(channel)
    if (known) return known
    const publisher = new ChannelPublisher({
      ...this.#context,
      link: this.#publishing,
      exchange: this.#topology.exchangeOf(channel),
      timeoutMs: this.#timeoutMs,
    })
    this.#publishers.set(channel, publisher)
    return publisher
  }

  #track(reading: Reading): Reading {
    const tracked: Reading = {
      close: async () => {
        await reading.close()
        this.#readings.delete(tracked)
      },
    }
    this.#readings.add(tracked)
    return tracked
  }

  #changed(): void {
    for (const publisher of this.#publishers.values()) publisher.wake()
    const links = [this.#publishing, this.#reading]
    const problem = links
      .map(({ blockedBy, failure }) => blockedBy ?? (failure && problemOf(failure)))
      .find(isSaid)
    const isConnected = problem === undefined && links.every((link) => link.isConnected)
    // Before each of them has tried, there is nothing to tell.
    if (!isConnected && problem === undefined) return
    if (this.#isConnected === isConnected || this.#closing) return
    this.#isConnected = isConnected
    const { onState } = this.#options
    onState?.({ connected: isConnected, ...(problem !== undefined && { problem }) })
  }

  #assertOpen(): void {
    if (!this.#closing) return
    throw new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'The RabbitMQ broker' } })
  }
}

const isSaid = (text: string | undefined): text is string => text !== undefined
