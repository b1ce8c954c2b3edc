import { decodeRecord } from '../contract/index.ts'
import { type Kernel, LIMITS, messageOf, type Timer } from '../kernel/index.ts'
import type { Appended, Store } from '../store/index.ts'
import type { Broker, Reading, ReceivedMessage } from './broker.ts'
import { type BrokerRelay, startBrokerRelay } from './broker-relay.ts'
import { type ChannelIntake, createChannelIntake } from './channel-intake.ts'
import { createEmbeddedTransport, type EmbeddedTransport } from './embedded.ts'
import type { Delivered, LogTransport, Subscription } from './transport.ts'
import { fromBrokerMessage } from './wire-message.ts'

/**
 * A broker between the log and the consumers, while the store stays the record. A relay per channel
 * publishes what was appended; what arrives is put into the order of the log and checked against
 * the chain of positions. What the broker loses, delays or cannot take is read from the store, so
 * that its failure delays consumers by a moment and loses nothing.
 *
 * The places of the relays are the caller's to keep: `places` gives them, `publishedTo` takes them.
 */
export interface BrokeredTransport extends LogTransport {
  /**
   * Takes the broker into use: follows the channels and publishes what is not yet published. Until
   * then, consumers are given everything from the store. Called again after it has failed.
   *
   * @throws what `Broker.ensure` throws.
   */
  start(broker: Broker): Promise<void>
  /** Records that wait to be published, by positions: at most so many. */
  readonly unpublished: number
  /** How far each channel is published, and what the broker was like then. */
  readonly places: ReadonlyMap<string, RelayPlace>
  /** Whether everything up to a position is published, as far as the channels reach. */
  hasPublished(position: number): boolean
  /** The broker is reached again, or not any more. */
  connected(isConnected: boolean): void
}

/** Where a relay is, and how its channel looked in the broker: to notice that it lost something. */
export interface RelayPlace {
  readonly publishedTo: number
  readonly incarnation: string
  readonly ends: Readonly<Record<string, string>>
}

export interface BrokeredTransportOptions {
  readonly store: Store
  readonly kernel: Pick<Kernel, 'clock' | 'log'>
  readonly channels: readonly { readonly channel: string; readonly retentionMs: number }[]
  /** Identity of the store. */
  readonly storeId: string
  readonly headPosition: number
  /** Of the last run. */
  readonly places: ReadonlyMap<string, RelayPlace>
  /** The position after which a broker that lost something is given everything again. */
  readonly republishAfter: () => Promise<number>
  readonly on: BrokeredEvents
}

export interface BrokeredEvents {
  /** A place has changed. */
  moved(): void
  published(channel: string, count: number): void
  /** Records that came from the store because the broker did not bring them. */
  recovered(channel: string, count: number): void
  /** The broker no longer has what it had confirmed; it is published again after `position`. */
  lost(channel: string, problem: string, position: number): void
  /** A record that is too large for the broker; our consumers get it from the store. */
  oversize(channel: string, position: number, bytes: number): void
  /** A message of another system in one of our channels; it is left alone. */
  foreign(channel: string): void
  stopped(channel: string, error: unknown): void
}

export const createBrokeredTransport = (options: BrokeredTransportOptions): BrokeredTransport =>
  new StoreBackedTransport(options)

/** One channel as this process sees it. */
interface Lane {
  /** What was given to consumers: complete and in order. */
  readonly given: EmbeddedTransport
  readonly intake: ChannelIntake
  relay?: BrokerRelay
  reading?: Reading
  incarnation: string
  ends: Readonly<Record<string, string>>
  isFilling: boolean
}

const READ_BYTES_MAX = 8_388_608

class StoreBackedTransport implements BrokeredTransport {
  readonly #options: BrokeredTransportOptions
  /** The log as the relays read it. */
  readonly #log: EmbeddedTransport
  readonly #lanes = new Map<string, Lane>()
  #broker: Broker | undefined
  #isConnected = false
  #isClosed = false
  #filling: Promise<void>[] = []
  #surveyTimer: Timer | undefined
  #isSurveying = false
  #othersTimer: Timer | undefined

  constructor(options: BrokeredTransportOptions) {
    this.#options = options
    this.#log = createEmbeddedTransport(options.store, options.headPosition, {
      isShared: options.store.features.multiProcess,
    })
    for (const { channel } of options.channels) this.#lanes.set(channel, this.#createLane(channel))
  }

  get head(): number {
    return this.#log.head
  }

  get places(): ReadonlyMap<string, RelayPlace> {
    const places = new Map<string, RelayPlace>()
    for (const [channel, { relay, incarnation, ends }] of this.#lanes) {
      const known = this.#options.places.get(channel)
      if (relay) places.set(channel, { publishedTo: relay.publishedTo, incarnation, ends })
      else if (known) places.set(channel, known)
    }
    return places
  }

  get unpublished(): number {
    let behind = 0
    for (const [channel, { relay }] of this.#lanes) {
      const place = relay?.publishedTo ?? this.#options.places.get(channel)?.publishedTo ?? 0
      if (relay?.atHead !== true) behind = Math.max(behind, this.head - place)
    }
    return behind
  }

  async start(broker: Broker): Promise<void> {
    this.#broker = broker
    await broker.ensure(this.#options.channels)
    for (const [channel, lane] of this.#lanes) {
      lane.reading ??= await broker.follow(channel, (messages) => this.#arrived(channel, messages))
      // A start that failed half-way left the relays of its first channels running.
      if (lane.relay) continue
      const publishedTo = await this.#placeOf(broker, channel, lane)
      if (this.#isClosed) return
      lane.relay = startBrokerRelay({
        broker,
        log: this.#log,
        kernel: this.#options.kernel,
        channel,
        store: this.#options.storeId,
        publishedTo,
        onPublished: (count) => {
          this.#options.on.published(channel, count)
          this.#options.on.moved()
          this.#surveyLater()
        },
        onTrouble: () => this.#survey(),
        onOversize: (position, bytes) => this.#options.on.oversize(channel, position, bytes),
        onStopped: (error) => this.#options.on.stopped(channel, error),
      })
    }
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
    return [...this.#lanes.values()].every(
      ({ relay }) => relay !== undefined && (relay.atHead || relay.publishedTo >= position),
    )
  }

  connected(isConnected: boolean): void {
    const wasConnected = this.#isConnected
    this.#isConnected = isConnected
    if (!isConnected) this.#fillAll()
    else if (!wasConnected) this.#survey()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#surveyTimer?.cancel()
    this.#othersTimer?.cancel()
    for (const { intake, relay, reading } of this.#lanes.values()) {
      intake.close()
      await relay?.close()
      await reading?.close()
    }
    await Promise.all(this.#filling)
    for (const { given } of this.#lanes.values()) await given.close()
    await this.#log.close()
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
    return { given, intake, incarnation: '', ends: {}, isFilling: false }
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

  /** Where the relay begins, after a look at whether the broker still has what it confirmed. */
  async #placeOf(broker: Broker, channel: string, lane: Lane): Promise<number> {
    const { places, headPosition } = this.#options
    const state = await broker.inspect(channel)
    lane.incarnation = state.incarnation
    lane.ends = state.ends
    const known = places.get(channel)
    if (!known) return headPosition
    const problem = lossBetween(known, state)
    if (problem === undefined) return known.publishedTo
    return Math.min(known.publishedTo, await this.#republish(channel, problem))
  }

  #surveyLater(): void {
    this.#surveyTimer ??= this.#options.kernel.clock.setTimer(LIMITS.brokerSurveyMs, () => {
      this.#surveyTimer = undefined
      this.#survey()
    })
  }

  #survey(): void {
    if (this.#isSurveying || this.#isClosed) return
    this.#isSurveying = true
    this.#track(this.#lookForLoss().finally(() => (this.#isSurveying = false)))
  }

  async #lookForLoss(): Promise<void> {
    const { channels, kernel } = this.#options
    const broker = this.#broker
    if (!broker) return
    try {
      await broker.ensure(channels)
      for (const [channel, lane] of this.#lanes) {
        const state = await broker.inspect(channel)
        const problem = lossBetween(lane, state)
        lane.incarnation = state.incarnation
        lane.ends = state.ends
        if (problem !== undefined) lane.relay?.rewind(await this.#republish(channel, problem))
      }
      this.#options.on.moved()
    } catch (error) {
      kernel.log.warn({ problem: messageOf(error) }, 'the broker could not be looked at')
    }
  }

  async #republish(channel: string, problem: string): Promise<number> {
    const position = await this.#options.republishAfter()
    this.#options.on.lost(channel, problem, position)
    return position
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

type Known = Pick<RelayPlace, 'incarnation' | 'ends'>

const lossBetween = (before: Known, now: Known): string | undefined => {
  // Nothing was known of it: this is the first look.
  if (before.incarnation === '' && Object.keys(before.ends).length === 0) return undefined
  if (before.incarnation !== now.incarnation) return 'it was deleted and made again'
  for (const [partition, end] of Object.entries(before.ends)) {
    const found = now.ends[partition] ?? '0'
    if (BigInt(found) < BigInt(end)) {
      return `partition ${partition} ends at ${found} and had reached ${end}`
    }
  }
  return undefined
}
