import { type Clock, LIMITS, type Logger, messageOf, type Timer } from '../kernel/index.ts'
import type { Committer, RepeatRow, RowWrite, Store } from '../store/index.ts'
import type { RaiseBorderAlert } from './border-events.ts'
import type { FirstMessage } from './repeat-verdict.ts'
import type { WebhookDesk } from './webhook-desk.ts'

export interface Repeat {
  readonly webhook: string
  readonly first: FirstMessage
  /** Other content under the same key, taken as a repeat by the rule `first-wins`. */
  readonly isDifferent: boolean
}

/** What one partner repeats. */
export interface RepeatSummary {
  readonly webhook: string
  /** Repeats in the last full minute. */
  readonly perMinute: number
  /** The message that has been repeated for the longest, among those of the last day. */
  readonly longest: RepeatRow | undefined
  /** Repeated messages, the latest first, at most LIMITS.pageRowsMax. */
  readonly messages: readonly RepeatRow[]
}

/**
 * Counts repeats per message. Counting costs no commit: counts are held in memory and written at
 * most once a second and at `close`. A crash loses at most that second of counts, never a message.
 * At most LIMITS.repeatsTrackedMax messages are held; while that is full, further ones are only
 * counted for the webhook.
 */
export interface RepeatBook {
  note(repeat: Repeat): void
  summary(webhook: string): Promise<RepeatSummary>
  countOf(webhook: string, messageId: string): Promise<RepeatRow | undefined>
  /** Writes what is counted. Idempotent. */
  close(): Promise<void>
}

export interface RepeatBookOptions {
  readonly clock: Clock
  readonly log: Logger
  readonly store: Store
  readonly committer: Committer
  readonly deskNamed: (name: string) => WebhookDesk | undefined
  readonly raiseAlert: RaiseBorderAlert
}

/** Counts of one message since the last flush. */
interface Pending {
  readonly webhook: string
  readonly first: FirstMessage
  lastAtMs: number
  repeats: number
  differences: number
}

const FLUSH_MS = 1_000
const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
const PRUNE_ROWS = 100
/** A flush of many counts must not hold one commit for long. */
const ROWS_PER_UNIT = 500

export const createRepeatBook = (options: RepeatBookOptions): RepeatBook =>
  new CoalescingRepeatBook(options)

/** Modes: idle without a timer; counting with one; flushing while a write is on its way. */
class CoalescingRepeatBook implements RepeatBook {
  readonly #options: RepeatBookOptions
  readonly #rates = new Map<string, MinuteRate>()
  #pending = new Map<string, Pending>()
  #timer: Timer | undefined
  #flushing: Promise<void> | undefined
  #prunedAtMs = -Infinity
  #isClosed = false

  constructor(options: RepeatBookOptions) {
    this.#options = options
  }

  note({ webhook, first, isDifferent }: Repeat): void {
    const { clock } = this.#options
    const rate = this.#rates.get(webhook) ?? new MinuteRate()
    this.#rates.set(webhook, rate)
    rate.add(clock.monotonicMs())
    const key = rowKey(webhook, first.id)
    let pending = this.#pending.get(key)
    if (!pending) {
      if (this.#pending.size >= LIMITS.repeatsTrackedMax) return
      pending = { webhook, first, lastAtMs: 0, repeats: 0, differences: 0 }
      this.#pending.set(key, pending)
    }
    pending.lastAtMs = clock.now()
    pending.repeats++
    if (isDifferent) pending.differences++
    if (!this.#isClosed) this.#timer ??= clock.setTimer(FLUSH_MS, () => void this.#flush())
  }

  async summary(webhook: string): Promise<RepeatSummary> {
    await this.#flush()
    const { clock, store } = this.#options
    const nowMs = clock.now()
    const rows = await store.scan({
      collection: 'repeats',
      index: 'byWebhook',
      where: [webhook],
      from: nowMs - LIMITS.repeatsKeptMs,
      reverse: true,
      limit: LIMITS.pageRowsMax,
    })
    const messages = rows.map(({ row }) => row)
    const recent = messages.filter((row) => row.lastAtMs >= nowMs - DAY_MS)
    const longest = recent.toSorted((left, right) => left.firstAtMs - right.firstAtMs)[0]
    const perMinute = this.#rates.get(webhook)?.read(clock.monotonicMs()) ?? 0
    return { webhook, perMinute, longest, messages }
  }

  async countOf(webhook: string, messageId: string): Promise<RepeatRow | undefined> {
    const row = await this.#options.store.row('repeats', rowKey(webhook, messageId))
    const pending = this.#pending.get(rowKey(webhook, messageId))
    return pending ? addUp(row, pending) : row
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#flush()
    await this.#flush()
  }

  #flush(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#flushing ??= this.#write().finally(() => {
      this.#flushing = undefined
    })
    return this.#flushing
  }

  async #write(): Promise<void> {
    const { store, committer, log } = this.#options
    const counted = this.#pending
    if (counted.size === 0) return
    this.#pending = new Map()
    try {
      const rows: RowWrite[] = []
      for (const [key, pending] of counted) {
        const before = await store.row('repeats', key)
        const row = addUp(before, pending)
        rows.push({ collection: 'repeats', key, row })
        if (isLongRetry(row) && !(before && isLongRetry(before))) rows.push(...this.#alert(row))
      }
      rows.push(...(await this.#prune()))
      for (let start = 0; start < rows.length; start += ROWS_PER_UNIT) {
        await committer.submit({ rows: rows.slice(start, start + ROWS_PER_UNIT) })
      }
    } catch (error) {
      // The store refuses writes: the messages are safe, and counts may be lost.
      log.warn({ problem: messageOf(error), messages: counted.size }, 'repeats were not counted')
    }
  }

  #alert(row: RepeatRow): readonly RowWrite[] {
    const webhook = this.#options.deskNamed(row.webhook)?.webhook
    return this.#options.raiseAlert({
      kind: 'retrying',
      cause: `retrying:${row.webhook}`,
      title: `${row.webhook}: the sender keeps repeating messages that were accepted long ago`,
      webhook: row.webhook,
      owner: webhook?.owner ?? webhook?.accepts.owner,
      severity: 'warning',
      atMs: row.lastAtMs,
    })
  }

  /** Forgets counts that nobody needs any more, a few at a time, at most once an hour. */
  async #prune(): Promise<readonly RowWrite[]> {
    const { clock, store } = this.#options
    if (clock.monotonicMs() - this.#prunedAtMs < 60 * MINUTE_MS) return []
    this.#prunedAtMs = clock.monotonicMs()
    const old: RowWrite[] = []
    for (const webhook of this.#rates.keys()) {
      const rows = await store.scan({
        collection: 'repeats',
        index: 'byWebhook',
        where: [webhook],
        to: clock.now() - LIMITS.repeatsKeptMs,
        limit: PRUNE_ROWS,
      })
      for (const { key } of rows) old.push({ collection: 'repeats', key, row: undefined })
    }
    return old
  }
}

const rowKey = (webhook: string, messageId: string): string => `${webhook}\n${messageId}`

const isLongRetry = (row: RepeatRow): boolean =>
  row.lastAtMs - row.firstAtMs >= LIMITS.repeatAlertAfterMs

function addUp(before: RepeatRow | undefined, pending: Pending): RepeatRow {
  return {
    webhook: pending.webhook,
    messageId: pending.first.id,
    position: pending.first.position,
    firstAtMs: pending.first.receivedAtMs,
    lastAtMs: pending.lastAtMs,
    repeats: (before?.repeats ?? 0) + pending.repeats,
    differences: (before?.differences ?? 0) + pending.differences,
  }
}

/** Two buckets of a minute: the last full one is the rate. */
class MinuteRate {
  #minute = 0
  #current = 0
  #last = 0

  add(monotonicMs: number): void {
    this.#turn(monotonicMs)
    this.#current++
  }

  read(monotonicMs: number): number {
    this.#turn(monotonicMs)
    return Math.max(this.#last, this.#current)
  }

  #turn(monotonicMs: number): void {
    const minute = Math.floor(monotonicMs / MINUTE_MS)
    if (minute === this.#minute) return
    this.#last = minute === this.#minute + 1 ? this.#current : 0
    this.#current = 0
    this.#minute = minute
  }
}
