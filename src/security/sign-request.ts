import { sign } from 'node:crypto'
import type { SignatureScheme, SignatureVersion, SignedScheme } from '../contract/index.ts'
import { JuncturaError, LIMITS, must } from '../kernel/index.ts'
import {
  contentBytes,
  encodeSignature,
  hmacOf,
  isMessageId,
  type SignedContent,
  signedContent,
} from './signed-content.ts'
import { fitsAlgorithm, type SigningKey } from './signing-key.ts'

export interface SignRequestInput {
  readonly scheme: SignatureScheme
  /** Where a header holds several signatures, each key adds one; otherwise the first one signs. */
  readonly keys: readonly SigningKey[]
  readonly messageId: string
  readonly timestampMs: number
  /** The very bytes that will be sent. */
  readonly body: Uint8Array
  /**
   * Which of the scheme's header families to write.
   *
   * @default 0
   */
  readonly family?: number
}

/**
 * The headers that make a request genuine under a scheme; none under an unsigned one.
 *
 * @throws JUNCTURA_USAGE when no key can sign, or the id or time cannot be written in the scheme.
 */
export const signRequest = (input: SignRequestInput): Readonly<Record<string, string>> => {
  const { scheme } = input
  if (scheme.kind === 'unsigned') return {}
  if (scheme.kind === 'bearer') return { authorization: `Bearer ${tokenOf(input.keys)}` }
  const family = scheme.headers[input.family ?? 0]
  if (!family) throw usage(`${scheme.name} has no header family ${input.family}`)
  if (scheme.messageId !== 'none' && !isMessageId(input.messageId, scheme.messageIdExcludes)) {
    throw usage(`${scheme.name} cannot carry this message id`)
  }
  const unitMs = scheme.timestampUnit === 'ms' ? 1 : 1_000
  const timestamp = Math.floor(input.timestampMs / unitMs)
  if (!Number.isSafeInteger(timestamp) || timestamp < 0) throw usage('The time cannot be written')
  const content = signedContent({
    signed: scheme.signed,
    messageId: input.messageId,
    timestamp: String(timestamp),
    body: input.body,
  })
  const signatures = signAll(scheme, input.keys, content)
  if (signatures.length === 0) {
    throw usage(`There is no key that can sign for ${scheme.name}; a public key only verifies`)
  }
  return {
    [family.signature]: formatSignatures(scheme, signatures, timestamp),
    ...(family.timestamp === undefined ? {} : { [family.timestamp]: String(timestamp) }),
    ...(family.id === undefined ? {} : { [family.id]: input.messageId }),
  }
}

function tokenOf([key]: readonly SigningKey[]): string {
  if (key?.use === 'hmac') return key.key.export().toString('utf8')
  throw usage('There is no token that could be sent')
}

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
  if (key.use === 'hmac') {
    if (version.algorithm === 'ed25519') return undefined
    return encodeSignature(hmacOf(version.algorithm, key.key, content), version.encoding)
  }
  if (!key.privateKey) return undefined
  return encodeSignature(sign(null, contentBytes(content), key.privateKey), version.encoding)
}

function formatSignatures(
  scheme: SignedScheme,
  signatures: readonly LabelledSignature[],
  timestamp: number,
): string {
  const { format } = scheme
  if (format.kind === 'single') {
    return format.prefix + must(signatures[0], 'there is a signature to write').text
  }
  if (format.kind === 'space-list') {
    return signatures.map(({ label, text }) => `${label},${text}`).join(' ')
  }
  const { timestampField } = format
  const time = timestampField === undefined ? [] : [`${timestampField}=${timestamp}`]
  return [...time, ...signatures.map(({ label, text }) => `${label}=${text}`)].join(',')
}

const usage = (problem: string): JuncturaError =>
  new JuncturaError('JUNCTURA_USAGE', { details: { problem } })
