import { LIMITS } from '../../kernel/index.ts'
import { type OutboxRow, outboxShelf } from '../../outbox/index.ts'
import type { AppliedCommit } from '../../store/index.ts'
import type { LoggedMessage } from './message-books.ts'
import type { SituationBook } from './situations.ts'

export interface OutboxWatchOptions {
  readonly outbox: string
  /** Whether the contract says that one fact may come as several messages. */
  readonly hasFact: (type: string) => boolean
  readonly situations: SituationBook
  readonly fail: (sentence: string) => void
}

/** What became of one row of a service's outbox. */
interface WatchedRow {
  readonly row: OutboxRow
  readonly transaction: number
  readonly drawnAt: number
  /** Not so where a fact may come as several messages: all but the first are left out. */
  readonly mustArrive: boolean
  state: 'open' | 'committed' | 'rolled back'
  endedAt: number
  isMoved: boolean
}

/** What has arrived of one key. */
interface KeyArrivals {
  drawnAt: number
  id: string
  readonly lastOf: Map<number, number>
}

/**
 * The rows of one outbox against what arrives in the log: each committed one once, none of a
 * transaction that was rolled back or is still open, and of one key none before another that was
 * committed when its own number was drawn.
 */
export class OutboxWatch {
  readonly #options: OutboxWatchOptions
  readonly #rows = new Map<string, WatchedRow>()
  readonly #keys = new Map<string, KeyArrivals>()
  #waiting = 0
  #movedTo = 0

  constructor(options: OutboxWatchOptions) {
    this.#options = options
  }

  drawn(row: OutboxRow, at: { readonly transaction: number; readonly moment: number }): void {
    const { transaction, moment: drawnAt } = at
    const mustArrive = !this.#options.hasFact(row.type)
    this.#rows.set(row.id, {
      row,
      transaction,
      drawnAt,
      mustArrive,
      state: 'open',
      endedAt: 0,
      isMoved: false,
    })
  }

  ended(row: OutboxRow, at: { readonly isCommitted: boolean; readonly moment: number }): void {
    const watched = this.#rows.get(row.id)
    if (!watched) return
    watched.state = at.isCommitted ? 'committed' : 'rolled back'
    watched.endedAt = at.moment
    if (at.isCommitted && watched.mustArrive) this.#waiting += 1
    if (row.seq > this.#movedTo) return
    const { situations } = this.#options
    situations.hit(at.isCommitted ? 'outbox-late-commit' : 'outbox-gap-rolled-back')
  }

  /** What one commit of the store brought into the log, or on the shelf of invalid rows. */
  applied(messages: readonly LoggedMessage[], { rows }: AppliedCommit): void {
    for (const { id } of messages) this.#arrived(id, true)
    for (const write of rows) {
      if (write.collection === 'outboxCursors' && write.row) this.#checkGaps(write.row.gaps.length)
      if (write.collection !== 'invalid' || !write.row) continue
      const { webhook, messageId = '', state } = write.row
      if (state === 'open' && webhook === outboxShelf(this.#options.outbox)) {
        this.#arrived(messageId, false)
      }
    }
  }

  /** Committed rows that are not in the log yet. */
  get waiting(): number {
    return this.#waiting
  }

  /** At rest nothing that was committed is missing. */
  checkAll(): void {
    const { fail, outbox } = this.#options
    for (const { row, state, isMoved, mustArrive } of this.#rows.values()) {
      if (state === 'open') fail(`a transaction of outbox ${outbox} is still open`)
      if (state === 'committed' && mustArrive && !isMoved)
        fail(`${row.id}, number ${row.seq} of outbox ${outbox}, was committed and never moved`)
    }
  }

  #arrived(id: string, isInLog: boolean): void {
    const watched = this.#rows.get(id)
    if (!watched) return
    const { fail, outbox } = this.#options
    const { row, state } = watched
    if (state !== 'committed') {
      const what = state === 'open' ? 'is still open' : 'was rolled back'
      return fail(`${id} was moved from outbox ${outbox}, and its transaction ${what}`)
    }
    if (watched.isMoved) return fail(`${id} was moved twice from outbox ${outbox}`)
    watched.isMoved = true
    if (watched.mustArrive) this.#waiting -= 1
    this.#movedTo = Math.max(this.#movedTo, row.seq)
    if (isInLog) this.#checkOrder(watched)
  }

  #checkOrder({ row, endedAt, drawnAt, transaction }: WatchedRow): void {
    const { fail } = this.#options
    const name = `${row.type}\n${row.key ?? ''}`
    let key = this.#keys.get(name)
    if (!key) this.#keys.set(name, (key = { drawnAt: 0, id: '', lastOf: new Map() }))
    if (endedAt < key.drawnAt)
      fail(`${row.id} of ${row.key ?? '-'} was moved after ${key.id}, which was written after it`)
    if (row.seq < (key.lastOf.get(transaction) ?? 0))
      fail(`${row.id} of ${row.key ?? '-'} was moved after a later row of its transaction`)
    key.lastOf.set(transaction, row.seq)
    if (drawnAt <= key.drawnAt) return
    key.drawnAt = drawnAt
    key.id = row.id
  }

  #checkGaps(gaps: number): void {
    if (gaps <= LIMITS.outboxGapsMax) return
    this.#options.fail(`${gaps} gaps of ${this.#options.outbox} are kept in its cursor`)
  }
}
