import { constants, hash, timingSafeEqual, verify } from 'node:crypto'
import type {
  BearerScheme,
  SignatureScheme,
  SignatureVersion,
  SignedScheme,
} from '../contract/index.ts'
import { LIMITS } from '../kernel/index.ts'
import { checkBearerToken, hashToken, type TokenHash } from './bearer-token.ts'
import { type MessageSignature, readMessageClaim } from './message-signature.ts'
import { type RequestFacts, requestFacts, type RequestLine } from './request-facts.ts'
import {
  type Claim,
  type ClaimedSignature,
  type HeaderLookup,
  readClaim,
  type RefusalReason,
} from './signature-claim.ts'
import {
  contentBytes,
  hmacOf,
  isHmac,
  type SignedContent,
  signedContent,
} from './signed-content.ts'
import {
  fitsAlgorithm,
  type HmacKey,
  type PublicSigningKey,
  type SigningKey,
} from './signing-key.ts'

export interface VerificationInput {
  readonly scheme: SignatureScheme
  /** Every key that is valid now, the newest first; none refuses every request. */
  readonly keys: readonly SigningKey[]
  readonly headers: HeaderLookup
  /** The bytes as they came over the wire, after any content encoding the sender did not sign. */
  readonly body: Uint8Array
  /** Where the sender signs the URL or the method. @default a POST of no URL */
  readonly request?: RequestLine
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
  if (!keys.some(isVerifying)) {
    const isFetched = scheme.kind === 'signed' && scheme.certificate !== undefined
    return refused(scheme, isFetched ? 'no-certificate' : 'no-secret')
  }
  if (scheme.kind === 'bearer') return verifyToken(input, scheme)
  // Text in place of bytes would be signed as another encoding of itself (W2).
  if (!(body instanceof Uint8Array)) return refused(scheme, 'malformed')
  const facts = requestFacts(input)
  if (scheme.format.kind === 'http-message') return verifyMessage(input, scheme, facts)
  const claim = readClaim(scheme, input.headers, facts)
  if (typeof claim === 'string') return refused(scheme, claim)
  const content = claimedContent(scheme, claim, facts)
  if (typeof content === 'string') return refused(scheme, content)
  const keyIndex = findKey({ scheme, keys, signatures: claim.signatures, content })
  if (keyIndex < 0) return refused(scheme, 'mismatch')
  return checkAge(input, scheme, { claim, keyIndex })
}

const isVerifying = ({ use }: SigningKey): boolean => use !== 'handshake'

/** The bytes that the sender signed, if it is the one who sent these. */
function claimedContent(
  scheme: SignedScheme,
  claim: Claim,
  facts: RequestFacts,
): SignedContent | RefusalReason {
  const bodyHash = scheme.bodyHashInQuery && readBodyHash(scheme.bodyHashInQuery, facts)
  if (bodyHash === 'repeated') return 'malformed'
  if (bodyHash === 'wrong') return 'mismatch'
  const url = scheme.publicUrl && facts.url(scheme)
  if (scheme.publicUrl && url === undefined) return 'unknown-host'
  const content = signedContent({
    signed: scheme.signed,
    messageId: claim.messageId ?? '',
    timestamp: claim.timestamp ?? '',
    body: facts.body,
    facts,
    ...(url !== undefined && { url }),
    isBodyHashed: bodyHash === 'right',
  })
  return content ?? 'missing-field'
}

/** The hash is under the signature with the URL, and the body under the hash. */
function readBodyHash(name: string, facts: RequestFacts): 'none' | 'repeated' | 'wrong' | 'right' {
  const value = facts.queryValue(name)
  if (value === undefined) return facts.query().includes(name) ? 'repeated' : 'none'
  return lowerAscii(value) === hash('sha256', facts.body, 'hex') ? 'right' : 'wrong'
}

/** Signatures of RFC 9421, each over what it says itself, if the scheme asks for that. */
function verifyMessage(
  input: VerificationInput,
  scheme: SignedScheme,
  facts: RequestFacts,
): VerificationResult {
  const claim = readMessageClaim(scheme, input.headers, facts)
  if (typeof claim === 'string') return refused(scheme, claim)
  const { messageId } = claim
  let checks = 0
  for (const [keyIndex, key] of input.keys.entries()) {
    for (const signature of claim.signatures) {
      if (key.use !== 'hmac' && ++checks > LIMITS.publicKeyChecksMax) break
      if (!fitsMessage(scheme, key, signature)) continue
      const timestampMs = signature.createdMs
      const found = {
        claim: { signatures: [], timestampMs, ...(messageId !== undefined && { messageId }) },
        keyIndex,
      }
      const { expiresMs } = signature
      if (expiresMs !== undefined && !(input.nowMs <= expiresMs)) {
        return { ...refused(scheme, 'too-old'), skewMs: input.nowMs - timestampMs }
      }
      return checkAge(input, scheme, found)
    }
  }
  return refused(scheme, 'mismatch')
}

function fitsMessage(scheme: SignedScheme, key: SigningKey, signature: MessageSignature): boolean {
  const content = { before: signature.base, body: NOTHING, after: '' }
  const claimed = [{ label: '', text: signature.text }]
  return scheme.versions.some((version) => {
    if (!fitsAlgorithm(key, version.algorithm)) return false
    if (signature.algorithm !== undefined && signature.algorithm !== version.label) return false
    return fits(key, version, { claimed, content })
  })
}

const NOTHING = new Uint8Array(0)

/** Who shows one of the tokens is believed, whatever the body is. */
function verifyToken(
  { keys, headers }: VerificationInput,
  scheme: BearerScheme,
): VerificationResult {
  const authorization = headers(scheme.header ?? 'authorization')
  const tokenHashes = keys.map(tokenHashOf)
  const check = checkBearerToken({ authorization, tokenHashes, isBare: scheme.isBare ?? false })
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
      if (key.use !== 'hmac') {
        const allowed = claimed.slice(0, LIMITS.publicKeyChecksMax - publicKeyChecks)
        publicKeyChecks += allowed.length
        if (fits(key, version, { claimed: allowed, content: search.content })) return keyIndex
      } else if (fits(key, version, { claimed, content: search.content })) return keyIndex
    }
  }
  return -1
}

interface Candidates {
  readonly claimed: readonly ClaimedSignature[]
  readonly content: SignedContent
}

const fits = (key: SigningKey, version: SignatureVersion, candidates: Candidates): boolean => {
  if (key.use === 'handshake') return false
  return key.use === 'hmac'
    ? fitsHmac(key, version, candidates)
    : fitsPublicKey(key, version, candidates)
}

function fitsHmac(key: HmacKey, version: SignatureVersion, candidates: Candidates): boolean {
  if (!isHmac(version.algorithm)) return false
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
  key: PublicSigningKey,
  version: SignatureVersion,
  candidates: Candidates,
): boolean {
  if (candidates.claimed.length === 0) return false
  const signed = contentBytes(candidates.content)
  return candidates.claimed.some(({ text }) => {
    const signature = Buffer.from(text, version.encoding)
    const canonical = signature.toString(version.encoding)
    if (canonical !== (version.encoding === 'hex' ? lowerAscii(text) : text)) return false
    return verifyBytes(key, version, { signed, signature })
  })
}

/** A signature of another length is none, and OpenSSL is not asked. */
function verifyBytes(
  { publicKey }: PublicSigningKey,
  { algorithm, ecdsa = 'der' }: SignatureVersion,
  { signed, signature }: { readonly signed: Uint8Array; readonly signature: Uint8Array },
): boolean {
  switch (algorithm) {
    case 'ed25519':
      return signature.length === RAW_SIGNATURE_BYTES && verify(null, signed, publicKey, signature)
    case 'ecdsa-p256-sha256': {
      const isRightLength =
        ecdsa === 'der'
          ? signature.length >= DER_SIGNATURE_BYTES_MIN && signature.length <= DER_SIGNATURE_BYTES
          : signature.length === RAW_SIGNATURE_BYTES
      const key = { key: publicKey, dsaEncoding: ecdsa }
      return isRightLength && verify('sha256', signed, key, signature)
    }
    case 'rsa-pss-sha512': {
      const padding = constants.RSA_PKCS1_PSS_PADDING
      return verify('sha512', signed, { key: publicKey, padding, saltLength: 64 }, signature)
    }
    case 'rsa-sha256': {
      const padding = constants.RSA_PKCS1_PADDING
      return verify('sha256', signed, { key: publicKey, padding }, signature)
    }
    case 'hmac-sha256':
    case 'hmac-sha512':
    case 'hmac-sha1':
      return false
  }
}

/** Of Ed25519, and of P-256 as two numbers side by side. */
const RAW_SIGNATURE_BYTES = 64
/** Two numbers of 1 to 33 bytes, each with two bytes before it, and two before both. */
const DER_SIGNATURE_BYTES_MIN = 8
const DER_SIGNATURE_BYTES = 72

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
  const unitMs = scheme.timestampUnit === 's' ? 1_000 : 1
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
