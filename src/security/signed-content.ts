import { createHmac, type KeyObject } from 'node:crypto'
import type { SignatureAlgorithm, SignatureVersion, SignedPart } from '../contract/index.ts'
import { LIMITS } from '../kernel/index.ts'

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
}

/** Fills the template; the body is never turned into text (F111, W2). */
export const signedContent = (input: SignedContentInput): SignedContent => {
  let before = ''
  let text = ''
  for (const part of input.signed) {
    if (part.part === 'body') {
      before = text
      text = ''
    } else if (part.part === 'literal') text += part.text
    else text += part.part === 'id' ? input.messageId : input.timestamp
  }
  return { before, body: input.body, after: text }
}

const HASHES = { 'hmac-sha256': 'sha256', 'hmac-sha512': 'sha512', 'hmac-sha1': 'sha1' } as const

export type HmacAlgorithm = Exclude<SignatureAlgorithm, 'ed25519'>

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
