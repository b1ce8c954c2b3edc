import type { BrokerFeatures } from '../contract/index.ts'
import type { BrokerProblem, BrokerState, Reading, ReadOptions } from './broker.ts'
import type { Clock, Logger, Random } from '../kernel/index.ts'

/**
 * A topic, stream or queue that others write, as a source reads it. A driver holds no policy: it
 * gives what is there from a place on, and says when the place is not there any more. What that
 * means, and where to go on, is decided above it.
 *
 * A broken connection is made again for as long as the topic is open, at growing intervals.
 */
export interface ForeignTopic extends AsyncDisposable {
  /** `offset`: the reader keeps its place. `ack`: the broker keeps what is not acknowledged. */
  readonly reading: BrokerFeatures['reading']
  /**
   * What is there now.
   *
   * @throws JUNCTURA_TRANSPORT_UNAVAILABLE when the broker cannot be asked.
   * @throws JUNCTURA_TRANSPORT_REFUSED when there is no such topic, or it may not be read.
   */
  inspect(): Promise<TopicState>
  /** What a message that was written there survives, and what does not fit. Changes nothing. */
  describe(): Promise<TopicDescription>
  /**
   * Gives what is there from the places on, and then what comes. The next batch comes only after
   * `onBatch` has resolved; where the engine wants acknowledgements they are sent then. When it
   * rejects, the same messages come again.
   */
  read(options: TopicReadOptions): Promise<TopicReading>
  /** Idempotent. Ends readings. */
  close(): Promise<void>
}

export interface TopicState {
  /** Changes when the topic was deleted and made again; empty where the engine cannot tell. */
  readonly incarnation: string
  /** Offsets by partition; empty where the engine has none. */
  readonly partitions: Readonly<Record<string, TopicSpan>>
  /** Messages that wait, where the broker counts them. */
  readonly waiting?: number
}

/** Whole numbers as text: the first offset that is kept, and the one that is written next. */
export interface TopicSpan {
  readonly first: string
  readonly next: string
  /**
   * The one behind the last message that is wanted, where only some are.
   *
   * @default next
   */
  readonly wanted?: string
}

export interface TopicDescription {
  readonly survives: BrokerFeatures['durability']
  /** Its settings in one line: copies, what is waited for, how long it is kept. */
  readonly settings: string
  readonly problems: readonly BrokerProblem[]
}

export interface TopicReadOptions extends ReadOptions {
  /** Of the partitions, only these. @default all */
  readonly partitions?: readonly number[]
  /** Which topic the places are of: another one of the same name is not read. */
  readonly incarnation: string
  /**
   * Called once when reading ended by itself: the place is not there any more, or the topic is
   * another one. Nothing is given afterwards.
   */
  readonly onPlaceGone: (problem: string) => void
  /**
   * Called before the messages behind a hole are given: the retention has passed the reader while
   * it read, and so many offsets were gone before they came. Only of engines that go on by
   * themselves; where others were not wanted, they are counted too.
   */
  readonly onSkipped: (partition: number, offsets: number) => void
}

export interface TopicReading extends Reading {
  /** The next offset wanted, by partition: behind what was given and what holds no message. */
  places(): Readonly<Record<string, string>>
}

/** What every topic is opened with. */
export interface ForeignTopicOptions {
  /** With user and password where they are needed; never logged. */
  readonly url: string
  /** Names the connection, for whoever looks at the broker. */
  readonly clientName: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** @default 10_000 */
  readonly requestTimeoutMs?: number
  readonly onState?: (state: BrokerState) => void
}
