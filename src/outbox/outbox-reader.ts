import type { OutboxCursor } from './cursor.ts'

/** A row of an outbox table as it was written, by `emit` or by any INSERT. */
export interface OutboxRow {
  readonly seq: number
  readonly atMs: number
  readonly id: string
  readonly type: string
  readonly version: number | null
  readonly key: string | null
  readonly fact: string | null
  /** Of JSON; null where there is a record. */
  readonly payload: string | null
  readonly headers: string | null
  readonly record: Uint8Array | null
}

export interface OutboxPage {
  /** Ascending, beyond the cursor. */
  readonly rows: readonly OutboxRow[]
  readonly isComplete: boolean
  /** As of `OutboxView`. */
  readonly endedBelow: number
}

export interface OutboxBacklog {
  /** Rows not moved yet, counted up to a bound. */
  readonly waiting: number
  readonly isMore: boolean
  readonly oldestAtMs: number | undefined
}

/**
 * The user's database as the relay sees it. One connection; every method throws when it is gone,
 * and the relay then opens another.
 */
export interface OutboxReader {
  /** What one snapshot shows beyond the cursor, from the lowest number on, bounded. */
  read(cursor: OutboxCursor, limit: OutboxLimit): Promise<OutboxPage>
  /** An id above that of every transaction that has drawn a number so far. */
  fence(): Promise<number>
  /**
   * As `endedBelow`, but only of transactions that may write to the outbox: a neighbour that keeps
   * one open in another table or database does not hold it back. Costs more than a read.
   */
  writersEndedBelow(): Promise<number>
  /** Empties whole tables in which everything is moved; bounded work. */
  clean(cursor: OutboxCursor): Promise<void>
  backlog(cursor: OutboxCursor): Promise<OutboxBacklog>
  close(): Promise<void>
}

export interface OutboxLimit {
  readonly rows: number
  /** The page ends with the row that reaches it. */
  readonly bytes: number
}

/** Rows counted for a status at most; who has more knows enough. */
export const BACKLOG_COUNTED_MAX = 1_000_000
