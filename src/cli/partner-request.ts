import { type JsonSchema, sampleEventHeaders, valueAt } from '../contract/index.ts'
import {
  createSeededRandom,
  JuncturaError,
  type Kernel,
  type Random,
  toHex,
  utf8,
} from '../kernel/index.ts'
import { FORM } from '../inbox/index.ts'
import { compileValidator, makeExample, makeInvalid } from '../schema/index.ts'
import { signDelivery, type SignedDelivery, type SigningKey, toForm } from '../security/index.ts'
import { applySettings, parseGiven } from './json-input.ts'
import type { ContractPart, WebhookPart } from './model-parts.ts'

export const WRONGS = ['schema', 'signature', 'timestamp', 'version'] as const
/** What is wrong with a request on purpose. */
export type Wrong = (typeof WRONGS)[number]

export interface PartnerRequestPlan {
  readonly webhook: WebhookPart
  readonly contract: ContractPart
  /** Paths by which the integration tells its messages apart. */
  readonly keyPaths: readonly string[]
  readonly keys: readonly SigningKey[]
  /** @default the contract's latest */
  readonly version?: number
  /** The body as given; without it, an example is made of the schema. */
  readonly given?: Uint8Array
  readonly settings: readonly string[]
  readonly wrong?: Wrong
  /** @default a fresh one for each message */
  readonly id?: string
  /** The same seed makes the same examples. */
  readonly seed: number
}

/** A request as a partner sends it: what goes over the wire, and the id it carries. */
export interface PartnerRequest {
  readonly id: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  /** The path of the webhook, with the query that its scheme may put a hash into. */
  readonly target: string
}

const MINUTE_MS = 60_000

/**
 * Message number `n` (from 1) of a partner: valid and genuine, except for what is wrong on purpose.
 *
 * @throws JUNCTURA_USAGE when it cannot be wrong in that way: an unsigned webhook has no signature.
 * @throws JUNCTURA_EXAMPLE_FAILED when no example fits the schema.
 */
export const makePartnerRequest = (
  plan: PartnerRequestPlan,
  n: number,
  kernel: Pick<Kernel, 'clock' | 'ids'>,
): PartnerRequest => {
  const id = plan.id === undefined ? kernel.ids.next('msg') : numbered(plan.id, n)
  const version = plan.version ?? plan.contract.latest
  const body = bodyOf(plan, { n, version })
  const signed = signatureOf(plan, { id, body, nowMs: kernel.clock.now() })
  return {
    id,
    body: signed.body,
    target: signed.target,
    headers: {
      'content-type': plan.webhook.contentTypes[0] ?? 'application/json',
      'user-agent': 'junctura-send',
      ...versionHeader(plan, version),
      ...keyHeader(plan, id),
      ...sampleEventHeaders(plan.webhook, { id, version: saidVersion(plan, version) }),
      ...signed.headers,
    },
  }
}

/** Several messages need ids of their own. */
const numbered = (id: string, n: number): string =>
  id.includes('{n}') ? id.replaceAll('{n}', String(n)) : n === 1 ? id : `${id}-${n}`

function bodyOf(
  plan: PartnerRequestPlan,
  message: { readonly n: number; readonly version: number },
): Uint8Array {
  const { given, settings, wrong } = plan
  if (given && settings.length === 0 && wrong !== 'schema' && wrong !== 'version') return given
  const schema = schemaOf(plan, message.version)
  const random = createSeededRandom(plan.seed + message.n)
  if (wrong === 'schema') {
    return bytesOf(plan, invalidBody(plan, schema, random))
  }
  const base = given ? parseGiven(given) : madeDistinct(plan, makeExample(schema, random), random)
  const data = applySettings(base, settings, message.n)
  return bytesOf(plan, wrong === 'version' ? withUnknownVersion(plan, data) : data)
}

/** As a form where the webhook takes forms first, otherwise as JSON. */
function bytesOf({ webhook }: PartnerRequestPlan, data: unknown): Uint8Array {
  const form = webhook.contentTypes[0] === FORM ? toForm(data) : undefined
  return utf8(form ?? JSON.stringify(data))
}

function schemaOf(plan: PartnerRequestPlan, version: number) {
  const found = plan.contract.versions.find((each) => each.version === version)
  if (found) return found.schema
  const known = plan.contract.versions.map((each) => each.version).join(', ')
  throw usage(`${plan.contract.name} has no version ${version}`, `it has: ${known}`)
}

const INVALID_TRIES = 20

/** Broken, and if it can be, not where it says its version: that is another way of being wrong. */
function invalidBody(plan: PartnerRequestPlan, schema: JsonSchema, random: Random): unknown {
  const source = plan.webhook.version
  const version = plan.version ?? plan.contract.latest
  for (let time = 1; ; time++) {
    const { value } = makeInvalid(schema, random)
    const path = source?.from === 'body' ? source.paths[0] : undefined
    const saysVersion = path === undefined || String(valueAt(value, path)) === String(version)
    if (saysVersion || time >= INVALID_TRIES) return value
  }
}

/**
 * Two examples are two messages about two things, also where the key is in the body or made of it:
 * a text that names the thing gets an ending of its own.
 */
function madeDistinct(plan: PartnerRequestPlan, example: unknown, random: Random): unknown {
  const validator = compileValidator(schemaOf(plan, plan.version ?? plan.contract.latest), 'schema')
  const ending = toHex(random.bytes(4))
  const changedAt = (data: unknown, path: string): unknown => {
    const value = valueAt(data, path)
    if (typeof value !== 'string') return undefined
    const changed = applySettings(data, [`${path}:=${value}-${ending}`], 1)
    // A schema may allow only some texts there.
    return validator.validate(changed).ok ? changed : undefined
  }
  const source = plan.webhook.idempotency.key
  if (source?.from === 'body') {
    return source.paths.reduce((data, path) => changedAt(data, path) ?? data, example)
  }
  const names = typeof example === 'object' && example !== null ? Object.keys(example) : []
  for (const path of [...plan.contract.key, ...plan.keyPaths, ...names]) {
    const changed = changedAt(example, path)
    if (changed !== undefined) return changed
  }
  return example
}

/** Larger than any version that a contract will have. */
const UNKNOWN_VERSION = 999_999

function withUnknownVersion({ webhook }: PartnerRequestPlan, data: unknown): unknown {
  const { version } = webhook
  if (!version) {
    throw usage(`${webhook.name} reads no version from its requests`, 'leave --invalid version out')
  }
  if (version.from !== 'body') return data
  return applySettings(data, [`${version.paths[0] ?? 'version'}=${UNKNOWN_VERSION}`], 1)
}

function versionHeader(plan: PartnerRequestPlan, version: number): Record<string, string> {
  const source = plan.webhook.version
  if (source?.from !== 'header') return {}
  return { [source.name]: String(saidVersion(plan, version)) }
}

const saidVersion = ({ wrong }: PartnerRequestPlan, version: number): number =>
  wrong === 'version' ? UNKNOWN_VERSION : version

function keyHeader({ webhook }: PartnerRequestPlan, id: string): Record<string, string> {
  const source = webhook.idempotency.key
  return source?.from === 'header' ? { [source.name]: id } : {}
}

function signatureOf(
  plan: PartnerRequestPlan,
  request: { readonly id: string; readonly body: Uint8Array; readonly nowMs: number },
): SignedDelivery {
  const { webhook, wrong, keys } = plan
  const scheme = webhook.verify
  if (scheme.kind === 'unsigned') {
    const { body } = request
    if (wrong !== 'signature' && wrong !== 'timestamp') {
      return { headers: {}, body, target: webhook.path }
    }
    throw usage(`${webhook.name} takes unsigned requests`, `leave --invalid ${wrong} out`)
  }
  const hasTimestamp = scheme.kind === 'signed' && scheme.timestampUnit !== undefined
  if (wrong === 'timestamp' && !hasTimestamp) {
    throw usage(`${scheme.name} has no timestamp`, 'leave --invalid timestamp out')
  }
  if (wrong === 'signature' && scheme.kind === 'bearer') {
    const headers = { [scheme.header ?? 'authorization']: scheme.isBare ? 'wrong' : 'Bearer wrong' }
    return { headers, body: request.body, target: webhook.path }
  }
  const lateMs = wrong === 'timestamp' && hasTimestamp ? scheme.tolerance.pastMs + MINUTE_MS : 0
  return signDelivery({
    scheme,
    // One signature is what a partner sends while nothing is rotated.
    keys: keys.slice(0, 1),
    messageId: request.id,
    timestampMs: request.nowMs - lateMs,
    body: request.body,
    request: { method: 'POST', target: webhook.path, path: webhook.path },
    mediaType: webhook.contentTypes[0] ?? 'application/json',
    // The signature of other bytes: well-formed, by the right key, and wrong.
    isSpoiled: wrong === 'signature',
  })
}

const usage = (problem: string, fix: string): JuncturaError =>
  new JuncturaError('JUNCTURA_USAGE', { details: { problem, fix } })
