/**
 * What an engine gives, as data. The runtime emulates what is missing and prints the difference,
 * the linter reads the same record, and the conformance suite holds a driver to it.
 */
export interface Features {
  /** Shown to people: `sqlite`, `memory`, `postgres`. */
  readonly engine: string
  /** What an acknowledged write survives. */
  readonly durability: 'process' | 'fsync' | 'replicated'
  /** Smallest thing within which order holds. */
  readonly unitOfOrder: 'key' | 'slot' | 'partition'
  /** Whether user statements commit together with progress and emits. */
  readonly transactions: boolean
  /** Whether several processes may write at once. */
  readonly multiProcess: boolean
  /** Dialect of user statements in `ctx.tx`. */
  readonly sql: 'sqlite' | 'postgres'
  readonly recordBytesMax: number
}

/** What a message broker gives, as data; used as `Features` is. */
export interface BrokerFeatures {
  /** Shown to people: `nats`, `kafka`, `rabbitmq`. */
  readonly engine: string
  /**
   * What a confirmed message survives: `accepted` the end of a connection, `process` that of the
   * broker, `fsync` a power failure, `replicated` the loss of a machine.
   */
  readonly durability: 'accepted' | 'process' | 'fsync' | 'replicated'
  /** Smallest thing within which order holds. */
  readonly unitOfOrder: 'key' | 'slot' | 'partition'
  /** Of each channel; a slot belongs to partition `slot mod partitions`. */
  readonly partitions: number
  /** One message with its headers. */
  readonly messageBytesMax: number
  /** A message published again within this time is dropped by the broker; 0 where it does not. */
  readonly dedupeWindowMs: number
  /** Whether a reader keeps its own place, or acknowledges and the broker keeps it. */
  readonly reading: 'offset' | 'ack'
  /** Longest delay the broker can give a message, 0 for none: delays are ours on every engine. */
  readonly delayMsMax: number
}
