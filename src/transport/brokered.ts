import { LIMITS, messageOf, type Timer } from '../kernel/index.ts'
import type { Appended, Store } from '../store/index.ts'
import type { Broker, Reading, ReceivedMessage } from './broker.ts'
import { type ChannelIntake, createChannelIntake } from './channel-intake.ts'
import {
  type ChannelRelays,
  type ChannelRelaysOptions,
  createChannelRelays,
  type RelayEvents,
  type RelayPlace,
} from './channel-relays.ts'
import { createEmbeddedTransport, decodeLazily, type EmbeddedTransport } from './embedded.ts'
import type { LogReader, Delivered, LogTransport, Subscription } from './transport.ts'
import { fromBrokerMessage } from './wire-message.ts'

/**
 * A broker between the log and the consumers, while the store stays the record. A relay per channel
 * publishes what was appended; what arrives is put into the order of the log and checked against
 * the chain of positions. What the broker loses, delays or cannot take is read from the store, so
 * that its failure delays consumers by a moment and loses nothing. Until it is started, consumers
 * are given everything from the store.
 *
 * Where several processes share the store, a channel is followed while somebody here reads it,
 * whoever publishes it. What a process does not follow it neither expects nor reads.
 */
export interface BrokeredTransport extends LogTransport, ChannelRelays {
  /** The log as the relays read it: the store's own, with nothing between. */
  readonly log: LogTransport
}

export interface BrokeredTransportOptions extends Omit<
  ChannelRelaysOptions,
  'log' | 'prepare' | 'on'
> {
  readonly store: Store
  readonly on: BrokeredEvents
}

export interface BrokeredEvents extends RelayEvents {
  /** Records that came from the store because the broker did not bring them. */
  recovered(channel: string, count: number): void
  /** A message of another system in one of our channels; it is left alone. */
  foreign(channel: string): void
}

export const createBrokeredTransport = (options: BrokeredTransportOptions): BrokeredTransport =>
  new StoreBackedTransport(options)

/** One channel as this process sees it. */
interface Lane {
  /** What was given to consumers: complete and in order. */
  readonly given: EmbeddedTransport
  readonly intake: ChannelIntake
  reading?: Reading
  isFilling: boolean
  /** Subscriptions that are open. */
  readers: number
  /** Beginning and ending to follow it, one after the other. */
  turning: Promise<void>
}

const READ_BYTES_MAX = 8_388_608

class StoreBackedTransport implements BrokeredTransport {
  readonly #options: BrokeredTransportOptions
  /** The log as the relays read it. */
  readonly #log: EmbeddedTransport
  readonly #relays: ChannelRelays
  readonly #lanes = new Map<string, Lane>()
  readonly #isShared: boolean
  #broker: Broker | undefined
  #isConnected = false
  #isClosed = false
  #filling: Promise<void>[] = []
  #othersTimer: Timer | undefined

  constructor(options: BrokeredTransportOptions) {
    this.#options = options
    this.#isShared = options.isShared === true
    this.#log = createEmbeddedTransport(options.store, options.headPosition, {
      isShared: options.store.features.multiProcess,
    })
    this.#relays = createChannelRelays({
      ...options,
      log: this.#log,
      prepare: (_broker, channel) => this.#turn(channel),
    })
    for (const { channel, isRecord } of options.channels) {
      // What the broker is the record of is read from there, and from there alone.
      if (isRecord !== true) this.#lanes.set(channel, this.#createLane(channel))
    }
  }

  get log(): LogTransport {
    return this.#log
  }

  get head(): number {
    return this.#log.head
  }

  get taken(): ReadonlySet<string> {
    return this.#relays.taken
  }

  get places(): ReadonlyMap<string, RelayPlace> {
    return this.#relays.places
  }

  get unpublished(): number {
    return this.#relays.unpublished
  }

  take(channel: string): void {
    this.#relays.take(channel)
  }

  giveBack(channel: string): Promise<RelayPlace | undefined> {
    return this.#relays.giveBack(channel)
  }

  async start(broker: Broker): Promise<void> {
    this.#broker = broker
    await this.#relays.start(broker)
    this.#isConnected = true
    this.#awaitOthers(this.head)
  }

  advanced(head: number): void {
    this.#log.advanced(head)
    if (this.#isConnected) this.#awaitOthers(this.head)
    else this.#readTo(this.head)
  }

  appended(records: readonly Appended[]): void {
    this.#log.appended(records)
    const { headPosition } = this.#options
    for (const { append, position } of records) {
      const lane = this.#lanes.get(append.channel)
      // What the relay leaves out never arrives.
      const isMessage = append.record === undefined || append.record.data.length > 0
      if (!lane || !this.#isFollowed(lane)) continue
      if (isMessage && position > headPosition) lane.intake.expect(position)
    }
    if (!this.#isConnected) this.#fillAll()
  }

  subscribe(channel: string, afterPosition: number, reader?: LogReader): Subscription {
    const lane = this.#lanes.get(channel)
    // A channel that nobody publishes to has its records in the store alone.
    if (!lane) return this.#log.subscribe(channel, afterPosition, reader)
    if (this.#isShared && lane.readers === 0) this.#skipTo(lane, this.head)
    lane.readers += 1
    const inner = lane.given.subscribe(channel, afterPosition, reader)
    this.#turnLater(channel)
    let isOpen = true
    return {
      next: (limit, signal) => inner.next(limit, signal),
      get scannedTo() {
        return inner.scannedTo
      },
      get givenTo() {
        return inner.givenTo
      },
      get atHead() {
        return inner.atHead && !lane.intake.isBehind
      },
      close: () => {
        inner.close()
        if (!isOpen) return
        isOpen = false
        lane.readers -= 1
        if (!this.#isShared || lane.readers > 0) return
        lane.intake.skipTo(this.head)
        this.#turnLater(channel)
      },
    }
  }

  hasPublished(position: number): boolean {
    return this.#relays.hasPublished(position)
  }

  look(): Promise<boolean> {
    return this.#relays.look()
  }

  dropped(position: number): void {
    this.#relays.dropped(position)
  }

  connected(isConnected: boolean): void {
    this.#isConnected = isConnected
    this.#relays.connected(isConnected)
    if (!isConnected) this.#fillAll()
    else for (const [channel, lane] of this.#followed) if (!lane.reading) this.#turnLater(channel)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#othersTimer?.cancel()
    for (const { intake } of this.#lanes.values()) intake.close()
    await this.#relays.close()
    for (const { turning } of this.#lanes.values()) await turning
    for (const { reading } of this.#lanes.values()) await reading?.close()
    await Promise.all(this.#filling)
    for (const { given } of this.#lanes.values()) await given.close()
    await this.#log.close()
  }

  /** Where the store is shared, each process follows what it reads, and nothing else. */
  #isFollowed({ readers }: Lane): boolean {
    return !this.#isShared || readers > 0
  }

  get #followed(): readonly (readonly [string, Lane])[] {
    return [...this.#lanes].filter(([, lane]) => this.#isFollowed(lane))
  }

  /** Follows the channel, or no longer. */
  #turn(channel: string): Promise<void> {
    const lane = this.#lanes.get(channel)
    if (!lane) return Promise.resolve()
    const turned = lane.turning.then(() => this.#follow(channel, lane))
    lane.turning = turned.catch(() => undefined)
    return turned
  }

  #turnLater(channel: string): void {
    this.#turn(channel).catch((error: unknown) => {
      // Tried again when the broker is reached again; until then the store has it.
      const fields = { channel, problem: messageOf(error) }
      this.#options.kernel.log.warn(fields, 'the broker could not be followed')
    })
  }

  async #follow(channel: string, lane: Lane): Promise<void> {
    const broker = this.#broker
    if (!broker || this.#isClosed) return
    if (!this.#isFollowed(lane)) {
      const { reading } = lane
      delete lane.reading
      await reading?.close()
      return
    }
    if (lane.reading) return
    lane.reading = await broker.follow(channel, (messages) => this.#arrived(channel, messages))
    // What was published before this is not brought any more.
    if (this.#isShared && this.#isConnected) {
      lane.intake.expect(this.head)
      if (lane.intake.isBehind) this.#fill(channel)
    }
  }

  /** Nobody has read it here: up to there, readers find it in the store. */
  #skipTo({ given, intake }: Lane, position: number): void {
    given.advanced(position)
    intake.skipTo(position)
  }

  #createLane(channel: string): Lane {
    const { store, headPosition, kernel } = this.#options
    const given = createEmbeddedTransport(store, headPosition)
    const intake = createChannelIntake({
      clock: kernel.clock,
      givenTo: headPosition,
      give: (records) => given.appended(records.map((one) => asAppended(channel, one))),
      onMissing: () => this.#fill(channel),
    })
    return { given, intake, isFilling: false, readers: 0, turning: Promise.resolve() }
  }

  #arrived(channel: string, messages: readonly ReceivedMessage[]): void {
    const lane = this.#lanes.get(channel)
    if (!lane || !this.#isFollowed(lane)) return
    const placed = []
    for (const message of messages) {
      const record = fromBrokerMessage(message, this.#options.storeId)
      if (record) placed.push(record)
      else this.#options.on.foreign(channel)
    }
    if (placed.length > 0) lane.intake.arrive(placed)
  }

  /**
   * Other processes append as well, and to which channels they do not say. What their records are
   * by now and has not arrived after this time is read from the store.
   */
  #awaitOthers(head: number): void {
    const isBehind = this.#followed.some(([, { intake }]) => intake.givenTo < head)
    if (!isBehind || this.#isClosed) return
    this.#othersTimer ??= this.#options.kernel.clock.setTimer(LIMITS.brokerPatienceMs, () => {
      this.#othersTimer = undefined
      this.#readTo(head)
      if (this.head > head) this.#awaitOthers(this.head)
    })
  }

  /** Whatever the channels have up to there and the broker has not brought. */
  #readTo(head: number): void {
    for (const [, { intake }] of this.#followed) intake.expect(head)
    this.#fillAll()
  }

  #fillAll(): void {
    for (const [channel, { intake }] of this.#followed) if (intake.isBehind) this.#fill(channel)
  }

  #fill(channel: string): void {
    const lane = this.#lanes.get(channel)
    if (!lane || lane.isFilling || this.#isClosed || !this.#isFollowed(lane)) return
    lane.isFilling = true
    const filled = this.#readMissing(channel, lane)
      .catch((error: unknown) => {
        // Asked for again, by the intake or by the next commit.
        const fields = { channel, problem: messageOf(error) }
        this.#options.kernel.log.warn(fields, 'the log could not be read')
      })
      .finally(() => (lane.isFilling = false))
    this.#track(filled)
  }

  async #readMissing(channel: string, { intake }: Lane): Promise<void> {
    while (intake.isBehind && !this.#isClosed) {
      const page = await this.#options.store.readLog({
        channel,
        afterPosition: intake.givenTo,
        limit: LIMITS.relayBatchMax,
        bytesMax: READ_BYTES_MAX,
      })
      const records = page.records.map(decodeLazily)
      if (this.#isClosed || page.scannedTo <= intake.givenTo) return
      this.#options.on.recovered(channel, records.length)
      intake.fill(records, page.scannedTo)
    }
  }

  #track(work: Promise<void>): void {
    this.#filling.push(work)
    void work.finally(() => {
      this.#filling = this.#filling.filter((one) => one !== work)
    })
  }
}

const NOTHING = new Uint8Array()

const asAppended = (channel: string, { position, slot, atMs, record }: Delivered): Appended => ({
  append: { channel, slot, atMs, bytes: NOTHING, record },
  position,
})
