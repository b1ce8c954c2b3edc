import { JuncturaError } from '../../kernel/index.ts'
import type { Broker, BrokerOptions, Reading } from '../broker.ts'
import type { ForeignTopic } from '../foreign-topic.ts'
import { ensureTopics, replicationOf, type TopicPlan, topicOf } from './channel-topics.ts'
import { checkCluster } from './check-cluster.ts'
import type { Cluster } from './cluster.ts'
import { ENGINE, refused, toPortError } from './kafka-error.ts'
import { kafkaTopicOf } from './kafka-topic.ts'
import { listOffsets } from './list-offsets.ts'
import { openCluster } from './open-cluster.ts'
import { Producer } from './producer.ts'
import { TopicReader, type TopicReaderOptions } from './topic-reader.ts'
import type { TlsOptions } from './tls-options.ts'

export interface KafkaBrokerOptions extends BrokerOptions {
  /**
   * Of each topic, for good: another number would put keys elsewhere and break their order.
   *
   * @default 8
   * @minimum 1
   * @maximum 1_024
   */
  readonly partitions?: number
  /**
   * Copies of each message, for topics that are not there yet.
   *
   * @default as many as there are brokers, at most 3
   */
  readonly replicationFactor?: number
  /**
   * One message with its headers, in bytes; the topics are set to take it.
   *
   * @default 5_242_880
   * @minimum 1_024
   * @maximum 67_108_864
   */
  readonly messageBytesMax?: number
  /** Certificates, where those of the system do not do; TLS itself is asked for by the URL. */
  readonly tls?: TlsOptions
}

/**
 * Kafka as a broker: one topic for each channel, `PREFIX.CHANNEL`, with a fixed number of
 * partitions. Messages are written by an idempotent producer with `acks=all`; readers keep their
 * own offsets, and no consumer group is made.
 *
 * A confirmed message is in the page cache of every replica that is in sync: Kafka does not sync to
 * disk first. With one broker it survives the end of the broker's process (`process`), with three
 * copies the loss of a machine (`replicated`).
 *
 * @throws JUNCTURA_PEER_MISSING when `@platformatic/kafka` is not installed.
 * @throws JUNCTURA_DECLARATION when an option is not valid.
 * @throws JUNCTURA_TRANSPORT_UNAVAILABLE when no broker can be reached.
 * @throws JUNCTURA_TRANSPORT_REFUSED when the sign-in is refused.
 */
export const createKafkaBroker = async (options: KafkaBrokerOptions): Promise<Broker> => {
  const { publishTimeoutMs = 10_000 } = options
  const plan = planOf(options)
  const requestTimeoutMs = publishTimeoutMs
  const cluster = await openCluster({ ...options, clientId: plan.prefix, requestTimeoutMs })
  return new KafkaBroker(cluster, plan, publishTimeoutMs)
}

function planOf(options: KafkaBrokerOptions): TopicPlan {
  const { prefix = 'junctura', partitions = 8, messageBytesMax = 5_242_880 } = options
  const { replicationFactor } = options
  if (!/^[a-z0-9-]{1,100}$/.test(prefix)) {
    throw invalid(
      'prefix',
      'has other characters than a-z, 0-9 and -, or more than 100',
      'rename it',
    )
  }
  whole('partitions', partitions, [1, 1_024])
  whole('messageBytesMax', messageBytesMax, [1_024, 67_108_864])
  if (replicationFactor !== undefined) whole('replicationFactor', replicationFactor, [1, 100])
  return { prefix, partitions, replicationFactor, messageBytesMax }
}

function whole(field: string, value: number, [low, high]: readonly [number, number]): void {
  if (Number.isInteger(value) && value >= low && value <= high) return
  throw invalid(
    field,
    `${value} is not from ${low} to ${high}`,
    'write a whole number between them',
  )
}

const invalid = (field: string, problem: string, fix: string): JuncturaError =>
  new JuncturaError('JUNCTURA_DECLARATION', {
    details: { field: `transport.${field}`, problem, fix },
  })

class KafkaBroker implements Broker {
  readonly features: Broker['features']
  readonly #cluster: Cluster
  readonly #plan: TopicPlan
  readonly #producer: Producer
  readonly #readers = new Set<TopicReader>()
  readonly #records = new Set<ForeignTopic>()
  #closing: Promise<void> | undefined

  constructor(cluster: Cluster, plan: TopicPlan, publishTimeoutMs: number) {
    const { messageBytesMax, partitions } = plan
    this.#cluster = cluster
    this.#plan = plan
    this.#producer = new Producer({ cluster, publishTimeoutMs, messageBytesMax })
    const isReplicated = replicationOf(plan, cluster.brokerCount) >= 3
    this.features = {
      engine: ENGINE,
      durability: isReplicated ? 'replicated' : 'process',
      unitOfOrder: 'partition',
      partitions,
      messageBytesMax,
      dedupeWindowMs: 0,
      reading: 'offset',
      delayMsMax: 0,
    }
  }

  ensure: Broker['ensure'] = (channels) =>
    this.#do('the topics', () => ensureTopics(this.#cluster, this.#plan, channels))

  publish: Broker['publish'] = (channel, messages) =>
    this.#producer.publish(this.#topicOf(channel), messages)

  follow: Broker['follow'] = (channel, listener) =>
    this.#read({
      topic: this.#topicOf(channel),
      from: 'end',
      batchMax: Number.POSITIVE_INFINITY,
      give: listener,
    })

  read: Broker['read'] = async (topic, { from, batchMax = 500, onBatch }) => {
    const views = await this.#do(`topic ${topic}`, () => this.#cluster.topics([topic]))
    if (!views.has(topic)) {
      throw refused(`topic ${topic}`, 'it is not there', 'create it, or correct its name')
    }
    return await this.#read({ topic, from, batchMax, give: onBatch })
  }

  record: NonNullable<Broker['record']> = (channel) => {
    const topic = kafkaTopicOf(this.#cluster, this.#topicOf(channel))
    this.#records.add(topic)
    return topic
  }

  inspect: Broker['inspect'] = (channel) =>
    this.#do(`channel ${channel}`, async () => {
      const topic = this.#topicOf(channel)
      const { id } = await this.#cluster.topic(topic)
      const ends = await listOffsets(this.#cluster, topic, 'end')
      const byPartition = [...ends].map(([index, end]) => [String(index), String(end)] as const)
      return { incarnation: id, ends: Object.fromEntries(byPartition) }
    })

  check: Broker['check'] = (channels) =>
    this.#do('the cluster', () => checkCluster(this.#cluster, this.#plan, channels))

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    await this.#producer.drain()
    const readers = [...this.#readers, ...this.#records].map((reader) => reader.close())
    await this.#cluster.close()
    await Promise.all(readers)
    await this.#producer.release()
  }

  #topicOf(channel: string): string {
    return topicOf(this.#plan.prefix, channel)
  }

  async #read(options: Omit<TopicReaderOptions, 'cluster'>): Promise<Reading> {
    const cluster = this.#cluster
    const reader = await this.#do(`topic ${options.topic}`, () =>
      TopicReader.start({ ...options, cluster }),
    )
    this.#readers.add(reader)
    return {
      close: async () => {
        await reader.close()
        this.#readers.delete(reader)
      },
    }
  }

  async #do<T>(resource: string, act: () => Promise<T>): Promise<T> {
    if (this.#closing) {
      throw new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'The broker' } })
    }
    try {
      return await act()
    } catch (error) {
      throw toPortError(error, resource)
    }
  }
}
