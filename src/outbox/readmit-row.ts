import type { OutboxSource } from '../contract/index.ts'
import {
  type ContractBook,
  createShelfReadmission,
  type ShelfReading,
  type ShelfReadmission,
} from '../inbox/index.ts'
import type { Kernel } from '../kernel/index.ts'
import type { Committer, InvalidRow } from '../store/index.ts'
import { outboxOfShelf, readRow, unshelve } from './relay-row.ts'

export interface OutboxReadmissionOptions {
  readonly outboxes: readonly OutboxSource[]
  readonly kernel: Kernel
  readonly committer: Pick<Committer, 'submit'>
  readonly book: ContractBook
}

/** Reads what the shelf of an outbox keeps by today's contracts: its table has it no more. */
export const createOutboxReadmission = (options: OutboxReadmissionOptions): ShelfReadmission => {
  const { outboxes, kernel, book } = options
  const read = (row: InvalidRow): ShelfReading => {
    const name = outboxOfShelf(row.webhook)
    const source = outboxes.find((one) => one.name === name)
    if (!source) return gone(`outbox ${name ?? ''} is not declared any more`)
    const kept = unshelve(row)
    if (!kept) return gone(`${row.webhook}: not all of the row was kept; drop it and emit it again`)
    const verdict = readRow(kept, { source, book, nowMs: kernel.clock.now() })
    return verdict.kind === 'append' ? { ...verdict, id: kept.id } : { ...verdict, type: kept.type }
  }
  const owns: ShelfReadmission['owns'] = (row) => outboxOfShelf(row.webhook) !== undefined
  return createShelfReadmission({ ...options, owns, read })
}

const gone = (detail: string): ShelfReading => ({ kind: 'gone', detail })
