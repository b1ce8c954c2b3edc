import { JuncturaError } from '../kernel/index.ts'
import type {
  Broker,
  BrokerMessage,
  FollowListener,
  ForeignTopic,
  ReadOptions,
  Reading,
  ReceivedMessage,
  TopicReading,
  TopicReadOptions,
} from '../transport/index.ts'

/**
 * A broker in memory, for tests and the simulator: it keeps every promise of the port until it is
 * told not to.
 */
export interface MemoryBroker extends Broker {
  /** While it is down, nothing is taken and nothing is brought. */
  isDown: boolean
  /** Deletes every channel with all that is in it. */
  wipe(): void
  /** Loses the newest messages of a channel, by count. */
  lose(channel: string, count: number): void
  /** Drops the oldest messages of a channel, as its retention would; those before an offset. */
  expire(channel: string, before: number): void
  /** Loses the newest messages of a channel, as an election without its replicas would. */
  loseEnd(channel: string, from: number): void
  /** Looks at each message before it is brought to a follower; false drops it. */
  filter: (message: ReceivedMessage) => boolean
  /** Everything that was confirmed, in order. */
  messages(channel: string): readonly ReceivedMessage[]
}

export interface MemoryBrokerOptions {
  /** @default 4 */
  readonly partitions?: number
  /** Calls `run` later; chance and time belong to the caller. @default on the next microtask */
  readonly later?: (run: () => void) => void
}

interface Topic {
  readonly incarnation: string
  messages: ReceivedMessage[]
  readonly ends: Map<number, number>
  readonly starts: Map<number, number>
}

export const createMemoryBroker = (options: MemoryBrokerOptions = {}): MemoryBroker => {
  const { partitions = 4, later = queueMicrotask } = options
  const topics = new Map<string, Topic>()
  const followers = new Map<string, Set<FollowListener>>()
  const readers = new Set<() => void>()
  let incarnations = 0

  const unavailable = (problem: string): JuncturaError =>
    new JuncturaError('JUNCTURA_TRANSPORT_UNAVAILABLE', { details: { engine: 'memory', problem } })

  const topicOf = (channel: string): Topic => {
    if (broker.isDown) throw unavailable('it is down')
    const topic = topics.get(channel)
    if (!topic) throw unavailable(`there is no channel ${channel}`)
    return topic
  }

  const store = (topic: Topic, message: BrokerMessage): ReceivedMessage => {
    const { partition, key, attributes, data } = message
    const end = topic.ends.get(partition) ?? 0
    topic.ends.set(partition, end + 1)
    const stored = { partition, offset: String(end), key, attributes, headers: {}, data }
    topic.messages.push(stored)
    return stored
  }

  const bring = (channel: string, messages: readonly ReceivedMessage[]): void => {
    for (const listener of followers.get(channel) ?? []) {
      later(() => {
        const passed = broker.isDown ? [] : messages.filter(broker.filter)
        if (passed.length > 0 && followers.get(channel)?.has(listener)) listener(passed)
      })
    }
    for (const wake of readers) wake()
  }

  const broker: MemoryBroker = {
    isDown: false,
    filter: () => true,
    features: {
      engine: 'memory',
      durability: 'process',
      unitOfOrder: 'partition',
      partitions,
      messageBytesMax: 8_388_608,
      dedupeWindowMs: 0,
      reading: 'offset',
      delayMsMax: 0,
    },
    async ensure(channels) {
      if (broker.isDown) throw unavailable('it is down')
      for (const { channel } of channels) {
        if (topics.has(channel)) continue
        topics.set(channel, {
          incarnation: String((incarnations += 1)),
          messages: [],
          ends: new Map(),
          starts: new Map(),
        })
      }
    },
    async publish(channel, messages) {
      const topic = topicOf(channel)
      for (const { data, id } of messages) {
        if (data.length <= broker.features.messageBytesMax) continue
        throw refused(`message ${id}`, `it has ${data.length} bytes`, 'send less')
      }
      bring(
        channel,
        messages.map((message) => store(topic, message)),
      )
    },
    async follow(channel, listener) {
      const listeners = followers.get(channel) ?? new Set()
      followers.set(channel, listeners.add(listener))
      return { close: async () => void listeners.delete(listener) }
    },
    async read(name, reading) {
      const topic = topics.get(name)
      if (!topic && !broker.isDown) throw refused(`topic ${name}`, 'it is not there', 'create it')
      return startReading(topicOf(name), reading, readers)
    },
    record: (channel) => recordOf(channel, { partitions, topicOf, readers }),
    async inspect(channel) {
      const { incarnation, ends } = topicOf(channel)
      return {
        incarnation,
        ends: Object.fromEntries([...ends].map(([at, end]) => [String(at), String(end)])),
      }
    },
    check: async () => [],
    close: async () => undefined,
    [Symbol.asyncDispose]: () => broker.close(),
    wipe() {
      topics.clear()
      for (const wake of readers) wake()
    },
    expire(channel, before) {
      const topic = topicOf(channel)
      topic.messages = topic.messages.filter(({ offset }) => Number(offset) >= before)
      for (let at = 0; at < partitions; at++) {
        topic.starts.set(at, Math.min(before, topic.ends.get(at) ?? 0))
      }
    },
    loseEnd(channel, from) {
      const topic = topicOf(channel)
      topic.messages = topic.messages.filter(({ offset }) => Number(offset) < from)
      for (const [at, end] of topic.ends) topic.ends.set(at, Math.min(end, from))
      for (const wake of readers) wake()
    },
    lose(channel, count) {
      const topic = topicOf(channel)
      for (const { partition } of topic.messages.slice(-count)) {
        topic.ends.set(partition, (topic.ends.get(partition) ?? 1) - 1)
      }
      topic.messages = topic.messages.slice(0, -count)
    },
    messages: (channel) => topics.get(channel)?.messages ?? [],
  }
  return broker
}

const refused = (resource: string, problem: string, fix: string): JuncturaError =>
  new JuncturaError('JUNCTURA_TRANSPORT_REFUSED', {
    details: { engine: 'memory', resource, problem, fix },
  })

interface RecordParts {
  readonly partitions: number
  readonly topicOf: (channel: string) => Topic
  readonly readers: Set<() => void>
}

/** A channel as a topic whose readers keep their places. */
function recordOf(channel: string, parts: RecordParts): ForeignTopic {
  const { partitions, topicOf } = parts
  return {
    reading: 'offset',
    async inspect() {
      const { incarnation, starts, ends } = topicOf(channel)
      const spans = Array.from({ length: partitions }, (_, at) => {
        const span = { first: String(starts.get(at) ?? 0), next: String(ends.get(at) ?? 0) }
        return [String(at), span] as const
      })
      return { incarnation, partitions: Object.fromEntries(spans) }
    },
    describe: async () => ({ survives: 'process', settings: 'in memory', problems: [] }),
    read: async (options) => readRecord(channel, parts, options),
    close: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  }
}

function readRecord(
  channel: string,
  { topicOf, readers }: RecordParts,
  options: TopicReadOptions,
): TopicReading {
  const { batchMax = 500, incarnation, onBatch, onPlaceGone } = options
  const places = new Map(Object.entries(options.from).map(([at, from]) => [at, Number(from)]))
  let isClosed = false
  let wake: () => void = () => undefined
  const onMore = (): void => wake()
  readers.add(onMore)

  const next = (): readonly ReceivedMessage[] => {
    const topic = topicOf(channel)
    if (topic.incarnation !== incarnation)
      throw refused(`channel ${channel}`, 'it was made again', 'look')
    for (const [at, place] of places) {
      const isGone = place < (topic.starts.get(Number(at)) ?? 0)
      if (isGone || place > (topic.ends.get(Number(at)) ?? 0))
        throw refused(`channel ${channel}`, 'the place is gone', 'look')
    }
    const isWanted = ({ partition, offset }: ReceivedMessage): boolean =>
      Number(offset) >= (places.get(String(partition)) ?? Infinity)
    return topic.messages.filter(isWanted).slice(0, batchMax)
  }
  const run = async (): Promise<void> => {
    while (!isClosed) {
      try {
        const batch = next()
        if (batch.length === 0) {
          await new Promise<void>((resolve) => (wake = resolve))
          continue
        }
        await onBatch(batch)
        for (const { partition, offset } of batch) places.set(String(partition), Number(offset) + 1)
      } catch (error) {
        isClosed = true
        onPlaceGone(String(error))
      }
    }
  }
  const loop = run()
  return {
    places: () => Object.fromEntries([...places].map(([at, place]) => [at, String(place)])),
    async close() {
      isClosed = true
      readers.delete(onMore)
      wake()
      await loop
    },
  }
}

function startReading(topic: Topic, options: ReadOptions, readers: Set<() => void>): Reading {
  const { from, batchMax = 500, onBatch } = options
  let isClosed = false
  let wake: () => void = () => undefined
  const onMore = (): void => wake()
  readers.add(onMore)
  const isWanted = ({ partition, offset }: ReceivedMessage): boolean =>
    BigInt(offset) >= BigInt(from[String(partition)] ?? '0')

  const run = async (): Promise<void> => {
    let at = 0
    while (!isClosed) {
      const batch = topic.messages.slice(at, at + batchMax).filter(isWanted)
      const seen = Math.min(topic.messages.length, at + batchMax)
      try {
        if (batch.length > 0) await onBatch(batch)
        if (at === seen) await new Promise<void>((resolve) => (wake = resolve))
        at = seen
      } catch {
        await Promise.resolve() // The same again.
      }
    }
  }
  const loop = run()
  return {
    async close() {
      isClosed = true
      readers.delete(onMore)
      wake()
      await loop
    },
  }
}
