import type { SignatureHeaders, SignedScheme } from '../contract/index.ts'
import { LIMITS } from '../kernel/index.ts'
import { type RequestFacts, scalarText, textAt } from './request-facts.ts'
import { isMessageId, readRfc3339, readTimestamp } from './signed-content.ts'

/**
 * The value of a header by its lower-case name. A header that came more than once must come as a
 * list, as `IncomingMessage.headersDistinct` gives it: joined values would hide the repetition.
 */
export type HeaderLookup = (name: string) => string | readonly string[] | undefined

export type RefusalReason =
  | 'no-secret'
  | 'missing-header'
  | 'repeated-header'
  | 'conflicting-headers'
  | 'malformed'
  | 'bad-message-id'
  | 'too-many-signatures'
  | 'mismatch'
  | 'too-old'
  | 'too-new'
  /** Something that is signed is not in the body, or not once. */
  | 'missing-field'
  /** The host by which the webhook was called is none that was declared. */
  | 'unknown-host'
  /** The certificate of the signer cannot be had, or is not to be trusted. */
  | 'no-certificate'

/** What a request says of itself, before anything of it is believed. */
export interface Claim {
  readonly signatures: readonly ClaimedSignature[]
  readonly messageId?: string
  readonly timestamp?: string
  readonly timestampMs?: number
}

export interface ClaimedSignature {
  readonly label: string
  readonly text: string
}

/** What a request claims, or why it cannot be a claim. */
export const readClaim = (
  scheme: SignedScheme,
  headers: HeaderLookup,
  facts: RequestFacts,
): Claim | RefusalReason => {
  const strange = readFixedHeaders(scheme, headers)
  if (strange) return strange
  if (scheme.inBody) return readBodyClaim(scheme, facts)
  const family = scheme.headers.find((each) =>
    each.more
      ? namesOf(each).some((name) => isPresent(headers(name)))
      : isPresent(headers(each.signature)),
  )
  if (!family) return 'missing-header'
  const parsed = parseHeaders(scheme, family, headers)
  if (typeof parsed === 'string') return parsed
  const conflict = readOthers(scheme, family, headers)
  if (conflict) return conflict

  const messageId = family.id === undefined ? undefined : readHeader(headers(family.id))
  if (messageId === REPEATED) return 'repeated-header'
  if (messageId === undefined && scheme.messageId === 'signed') return 'missing-header'
  if (messageId !== undefined && !isMessageId(messageId, scheme.messageIdExcludes)) {
    return 'bad-message-id'
  }
  const identity = messageId === undefined ? {} : { messageId }
  if (scheme.timestampUnit === undefined) return { signatures: parsed.signatures, ...identity }

  if (scheme.timestampPath !== undefined) {
    const time = readBodyTime(scheme, facts)
    return typeof time === 'string' ? time : { signatures: parsed.signatures, ...identity, ...time }
  }
  const timestamp =
    family.timestamp === undefined ? parsed.timestamp : readHeader(headers(family.timestamp))
  if (timestamp === REPEATED) return 'repeated-header'
  if (timestamp === undefined) return 'missing-header'
  const timestampMs = readTime(scheme, timestamp)
  if (timestampMs === undefined) return 'malformed'
  return { signatures: parsed.signatures, ...identity, timestamp, timestampMs }
}

function readTime({ timestampUnit }: SignedScheme, text: string): number | undefined {
  if (timestampUnit === 'iso') return readRfc3339(text)
  const claimed = readTimestamp(text)
  return claimed === undefined || timestampUnit === 'ms' ? claimed : claimed * 1_000
}

function readBodyTime(
  scheme: SignedScheme,
  facts: RequestFacts,
): Required<Pick<Claim, 'timestamp' | 'timestampMs'>> | RefusalReason {
  const timestamp = textAt(facts, { from: 'body', name: scheme.timestampPath ?? '' })
  if (timestamp === undefined) return 'missing-field'
  const timestampMs = readTime(scheme, timestamp)
  return timestampMs === undefined ? 'malformed' : { timestamp, timestampMs }
}

function readBodyClaim(scheme: SignedScheme, facts: RequestFacts): Claim | RefusalReason {
  const { signature = '', one, id } = scheme.inBody ?? {}
  if (one !== undefined) {
    const items = facts.field(one)
    if (!Array.isArray(items) || items.length !== 1) return 'missing-field'
  }
  const text = scalarText(facts.field(signature))
  if (text === undefined || text === '') return 'missing-field'
  const parsed = parseSignatures(scheme, text)
  if (typeof parsed === 'string') return parsed
  const { signatures } = parsed
  const messageId = id === undefined ? undefined : scalarText(facts.field(id))
  if (id !== undefined && messageId === undefined) return 'missing-field'
  if (messageId !== undefined && !isMessageId(messageId, '')) return 'bad-message-id'
  const identity = messageId === undefined ? {} : { messageId }
  if (scheme.timestampPath === undefined) return { signatures, ...identity }
  const time = readBodyTime(scheme, facts)
  return typeof time === 'string' ? time : { signatures, ...identity, ...time }
}

function readFixedHeaders(
  { fixedHeaders }: SignedScheme,
  headers: HeaderLookup,
): RefusalReason | undefined {
  for (const { name, value } of fixedHeaders ?? []) {
    const given = headers(name)
    if (!isPresent(given)) return 'missing-header'
    if (single(given) === undefined) return 'repeated-header'
    if (single(given) !== value) return 'malformed'
  }
  return undefined
}

const namesOf = ({ signature, more }: SignatureHeaders): readonly string[] =>
  more ? [signature, ...more] : [signature]

/** The signatures of all headers of a family: each of several keys may have a header of its own. */
function parseHeaders(
  scheme: SignedScheme,
  family: SignatureHeaders,
  headers: HeaderLookup,
): ParsedSignatures | RefusalReason {
  const signatures: ClaimedSignature[] = []
  let timestamp: string | undefined
  for (const name of namesOf(family)) {
    const value = headers(name)
    if (!isPresent(value)) continue
    const text = single(value)
    if (text === undefined) return 'repeated-header'
    const parsed = parseSignatures(scheme, text)
    if (typeof parsed === 'string') return parsed
    signatures.push(...parsed.signatures)
    timestamp ??= parsed.timestamp
  }
  if (signatures.length > LIMITS.signaturesMax) return 'too-many-signatures'
  return timestamp === undefined ? { signatures } : { signatures, timestamp }
}

/**
 * The headers of another family must not claim another id or time: a later reader of, say,
 * `webhook-id` would act on what nobody signed.
 */
function readOthers(
  scheme: SignedScheme,
  family: SignatureHeaders,
  headers: HeaderLookup,
): RefusalReason | undefined {
  for (const other of scheme.headers) {
    if (other === family) continue
    for (const field of ['id', 'timestamp'] as const) {
      const name = other[field]
      const claimed = name === undefined ? undefined : headers(name)
      if (!isPresent(claimed)) continue
      const ours = family[field]
      if (single(claimed) === undefined) return 'repeated-header'
      if (ours === undefined || single(claimed) !== single(headers(ours))) {
        return 'conflicting-headers'
      }
    }
  }
  return undefined
}

interface ParsedSignatures {
  readonly signatures: readonly ClaimedSignature[]
  readonly timestamp?: string
}

function parseSignatures(scheme: SignedScheme, header: string): ParsedSignatures | RefusalReason {
  if (header.length > LIMITS.headerBytesMax) return 'malformed'
  const { format } = scheme
  if (format.kind === 'single') {
    if (!header.startsWith(format.prefix) || header.length === format.prefix.length) {
      return 'malformed'
    }
    return { signatures: [{ label: '', text: header.slice(format.prefix.length) }] }
  }
  if (format.kind === 'http-message') return 'malformed'
  const [between, within] =
    format.kind === 'space-list' ? [' ', ','] : [format.separator ?? ',', '=']
  const timestampField = format.kind === 'comma-list' ? format.timestampField : undefined
  const signatures: ClaimedSignature[] = []
  let timestamp: string | undefined
  for (const item of header.split(between, ITEMS_MAX)) {
    const at = item.indexOf(within)
    if (at <= 0) continue
    const label = item.slice(0, at)
    const text = item.slice(at + 1)
    if (label === timestampField) {
      // Two times in one header: which one was signed is anyone's guess (F112).
      if (timestamp !== undefined) return 'repeated-header'
      timestamp = text
    } else if (signatures.push({ label, text }) > LIMITS.signaturesMax) {
      return 'too-many-signatures'
    }
  }
  if (signatures.length === 0) return 'malformed'
  return timestamp === undefined ? { signatures } : { signatures, timestamp }
}

/** Enough to see that there are too many; the rest of the header is not even split (F114). */
const ITEMS_MAX = LIMITS.signaturesMax + 2

const REPEATED: unique symbol = Symbol('repeated')

export const isPresent = (value: string | readonly string[] | undefined): boolean =>
  value !== undefined && value.length > 0 && !(value.length === 1 && value[0] === '')

function readHeader(
  value: string | readonly string[] | undefined,
): string | undefined | typeof REPEATED {
  if (!isPresent(value)) return undefined
  return single(value) ?? REPEATED
}

/** The value of a header that came exactly once. */
function single(value: string | readonly string[] | undefined): string | undefined {
  if (typeof value === 'string') return value
  return value?.length === 1 ? value[0] : undefined
}
