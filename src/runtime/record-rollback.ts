import type { Kernel } from '../kernel/index.ts'
import { ACCEPTED_ROLLBACK, type Committer, type OperationRow, type Store } from '../store/index.ts'
import type { AlertBook } from './alert-book.ts'

/**
 * Journals that an older store was accepted, and raises the alert of it, in one commit that takes
 * the store's note away: once, whenever the process ends on the way.
 */
export const recordRollback = async (parts: {
  readonly store: Store
  readonly kernel: Kernel
  readonly committer: Committer
  readonly alerts: AlertBook
}): Promise<void> => {
  const { store, kernel, committer, alerts } = parts
  const accepted = (await store.row('meta', ACCEPTED_ROLLBACK))?.value
  if (accepted === undefined) return
  const atMs = kernel.clock.now()
  const row: OperationRow = {
    id: kernel.ids.next('op'),
    command: 'store.accept-rollback',
    parameters: {},
    actor: 'whoever started the process',
    reason: '--accept-rollback was given',
    origin: 'start',
    atMs,
    state: 'done',
    result: accepted,
    finishedAtMs: atMs,
  }
  const raised = alerts.raise({
    kind: 'store-rolled-back',
    cause: 'store/rolled-back',
    title: 'An older store was accepted: what came after it is gone, and may come a second time',
    owner: undefined,
    target: { kind: 'log' },
    severity: 'critical',
    atMs,
  })
  await committer.submit({
    rows: [
      { collection: 'operations', key: row.id, row },
      ...raised,
      { collection: 'meta', key: ACCEPTED_ROLLBACK, row: undefined },
    ],
    isInternal: true,
  })
}
