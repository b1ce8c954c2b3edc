import { assert, LIMITS } from '../kernel/index.ts'
import type {
  ProgressBook,
  ProgressRow,
  RecordBookmark,
  RowWrite,
  SlotRange,
} from '../store/index.ts'
import { FetchWindow, FINISHED, STAGED, WAITING } from './fetch-window.ts'
import { ALL_SLOTS, partitionId, readSlots, slotsText } from './partition.ts'

export interface ConsumerProgressOptions {
  readonly epoch: number
  /** How many messages may be handed out between two commits. */
  readonly claimAhead: number
  /** How far two messages that follow each other are apart. @default 1 */
  readonly stride?: number
  /** Called when something has become durable: there may be room again, or nothing left to do. */
  readonly onApplied: () => void
}

/**
 * How far one partition of a consumer has come. Everything fetched is in `#window`, in order of
 * position, until everything before it is finished; the watermark is what lies before the first
 * unfinished one.
 * Nothing here is durable by itself: `stage` notes what a commit is about to finish, `row` says
 * what to write, `apply` is told when it is written.
 */
export class ConsumerProgress {
  /** Of the partition; the consumer's name where it has all slots. */
  readonly id: string
  readonly consumer: string
  readonly channel: string
  readonly slots: SlotRange
  readonly #epoch: number
  readonly #claimAhead: number
  readonly #onApplied: () => void
  readonly #window: FetchWindow
  readonly #claimWindow: number
  #bookmarkAt: (watermark: number) => RecordBookmark | undefined
  /** Places in the window that the commit under way finishes. */
  #staged: number[] = []
  #watermark: number
  #fetchedTo: number
  #claimedTo: number
  /** The last position that a handler was given; the claim always covers it. */
  #startedTo: number
  /** The same when the last row was made. */
  #startedBefore: number
  /** Nothing beyond it is finished. */
  #finishedTo: number
  #unfinished = 0
  /** Bytes of what is not finished. */
  #bytesHeld = 0
  /** From the last run: finished beyond its watermark, ascending. */
  readonly #doneBefore: (readonly [number, number])[]
  #closing = false

  constructor(row: ProgressRow, options: ConsumerProgressOptions) {
    this.#onApplied = options.onApplied
    this.consumer = row.consumer
    this.channel = row.channel
    this.slots = readSlots(row.slots)
    this.id = partitionId(row.consumer, this.slots)
    this.#epoch = options.epoch
    this.#claimAhead = options.claimAhead
    this.#watermark = row.watermark
    this.#fetchedTo = row.watermark
    this.#claimedTo = row.watermark
    this.#startedTo = row.watermark
    this.#startedBefore = row.watermark
    this.#finishedTo = row.watermark
    this.#doneBefore = [...row.done]
    const { stride = 1 } = options
    this.#window = new FetchWindow(stride)
    this.#claimWindow = LIMITS.claimWindow * stride
    this.#bookmarkAt = () => row.bookmark
  }

  /** From now on rows say where their reader is, where that is more than a watermark. */
  keepBookmark(bookmarkAt: (watermark: number) => RecordBookmark | undefined): void {
    this.#bookmarkAt = bookmarkAt
  }

  /** What its reader has to know beside the watermark. */
  get bookmark(): RecordBookmark | undefined {
    return this.#bookmarkAt(this.#watermark)
  }

  get watermark(): number {
    return this.#watermark
  }

  get fetchedTo(): number {
    return this.#fetchedTo
  }

  /** Fetched and not finished; bounded by LIMITS.fetchWindowMax. */
  get unfinished(): number {
    return this.#unfinished
  }

  /** Positions held until the watermark can pass them. */
  get span(): number {
    return this.#window.size
  }

  /** Bytes of what is fetched and not finished; bounded by LIMITS.fetchWindowBytesMax. */
  get bytesHeld(): number {
    return this.#bytesHeld
  }

  /** When the oldest unfinished message was appended. */
  get oldestAtMs(): number | undefined {
    const { head } = this.#window
    return this.#window.size === 0 ? undefined : this.#window.atMs(head)
  }

  /** Whether it is fetched, and lies at or beyond the first unfinished one. */
  has(position: number): boolean {
    return this.#window.find(position) >= 0
  }

  /** Whether this position is finished, or has a row of its own. */
  isFinished(position: number): boolean {
    if (position <= this.#watermark) return true
    if (position > this.#fetchedTo) return false
    const place = this.#window.find(position)
    return place < 0 || this.#window.state(place) === FINISHED
  }

  /** Whether handlers may be given this position: its claim is durable. */
  isClaimed(position: number): boolean {
    return position <= this.#claimedTo
  }

  /** Asks the next row to claim this position, because a handler is about to be given it. */
  wantClaim(position: number): void {
    this.#startedTo = Math.max(this.#startedTo, position)
  }

  /** Notes that what was fetched so far stays claimed: it was in flight when the process died. */
  claimFetched(): void {
    this.#startedTo = this.#fetchedTo
  }

  /** Whether an earlier run finished it. Asked in order of position. */
  wasDone(position: number): boolean {
    while (this.#doneBefore[0] && this.#doneBefore[0][1] < position) this.#doneBefore.shift()
    const range = this.#doneBefore[0]
    return range !== undefined && range[0] <= position
  }

  /** Notes a fetched position that has to be finished. */
  fetched(position: number, atMs: number, bytes: number): void {
    assert(position > this.#fetchedTo, 'positions are fetched in order')
    this.#window.push({ position, atMs, bytes, state: WAITING })
    this.#bytesHeld += bytes
    this.#fetchedTo = position
    this.#unfinished += 1
  }

  /** Notes a position that an earlier run finished; it stays so until the watermark passes. */
  fetchedFinished(position: number): void {
    assert(position > this.#fetchedTo, 'positions are fetched in order')
    const isFirst = this.#window.size === 0
    if (!isFirst) this.#window.push({ position, atMs: 0, bytes: 0, state: FINISHED })
    this.#fetchedTo = position
    this.#finishedTo = position
    if (isFirst) this.#watermark = position
  }

  /** Notes that nothing up to `position` is for this consumer, or left to do. */
  passed(position: number): void {
    if (position <= this.#fetchedTo) return
    this.#fetchedTo = position
    if (this.#window.size === 0) this.#watermark = position
  }

  /** Notes that the commit under way finishes this position. */
  stage(position: number): void {
    if (position > this.#finishedTo) this.#finishedTo = position
    const place = this.#window.find(position)
    if (place < 0 || this.#window.state(place) !== WAITING) return
    this.#window.setState(place, STAGED)
    this.#staged.push(place)
  }

  /** Takes back what was staged: its commit did not happen. */
  unstage(): void {
    for (const place of this.#staged) this.#window.setState(place, WAITING)
    this.#staged.length = 0
  }

  /** The row as it will be when what is staged is finished as well. */
  row(): ProgressRow {
    let watermark = this.#fetchedTo
    let gapFound = false
    let run: [number, number] | undefined
    let ahead = 0
    let claimedTo: number | undefined
    const done: [number, number][] = []
    const claimAhead = this.#claimAheadNow()
    const window = this.#window
    for (let place = window.head; place < window.tail; place++) {
      const position = window.position(place)
      // Beyond here nothing is finished and enough is claimed: a backlog costs nothing per commit.
      if (gapFound && claimedTo !== undefined && position > this.#finishedTo) break
      if (window.state(place) !== WAITING) {
        if (!gapFound) continue
        if (run) run[1] = position
        else done.push((run = [position, position]))
      } else {
        if (!gapFound) watermark = position - 1
        gapFound = true
        run = undefined
        if (position > this.#startedTo && ++ahead === claimAhead) claimedTo = position
      }
    }
    claimedTo ??= this.#fetchedTo + this.#claimWindow
    const bookmark = this.#bookmarkAt(watermark)
    return {
      consumer: this.consumer,
      channel: this.channel,
      slots: slotsText(this.slots),
      watermark,
      done: [...done, ...this.#doneAhead()],
      claimedTo: this.#closing ? 0 : Math.max(this.#claimedTo, claimedTo),
      epoch: this.#epoch,
      ...(bookmark !== undefined && { bookmark }),
    }
  }

  /**
   * Twice what was started since the last row: whoever is behind must be able to catch up, however
   * long a commit takes; whoever has little to do leaves few suspects after a crash.
   */
  #claimAheadNow(): number {
    const started = this.#startedTo - this.#startedBefore
    this.#startedBefore = this.#startedTo
    return Math.max(this.#claimAhead, Math.min(2 * started, LIMITS.fetchWindowMax))
  }

  /** What the last run finished and this one has not fetched again; it stays finished. */
  #doneAhead(): readonly (readonly [number, number])[] {
    return this.#doneBefore
      .filter(([, last]) => last > this.#fetchedTo)
      .map(([first, last]) => [Math.max(first, this.#fetchedTo + 1), last] as const)
  }

  /** The row that `row` gave is durable, and with it what was staged. */
  apply(row: ProgressRow): void {
    const window = this.#window
    for (const place of this.#staged) {
      window.setState(place, FINISHED)
      this.#bytesHeld -= window.bytes(place)
    }
    this.#unfinished -= this.#staged.length
    this.#staged.length = 0
    window.dropFinished()
    this.#watermark =
      window.size === 0
        ? Math.max(this.#watermark, row.watermark)
        : window.position(window.head) - 1
    this.#claimedTo = Math.max(this.#claimedTo, row.claimedTo)
    this.#onApplied()
  }

  /** From now on rows claim nothing: a clean stop leaves no suspects. */
  close(): void {
    this.#closing = true
  }
}

/** Rows of all partitions; one write per partition and commit, whatever number it finished. */
export interface ConsumerProgressBook extends ProgressBook {
  add(progress: ConsumerProgress): void
  /** Nothing of it is written any more: what is marked after this is another process's to do. */
  remove(progress: ConsumerProgress): void
}

export const createProgressBook = (): ConsumerProgressBook => {
  const all = new Map<string, ConsumerProgress>()
  /** Whose mark it is: it may name the partition, or the consumer of several. */
  const find = (consumer: string, position: number | undefined): ConsumerProgress | undefined => {
    const named = all.get(consumer)
    if (named || position === undefined) return named
    for (const one of all.values()) if (one.consumer === consumer && one.has(position)) return one
    return undefined
  }
  /** Those that the commit under way writes, each with its row. */
  const previewed = new Map<ConsumerProgress, ProgressRow | undefined>()
  return {
    add: (progress) => void all.set(progress.id, progress),
    remove(progress) {
      if (all.get(progress.id) === progress) all.delete(progress.id)
      previewed.delete(progress)
    },
    preview(marks) {
      for (const progress of previewed.keys()) progress.unstage()
      previewed.clear()
      let progress: ConsumerProgress | undefined
      for (const { consumer, position, positions } of marks) {
        if (progress?.id !== consumer) progress = find(consumer, position ?? positions?.[0])
        if (!progress) continue
        if (!previewed.has(progress)) previewed.set(progress, undefined)
        if (position !== undefined) progress.stage(position)
        if (positions) for (const one of positions) progress.stage(one)
      }
      const rows: RowWrite[] = []
      for (const one of previewed.keys()) {
        const row = one.row()
        previewed.set(one, row)
        rows.push(progressRow(row))
      }
      return rows
    },
    apply() {
      const written = [...previewed]
      previewed.clear()
      for (const [progress, row] of written) if (row) progress.apply(row)
    },
  }
}

export const progressKey = (
  consumer: string,
  channel: string,
  slots: SlotRange = ALL_SLOTS,
): string => `${consumer}/${channel}/${slotsText(slots)}`

export const progressRow = (row: ProgressRow): RowWrite => ({
  collection: 'progress',
  key: progressKey(row.consumer, row.channel, readSlots(row.slots)),
  row,
})
