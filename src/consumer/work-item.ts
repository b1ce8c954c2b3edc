import type { Consumer, LogRecord } from '../contract/index.ts'
import { type DeadLetterRow, positionText } from '../store/index.ts'
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
  /** Whether a suspect row stands for it as well, because it runs alone. */
  readonly isSuspect?: boolean
  readonly firstFailedAtMs?: number
  /** The row of its dead letter, when it has one; success resolves it. */
  readonly letter?: DeadLetterRow
  readonly replay?: ReplayMark
}

/**
 * Where the item comes from, which decides what finishing it writes:
 * - `log`: fetched; its position is marked in the progress row.
 * - `successor`: has a successor row, which is deleted.
 * - `head`: the head of a held lane; the lane row changes.
 * - `volatile`: at-most-once, never stored.
 */
export type WorkOrigin = 'log' | 'successor' | 'head' | 'volatile'

/** The replay that brought an item here. */
export interface ReplayMark {
  readonly runId: string
  readonly startedAtMs: number
}

export const laneOf = (consumer: Consumer, delivered: Delivered): string =>
  consumer.ordering === 'none'
    ? `#${delivered.position === 0 ? delivered.record.head.envelope.id : delivered.position}`
    : delivered.record.head.envelope.partitionkey

/** The lane that a dead letter of this consumer runs in. */
export const laneOfLetter = (consumer: Consumer, letter: DeadLetterRow): string =>
  consumer.ordering === 'none' ? `#${letter.position}` : letter.key

export type ItemHistory = Partial<
  Pick<WorkItem, 'attempts' | 'crashes' | 'isSuspect' | 'firstFailedAtMs' | 'letter' | 'replay'>
>

export const itemOf = (
  consumer: Consumer,
  delivered: Delivered,
  origin: WorkOrigin,
  history?: ItemHistory,
): WorkItem => {
  const item: WorkItem = {
    position: delivered.position,
    atMs: delivered.atMs,
    slot: delivered.slot,
    record: delivered.record,
    lane: laneOf(consumer, delivered),
    origin,
    attempts: 0,
    crashes: 0,
  }
  // Nearly all have none, and a spread costs as much as the rest.
  return history ? { ...item, ...history } : item
}

/** Key of a lane's row, and prefix of the keys of its successors. */
export const laneKey = (consumer: string, lane: string): string => `${consumer}\n${lane}`

export const successorKey = (consumer: string, lane: string, position: number): string =>
  `${laneKey(consumer, lane)}\n${positionText(position)}`

export const copyKey = (consumer: string, position: number): string =>
  `${consumer}\n${positionText(position)}`

export const suspectKey = (consumer: string, position: number): string =>
  `${consumer}\n${positionText(position)}`

export const expiredKey = (consumer: string, position: number): string =>
  `${consumer}\n${positionText(position)}`

export const replayedKey = (runId: string, consumer: string, position: number): string =>
  `${runId}\n${consumer}\n${positionText(position)}`
