import { createHmac, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { sign as signGithub, verify as verifyGithub } from '@octokit/webhooks-methods'
import { Webhook as StandardWebhook } from 'standardwebhooks'
import { Stripe } from 'stripe'
import { Webhook as SvixWebhook } from 'svix'
import { describe, expect, test } from 'vitest'
import { github, secret, type SignedScheme, standardWebhooks, stripe } from '../contract/index.ts'
import { createSystemClock, utf8 } from '../kernel/index.ts'
import { generateKeyPair, generateSecret } from './generate-secret.ts'
import { signRequest } from './sign-request.ts'
import type { HeaderLookup } from './signature-claim.ts'
import { createSigningKey, ed25519PrivateKey, ed25519PublicBytes } from './signing-key.ts'
import { type VerificationResult, verifySignature } from './verify-signature.ts'

// The vendors' libraries read the system's clock; what they are handed must be of now.
const NOW_MS = Math.floor(createSystemClock().now() / 1_000) * 1_000
const MESSAGE_ID = 'msg_p5jXN8AQM9LWM0D4loKWxJek'
const STANDARD_SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const STRIPE_SECRET = 'whsec_ZGV2ZWxvcG1lbnQtc3RyaXBlLXNlY3JldA'
const GITHUB_SECRET = "It's a Secret to Everybody"
const from = secret.env('VENDOR_SECRET')

const BODIES = [
  '{"test": 2432232314}',
  '{}',
  '{"total":"12.50","large":9007199254740993,"exponent":1e-7}',
  '{"name":"Zoë \u{1f98a} \u0000","nfd":"Zoe\u0308"}\n',
  ' [1,\t2] ',
] as const

interface Exchange {
  readonly scheme: SignedScheme
  readonly text: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

const lookup =
  (headers: Readonly<Record<string, string>>): HeaderLookup =>
  (name) =>
    headers[name]

const check = (exchange: Exchange): VerificationResult =>
  verifySignature({
    scheme: exchange.scheme,
    keys: [createSigningKey({ scheme: exchange.scheme, text: exchange.text, source: 'test' })],
    headers: lookup(exchange.headers),
    body: exchange.body,
    nowMs: NOW_MS,
  })

const signed = (
  scheme: SignedScheme,
  text: string,
  body: string,
  family = 0,
): Record<string, string> => ({
  ...signRequest({
    scheme,
    keys: [createSigningKey({ scheme, text, source: 'test' })],
    messageId: MESSAGE_ID,
    timestampMs: NOW_MS,
    body: utf8(body),
    family,
  }),
})

describe('Standard Webhooks and its reference library', () => {
  const scheme = standardWebhooks({ secret: from })

  test('the published example is verified', () => {
    const result = verifySignature({
      scheme,
      keys: [createSigningKey({ scheme, text: STANDARD_SECRET, source: 'test' })],
      headers: lookup({
        'webhook-id': MESSAGE_ID,
        'webhook-timestamp': '1614265330',
        'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
      }),
      body: utf8('{"test": 2432232314}'),
      nowMs: 1_614_265_330_000,
    })

    expect(result).toMatchObject({ ok: true, messageId: MESSAGE_ID, keyIndex: 0, skewMs: 0 })
  })

  test.each(BODIES)('what it signs we verify: %j', (body) => {
    const signature = new StandardWebhook(STANDARD_SECRET).sign(MESSAGE_ID, new Date(NOW_MS), body)
    const headers = {
      'webhook-id': MESSAGE_ID,
      'webhook-timestamp': String(NOW_MS / 1_000),
      'webhook-signature': signature,
    }

    expect(check({ scheme, text: STANDARD_SECRET, headers, body: utf8(body) })).toMatchObject({
      ok: true,
      messageId: MESSAGE_ID,
      messageIdSigned: true,
      timestampMs: NOW_MS,
    })
  })

  test.each(BODIES)('what we sign it verifies: %j', (body) => {
    const headers = signed(scheme, STANDARD_SECRET, body)
    const verifier = new StandardWebhook(STANDARD_SECRET)

    expect(() => verifier.verify(body, headers, { jsonParse: false })).not.toThrow()
    headers['webhook-id'] = 'msg_other'
    expect(() => verifier.verify(body, headers, { jsonParse: false })).toThrow('No matching')
  })

  test('a fresh secret of ours is one that it takes', () => {
    const text = generateSecret({
      next: () => 0.5,
      bytes: (length) => new Uint8Array(length).fill(7),
    })
    const headers = signed(scheme, text, '{}')

    expect(() => new StandardWebhook(text).verify('{}', headers)).not.toThrow()
  })

  test('bytes that are no UTF-8 are told apart, where the library takes one for the other (W2)', () => {
    const bytes = (middle: number): Buffer => Buffer.from([0x22, middle, 0x22])
    const asText = new StandardWebhook(STANDARD_SECRET).sign(
      MESSAGE_ID,
      new Date(NOW_MS),
      '"\ufffd"',
    )
    const key = Buffer.from(STANDARD_SECRET.slice('whsec_'.length), 'base64')
    const overBytes = createHmac('sha256', key)
      .update(`${MESSAGE_ID}.${NOW_MS / 1_000}.`)
      .update(bytes(0xff))
      .digest('base64')
    const attempt = (signature: string, middle: number): boolean =>
      check({
        scheme,
        text: STANDARD_SECRET,
        headers: {
          'webhook-id': MESSAGE_ID,
          'webhook-timestamp': String(NOW_MS / 1_000),
          'webhook-signature': signature,
        },
        body: bytes(middle),
      }).ok

    expect(attempt(asText, 0xff)).toBe(false)
    expect(attempt(asText, 0xfe)).toBe(false)
    expect(attempt(`v1,${overBytes}`, 0xff)).toBe(true)
    expect(attempt(`v1,${overBytes}`, 0xfe)).toBe(false)
  })
})

describe('Svix', () => {
  const scheme = standardWebhooks({ secret: from })

  test.each(BODIES)('what it signs we verify under its own headers: %j', (body) => {
    const signature = new SvixWebhook(STANDARD_SECRET).sign(MESSAGE_ID, new Date(NOW_MS), body)
    const headers = {
      'svix-id': MESSAGE_ID,
      'svix-timestamp': String(NOW_MS / 1_000),
      'svix-signature': signature,
    }

    expect(check({ scheme, text: STANDARD_SECRET, headers, body: utf8(body) }).ok).toBe(true)
  })

  test.each([0, 1])('what we sign with header family %i it verifies', (family) => {
    const verifier = new SvixWebhook(STANDARD_SECRET)

    for (const body of BODIES) {
      const headers = signed(scheme, STANDARD_SECRET, body, family)
      expect(() => verifier.verify(body, headers)).not.toThrow()
      expect(() => verifier.verify(`${body} `, headers)).toThrow('No matching')
    }
  })
})

describe('v1a, for which no library exists, against an independent use of ed25519', () => {
  const scheme = standardWebhooks({ secret: from })
  const pair = generateKeyPair({ next: () => 0, bytes: (length) => new Uint8Array(length).fill(9) })
  const rawPrivate = Buffer.from(pair.privateKey.slice(5), 'base64')
  const rawPublic = Buffer.from(pair.publicKey.slice(5), 'base64')
  const jwk = {
    kty: 'OKP',
    crv: 'Ed25519',
    x: rawPublic.toString('base64url'),
    d: rawPrivate.subarray(0, 32).toString('base64url'),
  }
  const content = Buffer.from(`${MESSAGE_ID}.${NOW_MS / 1_000}.{}`)

  test('raw keys are wrapped as the first example of RFC 8032 section 7.1 says', () => {
    const seed = Buffer.from(
      '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
      'hex',
    )

    expect(Buffer.from(ed25519PublicBytes(ed25519PrivateKey(seed))).toString('hex')).toBe(
      'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    )
  })

  test('what it signs we verify with the public key alone', () => {
    const signature = sign(null, content, createPrivateKey({ key: jwk, format: 'jwk' }))
    const headers = {
      'webhook-id': MESSAGE_ID,
      'webhook-timestamp': String(NOW_MS / 1_000),
      'webhook-signature': `v1a,${signature.toString('base64')}`,
    }

    const exchange = { scheme, text: pair.publicKey, headers, body: utf8('{}') }
    expect(check(exchange)).toMatchObject({ ok: true, messageId: MESSAGE_ID })
    expect(check({ ...exchange, body: utf8('{ }') })).toMatchObject({ reason: 'mismatch' })
  })

  test('what we sign it verifies, from the seed alone and from both halves', () => {
    const seedOnly = `whsk_${rawPrivate.subarray(0, 32).toString('base64')}`

    for (const text of [pair.privateKey, seedOnly]) {
      const [label, signature] = (signed(scheme, text, '{}')['webhook-signature'] ?? '').split(',')
      const publicKey = createPublicKey({ key: jwk, format: 'jwk' })
      expect(label).toBe('v1a')
      expect(verify(null, content, publicKey, Buffer.from(signature ?? '', 'base64'))).toBe(true)
    }
  })
})

describe('Stripe and its library', () => {
  const scheme = stripe({ secret: from })
  const { webhooks } = new Stripe('sk_test_unused')

  test.each(BODIES)('what it signs we verify, its secret taken as written (W12): %j', (payload) => {
    const header = webhooks.generateTestHeaderString({
      payload,
      secret: STRIPE_SECRET,
      timestamp: NOW_MS / 1_000,
    })
    const headers = { 'stripe-signature': header }

    expect(check({ scheme, text: STRIPE_SECRET, headers, body: utf8(payload) })).toMatchObject({
      ok: true,
      messageIdSigned: false,
      timestampMs: NOW_MS,
    })
  })

  test.each(['{"test": 2432232314}', '{}', '{"name":"Zoë \u{1f98a}"}'])(
    'what we sign it verifies: %j',
    (body) => {
      const header = signed(scheme, STRIPE_SECRET, body)['stripe-signature'] ?? ''
      const construct = (payload: string): unknown =>
        webhooks.constructEvent(payload, header, STRIPE_SECRET, 300, undefined, NOW_MS)

      expect(construct(body)).toEqual(JSON.parse(body))
      expect(() => construct(`${body} `)).toThrow('No signatures found')
    },
  )

  test('a signature of another label beside it changes nothing (F116)', () => {
    const header = signed(scheme, STRIPE_SECRET, '{}')['stripe-signature'] ?? ''
    const only = (text: string): boolean =>
      check({
        scheme,
        text: STRIPE_SECRET,
        headers: { 'stripe-signature': text },
        body: utf8('{}'),
      }).ok

    expect(
      only(`${header},v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39`),
    ).toBe(true)
    expect(only(header.replace('v1=', 'v0='))).toBe(false)
  })
})

describe('GitHub and its library', () => {
  const scheme = github({ secret: from })

  test('the documented example is verified', () => {
    const headers = {
      'x-hub-signature-256':
        'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17',
      'x-github-delivery': '72d3162e-cc78-11e3-81ab-4c9367dc0958',
    }

    expect(
      check({ scheme, text: GITHUB_SECRET, headers, body: utf8('Hello, World!') }),
    ).toMatchObject({
      ok: true,
      messageId: '72d3162e-cc78-11e3-81ab-4c9367dc0958',
      messageIdSigned: false,
    })
  })

  test.each(BODIES)('what it signs we verify: %j', async (body) => {
    const headers = { 'x-hub-signature-256': await signGithub(GITHUB_SECRET, body) }

    expect(check({ scheme, text: GITHUB_SECRET, headers, body: utf8(body) }).ok).toBe(true)
  })

  test.each(BODIES)('what we sign it verifies: %j', async (body) => {
    const header = signed(scheme, GITHUB_SECRET, body)['x-hub-signature-256'] ?? ''

    expect(await verifyGithub(GITHUB_SECRET, body, header)).toBe(true)
    expect(await verifyGithub(GITHUB_SECRET, `${body} `, header)).toBe(false)
  })
})
