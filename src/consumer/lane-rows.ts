import { type Consumer, encodeRecord } from '../contract/index.ts'
import type { CommitUnit, DeadLetterRow, LaneRow, RowWrite } from '../store/index.ts'
import type { Failure } from './failure.ts'
import type { Lane } from './lane-table.ts'
import {
  copyKey,
  expiredKey,
  laneKey,
  successorKey,
  suspectKey,
  type WorkItem,
} from './work-item.ts'

/**
 * Marks of the items that were fetched: only those are finished in the progress row; every other
 * has a row of its own.
 */
export const marksOf = (
  consumer: Consumer,
  items: readonly WorkItem[],
): Pick<CommitUnit, 'marks'> => {
  const marks = items
    .filter(({ origin }) => origin === 'log')
    .map(({ position }) => ({ consumer: consumer.name, position }))
  return marks.length > 0 ? { marks } : {}
}

/** Deletes the rows that stand for where the item came from, except the row of its lane. */
export const leaveOrigin = (consumer: Consumer, lane: Lane, item: WorkItem): RowWrite[] => {
  const rows: RowWrite[] = []
  const { position } = item
  if (item.origin === 'successor') {
    const key = successorKey(consumer.name, lane.key, position)
    rows.push({ collection: 'successors', key, row: undefined })
  }
  // A successor may have been a suspect before it had to wait.
  if (item.isSuspect === true || item.origin === 'successor') {
    rows.push({ collection: 'suspects', key: suspectKey(consumer.name, position), row: undefined })
  }
  return rows
}

/**
 * The bodies of items that leave memory, where the store is not their record: whoever reads their
 * rows finds them there, whatever the broker has dropped by then.
 */
export const copiesOf = (consumer: Consumer, items: readonly WorkItem[]): readonly RowWrite[] =>
  consumer.on.record === 'transport'
    ? items.filter(({ origin }) => origin === 'log').map((item) => copyWrite(consumer, item))
    : []

export const copyWrite = (
  { name, on }: Consumer,
  { position, slot, atMs, record: { head, data } }: WorkItem,
): RowWrite => {
  const record = Buffer.from(encodeRecord({ head, data })).toString('base64')
  const row = { consumer: name, record, channel: on.channel, slot, atMs }
  return { collection: 'copies', key: copyKey(name, position), row }
}

/** What success of an item writes, besides the handler's own. */
export const successUnit = (
  consumer: Consumer,
  at: { readonly lane: Lane; readonly item: WorkItem; readonly nowMs: number },
): CommitUnit => {
  const { lane, item, nowMs } = at
  const rows = leaveOrigin(consumer, lane, item)
  if (item.origin === 'head') rows.push(laneWrite(consumer, lane.key, drainingRow(consumer, lane)))
  if (item.letter) {
    const row: DeadLetterRow = { ...item.letter, state: 'resolved', resolvedAtMs: nowMs }
    rows.push({ collection: 'deadLetters', key: row.id, row })
  }
  if (consumer.on.record === 'transport' && (item.origin !== 'log' || item.letter)) {
    const key = copyKey(consumer.name, item.position)
    rows.push({ collection: 'copies', key, row: undefined })
  }
  // A replay may handle what was too late before: the contract may ask for more time now.
  if (item.replay) {
    const key = expiredKey(consumer.name, item.position)
    rows.push({ collection: 'expired', key, row: undefined })
  }
  return { rows, ...marksOf(consumer, [item]) }
}

/** A lane that holds no head: its successors run, or wait for a replay. */
export const drainingRow = (
  consumer: Pick<Consumer, 'name'>,
  lane: Pick<Lane, 'key' | 'replay'>,
  claim?: { readonly position: number; readonly epoch: number },
): LaneRow => ({
  consumer: consumer.name,
  key: lane.key,
  state: lane.replay === undefined ? 'draining' : 'replaying',
  position: claim?.position ?? 0,
  attempts: 0,
  crashes: 0,
  dueAtMs: 0,
  firstFailedAtMs: 0,
  lastError: '',
  ...(lane.replay !== undefined && { replay: lane.replay }),
  ...(claim && { runningEpoch: claim.epoch }),
})

/** A lane whose head waits. */
export const heldRow = (
  consumer: Consumer,
  item: WorkItem,
  held: Pick<LaneRow, 'state' | 'attempts' | 'dueAtMs' | 'firstFailedAtMs'> & {
    readonly failure: Failure
    readonly deadLetter: string | undefined
    readonly newerVersion?: number
  },
): LaneRow => {
  const { failure, deadLetter, ...rest } = held
  return {
    consumer: consumer.name,
    key: item.lane,
    position: item.position,
    crashes: item.crashes,
    ...rest,
    lastError: `${failure.name}: ${failure.message}`.slice(0, 500),
    ...(deadLetter !== undefined && { deadLetter }),
    ...(item.replay && { replay: item.replay.runId }),
  }
}

export const successorWrite = (consumer: Consumer, item: WorkItem): RowWrite => ({
  collection: 'successors',
  key: successorKey(consumer.name, item.lane, item.position),
  row: {
    consumer: consumer.name,
    lane: laneKey(consumer.name, item.lane),
    position: item.position,
    ...(item.letter && { deadLetter: item.letter.id }),
    ...(item.replay && { replay: item.replay.runId }),
  },
})

export const laneWrite = (
  consumer: Pick<Consumer, 'name'>,
  lane: string,
  row: LaneRow | undefined,
): RowWrite => ({
  collection: 'lanes',
  key: laneKey(consumer.name, lane),
  row,
})
