import {
  type ConsumerRunner,
  laneKey,
  partitionId,
  readSlots,
  successorKey,
} from '../consumer/index.ts'
import { type Consumer, decodeRecord, type Integration } from '../contract/index.ts'
import { type Kernel, messageOf, sleep } from '../kernel/index.ts'
import {
  type CollectionName,
  type Committer,
  type Guard,
  type LogPartition,
  positionText,
  type ProgressRow,
  type RowWrite,
  type Store,
  type StoredRecord,
} from '../store/index.ts'
import type { BrokerLink } from './broker-link.ts'
import type { Expectations } from './expectations.ts'
import { offerRows } from './offer-rows.ts'
import { eachRow } from './paging.ts'
import { progressRowsOf } from './prepare-progress.ts'

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
  readonly links: readonly BrokerLink[]
  readonly expectations: Pick<Expectations, 'hasPassed'>
  /** Records that retention could not keep for an exception. */
  readonly onExpired: (count: number) => void
  /** Rows that put alerts right, and resolve those whose cause has not shown for a while. */
  readonly tidyAlerts: () => Promise<readonly RowWrite[]>
}

/** Forgets what may be forgotten, whole partitions at a time, a bounded amount per round. */
export interface Retention {
  start(): void
  /** One round now; says how many partitions it dropped. */
  round(): Promise<number>
  close(): Promise<void>
}

const ROUND_MS = 60_000
/** Records copied aside for exceptions; beyond it they expire, counted. */
const HELD_MAX = 100_000
const HELD_PER_COMMIT = 200
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

  /** What the store has of its channel waits for the relay alone. */
  const isElsewhere = ({ on }: Consumer): boolean => on.record === 'transport'
  const elsewhere = new Set(integration.consumers.filter(isElsewhere).map(({ name }) => name))

  /** A consumer at the end of its channel has passed whatever other channels hold. */
  const hasPassed = ({ consumer, progress, atHead }: ConsumerRunner, position: number): boolean =>
    isElsewhere(consumer) || progress.watermark >= position || (atHead && progress.span === 0)

  /** As last stored by whoever runs it; that is behind when its channel has had nothing new. */
  const hasStored = async (consumer: Consumer, row: ProgressRow, to: number): Promise<boolean> => {
    if (row.watermark >= to) return true
    const { channel } = consumer.on
    const next = { channel, afterPosition: row.watermark, limit: 1, bytesMax: 1 }
    const { records, scannedTo } = await store.readLog(next)
    return (records[0]?.position ?? scannedTo + 1) > to
  }

  /** Of consumers, or partitions of them, that other processes run. */
  const othersHavePassed = async (position: number): Promise<boolean> => {
    if (!store.leases) return true
    for (const consumer of integration.consumers) {
      if (isElsewhere(consumer)) continue
      for (const row of await progressRowsOf(store, consumer.name, consumer.on.channel)) {
        if (runners.has(partitionId(consumer.name, readSlots(row.slots)))) continue
        if (!(await hasStored(consumer, row, position))) return false
      }
    }
    return true
  }

  const mayDrop = async (partition: LogPartition): Promise<boolean> => {
    if (partition.open || partition.lastAtMs + retentionMs >= kernel.clock.now()) return false
    // A broker that is away is given everything when it is back, whatever the age.
    const { lastPosition } = partition
    for (const link of options.links) if (!(await link.hasPublished(lastPosition))) return false
    if (!options.expectations.hasPassed(lastPosition)) return false
    if (![...runners.values()].every((one) => hasPassed(one, lastPosition))) return false
    return othersHavePassed(lastPosition)
  }

  /** What a broker lost unnoticed can be published again only as long as the log has it. */
  const isStillPublished = async ({ lastPosition }: LogPartition): Promise<boolean> => {
    for (const link of options.links) {
      if (!(await link.stillHas()) || !(await link.hasPublished(lastPosition))) return false
    }
    return true
  }

  /** Copies what an exception still needs, so that dropping the partition loses nothing. */
  const holdNeeded = async (partition: LogPartition): Promise<void> => {
    const { firstPosition, lastPosition } = partition
    let room = HELD_MAX - (await store.count({ collection: 'held' }))
    let expired = 0
    let rows: RowWrite[] = []
    const write = async (): Promise<void> => {
      if (rows.length > 0) await submit(rows)
      rows = []
    }
    for await (const position of neededPositions(store, elsewhere)) {
      if (position < firstPosition || position > lastPosition) continue
      const key = positionText(position)
      const stored = await store.recordAt(position)
      if (!stored || (await store.row('held', key))) continue
      if (room <= 0) {
        expired += 1
        continue
      }
      room -= 1
      const { channel, slot, atMs } = stored
      const record = Buffer.from(stored.bytes).toString('base64')
      rows.push({ collection: 'held', key, row: { record, channel, slot, atMs } })
      if (rows.length >= HELD_PER_COMMIT) await write()
    }
    await write()
    if (expired > 0) options.onExpired(expired)
  }

  /** The same of bodies whose record is not the store. */
  const forgetCopies = async (): Promise<void> => {
    let forgotten = 0
    for await (const { key } of eachRow(store, { collection: 'copies' })) {
      const guards = await unneededCopy(store, key)
      if (!guards) continue
      // A replay may need it again at this very moment; then it has a row, and the copy stays.
      const rows: RowWrite[] = [{ collection: 'copies', key, row: undefined }]
      await committer.submit({ guards, rows, isInternal: true })
      if (++forgotten >= FINISHED_ROWS_PER_ROUND) return
    }
  }

  /** Lets go of copies that no exception needs any more. */
  const forgetHeld = async (): Promise<void> => {
    if ((await store.count({ collection: 'held' })) === 0) return
    const needed = new Set<string>()
    for await (const position of neededPositions(store, elsewhere))
      needed.add(positionText(position))
    const rows: RowWrite[] = []
    for await (const { key } of eachRow(store, { collection: 'held' })) {
      if (!needed.has(key)) rows.push({ collection: 'held', key, row: undefined })
      if (rows.length >= FINISHED_ROWS_PER_ROUND) break
    }
    if (rows.length > 0) await submit(rows)
  }

  const submit = async (rows: readonly RowWrite[]): Promise<void> => {
    const outcome = await committer.submit({ rows, isInternal: true })
    if (outcome.status === 'failed') throw outcome.error
  }

  const round = async (): Promise<number> => {
    let dropped = 0
    for (const partition of await store.partitions()) {
      if (stop.signal.aborted || !(await mayDrop(partition))) break
      await options.archive?.(partition, recordsOf(store, partition))
      await holdNeeded(partition)
      if (!(await isStillPublished(partition))) break
      await store.dropPartition(partition.id)
      for (const { relays } of options.links) relays.dropped(partition.lastPosition)
      dropped += 1
    }
    await store.expireClaims(kernel.clock.now())
    await forgetHeld()
    if (elsewhere.size > 0) await forgetCopies()
    await forgetFinished()
    await forgetExpired()
    await forgetOfSagas()
    await offerRows({ committer, kernel }, await options.tidyAlerts(), stop.signal)
    return dropped
  }

  const doneKeysOf = async (runId: string): Promise<readonly RowWrite[]> => {
    const from = `${runId}\n`
    const range = { from, to: `${from}\u{10ffff}`, limit: FINISHED_ROWS_PER_ROUND }
    const done = await store.scan({ collection: 'replayed', ...range })
    return done.map(({ key }) => ({ collection: 'replayed', key, row: undefined }))
  }

  /** What expired is told of as long as its message may be in the log. */
  const forgetExpired = async (): Promise<void> => {
    const page = await store.scan({
      collection: 'expired',
      index: 'byTime',
      to: kernel.clock.now() - retentionMs,
      limit: FINISHED_ROWS_PER_ROUND,
    })
    const rows = page.map(({ key }) => ({ collection: 'expired', key, row: undefined }) as const)
    if (rows.length > 0) await submit(rows)
  }

  /** Runs that ended long ago, and answers that nobody will ask for again. */
  const forgetOfSagas = async (): Promise<void> => {
    for (const [collection, index] of [
      ['sagaRuns', 'byEnd'],
      ['commandAnswers', 'byTime'],
    ] as const) {
      const range = { index, to: kernel.clock.now(), limit: FINISHED_ROWS_PER_ROUND }
      const page = await store.scan({ collection, ...range })
      const rows = page.map(({ key }) => ({ collection, key, row: undefined }) as const)
      if (rows.length > 0) await submit(rows)
    }
  }

  const forgetFinished = async (): Promise<void> => {
    const before = kernel.clock.now() - FINISHED_ROWS_MS
    for (const [collection, state] of FINISHED) {
      const page = await store.scan({
        collection,
        index: 'byState',
        where: [state],
        to: before,
        limit: FINISHED_ROWS_PER_ROUND,
      })
      const rows: RowWrite[] = []
      for (const { key } of page) {
        const left = collection === 'replays' ? await doneKeysOf(key) : []
        rows.push(...left)
        // A run goes when nothing of it is left.
        if (left.length < FINISHED_ROWS_PER_ROUND) rows.push({ collection, key, row: undefined })
        if (rows.length >= FINISHED_ROWS_PER_ROUND) break
      }
      if (rows.length > 0) await submit(rows)
    }
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
  ['replays', 'failed'],
] as const satisfies readonly (readonly [CollectionName, string])[]

/** Positions that a held lane, a successor or an open dead letter points to; some of them twice. */
async function* neededPositions(
  store: Store,
  elsewhere: ReadonlySet<string>,
): AsyncGenerator<number> {
  for (const collection of ['lanes', 'successors'] as const) {
    for await (const { row } of eachRow(store, { collection })) {
      if (!elsewhere.has(row.consumer)) yield row.position
    }
  }
  const open = { collection: 'deadLetters', index: 'byState', where: ['open'] } as const
  for await (const { row } of eachRow(store, open)) {
    if (!elsewhere.has(row.consumer) || row.stage !== 'handler') yield row.position
  }
}

/** What must hold when it goes; undefined while a lane, successor or open dead letter needs it. */
async function unneededCopy(store: Store, key: string): Promise<readonly Guard[] | undefined> {
  const copy = await store.row('copies', key)
  if (!copy) return undefined
  const { consumer } = copy
  const position = Number(key.slice(consumer.length + 1))
  const { head } = decodeRecord(Buffer.from(copy.record, 'base64'), position)
  const guards: Guard[] = []
  for (const lane of [head.envelope.partitionkey, `#${position}`]) {
    const held = await store.row('lanes', laneKey(consumer, lane))
    if (held?.position === position) return undefined
    const successor = successorKey(consumer, lane, position)
    if (await store.row('successors', successor)) return undefined
    guards.push({ collection: 'successors', key: successor, is: 'absent' })
  }
  const letters = await store.scan({
    collection: 'deadLetters',
    index: 'byMessage',
    where: [head.envelope.id],
    limit: 100,
  })
  const isDead = letters.some(
    ({ row }) => row.consumer === consumer && row.position === position && row.state === 'open',
  )
  return isDead ? undefined : guards
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
