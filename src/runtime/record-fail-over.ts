import { hash } from 'node:crypto'
import type { Kernel } from '../kernel/index.ts'
import {
  type Committer,
  FAILED_OVER,
  type FailOver,
  type OperationRow,
  type Store,
} from '../store/index.ts'
import type { AlertBook } from './alert-book.ts'

/**
 * Tells that the store's server has another history than before: journals it, and raises the alert
 * where something acknowledged is or may be gone, in one commit.
 *
 * The note stays: a process that remembers more replaces it at any moment, and whoever took it away
 * might take that one. What is told of is known by the journal instead, whose id is that of the
 * note: each is told once, however many processes start at once.
 */
export const recordFailOver = async (parts: {
  readonly store: Store
  readonly kernel: Kernel
  readonly committer: Committer
  readonly alerts: AlertBook
}): Promise<void> => {
  const { store, kernel, committer, alerts } = parts
  const value = (await store.row('meta', FAILED_OVER))?.value
  if (value === undefined) return
  // Only the driver writes it.
  const failOver = value as FailOver
  const atMs = kernel.clock.now()
  const id = `op_${hash('sha256', JSON.stringify(value), 'hex').slice(0, 32)}`
  if (await store.row('operations', id)) return
  const title = describeFailOver(failOver)
  const isLoss = (failOver.missing ?? 0) > 0
  const row: OperationRow = {
    id,
    command: 'store.fail-over',
    parameters: {},
    actor: 'whoever promoted the server',
    reason: title,
    origin: 'start',
    atMs,
    state: 'done',
    result: value,
    finishedAtMs: atMs,
  }
  const raised =
    isLoss || failOver.durability !== 'replicated'
      ? alerts.raise({
          kind: 'store-failed-over',
          cause: 'store/failed-over',
          title,
          owner: undefined,
          target: { kind: 'log' },
          severity: isLoss ? 'critical' : 'warning',
          atMs,
        })
      : []
  const { position, reached, missing, nextPosition } = failOver
  const fields = { position, reached, missing, nextPosition }
  if (isLoss) kernel.log.error(fields, title)
  else kernel.log.warn(fields, title)
  const outcome = await committer.submit({
    guards: [{ collection: 'operations', key: id, is: 'absent' }],
    rows: [{ collection: 'operations', key: id, row }, ...raised],
    isInternal: true,
  })
  if (outcome.status === 'failed') throw outcome.error
  // Another process has told of it meanwhile, with an alert of its own.
  if (outcome.status === 'guarded') await alerts.load()
}

/** For whoever is on call: what happened, what is gone, what to do. */
export const describeFailOver = (failOver: FailOver): string => {
  const { position, reached, missing, durability } = failOver
  const what = 'PostgreSQL failed over or was restored'
  if (missing !== null && missing > 0) {
    return (
      `${what}: ${missing} position(s) that were given are gone, ${position + 1} to ${reached}. ` +
      'Ask the senders to send again what they sent in the last moments before'
    )
  }
  if (durability === 'replicated') return `${what}: nothing acknowledged is missing`
  const known =
    missing === null
      ? 'no process was left that remembers what was acknowledged'
      : 'no process that has told so far misses a position'
  return (
    `${what}, and commits did not wait for a replica: ${known}. ` +
    'What was acknowledged in the last moments before may be gone'
  )
}
