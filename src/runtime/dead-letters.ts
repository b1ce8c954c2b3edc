import {
  type ConsumerRunner,
  drainingRow,
  handOver,
  laneKey,
  laneOfLetter,
  laneWrite,
  type ReplayMark,
  retryHead,
  successorKey,
} from '../consumer/index.ts'
import { JuncturaError, type Kernel, LIMITS } from '../kernel/index.ts'
import type { Committer, DeadLetterRow, RequestRow, RowWrite, Store } from '../store/index.ts'
import type { AlertBook } from './alert-book.ts'
import { viewLeases } from './lease-names.ts'
import { offerRows } from './offer-rows.ts'
import { refused } from './operations.ts'
import { eachRow, newestDeathMs, openLetters, pageOf } from './paging.ts'
import type { Requests } from './requests.ts'
import { runnerOfLane } from './runner-of-lane.ts'
import type { DeadLetterGroup, DeadLetterQuery, Page } from './views.ts'

export interface DeadLettersOptions {
  readonly store: Store
  readonly committer: Committer
  readonly kernel: Kernel
  readonly alerts: AlertBook
  readonly runners: ReadonlyMap<string, ConsumerRunner>
  /** What the worker of another process has to do. */
  readonly requests: Pick<Requests, 'ask' | 'partitionOf'>
  /** Runs the transform of a raw message again. */
  readonly retryTransform: (letter: DeadLetterRow) => Promise<{ readonly ok: boolean }>
  readonly onDropped: (letter: DeadLetterRow) => void
}

/** What gave up, by cause, and what people do about it. */
export interface DeadLetters {
  list(query: DeadLetterQuery): Promise<Page<DeadLetterRow>>
  groups(): Promise<readonly DeadLetterGroup[]>
  /** Runs one again, with the id and the place in the order that it had (M15). */
  retry(letter: DeadLetterRow, mark?: ReplayMark): Promise<'running' | 'done' | 'failed'>
  retryMany(which: Selection): Promise<{ readonly started: number; readonly refused: number }>
  dropMany(which: Selection, actor: string): Promise<{ readonly dropped: number }>
  /** Does for another process what only this one can; says for how many. */
  perform(command: RequestRow['command'], ids: readonly string[], actor: string): Promise<number>
  /** A dead letter was resolved: its alert is, when it was the last of its cause. */
  settled(cause: string): Promise<void>
  /** Resolves what the last process had no time to resolve. */
  settleAll(): Promise<void>
  /** Resolves what could not be resolved before, because a dead letter was not durable yet. */
  settleLate(): Promise<void>
}

export interface Selection {
  readonly ids?: readonly string[]
  readonly cause?: string
}

const isRunning = (): JuncturaError => refused('it is being tried again', 'wait for its outcome')

/** Dead letters read to build the groups; beyond it a group says that there are more. */
const GROUPED_MAX = 20_000

export const createDeadLetters = (options: DeadLettersOptions): DeadLetters => {
  const { store, committer, kernel, alerts, runners } = options

  const selected = async function* (which: Selection): AsyncGenerator<DeadLetterRow> {
    for (const id of which.ids ?? []) {
      const row = await store.row('deadLetters', id)
      if (!row)
        throw new JuncturaError('JUNCTURA_NOT_FOUND', { details: { what: 'dead letter', id } })
      yield row
    }
    if (which.cause === undefined) return
    const scan = { index: 'byCause', where: [which.cause, 'open'] }
    // What dies again meanwhile is not selected twice.
    yield* openLetters(store, scan, { to: await newestDeathMs(store, scan) })
  }

  const runnerOf = (letter: DeadLetterRow): ConsumerRunner | undefined =>
    runnerOfLane(runners, letter.consumer, (consumer) => laneOfLetter(consumer, letter))

  /** The partition whose worker is another process. */
  const elsewhere = (letter: DeadLetterRow): string | undefined => {
    if (!store.leases || letter.state !== 'open' || runnerOf(letter)) return undefined
    return options.requests.partitionOf(letter)
  }

  /** Of another version, or on its way from one worker to the next. */
  const isRunElsewhere = async (consumer: string): Promise<boolean> => {
    const view = store.leases && (await viewLeases(store.leases, { partitions: [consumer] }))
    return [...(view?.partitions.keys() ?? [])].some((id) => id.split('/')[0] === consumer)
  }

  const retry: DeadLetters['retry'] = async (letter, mark) => {
    if (letter.state !== 'open')
      throw refused(`dead letter ${letter.id} is ${letter.state}`, 'list the open ones')
    if (letter.stage === 'transform') {
      const { ok } = await options.retryTransform(letter)
      if (ok) await settled(letter.cause)
      return ok ? 'done' : 'failed'
    }
    const runner = runnerOf(letter)
    if (!runner) {
      throw refused(
        `its consumer ${letter.consumer} is not part of this integration`,
        'declare it, or drop the dead letter',
      )
    }
    if (runner.consumer.replay === 'never') {
      throw refused(
        `consumer ${letter.consumer} declares replay: 'never'`,
        'drop the dead letter, or declare another replay rule',
      )
    }
    return rerun(runner, letter, mark)
  }

  const rerun = async (
    runner: ConsumerRunner,
    letter: DeadLetterRow,
    mark: ReplayMark | undefined,
  ): Promise<'running'> => {
    const result = await retryHead(runner, letter, mark)
    if (result === 'busy') throw isRunning()
    if (result === 'running') return 'running'
    if (result === 'tried') throw refused('this replay has tried it already', 'make another plan')
    const delivered = await runner.held.reader.record(letter.position)
    if (!delivered) throw refused('its message has expired', 'drop the dead letter')
    const isNew = await handOver(runner, { delivered, letter, ...(mark && { replay: mark }) })
    if (!isNew) throw isRunning()
    return 'running'
  }

  const drop = async (letter: DeadLetterRow, actor: string): Promise<void> => {
    const row: DeadLetterRow = {
      ...letter,
      state: 'dropped',
      resolvedAtMs: kernel.clock.now(),
      resolvedBy: actor,
    }
    const rows: RowWrite[] = [
      { collection: 'deadLetters', key: letter.id, row },
      ...(await onceRows(store, letter)),
    ]
    const runner = runnerOf(letter)
    const lane = runner ? laneOfLetter(runner.consumer, letter) : letter.key
    const laneRow = await store.row('lanes', laneKey(letter.consumer, lane))
    if (runner && laneRow?.deadLetter === letter.id) {
      if (!(await runner.held.release(lane, rows))) throw isRunning()
      return
    }
    if (laneRow?.deadLetter === letter.id) {
      if (await isRunElsewhere(letter.consumer)) {
        throw refused('another process runs its consumer', 'drop it there, or try again')
      }
      // Nobody has the lane in memory: whoever runs the consumer next goes on behind it.
      const name = { name: letter.consumer }
      rows.push(laneWrite(name, lane, drainingRow(name, { key: lane, replay: undefined })))
    }
    // It may wait to be tried again.
    const waiting = successorKey(letter.consumer, lane, letter.position)
    rows.push({ collection: 'successors', key: waiting, row: undefined })
    const outcome = await committer.submit({ rows })
    if (outcome.status === 'failed') throw outcome.error
  }

  /** Causes whose alert may have to be resolved later. */
  const late = new Set<string>()

  const settled = async (cause: string): Promise<void> => {
    const before = alerts.countOf(cause)
    // What was raised and is not durable yet is waited for: its dead letter must be seen. A commit
    // that was refused is offered again in a while, and this is too early then.
    await committer.submit({ isInternal: true })
    if (!(await alerts.isDurable(cause))) return void late.add(cause)
    late.delete(cause)
    const open = await store.scan({
      collection: 'deadLetters',
      index: 'byCause',
      where: [cause, 'open'],
      limit: 1,
    })
    if (open.length > 0 || alerts.countOf(cause) !== before) return
    await offerRows({ committer, kernel }, alerts.resolve(cause))
  }

  return {
    retry,
    settled,
    async settleAll() {
      for (const alert of Array.from(alerts.all())) {
        if (alert.kind === 'dead-letter' || alert.kind === 'transform') await settled(alert.cause)
      }
    },
    async settleLate() {
      for (const cause of Array.from(late)) await settled(cause)
    },
    list: (query) => {
      const state = query.state ?? 'open'
      const scan =
        query.cause !== undefined
          ? { index: 'byCause', where: [query.cause, state] }
          : query.consumer !== undefined
            ? { index: 'byConsumer', where: [query.consumer, state] }
            : { index: 'byState', where: [state] }
      return pageOf(
        store,
        { collection: 'deadLetters', ...scan, reverse: true },
        {
          query,
          view: ({ row }) => row,
        },
      )
    },
    groups: () => groupLetters(store),
    async retryMany(which) {
      let started = 0
      let turnedDown = 0
      let lastError: unknown
      const asked = new AskedElsewhere(options.requests, {
        command: 'dead-letter.retry',
        actor: '',
      })
      for await (const letter of selected(which)) {
        try {
          const partition = elsewhere(letter)
          if (partition === undefined) await retry(letter)
          else asked.add(partition, letter.id)
          if (partition === undefined) started += 1
        } catch (error) {
          turnedDown += 1
          lastError = error
        }
      }
      const answer = await asked.answer()
      started += answer.done
      turnedDown += answer.left
      lastError ??= answer.error
      if (started === 0 && lastError !== undefined) throw lastError
      return { started, refused: turnedDown }
    },
    async dropMany(which, actor) {
      let dropped = 0
      const causes = new Set<string>()
      const asked = new AskedElsewhere(options.requests, { command: 'dead-letter.drop', actor })
      for await (const letter of selected(which)) {
        if (letter.state === 'dropped') continue
        if (letter.state !== 'open')
          throw refused(`dead letter ${letter.id} is ${letter.state}`, 'list the open ones')
        const partition = elsewhere(letter)
        if (partition !== undefined) {
          asked.add(partition, letter.id)
          continue
        }
        await drop(letter, actor)
        options.onDropped(letter)
        causes.add(letter.cause)
        dropped += 1
      }
      for (const cause of causes) await settled(cause)
      const { done, error } = await asked.answer()
      if (error !== undefined) throw error
      return { dropped: dropped + done }
    },
    async perform(command, ids, actor) {
      if (command === 'dead-letter.retry') return (await this.retryMany({ ids })).started
      return (await this.dropMany({ ids }, actor)).dropped
    },
  }
}

/** Dead letters whose workers are other processes, a request for each lot of a partition. */
class AskedElsewhere {
  readonly #requests: Pick<Requests, 'ask'>
  readonly #what: Pick<RequestRow, 'command' | 'actor'>
  readonly #ids = new Map<string, string[]>()

  constructor(requests: Pick<Requests, 'ask'>, what: Pick<RequestRow, 'command' | 'actor'>) {
    this.#requests = requests
    this.#what = what
  }

  add(partition: string, id: string): void {
    const ids = this.#ids.get(partition)
    if (ids) ids.push(id)
    else this.#ids.set(partition, [id])
  }

  /** For how many it was done, for how many not, and the last reason. */
  async answer(): Promise<{
    readonly done: number
    readonly left: number
    readonly error: unknown
  }> {
    let [done, left] = [0, 0]
    let error: unknown
    const asking = [...this.#ids].map(async ([partition, all]) => {
      for (let at = 0; at < all.length; at += LIMITS.requestIdsMax) {
        const ids = all.slice(at, at + LIMITS.requestIdsMax)
        try {
          const count = await this.#requests.ask({ ...this.#what, partition, ids })
          done += count
          left += ids.length - count
        } catch (problem) {
          left += ids.length
          error = problem
        }
      }
    })
    // One for each partition, of which there are few.
    await Promise.all(asking)
    return { done, left, error }
  }
}

/** What `ctx.once` kept for attempts that will not come. */
async function onceRows(store: Store, letter: DeadLetterRow): Promise<readonly RowWrite[]> {
  const kept = await store.scan({
    collection: 'onceResults',
    index: 'byMessage',
    where: [letter.consumer, letter.position],
    limit: LIMITS.pageRowsMax,
  })
  return kept.map(({ key }) => ({ collection: 'onceResults', key, row: undefined }))
}

interface GroupCount {
  first: DeadLetterRow
  count: number
  keys: Set<string>
  firstAtMs: number
  lastAtMs: number
}

async function groupLetters(store: Store): Promise<readonly DeadLetterGroup[]> {
  const groups = new Map<string, GroupCount>()
  let read = 0
  const scan = { collection: 'deadLetters', index: 'byState', where: ['open'] } as const
  for await (const { row } of eachRow(store, scan, GROUPED_MAX)) {
    read += 1
    const group = groups.get(row.cause)
    if (!group) {
      const { diedAtMs } = row
      groups.set(row.cause, {
        first: row,
        count: 1,
        keys: new Set([row.key]),
        firstAtMs: diedAtMs,
        lastAtMs: diedAtMs,
      })
      continue
    }
    group.count += 1
    if (group.keys.size < LIMITS.pageRowsMax) group.keys.add(row.key)
    group.lastAtMs = Math.max(group.lastAtMs, row.diedAtMs)
  }
  return [...groups.values()]
    .sort((a, b) => b.count - a.count)
    .map(({ first, count, keys, firstAtMs, lastAtMs }) => ({
      cause: first.cause,
      title: first.causeTitle,
      consumer: first.consumer,
      type: first.type,
      contractVersion: first.contractVersion,
      stage: first.stage,
      owner: first.owner,
      count,
      keys: keys.size,
      firstAtMs,
      lastAtMs,
      sample: first.id,
      more: read >= GROUPED_MAX,
    }))
}
