import { type Kernel, LIMITS, messageOf, type Timer } from '../kernel/index.ts'
import type { Broker, BrokerChannel } from './broker.ts'
import { type BrokerRelay, startBrokerRelay } from './broker-relay.ts'
import type { LogTransport } from './transport.ts'

/**
 * Publishes channels of the log to a broker, a relay for each, and looks now and then whether the
 * broker still has what it confirmed: if not, what may be lost is published again.
 *
 * Where several processes share the store, each publishes the channels that were given to it. Two
 * that publish one channel for a moment do no harm: both begin where everything before is
 * confirmed and go on in the order of the log, so what comes out of order is a repeat.
 *
 * The places of the relays are the caller's to keep: `places` gives them, `on.moved` says when.
 */
export interface ChannelRelays {
  /**
   * Publishes what is not yet published of the channels that are taken. Called again after it has
   * failed, and after another one was taken.
   *
   * @throws what `Broker.ensure` and `prepare` throw.
   */
  start(broker: Broker): Promise<void>
  /** This process is to publish the channel, from its place on, with the next `start`. */
  take(channel: string): void
  /** Resolves when nothing of the channel is on its way from here, with how far it came. */
  giveBack(channel: string): Promise<RelayPlace | undefined>
  /** Channels that are taken. */
  readonly taken: ReadonlySet<string>
  /** Records that wait to be published from here, by positions: at most so many. */
  readonly unpublished: number
  /** How far each channel is published that is taken, and what the broker was like then. */
  readonly places: ReadonlyMap<string, RelayPlace>
  /** Whether everything up to a position is published, as far as the taken channels reach. */
  hasPublished(position: number): boolean
  /**
   * Looks whether the broker still has everything of the taken channels; false when it could not be
   * asked.
   */
  look(): Promise<boolean>
  /** The log has dropped what it had up to a position, after all of it was published. */
  dropped(position: number): void
  /** The broker is reached again, or not any more. */
  connected(isConnected: boolean): void
  /** Stops after what is being published. */
  close(): Promise<void>
}

/** Where a relay is, and how its channel looked in the broker: to notice that it lost something. */
export interface RelayPlace {
  readonly publishedTo: number
  readonly incarnation: string
  readonly ends: Readonly<Record<string, string>>
  /** Messages that the broker has confirmed since it looked like that, and had not before. */
  readonly confirmed?: number
}

export interface ChannelRelaysOptions {
  /** The log as the relays read it. */
  readonly log: LogTransport
  readonly kernel: Pick<Kernel, 'clock' | 'log'>
  readonly channels: readonly BrokerChannel[]
  /** Whether channels are taken and given back; otherwise all of them are published from here. */
  readonly isShared?: boolean
  /** Identity of the store. */
  readonly storeId: string
  /** Where a channel begins that has no place. */
  readonly headPosition: number
  /** Of the last run, or of the process that has published until now; asked for at each start. */
  readonly places: () => Promise<ReadonlyMap<string, RelayPlace>>
  /** The position after which a broker that lost something is given everything again. */
  readonly republishAfter: () => Promise<number>
  /** Of this run, where the broker is the record of a channel; asked for before the places are. */
  readonly takeTurn?: () => Promise<number>
  /** Called once for each channel that is there, before anything is published to it. */
  readonly prepare?: (broker: Broker, channel: string) => Promise<void>
  readonly on: RelayEvents
}

export interface RelayEvents {
  /** A place has changed. */
  moved(): void
  published(channel: string, count: number): void
  /** The broker no longer has what it had confirmed; it is published again after `position`. */
  lost(channel: string, problem: string, position: number): void
  /** A record that is too large for the broker; our consumers get it from the store. */
  oversize(channel: string, position: number, bytes: number): void
  stopped(channel: string, error: unknown): void
}

export const createChannelRelays = (options: ChannelRelaysOptions): ChannelRelays =>
  new PublishedChannels(options)

/** What is known of one channel in the broker. */
interface Published {
  relay?: BrokerRelay
  incarnation: string
  ends: Readonly<Record<string, string>>
  /** Since the last look, of what was begun after it: so many more messages there must be. */
  confirmed: number
  /** Counts the looks. */
  looks: number
}

class PublishedChannels implements ChannelRelays {
  readonly #options: ChannelRelaysOptions
  readonly #channels = new Map<string, Published>()
  readonly #taken = new Set<string>()
  #known: ReadonlyMap<string, RelayPlace> = new Map()
  #broker: Broker | undefined
  #turn: number | undefined
  #isConnected = false
  #isClosed = false
  #droppedTo = 0
  #timer: Timer | undefined
  #survey: Promise<boolean> | undefined

  constructor(options: ChannelRelaysOptions) {
    this.#options = options
    for (const { channel } of options.channels) {
      this.#channels.set(channel, { incarnation: '', ends: {}, confirmed: 0, looks: 0 })
      if (options.isShared !== true) this.#taken.add(channel)
    }
  }

  get taken(): ReadonlySet<string> {
    return this.#taken
  }

  async start(broker: Broker): Promise<void> {
    const { channels, prepare, places } = this.#options
    this.#broker = broker
    if (channels.some(({ isRecord }) => isRecord === true)) {
      this.#turn = await this.#options.takeTurn?.()
    }
    this.#known = await places()
    await broker.ensure(channels)
    for (const [channel, published] of this.#channels) {
      // A start that failed half-way left the relays of its first channels running.
      if (published.relay) continue
      await prepare?.(broker, channel)
      if (!this.#taken.has(channel)) continue
      const publishedTo = await this.#placeOf(broker, channel, published)
      if (this.#isClosed) return
      // It may have been given back meanwhile.
      if (!this.#taken.has(channel)) continue
      published.relay = this.#startRelay(broker, channel, { publishedTo, published })
    }
    this.#isConnected = true
  }

  take(channel: string): void {
    if (this.#channels.has(channel)) this.#taken.add(channel)
  }

  async giveBack(channel: string): Promise<RelayPlace | undefined> {
    const published = this.#channels.get(channel)
    const relay = published?.relay
    this.#taken.delete(channel)
    if (!published || !relay) return undefined
    await relay.close()
    await this.#survey
    const place = this.#placeNow(relay, published)
    if (published.relay === relay) delete published.relay
    return place
  }

  get places(): ReadonlyMap<string, RelayPlace> {
    const places = new Map<string, RelayPlace>()
    for (const [channel, published] of this.#channels) {
      if (!this.#taken.has(channel)) continue
      const known = this.#known.get(channel)
      if (published.relay) places.set(channel, this.#placeNow(published.relay, published))
      else if (known) places.set(channel, known)
    }
    return places
  }

  get unpublished(): number {
    const { log } = this.#options
    let behind = 0
    for (const [channel, { relay }] of this.#channels) {
      if (!this.#taken.has(channel)) continue
      const place = relay?.publishedTo ?? this.#known.get(channel)?.publishedTo ?? log.head
      if (relay?.atHead !== true) behind = Math.max(behind, log.head - place)
    }
    return behind
  }

  hasPublished(position: number): boolean {
    return [...this.#taken].every((channel) => {
      const relay = this.#channels.get(channel)?.relay
      return relay !== undefined && (relay.atHead || relay.publishedTo >= position)
    })
  }

  async look(): Promise<boolean> {
    // Who publishes nothing to it has nothing to look for, and perhaps no connection.
    if (this.#taken.size === 0) return true
    // One that is under way may have asked before.
    await this.#survey
    this.#lookNow()
    return (await this.#survey) ?? false
  }

  dropped(position: number): void {
    this.#droppedTo = Math.max(this.#droppedTo, position)
    this.#options.on.moved()
  }

  connected(isConnected: boolean): void {
    const wasConnected = this.#isConnected
    this.#isConnected = isConnected
    if (isConnected && !wasConnected) this.#lookNow()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    for (const { relay } of this.#channels.values()) await relay?.close()
    await this.#survey
  }

  /** A channel may be quiet for longer than the log is kept. */
  #placeNow(relay: BrokerRelay, { incarnation, ends, confirmed }: Published): RelayPlace {
    const quietTo = relay.atHead ? this.#options.log.head : 0
    const publishedTo = Math.max(relay.publishedTo, this.#droppedTo, quietTo)
    return { publishedTo, incarnation, ends, confirmed }
  }

  #startRelay(
    broker: Broker,
    channel: string,
    { publishedTo, published }: { readonly publishedTo: number; readonly published: Published },
  ): BrokerRelay {
    const { log, kernel, storeId, on, channels } = this.#options
    const isRecord = channels.some((one) => one.channel === channel && one.isRecord === true)
    return startBrokerRelay({
      turn: isRecord ? this.#turn : undefined,
      broker,
      log,
      kernel,
      channel,
      store: storeId,
      publishedTo,
      freshAfter: Math.max(log.head, publishedTo),
      onPublishing: () => published.looks,
      onPublished: ({ count, fresh, turn }) => {
        // What was under way while the broker was looked at may have been seen there already.
        if (turn === published.looks) published.confirmed += fresh
        on.published(channel, count)
        on.moved()
        this.#lookLater()
      },
      onTrouble: () => this.#lookNow(),
      onOversize: (position, bytes) => on.oversize(channel, position, bytes),
      onStopped: (error) => on.stopped(channel, error),
    })
  }

  /** Where the relay begins, after a look at whether the broker still has what it confirmed. */
  async #placeOf(broker: Broker, channel: string, published: Published): Promise<number> {
    const { headPosition } = this.#options
    const { incarnation, ends } = await broker.inspect(channel)
    this.#keepLook(published, { incarnation, ends })
    const known = this.#known.get(channel)
    if (!known) return headPosition
    const problem = lossBetween(known, { incarnation, ends })
    if (problem === undefined) return known.publishedTo
    return Math.min(known.publishedTo, await this.#republish(channel, problem))
  }

  #lookLater(): void {
    this.#timer ??= this.#options.kernel.clock.setTimer(LIMITS.brokerSurveyMs, () => {
      this.#timer = undefined
      this.#lookNow()
    })
  }

  #lookNow(): void {
    if (this.#survey || this.#isClosed) return
    this.#survey = this.#lookForLoss().finally(() => (this.#survey = undefined))
  }

  async #lookForLoss(): Promise<boolean> {
    const { channels, kernel, on } = this.#options
    const broker = this.#broker
    if (!broker) return false
    try {
      await broker.ensure(channels)
      for (const [channel, published] of this.#channels) {
        if (!published.relay) continue
        const before = { ...published }
        const { incarnation, ends } = await broker.inspect(channel)
        const problem = lossBetween(before, { incarnation, ends })
        const from = problem === undefined ? undefined : await this.#republish(channel, problem)
        // Only now: a loss that could not be dealt with is found again by the next look.
        this.#keepLook(published, { incarnation, ends })
        if (from !== undefined) published.relay?.rewind(from)
      }
      on.moved()
      return true
    } catch (error) {
      kernel.log.warn({ problem: messageOf(error) }, 'the broker could not be looked at')
      return false
    }
  }

  #keepLook(published: Published, look: Pick<Published, 'incarnation' | 'ends'>): void {
    Object.assign(published, look)
    published.confirmed = 0
    published.looks += 1
  }

  async #republish(channel: string, problem: string): Promise<number> {
    const position = await this.#options.republishAfter()
    this.#options.on.lost(channel, problem, position)
    return position
  }
}

type Known = Pick<RelayPlace, 'incarnation' | 'ends'>

/**
 * What the broker has lost between two looks, in words. One that lost its newest messages and was
 * given others since may end where it did, or beyond: then there are fewer new ones than it has
 * confirmed.
 */
export const lossBetween = (
  before: Known & Pick<RelayPlace, 'confirmed'>,
  now: Known,
): string | undefined => {
  // Nothing was known of it: this is the first look.
  if (before.incarnation === '' && Object.keys(before.ends).length === 0) return undefined
  if (before.incarnation !== now.incarnation) return 'it was deleted and made again'
  for (const [partition, end] of Object.entries(before.ends)) {
    const found = now.ends[partition] ?? '0'
    if (BigInt(found) < BigInt(end)) {
      return `partition ${partition} ends at ${found} and had reached ${end}`
    }
  }
  const { confirmed = 0 } = before
  const grown = sumOf(now.ends) - sumOf(before.ends)
  // An engine that tells no ends tells nothing.
  if (confirmed === 0 || Object.keys(now.ends).length === 0 || grown >= BigInt(confirmed)) {
    return undefined
  }
  return `it has ${grown} more messages than before, and confirmed ${confirmed}`
}

const sumOf = (ends: Known['ends']): bigint =>
  Object.values(ends).reduce((sum, end) => sum + BigInt(end), 0n)
