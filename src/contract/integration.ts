import type { Call } from './call.ts'
import type { Consumer } from './consumer.ts'
import type { AnyContract } from './contract.ts'
import { checkName, declarationError } from './declaration-error.ts'
import type { EventsEndpoint } from './events-endpoint.ts'
import { contractsOf, type Expectation } from './expectation.ts'
import type { Flow } from './flow.ts'
import { buildModel, type Model } from './model.ts'
import type { OutboxSource } from './outbox-source.ts'
import type { AnySaga } from './saga.ts'
import { callerLocation, type SourceLocation } from './source-location.ts'
import type { Schedule } from './schedule.ts'
import type { System, Team } from './system.ts'
import type { SqlMigration } from './tables.ts'
import type { TopicSource } from './topic-source.ts'
import type { Webhook } from './webhook.ts'

const MARK: unique symbol = Symbol.for('junctura.integration') as never

export type Part =
  | Webhook
  | Consumer
  | AnyContract
  | System
  | Team
  | Call
  | OutboxSource
  | TopicSource
  | EventsEndpoint
  | Expectation
  | Flow
  | Schedule
  | AnySaga

/** Everything a team declares, and the Model read from it. What is not a part does not run. */
export interface Integration {
  readonly name: string
  readonly webhooks: readonly Webhook[]
  readonly consumers: readonly Consumer[]
  readonly sagas: readonly AnySaga[]
  /** By name; also those only referred to. */
  readonly contracts: ReadonlyMap<string, AnyContract>
  readonly systems: readonly System[]
  readonly outboxes: readonly OutboxSource[]
  readonly topics: readonly TopicSource[]
  /** Also those that only a flow names. */
  readonly expectations: readonly Expectation[]
  readonly flows: readonly Flow[]
  readonly schedules: readonly Schedule[]
  readonly calls: readonly Call[]
  readonly tables: readonly SqlMigration[]
  readonly model: Model
  readonly at: SourceLocation
}

export interface IntegrationOptions {
  readonly parts: readonly Part[]
  /** The user's own tables, applied once each in this order. */
  readonly tables?: readonly SqlMigration[]
}

/**
 * Joins parts to an integration.
 *
 * @throws JUNCTURA_DECLARATION when two parts of one kind share a name, or two webhooks a path.
 */
export const integration = (name: string, options: IntegrationOptions): Integration => {
  checkName(name, 'integration')
  const at = callerLocation()
  const { parts } = options
  const endpoints = parts.filter((part) => part.part === 'events')
  const declared = parts.filter((part) => part.part === 'webhook')
  const webhooks = [...declared, ...endpoints.flatMap(({ doors }) => doors)]
  const consumers = parts.filter((part) => part.part === 'consumer')
  const sagas = parts.filter((part) => part.part === 'saga')
  const outboxes = parts.filter((part) => part.part === 'outbox')
  const topics = parts.filter((part) => part.part === 'topic')
  const flows = parts.filter((part) => part.part === 'flow')
  const expectations = [
    ...new Set([
      ...parts.filter((part) => part.part === 'expectation'),
      ...flows.flatMap((one) => one.expectations),
    ]),
  ]
  const schedules = parts.filter((part) => part.part === 'schedule')
  const calls = parts.filter((part) => part.part === 'call')
  const kept = consumers.flatMap(({ route }) => route?.tables ?? [])
  const tables = [...(options.tables ?? []), ...new Set(kept)]
  // An endpoint and a webhook of one name would share what they remember.
  refuseTwins('webhook', [...declared, ...endpoints])
  refuseTwins('consumer', consumers)
  refuseTwins('saga', sagas)
  refuseTwins('outbox', outboxes)
  refuseTwins('topic', topics)
  refuseTwins('expectation', expectations)
  refuseTwins('flow', flows)
  refuseTwins('schedule', schedules)
  refuseTwins('call', calls)
  refuseTwins('table', tables)
  refuseTwins(
    'webhook path',
    [...declared, ...endpoints].map((hook) => ({ name: hook.path })),
  )
  const contracts = collectContracts({
    parts,
    webhooks,
    consumers,
    sagas,
    outboxes,
    topics,
    expectations,
    flows,
    schedules,
  })
  const systems = collectSystems({ parts, webhooks, calls, outboxes, topics })
  const content = {
    name,
    webhooks,
    consumers,
    sagas,
    outboxes,
    topics,
    expectations,
    flows,
    schedules,
    contracts,
    systems,
    calls,
    tables,
    at,
  }
  const built: Integration = { ...content, model: buildModel(content) }
  return Object.freeze(Object.defineProperty(built, MARK, { value: true }))
}

/** True for an integration, also one made by another copy of this package. */
export const isIntegration = (value: unknown): value is Integration =>
  typeof value === 'object' && value !== null && Reflect.get(value, MARK) === true

function refuseTwins(kind: string, parts: readonly { readonly name: string }[]): void {
  const seen = new Set<string>()
  for (const { name } of parts) {
    if (seen.has(name)) {
      throw declarationError(
        `${kind} "${name}"`,
        'it is declared twice',
        'give one of them another name',
      )
    }
    seen.add(name)
  }
}

function collectContracts({
  parts,
  webhooks,
  consumers,
  sagas,
  outboxes,
  topics,
  expectations,
  flows,
  schedules,
}: Pick<
  Integration,
  | 'webhooks'
  | 'consumers'
  | 'sagas'
  | 'outboxes'
  | 'topics'
  | 'expectations'
  | 'flows'
  | 'schedules'
> & {
  readonly parts: readonly Part[]
}): ReadonlyMap<string, AnyContract> {
  const found = new Map<string, AnyContract>()
  const all = [
    ...parts.filter((part) => part.part === 'contract'),
    ...webhooks.map((hook) => hook.accepts),
    ...consumers.flatMap((one) => [
      one.on,
      ...(one.push?.emits ?? []),
      ...(one.route?.emits ?? []),
    ]),
    ...sagas.flatMap((one) => [
      one.on,
      ...one.uses.filter((used) => used.part === 'contract'),
      ...one.emits,
    ]),
    ...outboxes.flatMap((one) => one.accepts),
    ...topics.flatMap((one) => one.accepts),
    ...expectations.flatMap(contractsOf),
    ...flows.flatMap((one) => one.path),
    ...schedules.map((one) => one.emits),
  ]
  for (const contract of all) {
    const known = found.get(contract.name)
    if (known && known.versions !== contract.versions) {
      throw declarationError(
        `contract "${contract.name}"`,
        'two different contracts have this name',
        'give one of them another name',
      )
    }
    if (!known) found.set(contract.name, contract)
  }
  return found
}

function collectSystems({
  parts,
  webhooks,
  calls,
  outboxes,
  topics,
}: Pick<Integration, 'webhooks' | 'calls' | 'outboxes' | 'topics'> & {
  readonly parts: readonly Part[]
}): readonly System[] {
  const all = [
    ...parts.filter((part) => part.part === 'system'),
    ...webhooks.map((hook) => hook.from),
    ...outboxes.flatMap((one) => one.from ?? []),
    ...topics.flatMap((one) => one.from ?? []),
    ...calls.flatMap((one) => [one.from, one.to]),
  ]
  return [...new Map(all.map((one) => [one.name, one])).values()]
}
