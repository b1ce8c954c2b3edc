import { createHmac, type KeyObject } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { SignatureAlgorithm, SignatureVersion, SignedPart } from '../contract/index.ts'
import { LIMITS } from '../kernel/index.ts'
import { readFormBytes } from './form-fields.ts'
import { type RequestFacts, scalarText } from './request-facts.ts'

/** What a signature covers: the body's bytes as they are, between two pieces of text. */
export interface SignedContent {
  readonly before: string
  readonly body: Uint8Array
  readonly after: string
}

export interface SignedContentInput {
  readonly signed: readonly SignedPart[]
  readonly messageId: string
  readonly timestamp: string
  readonly body: Uint8Array
  /** For what else a scheme signs. */
  readonly facts?: RequestFacts
  /** The public URL, where a scheme signs it. */
  readonly url?: string
  /** The URL carries the hash of the body, so no form is signed. @default false */
  readonly isBodyHashed?: boolean
}

const NOTHING = new Uint8Array(0)

/**
 * Fills the template; the body is never turned into text (F111, W2). Undefined where something that
 * is signed is not there, or could be read in two ways.
 */
export const signedContent = (input: SignedContentInput): SignedContent | undefined => {
  const { signed } = input
  let before: string | undefined
  let text = ''
  for (let index = 0; index < signed.length; index++) {
    const part = signed[index]
    if (!part) continue
    if (part.part === 'body') {
      before = text
      text = ''
    } else {
      const piece = textOf(part, input)
      if (piece === undefined || crossesNeighbour(piece, signed, index)) return undefined
      text += piece
    }
  }
  if (before === undefined) return { before: text, body: NOTHING, after: '' }
  return { before, body: input.body, after: text }
}

function textOf(part: SignedPart, input: SignedContentInput): string | undefined {
  switch (part.part) {
    case 'literal':
      return part.text
    case 'body':
      return ''
    case 'id':
      return input.messageId
    case 'timestamp':
      return input.timestamp
    case 'url':
      return input.url
    case 'method':
      return input.facts?.method
    case 'header':
      return input.facts?.header(part.name)
    case 'crc32':
      return String(crc32(input.body))
    case 'form':
      return input.isBodyHashed ? '' : sortedForm(input.body)
    case 'field':
      return fieldText(input.facts?.field(part.path))
    case 'lines':
      return linesOf(part.names, input.facts)
  }
}

/** A value that holds what separates it from its neighbour could be cut in two ways (W11). */
function crossesNeighbour(piece: string, signed: readonly SignedPart[], index: number): boolean {
  const kind = signed[index]?.part
  if (kind !== 'field' && kind !== 'header') return false
  return [signed[index - 1], signed[index + 1]].some(
    (each) => each?.part === 'literal' && piece.includes(each.text.slice(0, 1)),
  )
}

const fieldText = (value: unknown): string | undefined =>
  value === undefined || value === null ? '' : scalarText(value)

/** Each name with its value, sorted; a value that came twice under one name counts once. */
function sortedForm(body: Uint8Array): string | undefined {
  const fields = readFormBytes(body, LIMITS.formFieldsMax)
  if (!fields) return undefined
  const pairs = fields.map(([name, value]) => ({ name, value }))
  pairs.sort((a, b) => compareText(a.name, b.name) || compareText(a.value, b.value))
  return pairs
    .filter(({ name, value }, at) => name !== pairs[at - 1]?.name || value !== pairs[at - 1]?.value)
    .map(({ name, value }) => name + value)
    .join('')
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

function linesOf(names: readonly string[], facts: RequestFacts | undefined): string | undefined {
  let text = ''
  for (const name of names) {
    const value = facts?.field(name)
    if (value === undefined || value === null) continue
    if (typeof value !== 'string') return undefined
    text += `${name}\n${value}\n`
  }
  return text
}

const HASHES = { 'hmac-sha256': 'sha256', 'hmac-sha512': 'sha512', 'hmac-sha1': 'sha1' } as const

export type HmacAlgorithm = Extract<SignatureAlgorithm, `hmac-${string}`>

export const isHmac = (algorithm: SignatureAlgorithm): algorithm is HmacAlgorithm =>
  Object.hasOwn(HASHES, algorithm)

export const hmacOf = (
  algorithm: HmacAlgorithm,
  key: KeyObject,
  content: SignedContent,
): Buffer => {
  const mac = createHmac(HASHES[algorithm], key)
  if (content.before !== '') mac.update(content.before)
  mac.update(content.body)
  if (content.after !== '') mac.update(content.after)
  return mac.digest()
}

/** One buffer, because a public-key signature cannot be computed piece by piece. */
export const contentBytes = (content: SignedContent): Uint8Array =>
  Buffer.concat([Buffer.from(content.before), content.body, Buffer.from(content.after)])

export const encodeSignature = (bytes: Buffer, encoding: SignatureVersion['encoding']): string =>
  bytes.toString(encoding)

/**
 * Whether an id may be part of signed content: visible ASCII without a comma, and without the
 * characters that separate it from its neighbours, so that no byte can move between them (W11).
 */
export const isMessageId = (id: string, excludes: string): boolean => {
  if (id.length === 0 || id.length > LIMITS.messageIdCharsMax) return false
  for (let index = 0; index < id.length; index++) {
    const code = id.charCodeAt(index)
    if (code <= 0x20 || code >= 0x7f || code === 0x2c) return false
    if (excludes !== '' && excludes.includes(id.charAt(index))) return false
  }
  return true
}

/**
 * The number, or undefined for anything but its one canonical way to write it: no sign, space,
 * fraction, exponent or leading zero, which libraries read differently (W3).
 */
export const readTimestamp = (text: string): number | undefined => {
  if (text.length === 0 || text.length > TIMESTAMP_DIGITS_MAX) return undefined
  let value = 0
  for (let index = 0; index < text.length; index++) {
    const digit = text.charCodeAt(index) - 0x30
    if (digit < 0 || digit > 9) return undefined
    value = value * 10 + digit
  }
  return text.length > 1 && text.startsWith('0') ? undefined : value
}

/** Milliseconds of the year 33658; every such number is exact. */
const TIMESTAMP_DIGITS_MAX = 15

const RFC3339 =
  /^(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(\.\d{1,9})?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/

/** The milliseconds of a time with a zone; undefined for any other text. */
export const readRfc3339 = (text: string): number | undefined => {
  const found = RFC3339.exec(text)
  if (!found) return undefined
  const [, seconds = '', fraction = '', zone = ''] = found
  // Some write nanoseconds; beyond milliseconds nothing is compared.
  const ms = Date.parse(`${seconds}${fraction.slice(0, 4)}${zone}`)
  return Number.isNaN(ms) ? undefined : ms
}
