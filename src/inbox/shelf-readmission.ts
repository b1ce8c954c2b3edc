import { type AnyContract, DEFAULT_TENANT } from '../contract/index.ts'
import { type Kernel, LIMITS } from '../kernel/index.ts'
import type { Append, Committer, InvalidRow } from '../store/index.ts'
import type { ForeignFault } from './foreign-event.ts'

/** What re-admitting something kept came to, or would come to. */
export type ShelfReadmissionResult =
  | { readonly kind: 'accepted' | 'duplicate' }
  | {
      readonly kind: 'still-invalid'
      readonly reason: 'schema' | 'version' | 'syntax' | 'contract' | 'gone'
      /** Names of fields and versions; no data. */
      readonly detail: string
    }

/** What a kept row is by today's contracts. */
export type ShelfReading =
  | { readonly kind: 'append'; readonly append: Append; readonly id: string }
  | { readonly kind: 'invalid'; readonly fault: ForeignFault; readonly type: AnyContract['name'] }
  | { readonly kind: 'gone'; readonly detail: string }

/** Reads what a shelf keeps that the border never saw, by today's contracts. */
export interface ShelfReadmission {
  /** Whether a row is of one of its shelves. */
  owns(row: Pick<InvalidRow, 'webhook'>): boolean
  /** What would become of it; a repeat shows only when it is admitted. */
  plan(row: InvalidRow): ShelfReadmissionResult
  /** Appends the message, with the id it had, and resolves the row in the same commit. */
  admit(row: InvalidRow): Promise<ShelfReadmissionResult>
}

export interface ShelfReadmissionOptions {
  readonly kernel: Kernel
  readonly committer: Pick<Committer, 'submit'>
  readonly owns: ShelfReadmission['owns']
  readonly read: (row: InvalidRow) => ShelfReading
}

export const createShelfReadmission = (options: ShelfReadmissionOptions): ShelfReadmission => {
  const { kernel, committer, owns, read } = options
  return {
    owns,
    plan(row) {
      const reading = read(row)
      return reading.kind === 'append' ? { kind: 'accepted' } : stillInvalid(row, reading)
    },
    async admit(row) {
      const reading = read(row)
      if (reading.kind !== 'append') return stillInvalid(row, reading)
      const nowMs = kernel.clock.now()
      const admitted = {
        ...row,
        state: 'readmitted',
        messageId: reading.id,
        resolvedAtMs: nowMs,
      } as const
      // Two people who admit it at once admit it once.
      const scope = `${DEFAULT_TENANT}/readmitted`
      const expiresAtMs = nowMs + LIMITS.queueDedupeMs
      const outcome = await committer.submit({
        claims: [{ scope, key: row.id, expiresAtMs, append: 0 }],
        appends: [reading.append],
        rows: [{ collection: 'invalid', key: row.id, row: admitted }],
      })
      if (outcome.status === 'failed') throw outcome.error
      const isNew = outcome.status === 'committed' && (outcome.leftOut ?? []).length === 0
      return { kind: isNew ? 'accepted' : 'duplicate' }
    },
  }
}

function stillInvalid(
  { webhook }: InvalidRow,
  reading: Exclude<ShelfReading, { kind: 'append' }>,
): ShelfReadmissionResult {
  if (reading.kind === 'gone') {
    return { kind: 'still-invalid', reason: 'gone', detail: reading.detail }
  }
  const { fault, type } = reading
  const fields = [
    ...new Set(fault.errors.map(({ pointer }) => pointer.replace(/\/\d+(?=\/|$)/g, '/*'))),
  ]
  const at = fields.slice(0, 5).join(', ') || 'the document'
  const detail = `${webhook}: ${type === '' ? 'a message' : type.slice(0, 100)} is invalid at ${at}`
  return { kind: 'still-invalid', reason: fault.reason, detail }
}
