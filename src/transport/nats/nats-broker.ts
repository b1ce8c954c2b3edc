import type { BrokerFeatures } from '../../contract/index.ts'
import { JuncturaError } from '../../kernel/index.ts'
import type {
  Broker,
  BrokerChannel,
  BrokerChannelState,
  BrokerMessage,
  BrokerProblem,
  FollowListener,
  Reading,
  ReadOptions,
} from '../broker.ts'
import type { ForeignTopic } from '../foreign-topic.ts'
import { checkNats } from './check-nats.ts'
import { refused } from './nats-errors.ts'
import { followNats } from './nats-follower.ts'
import { loadNats, type NatsLink, openNatsLink } from './nats-link.ts'
import type { NatsLinkOptions } from './nats-options.ts'
import { type NatsNames, natsNames } from './nats-names.ts'
import { createNatsPublisher, messageBytesMaxOf, type NatsPublisher } from './nats-publisher.ts'
import { natsTopicOf } from './nats-topic.ts'
import { readNats } from './nats-reader.ts'
import { DEDUPE_WINDOW_MS, ensureStream, inspectStream } from './nats-streams.ts'
import { readNatsUrl } from './nats-url.ts'

export interface NatsBrokerOptions extends NatsLinkOptions {
  /**
   * Machines that keep each message: 1, 3 or 5, in a cluster of at least as many. The URL may say
   * it too: `?replicas=3`.
   *
   * @default 1
   */
  readonly replicas?: number
  /**
   * What one machine's confirmation is worth, as the server does not tell: `fsync` where its
   * `sync_interval` is `always`. The URL may say it too: `?durability=fsync`.
   *
   * @default 'process'
   */
  readonly durability?: 'process' | 'fsync'
}

/**
 * A broker on NATS JetStream, server 2.12 or newer: one stream per channel, whose sequence is the
 * order of the channel.
 *
 * @throws JUNCTURA_PEER_MISSING when the client's packages are not installed.
 * @throws JUNCTURA_TRANSPORT_UNAVAILABLE when no server answers.
 * @throws JUNCTURA_TRANSPORT_REFUSED when it refuses the login, or is too old.
 */
export const createNatsBroker = async (options: NatsBrokerOptions): Promise<Broker> => {
  const { prefix = 'junctura', publishTimeoutMs = 10_000 } = options
  const { replicas, durability } = { ...readNatsUrl(options.url), ...options }
  const link = await openNatsLink({ ...options, prefix }, await loadNats())
  const version = link.connection.info?.version ?? '0.0.0'
  if (!isNewEnough(version)) {
    await link.close()
    throw refused({
      resource: `the server of version ${version}`,
      problem: 'it cannot take several messages as one',
      fix: 'use NATS 2.12 or newer',
    })
  }
  const resolved = {
    ...options,
    prefix,
    publishTimeoutMs,
    replicas: replicas ?? 1,
    durability: durability ?? 'process',
  }
  return new NatsBroker(resolved, link)
}

const isNewEnough = (version: string): boolean => {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > 2 || (major === 2 && minor >= 12)
}

interface ResolvedNatsBrokerOptions extends NatsBrokerOptions {
  readonly prefix: string
  readonly publishTimeoutMs: number
  readonly replicas: number
  readonly durability: 'process' | 'fsync'
}

class NatsBroker implements Broker {
  readonly features: BrokerFeatures
  readonly #options: ResolvedNatsBrokerOptions
  readonly #link: NatsLink
  readonly #names = new Map<string, NatsNames>()
  readonly #publishers = new Map<string, NatsPublisher>()
  readonly #readings = new Set<Reading>()
  readonly #records = new Set<ForeignTopic>()
  #closing: Promise<void> | undefined

  constructor(options: ResolvedNatsBrokerOptions, link: NatsLink) {
    this.#options = options
    this.#link = link
    const { replicas, durability } = options
    this.features = {
      engine: 'nats',
      durability: replicas > 1 ? 'replicated' : durability,
      unitOfOrder: 'partition',
      // A stream is one sequence.
      partitions: 1,
      messageBytesMax: messageBytesMaxOf(link),
      dedupeWindowMs: DEDUPE_WINDOW_MS,
      reading: 'offset',
      delayMsMax: 0,
    }
  }

  async ensure(channels: readonly BrokerChannel[]): Promise<void> {
    this.#assertOpen()
    const { replicas } = this.#options
    for (const channel of channels) {
      const names = this.#namesOf(channel.channel)
      await ensureStream(this.#link, { ...channel, names, replicas })
    }
  }

  async publish(channel: string, messages: readonly BrokerMessage[]): Promise<void> {
    this.#assertOpen()
    await this.#publisherOf(channel).publish(messages)
  }

  async follow(channel: string, listener: FollowListener): Promise<Reading> {
    this.#assertOpen()
    const { clock, log } = this.#options
    const { subjects } = this.#namesOf(channel)
    return this.#track(await followNats({ link: this.#link, clock, log, subjects, listener }))
  }

  async read(topic: string, options: ReadOptions): Promise<Reading> {
    this.#assertOpen()
    const { clock, random, log } = this.#options
    const link = this.#link
    return this.#track(await readNats({ ...options, link, clock, random, log, stream: topic }))
  }

  record(channel: string): ForeignTopic {
    this.#assertOpen()
    const { clock, random, log } = this.#options
    const { stream } = this.#namesOf(channel)
    const topic = natsTopicOf({ stream, clock, random, log }, this.#link)
    this.#records.add(topic)
    return topic
  }

  async inspect(channel: string): Promise<BrokerChannelState> {
    this.#assertOpen()
    return await inspectStream(this.#link, this.#namesOf(channel))
  }

  async check(channels: readonly BrokerChannel[]): Promise<readonly BrokerProblem[]> {
    this.#assertOpen()
    const { replicas, clock, log } = this.#options
    const { durability } = this.features
    const wishes = channels.map((one) => ({ ...one, names: this.#namesOf(one.channel), replicas }))
    return await checkNats({ link: this.#link, clock, log, wishes, durability })
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    for (const reading of [...this.#readings, ...this.#records]) await reading.close()
    for (const publisher of this.#publishers.values()) await publisher.close()
    await this.#link.close()
  }

  #assertOpen(): void {
    if (this.#closing) throw new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'NATS' } })
  }

  #namesOf(channel: string): NatsNames {
    let names = this.#names.get(channel)
    if (!names) {
      names = natsNames(this.#options.prefix, channel)
      this.#names.set(channel, names)
    }
    return names
  }

  #publisherOf(channel: string): NatsPublisher {
    let publisher = this.#publishers.get(channel)
    if (!publisher) {
      const { clock, publishTimeoutMs, replicas } = this.#options
      publisher = createNatsPublisher({
        link: this.#link,
        names: this.#namesOf(channel),
        clock,
        timeoutMs: publishTimeoutMs,
        replicas,
      })
      this.#publishers.set(channel, publisher)
    }
    return publisher
  }

  #track(reading: Reading): Reading {
    const tracked: Reading = {
      close: async () => {
        this.#readings.delete(tracked)
        await reading.close()
      },
    }
    this.#readings.add(tracked)
    return tracked
  }
}
