import { JuncturaError } from '../../kernel/index.ts'
import type { BrokerProblem } from '../broker.ts'
import type {
  ForeignTopic,
  TopicDescription,
  TopicReading,
  TopicReadOptions,
  TopicSpan,
  TopicState,
} from '../foreign-topic.ts'
import { describeTopics } from './channel-topics.ts'
import type { Cluster, TopicView } from './cluster.ts'
import { problemOf, refused, toPortError } from './kafka-error.ts'
import { listOffsets } from './list-offsets.ts'
import { TopicReader } from './topic-reader.ts'

/** A topic on connections that others use as well and close, or that end with it. */
export const kafkaTopicOf = (cluster: Cluster, topic: string, isShared = true): ForeignTopic =>
  new KafkaTopic(cluster, topic, isShared)

class KafkaTopic implements ForeignTopic {
  readonly reading = 'offset'
  readonly #cluster: Cluster
  readonly #topic: string
  readonly #readers = new Set<TopicReader>()
  readonly #isShared: boolean
  #closing: Promise<void> | undefined

  constructor(cluster: Cluster, topic: string, isShared: boolean) {
    this.#cluster = cluster
    this.#isShared = isShared
    this.#topic = topic
  }

  inspect(): Promise<TopicState> {
    return this.#do(async () => {
      const before = await this.#view()
      const starts = await listOffsets(this.#cluster, this.#topic, 'start')
      const ends = await listOffsets(this.#cluster, this.#topic, 'end')
      // Made again in between, the offsets would be of one topic and the id of another.
      const { id } = await this.#view()
      if (id !== before.id) throw changedMeanwhile(this.#topic)
      const partitions: Record<string, TopicSpan> = {}
      for (const [index, end] of ends) {
        partitions[String(index)] = { first: String(starts.get(index) ?? 0n), next: String(end) }
      }
      return { incarnation: id, partitions }
    })
  }

  describe(): Promise<TopicDescription> {
    return this.#do(async () => {
      const view = await this.#view()
      try {
        const found = await describeTopics(this.#cluster, [this.#topic])
        return describeTopic(this.#topic, view, found.get(this.#topic) ?? new Map())
      } catch (error) {
        const described = describeTopic(this.#topic, view, new Map())
        const problem = `its settings cannot be read: ${problemOf(error)}`
        const fix = 'allow DescribeConfigs on the topic'
        const unread = warning(`topic ${this.#topic}`, problem, fix)
        return { ...described, problems: [unread, ...described.problems] }
      }
    })
  }

  read(options: TopicReadOptions): Promise<TopicReading> {
    return this.#do(async () => {
      const { from, incarnation, batchMax = 500, onBatch: give, onPlaceGone } = options
      const place = { from, incarnation, onPlaceGone, partitions: options.partitions }
      const what = { cluster: this.#cluster, topic: this.#topic }
      const reader = await TopicReader.start({ ...what, ...place, batchMax, give })
      this.#readers.add(reader)
      return {
        places: () => reader.places(),
        close: async () => {
          await reader.close()
          this.#readers.delete(reader)
        },
      }
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
    const readers = [...this.#readers].map((reader) => reader.close())
    if (!this.#isShared) await this.#cluster.close()
    await Promise.all(readers)
  }

  async #view(): Promise<TopicView> {
    const view = (await this.#cluster.topics([this.#topic])).get(this.#topic)
    if (view?.problem) throw view.problem
    if (view) return view
    throw refused(`topic ${this.#topic}`, 'it is not there', 'create it, or correct its name')
  }

  async #do<T>(act: () => Promise<T>): Promise<T> {
    if (this.#closing) {
      throw new JuncturaError('JUNCTURA_CLOSED', { details: { what: `Topic ${this.#topic}` } })
    }
    try {
      return await act()
    } catch (error) {
      throw toPortError(error, `topic ${this.#topic}`)
    }
  }
}

const changedMeanwhile = (topic: string): JuncturaError =>
  new JuncturaError('JUNCTURA_TRANSPORT_UNAVAILABLE', {
    details: { engine: 'kafka', problem: `topic ${topic} was made again at this moment` },
  })

const warning = (resource: string, problem: string, fix: string): BrokerProblem => ({
  severity: 'warning',
  resource,
  problem,
  fix,
})

/** Who is away for a weekend should come back to a topic that has dropped nothing. */
const RETENTION_MS_MIN = 259_200_000

/** What the settings of a topic mean for whoever has not read it yet. */
export const describeTopic = (
  topic: string,
  view: { readonly partitions: readonly { readonly replicas: number }[] },
  settings: ReadonlyMap<string, string>,
): TopicDescription => {
  const copies = Math.min(...view.partitions.map(({ replicas }) => replicas))
  const minInSync = Number(settings.get('min.insync.replicas') ?? Number.NaN)
  const retentionMs = Number(settings.get('retention.ms') ?? Number.NaN)
  const policy = settings.get('cleanup.policy') ?? 'unknown'
  const problems: BrokerProblem[] = []
  const warn = (problem: string, fix: string): void => {
    problems.push(warning(`topic ${topic}`, problem, fix))
  }
  if (copies === 1) {
    warn(
      'its replication factor is 1: what was not moved yet is lost with that machine',
      'raise it to 3, with min.insync.replicas=2',
    )
  } else if (minInSync === 1) {
    warn(
      'its min.insync.replicas is 1: what one broker alone confirmed is lost with it',
      'set min.insync.replicas=2, and let its writers use acks=all',
    )
  }
  if (settings.get('unclean.leader.election.enable') === 'true') {
    const fix = 'set unclean.leader.election.enable=false'
    warn('unclean.leader.election.enable is true: its end may be lost and written anew', fix)
  }
  if (policy.includes('compact')) {
    const fix = 'set cleanup.policy=delete, or accept that only the last message of a key counts'
    warn(`its cleanup.policy is ${policy}: messages of a key may be gone before they are read`, fix)
  }
  if (policy !== 'compact' && retentionMs >= 0 && retentionMs < RETENTION_MS_MIN) {
    const problem = `it keeps messages for ${hoursOf(retentionMs)}: whoever is away for longer misses some`
    warn(problem, `raise retention.ms to ${RETENTION_MS_MIN} (3 days) or more`)
  }
  return {
    survives: copies >= 3 && minInSync >= 2 ? 'replicated' : 'process',
    settings: [
      `${view.partitions.length} partitions`,
      `replication factor ${copies}`,
      `min.insync.replicas ${settings.get('min.insync.replicas') ?? 'unknown'}`,
      `cleanup.policy ${policy}`,
      `retention ${retentionMs < 0 ? 'for ever' : hoursOf(retentionMs)}`,
    ].join(', '),
    problems,
  }
}

const hoursOf = (ms: number): string =>
  Number.isNaN(ms) ? 'unknown' : `${Math.round(ms / 36_000) / 100} h`
