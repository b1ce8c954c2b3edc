import { type Duration, durationMs, LIMITS } from '../kernel/index.ts'
import type { BearerScheme } from './bearer-scheme.ts'
import { declarationError } from './declaration-error.ts'
import { type SecretInput, type SecretReference, secretReferences } from './secret.ts'

/** How a webhook's sender proves itself. Plain data: it is stored and shown with the Model. */
export type SignatureScheme = SignedScheme | BearerScheme | UnsignedScheme

export interface SignedScheme {
  readonly kind: 'signed'
  readonly name: string
  /** Alternatives; the first family whose signature header is present is the one that counts. */
  readonly headers: readonly SignatureHeaders[]
  readonly format: SignatureFormat
  /** The allow-list: a signature that carries no label of it is never looked at (F116). */
  readonly versions: readonly SignatureVersion[]
  readonly signed: readonly SignedPart[]
  /** Absent when nothing in the request says when it was made. */
  readonly timestampUnit?: 's' | 'ms'
  /** An unsigned id may be changed by whoever replays the request. */
  readonly messageId: 'signed' | 'unsigned' | 'none'
  /** Characters that an id may not hold, because they separate it from its neighbours (W11). */
  readonly messageIdExcludes: string
  /** What refuses an old request: its signed timestamp, or only the dedupe record of its body. */
  readonly replayProtection: 'timestamp' | 'dedupe'
  readonly tolerance: { readonly pastMs: number; readonly futureMs: number }
  readonly secrets: readonly SecretReference[]
  /** The first form whose prefix fits says what a secret is. */
  readonly secretForms: readonly SecretForm[]
  /** What separates several secrets in one value; a passphrase may hold spaces. */
  readonly secretSeparator: 'whitespace' | 'line'
  readonly secretBytesMin: number
  readonly answer: ExpectedAnswer
}

/** Requests are taken from anyone; the reason is shown wherever the webhook is. */
export interface UnsignedScheme {
  readonly kind: 'unsigned'
  readonly name: 'unsigned'
  readonly reason: string
  readonly answer: ExpectedAnswer
}

/** Names are lower case. */
export interface SignatureHeaders {
  readonly signature: string
  readonly timestamp?: string
  readonly id?: string
}

export type SignatureFormat =
  /** `v1,AAAA v1a,BBBB` */
  | { readonly kind: 'space-list' }
  /** `t=1700000000,v1=AAAA,v1=BBBB` */
  | { readonly kind: 'comma-list'; readonly timestampField?: string }
  /** One signature after a fixed prefix such as `sha256=`, which may be empty. */
  | { readonly kind: 'single'; readonly prefix: string }

export type SignatureAlgorithm = 'hmac-sha256' | 'hmac-sha512' | 'hmac-sha1' | 'ed25519'

export interface SignatureVersion {
  /** The label in the header; empty where the format has none. */
  readonly label: string
  readonly algorithm: SignatureAlgorithm
  /** Hexadecimal is read in either case and written in lower case. */
  readonly encoding: 'hex' | 'base64'
}

export type SignedPart =
  | { readonly part: 'id' }
  | { readonly part: 'timestamp' }
  | { readonly part: 'body' }
  | { readonly part: 'literal'; readonly text: string }

export interface SecretForm {
  readonly prefix: string
  /**
   * How the text after the prefix becomes bytes; `verbatim` takes the whole text as UTF-8, `token`
   * too, where it can stand in an `Authorization` header.
   */
  readonly encoding: 'verbatim' | 'token' | 'base64' | 'hex'
  readonly use: 'hmac' | 'ed25519-public' | 'ed25519-private'
}

/** HTTP statuses that the sender takes as "received". */
export interface ExpectedAnswer {
  /** @default 202 */
  readonly accepted: number
  /** @default 200 */
  readonly duplicate: number
}

export interface SchemeOptions {
  readonly secret: SecretInput
  /**
   * How far the signed timestamp may lie from our clock, both edges included.
   *
   * @default 5m into the past, 5m into the future
   * @maximum 24h
   */
  readonly tolerance?: Duration | { readonly past?: Duration; readonly future?: Duration }
  readonly answer?: Partial<ExpectedAnswer>
  /**
   * Shorter secrets are refused at start. Lower it only where a partner hands out short ones.
   *
   * @default 24
   * @minimum 8
   */
  readonly secretBytesMin?: number
}

/** A scheme without its secrets: what a preset consists of. */
export interface SchemeDefinition {
  readonly name: string
  readonly headers: readonly SignatureHeaders[]
  readonly format: SignatureFormat
  readonly versions: readonly SignatureVersion[]
  /** What is signed, with `{id}`, `{timestamp}` and `{body}`; for example `{timestamp}.{body}`. */
  readonly signed: string
  readonly timestampUnit?: 's' | 'ms'
  readonly secretForms: readonly SecretForm[]
  readonly secretSeparator: 'whitespace' | 'line'
}

const STANDARD_WEBHOOKS: SchemeDefinition = {
  name: 'standard-webhooks',
  headers: ['webhook', 'svix'].map((family) => ({
    signature: `${family}-signature`,
    timestamp: `${family}-timestamp`,
    id: `${family}-id`,
  })),
  format: { kind: 'space-list' },
  versions: [
    { label: 'v1', algorithm: 'hmac-sha256', encoding: 'base64' },
    { label: 'v1a', algorithm: 'ed25519', encoding: 'base64' },
  ],
  signed: '{id}.{timestamp}.{body}',
  timestampUnit: 's',
  secretForms: [
    { prefix: 'whsec_', encoding: 'base64', use: 'hmac' },
    { prefix: 'whpk_', encoding: 'base64', use: 'ed25519-public' },
    { prefix: 'whsk_', encoding: 'base64', use: 'ed25519-private' },
    { prefix: '', encoding: 'base64', use: 'hmac' },
  ],
  secretSeparator: 'whitespace',
}

const VERBATIM: readonly SecretForm[] = [{ prefix: '', encoding: 'verbatim', use: 'hmac' }]

const STRIPE: SchemeDefinition = {
  name: 'stripe',
  headers: [{ signature: 'stripe-signature' }],
  format: { kind: 'comma-list', timestampField: 't' },
  versions: [{ label: 'v1', algorithm: 'hmac-sha256', encoding: 'hex' }],
  signed: '{timestamp}.{body}',
  timestampUnit: 's',
  secretForms: VERBATIM,
  secretSeparator: 'whitespace',
}

const GITHUB: SchemeDefinition = {
  name: 'github',
  headers: [{ signature: 'x-hub-signature-256', id: 'x-github-delivery' }],
  format: { kind: 'single', prefix: 'sha256=' },
  versions: [{ label: '', algorithm: 'hmac-sha256', encoding: 'hex' }],
  signed: '{body}',
  secretForms: VERBATIM,
  secretSeparator: 'line',
}

/**
 * Standard Webhooks: `v1` (HMAC, secrets `whsec_…`) and `v1a` (ed25519, public keys `whpk_…`),
 * under the headers `webhook-*` or `svix-*`, several signatures in one header.
 *
 * @throws JUNCTURA_DECLARATION when an option is out of its bounds.
 * @see the Standard Webhooks specification 1.0.0, "Signature scheme"
 */
export const standardWebhooks = (options: SchemeOptions): SignedScheme =>
  signatureScheme(STANDARD_WEBHOOKS, options)

/**
 * Stripe: `t=…,v1=…` in `stripe-signature`. Its `whsec_…` secret is the key as it is written, not
 * base64. The id is in the body: take it as the idempotency key with `body('id')`.
 *
 * @throws JUNCTURA_DECLARATION when an option is out of its bounds.
 */
export const stripe = (options: SchemeOptions): SignedScheme => signatureScheme(STRIPE, options)

/**
 * GitHub: `x-hub-signature-256` over the body alone. Nothing says when a request was made and
 * `x-github-delivery` is not signed, so only the dedupe record of the body stops a replay. Several
 * secrets in one variable or file stand on lines of their own.
 *
 * @throws JUNCTURA_DECLARATION when an option is out of its bounds.
 */
export const github = (options: Omit<SchemeOptions, 'tolerance'>): SignedScheme =>
  signatureScheme(GITHUB, options)

export interface HmacOptions extends SchemeOptions {
  /** @default 'hmac' */
  readonly name?: string
  /** The header that carries the signature. */
  readonly header: string
  /** @default 'hex' */
  readonly encoding?: 'hex' | 'base64'
  /** @default 'hmac-sha256' */
  readonly algorithm?: 'hmac-sha256' | 'hmac-sha512' | 'hmac-sha1'
  /**
   * What is signed, with `{id}`, `{timestamp}` and `{body}`; for example `v0:{timestamp}:{body}`.
   *
   * @default '{body}'
   */
  readonly signed?: string
  /** What stands before the signature in its header, such as `sha256=`. */
  readonly prefix?: string
  /** Must be signed too: an unsigned timestamp proves nothing. */
  readonly timestamp?: { readonly header: string; readonly unit?: 's' | 'ms' }
  readonly id?: { readonly header: string }
  /**
   * How the secret's text becomes the key. Several verbatim secrets in one variable or file stand
   * on lines of their own.
   *
   * @default 'verbatim'
   */
  readonly secretEncoding?: 'verbatim' | 'base64' | 'hex'
}

/**
 * A keyed hash in a header, as most partners without a named scheme do it.
 *
 * @throws JUNCTURA_DECLARATION when the body is not signed, a part that is signed has no header, or
 * an option is out of its bounds.
 * @example hmac({ secret: secret.env('PARTNER_SECRET'), header: 'x-signature', prefix: 'sha256=' })
 */
export const hmac = (options: HmacOptions): SignedScheme => {
  const secretEncoding = options.secretEncoding ?? 'verbatim'
  const definition: SchemeDefinition = {
    name: options.name ?? 'hmac',
    headers: [
      {
        signature: options.header,
        ...(options.timestamp ? { timestamp: options.timestamp.header } : {}),
        ...(options.id ? { id: options.id.header } : {}),
      },
    ],
    format: { kind: 'single', prefix: options.prefix ?? '' },
    versions: [
      {
        label: '',
        algorithm: options.algorithm ?? 'hmac-sha256',
        encoding: options.encoding ?? 'hex',
      },
    ],
    signed: options.signed ?? '{body}',
    ...(options.timestamp ? { timestampUnit: options.timestamp.unit ?? 's' } : {}),
    secretForms: [{ prefix: '', encoding: secretEncoding, use: 'hmac' }],
    secretSeparator: secretEncoding === 'verbatim' ? 'line' : 'whitespace',
  }
  return signatureScheme(definition, options)
}

/**
 * Takes requests from anyone. The reason is for whoever asks later why this door has no lock.
 *
 * @throws JUNCTURA_DECLARATION when the reason is empty.
 */
export const unsigned = (options: {
  readonly reason: string
  readonly answer?: Partial<ExpectedAnswer>
}): UnsignedScheme => {
  const reason = typeof options?.reason === 'string' ? options.reason.trim() : ''
  if (reason === '') {
    throw declarationError(
      'unsigned.reason',
      'requests from anyone would be taken without a reason',
      'write why this sender cannot sign, or declare a scheme',
    )
  }
  return Object.freeze({
    kind: 'unsigned',
    name: 'unsigned',
    reason,
    answer: expectedAnswer(options.answer),
  })
}

/**
 * Makes a scheme from its definition; every preset is made by it.
 *
 * @throws JUNCTURA_DECLARATION when the definition could be verified without covering the body, or
 * an option is out of its bounds.
 */
export const signatureScheme = (
  definition: SchemeDefinition,
  options: SchemeOptions,
): SignedScheme => {
  const field = `verify ${definition.name}`
  const signed = parseTemplate(definition.signed)
  const headers = definition.headers.map((family) => checkHeaders(family, field))
  checkCoverage(definition, signed, field)
  const { timestampUnit } = definition
  const messageIdExcludes = neighboursOfId(signed)
  const hasId = headers.some((family) => family.id !== undefined)
  const idSigned = signed.some((part) => part.part === 'id')
  return Object.freeze({
    kind: 'signed',
    name: definition.name,
    headers,
    format: definition.format,
    versions: definition.versions,
    signed,
    ...(timestampUnit === undefined ? {} : { timestampUnit }),
    messageId: idSigned ? 'signed' : hasId ? 'unsigned' : 'none',
    messageIdExcludes,
    replayProtection: timestampUnit === undefined ? 'dedupe' : 'timestamp',
    tolerance: resolveTolerance(options.tolerance, field),
    secrets: secretReferences(options.secret, `${field}.secret`),
    secretForms: definition.secretForms,
    secretSeparator: definition.secretSeparator,
    secretBytesMin: checkSecretBytesMin(options.secretBytesMin ?? SECRET_BYTES_MIN, field),
    answer: expectedAnswer(options.answer),
  })
}

/** The least that Standard Webhooks allows, and a fair demand of anyone (F117). */
const SECRET_BYTES_MIN = 24
const SECRET_BYTES_FLOOR = 8
const TOLERANCE: Duration = '5m'

function parseTemplate(template: string): readonly SignedPart[] {
  return template
    .split(/(\{(?:id|timestamp|body)\})/)
    .filter((text) => text !== '')
    .map((text) => {
      if (text === '{id}') return { part: 'id' }
      if (text === '{timestamp}') return { part: 'timestamp' }
      return text === '{body}' ? { part: 'body' } : { part: 'literal', text }
    })
}

function checkCoverage(
  definition: SchemeDefinition,
  signed: readonly SignedPart[],
  field: string,
): void {
  const count = (part: SignedPart['part']): number =>
    signed.filter((each) => each.part === part).length
  const refuse = (problem: string, fix: string): never => {
    throw declarationError(`${field}.signed`, problem, fix)
  }
  if (count('body') !== 1) refuse('the body must be signed once', 'write {body} in the template')
  if (count('id') > 1) refuse('the id is signed twice', 'write {id} once')
  if (count('timestamp') > 1) refuse('the timestamp is signed twice', 'write {timestamp} once')
  const { format, headers, timestampUnit } = definition
  const inSignature = format.kind === 'comma-list' && format.timestampField !== undefined
  const hasTimestamp =
    inSignature || (headers.length > 0 && headers.every((each) => each.timestamp !== undefined))
  if (hasTimestamp !== (timestampUnit !== undefined) || hasTimestamp !== count('timestamp') > 0) {
    refuse(
      'a timestamp must be sent and signed, or neither',
      'give timestamp: { header } and write {timestamp} in the template, or leave out both',
    )
  }
  if (count('id') > 0 && !headers.every((each) => each.id !== undefined)) {
    refuse('the id is signed but no header carries it', 'give id: { header }')
  }
  if (definition.versions.length === 0) refuse('no signature is allowed', 'give one version')
  const idAt = signed.findIndex((each) => each.part === 'id')
  const neighbours = [signed[idAt - 1], signed[idAt + 1]]
  if (idAt >= 0 && neighbours.some((each) => each !== undefined && each.part !== 'literal')) {
    refuse(
      'the id runs into its neighbour, so bytes could move from one to the other',
      'leave the id out of the scheme or separate it as the partner does',
    )
  }
}

/** The characters beside the id; without them in the id, its ends are certain (W11). */
function neighboursOfId(signed: readonly SignedPart[]): string {
  const idAt = signed.findIndex((each) => each.part === 'id')
  if (idAt < 0) return ''
  const before = signed[idAt - 1]
  const after = signed[idAt + 1]
  const last = before?.part === 'literal' ? before.text.slice(-1) : ''
  const first = after?.part === 'literal' ? after.text.slice(0, 1) : ''
  return last === first ? first : last + first
}

const HEADER_NAME = /^[a-z0-9!#$%&'*+.^_`|~-]{1,100}$/

function checkHeaders(family: SignatureHeaders, field: string): SignatureHeaders {
  const lower = Object.fromEntries(
    Object.entries(family).map(([key, name]) => [key, String(name).toLowerCase()]),
  )
  for (const [key, name] of Object.entries(lower)) {
    if (HEADER_NAME.test(name)) continue
    throw declarationError(
      `${field}.${key}`,
      `${JSON.stringify(name)} is not the name of a header`,
      'use letters, digits and "-"',
    )
  }
  return { ...family, ...lower }
}

function resolveTolerance(
  tolerance: SchemeOptions['tolerance'],
  field: string,
): { readonly pastMs: number; readonly futureMs: number } {
  const both = typeof tolerance === 'object' ? undefined : tolerance
  const apart = typeof tolerance === 'object' ? tolerance : {}
  const read = (value: Duration, name: string): number => {
    const ms = durationMs(value, `${field}.${name}`)
    if (ms <= LIMITS.toleranceMsMax) return ms
    throw declarationError(`${field}.${name}`, 'the tolerance is above 24h', 'give at most 24h')
  }
  return {
    pastMs: read(apart.past ?? both ?? TOLERANCE, 'tolerance.past'),
    futureMs: read(apart.future ?? both ?? TOLERANCE, 'tolerance.future'),
  }
}

function checkSecretBytesMin(bytes: number, field: string): number {
  if (Number.isInteger(bytes) && bytes >= SECRET_BYTES_FLOOR) return bytes
  throw declarationError(
    `${field}.secretBytesMin`,
    `${bytes} is too low to be a lock`,
    `give a whole number of at least ${SECRET_BYTES_FLOOR}`,
  )
}

function expectedAnswer(answer: Partial<ExpectedAnswer> = {}): ExpectedAnswer {
  const resolved = { accepted: 202, duplicate: 200, ...answer }
  for (const [key, status] of Object.entries(resolved)) {
    if (Number.isInteger(status) && status >= 200 && status <= 299) continue
    throw declarationError(
      `answer.${key}`,
      `${status} does not tell the sender that the message was received`,
      'give a status from 200 to 299',
    )
  }
  return resolved
}
