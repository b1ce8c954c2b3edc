import { type Duration, durationMs, formatDuration, LIMITS } from '../kernel/index.ts'
import { checkName, declarationError } from './declaration-error.ts'
import type { PathOf } from './key-source.ts'
import {
  type InferSchema,
  type JsonSchema,
  type SchemaInput,
  toJsonSchema,
} from './schema-input.ts'
import { callerLocation, type SourceLocation } from './source-location.ts'
import type { Team } from './system.ts'

declare const PAYLOADS: unique symbol

/** How versions of a contract must relate. */
export type Compatibility = 'none' | 'backward' | 'forward' | 'full'

/** What happens to a message between the log and a consumer that fails or dies. */
export type Guarantee = 'at-most-once' | 'at-least-once' | 'exactly-once-effects'

/** Who keeps the messages of a contract. */
export type Recorder = 'store' | 'transport'

/** What to do when a key comes again with other content. */
export type Mismatch = 'conflict' | 'first-wins' | 'accept-as-new'

/**
 * A fact's own identity: two messages with equal values carry one fact, whatever their ids (M5).
 */
export interface FactIdentity {
  /** Dotted paths whose values together name the fact. */
  readonly paths: readonly string[]
  readonly retentionMs: number
}

/**
 * A promise about messages of one type: owner, versions, key, retention, guarantee. What other
 * parts refer to is this object, never its name.
 */
export interface AnyContract {
  readonly part: 'contract'
  readonly kind: 'event' | 'command'
  readonly name: string
  readonly owner?: Team
  readonly summary?: string
  /** The log whose order this contract shares. */
  readonly channel: string
  /** Paths whose values make the partition key; none means no order is kept. */
  readonly key: readonly string[]
  readonly versions: ReadonlyMap<number, JsonSchema>
  readonly latest: number
  /** Version a consumer of this reference sees. */
  readonly asked: number
  readonly upcast: ReadonlyMap<number, (data: unknown) => unknown>
  readonly deprecated: ReadonlyMap<number, string>
  readonly compatibility: Compatibility
  readonly fact?: FactIdentity
  readonly retentionMs: number
  /** After this a message is worth nothing: what is not handled by then is discarded (M16). */
  readonly ttlMs?: number
  readonly guarantee: Guarantee
  /** Who keeps its messages; absent where it is the store. */
  readonly record?: 'transport'
  /** Dotted paths of personal data; masked in every output. */
  readonly pii: readonly string[]
  readonly codec: string
  readonly at: SourceLocation
  readonly [PAYLOADS]?: unknown
}

export interface Contract<
  Name extends string,
  Payloads extends object,
  Asked extends keyof Payloads,
> extends AnyContract {
  readonly name: Name
  readonly [PAYLOADS]?: { readonly all: Payloads; readonly asked: Payloads[Asked] }
  /** The same contract as one that asks for version `version`; older data is lifted to it. */
  version<V extends keyof Payloads & number>(version: V): Contract<Name, Payloads, V>
  /** A message of this contract, ready to be emitted or published. */
  of(data: Payloads[LatestOf<Payloads>]): Draft
}

/** A message that has no id yet. */
export interface Draft {
  readonly contract: AnyContract
  readonly data: unknown
}

/** What a handler of this contract receives. */
export type PayloadOf<C extends AnyContract> = C extends {
  readonly [PAYLOADS]?: { readonly asked: infer Asked }
}
  ? Asked
  : unknown

/** Payloads by version number. */
export type PayloadsOf<C extends AnyContract> = C extends {
  readonly [PAYLOADS]?: { readonly all: infer Payloads }
}
  ? Payloads
  : Record<number, unknown>

/** Schemas by version. */
export type SchemaMap = Readonly<Record<number, SchemaInput>>
export type PayloadMap<S extends SchemaMap> = {
  readonly [V in keyof S & number]: InferSchema<S[V]>
}
/** The greatest version number, found by counting up. */
export type LatestOf<M> = Greatest<keyof M & number>
type Greatest<V extends number, Count extends readonly 0[] = []> = [V] extends [never]
  ? never
  : // No literal numbers, so nothing to count: the versions are not known to the compiler.
    number extends V
    ? V
    : [Exclude<V, Count['length']>] extends [never]
      ? V
      : Greatest<Exclude<V, Count['length']>, [...Count, 0]>

// Mapped over the schemas themselves: only so does a function find the type of its parameter.
type Upcasters<S extends SchemaMap> = {
  readonly [V in keyof S]?: V extends LatestOf<S>
    ? 'The latest version cannot be lifted: there is nothing above it'
    : (data: InferSchema<S[V]>) => InferSchema<S[Exclude<keyof S, V>]>
}

/** Paths that the data of the latest version has. */
export type KeyPath<S extends SchemaMap> = PathOf<
  PayloadMap<S>[LatestOf<PayloadMap<S>> & keyof S & number]
>

export interface ContractOptions<S extends SchemaMap> {
  /** Who answers for it. A contract without an owner is refused at start. */
  readonly owner: Team
  readonly summary?: string
  /** Path, or paths, of the partition key. Messages of one key keep one order. */
  readonly key?: KeyPath<S> | readonly KeyPath<S>[]
  /** Log whose order this contract shares. @default the name up to its last dot */
  readonly channel?: string
  /** One schema per live version, by number. */
  readonly versions: S
  /** From a version to the next one; needed where a consumer asks for a later version. */
  readonly upcast?: Upcasters<S>
  /** Versions on their way out, each with its last day. */
  readonly deprecated?: { readonly [V in keyof S]?: string }
  /** @default 'backward' */
  readonly compatibility?: Compatibility
  /** Business identity: dedupes one fact that came under two message ids. */
  readonly idempotency?: {
    readonly key: KeyPath<S> | readonly KeyPath<S>[]
    readonly retention: Duration
  }
  /**
   * How long messages stay in the log, at least: it is dropped by the longest retention of all
   * contracts and webhooks of the integration.
   *
   * @default '30d'
   */
  readonly retention?: Duration
  /**
   * How long a message is worth handling, from when it was received or emitted. A consumer that
   * comes to it later, at first, for a retry, after a restart or in a replay, discards and counts
   * it; that is no dead letter. Longer than the retries of every consumer may take.
   *
   * @default none: every message is handled, however old
   * @minimum 1s
   * @maximum 365d
   */
  readonly ttl?: Duration
  /** @default 'at-least-once' */
  readonly guarantee?: Guarantee
  /**
   * Who keeps its messages, for good. `store`: the store, and a broker may lose everything.
   * `transport`: the broker of the transport, which a message survives in as the broker's
   * durability says; consumers read it there, and the store has their progress and what is not as
   * it should be. All contracts of a channel say the same. Needs a broker whose messages can be
   * read again: Kafka or NATS JetStream.
   *
   * @default 'store'
   */
  readonly record?: Recorder
  /**
   * Dotted paths of personal data, masked in every output: `customer.email`, `items.*.name`. A path
   * that no version's schema has is refused at start. An object that lists its members has no
   * others, unless it says so itself with `additionalProperties`.
   */
  readonly pii?: readonly string[]
  /** How data is written as bytes. @default 'json' */
  readonly codec?: 'json'
}

/** The contract that schemas by version give. */
export type ContractFor<Name extends string, S extends SchemaMap> = Contract<
  Name,
  PayloadMap<S>,
  LatestOf<PayloadMap<S>> & keyof PayloadMap<S>
>

/**
 * Declares an event: something that happened, told to whoever subscribes.
 *
 * @throws JUNCTURA_DECLARATION when a field is unusable; it names the field and the fix.
 */
export const event = <const Name extends string, const S extends SchemaMap>(
  name: Name,
  options: ContractOptions<S>,
): ContractFor<Name, S> => declareContract('event', name, options)

/** What `event` and `command` share. */
export function declareContract<const Name extends string, S extends SchemaMap>(
  kind: 'event' | 'command',
  name: Name,
  options: ContractOptions<S>,
): ContractFor<Name, S> {
  const what = `${kind} ${JSON.stringify(name)}`
  checkName(name, kind)
  const versions = readVersions(what, options.versions)
  const latest = Math.max(...versions.keys())
  const fact = options.idempotency
  const contract: AnyContract = {
    part: 'contract',
    kind,
    name,
    owner: options.owner,
    ...(options.summary !== undefined && { summary: options.summary }),
    channel: checkName(
      options.channel ?? (name.split('.').slice(0, -1).join('.') || name),
      'channel',
    ),
    key: options.key === undefined ? [] : [options.key].flat(),
    versions,
    latest,
    asked: latest,
    upcast: new Map(
      Object.entries(options.upcast ?? {}).map(([version, lift]) => [
        Number(version),
        // The map's types tie each function to its version; inside, data is unknown.
        lift as (data: unknown) => unknown,
      ]),
    ),
    deprecated: new Map(
      Object.entries(options.deprecated ?? {}).map(([version, day]) => [
        Number(version),
        String(day),
      ]),
    ),
    compatibility: options.compatibility ?? 'backward',
    ...(fact && {
      fact: {
        paths: [fact.key].flat(),
        retentionMs: durationMs(fact.retention, `${what}.idempotency.retention`),
      },
    }),
    retentionMs: durationMs(options.retention ?? '30d', `${what}.retention`),
    ...(options.ttl !== undefined && { ttlMs: readTtl(options.ttl, `${what}.ttl`) }),
    guarantee: options.guarantee ?? 'at-least-once',
    ...(options.record === 'transport' && { record: 'transport' }),
    pii: options.pii ?? [],
    codec: options.codec ?? 'json',
    at: callerLocation(),
  }
  return withContractMethods(contract) as ContractFor<Name, S>
}

function readTtl(ttl: Duration, field: string): number {
  const ttlMs = durationMs(ttl, field)
  const { ttlMsMin, ttlMsMax } = LIMITS
  if (ttlMs >= ttlMsMin && ttlMs <= ttlMsMax) return ttlMs
  throw declarationError(
    field,
    `${formatDuration(ttlMs)} is out of range`,
    `allowed is ${formatDuration(ttlMsMin)} to ${formatDuration(ttlMsMax)}; leave it out for no end`,
  )
}

/** A contract, or what extends one, with `version` and `of`. */
export function withContractMethods<C extends AnyContract>(contract: C): C {
  return Object.freeze({
    ...contract,
    version(version: number) {
      if (contract.versions.has(version))
        return withContractMethods({ ...contract, asked: version })
      const known = [...contract.versions.keys()].join(', ')
      throw declarationError(
        `${contract.kind} "${contract.name}"`,
        `it has no version ${version}`,
        `ask for one of: ${known}`,
      )
    },
    of: (data: unknown): Draft => ({ contract, data }),
  })
}

function readVersions(what: string, versions: SchemaMap): ReadonlyMap<number, JsonSchema> {
  const entries = Object.entries(versions ?? {}).map(([key, schema]) => {
    const version = Number(key)
    if (!Number.isInteger(version) || version < 1) {
      throw declarationError(`${what}.versions`, `"${key}" is not a version`, 'count 1, 2, 3 …')
    }
    return [version, toJsonSchema(schema, `${what}.versions.${key}`)] as const
  })
  if (entries.length === 0) {
    throw declarationError(`${what}.versions`, 'it has no version', 'write versions: { 1: schema }')
  }
  return new Map(entries)
}
