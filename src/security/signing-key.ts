import { createPrivateKey, createPublicKey, createSecretKey, type KeyObject } from 'node:crypto'
import type {
  SecretForm,
  SignatureAlgorithm,
  SignatureVersion,
  SignedScheme,
} from '../contract/index.ts'
import { JuncturaError } from '../kernel/index.ts'

/**
 * A secret made ready for use once, at start. Key objects print and serialise as empty, so a key
 * that ends up in a log shows nothing.
 */
export type SigningKey = HmacKey | PublicSigningKey | HandshakeKey

export interface HmacKey {
  readonly use: 'hmac'
  readonly key: KeyObject
  /** Where it came from, such as `ACME_WEBHOOK_SECRET`; never the value. */
  readonly source: string
}

export interface PublicSigningKey {
  readonly use: 'ed25519' | 'ecdsa-p256' | 'rsa'
  readonly publicKey: KeyObject
  /** Present only where we sign. */
  readonly privateKey?: KeyObject
  readonly source: string
}

/** What a sender shows when it subscribes; it verifies and signs nothing. */
export interface HandshakeKey {
  readonly use: 'handshake'
  readonly key: KeyObject
  readonly source: string
}

/** What of a scheme says how its secrets are read. */
export type KeyForms = Pick<SignedScheme, 'name' | 'secretForms' | 'secretBytesMin'> & {
  /** A public key must be of a kind that one of them takes. @default any kind */
  readonly versions?: readonly Pick<SignatureVersion, 'algorithm'>[]
}

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
  if (form?.use === 'public-key' || form?.use === 'private-key') return createPairKey(input, form)
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

/** The token that a sender shows when it subscribes. */
export const createHandshakeKey = (text: string, source: string): HandshakeKey => ({
  use: 'handshake',
  key: createSecretKey(Buffer.from(text, 'utf8')),
  source,
})

const USES: Readonly<Record<SignatureAlgorithm, SigningKey['use']>> = {
  'hmac-sha256': 'hmac',
  'hmac-sha512': 'hmac',
  'hmac-sha1': 'hmac',
  ed25519: 'ed25519',
  'ecdsa-p256-sha256': 'ecdsa-p256',
  'rsa-pss-sha512': 'rsa',
  'rsa-sha256': 'rsa',
}

/**
 * Whether a key may be used with an algorithm. A public key never becomes the key of an HMAC, so
 * knowing it does not let anyone sign (F116).
 */
export const fitsAlgorithm = (key: SigningKey, algorithm: SignatureAlgorithm): boolean =>
  key.use === USES[algorithm] && (key.use !== 'rsa' || fitsRsa(key, algorithm))

/** OpenSSL throws where a key that is for PSS alone is used in a way that its parameters forbid. */
function fitsRsa({ publicKey }: PublicSigningKey, algorithm: SignatureAlgorithm): boolean {
  if (publicKey.asymmetricKeyType !== 'rsa-pss') return true
  if (algorithm !== 'rsa-pss-sha512') return false
  const { hashAlgorithm, mgf1HashAlgorithm, saltLength } = publicKey.asymmetricKeyDetails ?? {}
  const hashes = [hashAlgorithm, mgf1HashAlgorithm]
  return hashes.every((one) => (one ?? 'sha512') === 'sha512') && (saltLength ?? 0) <= SALT_BYTES
}

/** As long as the hash, which RFC 9421 section 3.3.1 fixes. */
const SALT_BYTES = 64

/**
 * A key of whoever signed, from its certificate or public key in PEM or DER.
 *
 * @throws JUNCTURA_SECRET_INVALID when it is none, too weak, or of a kind the scheme does not take.
 */
export const createPublicSigningKey = (
  input: Omit<SigningKeyInput, 'text'>,
  publicKey: KeyObject,
): PublicSigningKey => {
  const use = useOf(publicKey)
  if (!use) {
    throw invalid(input, 'a public key is Ed25519, on the curve P-256, or RSA of 2048 bits or more')
  }
  const key = { use, publicKey, source: input.source } as const
  const { versions } = input.scheme
  if (versions && !versions.some(({ algorithm }) => fitsAlgorithm(key, algorithm))) {
    throw invalid(input, `a key of the kind ${use} does not fit the scheme`)
  }
  return key
}

const RSA_BITS_MIN = 2_048

function useOf(key: KeyObject): PublicSigningKey['use'] | undefined {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (type === 'ed25519') return 'ed25519'
  if (type === 'ec') return details?.namedCurve === 'prime256v1' ? 'ecdsa-p256' : undefined
  const isRsa = type === 'rsa' || type === 'rsa-pss'
  return isRsa && (details?.modulusLength ?? 0) >= RSA_BITS_MIN ? 'rsa' : undefined
}

function createPairKey(input: SigningKeyInput, form: SecretForm): PublicSigningKey {
  // A variable often holds the line ends of a PEM block as two characters.
  const pem = input.text.replaceAll('\\n', '\n')
  try {
    if (form.use === 'private-key') {
      const privateKey = createPrivateKey(pem)
      return { ...createPublicSigningKey(input, createPublicKey(privateKey)), privateKey }
    }
    const der = form.encoding === 'pem' ? undefined : decodeSecret(form, input.text)
    const publicKey = createPublicKey(
      der ? { key: Buffer.from(der), format: 'der', type: 'spki' } : pem,
    )
    return createPublicSigningKey(input, publicKey)
  } catch (cause) {
    if (cause instanceof JuncturaError) throw cause
    // The reason that OpenSSL gives names no part of the key, and helps nobody.
    throw invalid(input, 'it is no key in PEM, and no SPKI in base64')
  }
}

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
  if (form.encoding === 'pem') return undefined
  const pattern = form.encoding === 'hex' ? HEX : BASE64
  return pattern.test(value) ? Buffer.from(value, form.encoding) : undefined
}

/** Private keys come as the seed alone, or as the seed followed by the public key. */
function createEd25519Key(
  input: SigningKeyInput,
  use: 'ed25519-public' | 'ed25519-private',
  bytes: Uint8Array,
): PublicSigningKey {
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

function invalid(input: Omit<SigningKeyInput, 'text'>, problem: string): JuncturaError {
  const { source, scheme } = input
  return new JuncturaError('JUNCTURA_SECRET_INVALID', {
    details: { source, scheme: scheme.name, problem },
  })
}
