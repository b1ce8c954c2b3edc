import { constants, hash, type KeyObject, sign } from 'node:crypto'
import type { SignatureScheme, SignatureVersion, SignedScheme } from '../contract/index.ts'
import { JuncturaError, LIMITS, must } from '../kernel/index.ts'
import { contentDigest, messageToSign } from './message-signature.ts'
import { putTimeAndId, putValue } from './put-value.ts'
import { requestFacts, type RequestLine } from './request-facts.ts'
import type { HeaderLookup } from './signature-claim.ts'
import {
  contentBytes,
  encodeSignature,
  hmacOf,
  isHmac,
  isMessageId,
  type SignedContent,
  signedContent,
} from './signed-content.ts'
import { fitsAlgorithm, type SigningKey } from './signing-key.ts'

export interface SignRequestInput {
  readonly scheme: SignatureScheme
  /** Where a request holds several signatures, each key adds one; otherwise the first one signs. */
  readonly keys: readonly SigningKey[]
  readonly messageId: string
  readonly timestampMs: number
  /** The very bytes that will be sent, but where the signature itself stands in the body. */
  readonly body: Uint8Array
  /**
   * Which of the scheme's header families to write.
   *
   * @default 0
   */
  readonly family?: number
  /** Where the scheme signs method or URL. @default a POST to the public URL */
  readonly request?: RequestLine
  /** @default 'application/json' */
  readonly mediaType?: string
  /** Signs something else, so that the signature is well-formed and wrong. @default false */
  readonly isSpoiled?: boolean
}

/** What goes over the wire. */
export interface SignedDelivery {
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  /** The path with the query that a scheme may put a hash into. */
  readonly target: string
}

/**
 * The headers that make a request genuine under a scheme; none under an unsigned one.
 *
 * @throws JUNCTURA_USAGE when no key can sign, the id or time cannot be written in the scheme, or
 * the scheme puts its signature elsewhere than in a header: that is what `signDelivery` is for.
 */
export const signRequest = (input: SignRequestInput): Readonly<Record<string, string>> => {
  const { scheme } = input
  if (scheme.kind === 'signed' && (scheme.inBody || scheme.timestampPath !== undefined)) {
    throw usage(`${scheme.name} has its signature in the body`)
  }
  return signDelivery(input).headers
}

/**
 * A request that is genuine under a scheme: its headers, and its body and target, into which some
 * schemes put the signature, the time or a hash.
 *
 * @throws JUNCTURA_USAGE when no key can sign, or the id or time cannot be written in the scheme.
 */
export const signDelivery = (input: SignRequestInput): SignedDelivery => {
  const { scheme, body, request } = input
  const target = request?.target ?? ''
  if (scheme.kind === 'unsigned') return { headers: {}, body, target }
  if (scheme.kind === 'bearer') {
    const token = (scheme.isBare ? '' : 'Bearer ') + tokenOf(input)
    return { headers: { [scheme.header ?? 'authorization']: token }, body, target }
  }
  const id = input.messageId
  if (scheme.messageId !== 'none' && !isMessageId(id, scheme.messageIdExcludes)) {
    throw usage(`${scheme.name} cannot carry this message id`)
  }
  if (scheme.format.kind === 'http-message') return signMessage(scheme, input)
  const timestamp = timestampText(scheme, input.timestampMs)
  const dated = putTimeAndId(scheme, body, { timestamp, id })
  const addressed = putBodyHash(scheme, input, dated)
  const headers = otherHeaders(scheme, input)
  const content = contentOf(scheme, { ...input, body: dated }, { timestamp, addressed, headers })
  const signatures = signAll(scheme, input.keys, content)
  if (signatures.length === 0) throw noKey(scheme)
  if (scheme.inBody) {
    const text = formatSignatures(scheme, signatures, timestamp)
    const signed = putValue(dated, scheme.inBody.signature, text)
    return { headers, body: signed, target: addressed.target }
  }
  return {
    headers: { ...headers, ...signatureHeaders(scheme, input, { signatures, timestamp }) },
    body: dated,
    target: addressed.target,
  }
}

interface Addressed {
  readonly target: string
  readonly isBodyHashed: boolean
}

/** A form is signed itself; of any other body the URL carries a hash. */
function putBodyHash(scheme: SignedScheme, input: SignRequestInput, body: Uint8Array): Addressed {
  const target = input.request?.target ?? ''
  const isForm = input.mediaType === 'application/x-www-form-urlencoded'
  if (scheme.bodyHashInQuery === undefined || isForm) return { target, isBodyHashed: false }
  const between = target.includes('?') ? '&' : '?'
  const parameter = `${scheme.bodyHashInQuery}=${hash('sha256', body, 'hex')}`
  return { target: `${target}${between}${parameter}`, isBodyHashed: true }
}

/** What must stand beside the signature: fixed values, and a time that is signed as a header. */
function otherHeaders(scheme: SignedScheme, input: SignRequestInput): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const { name, value } of scheme.fixedHeaders ?? []) headers[name] = value
  for (const part of scheme.signed) {
    if (part.part === 'header') headers[part.name] ??= new Date(input.timestampMs).toISOString()
  }
  if (scheme.publicUrl?.from === 'host') headers['host'] = scheme.publicUrl.hosts[0] ?? ''
  return headers
}

function contentOf(
  scheme: SignedScheme,
  input: SignRequestInput,
  parts: {
    readonly timestamp: string
    readonly addressed: Addressed
    readonly headers: Readonly<Record<string, string>>
  },
): SignedContent {
  const { method = 'POST', path = '' } = input.request ?? {}
  const { target, isBodyHashed } = parts.addressed
  const headers: HeaderLookup = (name) => parts.headers[name]
  const facts = requestFacts({ headers, body: input.body, request: { method, target, path } })
  const url = facts.url(scheme)
  const content = signedContent({
    signed: scheme.signed,
    messageId: input.messageId,
    timestamp: parts.timestamp,
    body: input.body,
    facts,
    ...(url !== undefined && { url }),
    isBodyHashed,
  })
  if (!content) throw usage(`${scheme.name} cannot sign this body`)
  return input.isSpoiled ? { ...content, after: `${content.after} ` } : content
}

function timestampText({ timestampUnit }: SignedScheme, timestampMs: number): string {
  if (!Number.isFinite(timestampMs) || timestampMs < 0) throw usage('The time cannot be written')
  if (timestampUnit === 'iso') return new Date(timestampMs).toISOString()
  const timestamp = Math.floor(timestampMs / (timestampUnit === 'ms' ? 1 : 1_000))
  if (!Number.isSafeInteger(timestamp)) throw usage('The time cannot be written')
  return String(timestamp)
}

function signatureHeaders(
  scheme: SignedScheme,
  input: SignRequestInput,
  made: { readonly signatures: readonly LabelledSignature[]; readonly timestamp: string },
): Record<string, string> {
  const { signatures, timestamp } = made
  const family = scheme.headers[input.family ?? 0]
  if (!family) throw usage(`${scheme.name} has no header family ${input.family}`)
  const headers = { [family.signature]: formatSignatures(scheme, signatures, timestamp) }
  for (const [at, name] of (family.more ?? []).entries()) {
    const next = signatures[at + 1]
    if (next) headers[name] = formatSignatures(scheme, [next], timestamp)
  }
  if (family.timestamp !== undefined) headers[family.timestamp] = timestamp
  if (family.id !== undefined) headers[family.id] = input.messageId
  return headers
}

function tokenOf({ keys: [key] }: SignRequestInput): string {
  if (key?.use === 'hmac') return key.key.export().toString('utf8')
  throw usage('There is no token that could be sent')
}

/** @see RFC 9421, section 3.1 */
function signMessage(scheme: SignedScheme, input: SignRequestInput): SignedDelivery {
  const { body } = input
  const { method = 'POST', path = '', target = '' } = input.request ?? {}
  const [family] = scheme.headers
  const headers: Record<string, string> = {
    'content-digest': contentDigest(body),
    'content-type': input.mediaType ?? 'application/json',
    ...(family?.id !== undefined && { [family.id]: input.messageId }),
    ...(scheme.publicUrl?.from === 'host' && { host: scheme.publicUrl.hosts[0] ?? '' }),
  }
  const lookup: HeaderLookup = (name) => headers[name]
  const facts = requestFacts({ headers: lookup, body, request: { method, target, path } })
  const createdS = Math.floor(input.timestampMs / 1_000)
  for (const key of input.keys) {
    for (const version of scheme.versions) {
      if (!fitsAlgorithm(key, version.algorithm)) continue
      const made = messageToSign({ scheme, version, facts, createdS })
      if (!made) throw usage(`${scheme.name} covers what this request does not have`)
      const after = input.isSpoiled ? ' ' : ''
      const text = signOne(key, version, { before: made.base, body: NOTHING, after })
      if (text === undefined) continue
      headers['signature-input'] = `sig1=${made.input}`
      headers['signature'] = `sig1=:${text}:`
      return { headers, body, target }
    }
  }
  throw noKey(scheme)
}

const NOTHING = new Uint8Array(0)

interface LabelledSignature {
  readonly label: string
  readonly text: string
}

function signAll(
  scheme: SignedScheme,
  keys: readonly SigningKey[],
  content: SignedContent,
): readonly LabelledSignature[] {
  const signatures: LabelledSignature[] = []
  for (const key of keys) {
    for (const version of scheme.versions) {
      const text = fitsAlgorithm(key, version.algorithm) && signOne(key, version, content)
      if (typeof text === 'string') signatures.push({ label: version.label, text })
    }
  }
  return signatures.slice(0, LIMITS.signaturesMax)
}

function signOne(
  key: SigningKey,
  version: SignatureVersion,
  content: SignedContent,
): string | undefined {
  if (key.use === 'handshake') return undefined
  const { algorithm, encoding } = version
  if (key.use === 'hmac') {
    return isHmac(algorithm)
      ? encodeSignature(hmacOf(algorithm, key.key, content), encoding)
      : undefined
  }
  const { privateKey } = key
  return privateKey && encodeSignature(signBytes(privateKey, version, content), encoding)
}

function signBytes(
  key: KeyObject,
  { algorithm, ecdsa = 'der' }: SignatureVersion,
  content: SignedContent,
): Buffer {
  const bytes = contentBytes(content)
  if (algorithm === 'ed25519') return sign(null, bytes, key)
  if (algorithm === 'ecdsa-p256-sha256') {
    return sign('sha256', bytes, { key, dsaEncoding: ecdsa })
  }
  const isPss = algorithm === 'rsa-pss-sha512'
  const padding = isPss ? constants.RSA_PKCS1_PSS_PADDING : constants.RSA_PKCS1_PADDING
  return sign(isPss ? 'sha512' : 'sha256', bytes, {
    key,
    padding,
    ...(isPss && { saltLength: 64 }),
  })
}

function formatSignatures(
  scheme: SignedScheme,
  signatures: readonly LabelledSignature[],
  timestamp: string,
): string {
  const { format } = scheme
  if (format.kind === 'space-list') {
    return signatures.map(({ label, text }) => `${label},${text}`).join(' ')
  }
  if (format.kind === 'comma-list') {
    const { timestampField, separator = ',' } = format
    const time = timestampField === undefined ? [] : [`${timestampField}=${timestamp}`]
    return [...time, ...signatures.map(({ label, text }) => `${label}=${text}`)].join(separator)
  }
  const prefix = format.kind === 'single' ? format.prefix : ''
  return prefix + must(signatures[0], 'there is a signature to write').text
}

const noKey = (scheme: SignedScheme): JuncturaError =>
  usage(`There is no key that can sign for ${scheme.name}; a public key only verifies`)

const usage = (problem: string): JuncturaError =>
  new JuncturaError('JUNCTURA_USAGE', { details: { problem } })
