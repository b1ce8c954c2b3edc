import { LIMITS } from '../../kernel/index.ts'
import type {
  AppliedCommit,
  DeadLetterRow,
  DiskInspector,
  LaneRow,
  ReplayRow,
  SuccessorRow,
  TimerRow,
} from '../../store/index.ts'
import type { SituationBook } from './situations.ts'

/** Sees rare situations in the durable rows, and what of the rows the others need. */
export class SituationWatch {
  readonly #book: SituationBook
  readonly #inspector: DiskInspector
  readonly #letters = new Map<string, DeadLetterRow>()
  readonly #lanes = new Map<string, LaneRow>()
  readonly #runningReplays = new Set<string>()
  /** Replays of messages, or parts of them, that have not ended: the position each has come to. */
  readonly #replayedTo = new Map<string, number>()
  readonly #timers = new Map<string, TimerRow>()
  #suspects = 0
  #partitions = 0

  constructor(book: SituationBook, inspector: DiskInspector) {
    this.#book = book
    this.#inspector = inspector
  }

  get hasRunningReplay(): boolean {
    return this.#runningReplays.size > 0
  }

  get runningReplays(): Iterable<string> {
    return this.#runningReplays
  }

  applied({ rows }: AppliedCommit): void {
    for (const write of rows) {
      if (write.collection === 'deadLetters' && write.row) this.#letter(write.row)
      else if (write.collection === 'lanes') this.#lane(write.key, write.row)
      else if (write.collection === 'successors' && write.row) this.#successor(write.row)
      else if (write.collection === 'replays') this.#replay(write.key, write.row)
      else if (write.collection === 'replayParts') this.#follow(write.key, write.row)
      else if (write.collection === 'timers') this.#timer(write.key, write.row)
      else if (write.collection === 'suspects') this.#suspect(write.row !== undefined)
    }
  }

  /** Called often: parts of the log go without a commit. */
  look(): void {
    const { partitionCount } = this.#inspector
    if (partitionCount < this.#partitions) {
      const { firstPosition } = this.#inspector
      const isAhead = (position: number): boolean => position < firstPosition - 1
      if ([...this.#replayedTo.values()].some(isAhead)) this.#book.hit('retention-during-replay')
      if (this.#inspector.count('held') > 0) this.#book.hit('retention-while-held')
    }
    this.#partitions = partitionCount
  }

  started(wallMs: number, downSinceWallMs: number): void {
    const lanes = [...this.#lanes.values()]
    if (lanes.some(({ state }) => state === 'parked')) this.#book.hit('parked-across-restart')
    const wasDue = ({ dueAtMs }: TimerRow): boolean => dueAtMs > downSinceWallMs && dueAtMs < wallMs
    if ([...this.#timers.values()].some(wasDue)) this.#book.hit('retry-due-while-down')
  }

  died(): void {
    if (this.#suspects > 0) this.#book.hit('crash-in-recovery')
    if (this.hasRunningReplay) this.#book.hit('replay-crashed')
  }

  clockJumped(): void {
    if (this.#timers.size > 0) this.#book.hit('clock-jump-while-waiting')
  }

  #letter(row: DeadLetterRow): void {
    const before = this.#letters.get(row.id)
    this.#letters.set(row.id, row)
    if (!before) {
      if (row.crashes >= LIMITS.crashesMax) this.#book.hit('poison-quarantined')
      return
    }
    if (before.state === 'open' && row.state === 'resolved') this.#book.hit('dead-letter-recovered')
    if (row.state === 'open' && row.diedAtMs > before.diedAtMs)
      this.#book.hit('dead-letter-died-again')
  }

  #lane(key: string, row: LaneRow | undefined): void {
    if (row) this.#lanes.set(key, row)
    else this.#lanes.delete(key)
  }

  #successor(row: SuccessorRow): void {
    const isLive = row.replay === undefined && row.deadLetter === undefined
    if (!isLive) return
    this.#book.hit('successor-waits')
    if (this.#lanes.get(row.lane)?.state === 'replaying') this.#book.hit('replay-over-live')
  }

  #replay(id: string, row: ReplayRow | undefined): void {
    if (row?.state === 'running') this.#runningReplays.add(id)
    else this.#runningReplays.delete(id)
    // On a shared store each part has a place of its own.
    if (row?.parts === undefined) this.#follow(id, row)
  }

  #follow(key: string, row: ReplayRow | undefined): void {
    const isUnderWay = row?.state === 'running' || row?.state === 'paused'
    const { from }: { readonly from?: unknown } = { ...Object(row?.filter) }
    if (!isUnderWay || from !== 'messages') this.#replayedTo.delete(key)
    else this.#replayedTo.set(key, Number(row.cursor.split('\n')[1] ?? 0))
  }

  #timer(key: string, row: TimerRow | undefined): void {
    if (row) this.#timers.set(key, row)
    else this.#timers.delete(key)
  }

  #suspect(isSet: boolean): void {
    this.#suspects = Math.max(0, this.#suspects + (isSet ? 1 : -1))
    if (isSet) this.#book.hit('suspect-run-alone')
  }
}
