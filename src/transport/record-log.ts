import {
  type Kernel,
  JuncturaError,
  LIMITS,
  messageOf,
  must,
  sleep,
  type Timer,
} from '../kernel/index.ts'
import type { Broker, BrokerChannel } from './broker.ts'
import type { RecordBookmark } from '../store/index.ts'
import type { ForeignTopic, TopicState } from './foreign-topic.ts'
import { RecordFeed } from './record-feed.ts'
import {
  beginRecord,
  firstSlotOf,
  offsetAfter,
  placeOfSlot,
  positionOf,
  type RecordLoss,
} from './record-place.ts'
import { createRecordPublisher, type RecordPublisher } from './record-publisher.ts'
import type { Delivered, LogReader, Subscription } from './transport.ts'
import { fromRecordMessage, toRecordMessage } from './wire-message.ts'

/**
 * The channels whose record is the broker: published there and read from there, with nothing of
 * them in the store but what their consumers keep of it. Identity is (topic, partition, offset),
 * written as a position: see record-place.ts.
 */
export interface RecordLog extends AsyncDisposable {
  has(channel: string): boolean
  /** Of each channel; a consumer has as many. */
  readonly partitions: number
  /** What the data of one message may take. */
  readonly dataBytesMax: number
  /**
   * Where a consumer begins that has no progress yet, by partition.
   *
   * @throws JUNCTURA_TRANSPORT_UNAVAILABLE
   */
  begin(channel: string, from: 'now' | 'earliest'): Promise<readonly RecordStart[]>
  /** @throws JUNCTURA_RECORD_CHANGED when the reader's bookmark is of another record. */
  subscribe(channel: string, afterPosition: number, reader: LogReader): Subscription
  /** What stands behind a position of one partition, as a reader with this bookmark sees it. */
  read(query: RecordQuery): Promise<DeliveredPage>
  /**
   * Resolves when the broker has confirmed all of them, as its durability says.
   *
   * @throws as `RecordPublisher.publish`.
   */
  publish(channel: string, records: readonly Omit<Delivered, 'position'>[]): Promise<void>
  /** Something was published by another way; whoever is at the head may not be. */
  published(channel: string): void
  /** What the topic of a channel promises: copies, what is waited for, how long it is kept. */
  topic(channel: string): ForeignTopic
  close(): Promise<void>
}

export interface RecordStart {
  readonly slots: { readonly first: number; readonly last: number }
  readonly watermark: number
  readonly bookmark: RecordBookmark
}

export interface RecordQuery {
  readonly channel: string
  readonly slots: { readonly first: number; readonly last: number }
  readonly bookmark: RecordBookmark | undefined
  readonly afterPosition: number
  readonly limit: number
}

export interface DeliveredPage {
  readonly records: readonly Delivered[]
  /** The same as `afterPosition` when nothing more is there. */
  readonly scannedTo: number
}

export interface RecordLogOptions {
  readonly broker: Broker
  readonly channels: readonly BrokerChannel[]
  /** Names of the contracts, for whoever is refused. */
  readonly contracts: string
  readonly kernel: Pick<Kernel, 'clock' | 'log'>
  readonly on: RecordEvents
}

export interface RecordEvents {
  published(channel: string, count: number): void
  /** What was not read yet is gone from the broker; told by every reader that finds it. */
  lost(channel: string, partition: number, loss: RecordLoss): void
  /** A message that no contract of ours can have made, or in a partition that is not its key's. */
  foreign(channel: string): void
}

/**
 * Makes the topics, and finds out whether the broker can be a record.
 *
 * @throws JUNCTURA_RECORD_REFUSED when what it took cannot be read again, or it has more partitions
 *   than a channel has slots.
 * @throws what `Broker.ensure` throws.
 */
export const openRecordLog = async (options: RecordLogOptions): Promise<RecordLog> => {
  const { broker, channels, contracts } = options
  const { engine, partitions, reading } = broker.features
  const { record } = broker
  if (!record || reading !== 'offset') {
    const problem = 'what a consumer took from it cannot be read again'
    throw refusedRecord({ engine, contracts, problem })
  }
  if (partitions > LIMITS.recordPartitionsMax) {
    const most = `${LIMITS.recordPartitionsMax} partitions`
    const problem = `its channels have ${partitions} partitions, and at most ${most} do`
    throw refusedRecord({ engine, contracts, problem })
  }
  await broker.ensure(channels)
  return new BrokerRecordLog(options, (channel) => record.call(broker, channel))
}

export const refusedRecord = (details: {
  readonly engine: string
  readonly contracts: string
  readonly problem: string
}): JuncturaError => {
  const fix = "use Kafka or NATS JetStream as the transport, or write record: 'store'"
  return new JuncturaError('JUNCTURA_RECORD_REFUSED', { details: { ...details, fix } })
}

interface Channel {
  readonly name: string
  readonly topic: ForeignTopic
  readonly publisher: RecordPublisher
  readonly feeds: Set<RecordFeed>
  /** The end of each partition, as last seen. */
  ends: ReadonlyMap<number, number>
  /** Something was published since. */
  isStale: boolean
  look: Timer | undefined
  looking: Promise<void> | undefined
}

class BrokerRecordLog implements RecordLog {
  readonly partitions: number
  readonly dataBytesMax: number
  readonly #options: RecordLogOptions
  readonly #channels = new Map<string, Channel>()
  readonly #over = new Set<Promise<void>>()
  #isClosed = false

  constructor(options: RecordLogOptions, topicOf: (channel: string) => ForeignTopic) {
    const { broker, channels, on } = options
    this.#options = options
    this.partitions = broker.features.partitions
    this.dataBytesMax = broker.features.messageBytesMax - HEADERS_BYTES
    for (const { channel: name } of channels) {
      const told = (count: number): void => {
        on.published(name, count)
        this.published(name)
      }
      const publisher = createRecordPublisher(broker, name, told)
      const topic = topicOf(name)
      const nothing = { look: undefined, looking: undefined, ends: new Map<number, number>() }
      const feeds = new Set<RecordFeed>()
      this.#channels.set(name, { name, topic, publisher, feeds, ...nothing, isStale: true })
    }
  }

  has(channel: string): boolean {
    return this.#channels.has(channel)
  }

  topic(channel: string): ForeignTopic {
    return this.#channel(channel).topic
  }

  async begin(channel: string, from: 'now' | 'earliest'): Promise<readonly RecordStart[]> {
    const state = await this.#channel(channel).topic.inspect()
    return Array.from({ length: this.partitions }, (_, partition) => {
      const firstSlot = firstSlotOf(partition, this.partitions)
      const last = firstSlotOf(partition + 1, this.partitions) - 1
      return {
        slots: { first: firstSlot, last },
        ...beginRecord(from, state, { partition, firstSlot }),
      }
    })
  }

  subscribe(name: string, afterPosition: number, reader: LogReader): Subscription {
    const channel = this.#channel(name)
    const { kernel, on, broker, channels } = this.#options
    const { partition, firstSlot, bookmark } = this.#placeOf(name, reader)
    const feed: RecordFeed = new RecordFeed({
      ...kernel,
      topic: channel.topic,
      channel: name,
      partition,
      partitions: this.partitions,
      firstSlot,
      afterPosition,
      usedTo: reader.usedTo,
      doneTo: reader.doneTo ?? 0,
      bookmark,
      inspect: () => inspect(channel),
      end: () => (channel.isStale ? undefined : channel.ends.get(partition)),
      onMissing: () => broker.ensure(channels),
      onLost: (loss) => on.lost(name, partition, loss),
      onForeign: () => on.foreign(name),
      onMoved: reader.onMoved,
      onClosed: () => this.#end(channel, feed),
    })
    channel.feeds.add(feed)
    this.#lookSoon(channel)
    return feed
  }

  async read(query: RecordQuery): Promise<DeliveredPage> {
    const { topic } = this.#channel(query.channel)
    const { broker, kernel } = this.#options
    const { clock } = kernel
    const { afterPosition, limit } = query
    const { partition, firstSlot, bookmark } = this.#placeOf(query.channel, query)
    const state = await topic.inspect()
    const { first, next: end } = state.partitions[String(partition)] ?? { first: '0', next: '0' }
    const from = Math.max(offsetAfter(bookmark, afterPosition, firstSlot), Number(first))
    const nothing = { records: [], scannedTo: afterPosition }
    if (state.incarnation !== bookmark.incarnation || from >= Number(end)) return nothing
    const records: Delivered[] = []
    let place = from
    let isOver = false
    const reading = await topic.read({
      from: { [String(partition)]: String(from) },
      partitions: [partition],
      incarnation: bookmark.incarnation,
      batchMax: limit,
      onPlaceGone: () => (isOver = true),
      onSkipped: () => undefined,
      onBatch: (messages) => {
        for (const message of messages) {
          const offset = Number(message.offset)
          if (isOver || message.partition !== partition || offset < place) continue
          place = offset + 1
          const found = fromRecordMessage(message)
          if (!found || placeOfSlot(found.slot, this.partitions) !== partition) continue
          const { slot, atMs, record } = found
          records.push({ position: positionOf(bookmark, offset, firstSlot), slot, atMs, record })
          if (records.length >= limit) isOver = true
        }
        return Promise.resolve()
      },
    })
    try {
      const lastMs = clock.monotonicMs() + LIMITS.recordReadMsMax
      // The end may hold no message, so its place is looked at as well.
      while (!isOver && !this.#isClosed) {
        if (clock.monotonicMs() > lastMs) throw tooSlow(query.channel, broker.features.engine)
        place = Math.max(place, Number(reading.places()[String(partition)] ?? 0))
        if (place >= Number(end)) break
        await sleep(clock, READ_LOOK_MS)
      }
    } finally {
      await reading.close()
    }
    const scannedTo = Math.max(afterPosition, positionOf(bookmark, place, firstSlot) - 1)
    return { records, scannedTo: isOver ? (records.at(-1)?.position ?? afterPosition) : scannedTo }
  }

  async publish(name: string, records: readonly Omit<Delivered, 'position'>[]): Promise<void> {
    const messages = records.map((record) => toRecordMessage(record, this.partitions))
    await this.#channel(name).publisher.publish(messages)
  }

  published(name: string): void {
    const channel = this.#channels.get(name)
    if (!channel) return
    channel.isStale = true
    this.#lookSoon(channel)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const channel of this.#channels.values()) {
      channel.look?.cancel()
      await channel.publisher.close()
      for (const feed of channel.feeds) feed.close()
      await channel.looking
    }
    await Promise.all(this.#over)
    for (const { topic } of this.#channels.values()) await topic.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #channel(name: string): Channel {
    return must(this.#channels.get(name), `the record of ${name} is the broker`)
  }

  #placeOf(
    channel: string,
    { slots, bookmark }: Pick<LogReader, 'slots' | 'bookmark'>,
  ): { readonly partition: number; readonly firstSlot: number; readonly bookmark: RecordBookmark } {
    const partition = placeOfSlot(slots.first, this.partitions)
    const firstSlot = firstSlotOf(partition, this.partitions)
    const last = firstSlotOf(partition + 1, this.partitions) - 1
    if (bookmark && slots.first === firstSlot && slots.last === last) {
      return { partition, firstSlot, bookmark }
    }
    throw recordChanged(channel)
  }

  #end(channel: Channel, feed: RecordFeed): void {
    if (!channel.feeds.delete(feed)) return
    const over = feed.ended().finally(() => this.#over.delete(over))
    this.#over.add(over)
  }

  /** Once for all that is published in the meantime; seldom while nothing is. */
  #lookSoon(channel: Channel): void {
    if (channel.look || channel.looking || this.#isClosed || channel.feeds.size === 0) return
    channel.look = this.#options.kernel.clock.setTimer(LIMITS.recordLookMs, () => {
      channel.look = undefined
      channel.looking = this.#lookAt(channel).finally(() => {
        channel.looking = undefined
        if (channel.isStale) this.#lookSoon(channel)
      })
    })
  }

  async #lookAt(channel: Channel): Promise<void> {
    try {
      await inspect(channel)
    } catch (error) {
      const fields = { channel: channel.name, problem: messageOf(error) }
      this.#options.kernel.log.debug(fields, 'the end of a channel could not be looked at')
    }
    for (const feed of channel.feeds) feed.looked()
  }
}

/** What is published meanwhile makes it stale again. */
async function inspect(channel: Channel): Promise<TopicState> {
  channel.isStale = false
  try {
    const state = await channel.topic.inspect()
    const { partitions } = state
    const ends = Object.entries(partitions).map(
      ([at, { next }]) => [Number(at), Number(next)] as const,
    )
    channel.ends = new Map(ends)
    return state
  } catch (error) {
    channel.isStale = true
    throw error
  }
}

const READ_LOOK_MS = 20
/** What the envelope may take as headers. */
const HEADERS_BYTES = 4_096

const tooSlow = (channel: string, engine: string): JuncturaError =>
  new JuncturaError('JUNCTURA_TRANSPORT_UNAVAILABLE', {
    details: { engine, problem: `channel ${channel} could not be read in time` },
  })

/** A consumer cannot go on in another record: its positions mean other messages there. */
export const recordChanged = (channel: string): JuncturaError =>
  new JuncturaError('JUNCTURA_RECORD_CHANGED', {
    details: {
      channel,
      fix:
        'Declare a contract on another channel for the new record and retire the old consumers, ' +
        'or take the change of record back',
    },
  })
