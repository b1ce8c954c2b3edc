import { createPrivateKey, createPublicKey, createSecretKey, type KeyObject } from 'node:crypto'
import type { SecretForm, SignatureAlgorithm, SignedScheme } from '../contract/index.ts'
import { JuncturaError } from '../kernel/index.ts'

/**
 * A secret made ready for use once, at start. Key objects print and serialise as empty, so a key
 * that ends up in a log shows nothing.
 */
export type SigningKey = HmacKey | Ed25519Key

export interface HmacKey {
  readonly use: 'hmac'
  readonly key: KeyObject
  /** Where it came from, such as `ACME_WEBHOOK_SECRET`; never the value. */
  readonly source: string
}

export interface Ed25519Key {
  readonly use: 'ed25519'
  readonly publicKey: KeyObject
  /** Present only where we sign. */
  readonly privateKey?: KeyObject
  readonly source: string
}

/** What of a scheme says how its secrets are read. */
export type KeyForms = Pick<SignedScheme, 'name' | 'secretForms' | 'secretBytesMin'>

export interface SigningKeyInput {
  readonly scheme: KeyForms
  readonly text: string
  readonly source: string
}

/**
 * Reads one secret as its scheme says.
 *
 * @throws JUNCTURA_SECRET_INVALID when it is not of the scheme's form.
 * @throws JUNCTURA_SECRET_WEAK when it is shorter than the scheme allows.
 */
export const createSigningKey = (input: SigningKeyInput): SigningKey => {
  const { scheme, text, source } = input
  const form = scheme.secretForms.find((each) => text.startsWith(each.prefix))
  const bytes = form && decodeSecret(form, text)
  if (!form || !bytes) throw invalid(input, 'it is not encoded as the scheme expects')
  if (form.use !== 'hmac') return createEd25519Key(input, form.use, bytes)
  if (bytes.length < scheme.secretBytesMin) {
    throw new JuncturaError('JUNCTURA_SECRET_WEAK', {
      details: {
        source,
        scheme: scheme.name,
        bytes: bytes.length,
        bytesMin: scheme.secretBytesMin,
      },
    })
  }
  return { use: 'hmac', key: createSecretKey(bytes), source }
}

/**
 * Whether a key may be used with an algorithm. A public key never becomes the key of an HMAC, so
 * knowing it does not let anyone sign (F116).
 */
export const fitsAlgorithm = (key: SigningKey, algorithm: SignatureAlgorithm): boolean =>
  (key.use === 'ed25519') === (algorithm === 'ed25519')

/** A private key from its 32 bytes of seed. */
export const ed25519PrivateKey = (seed: Uint8Array): KeyObject =>
  createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' })

/** The 32 bytes of the public key. */
export const ed25519PublicBytes = (key: KeyObject): Uint8Array =>
  createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(SPKI_PREFIX.length)

// The wrapping that Node needs around the 32 bytes of a key (RFC 8410, sections 4 and 7).
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')
const KEY_BYTES = 32

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/
/** RFC 6750 section 2.1, `b64token`. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/
const HEX = /^(?:[0-9a-fA-F]{2})*$/

function decodeSecret(form: SecretForm, text: string): Uint8Array | undefined {
  const value = text.slice(form.prefix.length)
  if (value === '') return undefined
  if (form.encoding === 'verbatim') return Buffer.from(text, 'utf8')
  if (form.encoding === 'token') return TOKEN.test(text) ? Buffer.from(text, 'utf8') : undefined
  const pattern = form.encoding === 'hex' ? HEX : BASE64
  return pattern.test(value) ? Buffer.from(value, form.encoding) : undefined
}

/** Private keys come as the seed alone, or as the seed followed by the public key. */
function createEd25519Key(
  input: SigningKeyInput,
  use: 'ed25519-public' | 'ed25519-private',
  bytes: Uint8Array,
): Ed25519Key {
  const { source } = input
  if (use === 'ed25519-public') {
    if (bytes.length !== KEY_BYTES) throw invalid(input, 'an ed25519 public key has 32 bytes')
    return { use: 'ed25519', publicKey: publicKeyOf(bytes), source }
  }
  if (bytes.length !== KEY_BYTES && bytes.length !== 2 * KEY_BYTES) {
    throw invalid(input, 'an ed25519 private key has 32 or 64 bytes')
  }
  const privateKey = ed25519PrivateKey(bytes.subarray(0, KEY_BYTES))
  const publicKey = createPublicKey(privateKey)
  const given = bytes.subarray(KEY_BYTES)
  if (given.length > 0 && !publicKey.equals(publicKeyOf(given))) {
    throw invalid(input, 'its public half does not belong to its private half')
  }
  return { use: 'ed25519', publicKey, privateKey, source }
}

function publicKeyOf(bytes: Uint8Array): KeyObject {
  return createPublicKey({
    key: Buffer.concat([SPKI_PREFIX, bytes]),
    format: 'der',
    type: 'spki',
  })
}

function invalid(input: SigningKeyInput, problem: string): JuncturaError {
  const { source, scheme } = input
  return new JuncturaError('JUNCTURA_SECRET_INVALID', {
    details: { source, scheme: scheme.name, problem },
  })
}
