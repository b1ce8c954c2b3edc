import { timingSafeEqual, verify } from 'node:crypto'
import type {
  BearerScheme,
  SignatureScheme,
  SignatureVersion,
  SignedScheme,
} from '../contract/index.ts'
import { LIMITS } from '../kernel/index.ts'
import { checkBearerToken, hashToken, type TokenHash } from './bearer-token.ts'
import {
  type Claim,
  type ClaimedSignature,
  type HeaderLookup,
  readClaim,
  type RefusalReason,
} from './signature-claim.ts'
import { contentBytes, hmacOf, type SignedContent, signedContent } from './signed-content.ts'
import { fitsAlgorithm, type SigningKey } from './signing-key.ts'

export interface VerificationInput {
  readonly scheme: SignatureScheme
  /** Every key that is valid now, the newest first; none refuses every request. */
  readonly keys: readonly SigningKey[]
  readonly headers: HeaderLookup
  /** The bytes as they came over the wire, after any content encoding the sender did not sign. */
  readonly body: Uint8Array
  readonly nowMs: number
}

export type VerificationResult = Verified | Refused

export interface Verified {
  readonly ok: true
  readonly scheme: string
  /** Index of the key that fits; absent for an unsigned scheme. */
  readonly keyIndex?: number
  readonly messageId?: string
  /** False where whoever replays the request may change its id: then the body is the key too. */
  readonly messageIdSigned: boolean
  readonly timestampMs?: number
  /** Our clock minus the sender's; positive is in the past. */
  readonly skewMs?: number
}

export interface Refused {
  readonly ok: false
  readonly scheme: string
  /** For logs and counters. The sender is told the same thing for every reason (F110). */
  readonly reason: RefusalReason
  /** Only when the signature fits, because anyone can claim a time. */
  readonly skewMs?: number
}

/**
 * Decides whether a request comes from who holds the secret. Never throws: whatever a stranger
 * sends is a result. The signature is checked before the timestamp, so "too old" is said only of
 * genuine requests.
 *
 * Both edges of the tolerance are included, in the unit of the sender's clock.
 *
 * @see FAULTS F110 to F117
 */
export const verifySignature = (input: VerificationInput): VerificationResult => {
  const { scheme, keys, body } = input
  if (scheme.kind === 'unsigned') return { ok: true, scheme: scheme.name, messageIdSigned: false }
  if (keys.length === 0) return refused(scheme, 'no-secret')
  if (scheme.kind === 'bearer') return verifyToken(input, scheme)
  const claim = readClaim(scheme, input.headers)
  if (typeof claim === 'string') return refused(scheme, claim)
  // Text in place of bytes would be signed as another encoding of itself (W2).
  if (!(body instanceof Uint8Array)) return refused(scheme, 'malformed')
  const content = signedContent({
    signed: scheme.signed,
    messageId: claim.messageId ?? '',
    timestamp: claim.timestamp ?? '',
    body,
  })
  const keyIndex = findKey({ scheme, keys, signatures: claim.signatures, content })
  if (keyIndex < 0) return refused(scheme, 'mismatch')
  return checkAge(input, scheme, { claim, keyIndex })
}

/** Who shows one of the tokens is believed, whatever the body is. */
function verifyToken(
  { keys, headers }: VerificationInput,
  scheme: BearerScheme,
): VerificationResult {
  const authorization = headers('authorization')
  const check = checkBearerToken({ authorization, tokenHashes: keys.map(tokenHashOf) })
  if (check.ok) {
    return { ok: true, scheme: scheme.name, keyIndex: check.tokenIndex, messageIdSigned: true }
  }
  if (check.reason === 'missing') return refused(scheme, 'missing-header')
  const isRepeated = authorization !== undefined && typeof authorization !== 'string'
  return refused(scheme, isRepeated ? 'repeated-header' : check.reason)
}

const tokenHashOf = (key: SigningKey): TokenHash =>
  key.use === 'hmac' ? hashToken(key.key.export().toString('utf8')) : ''

interface SignatureSearch {
  readonly scheme: SignedScheme
  readonly keys: readonly SigningKey[]
  readonly signatures: readonly ClaimedSignature[]
  readonly content: SignedContent
}

/** Compares each key's signature with the claimed ones; each hash is computed once per key (W4). */
function findKey(search: SignatureSearch): number {
  const { scheme, keys } = search
  let publicKeyChecks = 0
  for (let keyIndex = 0; keyIndex < keys.length; keyIndex++) {
    const key = keys[keyIndex]
    if (!key) continue
    for (const version of scheme.versions) {
      if (!fitsAlgorithm(key, version.algorithm)) continue
      const claimed = search.signatures.filter((each) => each.label === version.label)
      if (claimed.length === 0) continue
      if (key.use === 'ed25519') {
        const allowed = claimed.slice(0, LIMITS.publicKeyChecksMax - publicKeyChecks)
        publicKeyChecks += allowed.length
        if (fitsPublicKey(key, version, { claimed: allowed, content: search.content })) {
          return keyIndex
        }
      } else if (fitsHmac(key, version, { claimed, content: search.content })) return keyIndex
    }
  }
  return -1
}

interface Candidates {
  readonly claimed: readonly ClaimedSignature[]
  readonly content: SignedContent
}

function fitsHmac(
  key: SigningKey & { readonly use: 'hmac' },
  version: SignatureVersion,
  candidates: Candidates,
): boolean {
  if (version.algorithm === 'ed25519') return false
  const mac = hmacOf(version.algorithm, key.key, candidates.content)
  // Compared as text: a lenient decoder would take several spellings of one signature.
  const expected = Buffer.from(mac.toString(version.encoding))
  for (const { text } of candidates.claimed) {
    const given = Buffer.from(version.encoding === 'hex' ? lowerAscii(text) : text)
    // In constant time, and only for equal lengths, since it throws on others (F110, W5).
    if (given.length === expected.length && timingSafeEqual(given, expected)) return true
  }
  return false
}

function fitsPublicKey(
  key: SigningKey & { readonly use: 'ed25519' },
  version: SignatureVersion,
  candidates: Candidates,
): boolean {
  if (candidates.claimed.length === 0) return false
  const signed = contentBytes(candidates.content)
  return candidates.claimed.some(({ text }) => {
    const signature = Buffer.from(text, version.encoding)
    if (signature.length !== ED25519_SIGNATURE_BYTES) return false
    const canonical = signature.toString(version.encoding)
    if (canonical !== (version.encoding === 'hex' ? lowerAscii(text) : text)) return false
    return verify(null, signed, key.publicKey, signature)
  })
}

const ED25519_SIGNATURE_BYTES = 64

/** `toLowerCase` would also turn the Kelvin sign into a k. */
const lowerAscii = (text: string): string =>
  /[A-F]/.test(text) ? text.replace(/[A-F]/g, (letter) => letter.toLowerCase()) : text

function checkAge(
  input: VerificationInput,
  scheme: SignedScheme,
  found: { readonly claim: Claim; readonly keyIndex: number },
): VerificationResult {
  const { messageId, timestampMs } = found.claim
  const verified = {
    ok: true,
    scheme: scheme.name,
    keyIndex: found.keyIndex,
    ...(messageId === undefined ? {} : { messageId }),
    messageIdSigned: scheme.messageId === 'signed',
  } as const
  if (timestampMs === undefined) return verified
  const unitMs = scheme.timestampUnit === 'ms' ? 1 : 1_000
  const skewMs = Math.floor(input.nowMs / unitMs) * unitMs - timestampMs
  // Written so that a clock that is not a number refuses.
  if (!(skewMs <= scheme.tolerance.pastMs)) return { ...refused(scheme, 'too-old'), skewMs }
  if (!(-skewMs <= scheme.tolerance.futureMs)) return { ...refused(scheme, 'too-new'), skewMs }
  return { ...verified, timestampMs, skewMs }
}

const refused = (scheme: Pick<SignedScheme, 'name'>, reason: RefusalReason): Refused => ({
  ok: false,
  scheme: scheme.name,
  reason,
})
