import { type ConsumerRunner, itemOf, replayedKey, type ReplayMark } from '../consumer/index.ts'
import { decodeRecord, type Integration } from '../contract/index.ts'
import { JuncturaError, type Kernel, LIMITS, messageOf, sleep } from '../kernel/index.ts'
import type { Committer, DeadLetterRow, ReplayRow, Store } from '../store/index.ts'
import type { Delivered } from '../transport/index.ts'
import type { OperationCommand, ReplayFilter, ReplayPlan } from './commands.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { EventHub } from './events.ts'
import { refused } from './operations.ts'
import { eachRow } from './paging.ts'
import { planReplay } from './replay-plan.ts'

export interface ReplaysOptions {
  readonly store: Store
  readonly committer: Committer
  readonly kernel: Kernel
  readonly integration: Integration
  readonly runners: ReadonlyMap<string, ConsumerRunner>
  readonly deadLetters: DeadLetters
  readonly events: EventHub
}

/**
 * Replays: planned, run at a rate, paused, aborted; a restart goes on at the cursor. What is
 * replayed keeps its id and feeds the same lanes as everything else.
 */
export interface Replays {
  handle(command: OperationCommand, actor: string, reason: string): Promise<unknown>
  /** Goes on with what was running when the last process stopped. */
  resumeAll(): Promise<void>
  close(): Promise<void>
}

/** Items handed to lanes and not yet settled. */
const IN_FLIGHT_MAX = 64
/**
 * The cursor is written after this many items; after a crash at most so many are looked at again.
 */
const CURSOR_EVERY = 50
const RATE_DEFAULT = 200
const RATE_MAX = 10_000

export const createReplays = (options: ReplaysOptions): Replays => {
  const { store, committer, kernel, events } = options
  const running = new Map<string, ReplayRun>()

  const find = async (id: string): Promise<ReplayRow> => {
    const row = await store.row('replays', id)
    if (!row) throw new JuncturaError('JUNCTURA_NOT_FOUND', { details: { what: 'replay', id } })
    return row
  }

  const save = async (row: ReplayRow): Promise<ReplayRow> => {
    const outcome = await committer.submit({ rows: [{ collection: 'replays', key: row.id, row }] })
    if (outcome.status === 'failed') throw outcome.error
    const { id, state, released, total } = row
    events.publish({ kind: 'replay', replayId: id, state, released, total })
    return row
  }

  const plan = async (
    command: Extract<OperationCommand, { kind: 'replay.plan' }>,
    by: { readonly actor: string; readonly reason: string },
  ): Promise<ReplayRow> => {
    const headPosition = await store.headPosition()
    const filter = freezeFilter(command.filter, headPosition, kernel.clock.now())
    checkConsumers(options, filter)
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
      ratePerSecond: Math.min(RATE_MAX, Math.max(0.1, command.ratePerSecond ?? RATE_DEFAULT)),
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

  const run = async (command: {
    readonly id: string
    readonly token?: string
  }): Promise<ReplayRow> => {
    const row = await find(command.id)
    if (row.state !== 'planned')
      throw refused(`replay ${row.id} is ${row.state}`, 'make a new plan')
    const consumers = consumersOf(options, filterOf(row))
    const guarded = consumers.filter((one) => one.consumer.replay === 'guarded')
    if (guarded.length > 0 && filterOf(row).from === 'messages' && command.token !== row.token) {
      const names = guarded.map((one) => one.consumer.name).join(', ')
      throw refused(
        `${names} declares replay: 'guarded', and the token of the plan is missing or wrong`,
        'look at the plan and pass its token',
      )
    }
    const started = await save({ ...row, state: 'running', startedAtMs: kernel.clock.now() })
    start(started)
    return started
  }

  return {
    async handle(command, actor, reason) {
      if (command.kind === 'replay.plan') return plan(command, { actor, reason })
      if (command.kind === 'replay.run') return run(command)
      if (command.kind === 'replay.pause' || command.kind === 'replay.abort') {
        const row = await find(command.id)
        const state = command.kind === 'replay.pause' ? 'paused' : 'aborted'
        const may = row.state === 'running' || (state === 'aborted' && row.state !== 'done')
        if (!may) throw refused(`replay ${row.id} is ${row.state}`, 'list the running ones')
        const active = running.get(row.id)
        if (active) return active.stop(state)
        return save({ ...row, state })
      }
      if (command.kind === 'replay.resume') {
        const row = await find(command.id)
        if (row.state !== 'paused')
          throw refused(`replay ${row.id} is ${row.state}`, 'only a paused one resumes')
        const resumed = await save({ ...row, state: 'running' })
        start(resumed)
        return resumed
      }
      throw refused(
        `${command.kind} is not a replay command`,
        'use replay.plan, run, pause, resume or abort',
      )
    },
    async resumeAll() {
      const scan = { collection: 'replays', index: 'byState', where: ['running'] } as const
      for await (const { row } of eachRow(store, scan)) start(row)
    },
    async close() {
      await Promise.all([...running.values()].map((one) => one.close()))
    },
  }
}

/** One replay at work. */
class ReplayRun {
  readonly done: Promise<void>
  readonly #options: ReplaysOptions
  readonly #save: (row: ReplayRow) => Promise<ReplayRow>
  readonly #stop = new AbortController()
  #row: ReplayRow
  #inFlight = 0
  #wake: (() => void) | undefined
  #sinceSaved = 0
  #stopState: 'paused' | 'aborted' | undefined
  /** Messages of each key still to come, so that a key is let go when its part is done. */
  readonly #keyCounts = new Map<string, number>()

  constructor(
    options: ReplaysOptions,
    row: ReplayRow,
    save: (row: ReplayRow) => Promise<ReplayRow>,
  ) {
    this.#options = options
    this.#row = row
    this.#save = save
    this.done = this.#run()
  }

  /** Stops after what is in flight; the row says where to go on. */
  async stop(state: 'paused' | 'aborted'): Promise<ReplayRow> {
    this.#stopState = state
    this.#stop.abort()
    await this.done
    return this.#row
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.done
  }

  async #run(): Promise<void> {
    const { kernel } = this.#options
    try {
      const filter = filterOf(this.#row)
      if (filter.from === 'messages') await this.#runMessages(filter)
      else await this.#runDeadLetters(filter)
      while (this.#inFlight > 0 && !this.#stop.signal.aborted) await this.#settledOne()
      const state = this.#stopState ?? (this.#stop.signal.aborted ? 'running' : 'done')
      const finished = state === 'done' || state === 'aborted'
      this.#row = { ...this.#row, state, ...(finished && { finishedAtMs: kernel.clock.now() }) }
      await this.#save(this.#row)
    } catch (error) {
      kernel.log.error({ replay: this.#row.id, problem: messageOf(error) }, 'a replay stopped')
      this.#row = { ...this.#row, state: 'failed', finishedAtMs: kernel.clock.now() }
      await this.#save(this.#row).catch(() => undefined)
    }
  }

  async #runDeadLetters(filter: FrozenFilter): Promise<void> {
    const { store, deadLetters } = this.#options
    const scan = {
      collection: 'deadLetters',
      index: 'byState',
      where: ['open'],
      to: filter.frozenAtMs,
    } as const
    // Rows leave the index while it is read, so the page begins anew behind the last time seen.
    let from = Number(this.#row.cursor) || 0
    const seen = new Set<string>()
    for (;;) {
      const page = await store.scan({ ...scan, from, limit: LIMITS.pageRowsMax })
      const fresh = page.filter(({ key }) => !seen.has(key))
      for (const { row } of fresh) {
        if (this.#stop.signal.aborted) return
        seen.add(row.id)
        if (!matchesLetter(filter, row)) continue
        await this.#paced()
        await this.#one(async () => {
          await deadLetters.retry(
            row,
            this.#mark(() => undefined),
          )
        })
        from = row.diedAtMs
        await this.#advance(String(row.diedAtMs))
      }
      if (fresh.length === 0 || page.length < LIMITS.pageRowsMax) return
      if (seen.size > LIMITS.claimWindow * 1_024) seen.clear()
    }
  }

  async #runMessages(filter: FrozenFilter): Promise<void> {
    const cursor = Number(this.#row.cursor) || filter.fromPosition - 1
    for (const runner of consumersOf(this.#options, filter)) {
      await this.#countKeys(runner, filter, cursor)
      await this.#eachMessage(runner, filter, cursor, (delivered) =>
        this.#replayOne(runner, delivered),
      )
      this.#keyCounts.clear()
    }
  }

  async #countKeys(runner: ConsumerRunner, filter: FrozenFilter, cursor: number): Promise<void> {
    await this.#eachMessage(runner, filter, cursor, (delivered) => {
      const key = delivered.record.head.envelope.partitionkey
      const known = this.#keyCounts.get(key)
      if (known !== undefined || this.#keyCounts.size < LIMITS.jsonNodesMax) {
        this.#keyCounts.set(key, (known ?? 0) + 1)
      }
      return Promise.resolve()
    })
  }

  async #eachMessage(
    runner: ConsumerRunner,
    filter: FrozenFilter,
    cursor: number,
    visit: (delivered: Delivered) => Promise<void>,
  ): Promise<void> {
    let afterPosition = cursor
    while (!this.#stop.signal.aborted) {
      const page = await this.#options.store.readLog({
        channel: runner.consumer.on.channel,
        afterPosition,
        limit: LIMITS.pageRowsMax,
        bytesMax: 8_388_608,
      })
      for (const stored of page.records) {
        if (stored.position > filter.toPosition || this.#stop.signal.aborted) return
        const delivered = { ...stored, record: decodeRecord(stored.bytes, stored.position) }
        if (matchesMessage(filter, runner, delivered)) await visit(delivered)
      }
      if (page.records.length === 0) return
      afterPosition = page.scannedTo
      await this.#options.kernel.clock.yield()
    }
  }

  async #replayOne(runner: ConsumerRunner, delivered: Delivered): Promise<void> {
    const { store, deadLetters } = this.#options
    const { consumer } = runner
    const letter = await openLetterOf(store, consumer.name, delivered)
    if (letter) {
      await this.#paced()
      await this.#one(async () => {
        await deadLetters.retry(
          letter,
          this.#mark(() => undefined),
        )
      })
    } else if (consumer.replay !== 'guarded' || delivered.position > runner.progress.watermark) {
      // Done before, or on its way: under `safe` it is not run again.
      this.#row = { ...this.#row, skipped: this.#row.skipped + 1 }
      this.#partDone(runner, delivered)
    } else await this.#runAgain(runner, delivered)
    await this.#advance(String(delivered.position))
  }

  async #runAgain(runner: ConsumerRunner, delivered: Delivered): Promise<void> {
    const { store } = this.#options
    const key = replayedKey(this.#row.id, runner.consumer.name, delivered.position)
    if (await store.row('replayed', key)) return
    await this.#paced()
    const item = itemOf(runner.consumer, delivered, 'replay', {
      replay: this.#mark(() => this.#partDone(runner, delivered)),
    })
    await runner.held.holdForReplay(runner.lanes.findOrCreate(item.lane), this.#row.id)
    await this.#one(() => {
      runner.replayInto(item)
      return Promise.resolve()
    })
  }

  /** One message of a key is behind us; after the last, what waited for the key goes on. */
  #partDone(runner: ConsumerRunner, delivered: Delivered): void {
    const key = delivered.record.head.envelope.partitionkey
    const left = (this.#keyCounts.get(key) ?? 1) - 1
    this.#keyCounts.set(key, left)
    const lane = runner.lanes.find(key)
    if (left <= 0 && lane?.state === 'held') void runner.held.releaseReplay(lane, this.#row.id)
  }

  #mark(after: () => void): ReplayMark {
    let told = false
    this.#inFlight += 1
    return {
      runId: this.#row.id,
      startedAtMs: this.#row.startedAtMs ?? 0,
      settled: (outcome) => {
        if (told) return
        told = true
        this.#inFlight -= 1
        if (outcome === 'failed') this.#row = { ...this.#row, failed: this.#row.failed + 1 }
        after()
        this.#wake?.()
      },
    }
  }

  /** Hands one item over; what is refused counts as failed and stops nothing. */
  async #one(handOver: () => Promise<void>): Promise<void> {
    const before = this.#inFlight
    try {
      await handOver()
      this.#row = { ...this.#row, released: this.#row.released + 1 }
    } catch (error) {
      this.#inFlight = Math.min(this.#inFlight, before)
      this.#row = { ...this.#row, failed: this.#row.failed + 1 }
      const { log } = this.#options.kernel
      log.warn({ replay: this.#row.id, problem: messageOf(error) }, 'a message was not replayed')
    }
  }

  async #paced(): Promise<void> {
    const { clock } = this.#options.kernel
    while (this.#inFlight >= IN_FLIGHT_MAX && !this.#stop.signal.aborted) await this.#settledOne()
    const due = (this.#row.released + 1) / this.#row.ratePerSecond
    const elapsed = (clock.now() - (this.#row.startedAtMs ?? clock.now())) / 1_000
    const waitMs = Math.min(1_000 / this.#row.ratePerSecond, (due - elapsed) * 1_000)
    if (waitMs > 1) await sleep(clock, waitMs, this.#stop.signal)
  }

  #settledOne(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#wake = undefined
        this.#stop.signal.removeEventListener('abort', done)
        resolve()
      }
      this.#wake = done
      this.#stop.signal.addEventListener('abort', done, { once: true })
    })
  }

  async #advance(cursor: string): Promise<void> {
    this.#row = { ...this.#row, cursor }
    if (++this.#sinceSaved < CURSOR_EVERY) return
    this.#sinceSaved = 0
    await this.#save(this.#row)
  }
}

/** The filter with its open ends closed at the moment of the plan. */
export interface FrozenFilter extends ReplayFilter {
  readonly from: 'dead-letters' | 'messages'
  readonly fromPosition: number
  readonly toPosition: number
  readonly frozenAtMs: number
}

const freezeFilter = (filter: ReplayFilter, head: number, nowMs: number): FrozenFilter => ({
  ...filter,
  from: filter.from ?? 'dead-letters',
  fromPosition: Math.max(1, filter.fromPosition ?? 1),
  toPosition: Math.min(head, filter.toPosition ?? head),
  frozenAtMs: nowMs,
})

/** It was frozen by us and read back from our own row. */
const filterOf = (row: ReplayRow): FrozenFilter => row.filter as FrozenFilter

export const consumersOf = (
  options: Pick<ReplaysOptions, 'runners'>,
  filter: FrozenFilter,
): readonly ConsumerRunner[] =>
  [...options.runners.values()].filter(
    (runner) =>
      (filter.consumer === undefined || runner.consumer.name === filter.consumer) &&
      (filter.type === undefined || runner.consumer.on.name === filter.type) &&
      runner.consumer.replay !== 'never',
  )

function checkConsumers(options: ReplaysOptions, filter: FrozenFilter): void {
  const { runners } = options
  if (filter.consumer === undefined) return
  const runner = runners.get(filter.consumer)
  if (!runner) {
    throw refused(
      `there is no consumer ${filter.consumer}`,
      `use one of: ${[...runners.keys()].join(', ')}`,
    )
  }
  if (runner.consumer.replay === 'never') {
    throw refused(
      `consumer ${filter.consumer} declares replay: 'never', which no option overrides`,
      'declare another replay rule, or publish a new message',
    )
  }
}

export const matchesLetter = (filter: FrozenFilter, letter: DeadLetterRow): boolean =>
  (filter.consumer === undefined || letter.consumer === filter.consumer) &&
  (filter.cause === undefined || letter.cause === filter.cause) &&
  (filter.type === undefined || letter.type === filter.type) &&
  (filter.key === undefined || letter.key === filter.key) &&
  (filter.sinceMs === undefined || letter.receivedAtMs >= filter.sinceMs) &&
  (filter.untilMs === undefined || letter.receivedAtMs < filter.untilMs)

export const matchesMessage = (
  filter: FrozenFilter,
  runner: ConsumerRunner,
  delivered: Delivered,
): boolean => {
  const { envelope } = delivered.record.head
  return (
    envelope.type === runner.consumer.on.name &&
    (filter.key === undefined || envelope.partitionkey === filter.key) &&
    (filter.sinceMs === undefined || delivered.atMs >= filter.sinceMs) &&
    (filter.untilMs === undefined || delivered.atMs < filter.untilMs)
  )
}

export const openLetterOf = async (
  store: Store,
  consumer: string,
  delivered: Delivered,
): Promise<DeadLetterRow | undefined> => {
  const page = await store.scan({
    collection: 'deadLetters',
    index: 'byMessage',
    where: [delivered.record.head.envelope.id],
    limit: 100,
  })
  return page.find(({ row }) => row.consumer === consumer && row.state === 'open')?.row
}

export type { ReplayPlan }
