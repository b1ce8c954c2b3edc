import type { Clock, Timer } from '../kernel/index.ts'
import { LIMITS } from '../kernel/index.ts'
import type { PlacedRecord } from './wire-message.ts'

/**
 * Puts what a broker delivers of one channel into the order of the log. Partitions arrive beside
 * each other, a relay that was started again repeats itself, and a broker may lose messages: each
 * message names the one before it, so a gap is seen, and what does not come in time is asked for.
 *
 * Never gives a record twice and never skips one, whatever arrives.
 */
export interface ChannelIntake {
  /** Everything of the channel up to here was given. */
  readonly givenTo: number
  arrive(messages: readonly PlacedRecord[]): void
  /** A record is in the log up to this position: it is missed if it does not arrive. */
  expect(position: number): void
  /** What was read from the store instead: every record after `givenTo`, up to `scannedTo`. */
  fill(records: readonly Omit<PlacedRecord, 'previous'>[], scannedTo: number): void
  /** Nobody reads it for now: what is in the log up to there is neither given nor missed. */
  skipTo(position: number): void
  /** Whether something is expected that was not given. */
  readonly isBehind: boolean
  close(): void
}

export interface ChannelIntakeOptions {
  readonly clock: Clock
  readonly givenTo: number
  readonly give: (records: readonly Omit<PlacedRecord, 'previous'>[]) => void
  /** Called when something is missing for too long; again after that time until it is there. */
  readonly onMissing: () => void
}

export const createChannelIntake = (options: ChannelIntakeOptions): ChannelIntake =>
  new OrderedIntake(options)

class OrderedIntake implements ChannelIntake {
  readonly #options: ChannelIntakeOptions
  /** By the position before them. */
  readonly #early = new Map<number, PlacedRecord>()
  #earlyBytes = 0
  #givenTo: number
  #expectedTo = 0
  #timer: Timer | undefined
  /** Something had to be read from the store since the broker last brought anything. */
  #isDoubted = false
  #isClosed = false

  constructor(options: ChannelIntakeOptions) {
    this.#options = options
    this.#givenTo = options.givenTo
  }

  get givenTo(): number {
    return this.#givenTo
  }

  get isBehind(): boolean {
    return this.#expectedTo > this.#givenTo || this.#early.size > 0
  }

  arrive(messages: readonly PlacedRecord[]): void {
    const ready: PlacedRecord[] = []
    for (const message of messages) {
      if (message.position <= this.#givenTo) continue
      if (message.previous > this.#givenTo) {
        this.#keep(message)
        continue
      }
      this.#givenTo = message.position
      ready.push(message)
      if (this.#early.size > 0) this.#follow(ready)
    }
    if (ready.length > 0) {
      this.#isDoubted = false
      this.#options.give(ready)
    }
    this.#watch()
  }

  expect(position: number): void {
    this.#expectedTo = Math.max(this.#expectedTo, position)
    this.#watch()
  }

  fill(records: readonly Omit<PlacedRecord, 'previous'>[], scannedTo: number): void {
    const ready = records.filter(({ position }) => position > this.#givenTo)
    this.#givenTo = Math.max(this.#givenTo, scannedTo, ready.at(-1)?.position ?? 0)
    if (ready.length > 0) this.#options.give(ready)
    const followers: PlacedRecord[] = []
    this.#joinOverlapping(followers)
    if (followers.length > 0) this.#options.give(followers)
    this.#watch()
  }

  skipTo(position: number): void {
    this.#early.clear()
    this.#earlyBytes = 0
    this.#givenTo = Math.max(this.#givenTo, position)
    this.#expectedTo = Math.min(this.#expectedTo, this.#givenTo)
    this.#watch()
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
    this.#early.clear()
  }

  /** One that does not fit is left to the store. */
  #keep(message: PlacedRecord): void {
    const size = message.record.data.length
    if (this.#early.size >= LIMITS.brokerEarlyMax) return
    if (this.#earlyBytes + size > LIMITS.brokerEarlyBytesMax) return
    const known = this.#early.get(message.previous)
    if (known) this.#earlyBytes -= known.record.data.length
    this.#early.set(message.previous, message)
    this.#earlyBytes += size
  }

  /** Takes what follows in an unbroken chain. */
  #follow(ready: PlacedRecord[]): void {
    for (;;) {
      const next = this.#early.get(this.#givenTo)
      if (!next) return
      this.#givenTo = next.position
      ready.push(next)
      this.#forget(next)
    }
  }

  /** A place that came from the store may lie between a message and the one it names. */
  #joinOverlapping(ready: PlacedRecord[]): void {
    const early = [...this.#early.values()].sort((one, other) => one.position - other.position)
    for (const message of early) {
      if (message.position > this.#givenTo && message.previous > this.#givenTo) continue
      this.#forget(message)
      if (message.position <= this.#givenTo) continue
      this.#givenTo = message.position
      ready.push(message)
    }
  }

  #forget(message: PlacedRecord): void {
    if (this.#early.delete(message.previous)) this.#earlyBytes -= message.record.data.length
  }

  #watch(): void {
    if (!this.isBehind || this.#isClosed) {
      this.#timer?.cancel()
      this.#timer = undefined
      return
    }
    if (this.#timer) return
    const seenAt = this.#givenTo
    const patienceMs = this.#isDoubted ? LIMITS.brokerDoubtMs : LIMITS.brokerPatienceMs
    this.#timer = this.#options.clock.setTimer(patienceMs, () => {
      this.#timer = undefined
      // As long as it moves, what is missing may still be on its way.
      if (this.#givenTo === seenAt || this.#isDoubted) {
        this.#isDoubted = true
        this.#options.onMissing()
      }
      this.#watch()
    })
  }
}
