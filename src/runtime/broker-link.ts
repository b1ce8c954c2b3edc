import type { AlertRoute } from '../contract/index.ts'
import {
  isJuncturaError,
  type Kernel,
  LIMITS,
  messageOf,
  sleep,
  type Timer,
} from '../kernel/index.ts'
import { METRICS, type Metrics } from '../observe/index.ts'
import type { Committer, RowWrite, Store } from '../store/index.ts'
import {
  type Broker,
  type BrokerChannel,
  type BrokeredTransportOptions,
  type BrokerState,
  type ChannelRelays,
  type RelayPlace,
} from '../transport/index.ts'
import type { AlertBook } from './alert-book.ts'
import { offerRows } from './offer-rows.ts'
import type { OpenBroker } from './open-transport.ts'

/**
 * A broker of a running integration: it is opened, and again for as long as it cannot be reached;
 * the places of its relays are kept in the store; people are told when it is away for long or has
 * lost something. While the transport is away, consumers are served from the store.
 */
export interface BrokerLink<R extends ChannelRelays = ChannelRelays> {
  /** Under which its places are kept, its alerts are raised and its figures are shown. */
  readonly name: string
  readonly engine: string
  readonly relays: R
  readonly state: BrokerState
  /** Of the broker, once it was opened. */
  readonly broker: Broker | undefined
  /**
   * Opens the broker, once. When it cannot be reached the start goes on without it.
   *
   * @throws JUNCTURA_TRANSPORT_REFUSED, JUNCTURA_PEER_MISSING: what no waiting will mend.
   */
  /**
   * Opens the broker for what cannot go on without it.
   *
   * @throws what the driver throws.
   */
  connect(): Promise<Broker>
  /** Tells people of something about this broker that only its user knows. */
  raise(kind: string, about: string, title: string): void
  start(parts: { readonly committer: Committer; readonly alerts: AlertBook }): Promise<void>
  /** Stops publishing and keeps the places; before the committer is closed. */
  close(): Promise<void>
}

export interface BrokerLinkOptions<R extends ChannelRelays> {
  readonly name: string
  readonly engine: string
  readonly open: OpenBroker
  readonly channels: readonly BrokerChannel[]
  /** Where it begins the first time: with what comes, or with the oldest that is kept. */
  readonly from: 'now' | 'earliest'
  readonly store: Store
  readonly kernel: Kernel
  readonly metrics: Metrics
  /** Called when the relay of a channel has published something. */
  readonly onPublished?: (channel: string) => void
  /** What is done with the broker: it carries messages to the consumers, or is only given them. */
  readonly carry: (options: BrokeredTransportOptions) => R
}

const STORE_ID = 'storeId'
const LOG_ROUTE: AlertRoute = { kind: 'log' }

export const createBrokerLink = async <R extends ChannelRelays>(
  options: BrokerLinkOptions<R>,
): Promise<BrokerLink<R>> => {
  const { name, engine, store, kernel, metrics, channels, from } = options
  const cause = causesOf(name)
  const { clock, log } = kernel
  const published = metrics.counter(METRICS.transportPublished)
  const recovered = metrics.counter(METRICS.transportRecovered)
  const stop = new AbortController()
  let state: BrokerState = { connected: false }
  /** What was told last; nothing yet while the broker was never reached nor missed. */
  let told: boolean | undefined
  let broker: Broker | undefined
  let parts: { readonly committer: Committer; readonly alerts: AlertBook } | undefined
  let downTimer: Timer | undefined
  let placesTimer: Timer | undefined
  let opening: Promise<void> | undefined
  let toldForeign = false

  const write = (rows: readonly RowWrite[]): void => {
    if (!parts || rows.length === 0) return
    offerRows({ committer: parts.committer, kernel }, rows).catch((error: unknown) => {
      log.warn({ problem: messageOf(error) }, 'what happened at the broker could not be noted')
    })
  }

  const raise = (kind: string, about: string, title: string): void => {
    if (!parts) return
    write(
      parts.alerts.raise({
        kind,
        cause: about,
        title,
        owner: undefined,
        target: LOG_ROUTE,
        severity: kind === 'transport-loss' ? 'warning' : 'critical',
        atMs: clock.now(),
      }),
    )
  }

  const keepPlaces = async (): Promise<void> => {
    placesTimer?.cancel()
    placesTimer = undefined
    const rows = [...relays.places].map(([channel, value]): RowWrite => ({
      collection: 'meta',
      key: placeKey(name, channel),
      row: { value },
    }))
    if (parts && rows.length > 0) await offerRows({ committer: parts.committer, kernel }, rows)
  }

  const keepPlacesLater = (): void => {
    placesTimer ??= clock.setTimer(LIMITS.relayPlaceMs, () => {
      keepPlaces().catch((error: unknown) => {
        // Then more is published again after a start.
        log.warn({ problem: messageOf(error) }, 'the places of the relays could not be kept')
      })
    })
  }

  const onState = (now: BrokerState): void => {
    if (stop.signal.aborted || now.connected === told) return
    told = now.connected
    state = now
    relays.connected(now.connected)
    if (now.connected) {
      log.info({ broker: name }, 'the broker is reached')
      downTimer?.cancel()
      downTimer = undefined
      if (parts) write(parts.alerts.resolve(cause.down))
      return
    }
    log.warn({ broker: name, problem: now.problem }, 'the broker is away; what it missed is kept')
    downTimer ??= clock.setTimer(LIMITS.brokerDownAlertMs, () => {
      const title = `the broker ${name} has been away for ${LIMITS.brokerDownAlertMs / 1_000} s`
      raise('transport-down', cause.down, state.problem ? `${title}: ${state.problem}` : title)
    })
  }

  const place = { store, name, channels, from }
  const storeId = await readStoreId(store, kernel)
  await readPlaces(place)
  const relays = options.carry({
    store,
    kernel,
    channels,
    storeId,
    headPosition: await store.headPosition(),
    places: () => readPlaces(place),
    takeTurn: () => takeTurn(store, name),
    republishAfter: () => positionBefore(store, clock.now() - LIMITS.republishMs),
    on: {
      moved: keepPlacesLater,
      published: (channel, count) => {
        published.with({ broker: name, channel }).add(count)
        options.onPublished?.(channel)
      },
      recovered: (channel, count) => recovered.with({ broker: name, channel }).add(count),
      lost(channel, problem, position) {
        const title = `the broker ${name} lost records of channel ${channel}: ${problem}`
        const again = `${title}; what stands after position ${position} is published again`
        raise('transport-loss', cause.loss(channel), again)
      },
      oversize(channel, position, bytes) {
        const title = `a record of channel ${channel} is too large for the broker ${name}`
        const where = `${title}: position ${position}, ${bytes} bytes; only the store has it`
        raise('transport-oversize', cause.oversize(channel), where)
      },
      foreign(channel) {
        if (toldForeign) return
        toldForeign = true
        log.warn(
          { broker: name, channel },
          'messages of another system are in this channel; left alone',
        )
      },
      stopped(channel, error) {
        const title = `nothing of channel ${channel} is published to ${name} any more: ${messageOf(error)}`
        raise('transport-stopped', cause.stopped(channel), title)
      },
    },
  })

  /** While it was not in use, the log went on without it, and has dropped what was old. */
  const tellGaps = async (): Promise<void> => {
    const before = await positionBeforeLog(store)
    for (const [channel, { publishedTo }] of await readPlaces(place)) {
      if (publishedTo >= before) continue
      const title = `the broker ${name} may not have been given all of channel ${channel}`
      const gone = `${title}: positions ${publishedTo + 1} to ${before} are not in the log any more`
      raise('transport-loss', cause.loss(channel), gone)
    }
  }

  /** Once; false when the broker cannot be reached now. */
  const open = async (): Promise<boolean> => {
    try {
      broker ??= await options.open({ kernel, onState })
      await relays.start(broker)
      onState({ connected: true })
      return true
    } catch (error) {
      if (!isJuncturaError(error, 'JUNCTURA_TRANSPORT_UNAVAILABLE')) throw error
      onState({ connected: false, problem: messageOf(error) })
      return false
    }
  }

  const openInTheEnd = async (): Promise<void> => {
    for (let tries = 0; !stop.signal.aborted; tries++) {
      await sleep(clock, Math.min(LIMITS.relayPauseMsMax * 2 ** tries, 30_000), stop.signal)
      try {
        if (stop.signal.aborted || (await open())) return
      } catch (error) {
        raise(
          'transport-down',
          cause.down,
          `the broker ${name} cannot be used: ${messageOf(error)}`,
        )
      }
    }
  }

  return {
    name,
    engine,
    relays,
    get state() {
      return state
    },
    get broker() {
      return broker
    },
    raise,
    async connect() {
      broker ??= await options.open({ kernel, onState })
      return broker
    },
    async start(given) {
      if (parts || stop.signal.aborted) return
      parts = given
      for (const { channel } of channels) write(given.alerts.resolve(cause.stopped(channel)))
      await tellGaps()
      if (stop.signal.aborted) return
      const first = open()
      // Whoever closes meanwhile waits for it, or the broker would be opened after it was closed.
      opening = first.then(
        () => undefined,
        () => undefined,
      )
      if (!(await first)) opening = openInTheEnd()
    },
    async close() {
      if (stop.signal.aborted) return
      stop.abort()
      downTimer?.cancel()
      await opening
      await relays.close()
      await keepPlaces().catch(() => undefined)
      await broker?.close()
    },
  }
}

const placeKey = (name: string, channel: string): string => `relay/${name}/${channel}`

const causesOf = (name: string) => ({
  down: `transport/${name}/down`,
  loss: (channel: string): string => `transport/${name}/loss/${channel}`,
  oversize: (channel: string): string => `transport/${name}/oversize/${channel}`,
  stopped: (channel: string): string => `transport/${name}/stopped/${channel}`,
})

/** Whether an alert is about a broker that is not in use any more. */
export const isOfFormerBroker = (cause: string, links: readonly BrokerLink[]): boolean => {
  const name = /^transport\/([^/]+)\//.exec(cause)?.[1]
  return name !== undefined && !links.some((link) => link.name === name)
}

/**
 * The number of this run of the relays, higher than that of every run before it, also of one in
 * another process that has not noticed its end.
 */
async function takeTurn(store: Store, name: string): Promise<number> {
  const key = (turn: number): string => `relay-turn/${name}/${turn}`
  for (;;) {
    const value = (await store.row('meta', `relay-turn/${name}`))?.value
    const before = typeof value === 'number' ? value : 0
    const turn = before + 1
    // Of two that draw it at once, one finds it taken.
    const [outcome] = await store.commit([
      {
        guards: [{ collection: 'meta', key: key(turn), is: 'absent' }],
        rows: [
          { collection: 'meta', key: key(turn), row: { value: turn } },
          { collection: 'meta', key: key(before), row: undefined },
          { collection: 'meta', key: `relay-turn/${name}`, row: { value: turn } },
        ],
      },
    ])
    if (outcome?.status === 'committed') return turn
    if (outcome?.status === 'failed') throw outcome.error
  }
}

/** Tells this store's messages from those of another one on the same broker. */
const readStoreId = async (store: Store, { random }: Kernel): Promise<string> => {
  const known = (await store.row('meta', STORE_ID))?.value
  if (typeof known === 'string') return known
  const value = Buffer.from(random.bytes(12)).toString('base64url')
  await store.commit([{ rows: [{ collection: 'meta', key: STORE_ID, row: { value } }] }])
  return value
}

/**
 * Where each relay begins. With a broker that is new here, what is in the log already is history;
 * that is noted before anything is taken, or a first process that dies early would make history of
 * what it had taken.
 */
async function readPlaces(options: {
  readonly store: Store
  readonly name: string
  readonly channels: readonly BrokerChannel[]
  readonly from: 'now' | 'earliest'
}): Promise<Map<string, RelayPlace>> {
  const { store, name, channels, from } = options
  const places = new Map<string, RelayPlace>()
  const fresh: RowWrite[] = []
  const publishedTo =
    from === 'earliest' ? await positionBeforeLog(store) : await store.headPosition()
  for (const { channel } of channels) {
    const key = placeKey(name, channel)
    const row = await store.row('meta', key)
    const first: RelayPlace = { publishedTo, incarnation: '', ends: {} }
    // Only this file writes it.
    const place = row ? (row.value as RelayPlace) : first
    places.set(channel, place)
    if (!row) fresh.push({ collection: 'meta', key, row: { value: place } })
  }
  if (fresh.length > 0) await store.commit([{ rows: fresh }])
  return places
}

/** The last one that is not in the log any more. */
async function positionBeforeLog(store: Store): Promise<number> {
  const [oldest] = await store.partitions()
  return oldest ? oldest.firstPosition - 1 : 0
}

/** The position before the part of the log that was still written at a time. */
async function positionBefore(store: Store, atMs: number): Promise<number> {
  const partitions = await store.partitions()
  const first = partitions.find(({ lastAtMs }) => lastAtMs >= atMs)
  return first ? first.firstPosition - 1 : store.headPosition()
}
