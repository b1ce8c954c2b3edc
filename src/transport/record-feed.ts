import type { Clock, Logger } from '../kernel/index.ts'
import { LIMITS, messageOf, sleep } from '../kernel/index.ts'
import type { ReceivedMessage } from './broker.ts'
import type { RecordBookmark, RelayedTo } from '../store/index.ts'
import type { ForeignTopic, TopicReading, TopicState } from './foreign-topic.ts'
import {
  isNewOf,
  meetRecord,
  meetRelayed,
  offsetAfter,
  positionOf,
  placeOfSlot,
  type RecordLoss,
} from './record-place.ts'
import type { Delivered, Subscription } from './transport.ts'
import { fromRecordMessage } from './wire-message.ts'

export interface RecordFeedOptions {
  readonly topic: ForeignTopic
  readonly channel: string
  readonly partition: number
  readonly partitions: number
  readonly firstSlot: number
  readonly clock: Clock
  readonly log: Logger
  readonly afterPosition: number
  /** Nothing beyond it was given to a handler, by any run of this reader. */
  readonly usedTo: number
  /** A message at this position was handled by an earlier run of this reader; or 0. */
  readonly doneTo: number
  readonly bookmark: RecordBookmark
  /** What is in the topic now; the ends of its partitions are known then. */
  readonly inspect: () => Promise<TopicState>
  /** The end of the partition, once it was looked at since something was published. */
  readonly end: () => number | undefined
  /** The topic may be gone: make it again. */
  readonly onMissing: () => Promise<void>
  readonly onLost: (loss: RecordLoss) => void
  readonly onForeign: () => void
  readonly onMoved: () => void
  readonly onClosed: () => void
}

/**
 * One partition of a broker's topic as one reader of the log sees it. Messages get their positions
 * here, what a relay repeated is left out, and where the topic is not what it was, the reader goes
 * on where there is something and says what is gone.
 *
 * `closed` until somebody asks → `reading` → again from `closed` when the place is gone or the
 * broker cannot be read, after a pause → over with `close`.
 */
export class RecordFeed implements Subscription {
  readonly #options: RecordFeedOptions
  readonly #stop = new AbortController()
  #queue: Delivered[] = []
  #taken = 0
  #bytes = 0
  #scannedTo: number
  #givenTo: number
  /** The next offset wanted from the broker. */
  #next: number
  #bookmark: RecordBookmark
  /** What relays have brought, by the position of it, until the watermark is there. */
  #relayed: { readonly position: number; readonly store: string; readonly to: RelayedTo }[] = []
  /** The same as of the newest message. */
  readonly #relays = new Map<string, RelayedTo>()
  #reading: TopicReading | undefined
  /** The reader was told that its place is gone, and nobody has looked why. */
  #isGone = false
  #loop: Promise<void> | undefined
  #wakeReader: (() => void) | undefined
  #wakeTopic: (() => void) | undefined

  constructor(options: RecordFeedOptions) {
    const { bookmark, afterPosition, firstSlot } = options
    this.#options = options
    this.#bookmark = bookmark
    this.#scannedTo = afterPosition
    this.#givenTo = afterPosition
    this.#next = offsetAfter(bookmark, afterPosition, firstSlot)
    for (const [store, to] of Object.entries(bookmark.relayed)) this.#relays.set(store, to)
  }

  get scannedTo(): number {
    return this.#scannedTo
  }

  get givenTo(): number {
    return this.#givenTo
  }

  get atHead(): boolean {
    const end = this.#options.end()
    return this.#waiting === 0 && end !== undefined && this.#place >= end
  }

  get behind(): number {
    return this.#waiting + Math.max(0, (this.#options.end() ?? 0) - this.#place)
  }

  /** What the row with this watermark has to say for a reader that goes on from there. */
  bookmarkAt(watermark: number): RecordBookmark {
    let passed = 0
    while ((this.#relayed[passed]?.position ?? Infinity) <= watermark) passed += 1
    if (passed > 0) {
      const relayed: Record<string, RelayedTo> = { ...this.#bookmark.relayed }
      for (const { store, to } of this.#relayed.splice(0, passed)) relayed[store] = to
      const newest = Object.entries(relayed).slice(-LIMITS.recordStoresMax)
      this.#bookmark = { ...this.#bookmark, relayed: Object.fromEntries(newest) }
    }
    return this.#bookmark
  }

  async next(limit: number, signal: AbortSignal): Promise<readonly Delivered[]> {
    this.#loop ??= this.#run()
    while (!signal.aborted && !this.#stop.signal.aborted) {
      if (this.#waiting > 0) return this.#take(limit, Infinity)
      await this.#untilMore(signal)
    }
    return []
  }

  /** Everything up to a position that is there now, for whoever must not wait for more. */
  async readTo(position: number, signal: AbortSignal): Promise<readonly Delivered[]> {
    this.#loop ??= this.#run()
    const all: Delivered[] = []
    while (!signal.aborted && !this.#stop.signal.aborted) {
      all.push(...this.#take(Infinity, position))
      if (this.#waiting > 0 || this.#scannedTo >= position || this.atHead) return all
      await this.#untilMore(signal)
    }
    return all
  }

  /** The end of the partition is known anew. */
  looked(): void {
    this.#wakeReader?.()
    this.#options.onMoved()
  }

  close(): void {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    this.#wakeReader?.()
    this.#wakeTopic?.()
    this.#options.onClosed()
  }

  /** Resolves when nothing of it goes on any more. */
  async ended(): Promise<void> {
    await this.#loop
  }

  get #waiting(): number {
    return this.#queue.length - this.#taken
  }

  /** Also behind what holds no message for us. */
  get #place(): number {
    const { partition } = this.#options
    const read = Number(this.#reading?.places()[String(partition)] ?? 0)
    return this.#waiting === 0 ? Math.max(this.#next, read) : this.#next
  }

  #take(limit: number, upTo: number): readonly Delivered[] {
    const from = this.#taken
    let to = Math.min(this.#queue.length, from + limit)
    if (upTo !== Infinity) {
      const beyond = this.#queue.findIndex(({ position }, at) => at >= from && position > upTo)
      if (beyond >= 0) to = Math.min(to, beyond)
    }
    const given = this.#queue.slice(from, to)
    this.#taken = to
    for (const { record } of given) this.#bytes -= record.data.length
    if (this.#taken === this.#queue.length) {
      this.#queue = []
      this.#taken = 0
    }
    const last = given.at(-1)
    if (last) this.#givenTo = last.position
    const passed = this.#waiting === 0 ? this.#before(this.#next) : (last?.position ?? 0)
    this.#scannedTo = Math.max(this.#scannedTo, passed)
    this.#wakeTopic?.()
    return given
  }

  /** The position before the one that an offset will have. */
  #before(offset: number): number {
    return positionOf(this.#bookmark, offset, this.#options.firstSlot) - 1
  }

  #untilMore(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#wakeReader = undefined
        signal.removeEventListener('abort', wake)
        resolve()
      }
      this.#wakeReader = wake
      signal.addEventListener('abort', wake, { once: true })
    })
  }

  async #run(): Promise<void> {
    const { clock, log, channel, partition } = this.#options
    const { signal } = this.#stop
    for (let tries = 0; !signal.aborted;) {
      try {
        await this.#readOnce()
        tries = 0
      } catch (error) {
        if (signal.aborted) return
        const fields = { channel, partition, problem: messageOf(error) }
        if (tries === 0) log.warn(fields, 'the record cannot be read; trying again')
        await sleep(clock, Math.min(LIMITS.relayPauseMsMax, 50 * 2 ** tries++), signal)
        await this.#options.onMissing().catch(() => undefined)
      }
    }
  }

  /** Until the place is gone, or it is closed. */
  async #readOnce(): Promise<void> {
    const { topic, partition, onLost, inspect } = this.#options
    this.#meet(await inspect())
    const over = Promise.withResolvers<void>()
    const end = (): void => over.resolve()
    const { signal } = this.#stop
    signal.addEventListener('abort', end, { once: true })
    try {
      if (signal.aborted) return
      this.#reading = await topic.read({
        from: { [String(partition)]: String(this.#next) },
        partitions: [partition],
        incarnation: this.#bookmark.incarnation,
        onBatch: (messages) => this.#arrived(messages),
        onPlaceGone: () => {
          this.#isGone = true
          end()
        },
        onSkipped: (_, offsets) => onLost({ kind: 'retention', offsets }),
      })
      await over.promise
    } finally {
      signal.removeEventListener('abort', end)
      const reading = this.#reading
      this.#reading = undefined
      await reading?.close()
    }
  }

  #meet(state: TopicState): void {
    const { partition, firstSlot, onLost, onMoved, usedTo, doneTo } = this.#options
    const used = Math.max(usedTo, this.#givenTo, this.#before(this.#next))
    // What was handled has been there; behind a loss that was met, this is its end.
    const seenTo = offsetAfter(this.#bookmark, doneTo, firstSlot)
    const place = { next: this.#next, usedTo: used, seenTo }
    const { bookmark, next, loss } = meetRecord(this.#bookmark, place, { state, partition })
    this.#bookmark = bookmark
    this.#next = next
    if (this.#waiting === 0) this.#scannedTo = Math.max(this.#scannedTo, this.#before(next))
    if (loss) onLost(loss)
    // It was gone, and is there again by now: written anew, perhaps with something in its stead.
    else if (this.#isGone) onLost({ kind: 'end', offsets: 0 })
    this.#isGone = false
    this.#wakeReader?.()
    onMoved()
  }

  /** Resolves when there is room for more. */
  async #arrived(messages: readonly ReceivedMessage[]): Promise<void> {
    for (const message of messages) this.#accept(message)
    if (this.#waiting === 0) this.#scannedTo = Math.max(this.#scannedTo, this.#before(this.#next))
    this.#wakeReader?.()
    this.#options.onMoved()
    while (this.#isFull && !this.#stop.signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#wakeTopic = resolve
      })
    }
    this.#wakeTopic = undefined
  }

  get #isFull(): boolean {
    return (
      this.#waiting > LIMITS.recordQueueMax ||
      (this.#waiting > 0 && this.#bytes > LIMITS.recordQueueBytesMax)
    )
  }

  #accept(message: ReceivedMessage): void {
    const { partition, partitions, firstSlot, onForeign } = this.#options
    const offset = Number(message.offset)
    // A reader that began again may repeat.
    if (message.partition !== partition || offset < this.#next) return
    this.#next = offset + 1
    const found = fromRecordMessage(message)
    if (!found || placeOfSlot(found.slot, partitions) !== partition) return onForeign()
    const { slot, atMs, record, relay } = found
    const position = positionOf(this.#bookmark, offset, firstSlot)
    if (relay) {
      const known = this.#relays.get(relay.store)
      const to = meetRelayed(known, relay)
      this.#relays.set(relay.store, to)
      this.#relayed.push({ position, store: relay.store, to })
      if (!isNewOf(known, to)) return
    }
    this.#bytes += record.data.length
    this.#queue.push({ position, slot, atMs, record })
  }
}
