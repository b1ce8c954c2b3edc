import type { BrokerFeatures } from '../contract/index.ts'
import type { Clock, Logger, Random } from '../kernel/index.ts'
import type { ForeignTopic } from './foreign-topic.ts'

/**
 * A message broker as Junctura uses it: publish, and read. A driver holds no policy: who may lag,
 * what is tried again, what is a dead letter and which message is a repeat is decided above it, the
 * same for every engine.
 *
 * The promise of a driver, held by the conformance suite in `testing/`:
 * - What `publish` resolved for is kept as `features.durability` says, and within a partition it
 *   is read in the order in which it was published.
 * - Readers get each message at least once, and none of a partition out of order but for repeats.
 * - A broken connection is made again for as long as the broker is open, at growing intervals;
 *   nobody above needs to open anything again. `onState` tells of both changes.
 */
export interface Broker extends AsyncDisposable {
  readonly features: BrokerFeatures
  /**
   * Creates what the channels need and brings what is there into line, but never loosens or shrinks
   * it. Idempotent; several processes may do it at once.
   *
   * @throws JUNCTURA_TRANSPORT_UNAVAILABLE when the broker cannot be reached.
   * @throws JUNCTURA_TRANSPORT_REFUSED when it forbids it, or what is there cannot serve.
   */
  ensure(channels: readonly BrokerChannel[]): Promise<void>
  /**
   * Publishes in the order given; resolves when the broker has confirmed every message. When it
   * rejects, any part may be there: the caller publishes the same messages again, with the same
   * ids.
   *
   * @throws JUNCTURA_TRANSPORT_UNAVAILABLE when it is not confirmed within `publishTimeoutMs`.
   * @throws JUNCTURA_TRANSPORT_REFUSED when the broker will never take one of them.
   */
  publish(channel: string, messages: readonly BrokerMessage[]): Promise<void>
  /**
   * Gives what is published from now on to the listener, which does not make the broker wait.
   * Nothing is acknowledged and nothing piles up in the broker. After a broken connection some may
   * be missing: the reader finds out by the positions in the messages.
   */
  follow(channel: string, listener: FollowListener): Promise<Reading>
  /**
   * Reads a topic, stream or queue that others may have written, from a place on. The next batch
   * comes only after `onBatch` has resolved; where the engine wants acknowledgements, they are sent
   * then. When `onBatch` rejects, the same messages come again.
   *
   * @throws JUNCTURA_TRANSPORT_REFUSED when there is no such topic.
   */
  read(topic: string, options: ReadOptions): Promise<Reading>
  /**
   * A channel of ours as a topic that is read from places which the reader keeps. Only where the
   * messages can be read again; without it no contract may say `record: 'transport'`. What it
   * gives is closed with the broker.
   */
  readonly record?: (channel: string) => ForeignTopic
  /** What can be known of a channel from outside, to notice that the broker lost something. */
  inspect(channel: string): Promise<BrokerChannelState>
  /** Reads settings and rights of the live broker and says what does not fit: for `doctor`. */
  check(channels: readonly BrokerChannel[]): Promise<readonly BrokerProblem[]>
  /** Idempotent. Ends readings and waits for what is being published. */
  close(): Promise<void>
}

export interface BrokerChannel {
  readonly channel: string
  /** How long messages are kept for readers of other systems. */
  readonly retentionMs: number
  /** Whether the broker is the record: then `placeOfSlot` spreads keys over its partitions. */
  readonly isRecord?: boolean
}

/**
 * One message, in CloudEvents binary content mode: attributes beside the data, each driver under
 * the names that the CloudEvents binding of its protocol prescribes.
 *
 * @see CloudEvents 1.0.2, section "Message"
 */
export interface BrokerMessage {
  /** 0 to `features.partitions` - 1. */
  readonly partition: number
  /** Messages of one key are in one partition. */
  readonly key: string
  /** The same whenever the message is published again; engines that drop repeats go by it. */
  readonly id: string
  /** Without prefix, in lower case; `datacontenttype` is the content type of the protocol. */
  readonly attributes: Attributes
  readonly data: Uint8Array
}

export type Attributes = Readonly<Record<string, string>>

export interface ReceivedMessage {
  readonly partition: number
  /** Its place in the partition, a whole number as text; empty where the engine has none. */
  readonly offset: string
  /** Empty where the writer gave none. */
  readonly key: string
  /** What had the prefix of CloudEvents, and the content type as `datacontenttype`. */
  readonly attributes: Attributes
  /** All other headers, as text. */
  readonly headers: Attributes
  readonly data: Uint8Array
}

/** Called with at least one message; must not throw and is not waited for. */
export type FollowListener = (messages: readonly ReceivedMessage[]) => void

export interface ReadOptions {
  /**
   * The next offset wanted, by partition; a partition that is not named is read from its beginning.
   * Engines whose `features.reading` is `ack` keep the place themselves and ignore it.
   */
  readonly from: Readonly<Record<string, string>>
  /** Messages per batch at most. @default 500 */
  readonly batchMax?: number
  readonly onBatch: (messages: readonly ReceivedMessage[]) => Promise<void>
}

export interface Reading {
  /** Idempotent. Waits for a running `onBatch`. */
  close(): Promise<void>
}

export interface BrokerChannelState {
  /** Changes when the channel was deleted and made again; empty where the engine cannot tell. */
  readonly incarnation: string
  /** The next offset by partition; it never goes back unless something was lost. */
  readonly ends: Readonly<Record<string, string>>
}

export interface BrokerProblem {
  /** `error`: a promise does not hold. `warning`: it holds for less than one might think. */
  readonly severity: 'error' | 'warning'
  /** What has it: a setting, a topic, a right. */
  readonly resource: string
  readonly problem: string
  readonly fix: string
}

export interface BrokerState {
  readonly connected: boolean
  /** Why it is not; without secrets. */
  readonly problem?: string
}

/** What every driver is opened with. */
export interface BrokerOptions {
  /** With user and password where they are needed; never logged. */
  readonly url: string
  /**
   * Begins the name of everything that is created: a-z, 0-9 and `-`.
   *
   * @default 'junctura'
   */
  readonly prefix?: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** @default 10_000 */
  readonly publishTimeoutMs?: number
  readonly onState?: (state: BrokerState) => void
}
