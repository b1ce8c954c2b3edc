import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import {
  schemes,
  secret,
  type SignatureAlgorithm,
  type SignatureScheme,
  VENDOR_SCHEMES,
} from '../contract/index.ts'
import { utf8 } from '../kernel/index.ts'
import {
  createSigningKey,
  ed25519PrivateKey,
  ed25519PublicBytes,
  type SigningKey,
} from './signing-key.ts'

const from = secret.env('PARTNER_SECRET')
const PUBLIC_URL = 'https://hooks.example.com/in/partner'
export const PATH = '/hook'

/** One scheme with keys of two senders, whose private halves are known. */
export interface TriedScheme {
  readonly name: string
  readonly scheme: SignatureScheme
  /** Each signs and verifies. */
  readonly keys: readonly [SigningKey, SigningKey]
  readonly body: Uint8Array
  readonly mediaType: string
}

const pairs = new Map<string, readonly KeyObject[]>()

/** Two private keys of a kind; RSA takes long to make, so they are made once. */
function privateKeys(algorithm: SignatureAlgorithm): readonly KeyObject[] {
  const kind = algorithm.startsWith('rsa') ? 'rsa' : algorithm
  const known = pairs.get(kind)
  if (known) return known
  const make = (): KeyObject => {
    if (kind === 'rsa') return generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey
    return kind === 'ed25519'
      ? generateKeyPairSync('ed25519').privateKey
      : generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  }
  const made = [make(), make()]
  pairs.set(kind, made)
  return made
}

/** Two keys of a scheme's own form. */
function twoKeys(scheme: SignatureScheme): readonly [SigningKey, SigningKey] {
  const make = (n: number): SigningKey => {
    if (scheme.kind === 'unsigned') throw new Error('An unsigned scheme has no keys.')
    const source = `key ${n}`
    const algorithm = scheme.kind === 'bearer' ? 'hmac-sha256' : scheme.versions[0]?.algorithm
    const form = scheme.secretForms.find(({ use }) =>
      algorithm?.startsWith('hmac') ? use === 'hmac' : use !== 'hmac',
    )
    const bytes = Buffer.alloc(32, n)
    if (!form || form.use === 'hmac') {
      const text =
        (form?.prefix ?? '') + bytes.toString(form?.encoding === 'base64' ? 'base64' : 'hex')
      return createSigningKey({ scheme, text, source })
    }
    if (form.use === 'ed25519-public') {
      const privateKey = ed25519PrivateKey(bytes)
      const text = Buffer.from(ed25519PublicBytes(privateKey)).toString(
        form.encoding === 'hex' ? 'hex' : 'base64',
      )
      const key = createSigningKey({ scheme, text, source })
      return 'publicKey' in key ? { ...key, privateKey } : key
    }
    const privateKey = privateKeys(algorithm ?? 'rsa-sha256')[n - 1]
    const pem = privateKey?.export({ format: 'pem', type: 'pkcs8' }).toString() ?? ''
    return createSigningKey({ scheme: { ...scheme, secretForms: PRIVATE }, text: pem, source })
  }
  return [make(1), make(2)]
}

const PRIVATE = [{ prefix: '-----BEGIN', encoding: 'pem', use: 'private-key' }] as const

const ADYEN = {
  live: 'false',
  notificationItems: [
    {
      NotificationRequestItem: {
        pspReference: 'psp-1',
        merchantAccountCode: 'Shop',
        merchantReference: 'order-1',
        amount: { currency: 'EUR', value: 1000 },
        eventCode: 'AUTHORISATION',
        success: 'true',
      },
    },
  ],
}

const SNS = {
  Type: 'Notification',
  Message: 'Order 1 was paid',
  Subject: 'orders',
  TopicArn: 'arn:aws:sns:eu-west-1:123456789012:orders',
  SignatureVersion: '2',
}

const BODIES: Readonly<Record<string, unknown>> = { adyen: ADYEN, sns: SNS }

/** Every scheme that is known by name, and HTTP Message Signatures with each algorithm. */
export const triedSchemes = (): readonly TriedScheme[] => {
  const named = Object.keys(VENDOR_SCHEMES).map((name): TriedScheme => {
    const scheme = makeScheme(name)
    const isForm = name === 'twilio'
    const body = isForm
      ? 'From=%2B15550100&Body=hi+there'
      : JSON.stringify(BODIES[name] ?? { n: 1 })
    return {
      name,
      scheme,
      keys: twoKeys(scheme),
      body: utf8(body),
      mediaType: isForm ? 'application/x-www-form-urlencoded' : 'application/json',
    }
  })
  const algorithms = ['hmac-sha256', 'ed25519', 'ecdsa-p256-sha256', 'rsa-pss-sha512'] as const
  const messages = algorithms.map((algorithm): TriedScheme => {
    const scheme = schemes.httpMessageSignatures({
      secret: from,
      publicUrl: PUBLIC_URL,
      algorithms: [algorithm],
      id: { header: 'idempotency-key' },
    })
    const mediaType = 'application/json'
    return {
      name: `http-message ${algorithm}`,
      scheme,
      keys: twoKeys(scheme),
      body: utf8('{"n":1}'),
      mediaType,
    }
  })
  return [...named, ...messages]
}

function makeScheme(name: string): SignatureScheme {
  const options = { secret: from, publicUrl: PUBLIC_URL }
  switch (name) {
    case 'meta':
      return schemes.meta({ secret: from, verifyToken: secret.env('VERIFY_TOKEN') })
    case 'paypal':
      return schemes.paypal({ secret: from, webhookId: '8PT597110X687430LKGECATA' })
    default: {
      const make: unknown = Reflect.get(schemes, name)
      if (typeof make !== 'function') throw new Error(`There is no scheme ${name}.`)
      return make(options)
    }
  }
}
