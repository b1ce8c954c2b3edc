import { assert, LIMITS } from '../kernel/index.ts'
import type { ProgressBook, ProgressMark, ProgressRow, RowWrite } from '../store/index.ts'

/** Stands for the time of a finished position. */
const FINISHED = 0

/** Passed positions that are kept before the arrays are cut. */
const COMPACT_AT = 4_096

export interface ConsumerProgressOptions {
  readonly epoch: number
  /** How many messages may be handed out between two commits. */
  readonly claimAhead: number
  /** Called when something has become durable: there may be room again, or nothing left to do. */
  readonly onApplied: () => void
}

/**
 * How far one consumer has come. Everything fetched is in three arrays side by side, in order of
 * position, until everything before it is finished; the watermark is what lies before the first
 * unfinished one. (A map costs an object for each entry each time it is gone through.) Nothing here is durable by itself: `row` says what to write, `apply` is told when it is written.
 */
export class ConsumerProgress {
  readonly consumer: string
  readonly channel: string
  readonly #epoch: number
  readonly #claimAhead: number
  readonly #onApplied: () => void
  /** Fetched and not yet below the watermark, from `#head` on. */
  #positions: number[] = []
  /** When each was appended, 0 once finished. */
  #times: number[] = []
  #bytes: number[] = []
  #head = 0
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
  /** Bytes of all unfinished records. */
  #bytesHeld = 0
  /** From the last run: finished beyond its watermark, ascending. */
  readonly #doneBefore: (readonly [number, number])[]
  #closing = false

  constructor(row: ProgressRow, options: ConsumerProgressOptions) {
    this.#onApplied = options.onApplied
    this.consumer = row.consumer
    this.channel = row.channel
    this.#epoch = options.epoch
    this.#claimAhead = options.claimAhead
    this.#watermark = row.watermark
    this.#fetchedTo = row.watermark
    this.#claimedTo = row.watermark
    this.#startedTo = row.watermark
    this.#startedBefore = row.watermark
    this.#finishedTo = row.watermark
    this.#doneBefore = [...row.done]
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
    return this.#positions.length - this.#head
  }

  /** Bytes of what is fetched and not finished; bounded by LIMITS.fetchWindowBytesMax. */
  get bytesHeld(): number {
    return this.#bytesHeld
  }

  /** When the oldest unfinished message was appended. */
  get oldestAtMs(): number | undefined {
    return this.#times[this.#head]
  }

  /** Whether this position is finished, or has a row of its own. */
  isFinished(position: number): boolean {
    if (position <= this.#watermark) return true
    return position <= this.#fetchedTo && (this.#times[this.#find(position)] ?? 0) === FINISHED
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
    this.#push(position, Math.max(1, atMs), bytes)
    this.#bytesHeld += bytes
    this.#fetchedTo = position
    this.#unfinished += 1
  }

  /** Notes a position that an earlier run finished; it stays so until the watermark passes. */
  fetchedFinished(position: number): void {
    assert(position > this.#fetchedTo, 'positions are fetched in order')
    if (this.span > 0) this.#push(position, FINISHED, 0)
    this.#fetchedTo = position
    this.#finishedTo = position
    if (this.span === 0) this.#watermark = position
  }

  /** Notes that nothing up to `position` is for this consumer, or left to do. */
  passed(position: number): void {
    if (position <= this.#fetchedTo) return
    this.#fetchedTo = position
    if (this.span === 0) this.#watermark = position
  }

  /** The row as it will be when `marks`, in ascending order, are finished as well. */
  row(marks: readonly number[]): ProgressRow {
    let watermark = this.#fetchedTo
    let gapFound = false
    let run: [number, number] | undefined
    let ahead = 0
    let claimedTo: number | undefined
    const done: [number, number][] = []
    const claimAhead = this.#claimAheadNow()
    this.#finishedTo = Math.max(this.#finishedTo, marks.at(-1) ?? 0)
    let mark = 0
    for (let place = this.#head; place < this.#positions.length; place++) {
      const position = this.#positions[place] ?? 0
      // Beyond here nothing is finished and enough is claimed: a backlog costs nothing per commit.
      if (gapFound && claimedTo !== undefined && position > this.#finishedTo) break
      while ((marks[mark] ?? Infinity) < position) mark += 1
      if (this.#times[place] === FINISHED || marks[mark] === position) {
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
    claimedTo ??= this.#fetchedTo + LIMITS.claimWindow
    return {
      consumer: this.consumer,
      channel: this.channel,
      slots: '0-63',
      watermark,
      done: [...done, ...this.#doneAhead()],
      claimedTo: this.#closing ? 0 : Math.max(this.#claimedTo, claimedTo),
      epoch: this.#epoch,
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

  /** The row that `row` gave for these marks is durable. */
  apply(marks: readonly number[], row: ProgressRow): void {
    let place = this.#head
    for (const position of marks) {
      // Those of a batch follow one another; any other is looked for.
      if (this.#positions[place] !== position) place = this.#find(position)
      if ((this.#times[place] ?? FINISHED) === FINISHED) continue
      this.#times[place] = FINISHED
      this.#bytesHeld -= this.#bytes[place] ?? 0
      this.#unfinished -= 1
      place += 1
    }
    while (this.#times[this.#head] === FINISHED) this.#head += 1
    this.#compact()
    const first = this.#positions[this.#head]
    this.#watermark = first === undefined ? Math.max(this.#watermark, row.watermark) : first - 1
    this.#claimedTo = Math.max(this.#claimedTo, row.claimedTo)
    this.#onApplied()
  }

  /** From now on rows claim nothing: a clean stop leaves no suspects. */
  close(): void {
    this.#closing = true
  }

  #push(position: number, atMs: number, bytes: number): void {
    this.#positions.push(position)
    this.#times.push(atMs)
    this.#bytes.push(bytes)
  }

  /** Where a position stands, or -1. */
  #find(position: number): number {
    let low = this.#head
    let high = this.#positions.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#positions[middle] ?? 0) < position) low = middle + 1
      else high = middle
    }
    return this.#positions[low] === position ? low : -1
  }

  /** Lets go of what the watermark has passed, in lots, so that the cost of each stays flat. */
  #compact(): void {
    if (this.#head < COMPACT_AT && this.#head < this.#positions.length) return
    this.#positions = this.#positions.slice(this.#head)
    this.#times = this.#times.slice(this.#head)
    this.#bytes = this.#bytes.slice(this.#head)
    this.#head = 0
  }
}

/** Rows of all consumers; one write per consumer and commit, however many messages it finished. */
export interface ConsumerProgressBook extends ProgressBook {
  add(progress: ConsumerProgress): void
  of(consumer: string): ConsumerProgress | undefined
}

export const createProgressBook = (): ConsumerProgressBook => {
  const all = new Map<string, ConsumerProgress>()
  let previewed = new Map<
    string,
    { readonly marks: readonly number[]; readonly row: ProgressRow }
  >()
  return {
    add: (progress) => void all.set(progress.consumer, progress),
    of: (consumer) => all.get(consumer),
    preview(marks) {
      previewed = new Map()
      for (const [consumer, positions] of groupByConsumer(marks)) {
        const row = all.get(consumer)?.row(positions)
        if (row) previewed.set(consumer, { marks: positions, row })
      }
      return [...previewed.values()].map(({ row }): RowWrite => progressRow(row))
    },
    apply() {
      for (const [consumer, { marks, row }] of previewed) all.get(consumer)?.apply(marks, row)
      previewed = new Map()
    },
  }
}

export const progressKey = (consumer: string, channel: string): string =>
  `${consumer}/${channel}/0-63`

export const progressRow = (row: ProgressRow): RowWrite => ({
  collection: 'progress',
  key: progressKey(row.consumer, row.channel),
  row,
})

const NONE: readonly number[] = []

/** The positions of each consumer, ascending. */
function groupByConsumer(marks: readonly ProgressMark[]): Map<string, number[]> {
  const groups = new Map<string, number[]>()
  for (const { consumer, position, positions = NONE } of marks) {
    let group = groups.get(consumer)
    if (!group) groups.set(consumer, (group = []))
    if (position !== undefined) group.push(position)
    for (const one of positions) group.push(one)
  }
  for (const group of groups.values()) {
    if (!isAscending(group)) group.sort((left, right) => left - right)
  }
  return groups
}

const isAscending = (numbers: readonly number[]): boolean =>
  numbers.every((number, index) => index === 0 || (numbers[index - 1] ?? 0) <= number)
