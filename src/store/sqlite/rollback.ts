import { JuncturaError, LIMITS } from '../../kernel/index.ts'
import { encodeRow } from '../unit-check.ts'
import { ACCEPTED_ROLLBACK, type AcceptedRollback, type RowWrite } from '../store.ts'
import type { Connection } from './connection.ts'
import { countOpen } from './format.ts'
import type { Height, MarkedHeight } from './high-mark.ts'
import { addPartition } from './log-layout.ts'
import type { LogPartitions } from './log-partitions.ts'
import { transaction } from './log-writer.ts'
import type { StateWriter } from './state-tables.ts'

/** In which way a store is behind its mark; undefined when it is not. */
export const behindMark = (found: Height | undefined, mark: MarkedHeight): string | undefined => {
  const at = new Date(mark.atMs).toISOString()
  const reached = `position ${mark.position} was reached by ${at}`
  if (found === undefined) return `it is missing, and ${reached}`
  if (found.store !== mark.store) return `it is another store than the one of which ${reached}`
  if (found.position < mark.position) return `it ends at position ${found.position}, and ${reached}`
  if (found.opens < mark.opens) {
    return `it was opened ${found.opens} time(s), and ${mark.opens} had been counted by ${at}`
  }
  return undefined
}

export const rolledBack = (file: string, problem: string): JuncturaError =>
  new JuncturaError('JUNCTURA_STORE_ROLLED_BACK', { details: { file, problem } })

export interface RollbackParts {
  readonly writer: Connection
  readonly partitions: LogPartitions
  readonly stateWriter: StateWriter
  readonly nowMs: number
}

/**
 * Counts this opening and, when an older store is accepted, moves the next position beyond all that
 * were ever given and notes the acceptance, in one transaction.
 *
 * @returns the height from now on.
 */
export const settleHeight = (
  parts: RollbackParts,
  found: Height,
  accepted: { readonly problem: string; readonly mark: MarkedHeight } | undefined,
): Height => {
  const { writer, partitions, stateWriter, nowMs } = parts
  const opens = Math.max(found.opens, accepted?.mark.opens ?? 0) + 1
  if (!accepted) {
    transaction(writer, () => countOpen(writer, opens))
    return { ...found, opens }
  }
  const { mark, problem } = accepted
  const head = Math.max(found.position, mark.position) + LIMITS.positionGap
  const { open } = partitions
  const next = { id: open.id + 1, firstPosition: head + 1, createdAtMs: nowMs }
  const value: AcceptedRollback = {
    problem,
    position: found.position,
    reached: mark.position,
    reachedAtMs: mark.atMs,
    nextPosition: next.firstPosition,
    acceptedAtMs: nowMs,
  }
  const note: RowWrite = { collection: 'meta', key: ACCEPTED_ROLLBACK, row: { value } }
  transaction(writer, () => {
    countOpen(writer, opens)
    writer.run(
      `UPDATE junctura_partitions SET last_position = ?, first_at_ms = ?, last_at_ms = ?
       WHERE id = ?`,
      found.position,
      open.firstAtMs,
      open.lastAtMs,
      open.id,
    )
    addPartition(writer, next)
    stateWriter.put(encodeRow(note))
  })
  partitions.add({ ...next, lastPosition: head, firstAtMs: nowMs, lastAtMs: nowMs, bytes: 0 })
  partitions.head = head
  return { ...found, opens, position: head }
}
