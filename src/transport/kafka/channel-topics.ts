import { LIMITS } from '../../kernel/index.ts'
import type { BrokerChannel } from '../broker.ts'
import type { Cluster, TopicView } from './cluster.ts'
import { CODES, hasCode, refused, toPortError, unavailable } from './kafka-error.ts'
import type { KafkaPackage } from './kafka-package.ts'

export interface TopicPlan {
  readonly prefix: string
  readonly partitions: number
  /** Undefined: as many as there are brokers, up to three. */
  readonly replicationFactor: number | undefined
  readonly messageBytesMax: number
}

/**
 * A prefix has no dot and a channel no underscore: two channels never share a topic, and two topics
 * never differ by dot and underscore alone, which Kafka refuses.
 */
export const topicOf = (prefix: string, channel: string): string => `${prefix}.${channel}`

const TOPIC_CHARS_MAX = 249

/** In one batch, beside the message that is the largest: head of the batch, and a little more. */
const BATCH_SPARE_BYTES = 1_024

export const replicationOf = ({ replicationFactor }: TopicPlan, brokers: number): number =>
  replicationFactor ?? Math.min(3, brokers)

/** Of three copies two must have a message before it is confirmed. */
const minInSyncOf = (replicationFactor: number): number => (replicationFactor >= 3 ? 2 : 1)

/** Creates what is missing and corrects what may be corrected. See `Broker.ensure`. */
export const ensureTopics = async (
  cluster: Cluster,
  plan: TopicPlan,
  channels: readonly BrokerChannel[],
): Promise<void> => {
  const topics = channels.map((one) => ({ ...one, topic: topicOf(plan.prefix, one.channel) }))
  const names = topics.map(({ topic }) => topic)
  if (names.length === 0) return
  for (const name of names) {
    if (name.length <= TOPIC_CHARS_MAX) continue
    const problem = `its name has ${name.length} characters and Kafka allows ${TOPIC_CHARS_MAX}`
    throw refused(`topic ${name}`, problem, 'shorten the prefix or the channel')
  }
  const before = await cluster.topics(names)
  const missing = topics.filter(({ topic }) => !before.has(topic))
  for (const one of missing) await createTopic(cluster, plan, one)
  const views = missing.length === 0 ? before : await untilThere(cluster, names)
  for (const { topic } of topics) {
    const view = views.get(topic)
    if (view?.problem) throw view.problem
    checkPartitions(topic, view, plan)
  }
  const settings = await describeTopics(cluster, names)
  for (const { topic, retentionMs } of topics) {
    const found = settings.get(topic)
    if (found) await correct(cluster, { topic, retentionMs, found, plan })
  }
}

interface ChannelTopic extends BrokerChannel {
  readonly topic: string
}

async function createTopic(
  cluster: Cluster,
  plan: TopicPlan,
  { topic, retentionMs }: ChannelTopic,
): Promise<void> {
  const { kafka, requestTimeoutMs } = cluster.options
  const wire = await cluster.ready()
  const replicationFactor = replicationOf(plan, cluster.brokerCount)
  const wanted = {
    name: topic,
    numPartitions: plan.partitions,
    replicationFactor,
    assignments: [],
    configs: [
      { name: 'cleanup.policy', value: 'delete' },
      { name: 'retention.ms', value: String(retentionMs) },
      { name: 'max.message.bytes', value: String(batchBytesOf(plan)) },
      { name: 'min.insync.replicas', value: String(minInSyncOf(replicationFactor)) },
    ],
  }
  await wire
    .request<unknown>(requestTimeoutMs, (connection, done) =>
      kafka.createTopicsV7.api(connection, [wanted], requestTimeoutMs, false, done),
    )
    .catch((error: unknown) => {
      // Another process was faster.
      if (!hasCode(error, CODES.topicExists)) throw toPortError(error, `topic ${topic}`)
    })
}

/** A topic is known before each of its partitions has a leader. */
async function untilThere(
  cluster: Cluster,
  names: readonly string[],
): Promise<ReadonlyMap<string, TopicView>> {
  const { clock, requestTimeoutMs } = cluster.options
  const endMs = clock.monotonicMs() + requestTimeoutMs
  for (let tries = 0; ; tries++) {
    const views = await cluster.topics(names)
    const isThere = names.every((name) => {
      const view = views.get(name)
      return view && (view.problem || view.partitions.every(({ leader }) => leader >= 0))
    })
    if (isThere) return views
    if (clock.monotonicMs() >= endMs) throw unavailable('a new topic has no leaders yet')
    await cluster.pause(Math.min(tries, 2))
  }
}

function checkPartitions(topic: string, view: TopicView | undefined, plan: TopicPlan): void {
  const count = view?.partitions.length ?? 0
  if (count === plan.partitions) return
  throw refused(
    `topic ${topic}`,
    `it has ${count} partitions and ${plan.partitions} are wanted; a change would break the order of keys`,
    `set the option partitions to ${count}, or move the channel to a topic of another prefix`,
  )
}

/** The settings of topics, by name. Of those that are not there, nothing. */
export const describeTopics = async (
  cluster: Cluster,
  names: readonly string[],
): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>> => {
  const { kafka, requestTimeoutMs } = cluster.options
  const wire = await cluster.ready()
  const resources = names.map((resourceName) => ({
    resourceType: TOPIC,
    resourceName,
    configurationKeys: SETTINGS,
  }))
  const { results } = await wire
    .request<Described>(requestTimeoutMs, (connection, done) =>
      kafka.describeConfigsV4.api(connection, resources, false, false, done),
    )
    .catch((error: unknown) => {
      throw toPortError(error, 'the settings of the topics')
    })
  return new Map(
    results.map(({ resourceName, configs }) => [
      resourceName,
      new Map(configs.map(({ name, value }) => [name, value ?? ''])),
    ]),
  )
}

type Described = ReturnType<KafkaPackage['describeConfigsV4']['parseResponse']>

const TOPIC = 2 as const
const SETTINGS: string[] = [
  'cleanup.policy',
  'retention.ms',
  'retention.bytes',
  'max.message.bytes',
  'min.insync.replicas',
  'unclean.leader.election.enable',
]

/** Only ever lengthens and raises. */
async function correct(
  cluster: Cluster,
  {
    topic,
    retentionMs,
    found,
    plan,
  }: {
    readonly topic: string
    readonly retentionMs: number
    readonly found: ReadonlyMap<string, string>
    readonly plan: TopicPlan
  },
): Promise<void> {
  const policy = found.get('cleanup.policy') ?? 'delete'
  if (policy.includes('compact')) {
    const problem = `its cleanup.policy is ${policy}, which removes messages of a key`
    throw refused(`topic ${topic}`, problem, 'set cleanup.policy to delete')
  }
  const changes: { readonly name: string; readonly value: string }[] = []
  const retention = Number(found.get('retention.ms') ?? '-1')
  if (retention >= 0 && retention < retentionMs) {
    changes.push({ name: 'retention.ms', value: String(retentionMs) })
  }
  if (Number(found.get('max.message.bytes') ?? '0') < batchBytesOf(plan)) {
    changes.push({ name: 'max.message.bytes', value: String(batchBytesOf(plan)) })
  }
  if (changes.length === 0) return
  const { kafka, requestTimeoutMs } = cluster.options
  const wire = await cluster.ready()
  const configs = changes.map(({ name, value }) => ({ name, value, configOperation: SET }))
  await wire
    .request<unknown>(requestTimeoutMs, (connection, done) =>
      kafka.incrementalAlterConfigsV1.api(
        connection,
        [{ resourceType: TOPIC, resourceName: topic, configs }],
        false,
        done,
      ),
    )
    .catch((error: unknown) => {
      throw toPortError(error, `topic ${topic}`)
    })
}

const SET = 0 as const

/** The largest batch: one of many messages, or one message that is larger than that. */
const batchBytesOf = ({ messageBytesMax }: TopicPlan): number =>
  Math.max(messageBytesMax, LIMITS.kafkaRequestBytesMax) + BATCH_SPARE_BYTES
