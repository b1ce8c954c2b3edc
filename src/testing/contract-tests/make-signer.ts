import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { BearerScheme, SecretForm, SignedScheme } from '../../contract/index.ts'
import type { Random } from '../../kernel/index.ts'
import {
  createPublicSigningKey,
  createSigningKey,
  ed25519PrivateKey,
  ed25519PublicBytes,
  type SigningKey,
} from '../../security/index.ts'

/** A secret as the receiver has it, and the key that a partner makes of it. */
export interface Signer {
  readonly text: string
  readonly key: SigningKey
}

const SECRET_BYTES = 32
const SOURCE = 'contract-tests'

/** A secret of the scheme's own form; for a public key, a pair whose private half signs. */
export const makeSigner = (scheme: SignedScheme | BearerScheme, random: Random): Signer => {
  const signsByHash =
    scheme.kind === 'bearer' ||
    scheme.versions.some(({ algorithm }) => algorithm.startsWith('hmac'))
  const form = scheme.secretForms.find(({ use, encoding }) =>
    signsByHash ? use === 'hmac' : use !== 'hmac' && encoding !== 'pem',
  )
  if (form && scheme.kind === 'signed' && form.use === 'public-key') return makePair(scheme)
  const bytes = random.bytes(Math.max(SECRET_BYTES, scheme.secretBytesMin))
  if (!form || form.use === 'hmac') {
    const encoding = form?.encoding === 'base64' ? 'base64' : 'hex'
    const text = `${form?.prefix ?? ''}${Buffer.from(bytes).toString(encoding)}`
    return { text, key: createSigningKey({ scheme, text, source: SOURCE }) }
  }
  return makeEd25519(scheme, form, bytes.slice(0, SECRET_BYTES))
}

function makeEd25519(
  scheme: SignedScheme | BearerScheme,
  form: SecretForm,
  seed: Uint8Array,
): Signer {
  const privateKey = ed25519PrivateKey(seed)
  const written = form.use === 'ed25519-public' ? ed25519PublicBytes(privateKey) : seed
  const encoding = form.encoding === 'base64' ? 'base64' : 'hex'
  const text = `${form.prefix}${Buffer.from(written).toString(encoding)}`
  const read = createSigningKey({ scheme, text, source: SOURCE })
  // The receiver may know only the public half; the partner has both.
  return { text, key: 'publicKey' in read ? { ...read, privateKey } : read }
}

/** A pair of the kind that the scheme takes. */
function makePair(scheme: SignedScheme): Signer {
  const { publicKey, privateKey } = generatePair(scheme.versions[0]?.algorithm)
  const text = publicKey.export({ format: 'der', type: 'spki' }).toString('base64')
  const key = createPublicSigningKey({ scheme, source: SOURCE }, publicKey)
  return { text, key: { ...key, privateKey } }
}

function generatePair(algorithm: string | undefined): {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
} {
  if (algorithm === 'ed25519') return generateKeyPairSync('ed25519')
  return algorithm === 'ecdsa-p256-sha256'
    ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
    : generateKeyPairSync('rsa', { modulusLength: 2_048 })
}
