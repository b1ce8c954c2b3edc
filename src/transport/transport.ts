import type { LogRecord } from '../contract/index.ts'
import type { Appended, SlotRange } from '../store/index.ts'

/**
 * Moves envelopes from the log to consumers. On the embedded engine the log is in the store and
 * this port only reads it; a broker will implement the same port.
 *
 * Promise: within a channel, records come in the order of their positions, each at least once, and
 * none is skipped. Delays, retries and dead letters are not the transport's business.
 */
export interface Transport {
  subscribe(channel: string, afterPosition: number, options?: SubscribeOptions): Subscription
  close(): Promise<void>
}

export interface SubscribeOptions {
  /** The subscriber passes over all others; they may be left out. @default all */
  readonly slots?: SlotRange
}

/** A transport that learns from the commits of this process what there is to move. */
export interface LogTransport extends Transport {
  /** Tells what a commit appended. */
  appended(records: readonly Appended[]): void
  /** Tells that the log goes so far now, whoever wrote it; wakes the subscribers. */
  advanced(head: number): void
  /** Last position of any channel. */
  readonly head: number
}

/** One reader of one channel. Not safe for two callers at once. */
export interface Subscription {
  /**
   * The next records, at least one; waits until there is one. Empty only when `signal` aborts or
   * the transport closes.
   */
  next(limit: number, signal: AbortSignal): Promise<readonly Delivered[]>
  /** No record of the channel up to this position is still to come. */
  readonly scannedTo: number
  /** Position of the last record that `next` gave, also while its promise is still on the way. */
  readonly givenTo: number
  /** True while no record of the channel is still to be given. */
  readonly atHead: boolean
  /** Nothing is kept for this reader any more. Idempotent. */
  close(): void
}

export interface Delivered {
  readonly position: number
  readonly slot: number
  /** When it was appended. */
  readonly atMs: number
  readonly record: LogRecord
}
