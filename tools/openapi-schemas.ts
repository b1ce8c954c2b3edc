import { flowSchemas } from './openapi-flow-schemas.ts'
import { sagaSchemas } from './openapi-saga-schemas.ts'
/** A schema of draft 2020-12, as OpenAPI 3.1 takes it. */
export type SchemaObject = Readonly<Record<string, unknown>>

const text: SchemaObject = { type: 'string' }
const id = text
const integer: SchemaObject = { type: 'integer' }
const count: SchemaObject = { type: 'integer', minimum: 0 }
const number: SchemaObject = { type: 'number' }
const share: SchemaObject = { type: 'number', minimum: 0, maximum: 1 }
const flag: SchemaObject = { type: 'boolean' }
const anything: SchemaObject = {}
const timeMs: SchemaObject = { type: 'integer', description: 'Epoch milliseconds.' }
const durationMs: SchemaObject = { type: ['number', 'null'], description: 'Milliseconds.' }
const words = (...allowed: readonly string[]): SchemaObject => ({ type: 'string', enum: allowed })
const listOf = (items: SchemaObject): SchemaObject => ({ type: 'array', items })
const refTo = (name: string): SchemaObject => ({ $ref: `#/components/schemas/${name}` })

/** An object with exactly these members; a name that ends in `?` may be missing. */
const exactly = (members: Readonly<Record<string, SchemaObject>>): SchemaObject => ({
  type: 'object',
  additionalProperties: false,
  required: Object.keys(members).filter((name) => !name.endsWith('?')),
  properties: Object.fromEntries(
    Object.entries(members).map(([name, schema]) => [name.replace(/\?$/, ''), schema]),
  ),
})

/** Members that every body has. */
const VERSIONED = { schemaVersion: { const: 1 } } as const

const listBody = (name: string): SchemaObject =>
  exactly({ ...VERSIONED, items: listOf(refTo(name)) })

const pageBody = (name: string, more: Readonly<Record<string, SchemaObject>> = {}): SchemaObject =>
  exactly({
    ...VERSIONED,
    items: listOf(refTo(name)),
    'next?': { type: 'string', description: 'Send it as `after` for the next page.' },
    ...more,
  })

const STATUS = words(
  'pending',
  'done',
  'retrying',
  'parked',
  'dead',
  'dropped',
  'expired',
  'duplicate',
  'no-consumer',
)

const consumerStatus = {
  name: text,
  owner: text,
  on: text,
  version: count,
  mode: text,
  watermark: count,
  lag: count,
  oldestPendingAgeMs: durationMs,
  inFlight: count,
  retrying: count,
  parked: count,
  deadLettersOpen: count,
  done: count,
  latencyMsP50: durationMs,
  latencyMsP99: durationMs,
  partitions: listOf(
    exactly({
      slots: text,
      mode: text,
      watermark: count,
      holder: { type: ['string', 'null'] },
      managementUrl: { type: ['string', 'null'] },
    }),
  ),
}

const repeat = {
  webhook: text,
  messageId: id,
  position: count,
  firstAtMs: timeMs,
  lastAtMs: timeMs,
  repeats: count,
  differences: count,
}

const brokerStatus = {
  name: text,
  engine: text,
  connected: { type: ['boolean', 'null'] },
  unpublished: { type: ['integer', 'null'], minimum: 0 },
  durability: { type: ['string', 'null'] },
  unitOfOrder: { type: ['string', 'null'], enum: ['key', 'slot', 'partition', null] },
  publishers: listOf(
    exactly({
      channel: text,
      holder: { type: ['string', 'null'] },
      managementUrl: { type: ['string', 'null'] },
    }),
  ),
} as const

const overview = {
  name: text,
  version: text,
  modelHash: text,
  startedAtMs: timeMs,
  nowMs: timeMs,
  status: words('ok', 'degraded', 'down'),
  reasons: listOf(text),
  health: exactly({
    duplicateRate: share,
    deadLetters: count,
    contractMismatchRate: share,
    consumerLatencyMsP50: durationMs,
    consumerLatencyMsP99: durationMs,
    correlationCoverage: share,
  }),
  accepted: count,
  duplicates: count,
  refused: count,
  invalidOpen: count,
  deadLettersOpen: count,
  alertsOpen: count,
  ingressLatencyMsP50: durationMs,
  ingressLatencyMsP99: durationMs,
  consumers: listOf(refTo('ConsumerStatus')),
  webhooks: listOf(
    exactly({
      name: text,
      path: text,
      from: text,
      accepted: count,
      duplicates: count,
      refused: count,
      mismatches: count,
      repeats: exactly({ ids: count, 'longest?': refTo('Repeat') }),
    }),
  ),
  store: exactly({
    engine: text,
    durability: text,
    unitOfOrder: { type: 'string', enum: ['key', 'slot', 'partition'] },
    headPosition: count,
    sizeBytes: { type: ['integer', 'null'], minimum: 0 },
  }),
  transport: exactly({ ...brokerStatus, bridges: listOf(exactly(brokerStatus)) }),
}

const outboxStatus = {
  name: text,
  database: words('postgres', 'sqlite'),
  accepts: listOf(text),
  state: words('starting', 'running', 'away', 'stopped'),
  moved: count,
  invalid: count,
  head: count,
  gaps: count,
  'oldestGapAtMs?': timeMs,
  'lastMovedAtMs?': timeMs,
  'lastError?': text,
  'waiting?': count,
  'waitingIsMore?': { type: 'boolean' },
  'oldestAtMs?': timeMs,
}

const topicStatus = {
  name: text,
  engine: words('kafka', 'nats', 'rabbitmq'),
  resource: text,
  accepts: listOf(text),
  state: words('starting', 'running', 'away', 'standing-by', 'stopped'),
  moved: count,
  invalid: count,
  repeats: count,
  lost: count,
  next: { type: 'object', additionalProperties: text },
  'lag?': count,
  'lastMovedAtMs?': timeMs,
  'durability?': text,
  'lastError?': text,
}

const summary = {
  id,
  type: text,
  version: count,
  key: text,
  position: count,
  correlationId: text,
  source: text,
  receivedAtMs: timeMs,
  status: STATUS,
}

const attempt = {
  attempt: count,
  atMs: timeMs,
  outcome: text,
  durationMs: number,
  'error?': text,
}

const message = {
  ...summary,
  envelope: { description: 'CloudEvents 1.0 attributes.' },
  payload: { description: "Masked by the contract's personal-data fields." },
  border: listOf(exactly({ step: text, outcome: text })),
  consumers: listOf(
    exactly({
      consumer: text,
      status: STATUS,
      attempts: listOf(exactly(attempt)),
      'deadLetter?': id,
      'nextAttemptAtMs?': timeMs,
      'lastError?': text,
    }),
  ),
  related: listOf(refTo('MessageSummary')),
  'repeats?': refTo('Repeat'),
}

const deadLetter = {
  id,
  stage: words('handler', 'transform'),
  state: words('open', 'resolved', 'dropped'),
  consumer: text,
  owner: text,
  messageId: id,
  position: count,
  channel: text,
  slot: count,
  key: text,
  type: text,
  contractVersion: count,
  correlationId: text,
  'traceparent?': text,
  attempts: count,
  crashes: count,
  cause: text,
  causeTitle: text,
  errorName: text,
  errorMessage: text,
  errorStack: text,
  receivedAtMs: timeMs,
  firstFailedAtMs: timeMs,
  lastFailedAtMs: timeMs,
  diedAtMs: timeMs,
  modelHash: text,
  parked: flag,
  'resolvedAtMs?': timeMs,
  'resolvedBy?': text,
}

const deadLetterGroup = {
  cause: text,
  title: text,
  consumer: text,
  type: text,
  contractVersion: count,
  stage: text,
  owner: text,
  count,
  keys: count,
  firstAtMs: timeMs,
  lastAtMs: timeMs,
  sample: id,
  more: { type: 'boolean', description: 'Whether more exist than were counted.' },
}

const invalid = {
  id,
  state: words('open', 'readmitted', 'dropped'),
  webhook: text,
  reason: words('schema', 'version', 'conflict', 'syntax', 'contract'),
  cause: text,
  causeTitle: text,
  contract: text,
  version: { type: ['integer', 'null'] },
  receivedAtMs: timeMs,
  mediaType: text,
  headers: { type: 'object', additionalProperties: text },
  bodyBytes: count,
  errors: listOf(exactly({ pointer: text, message: text })),
  scheme: text,
  'signedAtMs?': timeMs,
  'conflictsWith?': id,
  'messageId?': id,
  'resolvedAtMs?': timeMs,
  payload: { description: 'Masked; null where the bytes cannot be masked.' },
}

const invalidGroup = {
  cause: text,
  title: text,
  webhook: text,
  reason: text,
  version: { type: ['integer', 'null'] },
  count,
  firstAtMs: timeMs,
  lastAtMs: timeMs,
  sample: id,
  more: flag,
}

const alert = {
  id,
  kind: text,
  cause: text,
  title: text,
  owner: text,
  route: text,
  severity: words('critical', 'warning'),
  state: words('open', 'acknowledged', 'resolved'),
  firstAtMs: timeMs,
  lastAtMs: timeMs,
  count,
  countAtOpening: count,
  isGrown: flag,
  owed: listOf(words('opened', 'grown', 'resolved')),
  notifiedCount: count,
  'notifiedAtMs?': timeMs,
  target: { type: 'object', description: 'The route; secrets by reference only.' },
}

const replay = {
  id,
  state: words('planned', 'running', 'paused', 'done', 'aborted', 'failed'),
  filter: anything,
  plan: anything,
  token: text,
  createdAtMs: timeMs,
  'startedAtMs?': timeMs,
  'finishedAtMs?': timeMs,
  actor: text,
  reason: text,
  ratePerSecond: count,
  cursor: text,
  released: count,
  skipped: count,
  failed: count,
  total: count,
  'waitsFor?': listOf(
    exactly({
      consumer: text,
      key: text,
      sinceMs: timeMs,
      because: text,
      deadLetter: { type: ['string', 'null'] },
    }),
  ),
}

const operation = {
  id,
  command: text,
  parameters: anything,
  actor: text,
  reason: text,
  origin: text,
  atMs: timeMs,
  state: words('started', 'done', 'refused', 'failed'),
  result: anything,
  'finishedAtMs?': timeMs,
}

/** Every named schema of the API; bodies are the ones with a schema version. */
export const SCHEMAS: Readonly<Record<string, SchemaObject>> = {
  Alive: exactly({ ...VERSIONED, status: words('alive', 'stopped') }),
  Ready: exactly({
    ...VERSIONED,
    status: words('ready', 'not-ready'),
    'reasons?': listOf(text),
  }),
  Overview: exactly({ ...VERSIONED, ...overview }),
  ConsumerStatus: exactly(consumerStatus),
  ConsumerList: listBody('ConsumerStatus'),
  OutboxStatus: exactly(outboxStatus),
  OutboxList: listBody('OutboxStatus'),
  TopicStatus: exactly(topicStatus),
  TopicList: listBody('TopicStatus'),
  ...flowSchemas(exactly),
  ...sagaSchemas(exactly),
  SagaList: listBody('Saga'),
  SagaRunPage: pageBody('SagaRunSummary'),
  ExpectationList: listBody('Expectation'),
  ExpectationKeyPage: pageBody('ExpectationKey'),
  FlowList: listBody('Flow'),
  ScheduleList: listBody('Schedule'),
  Model: {
    type: 'object',
    required: ['schemaVersion', 'modelVersion', 'name', 'hash'],
    properties: { ...VERSIONED, modelVersion: text, name: text, hash: text },
    description: 'The Model; its schema is model.schema.json.',
  },
  Repeat: exactly(repeat),
  MessageSummary: exactly(summary),
  MessagePage: pageBody('MessageSummary', {
    searched: exactly({
      records: count,
      fromPosition: integer,
      toPosition: integer,
      complete: { type: 'boolean', description: 'Whether nothing older could match.' },
    }),
  }),
  Message: exactly({ ...VERSIONED, ...message }),
  DeadLetterSummary: exactly(deadLetter),
  DeadLetterPage: pageBody('DeadLetterSummary'),
  DeadLetter: exactly({ ...VERSIONED, ...deadLetter, payload: anything, successors: count }),
  DeadLetterGroup: exactly(deadLetterGroup),
  DeadLetterGroupList: listBody('DeadLetterGroup'),
  InvalidSummary: exactly(invalid),
  InvalidPage: pageBody('InvalidSummary'),
  Invalid: exactly({ ...VERSIONED, ...invalid }),
  InvalidGroup: exactly(invalidGroup),
  InvalidGroupList: listBody('InvalidGroup'),
  Alert: exactly(alert),
  AlertPage: pageBody('Alert'),
  ReplaySummary: exactly(replay),
  ReplayPage: pageBody('ReplaySummary'),
  Replay: exactly({ ...VERSIONED, ...replay }),
  Operation: exactly(operation),
  OperationPage: pageBody('Operation'),
  OperationResult: exactly({
    ...VERSIONED,
    operationId: text,
    state: words('done', 'refused', 'failed'),
    repeated: flag,
    result: anything,
  }),
  Published: exactly({ ...VERSIONED, id }),
  ErrorDescription: exactly({
    ...VERSIONED,
    type: { type: 'string', format: 'uri-reference' },
    code: text,
    title: text,
    status: integer,
    retryable: flag,
    advice: text,
    message: text,
  }),
  Problem: exactly({
    ...VERSIONED,
    type: { type: 'string', format: 'uri-reference' },
    title: text,
    status: integer,
    detail: text,
    code: text,
    fix: text,
    'parameter?': text,
    'allowed?': { oneOf: [text, listOf(text)] },
  }),
}
