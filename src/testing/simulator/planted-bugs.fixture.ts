import { decodeRecord, encodeRecord } from '../../contract/index.ts'
import type { RowWrite, Store, Unit, UnitOutcome } from '../../store/index.ts'
import type { OutboxReader } from '../../outbox/index.ts'
import type { Broker, BrokerMessage } from '../../transport/index.ts'
import type { Tamper } from './simulated-node.ts'

/** A mistake that messaging systems have shipped, put between the runtime and its store. */
export interface PlantedBug {
  readonly name: string
  /** What the simulator has to say about it. */
  readonly seen: RegExp
  readonly tamper: Tamper
}

/** The store with some methods replaced; the others are its own. */
const withMethods = (store: Store, methods: Partial<Store>): Store =>
  new Proxy(store, {
    get(target, name) {
      const own: unknown = Reflect.get(methods, name)
      if (own !== undefined) return own
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })

type ChangeRow = (write: RowWrite) => RowWrite | undefined

/** Changes every row on its way to the store; a row that becomes nothing is not written. */
const withRows =
  (change: ChangeRow, methods: (store: Store) => Partial<Store> = () => ({})) =>
  (store: Store): Store => {
    const all = (rows: readonly RowWrite[] = []): readonly RowWrite[] =>
      rows.flatMap((row) => change(row) ?? [])
    const unitOf = (unit: Unit): Unit => {
      const { tx } = unit
      const changed = { ...unit, rows: all(unit.rows) }
      if (!tx) return changed
      return {
        ...changed,
        tx: async (db) => {
          const parts = await tx(db)
          return { ...parts, rows: all(parts.rows) }
        },
      }
    }
    return withMethods(store, {
      commit: (units, finish) =>
        store.commit(units.map(unitOf), finish && ((outcomes) => all(finish(outcomes)))),
      ...methods(store),
    })
  }

/** Answers for what came through the border before it is on the disk. */
const ackBeforeCommit = (store: Store): Store => {
  let promised = 0
  return withMethods(store, {
    async commit(units, finish) {
      const claims = units.flatMap((unit) => unit.claims ?? [])
      const isBorder = units.every((unit) => !unit.tx && unit.claims && !unit.guards)
      const taken = await Promise.all(
        claims.map(({ scope, key }) => store.claimedPosition(scope, key)),
      )
      const isKnown = taken.some((position) => position !== undefined)
      const keys = new Set(claims.map(({ scope, key }) => `${scope}\n${key}`))
      if (!isBorder || isKnown || keys.size < claims.length) return store.commit(units, finish)
      promised = Math.max(promised, await store.headPosition())
      const outcomes = units.map((unit): UnitOutcome => {
        const positions = (unit.appends ?? []).map(() => ++promised)
        return { status: 'committed', positions }
      })
      store.commit(units, finish).catch(() => undefined)
      return outcomes
    },
  })
}

/** Remembers a key as seen although the commit that claimed it failed. */
const skipSeenAndFailed = (store: Store): Store => {
  const seen = new Set<string>()
  return withMethods(store, {
    async commit(units, finish) {
      try {
        return await store.commit(units, finish)
      } catch (error) {
        for (const unit of units) {
          for (const { scope, key } of unit.claims ?? []) seen.add(`${scope}\n${key}`)
        }
        throw error
      }
    },
    claimedPosition: (scope, key) =>
      seen.has(`${scope}\n${key}`)
        ? Promise.resolve(Number.MAX_SAFE_INTEGER)
        : store.claimedPosition(scope, key),
  })
}

/** Nothing is noted before a handler runs. */
const countAfterHandler = withRows((write) => {
  if (write.collection === 'suspects' && write.row) return undefined
  if (write.collection !== 'lanes' || !write.row) return write
  const { runningEpoch: _, ...row } = write.row
  return { ...write, row: { ...row, crashes: 0 } }
})

/** A timer is in memory only: what waited when the process stopped is not woken. */
const timerLostAtRestart = (store: Store): Store => {
  const lost = store
    .scan({ collection: 'timers', limit: 500 })
    .then((page) => new Set(page.map(({ key }) => key)))
  const written = new Set<string>()
  return withRows(
    (write) => {
      if (write.collection === 'timers') written.add(write.key)
      return write
    },
    () => ({
      async scan(query) {
        const page = await store.scan(query)
        if (query.collection !== 'timers') return page
        const known = await lost
        return page.filter(({ key }) => !known.has(key) || written.has(key))
      },
    }),
  )(store)
}

const withoutConsumer = (key: string): string => key.slice(key.indexOf('\n'))

/** What one consumer has done counts for the others too. */
const dedupeWithoutConsumer = withRows(
  (write) =>
    write.collection === 'onceResults' ? { ...write, key: withoutConsumer(write.key) } : write,
  (store) => ({
    row: (collection, key) =>
      store.row(collection, collection === 'onceResults' ? withoutConsumer(key) : key),
  }),
)

/** Progress is durable, and the effect follows. */
const progressBeforeEffect = (store: Store): Store =>
  withMethods(store, {
    async commit(units, finish) {
      if (finish && units.some(({ tx }) => tx)) {
        const done = units.map((): UnitOutcome => ({ status: 'committed', positions: [] }))
        await store.commit([{ rows: finish(done) }])
      }
      return store.commit(units, finish)
    },
  })

/** What is brought back is a new message. */
const replayTakesNewIds = (store: Store): Store => {
  const again = new Set<number>()
  return withRows(
    (write) => {
      const isAgain =
        write.collection === 'successors' && (write.row?.replay ?? write.row?.deadLetter)
      if (isAgain && write.row) again.add(write.row.position)
      return write
    },
    () => ({
      async recordAt(position) {
        const stored = await store.recordAt(position)
        if (!stored || !again.has(position)) return stored
        const record = decodeRecord(stored.bytes, position)
        const envelope = { ...record.head.envelope, id: `${record.head.envelope.id}-again` }
        return { ...stored, bytes: encodeRecord({ ...record, head: { ...record.head, envelope } }) }
      },
    }),
  )(store)
}

/** A key that was parked runs freely after a restart. */
const parkedForgottenAtRestart = (store: Store): Store =>
  withMethods(store, {
    scan: (query) =>
      query.collection === 'lanes' && query.where?.[1] === 'parked'
        ? Promise.resolve([])
        : store.scan(query),
  })

/** What is finished beyond a gap takes the gap along. */
const watermarkJumpsGap = withRows((write) => {
  const last = write.collection === 'progress' ? write.row?.done.at(-1) : undefined
  if (write.collection !== 'progress' || !write.row || !last) return write
  return { ...write, row: { ...write.row, watermark: last[1], done: [] } }
})

/** A dead letter that nobody is told of. */
const deadLetterWithoutAlert = withRows((write) =>
  write.collection === 'alerts' ? undefined : write,
)

const withPublish = (
  broker: Broker,
  publish: (channel: string, messages: readonly BrokerMessage[]) => Promise<void>,
): Broker => ({ ...broker, publish })

/** What is published again is a new message to everybody. */
const newIdOnRetry = (broker: Broker): Broker => {
  let retries = 0
  return withPublish(broker, async (channel, messages) => {
    const again = retries === 0 ? '' : `-${retries}`
    try {
      await broker.publish(
        channel,
        messages.map((message) => ({ ...message, id: message.id + again })),
      )
      retries = 0
    } catch (error) {
      retries += 1
      throw error
    }
  })
}

/** The relay goes on without the broker's word. */
const publishUnconfirmed = (broker: Broker): Broker =>
  withPublish(broker, async (channel, messages) => {
    broker.publish(channel, messages).catch(() => undefined)
  })

/** A reader that takes whatever comes next for what is next: it reads `id > last`. */
const gapUnseen = (broker: Broker): Broker => ({
  ...broker,
  follow: (channel, listener) => {
    let last = 0
    return broker.follow(channel, (messages) =>
      listener(
        messages.map((message) => {
          const { logprevious = '0', logposition = '0' } = message.attributes
          const previous = Math.min(Number(logprevious), last)
          last = Math.max(last, Number(logposition))
          return { ...message, attributes: { ...message.attributes, logprevious: `${previous}` } }
        }),
      ),
    )
  },
})

/** A relay that reads `id > last`: a row that is committed late, below it, is never read. */
const readsBeyondLast = (reader: OutboxReader): OutboxReader => ({
  ...reader,
  async read({ head }, limit) {
    const page = await reader.read({ head, gaps: [] }, limit)
    return { ...page, endedBelow: Number.POSITIVE_INFINITY }
  },
})

/** A relay that waits for a number no longer than until it has looked once more. */
const fenceTooLow = (reader: OutboxReader): OutboxReader => ({ ...reader, fence: async () => 0 })

const isCursor = ({ collection }: RowWrite): boolean => collection === 'outboxCursors'

/** The relay's place is durable, and the messages follow: an acknowledgement before the commit. */
const cursorBeforeCommit = (store: Store): Store =>
  withMethods(store, {
    async commit(units, finish) {
      const isRelay = (unit: Unit): boolean =>
        (unit.appends?.length ?? 0) > 0 && (unit.rows?.some(isCursor) ?? false)
      if (!units.some(isRelay)) return store.commit(units, finish)
      const cursors = units.flatMap(({ rows = [], guards }) =>
        rows.some(isCursor) ? [{ rows: rows.filter(isCursor), ...(guards && { guards }) }] : [],
      )
      await store.commit(cursors)
      const rest = units.map((unit) =>
        isRelay(unit)
          ? { ...unit, guards: [], rows: (unit.rows ?? []).filter((row) => !isCursor(row)) }
          : unit,
      )
      return store.commit(rest, finish)
    },
  })

/** The messages are durable, and the relay's place follows in a commit of its own. */
const cursorAfterCommit = (store: Store): Store =>
  withMethods(store, {
    async commit(units, finish) {
      const isApart = units.some(
        ({ appends = [], rows = [] }) => appends.length > 0 && rows.some(isCursor),
      )
      if (!isApart) return store.commit(units, finish)
      const cursors = units.flatMap(({ rows = [] }) => rows.filter(isCursor))
      const bare = units.map((unit) => ({
        ...unit,
        rows: (unit.rows ?? []).filter((row) => !isCursor(row)),
      }))
      const outcomes = await store.commit(bare, finish)
      await store.commit([{ rows: cursors }])
      return outcomes
    },
  })

/** Commits go over a connection that does not know of the lease, so none is ever refused. */
const missingFence = (store: Store, open: () => Store): Store => {
  if (!store.leases) return store
  const unfenced = open()
  return withMethods(store, { commit: (units, finish) => unfenced.commit(units, finish) })
}

/** Who takes the lease believes the old holder for as long as it says so: it never expires. */
const leaseNeverExpires = (store: Store): Store => {
  const { leases } = store
  if (!leases) return store
  return withMethods(store, {
    leases: {
      ...leases,
      take: async (request) => {
        const lease = await leases.take(request)
        // The epoch of the first: whoever comes later waits for its word.
        return lease && lease.epoch > 1 ? undefined : lease
      },
    },
  })
}

/** What looks stuck is put back as it was when somebody looked, though it is finished by then. */
const sweeperResurrects = (store: Store): Store => {
  const waiting = new Map<string, RowWrite>()
  let finished: RowWrite[] = []
  const watched = withRows((write) => {
    if (write.collection !== 'lanes') return write
    const before = waiting.get(write.key)
    if (before && write.row?.state !== 'retry') finished.push(before)
    waiting.delete(write.key)
    if (write.row?.state === 'retry') waiting.set(write.key, write)
    return write
  })(store)
  return withMethods(watched, {
    async commit(units, finish) {
      const outcomes = await watched.commit(units, finish)
      const swept = finished
      finished = []
      if (swept.length > 0) watched.commit([{ rows: swept }]).catch(() => undefined)
      return outcomes
    },
  })
}

export const PLANTED_BUGS: readonly PlantedBug[] = [
  {
    name: 'an answer before the commit',
    seen: /which is not in the log/,
    tamper: { store: ackBeforeCommit },
  },
  {
    name: 'a key that is seen although its commit failed',
    seen: /was answered 'duplicate' without the id/,
    tamper: { store: skipSeenAndFailed },
  },
  {
    name: 'an attempt counted after the handler',
    seen: /took the process down \d+ times|not everything was done/,
    tamper: { store: countAfterHandler },
  },
  {
    name: 'retries without a cap',
    seen: /allowed are 4/,
    tamper: {
      integration: (integration) => ({
        ...integration,
        consumers: integration.consumers.map((consumer) =>
          consumer.retry ? { ...consumer, retry: { ...consumer.retry, attempts: 100 } } : consumer,
        ),
      }),
    },
  },
  {
    name: 'a timer lost at the restart',
    seen: /in state retry/,
    tamper: { store: timerLostAtRestart },
  },
  {
    name: 'a dedupe key without the consumer',
    seen: /reused what ctx\.once kept for another/,
    tamper: { store: dedupeWithoutConsumer },
  },
  {
    name: 'progress saved before the effect',
    seen: /is lost for/,
    tamper: { store: progressBeforeEffect },
  },
  {
    name: 'a replay that takes new ids',
    seen: /-again, which is not in the log/,
    tamper: { store: replayTakesNewIds },
  },
  {
    name: 'a parked key forgotten at the restart',
    seen: /which is held \(parked\)/,
    tamper: { store: parkedForgottenAtRestart },
  },
  {
    name: 'a watermark that jumps a gap',
    seen: /is lost for/,
    tamper: { store: watermarkJumpsGap },
  },
  {
    name: 'a dead letter without an alert',
    seen: /nobody was told/,
    tamper: { store: deadLetterWithoutAlert },
  },
  {
    name: 'a new id when publishing is tried again',
    seen: /published under two ids/,
    tamper: { broker: newIdOnRetry },
  },
  {
    name: 'a relay that does not wait for the broker’s word',
    seen: /wait for the broker|cannot get the message/,
    tamper: { broker: publishUnconfirmed },
  },
  {
    name: 'a gap in what the broker brings that nobody sees',
    seen: /is lost for|not everything was done/,
    tamper: { broker: gapUnseen },
  },
  {
    name: 'a relay that reads id > last',
    seen: /was committed and never moved/,
    tamper: { outbox: readsBeyondLast },
  },
  {
    name: 'a gap that is closed while its transaction is open',
    seen: /was committed and never moved/,
    tamper: { outbox: fenceTooLow },
  },
  {
    name: 'a relay’s cursor saved before the messages',
    seen: /was committed and never moved/,
    tamper: { store: cursorBeforeCommit },
  },
  {
    name: 'a relay’s cursor saved after the messages',
    seen: /was moved twice from outbox/,
    tamper: { store: cursorAfterCommit },
  },
  {
    name: 'a missing fence: what a zombie commits is taken',
    seen: /after another process had taken its lease/,
    tamper: { store: missingFence },
  },
  {
    name: 'a lease that nobody takes over',
    seen: /nobody has taken|not everything was done/,
    tamper: { store: leaseNeverExpires },
  },
  {
    name: 'a sweeper that resurrects finished work',
    seen: /is done and pending for .* at once|had two effects for/,
    tamper: { store: sweeperResurrects },
  },
]
