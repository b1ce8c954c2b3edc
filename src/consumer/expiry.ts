import type { CommitUnit, DeadLetterRow, RowWrite } from '../store/index.ts'
import type { ConsumerRunner } from './consumer-runner.ts'
import { successUnit } from './lane-rows.ts'
import type { Lane } from './lane-table.ts'
import { expiredKey, type WorkItem } from './work-item.ts'

/**
 * Whether the item's `ttl` has passed. Measured on the steady clock, so that a wall clock that
 * jumps forward discards nothing.
 */
export const isExpired = ({ ports, consumer }: ConsumerRunner, { record }: WorkItem): boolean => {
  const { ttlMs } = consumer.on
  if (ttlMs === undefined) return false
  return ports.steady.now() - Date.parse(record.head.envelope.time) >= ttlMs
}

/**
 * What discarding an expired item writes: it is finished, and a row says why, so that it does not
 * look handled. A dead letter that was tried again is dropped with it.
 */
export const expiredUnit = (
  { consumer, ports }: ConsumerRunner,
  { lane, item }: { readonly lane: Lane; readonly item: WorkItem },
  onceKeys: readonly string[],
): CommitUnit => {
  // At most once: there is no place in the log that a row could name.
  if (item.origin === 'volatile') return {}
  const nowMs = ports.kernel.clock.now()
  const { letter, replay: _, ...rest } = item
  const { position } = item
  const done = successUnit(consumer, { lane, item: rest, nowMs })
  const note: RowWrite = {
    collection: 'expired',
    key: expiredKey(consumer.name, position),
    row: { consumer: consumer.name, position, atMs: nowMs },
  }
  const rows = [...(done.rows ?? []), note, ...onceKeys.map(forget)]
  if (!letter) return { ...done, rows }
  const dropped: DeadLetterRow = {
    ...letter,
    state: 'dropped',
    resolvedAtMs: nowMs,
    resolvedBy: 'its ttl',
  }
  return { ...done, rows: [...rows, { collection: 'deadLetters', key: letter.id, row: dropped }] }
}

const forget = (key: string): RowWrite => ({ collection: 'onceResults', key, row: undefined })
