import { decodeRecord } from '../contract/index.ts'
import { LIMITS, messageOf } from '../kernel/index.ts'
import {
  clearTimerRow,
  type CommitUnit,
  type DeadLetterRow,
  type LaneRow,
  type RowWrite,
  setTimerRow,
  type SuccessorRow,
} from '../store/index.ts'
import type { Delivered } from '../transport/index.ts'
import type { ConsumerRunner } from './consumer-runner.ts'
import { buildDeadLetter } from './dead-letter.ts'
import { decideFailure, type Failure } from './failure.ts'
import type { Lane } from './lane-table.ts'
import { itemOf, laneKey, positionText, type ReplayMark, type WorkItem } from './work-item.ts'

/** Successors read back at once when a lane is released. */
const REFILL_MAX = 32
/** Successors written in one commit. */
const STORE_MAX = 500

/**
 * The lanes of one consumer that do not run freely, and what is written for them. The rule that
 * keeps order and loses nothing: whatever leaves memory is a row in the same commit that lets the
 * watermark pass it, and a lane with rows keeps its lane row until the last of them is gone.
 */
export class HeldLanes {
  readonly #runner: ConsumerRunner
  #storing = 0
  #closed = false
  /** Heads whose attempt was running when the process died. */
  readonly crashedHeads: LaneRow[] = []

  constructor(runner: ConsumerRunner) {
    this.#runner = runner
  }

  /** Successor rows on their way into the store. */
  get storing(): number {
    return this.#storing
  }

  async load(): Promise<void> {
    const { ports, consumer, lanes } = this.#runner
    for (const state of ['retry', 'parked', 'replaying', 'draining'] as const) {
      let after: string | undefined
      for (;;) {
        const page = await ports.store.scan({
          collection: 'lanes',
          index: 'byConsumer',
          where: [consumer.name, state],
          limit: LIMITS.pageRowsMax,
          ...(after !== undefined && { after }),
        })
        for (const { key, row } of page) {
          const lane = lanes.findOrCreate(row.key)
          lane.state = state === 'draining' ? 'draining' : 'held'
          lane.hasRow = true
          lane.stored = true
          if (row.runningEpoch !== undefined) this.crashedHeads.push(row)
          after = key
        }
        if (page.length < LIMITS.pageRowsMax) break
      }
    }
  }

  /** From now on due retries run, and what was draining goes on. */
  start(): void {
    const { ports, consumer, lanes } = this.#runner
    ports.timers.register(timerOwner(consumer.name), (lane) => void this.#wake(lane))
    for (const lane of lanes.draining()) this.#drain(lane)
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.resolve()
  }

  /** What success of an item writes, besides the handler's own. */
  successUnit(lane: Lane, item: WorkItem): CommitUnit {
    const { consumer, ports } = this.#runner
    const nowMs = ports.kernel.clock.now()
    const rows: RowWrite[] = [...this.#originRows(lane, item, nowMs)]
    const replayed = item.replay && item.origin === 'replay' && item.deadLetter === undefined
    if (item.replay && replayed) {
      const key = replayedKey(item.replay.runId, consumer.name, item.position)
      rows.push({ collection: 'replayed', key, row: { atMs: nowMs } })
      return { rows, guards: [{ collection: 'replayed', key, is: 'absent' }] }
    }
    return { rows, ...this.#marks(item) }
  }

  /** After an attempt failed: schedule the next one, or write the dead letter. */
  async failed(lane: Lane, item: WorkItem, failure: Failure, attempts: number): Promise<void> {
    const { consumer, ports } = this.#runner
    if (item.origin === 'volatile') {
      const messageId = item.record.head.envelope.id
      ports.observer.dropped({ consumer: consumer.name, messageId })
      return
    }
    item.replay?.settled('failed')
    const decision = decideFailure(consumer, attempts, failure, ports.kernel.random)
    if (decision.kind === 'retry')
      await this.#retry(lane, item, failure, { attempts, delayMs: decision.delayMs })
    else await this.die(lane, item, failure, attempts)
  }

  async #retry(
    lane: Lane,
    item: WorkItem,
    failure: Failure,
    next: { readonly attempts: number; readonly delayMs: number },
  ): Promise<void> {
    const { consumer, ports } = this.#runner
    const nowMs = ports.steady.now()
    const dueAtMs = nowMs + next.delayMs
    const row: LaneRow = {
      consumer: consumer.name,
      key: lane.key,
      state: 'retry',
      position: item.position,
      attempts: next.attempts,
      crashes: item.crashes,
      dueAtMs,
      firstFailedAtMs: item.firstFailedAtMs ?? ports.kernel.clock.now(),
      lastError: `${failure.name}: ${failure.message}`.slice(0, 500),
      ...(item.deadLetter !== undefined && { deadLetter: item.deadLetter }),
      ...(item.replay && { replay: item.replay.runId }),
    }
    const timer = { owner: timerOwner(consumer.name), reference: lane.key, dueAtMs }
    const unit = this.#holdUnit(lane, item, row, [setTimerRow(timer)])
    if ((await this.#runner.commitStubbornly(unit)) === undefined) return
    ports.timers.scheduled(dueAtMs)
    const messageId = item.record.head.envelope.id
    ports.observer.retryScheduled({ consumer: consumer.name, messageId, dueAtMs })
  }

  /** Writes the dead letter; its key parks or goes on, as the consumer declares. */
  async die(lane: Lane, item: WorkItem, failure: Failure, attempts: number): Promise<void> {
    const { consumer, ports } = this.#runner
    const nowMs = ports.kernel.clock.now()
    const id = item.deadLetter ?? ports.kernel.ids.next('dead')
    const { modelHash } = ports
    const letter = buildDeadLetter({
      id,
      consumer,
      item,
      failure,
      attempts,
      crashes: item.crashes,
      nowMs,
      modelHash,
    })
    const rows: RowWrite[] = [
      { collection: 'deadLetters', key: id, row: letter },
      ...ports.raiseAlert({
        kind: 'dead-letter',
        cause: letter.cause,
        title: letter.causeTitle,
        consumer,
        atMs: nowMs,
      }),
    ]
    if (letter.parked) {
      const row: LaneRow = {
        consumer: consumer.name,
        key: lane.key,
        state: 'parked',
        position: item.position,
        attempts,
        crashes: item.crashes,
        dueAtMs: nowMs,
        firstFailedAtMs: letter.firstFailedAtMs,
        lastError: `${failure.name}: ${failure.message}`.slice(0, 500),
        deadLetter: id,
      }
      await this.#runner.commitStubbornly(this.#holdUnit(lane, item, row, rows))
    } else {
      const own = this.#originRows(lane, item, nowMs, 'keep-letter')
      await this.#runner.commitStubbornly({ rows: [...own, ...rows], ...this.#marks(item) })
      if (item.origin === 'head') lane.state = 'draining'
    }
    ports.observer.deadLettered({
      consumer: consumer.name,
      id,
      messageId: letter.messageId,
      key: letter.key,
      type: letter.type,
      cause: letter.cause,
    })
  }

  /** Holds the lane: its row, and a successor row for everything that waited in memory. */
  #holdUnit(lane: Lane, item: WorkItem, row: LaneRow, extra: readonly RowWrite[]): CommitUnit {
    const { consumer } = this.#runner
    lane.state = 'held'
    lane.hasRow = true
    const waiting = lane.queue
    lane.queue = []
    const fetched = waiting.filter((one) => one.origin === 'log')
    if (waiting.length > 0) lane.stored = true
    const origin = item.origin === 'head' ? [] : this.#originRows(lane, item, 0, 'keep-letter')
    const marks = [item, ...fetched].flatMap((one) => this.#marks(one).marks ?? [])
    return {
      marks,
      rows: [
        ...origin,
        { collection: 'lanes', key: laneKey(consumer.name, lane.key), row },
        ...fetched.map((one) => this.#successorRow(lane, one)),
        ...extra,
      ],
    }
  }

  /**
   * Keeps an arrival of a held lane as a row. Rows of one lane are written in order, one commit at
   * a time: were a later one there first, releasing the lane would let it overtake.
   */
  storeSuccessor(lane: Lane, item: WorkItem): void {
    if (item.origin === 'successor') return
    lane.stored = true
    lane.unstored.push(item)
    this.#storing += 1
    if (!lane.storing) void this.#storeSuccessors(lane)
  }

  async #storeSuccessors(lane: Lane): Promise<void> {
    lane.storing = true
    while (lane.unstored.length > 0) {
      const items = lane.unstored.splice(0, STORE_MAX)
      const stored = await this.#runner.commitStubbornly({
        rows: items.map((item) => this.#successorRow(lane, item)),
        marks: items.flatMap((item) => this.#marks(item).marks ?? []),
      })
      this.#storing -= items.length
      if (!stored) break
    }
    lane.storing = false
    this.#drain(lane)
  }

  /** The lane's running item is finished: run the next, or read successors back, or let it go. */
  settled(lane: Lane): void {
    this.#runner.lanes.release(lane)
    this.#drain(lane)
  }

  #drain(lane: Lane): void {
    const idle = !lane.running && lane.queue.length === 0
    if (lane.state !== 'draining' || !idle || lane.refilling || this.#closed) return
    lane.refilling = true
    void this.#refill(lane)
      .catch((error: unknown) => this.#tellBroken(error))
      .finally(() => {
        lane.refilling = false
        this.#runner.dispatch()
      })
  }

  /** Nothing is lost: the rows are there, and the next start drains the lane. */
  #tellBroken(error: unknown): void {
    const { ports, consumer } = this.#runner
    if (this.#closed || ports.committer.mode !== 'open') return
    ports.kernel.log.error(
      { consumer: consumer.name, problem: messageOf(error) },
      'a lane could not be drained',
    )
  }

  async #refill(lane: Lane): Promise<void> {
    const { ports, consumer, lanes } = this.#runner
    const key = laneKey(consumer.name, lane.key)
    const page = await ports.store.scan({
      collection: 'successors',
      index: 'byLane',
      where: [key],
      limit: REFILL_MAX,
    })
    const items: WorkItem[] = []
    for (const { row } of page) {
      const item = await this.#readSuccessor(row)
      if (item) items.push(item)
      else await this.#expired(lane, row.position)
    }
    // All at once: while one of them runs, none may be added behind its back.
    if (lane.state !== 'draining') return
    for (const item of items) lanes.push(lane, item)
    if (page.length > 0 || lane.storing || lane.state !== 'draining') return
    lane.state = 'open'
    lane.stored = false
    lane.hasRow = false
    lanes.forget(lane)
    await this.#runner.commitStubbornly({ rows: [{ collection: 'lanes', key, row: undefined }] })
  }

  async #readSuccessor(row: SuccessorRow): Promise<WorkItem | undefined> {
    const { ports, consumer } = this.#runner
    const delivered = await this.read(row.position)
    if (!delivered) return undefined
    const { deadLetter } = row
    const letterRow =
      deadLetter === undefined ? undefined : await ports.store.row('deadLetters', deadLetter)
    const history = letterRow ? { deadLetter: letterRow.id, letterRow } : {}
    return itemOf(consumer, delivered, 'successor', history)
  }

  async #expired(lane: Lane, position: number): Promise<void> {
    const { ports, consumer } = this.#runner
    const key = successorKey(consumer.name, lane.key, position)
    ports.kernel.log.error({ consumer: consumer.name, position }, 'a waiting message has expired')
    await this.#runner.commitStubbornly({
      rows: [{ collection: 'successors', key, row: undefined }],
    })
  }

  /** A timer of this consumer is due. */
  async #wake(laneName: string): Promise<void> {
    const { ports, consumer, lanes } = this.#runner
    const row = await ports.store.row('lanes', laneKey(consumer.name, laneName))
    const lane = lanes.find(laneName)
    if (this.#closed || !lane || row?.state !== 'retry' || lane.running || lane.queue.length > 0)
      return
    await this.runHead(lane, row)
  }

  /**
   * Runs the head of a held lane. The attempt is counted before it begins, so that a crash in it
   * is one attempt less (M19).
   */
  async runHead(
    lane: Lane,
    row: LaneRow,
    how: { readonly replay?: ReplayMark } = {},
  ): Promise<void> {
    const { consumer, ports, lanes } = this.#runner
    const delivered = await this.read(row.position)
    if (!delivered) {
      await this.release(lane)
      return
    }
    const letterRow =
      row.deadLetter === undefined
        ? undefined
        : await ports.store.row('deadLetters', row.deadLetter)
    const running: LaneRow = { ...row, runningEpoch: ports.epoch }
    const committed = await this.#runner.commitStubbornly({
      rows: [
        { collection: 'lanes', key: laneKey(consumer.name, lane.key), row: running },
        clearTimerRow(timerOwner(consumer.name), lane.key),
      ],
    })
    if (!committed) return
    lanes.push(
      lane,
      itemOf(consumer, delivered, 'head', {
        attempts: row.attempts,
        crashes: row.crashes,
        firstFailedAtMs: row.firstFailedAtMs,
        ...(row.deadLetter !== undefined && { deadLetter: row.deadLetter }),
        ...(letterRow && { letterRow }),
        ...(how.replay && { replay: how.replay }),
      }),
    )
    this.#runner.dispatch()
  }

  /** Holds what arrives for a key until a replay has done its part of it. */
  async holdForReplay(lane: Lane, runId: string): Promise<void> {
    if (lane.state !== 'open') return
    lane.state = 'held'
    lane.hasRow = true
    const row: LaneRow = { ...this.#drainingRow(lane), state: 'replaying', replay: runId }
    const key = laneKey(this.#runner.consumer.name, lane.key)
    await this.#runner.commitStubbornly({ rows: [{ collection: 'lanes', key, row }] })
  }

  /** The replay has done its part of the key: what waited for it goes on. */
  async releaseReplay(lane: Lane, runId: string): Promise<void> {
    const { consumer, ports } = this.#runner
    const row = await ports.store.row('lanes', laneKey(consumer.name, lane.key))
    if (row?.state === 'replaying' && row.replay === runId) await this.release(lane)
  }

  /** Lets a held lane go on without its head; the head's dead letter is somebody else's decision. */
  async release(lane: Lane, extra: readonly RowWrite[] = []): Promise<void> {
    const { consumer } = this.#runner
    const key = laneKey(consumer.name, lane.key)
    await this.#runner.commitStubbornly({
      rows: [
        { collection: 'lanes', key, row: this.#drainingRow(lane) },
        clearTimerRow(timerOwner(consumer.name), lane.key),
        ...extra,
      ],
    })
    lane.state = 'draining'
    this.#drain(lane)
  }

  /** A record by its position, also one that retention has dropped and an exception still needs. */
  async read(position: number): Promise<Delivered | undefined> {
    const { store } = this.#runner.ports
    const stored = await store.recordAt(position)
    if (stored) return { ...stored, record: decodeRecord(stored.bytes, position) }
    const held = await store.row('held', positionText(position))
    if (!held) return undefined
    const bytes = Buffer.from(held.record, 'base64')
    return { position, slot: held.slot, atMs: held.atMs, record: decodeRecord(bytes, position) }
  }

  /** The row that stands for where the item came from, and goes when it is finished. */
  #originRows(
    lane: Lane,
    item: WorkItem,
    nowMs: number,
    letter: 'resolve-letter' | 'keep-letter' = 'resolve-letter',
  ): readonly RowWrite[] {
    const { consumer } = this.#runner
    const resolved =
      item.letterRow && letter === 'resolve-letter' ? [resolvedLetter(item.letterRow, nowMs)] : []
    if (item.origin === 'successor') {
      const key = successorKey(consumer.name, lane.key, item.position)
      return [{ collection: 'successors', key, row: undefined }, ...resolved]
    }
    if (item.origin === 'suspect') {
      const key = laneKey(consumer.name, positionText(item.position))
      return [{ collection: 'suspects', key, row: undefined }, ...resolved]
    }
    if (item.origin === 'head') {
      const key = laneKey(consumer.name, lane.key)
      return [{ collection: 'lanes', key, row: this.#drainingRow(lane) }, ...resolved]
    }
    return resolved
  }

  #drainingRow(lane: Lane): LaneRow {
    return {
      consumer: this.#runner.consumer.name,
      key: lane.key,
      state: 'draining',
      position: 0,
      attempts: 0,
      crashes: 0,
      dueAtMs: 0,
      firstFailedAtMs: 0,
      lastError: '',
    }
  }

  #successorRow(lane: Lane, item: WorkItem): RowWrite {
    const { consumer } = this.#runner
    return {
      collection: 'successors',
      key: successorKey(consumer.name, lane.key, item.position),
      row: {
        consumer: consumer.name,
        lane: laneKey(consumer.name, lane.key),
        position: item.position,
        ...(item.deadLetter !== undefined && { deadLetter: item.deadLetter }),
      },
    }
  }

  /** Only what was fetched is marked in the progress row; the rest has rows of its own. */
  #marks(item: WorkItem): Pick<CommitUnit, 'marks'> {
    if (item.origin !== 'log' && item.origin !== 'suspect') return {}
    return { marks: [{ consumer: this.#runner.consumer.name, position: item.position }] }
  }
}

export const timerOwner = (consumer: string): string => `consumer/${consumer}`

export const successorKey = (consumer: string, lane: string, position: number): string =>
  `${laneKey(consumer, lane)}\n${positionText(position)}`

export const replayedKey = (runId: string, consumer: string, position: number): string =>
  `${runId}\n${consumer}\n${positionText(position)}`

const resolvedLetter = (letter: DeadLetterRow, nowMs: number): RowWrite => ({
  collection: 'deadLetters',
  key: letter.id,
  row: { ...letter, state: 'resolved', resolvedAtMs: nowMs },
})
