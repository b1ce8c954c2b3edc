import { type Duration, LIMITS } from '../kernel/index.ts'
import type { BearerScheme } from './bearer-scheme.ts'
import { toCloudEventHeaders } from './cloud-event-headers.ts'
import type { AnyContract, Mismatch } from './contract.ts'
import { checkName, declarationError } from './declaration-error.ts'
import type { UnsignedScheme } from './scheme-types.ts'
import { callerLocation, type SourceLocation } from './source-location.ts'
import type { System, Team } from './system.ts'
import { checkRange, required, type Webhook, webhook } from './webhook.ts'

export interface EventsEndpointOptions {
  /** Who publishes here: a system of your own, as a rule. */
  readonly from: System
  /** Who is told about conflicts and mismatches. @default the owner of each contract */
  readonly owner?: Team
  /** Path on the public listener. @default '/events' */
  readonly path?: string
  /**
   * How programs prove themselves. Of a CloudEvent in binary mode a signature of the body would not
   * cover what the headers say, so it is a token: `bearer({ secret })`, or `unsigned({ reason })`.
   */
  readonly verify: BearerScheme | UnsignedScheme
  /** What may be published here; everything else is refused. */
  readonly accepts: readonly AnyContract[]
  readonly idempotency?: {
    /** How long a pair of `source` and `id` is remembered. @default '7d' */
    readonly retention?: Duration
    /** A repeat while the first is being stored: wait for it, or answer 409. @default 'wait' */
    readonly inFlight?: 'wait' | 'conflict'
    /** The same `source` and `id` with other data. @default 'conflict' */
    readonly mismatch?: Mismatch
  }
  /** How long a program keeps trying; dedupe must remember longer. @default '24h' */
  readonly retriesFor?: Duration
  /** @default 1_048_576 @maximum 16_777_216 */
  readonly bodyBytesMax?: number
  /** Events in one batch. @default 100 @minimum 1 @maximum 1_000 */
  readonly eventsMax?: number
}

/** Where programs in any language publish events of declared contracts. */
export interface EventsEndpoint {
  readonly part: 'events'
  readonly name: string
  readonly path: string
  /** One for each contract, all at the same path; the border goes to one by the event's type. */
  readonly doors: readonly Webhook[]
  readonly at: SourceLocation
}

/** Media types of the three content modes, as they are taken. */
export const EVENT_MEDIA_TYPES = [
  'application/json',
  'application/cloudevents+json',
  'application/cloudevents-batch+json',
] as const

/**
 * Declares an endpoint that takes CloudEvents 1.0 over HTTP, in binary, structured and batch mode,
 * with JSON data. For each event the same is done as for a partner's message: validated against its
 * contract, deduped by `source` and `id`, durable before the answer.
 *
 * It is one webhook for each contract, named `NAME/CONTRACT`, at one path and with one memory of
 * what was sent; so metrics, invalid requests and contract tests are told apart by contract.
 *
 * @throws JUNCTURA_DECLARATION when a field is unusable; it names the field and the fix.
 * @see CloudEvents 1.0.2, HTTP Protocol Binding
 */
export const eventsEndpoint = (name: string, options: EventsEndpointOptions): EventsEndpoint => {
  const what = `eventsEndpoint ${JSON.stringify(name)}`
  checkName(name, 'eventsEndpoint')
  const accepts = required(options.accepts, `${what}.accepts`, 'list the contracts: [OrderPlaced]')
  if (accepts.length === 0) {
    throw declarationError(`${what}.accepts`, 'it is empty', 'list the contracts: [OrderPlaced]')
  }
  if (new Set(accepts.map((contract) => contract.name)).size < accepts.length) {
    throw declarationError(`${what}.accepts`, 'a contract is listed twice', 'list it once')
  }
  const verify = required(
    options.verify,
    `${what}.verify`,
    'give bearer({ secret }), or unsigned({ reason })',
  )
  if (!['bearer', 'unsigned'].includes(verify.kind)) {
    throw declarationError(
      `${what}.verify`,
      'a signature of the body does not cover the headers, which say what the event is',
      'give bearer({ secret }), or unsigned({ reason })',
    )
  }
  const eventsMax = checkRange(options.eventsMax ?? 100, `${what}.eventsMax`, {
    minimum: 1,
    maximum: LIMITS.eventsPerBatchMax,
  })
  const endpoint = Object.freeze({ name, eventsMax })
  const at = callerLocation()
  const doors = accepts.map((contract) => doorOf(contract, { options, endpoint, at }))
  return Object.freeze({ part: 'events', name, path: doors[0]?.path ?? '', doors, at })
}

function doorOf(
  contract: AnyContract,
  parts: {
    readonly options: EventsEndpointOptions
    readonly endpoint: { readonly name: string; readonly eventsMax: number }
    readonly at: SourceLocation
  },
): Webhook {
  const { options, endpoint, at } = parts
  const { from, owner, path = '/events', verify, idempotency, bodyBytesMax } = options
  // What is published is of the latest version, whatever version is referred to.
  const accepts: AnyContract = { ...contract, asked: contract.latest }
  const door = webhook(endpoint.name, {
    from,
    ...(owner && { owner }),
    path,
    verify,
    accepts,
    version: { from: 'event' },
    idempotency: {
      key: { from: 'event' },
      ...(idempotency?.retention !== undefined && { retention: idempotency.retention }),
      ...(idempotency?.inFlight && { inFlight: idempotency.inFlight }),
      ...(idempotency?.mismatch && { mismatch: idempotency.mismatch }),
    },
    retriesFor: options.retriesFor ?? '24h',
    ...(bodyBytesMax !== undefined && { bodyBytesMax }),
    emit: (data: unknown) => ({ contract, data }),
  })
  return Object.freeze({ ...door, name: `${endpoint.name}/${contract.name}`, endpoint, at })
}

/** The headers of a plain event for a door, in binary mode; none for another webhook. */
export const sampleEventHeaders = (
  door: { readonly endpoint?: unknown; readonly from: string; readonly accepts: string },
  event: { readonly id: string; readonly version: number },
): Readonly<Record<string, string>> =>
  door.endpoint === undefined
    ? {}
    : toCloudEventHeaders({
        specversion: '1.0',
        id: event.id,
        source: `/${door.from}`,
        type: door.accepts,
        contractversion: String(event.version),
      })

/**
 * Whose memory of keys a webhook shares: that of its endpoint, or its own. The name of a webhook
 * has no slash but where it is a door.
 */
export const keyGroup = (webhook: string): string => webhook.split('/', 1)[0] ?? webhook
