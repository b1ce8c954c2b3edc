import { LIMITS, messageOf } from '../../kernel/index.ts'
import type { ReceivedMessage } from '../broker.ts'
import type { Cluster, TopicView } from './cluster.ts'
import { answerIn, codedError, CODES, problemOf, toPortError, unavailable } from './kafka-error.ts'
import type { KafkaPackage } from './kafka-package.ts'
import { listOffsets } from './list-offsets.ts'
import { readPartition } from './received.ts'
import type { Wire } from './wire.ts'

export interface TopicReaderOptions {
  readonly cluster: Cluster
  readonly topic: string
  /** `end`: only what is published from now on. */
  readonly from: 'end' | Readonly<Record<string, string>>
  readonly batchMax: number
  /** Of the partitions, only these. @default all */
  readonly partitions?: readonly number[] | undefined
  /** Called again with the same messages when it rejects. */
  readonly give: (messages: readonly ReceivedMessage[]) => Promise<void> | void
  /** Which topic the places are of. @default the one that is there at the start */
  readonly incarnation?: string
  /**
   * Called once where a place is not in the topic any more, or the topic is another: reading ends,
   * and the caller decides where to go on. Without it, reading goes on with what is there.
   */
  readonly onPlaceGone?: (problem: string) => void
}

/**
 * Reads all partitions of one topic, from places that it keeps itself: no consumer group, so
 * nothing is kept in the broker and nothing is rebalanced.
 *
 * One loop per leader asks for what is next, each on a connection of its own, since Kafka lets such
 * a question wait until there is something. When a loop ends, for whatever reason, all of them do,
 * and begin again with fresh leaders at the same places.
 */
export class TopicReader {
  readonly #options: TopicReaderOptions
  readonly #stop = new AbortController()
  /** The next offset wanted. */
  readonly #places = new Map<number, bigint>()
  #topicId = ''
  #checkedMs = 0
  /** What is given, one after the other. */
  #giving: Promise<void> = Promise.resolve()
  #running: Promise<void> = Promise.resolve()

  private constructor(options: TopicReaderOptions) {
    this.#options = options
  }

  /** Resolves when the places are known: what is published afterwards is given. */
  static async start(options: TopicReaderOptions): Promise<TopicReader> {
    const reader = new TopicReader(options)
    const view = await options.cluster.topic(options.topic)
    await reader.#findPlaces(view)
    reader.#running = reader.#run()
    return reader
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#running
    await this.#giving
  }

  /** The next offset wanted, by partition. */
  places(): Readonly<Record<string, string>> {
    const places: Record<string, string> = {}
    for (const [index, place] of this.#places) places[String(index)] = String(place)
    return places
  }

  get #isClosed(): boolean {
    return this.#stop.signal.aborted
  }

  async #findPlaces(view: TopicView): Promise<void> {
    const { cluster, topic, from, incarnation } = this.#options
    this.#topicId = incarnation ?? view.id
    if (from === 'end') {
      for (const [partition, end] of await listOffsets(cluster, topic, 'end')) {
        this.#places.set(partition, end)
      }
      return
    }
    for (const { index } of this.#wanted(view)) {
      this.#places.set(index, BigInt(from[String(index)] ?? '0'))
    }
  }

  async #run(): Promise<void> {
    for (let tries = 0; !this.#isClosed;) {
      const startedMs = this.#options.cluster.options.clock.monotonicMs()
      try {
        await this.#readOnce()
        tries = 0
      } catch (error) {
        if (this.#isClosed) return
        if (error instanceof PlaceGone) return this.#options.onPlaceGone?.(error.message)
        const { clock, log } = this.#options.cluster.options
        if (clock.monotonicMs() - startedMs > LIMITS.kafkaPauseMsMax) tries = 0
        const fields = { topic: this.#options.topic, problem: problemOf(error) }
        if (tries === 0) log.warn(fields, 'reading from Kafka was interrupted; trying again')
        await this.#options.cluster.pause(tries++, this.#stop.signal)
      }
    }
  }

  #wanted({ partitions }: TopicView): TopicView['partitions'] {
    const { partitions: only } = this.#options
    return only ? partitions.filter(({ index }) => only.includes(index)) : partitions
  }

  /** Until something is not as it was. */
  async #readOnce(): Promise<void> {
    const { cluster, topic } = this.#options
    const view = await cluster.topic(topic, { signal: this.#stop.signal })
    this.#checkedMs = cluster.options.clock.monotonicMs()
    this.#meet(view)
    const byLeader = new Map<number, number[]>()
    for (const { index, leader } of this.#wanted(view)) {
      if (leader < 0) continue
      const others = byLeader.get(leader)
      if (others) others.push(index)
      else byLeader.set(leader, [index])
    }
    if (byLeader.size === 0) throw unavailable('no partition has a leader')
    const end = new AbortController()
    const stop = (): void => end.abort()
    this.#stop.signal.addEventListener('abort', stop, { once: true })
    try {
      const loops = [...byLeader].map(([leader, partitions]) =>
        this.#readFrom(leader, partitions, { view, signal: end.signal }).finally(stop),
      )
      const results = await Promise.allSettled(loops)
      for (const result of results) if (result.status === 'rejected') throw result.reason
    } finally {
      this.#stop.signal.removeEventListener('abort', stop)
    }
  }

  /** A topic that was made again begins anew; added partitions are read from their start. */
  #meet(view: TopicView): void {
    if (this.#topicId !== view.id) {
      const { cluster, topic, onPlaceGone } = this.#options
      if (onPlaceGone) throw new PlaceGone(`topic ${topic} was made again`)
      cluster.options.log.warn({ topic }, 'the topic was made again: reading from its beginning')
      this.#places.clear()
      this.#topicId = view.id
    }
    for (const { index } of this.#wanted(view)) {
      if (!this.#places.has(index)) this.#places.set(index, 0n)
    }
  }

  async #readFrom(
    leader: number,
    partitions: readonly number[],
    { view, signal }: { readonly view: TopicView; readonly signal: AbortSignal },
  ): Promise<void> {
    const wire = await this.#options.cluster.connect(leader, signal)
    const cut = (): void => wire.destroy()
    signal.addEventListener('abort', cut, { once: true })
    try {
      if (signal.aborted) return
      let asked = this.#ask(wire, partitions)
      while (!signal.aborted) {
        const messages = await this.#take(await asked)
        // The next is asked for while these are handled.
        if (!signal.aborted) asked = this.#ask(wire, partitions)
        // Also when it fails before it is looked at.
        asked.catch(() => undefined)
        if (messages.length > 0) await this.#give(messages)
        if (await this.#hasChanged(view)) return
      }
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      signal.removeEventListener('abort', cut)
      wire.destroy()
    }
  }

  #ask(wire: Wire, partitions: readonly number[]): Promise<FetchAnswer> {
    const { kafka, requestTimeoutMs } = this.#options.cluster.options
    const wanted = partitions.map((partition) => ({
      partition,
      currentLeaderEpoch: -1,
      fetchOffset: this.#places.get(partition) ?? 0n,
      lastFetchedEpoch: -1,
      partitionMaxBytes: LIMITS.kafkaFetchPartitionBytes,
    }))
    const topics = [{ topicId: this.#topicId, partitions: wanted }]
    const timeoutMs = LIMITS.kafkaFetchWaitMs + requestTimeoutMs
    return wire
      .request<FetchAnswer>(timeoutMs, (connection, done) =>
        kafka.fetchV13.api(
          connection,
          LIMITS.kafkaFetchWaitMs,
          1,
          LIMITS.kafkaFetchBytes,
          READ_COMMITTED,
          0,
          NO_SESSION,
          topics,
          [],
          '',
          done,
        ),
      )
      .catch((error: unknown) => {
        // One partition that failed makes the whole answer an error.
        const partial = answerIn(error)
        if (!isFetchAnswer(partial) || partial.errorCode !== 0) throw error
        return partial
      })
  }

  /** The messages of an answer; moves the places. What failed is thrown once the rest is given. */
  async #take(answer: FetchAnswer): Promise<readonly ReceivedMessage[]> {
    const messages: ReceivedMessage[] = []
    const gone: number[] = []
    let failed = 0
    for (const { partitions } of answer.responses) {
      for (const found of partitions) {
        const { partitionIndex: partition, errorCode, records, abortedTransactions } = found
        if (errorCode === CODES.offsetOutOfRange) gone.push(partition)
        else if (errorCode !== 0) failed = errorCode
        if (errorCode !== 0 || !records) continue
        const from = this.#places.get(partition) ?? 0n
        const aborted = abortedTransactions ?? []
        const next = readPartition({ partition, from, batches: records, aborted }, messages)
        this.#places.set(partition, next)
      }
    }
    if (failed === 0 && gone.length === 0) return messages
    // Before anything else can fail: their places are behind them already.
    if (messages.length > 0) await this.#give(messages)
    for (const partition of gone) await this.#comeBack(partition)
    if (failed === 0) return []
    throw toPortError(codedError(failed), `topic ${this.#options.topic}`)
  }

  /**
   * The place is not in the partition any more: its retention has passed the reader, or its end was
   * lost. Goes to what is there, never past anything: a gap is told, a repeat is allowed.
   */
  async #comeBack(partition: number): Promise<void> {
    const { cluster, topic, from, onPlaceGone } = this.#options
    if (onPlaceGone) throw new PlaceGone(`partition ${partition} of ${topic} has lost the place`)
    const starts = await listOffsets(cluster, topic, 'start')
    const ends = await listOffsets(cluster, topic, 'end')
    const [start, end] = [starts.get(partition), ends.get(partition)]
    if (start === undefined || end === undefined) throw unavailable(`${topic} has no offsets`)
    const place = this.#places.get(partition) ?? 0n
    // A follower need not see again what it saw: its reader knows what is missing.
    const next = from === 'end' && place > end ? end : start
    const fields = { topic, partition, place: String(place), next: String(next) }
    cluster.options.log.error(fields, 'the place is gone from the partition; some may be lost')
    this.#places.set(partition, next)
  }

  /** In parts of the size that is wanted, one part at a time over all leaders. */
  #give(messages: readonly ReceivedMessage[]): Promise<void> {
    this.#giving = this.#giving.then(() => this.#giveParts(messages))
    return this.#giving
  }

  async #giveParts(messages: readonly ReceivedMessage[]): Promise<void> {
    const { batchMax, give } = this.#options
    for (let at = 0; at < messages.length; at += batchMax) {
      const part = messages.length <= batchMax ? messages : messages.slice(at, at + batchMax)
      for (let tries = 0; ; tries++) {
        if (this.#isClosed) return
        try {
          await give(part)
          break
        } catch (error) {
          const { cluster, topic } = this.#options
          const fields = { topic, problem: messageOf(error) }
          cluster.options.log.warn(fields, 'messages were not taken; they are given again')
          await cluster.pause(tries, this.#stop.signal)
        }
      }
    }
  }

  /** Looks now and then: leaders move, and others may add partitions. */
  async #hasChanged(before: TopicView): Promise<boolean> {
    const { cluster, topic } = this.#options
    const nowMs = cluster.options.clock.monotonicMs()
    const isLeaderless = before.partitions.some(({ leader }) => leader < 0)
    const everyMs = isLeaderless ? LIMITS.kafkaPauseMsMax : LIMITS.kafkaBeatMs
    if (nowMs - this.#checkedMs < everyMs) return false
    this.#checkedMs = nowMs
    const now = await cluster.topic(topic, { signal: this.#stop.signal })
    return (
      now.id !== before.id ||
      now.partitions.length !== before.partitions.length ||
      now.partitions.some(({ leader }, at) => leader !== before.partitions[at]?.leader)
    )
  }
}

/** Ends the reader: its owner decides where to go on. */
class PlaceGone extends Error {}

type FetchAnswer = ReturnType<KafkaPackage['fetchV13']['parseResponse']>

const READ_COMMITTED = 1
const NO_SESSION = -1

const isFetchAnswer = (answer: unknown): answer is FetchAnswer =>
  typeof answer === 'object' && answer !== null && 'responses' in answer && 'errorCode' in answer
