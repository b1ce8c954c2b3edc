import type { Consumer } from '../contract/index.ts'
import {
  assert,
  isJuncturaError,
  JuncturaError,
  LIMITS,
  messageOf,
  sleep,
} from '../kernel/index.ts'
import {
  clearTimerRow,
  type LaneRow,
  positionText,
  type RowWrite,
  setTimerRow,
  type SuccessorRow,
} from '../store/index.ts'
import { STORE_RETRY_MS } from './attempt.ts'
import type { ConsumerRunner } from './consumer-runner.ts'
import { ItemReader } from './item-reader.ts'
import { copiesOf, drainingRow, laneWrite, marksOf, successorWrite } from './lane-rows.ts'
import type { Lane } from './lane-table.ts'
import { isNewer } from './newer-version.ts'
import { laneKey, type WorkItem } from './work-item.ts'

/** Successors read back, and claimed, at once when a lane drains. */
const REFILL_MAX = 32
/** Successors written in one commit. */
const STORE_MAX = 500
const CLOSED = 'The consumer here'

/**
 * The lanes of one consumer that do not run freely, and what is written for them. The rule that
 * keeps order and loses nothing: whatever leaves memory is a row in the same commit that lets the
 * watermark pass it, and a lane with rows keeps its lane row until the last of them is gone.
 *
 * Everything that writes rows of a lane runs in sections, one after the other for each lane, so
 * that no decision is taken on rows that another is about to change. What runs of a lane with rows
 * is claimed in the lane row first: after a crash it is suspect, as what was fetched is.
 */
export class HeldLanes {
  readonly reader: ItemReader
  /** Lanes that ran from their rows when the process died: heads, and draining ones. */
  readonly crashed: LaneRow[] = []
  readonly #runner: ConsumerRunner
  #working = 0
  #isStarted = false
  #isClosed = false
  #wakeClose: (() => void) | undefined
  #unregister: (() => void) | undefined

  constructor(runner: ConsumerRunner) {
    this.#runner = runner
    this.reader = new ItemReader(runner.ports, runner.consumer)
  }

  /** Sections queued or under way. */
  get working(): number {
    return this.#working
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
          after = key
          if (!this.#runner.hasLane(row.key)) continue
          const lane = lanes.findOrCreate(row.key)
          lane.state = state === 'retry' || state === 'parked' ? 'held' : 'draining'
          lane.row = row
          lane.replay = state === 'replaying' ? row.replay : undefined
          if (row.runningEpoch !== undefined) this.crashed.push(row)
        }
        if (page.length < LIMITS.pageRowsMax) break
      }
    }
  }

  /** From now on due retries run, and what was draining goes on. */
  start(): void {
    const { ports, consumer, lanes } = this.#runner
    this.#isStarted = true
    const wake = (lane: string): void => this.#wake(lane)
    this.#unregister = ports.timers.register(timerOwner(consumer.name), wake)
    for (const lane of lanes.all()) {
      this.turn(lane)
      // This code may know the version that the last one did not.
      if (lane.row?.newerVersion !== undefined) this.#wake(lane.key)
    }
  }

  /** Waits for what is being written. After a clean stop nothing of it is claimed any more. */
  async close(isClean: boolean): Promise<void> {
    this.#isClosed = true
    this.#unregister?.()
    while (this.#working > 0) {
      await new Promise<void>((resolve) => {
        this.#wakeClose = resolve
      })
    }
    if (isClean) await this.#unclaim()
  }

  /** Keeps an arrival of a lane that is not open. */
  arrive(lane: Lane, item: WorkItem): void {
    assert(lane.state !== 'open', 'an open lane runs its items')
    lane.arrivals.push(item)
    this.turn(lane)
  }

  /** The lane's running item is finished: run the next, or read successors back, or let it go. */
  settled(lane: Lane): void {
    this.#runner.lanes.release(lane)
    if (lane.woken) this.#wake(lane.key)
    this.turn(lane)
  }

  /** Something changed: writes arrivals, and runs what is next if nothing runs. */
  turn(lane: Lane): void {
    if (lane.turnQueued || lane.state === 'open' || this.#isClosed) return
    lane.turnQueued = true
    this.section(lane, async () => {
      lane.turnQueued = false
      if (this.#isClosed || lane.state === 'open') return
      await this.#writeArrivals(lane)
      if (this.#isStarted && lane.state === 'draining' && isIdle(lane)) await this.#refill(lane)
      if (lane.arrivals.length > 0) this.turn(lane)
    }).catch((error: unknown) => this.#later(error, () => this.turn(lane)))
  }

  /** Lets a held lane go on without its head. False when the head is being run. */
  async release(laneName: string, extra: readonly RowWrite[]): Promise<boolean> {
    const lane = this.#runner.lanes.find(laneName)
    if (!lane) return false
    return this.section(lane, async () => {
      if (lane.state !== 'held' || !isIdle(lane)) return false
      await this.#dropHead(lane, extra)
      return true
    })
  }

  /** The attempt is noted before it begins, so that a crash in it is seen (M19). */
  async claimHead(
    lane: Lane,
    { row, extra = [] }: { readonly row: LaneRow; readonly extra?: readonly RowWrite[] },
    item: WorkItem,
  ): Promise<void> {
    const { consumer, ports, lanes } = this.#runner
    const running: LaneRow = { ...row, runningEpoch: ports.epoch }
    const committed = await this.#runner.commit({
      rows: [
        laneWrite(consumer, lane.key, running),
        clearTimerRow(timerOwner(consumer.name), lane.key),
        ...extra,
      ],
    })
    if (!committed) return
    lane.row = running
    lanes.push(lane, item)
    this.#runner.dispatch()
  }

  /** What waits in memory and has no row yet; the caller writes it. */
  takeWaiting(lane: Lane): readonly WorkItem[] {
    const waiting = [...lane.queue, ...lane.arrivals].filter(({ origin }) => origin === 'log')
    lane.queue = lane.queue.filter(({ origin }) => origin !== 'log')
    lane.arrivals.length = 0
    return waiting
  }

  /** Writes the row of a draining lane anew, after who may run has changed. */
  async rewrite(lane: Lane): Promise<void> {
    const { consumer } = this.#runner
    if (lane.state !== 'draining') return
    const row = this.drainingRow(lane)
    if (await this.#runner.commit({ rows: [laneWrite(consumer, lane.key, row)] })) lane.row = row
    this.turn(lane)
  }

  /** The row of a draining lane as it should be now, with the claim that it has. */
  drainingRow(lane: Lane): LaneRow {
    const { consumer } = this.#runner
    const { row } = lane
    const isDraining = row?.state === 'draining' || row?.state === 'replaying'
    if (!isDraining || row.runningEpoch === undefined) return drainingRow(consumer, lane)
    return drainingRow(consumer, lane, { position: row.position, epoch: row.runningEpoch })
  }

  async expire(row: SuccessorRow): Promise<void> {
    const { ports, consumer } = this.#runner
    const { position, lane } = row
    const key = `${lane}\n${positionText(position)}`
    const fields = { consumer: consumer.name, position }
    if (row.deadLetter === undefined)
      ports.kernel.log.error(fields, 'a waiting message has expired')
    await this.#runner.commit({ rows: [{ collection: 'successors', key, row: undefined }] })
    if (row.replay === undefined) return
    // The replay that brought it waits for its end.
    const told = { runId: row.replay, consumer: consumer.name, position } as const
    ports.observer.replayed({ ...told, outcome: 'skipped' })
  }

  /** Work on the rows of one lane, after all that was asked for before. */
  async section<T>(lane: Lane, work: () => Promise<T>): Promise<T> {
    // Whoever asks now is a person, and the rows are another process's soon.
    if (this.#isClosed) throw new JuncturaError('JUNCTURA_CLOSED', { details: { what: CLOSED } })
    lane.sections += 1
    this.#working += 1
    const result = lane.lastSection.then(work)
    lane.lastSection = result.then(ignore, ignore)
    try {
      return await result
    } finally {
      lane.sections -= 1
      this.#runner.lanes.forget(lane)
      this.#workEnded()
    }
  }

  async #writeArrivals(lane: Lane): Promise<void> {
    const { consumer } = this.#runner
    const items = lane.arrivals.splice(0, storedAtOnce(consumer, lane.arrivals))
    if (items.length === 0) return
    assert(lane.row !== undefined, 'a lane with successors has a row')
    await this.#runner.commit({
      rows: [...items.map((item) => successorWrite(consumer, item)), ...copiesOf(consumer, items)],
      ...marksOf(consumer, items),
    })
  }

  async #refill(lane: Lane): Promise<void> {
    const { ports, consumer, lanes } = this.#runner
    const page = await ports.store.scan({
      collection: 'successors',
      index: 'byLane',
      where: [laneKey(consumer.name, lane.key)],
      limit: REFILL_MAX,
    })
    const { replay } = lane
    if (page.length === 0 && replay === undefined) return this.#open(lane)
    const mayRun =
      replay === undefined
        ? page.length
        : page.findLastIndex(({ row }) => row.replay === replay) + 1
    const items: WorkItem[] = []
    for (const { row } of page.slice(0, mayRun)) {
      const item = await this.reader.successor(row)
      if (item) items.push(item)
      else await this.expire(row)
    }
    const last = items.at(-1)
    if (!last) return mayRun > 0 ? this.turn(lane) : undefined
    const row = drainingRow(consumer, lane, { position: last.position, epoch: ports.epoch })
    if (!(await this.#runner.commit({ rows: [laneWrite(consumer, lane.key, row)] }))) return
    lane.row = row
    for (const item of items) lanes.push(lane, item)
    this.#runner.dispatch()
  }

  /** No row is left: the lane runs freely, with what arrived meanwhile. */
  async #open(lane: Lane): Promise<void> {
    const { consumer, lanes } = this.#runner
    if (!(await this.#runner.commit({ rows: [laneWrite(consumer, lane.key, undefined)] }))) return
    lane.row = undefined
    lane.state = 'open'
    const arrivals = lane.arrivals.splice(0)
    for (const item of arrivals) lanes.push(lane, item)
    this.#runner.dispatch()
  }

  /** A timer of this consumer is due, or a start looks at what waits for newer code. */
  #wake(laneName: string): void {
    const lane = this.#runner.lanes.find(laneName)
    if (!lane || this.#isClosed) return
    lane.woken = false
    this.section(lane, async () => {
      const { row } = lane
      if (this.#isClosed || lane.state !== 'held' || !row || !mayWake(row)) return
      if (!isIdle(lane)) {
        // The attempt that set the timer has not let go of its lane yet; then it asks again.
        lane.woken = row.runningEpoch === undefined
        return
      }
      const item = await this.reader.head(row)
      if (item && row.state === 'parked' && isNewer(this.#runner, item)) return
      if (item) return this.claimHead(lane, { row }, item)
      const { consumer, ports } = this.#runner
      const fields = { consumer: consumer.name, position: row.position }
      ports.kernel.log.error(fields, 'a message that waited for a retry has expired')
      await this.#dropHead(lane, [])
    }).catch((error: unknown) => this.#later(error, () => this.#wake(laneName)))
  }

  async #dropHead(lane: Lane, extra: readonly RowWrite[]): Promise<void> {
    const { consumer } = this.#runner
    const row = drainingRow(consumer, lane)
    const timer = clearTimerRow(timerOwner(consumer.name), lane.key)
    const rows = [laneWrite(consumer, lane.key, row), timer, ...extra]
    if (!(await this.#runner.commit({ rows }))) return
    lane.row = row
    lane.state = 'draining'
    this.turn(lane)
  }

  /** The store could not be read: nothing is lost, the rows are there. */
  #later(error: unknown, again: () => void): void {
    const { ports, consumer, stopSignal } = this.#runner
    if (this.#isClosed || ports.committer.mode !== 'open') return
    if (isJuncturaError(error) && !error.retryable) return this.#runner.halt(error)
    const fields = { consumer: consumer.name, problem: messageOf(error) }
    ports.kernel.log.warn(fields, 'the rows of a lane could not be worked on; trying again')
    this.#working += 1
    void sleep(ports.kernel.clock, STORE_RETRY_MS, stopSignal).then(() => {
      again()
      this.#workEnded()
    })
  }

  #workEnded(): void {
    this.#working -= 1
    if (this.#working === 0) this.#wakeClose?.()
    this.#runner.changed()
  }

  /** What was claimed and did not begin is as it was before. */
  async #unclaim(): Promise<void> {
    const { consumer, ports, lanes } = this.#runner
    const rows: RowWrite[] = []
    for (const lane of lanes.all()) {
      const { row } = lane
      if (row?.runningEpoch === undefined) continue
      if (lane.state === 'draining') {
        rows.push(laneWrite(consumer, lane.key, drainingRow(consumer, lane)))
        continue
      }
      const { runningEpoch: _, ...rest } = row
      const dueAtMs = ports.steady.now()
      const timer = { owner: timerOwner(consumer.name), reference: lane.key, dueAtMs }
      rows.push(laneWrite(consumer, lane.key, { ...rest, state: 'retry', dueAtMs }))
      rows.push(setTimerRow(timer))
    }
    if (rows.length > 0) await this.#runner.commit({ rows })
  }
}

/** Where their bodies are copied, as many as one commit should carry; at least one. */
function storedAtOnce({ on }: Consumer, items: readonly WorkItem[]): number {
  if (on.record !== 'transport') return STORE_MAX
  let bytes = 0
  for (const [index, { record }] of items.entries()) {
    bytes += record.data.length
    if (index > 0 && bytes > LIMITS.recordCopyBytesMax) return index
    if (index === STORE_MAX) return STORE_MAX
  }
  return STORE_MAX
}

export const timerOwner = (consumer: string): string => `consumer/${consumer}`

export const isIdle = (lane: Lane): boolean => !lane.running && lane.queue.length === 0

/** What is parked behind a dead letter waits for a person. */
const mayWake = ({ state, newerVersion }: LaneRow): boolean =>
  state === 'retry' || (state === 'parked' && newerVersion !== undefined)

const ignore = (): void => undefined
