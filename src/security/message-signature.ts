import { hash } from 'node:crypto'
import type { SignatureVersion, SignedScheme } from '../contract/index.ts'
import { LIMITS } from '../kernel/index.ts'
import { readForm } from './form-fields.ts'
import type { RequestFacts } from './request-facts.ts'
import { type HeaderLookup, isPresent, type RefusalReason } from './signature-claim.ts'
import { isMessageId } from './signed-content.ts'
import {
  type BareItem,
  type InnerItem,
  type InnerList,
  readByteMembers,
  readInnerLists,
} from './structured-fields.ts'

/** One signature of a message, with the very text that it was made over. */
export interface MessageSignature {
  /** Base64. */
  readonly text: string
  readonly base: string
  readonly createdMs: number
  readonly expiresMs?: number
  /** The algorithm that it says it is of; a key is never used with another. */
  readonly algorithm?: string
}

export interface MessageClaim {
  readonly signatures: readonly MessageSignature[]
  readonly messageId?: string
}

/**
 * The signatures of a request that cover what the scheme asks for, or why there is none. The digest
 * of the body is compared here: a signature covers it, and it covers the body.
 *
 * @see RFC 9421, sections 2.5, 3.2 and 4; RFC 9530, section 2
 */
export const readMessageClaim = (
  scheme: SignedScheme,
  headers: HeaderLookup,
  facts: RequestFacts,
): MessageClaim | RefusalReason => {
  const [input, signature] = [headers('signature-input'), headers('signature')]
  if (!isPresent(input) || !isPresent(signature)) return 'missing-header'
  const [inputText, signatureText] = [facts.header('signature-input'), facts.header('signature')]
  if (inputText === undefined || signatureText === undefined) return 'repeated-header'
  if (inputText.length > LIMITS.headerBytesMax) return 'malformed'
  const inputs = readInnerLists(inputText)
  const texts = readByteMembers(signatureText)
  if (!inputs || !texts) return 'malformed'
  if (inputs.size > LIMITS.signaturesMax) return 'too-many-signatures'
  const url = readUrl(scheme, facts)
  if (url === 'unknown-host') return url
  const digest = checkDigest(headers, facts)
  if (digest) return digest
  const id = readId(scheme, headers, facts)
  if (typeof id === 'string') return id

  const signatures: MessageSignature[] = []
  let reason: RefusalReason = 'malformed'
  for (const [label, list] of inputs) {
    const text = texts.get(label)
    const read = text === undefined ? 'malformed' : readOne(scheme, { list, text, facts, url })
    if (typeof read === 'string') reason = read
    else signatures.push(read)
  }
  return signatures.length === 0 ? reason : { signatures, ...id }
}

type Components = Readonly<Record<string, string | undefined>>

/** The URL as the sender wrote it, and its pieces. */
interface TargetUrl {
  readonly text: string
  readonly url: URL
}

function readUrl(
  scheme: SignedScheme,
  facts: RequestFacts,
): TargetUrl | undefined | 'unknown-host' {
  if (!scheme.publicUrl) return undefined
  const text = facts.url(scheme)
  if (text === undefined || !URL.canParse(text)) return 'unknown-host'
  return { text, url: new URL(text) }
}

function readId(
  { headers: [family], messageIdExcludes }: SignedScheme,
  headers: HeaderLookup,
  facts: RequestFacts,
): { readonly messageId?: string } | RefusalReason {
  if (family?.id === undefined) return {}
  if (!isPresent(headers(family.id))) return 'missing-header'
  const messageId = facts.header(family.id)
  if (messageId === undefined) return 'repeated-header'
  return isMessageId(messageId, messageIdExcludes) ? { messageId } : 'bad-message-id'
}

interface Candidate {
  readonly list: InnerList
  readonly text: string
  readonly facts: RequestFacts
  readonly url: TargetUrl | undefined
}

function readOne(scheme: SignedScheme, candidate: Candidate): MessageSignature | RefusalReason {
  const { format } = scheme
  if (format.kind !== 'http-message') return 'malformed'
  const { list, text } = candidate
  const { params } = list
  // Under another tag it was made for another purpose.
  if (format.tag !== undefined && params.get('tag') !== format.tag) return 'mismatch'
  const covered = new Set(list.items.map((item) => item.text))
  if (covered.size !== list.items.length) return 'malformed'
  if (!format.components.every((name) => covered.has(JSON.stringify(name)))) return 'missing-field'
  const base = signatureBase(list, candidate.facts, candidate.url)
  const [createdS, expiresS] = [params.get('created'), params.get('expires')]
  const algorithm = params.get('alg')
  if (base === undefined || !isSecond(createdS)) return 'malformed'
  if (expiresS !== undefined && !isSecond(expiresS)) return 'malformed'
  if (algorithm !== undefined && typeof algorithm !== 'string') return 'malformed'
  return {
    text,
    base,
    createdMs: createdS * 1_000,
    ...(expiresS !== undefined && { expiresMs: expiresS * 1_000 }),
    ...(algorithm !== undefined && { algorithm }),
  }
}

const isSecond = (value: BareItem | undefined): value is number =>
  typeof value === 'number' && value >= 0

/**
 * The text that is signed; undefined where something that is covered is not in the request once.
 *
 * @see RFC 9421, section 2.5
 */
const signatureBase = (
  list: InnerList,
  facts: RequestFacts,
  url: TargetUrl | undefined,
): string | undefined => {
  let base = ''
  for (const item of list.items) {
    const value = componentValue(item, facts, url)
    if (value === undefined) return undefined
    base += `${item.text}: ${value}\n`
  }
  return `${base}"@signature-params": ${list.text}`
}

function componentValue(
  { name, params }: InnerItem,
  facts: RequestFacts,
  url: TargetUrl | undefined,
): string | undefined {
  if (name === '@query-param') return queryParam(params, facts)
  // Parameters change what a component means; these are not read.
  if (params.size > 0) return undefined
  if (name.startsWith('@')) return derivedComponents(facts, url)[name]
  if (!/^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(name)) return undefined
  return facts.header(name)?.trim()
}

/** A name that comes twice would have two values: neither is the one that was signed. */
function queryParam(
  params: ReadonlyMap<string, BareItem>,
  facts: RequestFacts,
): string | undefined {
  const name = params.get('name')
  if (params.size !== 1 || typeof name !== 'string') return undefined
  const fields = readForm(facts.query(), LIMITS.formFieldsMax) ?? []
  const values = fields.filter(([each]) => encodeParam(each) === name)
  const value = values.length === 1 ? values[0]?.[1] : undefined
  return value === undefined ? undefined : encodeParam(value)
}

/** As the URL Standard encodes a form, with `%20` for a space (RFC 9421, section 2.2.8). */
const encodeParam = (text: string): string =>
  encodeURIComponent(text).replace(
    /[!'()~]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )

function derivedComponents(facts: RequestFacts, url: TargetUrl | undefined): Components {
  const query = facts.query()
  return {
    '@method': facts.method,
    '@query': `?${query}`,
    ...(url && {
      '@target-uri': url.text,
      '@authority': url.url.host,
      '@scheme': url.url.protocol.slice(0, -1),
      '@path': url.url.pathname,
      '@request-target': query === '' ? url.url.pathname : `${url.url.pathname}?${query}`,
    }),
  }
}

const DIGESTS = { 'sha-256': 'sha256', 'sha-512': 'sha512' } as const

/** At least one digest that we know, and all that we know must fit. */
function checkDigest(headers: HeaderLookup, facts: RequestFacts): RefusalReason | undefined {
  if (!isPresent(headers('content-digest'))) return 'missing-header'
  const text = facts.header('content-digest')
  if (text === undefined) return 'repeated-header'
  const given = readByteMembers(text)
  if (!given) return 'malformed'
  let known = 0
  for (const [name, algorithm] of Object.entries(DIGESTS)) {
    const digest = given.get(name)
    if (digest === undefined) continue
    if (hash(algorithm, facts.body, 'base64') !== digest) return 'mismatch'
    known++
  }
  return known === 0 ? 'malformed' : undefined
}

export interface MessageSigning {
  readonly scheme: SignedScheme
  readonly version: SignatureVersion
  readonly facts: RequestFacts
  readonly createdS: number
}

/** What a signer puts into `signature-input`, and what it signs. */
export const messageToSign = (
  signing: MessageSigning,
): { readonly input: string; readonly base: string } | undefined => {
  const { scheme, version, facts, createdS } = signing
  const { format } = scheme
  if (format.kind !== 'http-message') return undefined
  const names = format.components.map((name) => JSON.stringify(name)).join(' ')
  const tag = format.tag === undefined ? '' : `;tag=${JSON.stringify(format.tag)}`
  const input = `(${names});created=${createdS};alg="${version.algorithm}"${tag}`
  const list = readInnerLists(`sig1=${input}`)?.get('sig1')
  const url = readUrl(scheme, facts)
  const base = list && url !== 'unknown-host' ? signatureBase(list, facts, url) : undefined
  return base === undefined ? undefined : { input, base }
}

/** `content-digest` of a body. */
export const contentDigest = (body: Uint8Array): string =>
  `sha-256=:${hash('sha256', body, 'base64')}:`
