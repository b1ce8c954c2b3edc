import { createHash, timingSafeEqual } from 'node:crypto'
import { LIMITS, type Random } from '../kernel/index.ts'

/** What is kept of a token: its SHA-256 in hexadecimal; enough for 256 random bits. */
export type TokenHash = string

export type TokenCheck =
  | { readonly ok: true; readonly tokenIndex: number }
  | { readonly ok: false; readonly reason: 'missing' | 'malformed' | 'mismatch' }

export interface TokenCheckInput {
  /** The value of the `authorization` header. */
  readonly authorization: string | readonly string[] | undefined
  /** The tokens that are valid now; none refuses everyone. */
  readonly tokenHashes: readonly TokenHash[]
  /** The token alone, without `Bearer`. @default false */
  readonly isBare?: boolean
}

export const hashToken = (token: string): TokenHash =>
  createHash('sha256').update(token, 'utf8').digest('hex')

/** A fresh token of 256 random bits, safe in headers and URLs. */
export const generateToken = (random: Random): string =>
  `jt_${Buffer.from(random.bytes(32)).toString('base64url')}`

/**
 * Checks `Authorization: Bearer …` in constant time: hashes are compared, all of them, so neither
 * the place of the first wrong character nor which token fits can be measured. Never throws.
 *
 * @see RFC 6750 section 2.1; the scheme's name is read in any case (RFC 9110 section 11.1).
 */
export const checkBearerToken = (input: TokenCheckInput): TokenCheck => {
  const { authorization } = input
  if (authorization === undefined || authorization.length === 0) {
    return { ok: false, reason: 'missing' }
  }
  if (typeof authorization !== 'string' || authorization.length > LIMITS.tokenCharsMax) {
    return { ok: false, reason: 'malformed' }
  }
  const token = (input.isBare ? BARE : BEARER).exec(authorization)?.[1]
  if (token === undefined) return { ok: false, reason: 'malformed' }
  const given = Buffer.from(hashToken(token))
  let tokenIndex = -1
  input.tokenHashes.forEach((hash, index) => {
    const expected = Buffer.from(hash)
    if (expected.length === given.length && timingSafeEqual(expected, given)) tokenIndex = index
  })
  return tokenIndex < 0 ? { ok: false, reason: 'mismatch' } : { ok: true, tokenIndex }
}

const BARE = /^([A-Za-z0-9._~+/-]+=*)$/
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i
