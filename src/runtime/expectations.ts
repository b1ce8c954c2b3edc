import type { AnyContract, Envelope, Expectation, Integration } from '../contract/index.ts'
import {
  clockAt,
  createExpectationTracker,
  type ExpectationTracker,
  missedCause,
  NO_TOTALS,
  rowKeyOf,
} from '../flow/index.ts'
import type { Kernel, SteadyClock } from '../kernel/index.ts'
import { METRICS, type Metrics } from '../observe/index.ts'
import type {
  Committer,
  ExpectationCursorRow,
  ExpectationRow,
  RowWrite,
  Store,
} from '../store/index.ts'
import type { LogTransport } from '../transport/index.ts'
import type { AlertBook } from './alert-book.ts'
import type { Masks } from './contract-masks.ts'
import { offerRows } from './offer-rows.ts'
import { refused } from './operations.ts'
import { eachRow, pageOf } from './paging.ts'
import { createReadContract } from './read-data.ts'
import type {
  ExpectationKeyQuery,
  ExpectationKeyView,
  ExpectationView,
  FlowView,
  Page,
} from './views.ts'

export interface ExpectationsOptions {
  readonly integration: Integration
  readonly kernel: Kernel
  readonly steady: SteadyClock
  readonly store: Store
  readonly committer: Committer
  readonly transport: LogTransport
  readonly metrics: Metrics
  readonly alerts: AlertBook
  readonly masks: Masks
}

/** All expectations of an integration: at work in the process that has the duties of the store. */
export interface Expectations {
  start(): Promise<void>
  views(): Promise<readonly ExpectationView[]>
  /** Undefined for an expectation that is not declared. */
  keys(name: string, query: ExpectationKeyQuery): Promise<Page<ExpectationKeyView> | undefined>
  flows(): Promise<readonly FlowView[]>
  /** @throws JUNCTURA_OPERATION_REFUSED when it is unknown, or is not at work in this process. */
  settle(name: string, key: string | undefined): Promise<number>
  hasPassed(position: number): boolean
  /** Forgets what is no longer declared, and resolves what it told. */
  tidy(): Promise<void>
  idle(): Promise<void>
  close(): Promise<void>
}

export const createExpectations = (options: ExpectationsOptions): Expectations => {
  const { integration, metrics } = options
  const trackers = new Map(
    integration.expectations.map((one) => [one.name, openTracker(options, one)] as const),
  )
  observe(metrics, trackers)
  const views = (): Promise<readonly ExpectationView[]> =>
    Promise.all([...trackers.values()].map((tracker) => viewOf(options, tracker)))
  return {
    async start() {
      if (options.store.leases) await options.alerts.load()
      for (const tracker of trackers.values()) await tracker.start()
    },
    views,
    async keys(name, query) {
      const tracker = trackers.get(name)
      return tracker && (await keysOf(options, tracker, query))
    },
    flows: async () => flowsOf(integration, await views()),
    async settle(name, key) {
      const tracker = trackers.get(name)
      if (!tracker) {
        const known = [...trackers.keys()].join(', ') || 'none is declared'
        throw refused(`there is no expectation ${name}`, `use one of: ${known}`)
      }
      const { state } = tracker.status()
      if (state === 'running') return tracker.settle(key)
      const fix = 'ask the process that has the duties of the store, or start it'
      throw refused(`expectation ${name} is ${state} in this process`, fix)
    },
    hasPassed: (position) => [...trackers.values()].every((one) => one.hasPassed(position)),
    tidy: () => forgetUndeclared(options),
    idle: async () => {
      await Promise.all([...trackers.values()].map((one) => one.idle()))
    },
    close: async () => {
      await Promise.all([...trackers.values()].map((one) => one.close()))
    },
  }
}

/** Who should act, by name: whoever the declaration names, or the consumers of what begins it. */
const actorsOf = (integration: Integration, { by, after }: Expectation): readonly string[] => {
  if (by.length > 0) return by
  const begins = new Set(after.map(({ contract }) => contract.name))
  return integration.consumers.filter(({ on }) => begins.has(on.name)).map(({ name }) => name)
}

function openTracker(options: ExpectationsOptions, expectation: Expectation): ExpectationTracker {
  const { integration, kernel, alerts, masks, metrics } = options
  const outcomes = metrics.counter(METRICS.expectationOutcomes)
  const read = createReadContract(integration)
  return createExpectationTracker({
    ...options,
    expectation,
    actors: actorsOf(integration, expectation),
    readData: (contract: AnyContract, envelope: Envelope, data: Uint8Array) =>
      read(contract, envelope, data),
    maskText: (contract, text, data) => masks.of(contract.name).text(text, data),
    raiseAlert: (alert) =>
      alerts.raise({
        ...alert,
        owner: expectation.owner,
        target: expectation.alert,
        atMs: kernel.clock.now(),
      }),
    resolveAlert: (cause) => alerts.resolve(cause),
    onCounted: (counted) => {
      for (const [outcome, by] of Object.entries(counted)) {
        if (by > 0) outcomes.with({ expectation: expectation.name, outcome }).add(by)
      }
    },
  })
}

function observe(metrics: Metrics, trackers: ReadonlyMap<string, ExpectationTracker>): void {
  for (const [metric, read] of [
    [METRICS.expectationsOpen, 'open'],
    [METRICS.expectationsMissed, 'missed'],
  ] as const) {
    metrics.observe(metric, () =>
      [...trackers]
        .map(([name, tracker]) => ({ name, status: tracker.status() }))
        // What another process watches is no zero here.
        .filter(({ status }) => status.state === 'running')
        .map(({ name, status }) => ({ labels: { expectation: name }, value: status[read] })),
    )
  }
}

/** Longer than two versions of the code run side by side: one of them may know it still. */
const UNDECLARED_MS = 3_600_000

async function forgetUndeclared(options: ExpectationsOptions): Promise<void> {
  const { store, integration, alerts, kernel } = options
  const declared = new Set(integration.expectations.map(({ name }) => name))
  for await (const keyed of eachRow(store, { collection: 'expectationCursors' })) {
    const { key: name, row } = keyed
    if (declared.has(name) || kernel.clock.now() - row.wallMs < UNDECLARED_MS) continue
    kernel.log.warn({ expectation: name }, 'an expectation that is not declared is forgotten')
    let rows: RowWrite[] = []
    const range = { from: `${name}\n`, to: `${name}\n\u{10ffff}` }
    for await (const { key } of eachRow(store, { collection: 'expectations', ...range })) {
      rows.push({ collection: 'expectations', key, row: undefined })
      if (rows.length < ROWS_PER_COMMIT) continue
      await offerRows(options, rows)
      rows = []
    }
    rows.push({ collection: 'expectationCursors', key: name, row: undefined })
    await offerRows(options, [...rows, ...alerts.resolve(missedCause(name))])
  }
}

const ROWS_PER_COMMIT = 500

/** From memory where it is at work here, else as last stored. */
async function viewOf(
  { store, kernel, integration }: ExpectationsOptions,
  tracker: ExpectationTracker,
): Promise<ExpectationView> {
  const { expectation } = tracker
  const { name } = expectation
  const status = tracker.status()
  const isHere = status.state !== 'standing-by'
  const stored = isHere ? undefined : await store.row('expectationCursors', name)
  const count = (state: ExpectationRow['state']): Promise<number> =>
    store.count({ collection: 'expectations', index: 'byDue', where: [name, state] })
  const position = isHere ? status.position : (stored?.position ?? 0)
  const names = (list: Expectation['after']): readonly string[] =>
    list.map(({ contract }) => contract.name)
  const wallMs = kernel.clock.now()
  const clockMs = isHere ? tracker.clockMs() : stored && clockAt(stored, wallMs)
  const [oldest] = await store.scan({
    collection: 'expectations',
    index: 'byDue',
    where: [name, 'missed'],
    limit: 1,
  })
  return {
    name,
    owner: expectation.owner.name,
    ...(expectation.summary !== undefined && { summary: expectation.summary }),
    after: names(expectation.after),
    expect: names(expectation.expect),
    undoneBy: names(expectation.undoneBy),
    withinMs: expectation.withinMs,
    shouldAct: actorsOf(integration, expectation),
    state: status.state,
    lag: Math.max(0, (await store.headPosition()) - position),
    open: isHere ? status.open : await count('open'),
    missed: isHere ? status.missed : await count('missed'),
    ...(oldest && { oldestMissedAtMs: dueOnWall(oldest.row, clockMs ?? wallMs, wallMs) }),
    ...(status.heldUntilMs !== undefined && { heldUntilMs: status.heldUntilMs }),
    totals: isHere ? status.totals : (stored?.totals ?? NO_TOTALS),
  }
}

const dueOnWall = ({ dueAtMs }: ExpectationRow, clockMs: number, wallMs: number): number =>
  Math.round(dueAtMs - clockMs + wallMs)

async function keysOf(
  options: ExpectationsOptions,
  tracker: ExpectationTracker,
  query: ExpectationKeyQuery,
): Promise<Page<ExpectationKeyView>> {
  const { store, kernel, integration } = options
  const { expectation } = tracker
  const wallMs = kernel.clock.now()
  const clockMs = await clockOf(store, tracker, wallMs)
  const shouldAct = actorsOf(integration, expectation)
  const view = ({ row }: { readonly row: ExpectationRow }): ExpectationKeyView => ({
    key: row.key,
    state: row.state,
    dueAtMs: dueOnWall(row, clockMs, wallMs),
    ...(row.missedAtMs !== undefined && { missedAtMs: row.missedAtMs }),
    lastSeen: { messageId: row.messageId, type: row.type, atMs: row.seenAtMs },
    correlationId: row.correlationId,
    shouldAct,
  })
  if (query.key !== undefined) {
    const row = await store.row('expectations', rowKeyOf(expectation)(query.key))
    return { items: row ? await withLetters(store, [view({ row })]) : [] }
  }
  const where = [expectation.name, query.state ?? 'missed']
  const scan = { collection: 'expectations', index: 'byDue', where } as const
  const page = await pageOf(store, scan, { query, view })
  return { ...page, items: await withLetters(store, page.items) }
}

async function clockOf(store: Store, tracker: ExpectationTracker, wallMs: number): Promise<number> {
  if (tracker.status().state !== 'standing-by') return tracker.clockMs()
  const stored: ExpectationCursorRow | undefined = await store.row(
    'expectationCursors',
    tracker.expectation.name,
  )
  return stored ? clockAt(stored, wallMs) : wallMs
}

/** Why nothing came, where a consumer gave up on what was last seen. */
const withLetters = (
  store: Store,
  items: readonly ExpectationKeyView[],
): Promise<readonly ExpectationKeyView[]> =>
  Promise.all(
    items.map(async (item) => {
      const letters = await store.scan({
        collection: 'deadLetters',
        index: 'byMessage',
        where: [item.lastSeen.messageId],
        limit: LETTERS_MAX,
      })
      const deadLetters = letters
        .filter(({ row }) => row.state === 'open')
        .map(({ row }) => ({ id: row.id, consumer: row.consumer, cause: row.causeTitle }))
      return deadLetters.length > 0 ? { ...item, deadLetters } : item
    }),
  )

const LETTERS_MAX = 20

function flowsOf(integration: Integration, views: readonly ExpectationView[]): readonly FlowView[] {
  return integration.flows.map((one) => {
    const names = new Set(one.expectations.map(({ name }) => name))
    const steps = views.filter(({ name }) => names.has(name))
    return {
      name: one.name,
      owner: one.owner.name,
      ...(one.summary !== undefined && { summary: one.summary }),
      coordination: one.coordination,
      path: one.path.map(({ name }) => name),
      open: steps.reduce((sum, { open }) => sum + open, 0),
      missed: steps.reduce((sum, { missed }) => sum + missed, 0),
      steps,
    }
  })
}
