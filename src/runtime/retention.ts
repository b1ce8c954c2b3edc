import type { ConsumerRunner } from '../consumer/index.ts'
import { positionText } from '../consumer/index.ts'
import type { Integration } from '../contract/index.ts'
import { type Kernel, messageOf, sleep } from '../kernel/index.ts'
import type {
  CollectionName,
  Committer,
  LogPartition,
  RowWrite,
  Store,
  StoredRecord,
} from '../store/index.ts'
import { eachRow } from './paging.ts'

/**
 * Called with every record of a partition before it is dropped; a rejection keeps the partition.
 */
export type ArchivePartition = (
  partition: LogPartition,
  records: AsyncIterable<StoredRecord>,
) => Promise<void>

export interface RetentionOptions {
  readonly store: Store
  readonly committer: Committer
  readonly kernel: Kernel
  readonly integration: Integration
  readonly runners: ReadonlyMap<string, ConsumerRunner>
  readonly archive?: ArchivePartition
  /** Records that retention could not keep for an exception. */
  readonly onExpired: (count: number) => void
}

/** Forgets what may be forgotten, whole partitions at a time, a bounded amount per round. */
export interface Retention {
  start(): void
  /** One round now; says how many partitions it dropped. */
  round(): Promise<number>
  close(): Promise<void>
}

const ROUND_MS = 60_000
/** Records copied aside for exceptions from one partition; beyond it they expire, counted. */
const HELD_MAX = 100_000
/** What people are done with is shown this long. */
const FINISHED_ROWS_MS = 30 * 86_400_000
const FINISHED_ROWS_PER_ROUND = 2_000

export const createRetention = (options: RetentionOptions): Retention => {
  const { store, committer, kernel, integration, runners } = options
  const stop = new AbortController()
  let loop: Promise<void> | undefined
  const retentionMs = Math.max(
    0,
    ...[...integration.contracts.values()].map((contract) => contract.retentionMs),
    ...integration.webhooks.map((hook) => hook.idempotency.retentionMs),
  )

  const mayDrop = (partition: LogPartition): boolean => {
    if (partition.open || partition.lastAtMs + retentionMs >= kernel.clock.now()) return false
    return [...runners.values()].every((one) => one.progress.watermark >= partition.lastPosition)
  }

  /** Copies what an exception still needs, so that dropping the partition loses nothing. */
  const holdNeeded = async (partition: LogPartition): Promise<void> => {
    let held = 0
    let expired = 0
    for await (const position of neededPositions(store, partition)) {
      const stored = await store.recordAt(position)
      if (!stored || (await store.row('held', positionText(position)))) continue
      if (held >= HELD_MAX) {
        expired += 1
        continue
      }
      const { channel, slot, atMs } = stored
      const record = Buffer.from(stored.bytes).toString('base64')
      const row = { record, channel, slot, atMs }
      await committer.submit({ rows: [{ collection: 'held', key: positionText(position), row }] })
      held += 1
    }
    if (expired > 0) options.onExpired(expired)
  }

  const round = async (): Promise<number> => {
    let dropped = 0
    for (const partition of await store.partitions()) {
      if (stop.signal.aborted || !mayDrop(partition)) break
      await options.archive?.(partition, recordsOf(store, partition))
      await holdNeeded(partition)
      await store.dropPartition(partition.id)
      dropped += 1
    }
    await store.expireClaims(kernel.clock.now())
    await forgetFinished()
    return dropped
  }

  const forgetFinished = async (): Promise<void> => {
    const before = kernel.clock.now() - FINISHED_ROWS_MS
    const rows: RowWrite[] = []
    for (const [collection, state] of FINISHED) {
      const page = await store.scan({
        collection,
        index: 'byState',
        where: [state],
        to: before,
        limit: FINISHED_ROWS_PER_ROUND,
      })
      for (const { key } of page) rows.push({ collection, key, row: undefined })
    }
    if (rows.length > 0) await committer.submit({ rows })
  }

  const run = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await sleep(kernel.clock, ROUND_MS, stop.signal)
      if (stop.signal.aborted) return
      await round().catch((error: unknown) => {
        kernel.log.warn({ problem: messageOf(error) }, 'retention did not finish its round')
      })
    }
  }

  return {
    start: () => {
      loop ??= run()
    },
    round,
    async close() {
      stop.abort()
      await loop
    },
  }
}

const FINISHED = [
  ['deadLetters', 'resolved'],
  ['deadLetters', 'dropped'],
  ['invalid', 'readmitted'],
  ['invalid', 'dropped'],
  ['alerts', 'resolved'],
  ['replays', 'done'],
  ['replays', 'aborted'],
] as const satisfies readonly (readonly [CollectionName, string])[]

/** Positions in a partition that a held lane, a successor or an open dead letter points to. */
async function* neededPositions(store: Store, partition: LogPartition): AsyncGenerator<number> {
  const inside = (position: number): boolean =>
    position >= partition.firstPosition && position <= partition.lastPosition
  for await (const { row } of eachRow(store, { collection: 'lanes' })) {
    if (inside(row.position)) yield row.position
  }
  for await (const { row } of eachRow(store, { collection: 'successors' })) {
    if (inside(row.position)) yield row.position
  }
  const open = { collection: 'deadLetters', index: 'byState', where: ['open'] } as const
  for await (const { row } of eachRow(store, open)) {
    if (inside(row.position)) yield row.position
  }
}

async function* recordsOf(store: Store, partition: LogPartition): AsyncGenerator<StoredRecord> {
  let before = partition.lastPosition + 1
  for (;;) {
    const page = await store.readLogBackwards({ beforePosition: before, limit: 250 })
    for (const stored of page) {
      if (stored.position < partition.firstPosition) return
      before = stored.position
      yield stored
    }
    if (page.length < 250) return
  }
}
