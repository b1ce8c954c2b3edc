import { decodeRecord } from '../contract/index.ts'
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
import { createEmbeddedTransport, type EmbeddedTransport } from './embedded.ts'
import type { Delivered, LogTransport, Subscription } from './transport.ts'
import { fromBrokerMessage } from './wire-message.ts'

/**
 * A broker between the log and the consumers, while the store stays the record. A relay per channel
 * publishes what was appended; what arrives is put into the order of the log and checked against
 * the chain of positions. What the broker loses, delays or cannot take is read from the store, so
 * that its failure delays consumers by a moment and loses nothing. Until it is started, consumers
 * are given everything from the store.
 */
export interface BrokeredTransport extends LogTransport, ChannelRelays {}

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
}

const READ_BYTES_MAX = 8_388_608

class StoreBackedTransport implements BrokeredTransport {
  readonly #options: BrokeredTransportOptions
  /** The log as the relays read it. */
  readonly #log: EmbeddedTransport
  readonly #relays: ChannelRelays
  readonly #lanes = new Map<string, Lane>()
  #isConnected = false
  #isClosed = false
  #filling: Promise<void>[] = []
  #othersTimer: Timer | undefined

  constructor(options: BrokeredTransportOptions) {
    this.#options = options
    this.#log = createEmbeddedTransport(options.store, options.headPosition, {
      isShared: options.store.features.multiProcess,
    })
    this.#relays = createChannelRelays({
      ...options,
      log: this.#log,
      prepare: (broker, channel) => this.#follow(broker, channel),
    })
    for (const { channel, isRecord } of options.channels) {
      // What the broker is the record of is read from there, and from there alone.
      if (isRecord !== true) this.#lanes.set(channel, this.#createLane(channel))
    }
  }

  get head(): number {
    return this.#log.head
  }

  get places(): ReadonlyMap<string, RelayPlace> {
    return this.#relays.places
  }

  get unpublished(): number {
    return this.#relays.unpublished
  }

  async start(broker: Broker): Promise<void> {
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
      if (lane && isMessage && position > headPosition) lane.intake.expect(position)
    }
    if (!this.#isConnected) this.#fillAll()
  }

  subscribe(channel: string, afterPosition: number): Subscription {
    const lane = this.#lanes.get(channel)
    // A channel that nobody publishes to has its records in the store alone.
    if (!lane) return this.#log.subscribe(channel, afterPosition)
    const inner = lane.given.subscribe(channel, afterPosition)
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
      close: () => inner.close(),
    }
  }

  hasPublished(position: number): boolean {
    return this.#relays.hasPublished(position)
  }

  dropped(position: number): void {
    this.#relays.dropped(position)
  }

  connected(isConnected: boolean): void {
    this.#isConnected = isConnected
    this.#relays.connected(isConnected)
    if (!isConnected) this.#fillAll()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#othersTimer?.cancel()
    for (const { intake } of this.#lanes.values()) intake.close()
    await this.#relays.close()
    for (const { reading } of this.#lanes.values()) await reading?.close()
    await Promise.all(this.#filling)
    for (const { given } of this.#lanes.values()) await given.close()
    await this.#log.close()
  }

  async #follow(broker: Broker, channel: string): Promise<void> {
    const lane = this.#lanes.get(channel)
    if (!lane) return
    lane.reading ??= await broker.follow(channel, (messages) => this.#arrived(channel, messages))
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
    return { given, intake, isFilling: false }
  }

  #arrived(channel: string, messages: readonly ReceivedMessage[]): void {
    const placed = []
    for (const message of messages) {
      const record = fromBrokerMessage(message, this.#options.storeId)
      if (record) placed.push(record)
      else this.#options.on.foreign(channel)
    }
    this.#lanes.get(channel)?.intake.arrive(placed)
  }

  /**
   * Other processes append as well, and to which channels they do not say. What their records are
   * by now and has not arrived after this time is read from the store.
   */
  #awaitOthers(head: number): void {
    const isBehind = [...this.#lanes.values()].some(({ intake }) => intake.givenTo < head)
    if (!isBehind || this.#isClosed) return
    this.#othersTimer ??= this.#options.kernel.clock.setTimer(LIMITS.brokerPatienceMs, () => {
      this.#othersTimer = undefined
      this.#readTo(head)
      if (this.head > head) this.#awaitOthers(this.head)
    })
  }

  /** Whatever the channels have up to there and the broker has not brought. */
  #readTo(head: number): void {
    for (const { intake } of this.#lanes.values()) intake.expect(head)
    this.#fillAll()
  }

  #fillAll(): void {
    for (const [channel, { intake }] of this.#lanes) if (intake.isBehind) this.#fill(channel)
  }

  #fill(channel: string): void {
    const lane = this.#lanes.get(channel)
    if (!lane || lane.isFilling || this.#isClosed) return
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
      const records = page.records.map((stored) => ({
        ...stored,
        record: decodeRecord(stored.bytes, stored.position),
      }))
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
