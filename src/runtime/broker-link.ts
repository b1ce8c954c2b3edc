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
import { makeOnce } from './make-once.ts'
import { createPlaceKeeper, placeKey } from './place-keeper.ts'
import type { OpenBroker } from './open-transport.ts'
import { type Places, stillHas } from './still-has.ts'

/**
 * A broker of a running integration: it is opened, and again for as long as it cannot be reached;
 * the places of its relays are kept in the store; people are told when it is away for long or has
 * lost something. While the transport is away, consumers are served from the store.
 */
export interface BrokerLink<R extends ChannelRelays = ChannelRelays> {
  /** Under which its places are kept, its alerts are raised and its figures are shown. */
  readonly name: string
  readonly engine: string
  readonly channels: readonly string[]
  readonly relays: R
  /** Undefined while this process does not use it: it neither follows nor publishes anything. */
  readonly state: BrokerState | undefined
  /** Of the broker, once it was opened. */
  readonly broker: Broker | undefined
  /**
   * Opens the broker, once, for what cannot go on without it.
   *
   * @throws what the driver throws.
   */
  connect(): Promise<Broker>
  /** Tells people of something about this broker that only its user knows. */
  raise(kind: string, about: string, title: string): void
  /**
   * Opens the broker, once. When it cannot be reached the start goes on without it.
   *
   * @throws JUNCTURA_TRANSPORT_REFUSED, JUNCTURA_PEER_MISSING: what no waiting will mend.
   */
  start(parts: { readonly committer: Committer; readonly alerts: AlertBook }): Promise<void>
  /**
   * This process is the one that publishes the channel, from its place on. Where the broker is away
   * that happens in the end. After `start`.
   */
  publish(channel: string): Promise<void>
  /** Resolves when nothing of it is published here any more and its place is kept. */
  giveBack(channel: string): Promise<void>
  /** Whether everything up to a position is published, whoever does it, as far as that is kept. */
  hasPublished(position: number): Promise<boolean>
  /**
   * Whether the broker has, as far as a look shows, what it had confirmed, whoever published it;
   * false when it could not be asked.
   */
  stillHas(): Promise<boolean>
  /** Records that wait to be published, by positions: at most so many, as far as that is kept. */
  unpublished(): Promise<number>
  /** Keeps the places of what is published here, where they have changed, and looks at it. */
  note(): Promise<void>
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
  const { name, engine, store, kernel, channels, from } = options
  const cause = causesOf(name)
  const { clock, log } = kernel
  const stop = new AbortController()
  const isShared = store.leases !== undefined
  let state: BrokerState = { connected: false }
  /** What was told last; nothing yet while the broker was never reached nor missed. */
  let told: boolean | undefined
  let parts: LinkParts | undefined
  let downTimer: Timer | undefined
  let opening: Promise<void> | undefined
  const keeper = createPlaceKeeper({
    name,
    kernel,
    places: () => relays.places,
    write: () => {
      const committer = parts?.committer
      return committer && ((rows) => offerRows({ committer, kernel }, rows))
    },
  })

  const { write, raise } = createTeller(kernel, () => parts)

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
    const fromMs = clock.monotonicMs()
    const awaySeconds = (): number => Math.round((clock.monotonicMs() - fromMs) / 1_000)
    const tellLater = (): void => {
      downTimer = clock.setTimer(LIMITS.brokerDownAlertMs, () => {
        // Another process may have reached it, and resolved what this one still has to say.
        if (parts?.alerts.countOf(cause.down) === 0) {
          const title = `the broker ${name} has been away for ${awaySeconds()} s`
          raise('transport-down', cause.down, state.problem ? `${title}: ${state.problem}` : title)
        }
        if (isShared) tellLater()
      })
    }
    tellLater()
  }

  const place = { store, name, channels, from }
  await readPlaces(place)
  const relays = options.carry({
    store,
    kernel,
    channels,
    isShared,
    storeId: await readStoreId(store, kernel),
    headPosition: await store.headPosition(),
    ...readingsOf(place, clock),
    on: eventsOf({ ...options, raise, moved: () => keeper.keepLater() }),
  })

  const tellGaps = async (of: ReadonlySet<string>): Promise<void> => {
    // While it was not in use, the log went on without it, and has dropped what was old.
    const before = await positionBeforeLog(store)
    for (const [channel, { publishedTo }] of await readPlaces(place)) {
      if (publishedTo >= before || !of.has(channel)) continue
      const title = `the broker ${name} may not have been given all of channel ${channel}`
      const gone = `${title}: positions ${publishedTo + 1} to ${before} are not in the log any more`
      raise('transport-loss', cause.loss(channel), gone)
    }
  }

  const broker = makeOnce(() => options.open({ kernel, onState }))

  /** Once; false when the broker cannot be reached now. */
  const open = async (): Promise<boolean> => {
    try {
      await relays.start(await broker.get())
      onState({ connected: true })
      return true
    } catch (error) {
      if (!isJuncturaError(error, 'JUNCTURA_TRANSPORT_UNAVAILABLE')) throw error
      onState({ connected: false, problem: messageOf(error) })
      return false
    }
  }

  /** Until it is reached, after so many tries that failed. */
  const openInTheEnd = async (failed: number): Promise<void> => {
    for (let tries = failed; !stop.signal.aborted; tries++) {
      const pauseMs = Math.min(LIMITS.relayPauseMsMax * 2 ** (tries - 1), 30_000)
      if (tries > 0) await sleep(clock, pauseMs, stop.signal)
      try {
        if (stop.signal.aborted || (await open())) return
      } catch (error) {
        const title = `the broker ${name} cannot be used: ${messageOf(error)}`
        raise('transport-down', cause.down, title)
      }
    }
  }

  /** What is published elsewhere, by channel, as that process last kept it. */
  const elsewhere = async (): Promise<Places> => {
    if (!isShared) return []
    return [...(await readPlaces(place))].filter(([channel]) => !relays.taken.has(channel))
  }

  return {
    name,
    engine,
    channels: channels.map(({ channel }) => channel),
    relays,
    get state() {
      return parts && state
    },
    get broker() {
      return broker.made
    },
    raise,
    connect: broker.get,
    async start(given) {
      if (parts || stop.signal.aborted) return
      parts = given
      for (const channel of relays.taken) write(given.alerts.resolve(cause.stopped(channel)))
      await tellGaps(relays.taken)
      if (stop.signal.aborted) return
      const first = open()
      // Whoever closes meanwhile waits for it, or the broker would be opened after it was closed.
      opening = first.then(
        () => undefined,
        () => undefined,
      )
      if (!(await first)) opening = opening.then(() => openInTheEnd(1))
    },
    async publish(channel) {
      relays.take(channel)
      if (parts) write(parts.alerts.resolve(cause.stopped(channel)))
      await tellGaps(new Set([channel]))
      // One opening at a time: one that waits for the broker takes this channel along.
      const before = opening ?? Promise.resolve()
      opening = before.then(() => openInTheEnd(0))
    },
    async giveBack(channel) {
      const last = await relays.giveBack(channel)
      if (last) await keeper.leave(channel, last)
    },
    async hasPublished(position) {
      if (!relays.hasPublished(position)) return false
      return (await elsewhere()).every(([, { publishedTo }]) => publishedTo >= position)
    },
    async stillHas() {
      return (await relays.look()) && (await stillHas(broker.get, await elsewhere(), log))
    },
    async unpublished() {
      return Math.max(relays.unpublished, await unpublishedAt(store, await elsewhere()))
    },
    note() {
      // Not waited for: a broker that does not answer must not hold up whoever notes.
      void relays.look()
      return keeper.keep()
    },
    async close() {
      if (stop.signal.aborted) return
      stop.abort()
      downTimer?.cancel()
      await opening
      await relays.close()
      await keeper.keep().catch(() => undefined)
      await broker.made?.close()
    },
  }
}

/** What the relays ask the store for. */
const readingsOf = (place: Parameters<typeof readPlaces>[0], clock: Kernel['clock']) => ({
  places: () => readPlaces(place),
  takeTurn: () => takeTurn(place.store, place.name),
  republishAfter: () => positionBefore(place.store, clock.now() - LIMITS.republishMs),
})

/** The most of what waits elsewhere, by positions. */
async function unpublishedAt(store: Store, places: Places): Promise<number> {
  const head = places.length > 0 ? await store.headPosition() : 0
  return Math.max(0, ...places.map(([, { publishedTo }]) => head - publishedTo))
}

interface LinkParts {
  readonly committer: Committer
  readonly alerts: AlertBook
}

/** Writes what happened at a broker, once there is something to write it with. */
function createTeller(
  kernel: Kernel,
  parts: () => LinkParts | undefined,
): {
  readonly write: (rows: readonly RowWrite[]) => void
  readonly raise: BrokerLink['raise']
} {
  const write = (rows: readonly RowWrite[]): void => {
    const committer = parts()?.committer
    if (!committer || rows.length === 0) return
    offerRows({ committer, kernel }, rows).catch((error: unknown) => {
      kernel.log.warn(
        { problem: messageOf(error) },
        'what happened at the broker could not be noted',
      )
    })
  }

  const raise = (kind: string, about: string, title: string): void => {
    const alerts = parts()?.alerts
    if (!alerts) return
    write(
      alerts.raise({
        kind,
        cause: about,
        title,
        owner: undefined,
        target: LOG_ROUTE,
        severity: kind === 'transport-loss' ? 'warning' : 'critical',
        atMs: kernel.clock.now(),
      }),
    )
  }

  return { write, raise }
}

/** What a person is told of, and what is counted. */
function eventsOf(
  options: Pick<BrokerLinkOptions<ChannelRelays>, 'name' | 'kernel' | 'metrics' | 'onPublished'> & {
    readonly raise: BrokerLink['raise']
    readonly moved: () => void
  },
): BrokeredTransportOptions['on'] {
  const { name, kernel, metrics, raise, moved } = options
  const cause = causesOf(name)
  const published = metrics.counter(METRICS.transportPublished)
  const recovered = metrics.counter(METRICS.transportRecovered)
  let toldForeign = false
  return {
    moved,
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
      const fields = { broker: name, channel }
      kernel.log.warn(fields, 'messages of another system are in this channel; left alone')
    },
    stopped(channel, error) {
      const title = `nothing of channel ${channel} is published to ${name} any more: ${messageOf(error)}`
      raise('transport-stopped', cause.stopped(channel), title)
    },
  }
}

const causesOf = (name: string) => ({
  down: `transport/${name}/down`,
  loss: (channel: string): string => `transport/${name}/loss/${channel}`,
  oversize: (channel: string): string => `transport/${name}/oversize/${channel}`,
  stopped: (channel: string): string => `transport/${name}/stopped/${channel}`,
})

/** Of every channel that is published to a broker, the name that its lease has. */
export const channelIds = (
  links: readonly Pick<BrokerLink, 'name' | 'channels'>[],
): readonly string[] => links.flatMap((link) => link.channels.map((one) => channelId(link, one)))

export const channelId = ({ name }: Pick<BrokerLink, 'name'>, channel: string): string =>
  `${name}/${channel}`

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
const readStoreId = async (store: Store, { random }: Pick<Kernel, 'random'>): Promise<string> => {
  const known = (await store.row('meta', STORE_ID))?.value
  if (typeof known === 'string') return known
  const value = Buffer.from(random.bytes(12)).toString('base64url')
  const guard = { collection: 'meta', key: STORE_ID, is: 'absent' } as const
  const rows: RowWrite[] = [{ collection: 'meta', key: STORE_ID, row: { value } }]
  const [outcome] = await store.commit([{ guards: [guard], rows }])
  // Another process has begun at the same moment: two ids would be two systems.
  return outcome?.status === 'guarded' ? readStoreId(store, { random }) : value
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
  const publishedTo =
    from === 'earliest' ? await positionBeforeLog(store) : await store.headPosition()
  for (const { channel } of channels) {
    const key = placeKey(name, channel)
    const first: RelayPlace = { publishedTo, incarnation: '', ends: {} }
    let row = await store.row('meta', key)
    if (!row) {
      const guard = { collection: 'meta', key, is: 'absent' } as const
      const rows: RowWrite[] = [{ collection: 'meta', key, row: { value: first } }]
      await store.commit([{ guards: [guard], rows }])
      // Another process may have been first, and be further.
      row = await store.row('meta', key)
    }
    // Only this file writes it.
    places.set(channel, row ? (row.value as RelayPlace) : first)
  }
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
