import { type ConsumerRunner, releaseReplays, type ReplayedEvent } from '../consumer/index.ts'
import type { Integration } from '../contract/index.ts'
import { JuncturaError, type Kernel } from '../kernel/index.ts'
import { METRICS, type Metrics } from '../observe/index.ts'
import type { Committer, ReplayRow, Store } from '../store/index.ts'
import type { RecordLog } from '../transport/index.ts'
import type { OperationCommand } from './commands.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { EventHub } from './events.ts'
import { refused } from './operations.ts'
import { eachRow, newestDeathMs } from './paging.ts'
import { checkFilter, consumersOf, filterOf, freezeFilter } from './replay-filter.ts'
import { planReplay } from './replay-plan.ts'
import { type ReplayParts, createReplayParts } from './replay-parts.ts'
import { ReplayRun, type SaveReplay } from './replay-run.ts'
import type { Requests } from './requests.ts'

export interface ReplaysOptions {
  readonly store: Store
  readonly committer: Committer
  readonly kernel: Kernel
  readonly integration: Integration
  readonly runners: ReadonlyMap<string, ConsumerRunner>
  readonly deadLetters: DeadLetters
  readonly requests: Pick<Requests, 'ring' | 'partitionOf'>
  readonly duties: { readonly areHere: boolean }
  readonly events: EventHub
  readonly metrics: Metrics
  /** Where the record of some contracts is the broker. */
  readonly records?: RecordLog | undefined
}

/**
 * Replays: planned, run at a rate, paused, aborted; a restart goes on at the cursor. What is
 * replayed keeps its id and feeds the same lanes as everything else. On a shared store each is run
 * in parts, each by the worker that has the partition (replay-parts.ts).
 */
export interface Replays {
  handle(command: OperationCommand, actor: string, reason: string): Promise<unknown>
  /** Told by the consumers what became of an item. */
  settled(event: ReplayedEvent): void
  /** A person dropped what a replay may have handed over: nobody waits for it any more. */
  dropped(consumer: string, position: number): void
  /** Goes on with what was running when the last process stopped. */
  resumeAll(): Promise<void>
  /** On a shared store: runs the parts of what is here, and ends those that should not run. */
  look(): Promise<void>
  /** A partition is given to another worker, which goes on with its part. */
  leave(partition: string): Promise<void>
  /** With what its parts have done. */
  withParts(row: ReplayRow): Promise<ReplayRow>
  close(): Promise<void>
}

const RATE_DEFAULT = 200
const RATE_MIN = 0.1
const RATE_MAX = 10_000

export const createReplays = (options: ReplaysOptions): Replays => {
  const { store, committer, kernel, events, runners, integration } = options
  const running = new Map<string, ReplayRun>()
  const perRun = (read: (row: ReplayRow) => number) =>
    [...running.values(), ...(parts?.running() ?? [])].map(({ row }) => ({
      labels: { replay: row.id },
      value: read(row),
    }))
  options.metrics.observe(METRICS.replayPlanned, () => perRun(({ total }) => total))
  options.metrics.observe(METRICS.replayDone, () =>
    perRun(({ released, skipped }) => released + skipped),
  )
  /** Replays that an operation is changing: a second one is refused. */
  const changing = new Set<string>()

  const find = async (id: string): Promise<ReplayRow> => {
    const row = await store.row('replays', id)
    if (!row) throw new JuncturaError('JUNCTURA_NOT_FOUND', { details: { what: 'replay', id } })
    return row
  }

  const save: SaveReplay = async (row, along = []) => {
    const outcome = await committer.submit({
      rows: [{ collection: 'replays', key: row.id, row }, ...along],
      isInternal: true,
    })
    if (outcome.status === 'failed') throw outcome.error
    const { id, state, released, total } = row
    events.publish({ kind: 'replay', replayId: id, state, released, total })
    return row
  }

  const parts: ReplayParts | undefined = store.leases && createReplayParts(options, save)

  const plan = async (
    command: Extract<OperationCommand, { kind: 'replay.plan' }>,
    by: { readonly actor: string; readonly reason: string },
  ): Promise<ReplayRow> => {
    const newestMs = await newestDeathMs(store, { index: 'byState', where: ['open'] })
    const filter = freezeFilter(command.filter, {
      headPosition: await store.headPosition(),
      atMs: Math.max(kernel.clock.now(), newestMs),
    })
    checkFilter(integration.consumers, filter)
    const made = await planReplay(options, filter)
    return save({
      id: kernel.ids.next('replay'),
      state: 'planned',
      filter,
      plan: made,
      token: kernel.ids.next('token'),
      createdAtMs: kernel.clock.now(),
      actor: by.actor,
      reason: by.reason,
      ratePerSecond: Math.min(RATE_MAX, Math.max(RATE_MIN, command.ratePerSecond ?? RATE_DEFAULT)),
      cursor: '',
      released: 0,
      skipped: 0,
      failed: 0,
      total: made.total,
    })
  }

  const start = (row: ReplayRow): void => {
    const run = new ReplayRun(options, row, save)
    running.set(row.id, run)
    void run.done.then(() => running.delete(row.id))
  }

  const begin = async (row: ReplayRow, token: string | undefined): Promise<ReplayRow> => {
    if (row.state !== 'planned')
      throw refused(`replay ${row.id} is ${row.state}`, 'make a new plan')
    const filter = filterOf(row)
    const chosen = consumersOf(integration.consumers, filter)
    const guarded = chosen.filter(({ replay }) => replay === 'guarded')
    if (guarded.length > 0 && filter.from === 'messages' && token !== row.token) {
      const names = guarded.map(({ name }) => name).join(', ')
      throw refused(
        `${names} declares replay: 'guarded', and the token of the plan is missing or wrong`,
        'look at the plan and pass its token',
      )
    }
    const startedAtMs = kernel.clock.now()
    if (parts) return parts.begin({ ...row, state: 'running', startedAtMs }, chosen)
    const started = await save({ ...row, state: 'running', startedAtMs })
    start(started)
    return started
  }

  const pause = async (row: ReplayRow): Promise<ReplayRow> => {
    if (parts && row.state === 'running') return parts.end(row, 'paused')
    const active = running.get(row.id)
    if (row.state !== 'running' || !active)
      throw refused(`replay ${row.id} is ${row.state}`, 'only a running one can be paused')
    return active.stop('paused')
  }

  const abort = async (row: ReplayRow): Promise<ReplayRow> => {
    const active = running.get(row.id)
    if (active) return active.stop('aborted')
    if (row.state !== 'planned' && row.state !== 'paused' && row.state !== 'running')
      throw refused(`replay ${row.id} is ${row.state}`, 'list those that are not over')
    if (parts && row.parts) return parts.end(row, 'aborted')
    return save({ ...row, state: 'aborted', finishedAtMs: kernel.clock.now() })
  }

  const resume = async (row: ReplayRow): Promise<ReplayRow> => {
    if (row.state !== 'paused')
      throw refused(`replay ${row.id} is ${row.state}`, 'only a paused one resumes')
    if (parts) return parts.resume(row)
    const resumed = await save({ ...row, state: 'running' })
    start(resumed)
    return resumed
  }

  const change = async (
    id: string,
    work: (row: ReplayRow) => Promise<ReplayRow>,
  ): Promise<ReplayRow> => {
    if (changing.has(id))
      throw refused(`replay ${id} is being changed`, 'look at its state and try again')
    changing.add(id)
    try {
      return await work(await find(id))
    } finally {
      changing.delete(id)
    }
  }

  return {
    async handle(command, actor, reason) {
      if (command.kind === 'replay.plan') return plan(command, { actor, reason })
      if (command.kind === 'replay.run')
        return change(command.id, (row) => begin(row, command.token))
      if (command.kind === 'replay.pause') return change(command.id, pause)
      if (command.kind === 'replay.abort') return change(command.id, abort)
      if (command.kind === 'replay.resume') return change(command.id, resume)
      throw refused(
        `${command.kind} is not a replay command`,
        'use replay.plan, run, pause, resume or abort',
      )
    },
    settled(event) {
      running.get(event.runId)?.settled(event)
      parts?.settled(event)
    },
    dropped(consumer, position) {
      for (const runId of new Set([...running.keys(), ...(parts?.ids() ?? [])])) {
        this.settled({ runId, consumer, position, outcome: 'skipped' })
      }
    },
    look: async () => parts?.look(),
    leave: async (partition) => parts?.leave(partition),
    withParts: async (row) => (parts && row.parts ? await parts.sum(row) : row),
    async resumeAll() {
      const scan = { collection: 'replays', index: 'byState', where: ['running'] } as const
      for await (const { row } of eachRow(store, scan)) start(row)
      // Keys that were held for a replay that is not running any more go on.
      for (const runner of runners.values()) {
        await releaseReplays(runner, (runId) => !running.has(runId))
      }
    },
    async close() {
      await parts?.close()
      await Promise.all([...running.values()].map((one) => one.close()))
    },
  }
}
