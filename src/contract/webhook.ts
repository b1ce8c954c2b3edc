import { type Duration, durationMs, LIMITS } from '../kernel/index.ts'
import type { AnyContract, Draft, Mismatch, PayloadOf, PayloadsOf } from './contract.ts'
import { checkName, declarationError } from './declaration-error.ts'
import type { KeySource } from './key-source.ts'
import type { SignatureScheme } from './scheme-types.ts'
import { callerLocation, type SourceLocation } from './source-location.ts'
import type { System, Team } from './system.ts'

/** What a transform may make of one partner message: one event, several, or none. */
export type Emitted = Draft | readonly Draft[] | undefined

/** What a transform may read besides the data. It is pure: no clock, no calls. */
export interface TransformContext {
  readonly id: string
  readonly receivedAtMs: number
  readonly version: number
}

type Transform<Data> = (data: Data, context: TransformContext) => Emitted | Promise<Emitted>

/** One transform for all versions (older ones are lifted first), or one for each version. */
export type Transforms<C extends AnyContract> =
  | Transform<PayloadOf<C>>
  | { readonly [V in keyof PayloadsOf<C>]: Transform<PayloadsOf<C>[V]> }

export interface WebhookOptions<C extends AnyContract> {
  /** The partner's system. */
  readonly from: System
  /** Who is told about conflicts and mismatches. @default the owner of `accepts` */
  readonly owner?: Team
  /** Path on the public listener, for example `/webhooks/acme`. */
  readonly path: string
  /** How the sender proves itself. To take unsigned requests, write `unsigned({ reason })`. */
  readonly verify: SignatureScheme
  /** The partner's own contract. */
  readonly accepts: C
  /** Where the body or a header says its version. @default the contract's only version */
  readonly version?: KeySource
  readonly idempotency: WebhookIdempotency
  /** How long the sender keeps retrying; dedupe must remember longer than this. */
  readonly retriesFor: Duration
  /** How far back a replay of this webhook's messages may reach. @default '0s' */
  readonly replayWindow?: Duration
  /** The partner's model becomes our event here, and nowhere else. */
  readonly emit: Transforms<C>
  /** @default '1s' @maximum '1s' */
  readonly transformTimeout?: Duration
  /** @default 1_048_576 @maximum 16_777_216 */
  readonly bodyBytesMax?: number
  /** Media types taken. @default ['application/json'] */
  readonly contentTypes?: readonly string[]
}

export interface WebhookIdempotency {
  /**
   * Where the key is. Without it, or when it is missing in a request, it is derived from the body.
   */
  readonly key?: KeySource
  /** How long a key is remembered. @default '7d' */
  readonly retention?: Duration
  /** What must be equal for a repeat: the bytes, or the named fields. @default 'bytes' */
  readonly compare?: 'bytes' | { readonly fields: readonly string[] }
  /** A repeat while the first is being stored: wait for it, or answer 409. @default 'wait' */
  readonly inFlight?: 'wait' | 'conflict'
  /** The same key with other content. @default 'conflict' */
  readonly mismatch?: Mismatch
}

/** A webhook as the runtime reads it: every default filled in. */
export interface Webhook {
  readonly part: 'webhook'
  readonly name: string
  /** Set where it is one of an events endpoint's. */
  readonly endpoint?: { readonly name: string; readonly eventsMax: number }
  readonly from: System
  readonly owner?: Team
  readonly path: string
  readonly verify: SignatureScheme
  readonly accepts: AnyContract
  readonly version?: KeySource
  readonly idempotency: {
    readonly key?: KeySource
    readonly retentionMs: number
    readonly compare: 'bytes' | { readonly fields: readonly string[] }
    readonly inFlight: 'wait' | 'conflict'
    readonly mismatch: Mismatch
  }
  readonly retriesForMs: number
  readonly replayWindowMs: number
  /** By version; `any` is the one transform that takes the latest version. */
  readonly transforms: ReadonlyMap<
    number | 'any',
    (data: unknown, context: TransformContext) => unknown
  >
  readonly transformTimeoutMs: number
  readonly bodyBytesMax: number
  readonly contentTypes: readonly string[]
  readonly at: SourceLocation
}

/**
 * Declares a webhook: an HTTP endpoint that verifies, validates, dedupes and stores a partner's
 * message before it answers 202.
 *
 * @throws JUNCTURA_DECLARATION when a field is unusable; it names the field and the fix.
 */
export const webhook = <C extends AnyContract>(
  name: string,
  options: WebhookOptions<C>,
): Webhook => {
  const what = `webhook ${JSON.stringify(name)}`
  checkName(name, 'webhook')
  const owner = options.owner ?? options.accepts?.owner
  const { idempotency } = options
  return Object.freeze({
    part: 'webhook',
    name,
    from: required(options.from, `${what}.from`, 'name the sending system: system("acme")'),
    ...(owner && { owner }),
    path: checkPath(options.path, what),
    verify: required(
      options.verify,
      `${what}.verify`,
      'give a scheme, such as standardWebhooks({ secret }), or unsigned({ reason })',
    ),
    accepts: required(options.accepts, `${what}.accepts`, "give the partner's contract"),
    ...(options.version && { version: options.version }),
    idempotency: {
      ...(idempotency?.key && { key: idempotency.key }),
      retentionMs: durationMs(idempotency?.retention ?? '7d', `${what}.idempotency.retention`),
      compare: idempotency?.compare ?? 'bytes',
      inFlight: idempotency?.inFlight ?? 'wait',
      mismatch: idempotency?.mismatch ?? 'conflict',
    },
    retriesForMs: durationMs(options.retriesFor, `${what}.retriesFor`),
    replayWindowMs: durationMs(options.replayWindow ?? 0, `${what}.replayWindow`),
    transforms: readTransforms(options.emit, what),
    transformTimeoutMs: checkRange(
      durationMs(options.transformTimeout ?? LIMITS.transformMs, `${what}.transformTimeout`),
      `${what}.transformTimeout`,
      { minimum: 1, maximum: LIMITS.transformMs },
    ),
    bodyBytesMax: checkRange(options.bodyBytesMax ?? LIMITS.bodyBytesMax, `${what}.bodyBytesMax`, {
      minimum: 1,
      maximum: 16_777_216,
    }),
    contentTypes: options.contentTypes ?? ['application/json'],
    at: callerLocation(),
  })
}

function readTransforms(emit: unknown, what: string): Webhook['transforms'] {
  type AnyTransform = (data: unknown, context: TransformContext) => unknown
  if (typeof emit === 'function') return new Map([['any', emit as AnyTransform]])
  const entries = Object.entries(emit ?? {})
  if (entries.length === 0 || entries.some(([, transform]) => typeof transform !== 'function')) {
    throw declarationError(
      `${what}.emit`,
      'it is not a function',
      'write emit: (data) => Contract.of({ … }), or one function for each version',
    )
  }
  return new Map(
    entries.map(([version, transform]) => [Number(version), transform as AnyTransform]),
  )
}

function checkPath(path: unknown, what: string): string {
  if (typeof path === 'string' && /^\/[\w\-./~]{0,200}$/.test(path) && !path.includes('//'))
    return path
  throw declarationError(
    `${what}.path`,
    `${JSON.stringify(path)} is not a path`,
    'write "/webhooks/acme"',
  )
}

/** @throws JUNCTURA_DECLARATION when `value` is missing. */
export const required = <T>(value: T | undefined, field: string, fix: string): T => {
  if (value === undefined || value === null) throw declarationError(field, 'it is missing', fix)
  return value
}

/** @throws JUNCTURA_DECLARATION when `value` is not a number within the bounds. */
export const checkRange = (
  value: unknown,
  field: string,
  bounds: { readonly minimum: number; readonly maximum: number },
): number => {
  if (typeof value === 'number' && value >= bounds.minimum && value <= bounds.maximum) return value
  throw declarationError(
    field,
    `${JSON.stringify(value)} is out of range`,
    `allowed is ${bounds.minimum} to ${bounds.maximum}`,
  )
}
