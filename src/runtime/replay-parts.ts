import {
  type ConsumerRunner,
  partitionsOf,
  releaseReplays,
  type ReplayedEvent,
} from '../consumer/index.ts'
import type { Consumer } from '../contract/index.ts'
import type { DeadLetterRow, KeyedRow, ReplayRow, RowWrite } from '../store/index.ts'
import { eachRow } from './paging.ts'
import { rangesOf } from './prepare-progress.ts'
import { filterOf } from './replay-filter.ts'
import { ReplayRun, type ReplayRunOptions, type SaveReplay } from './replay-run.ts'
import type { ReplaysOptions } from './replays.ts'

type PartRow = ReplayRow & { readonly partition: string }

/**
 * A replay on a shared store. What it hands over goes to the lanes of partitions, and those are in
 * the memory of the worker that has each of them; so the replay has a part for each partition, a
 * row with a cursor of its own, and whoever has the partition runs the part. The row of the replay
 * says whether they should run; the last part to end sums them up there.
 */
export interface ReplayParts {
  begin(row: ReplayRow, consumers: readonly Consumer[]): Promise<ReplayRow>
  end(row: ReplayRow, state: 'paused' | 'aborted'): Promise<ReplayRow>
  resume(row: ReplayRow): Promise<ReplayRow>
  /** Runs what should run here, and ends what should not. */
  look(): Promise<void>
  leave(partition: string): Promise<void>
  settled(event: ReplayedEvent): void
  /** Replays of which a part runs here. */
  ids(): readonly string[]
  running(): Iterable<ReplayRun>
  sum(row: ReplayRow): Promise<ReplayRow>
  close(): Promise<void>
}

/** The part of dead letters that no partition has, such as those of transforms. */
const REST = '/rest'

const partKey = (replay: string, partition: string): string => `${replay}\n${partition}`

export type ReplayPartsOptions = Pick<
  ReplaysOptions,
  'store' | 'committer' | 'kernel' | 'integration' | 'runners' | 'requests' | 'duties' | 'records'
> &
  Pick<ReplayRunOptions, 'deadLetters'>

export const createReplayParts = (options: ReplayPartsOptions, save: SaveReplay): ReplayParts => {
  const { store, committer, kernel, integration, runners, requests } = options
  const runs = new Map<string, ReplayRun>()
  let looking: Promise<void> = Promise.resolve()

  const submit = async (rows: readonly RowWrite[]): Promise<void> => {
    const outcome = await committer.submit({ rows, isInternal: true })
    if (outcome.status === 'failed') throw outcome.error
  }

  const writeOf = (row: PartRow): RowWrite => ({
    collection: 'replayParts',
    key: partKey(row.id, row.partition),
    row,
  })

  const partsOf = async ({ id, parts = [] }: ReplayRow): Promise<readonly PartRow[]> => {
    const rows = parts.map((partition) => store.row('replayParts', partKey(id, partition)))
    return (await Promise.all(rows)).filter((row) => row !== undefined)
  }

  const sum = async (row: ReplayRow): Promise<ReplayRow> => {
    const all = await partsOf(row)
    const of = (read: (part: PartRow) => number): number =>
      all.reduce((total, part) => total + read(part), 0)
    return {
      ...row,
      released: of(({ released }) => released),
      skipped: of(({ skipped }) => skipped),
      failed: of(({ failed }) => failed),
    }
  }

  /** The last part that ends, ends the replay. */
  const endWhole = async (id: string): Promise<void> => {
    const row = await store.row('replays', id)
    if (row?.state !== 'running') return
    const all = await partsOf(row)
    if (all.some(({ state }) => state === 'running' || state === 'paused')) return
    const state = all.some((part) => part.state === 'failed') ? 'failed' : 'done'
    await save({ ...(await sum(row)), state, finishedAtMs: kernel.clock.now() })
  }

  const start = (row: PartRow): void => {
    const key = partKey(row.id, row.partition)
    const runner = runners.get(row.partition)
    const own = new Map<string, ConsumerRunner>(runner && [[row.partition, runner]])
    const mayRetry = (letter: DeadLetterRow): boolean =>
      (requests.partitionOf(letter) ?? REST) === row.partition
    const run = new ReplayRun({ ...options, runners: own, mayRetry }, row, async (saved) => {
      await submit([writeOf({ ...saved, partition: row.partition })])
      return saved
    })
    runs.set(key, run)
    void run.done
      .then(() => runs.delete(key))
      .then(() => endWhole(row.id))
      .catch(() => undefined)
  }

  /**
   * Whether a consumer that is divided otherwise by now, and runs here so, had this partition: then
   * nobody has it any more.
   */
  const isOfOtherPartitions = (partition: string): boolean => {
    const consumer = integration.consumers.find(({ name }) => name === partition.split('/')[0])
    if (!consumer || ![...runners.values()].some((one) => one.consumer === consumer)) return false
    return !partitionsOf(consumer, rangesOf(store, consumer)).some(({ id }) => id === partition)
  }

  const look = async (): Promise<void> => {
    const parents = new Map<string, ReplayRow | undefined>()
    const scan = { collection: 'replayParts', index: 'byState' } as const
    const rows: KeyedRow<'replayParts'>[] = []
    for (const state of ['running', 'paused']) {
      for await (const one of eachRow(store, { ...scan, where: [state] })) rows.push(one)
    }
    for (const { key, row } of rows) {
      if (isOfOtherPartitions(row.partition)) {
        const { id: replay, partition } = row
        const fields = { replay, partition, cursor: row.cursor }
        kernel.log.error(fields, 'a part of a replay ended with its partition: plan what is left')
        await submit([writeOf({ ...row, state: 'failed', finishedAtMs: kernel.clock.now() })])
        continue
      }
      const isHere = row.partition === REST ? options.duties.areHere : runners.has(row.partition)
      if (!isHere) continue
      const parent = parents.get(row.id) ?? (await store.row('replays', row.id))
      parents.set(row.id, parent)
      const run = runs.get(key)
      const state = parent?.state ?? 'aborted'
      if (state === 'running') {
        // A pause may have come to it after it was to go on.
        if (!run) start({ ...row, state })
      } else if (run) await run.stop(state === 'paused' ? 'paused' : 'aborted')
      else if (row.state !== state) await submit([writeOf({ ...row, state })])
    }
    // Whoever ran the last part may have died before it could say so.
    const whole = { collection: 'replays', index: 'byState', where: ['running'] } as const
    for await (const { row } of eachRow(store, whole)) if (row.parts) await endWhole(row.id)
    // Keys that were held for a replay that is not running any more go on.
    for (const runner of runners.values()) {
      await releaseReplays(runner, (id) => !runs.has(partKey(id, runner.id)))
    }
  }

  return {
    async begin(row, consumers) {
      const filter = filterOf(row)
      const parts = consumers.flatMap((consumer) =>
        partitionsOf(consumer, rangesOf(store, consumer)).map(({ id }) => id),
      )
      if (filter.from === 'dead-letters') parts.push(REST)
      const whole: ReplayRow = { ...row, parts }
      const ratePerSecond = row.ratePerSecond / Math.max(1, parts.length)
      const rows = parts.map((partition) => writeOf({ ...row, partition, ratePerSecond }))
      // In one commit: a part is looked at together with whether its replay should run.
      await save(whole, rows)
      await requests.ring()
      return whole
    },
    async end(row, state) {
      const isOver = state === 'aborted' && { finishedAtMs: kernel.clock.now() }
      const ended = await save({ ...(await sum(row)), state, ...isOver })
      await requests.ring()
      return ended
    },
    async resume(row) {
      const paused = (await partsOf(row)).filter(({ state }) => state === 'paused')
      const rows = paused.map((part) => writeOf({ ...part, state: 'running' }))
      const resumed = await save({ ...row, state: 'running' }, rows)
      await requests.ring()
      return resumed
    },
    look() {
      // One after the other: a part is started once.
      looking = looking.then(look, look)
      return looking
    },
    async leave(partition) {
      const mine = [...runs].filter(([key]) => key.endsWith(`\n${partition}`))
      await Promise.all(mine.map(([, run]) => run.close()))
    },
    settled(event) {
      const of = [...runs.values()].filter(({ row }) => row.id === event.runId)
      const taken = of.find((run) => run.awaits(event)) ?? of.find((run) => run.has(event.consumer))
      taken?.settled(event)
    },
    ids: () => [...new Set([...runs.values()].map(({ row }) => row.id))],
    running: () => runs.values(),
    sum,
    async close() {
      await Promise.all([...runs.values()].map((run) => run.close()))
    },
  }
}
