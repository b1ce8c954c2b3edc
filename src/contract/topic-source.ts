import type { AnyContract } from './contract.ts'
import { checkName, declarationError } from './declaration-error.ts'
import type { KeySource } from './key-source.ts'
import { checkAccepts, isContract } from './outbox-source.ts'
import { isSecretReference, type SecretReference } from './secret.ts'
import { callerLocation, type SourceLocation } from './source-location.ts'
import type { System, Team } from './system.ts'
import { required } from './webhook.ts'

/**
 * Where others write. The engine is the name of the member that holds the URL, a reference to a
 * secret because a URL may hold a password; its form is that of `--transport`.
 */
export type TopicPlace =
  /** All partitions of a topic. Needs the package `@platformatic/kafka`. */
  | { readonly kafka: SecretReference; readonly topic: string }
  /**
   * A JetStream stream whose retention is `limits`; of it only what matches one of the subjects,
   * where they are given. Needs `@nats-io/transport-node` and `@nats-io/jetstream`.
   */
  | {
      readonly nats: SecretReference
      readonly stream: string
      readonly subjects?: readonly string[]
    }
  /** A queue that nobody else reads. Needs `amqplib`. */
  | { readonly rabbitmq: SecretReference; readonly queue: string }

export type TopicEngine = 'kafka' | 'nats' | 'rabbitmq'

/** How messages are written there. */
export type TopicFormat =
  /** CloudEvents 1.0 with JSON data, in binary or structured mode: each message says which. */
  | 'cloudevents'
  /** The data alone, all of one contract. */
  | TopicJsonFormat

export interface TopicJsonFormat {
  /** What the data are; `Contract.version(1)` where they are in an older version. */
  readonly json: AnyContract
  /** Where the id of a message is. @default none: its place in the topic is its id */
  readonly id?: KeySource
}

export interface TopicSourceOptions {
  /** Who is told when it cannot be read, has lost messages, or holds some that break a contract. */
  readonly owner: Team
  /** The system that writes it. @default none: the Model shows the topic itself */
  readonly from?: System
  readonly summary?: string
  readonly topic: TopicPlace
  /** @default 'cloudevents' */
  readonly format?: TopicFormat
  /**
   * Contracts of the CloudEvents that are taken: by their names, or, given as an object, by the
   * types that the writer uses. What is of another type is kept as invalid. Not with `{ json }`.
   */
  readonly accepts?: readonly AnyContract[] | Readonly<Record<string, AnyContract>>
  /**
   * Where the first start begins; later ones go on where the last commit was. A queue has only its
   * front.
   *
   * @default 'earliest'
   */
  readonly startAt?: 'earliest' | 'now'
}

/** A topic as its relay reads it: every default filled in. */
export interface TopicSource {
  readonly part: 'topic'
  readonly name: string
  readonly owner: Team
  readonly from?: System
  readonly summary?: string
  readonly topic: TopicPlace
  readonly engine: TopicEngine
  /** Name of the topic, stream or queue. */
  readonly resource: string
  readonly format: TopicFormat
  /** Contracts by the type that messages have there. */
  readonly types: ReadonlyMap<string, AnyContract>
  readonly accepts: readonly AnyContract[]
  readonly startAt: 'earliest' | 'now'
  readonly at: SourceLocation
}

/**
 * Declares a topic, stream or queue that another system writes. Its messages are moved into the
 * log, in the order of each partition, with the place in the topic in the same commit: each once
 * from Kafka and NATS. From RabbitMQ, which has no places, a message is acknowledged after its
 * commit, and one that comes again is known by its id; without any id it may be moved twice by a
 * crash. What fits no contract is kept as invalid, and the next ones go on.
 *
 * The name is the identity of the place; under another name the topic would be moved again.
 *
 * @throws JUNCTURA_DECLARATION when a field is unusable; it names the field and the fix.
 * @see CloudEvents 1.0.2, sections 3.1 to 3.3 of the Kafka, NATS and AMQP bindings
 */
export const topicSource = (name: string, options: TopicSourceOptions): TopicSource => {
  const what = `topic ${JSON.stringify(name)}`
  checkName(name, 'topic')
  const { from, summary } = options
  const place = checkPlace(options.topic, `${what}.topic`)
  const format = checkFormat(options.format ?? 'cloudevents', `${what}.format`)
  const types = checkTypes(options.accepts, format, `${what}.accepts`)
  refuseVolatile(types.values(), `${what}.accepts`)
  return Object.freeze({
    part: 'topic',
    name,
    owner: required(options.owner, `${what}.owner`, "write owner: team('…')"),
    ...(from && { from }),
    ...(summary !== undefined && { summary }),
    ...place,
    format,
    types,
    accepts: Object.freeze([...new Set(types.values())]),
    startAt: checkStart(options.startAt ?? 'earliest', place.engine, `${what}.startAt`),
    at: callerLocation(),
  })
}

/** What each engine calls the thing that is read. */
const RESOURCES = { kafka: 'topic', nats: 'stream', rabbitmq: 'queue' } as const
const ENGINES = ['kafka', 'nats', 'rabbitmq'] as const
const PLACE_FIX =
  "write { kafka: secret.env('PAYMENTS_KAFKA_URL'), topic: 'payments.events' }, " +
  '{ nats: …, stream: … } or { rabbitmq: …, queue: … }'

function checkPlace(
  place: unknown,
  field: string,
): Pick<TopicSource, 'topic' | 'engine' | 'resource'> {
  if (typeof place !== 'object' || place === null) {
    throw declarationError(field, 'it is missing', PLACE_FIX)
  }
  const named = ENGINES.filter((one) => Object.hasOwn(place, one))
  const [engine] = named
  if (engine === undefined || named.length > 1) {
    throw declarationError(field, 'it does not name one broker', PLACE_FIX)
  }
  const url: unknown = Reflect.get(place, engine)
  if (!isSecretReference(url)) {
    // The message must not repeat the value: a URL holds a password.
    throw declarationError(`${field}.${engine}`, 'this is not a reference to a secret', PLACE_FIX)
  }
  const resource: unknown = Reflect.get(place, RESOURCES[engine])
  if (typeof resource !== 'string' || resource === '' || resource.length > RESOURCE_CHARS_MAX) {
    const problem = `the name of the ${RESOURCES[engine]} is missing, or too long`
    throw declarationError(`${field}.${RESOURCES[engine]}`, problem, PLACE_FIX)
  }
  switch (engine) {
    case 'kafka':
      return { topic: Object.freeze({ kafka: url, topic: resource }), engine, resource }
    case 'rabbitmq':
      return { topic: Object.freeze({ rabbitmq: url, queue: resource }), engine, resource }
    case 'nats': {
      const subjects = checkSubjects(Reflect.get(place, 'subjects'), `${field}.subjects`)
      const topic = { nats: url, stream: resource, ...(subjects && { subjects }) }
      return { topic: Object.freeze(topic), engine, resource }
    }
  }
}

/** No engine takes a longer name. */
const RESOURCE_CHARS_MAX = 255
/** As many as make sense to write down. */
const SUBJECTS_MAX = 64

function checkSubjects(subjects: unknown, field: string): readonly string[] | undefined {
  if (subjects === undefined) return undefined
  const list: readonly unknown[] = Array.isArray(subjects) ? subjects : []
  const texts = list.filter((one) => typeof one === 'string' && /^[^\s]+$/.test(one))
  if (texts.length > 0 && texts.length === list.length && texts.length <= SUBJECTS_MAX) {
    return Object.freeze(texts.map(String))
  }
  const fix = "write subjects: ['payments.>'], or leave it out to take all of the stream"
  throw declarationError(field, `it is not a list of 1 to ${SUBJECTS_MAX} subjects`, fix)
}

function checkFormat(format: unknown, field: string): TopicFormat {
  const fix = "write 'cloudevents', or { json: PaymentCaptured, id: header('message-id') }"
  if (format === 'cloudevents') return format
  if (typeof format !== 'object' || format === null) {
    throw declarationError(field, 'it is no known format', fix)
  }
  const json: unknown = Reflect.get(format, 'json')
  const id: unknown = Reflect.get(format, 'id')
  if (!isContract(json)) throw declarationError(`${field}.json`, 'it is no contract', fix)
  if (id === undefined) return Object.freeze({ json })
  if (!isKeySource(id)) {
    throw declarationError(`${field}.id`, 'it is neither header(…) nor body(…)', fix)
  }
  return Object.freeze({ json, id })
}

const isKeySource = (value: unknown): value is KeySource => {
  if (typeof value !== 'object' || value === null) return false
  const from: unknown = Reflect.get(value, 'from')
  if (from === 'header') return typeof Reflect.get(value, 'name') === 'string'
  return from === 'body' && Array.isArray(Reflect.get(value, 'paths'))
}

function checkTypes(
  accepts: unknown,
  format: TopicFormat,
  field: string,
): ReadonlyMap<string, AnyContract> {
  if (format !== 'cloudevents') {
    if (accepts === undefined) return new Map([[format.json.name, format.json]])
    throw declarationError(field, 'format { json } names the one contract', 'leave accepts out')
  }
  if (typeof accepts !== 'object' || accepts === null || Array.isArray(accepts)) {
    return new Map(checkAccepts(accepts, field).map((one) => [one.name, one]))
  }
  const entries = Object.entries(accepts)
  const contracts: readonly unknown[] = entries.map(([, contract]) => contract)
  checkAccepts(contracts, field)
  return new Map(entries)
}

function refuseVolatile(contracts: Iterable<AnyContract>, field: string): void {
  for (const { name, guarantee } of contracts) {
    if (guarantee !== 'at-most-once') continue
    const fix = "write guarantee: 'at-least-once' on the contract"
    throw declarationError(field, `${name} is at-most-once, so it is in no log`, fix)
  }
}

function checkStart(start: unknown, engine: TopicEngine, field: string): TopicSource['startAt'] {
  if (start !== 'earliest' && start !== 'now') {
    throw declarationError(
      field,
      `${JSON.stringify(start)} is no start`,
      "write 'earliest' or 'now'",
    )
  }
  if (start === 'now' && engine === 'rabbitmq') {
    const fix = 'leave it out, and purge the queue first if what it holds is not wanted'
    throw declarationError(field, 'a queue gives what it holds, from its front', fix)
  }
  return start
}
