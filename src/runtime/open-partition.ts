import {
  type ConsumerPartition,
  type ConsumerPorts,
  type ConsumerProgressBook,
  ConsumerRunner,
  outageMark,
  progressKey,
  slotsText,
  timerOwner,
} from '../consumer/index.ts'
import type { Integration } from '../contract/index.ts'
import { assert, type Clock, type Kernel, messageOf } from '../kernel/index.ts'
import type { Committer, RowWrite, Store } from '../store/index.ts'
import { KEYED_BY_CONSUMER, keysFrom } from './adopt-former.ts'
import { offerRows } from './offer-rows.ts'
import { eachRow, newestDeathMs, openLetters } from './paging.ts'

export interface OpenPartitionOptions {
  readonly ports: ConsumerPorts
  readonly book: ConsumerProgressBook
  readonly onStopped: (partition: ConsumerPartition, error: unknown) => void
}

/** Of the alert that a partition of a consumer cannot go on. */
export const stoppedCause = (partition: string): string => `stopped/${partition}`

/** The runner of one partition, with what its last run left; it does not run yet. */
export const openPartition = async (
  { ports, book, onStopped }: OpenPartitionOptions,
  partition: ConsumerPartition,
): Promise<ConsumerRunner> => {
  const { consumer, slots } = partition
  const key = progressKey(consumer.name, consumer.on.channel, slots)
  const progress = await ports.store.row('progress', key)
  assert(progress !== undefined, `${consumer.name} has progress for ${slotsText(slots)}`)
  const runner = new ConsumerRunner({
    ports,
    consumer,
    book,
    progress,
    onStopped: (error) => onStopped(partition, error),
  })
  await runner.load()
  return runner
}

/** Raises the alert that a partition of a consumer cannot go on. */
export const stoppedTeller =
  (
    parts: { readonly committer: Committer; readonly kernel: Kernel },
    ports: Pick<ConsumerPorts, 'raiseAlert'>,
  ): OpenPartitionOptions['onStopped'] =>
  ({ id, consumer }, error) => {
    const title = `${id} stopped: ${messageOf(error)}`
    const cause = stoppedCause(id)
    const atMs = parts.kernel.clock.now()
    const rows = ports.raiseAlert({ kind: 'consumer-stopped', cause, title, consumer, atMs })
    void offerRows(parts, rows).catch(() => undefined)
  }

/**
 * Removes everything a retired consumer left, so that nothing of it is kept, waits or fires any
 * more. Its dead letters are dropped, and their causes told.
 */
export const retireConsumer = async (
  parts: { readonly store: Store; readonly committer: Committer; readonly clock: Clock },
  name: string,
): Promise<{ readonly removed: number; readonly causes: ReadonlySet<string> }> => {
  const { store, committer, clock } = parts
  const causes = new Set<string>()
  let removed = 0
  const write = async (row: RowWrite): Promise<void> => {
    await committer.submit({ rows: [row], isInternal: true })
    removed += 1
  }
  for (const collection of KEYED_BY_CONSUMER) {
    for await (const { key } of eachRow(store, { collection, ...keysFrom(`${name}\n`) })) {
      // A deletion is the same for every collection.
      await write({ collection, key, row: undefined })
    }
  }
  for (const range of [keysFrom(`${outageMark(name)}/`), only(outageMark(name))]) {
    for await (const { key } of eachRow(store, { collection: 'meta', ...range })) {
      await write({ collection: 'meta', key, row: undefined })
    }
  }
  const timers = keysFrom(`${timerOwner(name)}\n`)
  for await (const { key } of eachRow(store, { collection: 'timers', ...timers })) {
    await write({ collection: 'timers', key, row: undefined })
  }
  const letters = { index: 'byConsumer', where: [name, 'open'] }
  const to = await newestDeathMs(store, letters)
  for await (const row of openLetters(store, letters, { to })) {
    if (row.stage !== 'handler') continue
    const dropped = { ...row, state: 'dropped', resolvedAtMs: clock.now() } as const
    await write({ collection: 'deadLetters', key: row.id, row: dropped })
    causes.add(row.cause)
  }
  await committer.submit({ rows: [{ collection: 'meta', key: `paused/${name}`, row: undefined }] })
  // Last, so that a retirement that was cut off can be asked for again.
  for await (const { key, row } of eachRow(store, { collection: 'progress' })) {
    if (row.consumer === name) await write({ collection: 'progress', key, row: undefined })
  }
  return { removed, causes }
}

const only = (key: string): { readonly from: string; readonly to: string } => ({
  from: key,
  to: key,
})

export const warnOfOrphans = async (
  store: Store,
  kernel: Kernel,
  integration: Integration,
): Promise<void> => {
  const declared = new Set(integration.consumers.map((consumer) => consumer.name))
  for await (const { row } of eachRow(store, { collection: 'progress' })) {
    if (declared.has(row.consumer)) continue
    kernel.log.warn(
      { consumer: row.consumer },
      'this consumer has progress in the store and is not declared: rename it with `was`, or retire it',
    )
  }
}
