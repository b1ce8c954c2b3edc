import type { Consumer, LogRecord } from '../contract/index.ts'
import type { DeadLetterRow } from '../store/index.ts'
import type { Delivered } from '../transport/index.ts'

/** One message on its way through one consumer. */
export interface WorkItem {
  readonly position: number
  readonly atMs: number
  readonly slot: number
  readonly record: LogRecord
  /** Messages of one lane run in order, one at a time. */
  readonly lane: string
  readonly origin: WorkOrigin
  /** Attempts that failed, or ran alone and took the process down. */
  readonly attempts: number
  readonly crashes: number
  readonly firstFailedAtMs?: number
  readonly deadLetter?: string
  /** The row of that dead letter, resolved by success. */
  readonly letterRow?: DeadLetterRow
  readonly replay?: ReplayMark
}

/**
 * Where the item comes from, which decides what finishing it writes:
 * - `log`: fetched; its position is marked in the progress row.
 * - `successor`: waited behind a held lane; its successor row is deleted.
 * - `head`: the head of a held lane; its lane row is deleted.
 * - `suspect`: was running when the process died; marked, and its suspect row deleted.
 * - `replay`: run again by a replay; a done-key of the run is written.
 * - `volatile`: at-most-once, never stored.
 */
export type WorkOrigin = 'log' | 'successor' | 'head' | 'suspect' | 'replay' | 'volatile'

export interface ReplayMark {
  readonly runId: string
  readonly startedAtMs: number
  /** Told once, when the item is finished one way or the other. */
  readonly settled: (outcome: 'done' | 'failed' | 'skipped') => void
}

export const laneOf = (consumer: Consumer, delivered: Delivered): string =>
  consumer.ordering === 'none'
    ? `#${delivered.position}`
    : delivered.record.head.envelope.partitionkey

export const itemOf = (
  consumer: Consumer,
  delivered: Delivered,
  origin: WorkOrigin,
  history: Partial<
    Pick<
      WorkItem,
      'attempts' | 'crashes' | 'firstFailedAtMs' | 'deadLetter' | 'letterRow' | 'replay'
    >
  > = {},
): WorkItem => ({
  position: delivered.position,
  atMs: delivered.atMs,
  slot: delivered.slot,
  record: delivered.record,
  lane: laneOf(consumer, delivered),
  origin,
  attempts: 0,
  crashes: 0,
  ...history,
})

/** Key of a lane's row, and prefix of the keys of its successors. */
export const laneKey = (consumer: string, lane: string): string => `${consumer}\n${lane}`

/** Sorts as text the way positions sort as numbers. */
export const positionText = (position: number): string => String(position).padStart(16, '0')
