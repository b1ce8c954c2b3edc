import type { LogRecord } from '../contract/index.ts'
import type { Appended, RecordBookmark, SlotRange } from '../store/index.ts'

/**
 * Moves envelopes from the log to consumers. On the embedded engine the log is in the store and
 * this port only reads it; a broker will implement the same port.
 *
 * Promise: within a channel, records come in the order of their positions, each at least once, and
 * none is skipped. Delays, retries and dead letters are not the transport's business.
 */
export interface Transport {
  subscribe(channel: string, afterPosition: number, reader?: LogReader): Subscription
  close(): Promise<void>
}

/** Who reads. All but `wanted` is for a log that is not the store's: one for each partition. */
export interface LogReader {
  /** The slots that it wants: it may be given others, which it leaves alone. @default all */
  readonly wanted: SlotRange | undefined
  /** The slots of the channel that it has. */
  readonly slots: SlotRange
  /** What its subscription of the last run gave for its watermark. */
  readonly bookmark: RecordBookmark | undefined
  /** Nothing beyond it was given to a handler, by any run. */
  readonly usedTo: number
  /** The last position behind its watermark that an earlier run has handled. */
  readonly doneTo?: number
  /** Something that does not show as a message has changed, such as being at the head. */
  readonly onMoved: () => void
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
  /** Present where the log is not the store's: what is there now, up to a position. */
  readonly readTo?: (position: number, signal: AbortSignal) => Promise<readonly Delivered[]>
  /** The same: what a row of progress with this watermark has to keep. */
  readonly bookmarkAt?: (watermark: number) => RecordBookmark
  /** The same: records that are still to be given, as far as known. */
  readonly behind?: number
}

export interface Delivered {
  readonly position: number
  readonly slot: number
  /** When it was appended. */
  readonly atMs: number
  readonly record: LogRecord
}
