import { type Kernel, LIMITS, messageOf, type Timer } from '../kernel/index.ts'
import type { Broker, BrokerChannel } from './broker.ts'
import { type BrokerRelay, startBrokerRelay } from './broker-relay.ts'
import type { LogTransport } from './transport.ts'

/**
 * Publishes channels of the log to a broker, a relay for each, and looks now and then whether the
 * broker still has what it confirmed: if not, what may be lost is published again.
 *
 * The places of the relays are the caller's to keep: `places` gives them, `on.moved` says when.
 */
export interface ChannelRelays {
  /**
   * Publishes what is not yet published. Called again after it has failed.
   *
   * @throws what `Broker.ensure` and `prepare` throw.
   */
  start(broker: Broker): Promise<void>
  /** Records that wait to be published, by positions: at most so many. */
  readonly unpublished: number
  /** How far each channel is published, and what the broker was like then. */
  readonly places: ReadonlyMap<string, RelayPlace>
  /** Whether everything up to a position is published, as far as the channels reach. */
  hasPublished(position: number): boolean
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
}

export interface ChannelRelaysOptions {
  /** The log as the relays read it. */
  readonly log: LogTransport
  readonly kernel: Pick<Kernel, 'clock' | 'log'>
  readonly channels: readonly BrokerChannel[]
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
}

class PublishedChannels implements ChannelRelays {
  readonly #options: ChannelRelaysOptions
  readonly #channels = new Map<string, Published>()
  #known: ReadonlyMap<string, RelayPlace> = new Map()
  #broker: Broker | undefined
  #turn: number | undefined
  #isConnected = false
  #isClosed = false
  #droppedTo = 0
  #timer: Timer | undefined
  #survey: Promise<void> | undefined

  constructor(options: ChannelRelaysOptions) {
    this.#options = options
    for (const { channel } of options.channels) {
      this.#channels.set(channel, { incarnation: '', ends: {} })
    }
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
      const publishedTo = await this.#placeOf(broker, channel, published)
      if (this.#isClosed) return
      published.relay = this.#startRelay(broker, channel, publishedTo)
    }
    this.#isConnected = true
  }

  get places(): ReadonlyMap<string, RelayPlace> {
    const places = new Map<string, RelayPlace>()
    for (const [channel, { relay, incarnation, ends }] of this.#channels) {
      const known = this.#known.get(channel)
      if (relay) {
        // A channel may be quiet for longer than the log is kept.
        const publishedTo = Math.max(relay.publishedTo, this.#droppedTo)
        places.set(channel, { publishedTo, incarnation, ends })
      } else if (known) places.set(channel, known)
    }
    return places
  }

  get unpublished(): number {
    const { log } = this.#options
    let behind = 0
    for (const [channel, { relay }] of this.#channels) {
      const place = relay?.publishedTo ?? this.#known.get(channel)?.publishedTo ?? log.head
      if (relay?.atHead !== true) behind = Math.max(behind, log.head - place)
    }
    return behind
  }

  hasPublished(position: number): boolean {
    return [...this.#channels.values()].every(
      ({ relay }) => relay !== undefined && (relay.atHead || relay.publishedTo >= position),
    )
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

  #startRelay(broker: Broker, channel: string, publishedTo: number): BrokerRelay {
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
      onPublished: (count) => {
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
    published.incarnation = incarnation
    published.ends = ends
    const known = this.#known.get(channel)
    if (!known) return headPosition
    const problem = lossBetween(known, published)
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

  async #lookForLoss(): Promise<void> {
    const { channels, kernel, on } = this.#options
    const broker = this.#broker
    if (!broker) return
    try {
      await broker.ensure(channels)
      for (const [channel, published] of this.#channels) {
        const { incarnation, ends } = await broker.inspect(channel)
        const problem = lossBetween(published, { incarnation, ends })
        const from = problem === undefined ? undefined : await this.#republish(channel, problem)
        // Only now: a loss that could not be dealt with is found again by the next look.
        published.incarnation = incarnation
        published.ends = ends
        if (from !== undefined) published.relay?.rewind(from)
      }
      on.moved()
    } catch (error) {
      kernel.log.warn({ problem: messageOf(error) }, 'the broker could not be looked at')
    }
  }

  async #republish(channel: string, problem: string): Promise<number> {
    const position = await this.#options.republishAfter()
    this.#options.on.lost(channel, problem, position)
    return position
  }
}

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
