import { consumer, event, integration, jsonSchema, team } from '../../src/contract/index.ts'
import { JuncturaError, type Kernel, LIMITS } from '../../src/kernel/index.ts'
import type { DeadLetterRow } from '../../src/store/index.ts'
import { createMetrics, METRICS } from '../../src/observe/index.ts'
import type {
  AlertView,
  ConsumerStatus,
  DeadLetterGroup,
  DeadLetterView,
  EventHub,
  InvalidGroup,
  InvalidView,
  MessageSummary,
  MessageView,
  OperationCommand,
  OperationView,
  Operator,
  Overview,
  Page,
  ReplayView,
  Runtime,
  RuntimeEvent,
  SagaRunView,
  SagaSummary,
  WebhookStatus,
} from '../../src/runtime/index.ts'

/** A runtime at its port that shows what it is told to, and remembers what it was asked. */
export interface ScriptedRuntime extends Runtime {
  /** What the views show; tests change it. */
  readonly shows: Shows
  /** Each call of a view with its query, and each operation, in order. */
  readonly asked: { readonly method: string; readonly with: unknown }[]
  /** Operators of the operations so far. */
  readonly operators: Operator[]
}

interface Shows {
  overview: Overview
  alive: boolean
  ready: { ready: boolean; reasons: string[] }
  messages: MessageView[]
  letters: DeadLetterView[]
  letterGroups: DeadLetterGroup[]
  invalid: InvalidView[]
  invalidGroups: InvalidGroup[]
  alerts: AlertView[]
  replays: ReplayView[]
  operations: OperationView[]
  sagas: SagaSummary[]
  sagaRuns: SagaRunView[]
  /** Whether a search reads the whole log. */
  complete: boolean
  /** Thrown by the next operation or publish. */
  refuses?: Error
}

const orders = team('orders')

const OrderPlaced = event('orders.placed', {
  owner: orders,
  key: 'orderId',
  versions: {
    1: jsonSchema<{ orderId: string }>({
      type: 'object',
      required: ['orderId'],
      properties: { orderId: { type: 'string' } },
    }),
  },
})

const finance = consumer('finance', {
  owner: orders,
  on: OrderPlaced,
  idempotency: 'transaction',
  retry: { attempts: 3, first: '1s', max: '10s' },
  deadLetter: { alert: orders.oncall },
  afterDeadLetter: 'park',
  replay: 'safe',
  handle: () => Promise.resolve(),
})

export const scriptedRuntime = (kernel: Kernel): ScriptedRuntime => {
  const built = integration('order-status', { parts: [finance] })
  const metrics = createMetrics(kernel.clock)
  metrics.counter(METRICS.accepted).with({ webhook: 'acme' }).add(7)
  const nowMs = kernel.clock.now()
  const shows: Shows = emptyViews(nowMs)
  const asked: ScriptedRuntime['asked'] = []
  const operators: Operator[] = []
  const note = (method: string, query: unknown): void => void asked.push({ method, with: query })
  const answer = async <T>(value: T): Promise<T> => {
    await Promise.resolve()
    if (shows.refuses) throw shows.refuses
    return value
  }
  const page = <T>(items: readonly T[]): Promise<Page<T>> => Promise.resolve({ items })
  return {
    shows,
    asked,
    operators,
    integration: built,
    model: built.model,
    kernel,
    metrics,
    developmentSecrets: [],
    events: createScriptedHub(kernel),
    startedAtMs: nowMs,
    ingress: {
      handle: () => Promise.reject(new JuncturaError('JUNCTURA_CLOSED')),
      drain: () => Promise.resolve(),
      inFlight: 0,
      bytesInFlight: 0,
    },
    publish(draft) {
      note('publish', draft.data)
      return answer(`msg_${'0'.repeat(32)}`)
    },
    publishMany: () => Promise.resolve([]),
    roles: ['gateway', 'worker', 'relay', 'console'],
    announce: () => Promise.resolve(),
    isAlive: () => shows.alive,
    readiness: () => shows.ready,
    overview: () => answer(shows.overview),
    outboxes: () => Promise.resolve([]),
    topics: () => Promise.resolve([]),
    expectations: () => Promise.resolve([]),
    expectationKeys: () => Promise.resolve({ items: [] }),
    flows: () => Promise.resolve([]),
    schedules: () => Promise.resolve([]),
    differences: () => [],
    consumers: () => Promise.resolve(shows.overview.consumers),
    messages(query) {
      note('messages', query)
      const items = shows.messages
        .filter(
          (one) =>
            (query.id ?? one.id) === one.id &&
            (query.key ?? one.key) === one.key &&
            (query.correlation ?? one.correlationId) === one.correlationId &&
            (query.status ?? one.status) === one.status,
        )
        .map(summaryOf)
      const searched = {
        records: shows.messages.length,
        fromPosition: 1,
        toPosition: 40,
        complete: shows.complete,
      }
      return Promise.resolve(shows.complete ? { items, searched } : { items, searched, next: '17' })
    },
    message: (id) => Promise.resolve(shows.messages.find((one) => one.id === id)),
    deadLetters(query) {
      note('deadLetters', query)
      return page(shows.letters.map(rowOf))
    },
    deadLetterGroups: () => Promise.resolve(shows.letterGroups),
    deadLetter: (id) => Promise.resolve(shows.letters.find((one) => one.id === id)),
    invalid(query) {
      note('invalid', query)
      return page(shows.invalid)
    },
    invalidGroups: () => Promise.resolve(shows.invalidGroups),
    invalidOne: (id) => Promise.resolve(shows.invalid.find((one) => one.id === id)),
    alerts(query) {
      note('alerts', query)
      return page(shows.alerts)
    },
    replays: () => page(shows.replays),
    replay: (id) => Promise.resolve(shows.replays.find((one) => one.id === id)),
    sagaSummaries: () => Promise.resolve(shows.sagas),
    sagas(query) {
      note('sagas', query)
      return answer({ items: shows.sagaRuns })
    },
    sagaRun(saga, key) {
      return answer(shows.sagaRuns.find((one) => one.saga === saga && one.key === key))
    },
    operations: () => page(shows.operations),
    operate(command: OperationCommand, by: Operator) {
      note('operate', command)
      operators.push(by)
      const operationId = by.operationId ?? 'op_1'
      return answer({ operationId, state: 'done', repeated: false, result: { done: 1 } })
    },
    idle: () => Promise.resolve(),
    drain: () => Promise.resolve(),
    close: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

const summaryOf = (message: MessageView): MessageSummary => {
  const { id, type, version, key, position, correlationId, source, receivedAtMs, status } = message
  return { id, type, version, key, position, correlationId, source, receivedAtMs, status }
}

/** A row of a list is a view without what only the view shows. */
const rowOf = (letter: DeadLetterView): DeadLetterRow => {
  const row: Record<string, unknown> & DeadLetterRow = { ...letter }
  delete row['payload']
  delete row['successors']
  return row
}

/** The newest hundred events, handed on at once. */
function createScriptedHub(kernel: Kernel): EventHub {
  const kept: RuntimeEvent[] = []
  const listeners = new Set<(event: RuntimeEvent) => void>()
  let lastId = 0
  return {
    get lastId() {
      return lastId
    },
    publish(body) {
      const event: RuntimeEvent = { id: ++lastId, atMs: kernel.clock.now(), ...body }
      kept.push(event)
      if (kept.length > 100) kept.shift()
      for (const listener of listeners) listener(event)
    },
    subscribe({ afterId, listener }) {
      if (listeners.size >= LIMITS.streamReadersMax) {
        throw new JuncturaError('JUNCTURA_TOO_MANY_READERS', {
          details: { maximum: LIMITS.streamReadersMax },
        })
      }
      const oldest = kept[0]?.id ?? lastId + 1
      if (afterId !== undefined) for (const event of kept) if (event.id > afterId) listener(event)
      listeners.add(listener)
      const missed = afterId === undefined ? 0 : Math.max(0, oldest - afterId - 1)
      return { missed, close: () => void listeners.delete(listener) }
    },
  }
}

function emptyViews(nowMs: number): Shows {
  return {
    overview: overviewOf(nowMs),
    alive: true,
    ready: { ready: true, reasons: [] },
    messages: [],
    letters: [],
    letterGroups: [],
    invalid: [],
    invalidGroups: [],
    alerts: [],
    replays: [],
    operations: [],
    sagas: [],
    sagaRuns: [],
    complete: true,
  }
}

export const overviewOf = (nowMs: number): Overview => ({
  name: 'order-status',
  version: '0.1.0',
  modelHash: 'a1b2c3d4e5f6a7b8c9d0',
  startedAtMs: nowMs - 7_200_000,
  nowMs,
  status: 'ok',
  reasons: [],
  health: {
    duplicateRate: 0.031,
    deadLetters: 0,
    contractMismatchRate: 0,
    consumerLatencyMsP50: 11,
    consumerLatencyMsP99: 87,
    correlationCoverage: 1,
  },
  accepted: 48_210,
  duplicates: 1_544,
  refused: 12,
  invalidOpen: 0,
  deadLettersOpen: 0,
  alertsOpen: 0,
  ingressLatencyMsP50: 2.1,
  ingressLatencyMsP99: 9.4,
  consumers: ['warehouse', 'finance', 'notifications'].map((name) => consumerOf(name)),
  webhooks: [webhookOf()],
  store: {
    engine: 'sqlite',
    durability: 'fsync before each answer',
    unitOfOrder: 'key',
    headPosition: 96_420,
    sizeBytes: 61_300_000,
  },
  transport: {
    name: 'embedded',
    engine: 'embedded',
    connected: null,
    unpublished: null,
    durability: 'fsync',
    unitOfOrder: 'key',
    publishers: [],
    bridges: [],
  },
})

export const consumerOf = (name: string, change: Partial<ConsumerStatus> = {}): ConsumerStatus => ({
  name,
  owner: `${name} team`,
  on: 'orders.status-changed',
  version: 2,
  mode: 'running',
  watermark: 96_420,
  partitions: [
    { slots: '0-63', mode: 'running', watermark: 96_420, holder: null, managementUrl: null },
  ],
  lag: 0,
  oldestPendingAgeMs: null,
  inFlight: 0,
  retrying: 0,
  parked: 0,
  deadLettersOpen: 0,
  done: 48_210,
  latencyMsP50: 11,
  latencyMsP99: 87,
  ...change,
})

export const webhookOf = (change: Partial<WebhookStatus> = {}): WebhookStatus => ({
  name: 'acme',
  path: '/webhooks/acme',
  from: 'acme-commerce',
  accepted: 48_210,
  duplicates: 1_544,
  refused: 12,
  mismatches: 0,
  repeats: { ids: 0 },
  ...change,
})
