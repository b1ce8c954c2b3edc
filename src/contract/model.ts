import { createHash } from 'node:crypto'
import { type CommandAnswers, isCommand } from './command.ts'
import type { ErrorClass } from './consumer.ts'
import type { Correlated } from './expectation.ts'
import type { Integration } from './integration.ts'
import { describeSecret } from './secret.ts'
import type { AlertRoute } from './system.ts'

/** Version of the Model's shape; below 1.0 it may still change between releases. */
export const MODEL_VERSION = '0.1'

/** JSON, as the Model is made of. */
export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [key: string]: Json }

/**
 * The declaration as an immutable, serialisable graph. The runtime, the linter, the generator, the
 * console and the test kit read it and nothing else. Its JSON Schema is schemas/model.schema.json.
 */
export interface Model {
  readonly modelVersion: string
  readonly name: string
  /** SHA-256 of everything but source locations, so that moving a line is not a new model. */
  readonly hash: string
  readonly systems: readonly Json[]
  readonly teams: readonly Json[]
  readonly contracts: readonly Json[]
  readonly webhooks: readonly Json[]
  readonly consumers: readonly Json[]
  /** Present where there are any. */
  readonly sagas?: readonly Json[]
  /** Tables of other databases that a relay moves into the log. */
  readonly outboxes: readonly Json[]
  /** Topics, streams and queues of others that a relay moves into the log. */
  readonly topics: readonly Json[]
  /** What has to follow what, and by when. */
  readonly expectations: readonly Json[]
  /** Choreographed flows. */
  readonly flows: readonly Json[]
  /** What is emitted at given times. */
  readonly schedules: readonly Json[]
  /** Who sends what to whom, also what Junctura does not run. */
  readonly edges: readonly Json[]
  readonly tables: readonly Json[]
  readonly sources: { readonly [part: string]: string }
}

export const buildModel = (content: Omit<Integration, 'model'>): Model => {
  const sources: Record<string, string> = {}
  const note = (kind: string, part: { name: string; at: { file: string; line: number } }): void => {
    sources[`${kind}/${part.name}`] = `${part.at.file}:${part.at.line}`
  }
  for (const contract of content.contracts.values()) note('contract', contract)
  for (const hook of content.webhooks) note('webhook', hook)
  for (const consumer of content.consumers) note('consumer', consumer)
  for (const one of content.sagas) note('saga', one)
  for (const outbox of content.outboxes) note('outbox', outbox)
  for (const topic of content.topics) note('topic', topic)
  for (const one of content.expectations) note('expectation', one)
  for (const one of content.flows) note('flow', one)
  for (const one of content.schedules) note('schedule', one)
  for (const system of content.systems) note('system', system)
  for (const call of content.calls) note('call', call)
  for (const table of content.tables) note('table', table)
  const graph = {
    modelVersion: MODEL_VERSION,
    name: content.name,
    systems: content.systems.map(describeSystem),
    teams: describeTeams(content),
    contracts: [...content.contracts.values()].map(describeContract),
    webhooks: content.webhooks.map(describeWebhook),
    consumers: content.consumers.map(describeConsumer),
    ...(content.sagas.length > 0 && { sagas: content.sagas.map(describeSaga) }),
    outboxes: content.outboxes.map(describeOutbox),
    topics: content.topics.map(describeTopic),
    expectations: content.expectations.map(describeExpectation),
    flows: content.flows.map(describeFlow),
    schedules: content.schedules.map(describeSchedule),
    edges: describeEdges(content),
    tables: content.tables.map(({ name, checksum, sqlite, postgres }) =>
      json({
        name,
        checksum,
        dialects: postgres === undefined ? ['sqlite'] : ['sqlite', 'postgres'],
        sqlite,
      }),
    ),
  }
  const hash = createHash('sha256').update(JSON.stringify(graph)).digest('hex')
  return deepFreeze({ ...graph, hash, sources })
}

/** Drops what is undefined or a function, which JSON cannot say. */
const json = (value: object): Json => JSON.parse(JSON.stringify(value)) as Json

const describeSystem = (system: Integration['systems'][number]): Json =>
  json({
    name: system.name,
    kind: system.kind,
    owner: system.owner?.name,
    summary: system.summary,
  })

function describeTeams(content: Omit<Integration, 'model'>): readonly Json[] {
  const teams = [
    ...[...content.contracts.values()].map((contract) => contract.owner),
    ...content.consumers.flatMap((consumer) => [consumer.owner, consumer.deadLetter?.owner]),
    ...content.sagas.map((one) => one.owner),
    ...content.webhooks.map((hook) => hook.owner),
    ...content.outboxes.map((outbox) => outbox.owner),
    ...content.topics.map((topic) => topic.owner),
    ...[...content.expectations, ...content.flows, ...content.schedules].map((one) => one.owner),
    ...content.systems.map((system) => system.owner),
  ].filter((team) => team !== undefined)
  const byName = new Map(teams.map((team) => [team.name, team]))
  return [...byName.values()].map((team) =>
    json({ name: team.name, oncall: describeRoute(team.oncall) }),
  )
}

export const describeRoute = (route: AlertRoute): Json => {
  if (route.kind === 'log') return { kind: 'log' }
  if (route.kind === 'http') {
    return { kind: 'http', url: route.url, secret: json(describeSecret(route.secret)) }
  }
  return { kind: 'pagerduty', url: route.url, routingKey: json(describeSecret(route.routingKey)) }
}

type Contracts = Integration['contracts'] extends ReadonlyMap<string, infer C> ? C : never

const describeContract = (contract: Contracts): Json =>
  json({
    kind: contract.kind,
    name: contract.name,
    owner: contract.owner?.name,
    summary: contract.summary,
    channel: contract.channel,
    key: contract.key,
    latest: contract.latest,
    versions: [...contract.versions].map(([version, schema]) => ({
      version,
      schema,
      lifts: contract.upcast.has(version),
      deprecated: contract.deprecated.get(version),
    })),
    compatibility: contract.compatibility,
    fact: contract.fact,
    retentionMs: contract.retentionMs,
    ttlMs: contract.ttlMs,
    guarantee: contract.guarantee,
    record: contract.record,
    pii: contract.pii,
    codec: contract.codec,
    answers: isCommand(contract) ? describeAnswers(contract.answers) : undefined,
  })

const describeAnswers = (answers: CommandAnswers): Json =>
  json({
    output: answers.output,
    errors: Object.fromEntries(answers.errors),
    timeoutMs: answers.timeoutMs,
    retry: answers.retry,
    idempotency: answers.idempotencyPaths,
    answerRetentionMs: answers.answerRetentionMs,
    compensates: answers.compensate !== undefined,
  })

const describeSaga = (one: Integration['sagas'][number]): Json =>
  json({
    name: one.name,
    owner: one.owner.name,
    summary: one.summary,
    version: one.version,
    supports: one.supports,
    on: { contract: one.on.name, version: one.on.asked },
    uses: one.uses.map((used) => ({
      kind: used.part === 'saga' ? 'saga' : used.kind,
      name: used.name,
    })),
    emits: one.emits.map((contract) => contract.name),
    budget: one.budget,
    keepMs: one.keepMs,
    late: [...one.late.keys()],
  })

const describeWebhook = (hook: Integration['webhooks'][number]): Json =>
  json({
    name: hook.name,
    from: hook.from.name,
    owner: hook.owner?.name,
    path: hook.path,
    accepts: hook.accepts.name,
    endpoint: hook.endpoint,
    // A scheme is data; references to secrets in it describe themselves without a value.
    verify: hook.verify,
    version: hook.version,
    idempotency: hook.idempotency,
    retriesForMs: hook.retriesForMs,
    replayWindowMs: hook.replayWindowMs,
    transforms: [...hook.transforms.keys()],
    transformTimeoutMs: hook.transformTimeoutMs,
    bodyBytesMax: hook.bodyBytesMax,
    contentTypes: hook.contentTypes,
  })

const describeConsumer = (consumer: Integration['consumers'][number]): Json =>
  json({
    name: consumer.name,
    owner: consumer.owner?.name,
    summary: consumer.summary,
    on: { contract: consumer.on.name, version: consumer.on.asked },
    from: consumer.from,
    was: consumer.was,
    idempotency: consumer.idempotency,
    retry: consumer.retry,
    permanent: consumer.permanent.map((one: ErrorClass | string) =>
      typeof one === 'string' ? one : one.name,
    ),
    timeoutMs: consumer.timeoutMs,
    deadLetter: consumer.deadLetter && {
      owner: (consumer.deadLetter.owner ?? consumer.owner)?.name,
      alert: consumer.deadLetter.alert && describeRoute(consumer.deadLetter.alert),
    },
    afterDeadLetter: consumer.afterDeadLetter,
    replay: consumer.replay,
    ordering: consumer.ordering,
    concurrency: consumer.concurrency,
    ...(consumer.partitions > 1 && { partitions: consumer.partitions }),
    outage: consumer.outage,
    batch: consumer.batch,
    push: consumer.push && {
      ...consumer.push,
      emits: consumer.push.emits.map((contract) => contract.name),
    },
    route: consumer.route && {
      pattern: consumer.route.pattern,
      emits: consumer.route.emits.map(({ name }) => name),
      ...consumer.route.facts,
    },
    filtered: consumer.filter !== undefined,
    answers: consumer.answer ? true : undefined,
  })

const describeOutbox = (outbox: Integration['outboxes'][number]): Json =>
  json({
    name: outbox.name,
    owner: outbox.owner.name,
    from: outbox.from?.name,
    summary: outbox.summary,
    database:
      'url' in outbox.database
        ? { kind: 'postgres', url: describeSecret(outbox.database.url), schema: outbox.schema }
        : { kind: 'sqlite', file: outbox.database.file },
    accepts: outbox.accepts.map((contract) => contract.name),
  })

const describeTopic = (source: Integration['topics'][number]): Json => {
  const { name, engine, resource, topic, format } = source
  const url = 'kafka' in topic ? topic.kafka : 'nats' in topic ? topic.nats : topic.rabbitmq
  return json({
    name,
    owner: source.owner.name,
    from: source.from?.name,
    summary: source.summary,
    broker: { kind: engine, url: describeSecret(url) },
    resource,
    subjects: 'nats' in topic ? topic.subjects : undefined,
    format: format === 'cloudevents' ? format : 'json',
    id: format === 'cloudevents' ? undefined : format.id,
    accepts: [...source.types].map(([type, contract]) => ({
      type,
      contract: contract.name,
      version: contract.asked,
    })),
    startAt: source.startAt,
  })
}

const describeExpectation = (one: Integration['expectations'][number]): Json =>
  json({
    name: one.name,
    owner: one.owner.name,
    summary: one.summary,
    after: one.after.map(describeCorrelated),
    expect: one.expect.map(describeCorrelated),
    undoneBy: one.undoneBy.map(describeCorrelated),
    withinMs: one.withinMs,
    earlyMs: one.earlyMs,
    graceMs: one.graceMs,
    by: one.by,
    alert: describeRoute(one.alert),
    severity: one.severity,
  })

const describeCorrelated = ({ contract, by }: Correlated): Json => ({
  contract: contract.name,
  version: contract.asked,
  correlation: by ? 'function' : 'key',
})

const describeFlow = (one: Integration['flows'][number]): Json =>
  json({
    name: one.name,
    owner: one.owner.name,
    summary: one.summary,
    coordination: one.coordination,
    path: one.path.map(({ name }) => name),
    expectations: one.expectations.map(({ name }) => name),
  })

const describeSchedule = (one: Integration['schedules'][number]): Json =>
  json({
    name: one.name,
    owner: one.owner.name,
    summary: one.summary,
    cron: one.cron?.text,
    timezone: one.cron && one.timezone,
    atMs: one.atMs,
    emits: one.emits.name,
    missed: one.missed,
    alert: describeRoute(one.alert),
  })

function describeEdges(content: Omit<Integration, 'model'>): readonly Json[] {
  const inbound = content.webhooks.map((hook) => ({
    kind: hook.endpoint ? 'events' : 'webhook',
    from: hook.from.name,
    to: `webhook/${hook.name}`,
    contract: hook.accepts.name,
    style: 'messaging',
    coordination: 'async',
    guarantee: 'at-least-once',
    verified: hook.verify.kind !== 'unsigned',
    run: true,
  }))
  const relayed = content.outboxes.flatMap((outbox) =>
    outbox.accepts.map((contract) => ({
      kind: 'outbox',
      from: outbox.from?.name ?? `outbox/${outbox.name}`,
      to: `channel/${contract.channel}`,
      contract: contract.name,
      style: 'messaging',
      coordination: 'async',
      guarantee: contract.guarantee,
      verified: true,
      run: true,
    })),
  )
  const transferred = content.topics.flatMap((topic) =>
    topic.accepts.map((contract) => ({
      kind: 'topic',
      from: topic.from?.name ?? `topic/${topic.name}`,
      to: `channel/${contract.channel}`,
      contract: contract.name,
      style: 'messaging',
      coordination: 'async',
      guarantee: contract.guarantee,
      verified: true,
      run: true,
    })),
  )
  const scheduled = content.schedules.map((schedule) => ({
    kind: 'schedule',
    from: `schedule/${schedule.name}`,
    to: `channel/${schedule.emits.channel}`,
    contract: schedule.emits.name,
    style: 'messaging',
    coordination: 'async',
    guarantee: schedule.emits.guarantee,
    verified: true,
    run: true,
  }))
  const consumed = content.consumers.map((consumer) => ({
    kind: 'consumer',
    from: `channel/${consumer.on.channel}`,
    to: `consumer/${consumer.name}`,
    contract: consumer.on.name,
    style: 'messaging',
    coordination: 'async',
    guarantee: consumer.on.guarantee,
    verified: true,
    run: true,
  }))
  const routed = content.consumers.flatMap(({ name, route }) =>
    (route?.emits ?? []).map((contract) => ({
      kind: 'route',
      from: `consumer/${name}`,
      to: `channel/${contract.channel}`,
      contract: contract.name,
      style: 'messaging',
      coordination: 'async',
      guarantee: contract.guarantee,
      verified: true,
      run: true,
    })),
  )
  const flows = content.sagas.flatMap((one) =>
    [one.on, ...one.uses.filter((used) => used.part === 'contract')].map((contract) => ({
      kind: 'saga',
      ...(isCommand(contract)
        ? { from: `saga/${one.name}`, to: `channel/${contract.channel}` }
        : { from: `channel/${contract.channel}`, to: `saga/${one.name}` }),
      contract: contract.name,
      style: 'messaging',
      coordination: 'async',
      guarantee: contract.guarantee,
      verified: true,
      run: true,
    })),
  )
  const calls = content.calls.map((call) => ({
    kind: 'call',
    name: call.name,
    from: call.from.name,
    to: call.to.name,
    style: call.style,
    coordination: call.coordination,
    guarantee: call.guarantee,
    verified: call.verified,
    reason: call.reason,
    summary: call.summary,
    run: false,
  }))
  return [
    ...inbound,
    ...relayed,
    ...transferred,
    ...scheduled,
    ...consumed,
    ...routed,
    ...flows,
    ...calls,
  ].map(json)
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const inner of Object.values(value)) deepFreeze(inner)
  }
  return value
}
