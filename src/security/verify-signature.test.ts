import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { github, secret, type SignedScheme, standardWebhooks, stripe } from '../contract/index.ts'
import { createSeededRandom, LIMITS, utf8 } from '../kernel/index.ts'
import { generateKeyPair } from './generate-secret.ts'
import { signRequest } from './sign-request.ts'
import { createSigningKey, type SigningKey } from './signing-key.ts'
import {
  type VerificationInput,
  type VerificationResult,
  verifySignature,
} from './verify-signature.ts'

const NOW_MS = 1_735_689_600_000
const NOW = String(NOW_MS / 1_000)
const MESSAGE_ID = 'msg_1'
const BODY = utf8('{"status":"paid"}')
const SECRET_OLD = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const SECRET_NEW = 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD'
const from = secret.env('PARTNER_SECRET')
const scheme = standardWebhooks({ secret: from })
const pair = generateKeyPair(createSeededRandom(3))

const keyOf = (text: string, of: SignedScheme = scheme): SigningKey =>
  createSigningKey({ scheme: of, text, source: 'test' })

const oldKey = keyOf(SECRET_OLD)
const newKey = keyOf(SECRET_NEW)

type Headers = Record<string, string | readonly string[] | undefined>

const signedBy = (keys: readonly SigningKey[], timestampMs = NOW_MS): Headers => ({
  ...signRequest({ scheme, keys, messageId: MESSAGE_ID, timestampMs, body: BODY }),
})

const good: Headers = signedBy([oldKey])
const goodSignature = String(good['webhook-signature'])

const check = (
  headers: Headers,
  other: Partial<Omit<VerificationInput, 'headers'>> = {},
): VerificationResult =>
  verifySignature({
    scheme,
    keys: [oldKey],
    body: BODY,
    nowMs: NOW_MS,
    ...other,
    headers: (name) => headers[name],
  })

const reasonOf = (result: VerificationResult): string => (result.ok ? 'accepted' : result.reason)

describe('a request without a usable signature is refused, never thrown (F110, W1)', () => {
  test.each<[string, Headers, string]>([
    ['no headers at all', {}, 'missing-header'],
    ['no signature', { ...good, 'webhook-signature': undefined }, 'missing-header'],
    ['an empty signature', { ...good, 'webhook-signature': '' }, 'missing-header'],
    ['an empty list of signatures', { ...good, 'webhook-signature': [] }, 'missing-header'],
    ['no id', { ...good, 'webhook-id': undefined }, 'missing-header'],
    ['no timestamp', { ...good, 'webhook-timestamp': undefined }, 'missing-header'],
    ['no label', { ...good, 'webhook-signature': goodSignature.slice(3) }, 'malformed'],
    [
      'a label of another version',
      { ...good, 'webhook-signature': goodSignature.replace('v1', 'v2') },
      'mismatch',
    ],
    [
      'a truncated signature',
      { ...good, 'webhook-signature': goodSignature.slice(0, -2) },
      'mismatch',
    ],
    ['a longer signature', { ...good, 'webhook-signature': `${goodSignature}=` }, 'mismatch'],
    [
      'base64 without padding',
      { ...good, 'webhook-signature': goodSignature.replace(/=+$/, '') },
      'mismatch',
    ],
    ['an empty value after the label', { ...good, 'webhook-signature': 'v1,' }, 'mismatch'],
    [
      'as many characters but more bytes',
      { ...good, 'webhook-signature': `v1,${'é'.repeat(44)}` },
      'mismatch',
    ],
    [
      'characters that end in the same byte',
      {
        ...good,
        'webhook-signature': goodSignature.replace(/[A-Z]/, (c) =>
          String.fromCharCode(c.charCodeAt(0) + 0x100),
        ),
      },
      'mismatch',
    ],
  ])('%s', (_, headers, reason) => {
    expect(reasonOf(check(headers))).toBe(reason)
  })

  test('without any secret everything is refused', () => {
    expect(check(good, { keys: [] })).toEqual({
      ok: false,
      scheme: 'standard-webhooks',
      reason: 'no-secret',
    })
  })

  test('text in place of bytes is refused (W2)', () => {
    // @ts-expect-error -- what plain JavaScript may pass
    expect(reasonOf(check(good, { body: '{"status":"paid"}' }))).toBe('malformed')
  })

  test('the unchanged request is accepted, so each refusal above has its one cause', () => {
    expect(check(good)).toEqual({
      ok: true,
      scheme: 'standard-webhooks',
      keyIndex: 0,
      messageId: MESSAGE_ID,
      messageIdSigned: true,
      timestampMs: NOW_MS,
      skewMs: 0,
    })
  })
})

test.each<[string, string]>([
  ['a changed byte', '{"status":"Paid"}'],
  ['other white space', '{"status": "paid"}'],
  ['a trailing newline', '{"status":"paid"}\n'],
  ['a byte order mark', '\ufeff{"status":"paid"}'],
  ['nothing', ''],
])('a body with %s is refused (F111)', (_, body) => {
  expect(reasonOf(check(good, { body: utf8(body) }))).toBe('mismatch')
})

describe('time (F112, W10)', () => {
  test.each<[number, string]>([
    [300, 'accepted'],
    [301, 'too-old'],
    [-300, 'accepted'],
    [-301, 'too-new'],
    [86_400 * 365, 'too-old'],
  ])('a signature %i seconds old is %s', (ageS, expected) => {
    const result = check(signedBy([oldKey], NOW_MS - ageS * 1_000))

    expect(reasonOf(result)).toBe(expected)
    expect(result.skewMs).toBe(ageS * 1_000)
  })

  test('past and future have tolerances of their own', () => {
    const apart = standardWebhooks({ secret: from, tolerance: { past: '1h', future: '10s' } })
    const at = (ageS: number): string =>
      reasonOf(check(signedBy([oldKey], NOW_MS - ageS * 1_000), { scheme: apart }))

    expect([at(3_600), at(3_601), at(-10), at(-11)]).toEqual([
      'accepted',
      'too-old',
      'accepted',
      'too-new',
    ])
  })

  test('the edge is counted in the unit of the sender, as the reference libraries do', () => {
    expect(reasonOf(check(good, { nowMs: NOW_MS + 300_999 }))).toBe('accepted')
    expect(reasonOf(check(good, { nowMs: NOW_MS + 301_000 }))).toBe('too-old')
  })

  test('a forged old request is a mismatch: its claimed time is not believed', () => {
    const result = check({ ...good, 'webhook-timestamp': '1000000000' })

    expect(result).toEqual({ ok: false, scheme: 'standard-webhooks', reason: 'mismatch' })
  })

  test('a clock that is not a number accepts nothing', () => {
    expect(check(good, { nowMs: Number.NaN }).ok).toBe(false)
  })

  test.each([
    '1735689600abc',
    ' 1735689600',
    '1735689600 ',
    '+1735689600',
    '-1',
    '01735689600',
    '1735689600.0',
    '1.7356896e9',
    '0x67748580',
    '١٧٣٥٦٨٩٦٠٠',
    '9'.repeat(16),
    '9'.repeat(400),
  ])('a timestamp written as %j is malformed, although its signature fits (W3)', (timestamp) => {
    const key = Buffer.from(SECRET_OLD.slice(6), 'base64')
    const signature = createHmac('sha256', key)
      .update(`${MESSAGE_ID}.${timestamp}.`)
      .update(BODY)
      .digest('base64')
    const headers = {
      'webhook-id': MESSAGE_ID,
      'webhook-timestamp': timestamp,
      'webhook-signature': `v1,${signature}`,
    }

    expect(reasonOf(check(headers))).toBe('malformed')
  })
})

describe('headers that say two things (F112)', () => {
  test.each(['webhook-id', 'webhook-timestamp', 'webhook-signature'])(
    'a repeated %s is refused, even with equal values',
    (name) => {
      const value = String(good[name])

      expect(reasonOf(check({ ...good, [name]: [value, value] }))).toBe('repeated-header')
      expect(reasonOf(check({ ...good, [name]: [value] }))).toBe('accepted')
    },
  )

  test('values joined by a proxy are refused', () => {
    expect(reasonOf(check({ ...good, 'webhook-id': 'msg_1, msg_2' }))).toBe('bad-message-id')
    expect(reasonOf(check({ ...good, 'webhook-timestamp': `${NOW}, ${NOW}` }))).toBe('malformed')
  })

  test('a second time within a Stripe header is refused', () => {
    const of = stripe({ secret: from })
    const key = keyOf('a-stripe-secret-of-24-bytes', of)
    const header = signRequest({
      scheme: of,
      keys: [key],
      messageId: MESSAGE_ID,
      timestampMs: NOW_MS,
      body: BODY,
    })['stripe-signature']
    const at = (text: string): string =>
      reasonOf(check({ 'stripe-signature': text }, { scheme: of, keys: [key] }))

    expect(at(String(header))).toBe('accepted')
    expect(at(`t=1,${header}`)).toBe('repeated-header')
    expect(at(String(header).replace(/^t=\d+,/, ''))).toBe('missing-header')
  })

  test('an unsigned id beside a signed one of the other family is refused (W9)', () => {
    const svix = signRequest({
      scheme,
      keys: [oldKey],
      messageId: MESSAGE_ID,
      timestampMs: NOW_MS,
      body: BODY,
      family: 1,
    })

    expect(reasonOf(check(svix))).toBe('accepted')
    expect(reasonOf(check({ ...svix, 'webhook-id': 'msg_2' }))).toBe('conflicting-headers')
    expect(reasonOf(check({ ...svix, 'webhook-id': [MESSAGE_ID, 'x'] }))).toBe('repeated-header')
    expect(reasonOf(check({ ...svix, 'webhook-timestamp': '1' }))).toBe('conflicting-headers')
    expect(reasonOf(check({ ...svix, ...good }))).toBe('accepted')
  })
})

describe('a replay inside the tolerance (F113, W9)', () => {
  test('keeps its signed id, which the dedupe record then meets', () => {
    const first = check(good)
    const again = check(good, { nowMs: NOW_MS + 200_000 })

    expect([first, again]).toEqual([
      expect.objectContaining({ ok: true, messageId: MESSAGE_ID, messageIdSigned: true }),
      expect.objectContaining({ ok: true, messageId: MESSAGE_ID, messageIdSigned: true }),
    ])
    expect(reasonOf(check({ ...good, 'webhook-id': 'msg_2' }))).toBe('mismatch')
  })

  test('under GitHub may carry any id or none, and the result says not to trust it', () => {
    const of = github({ secret: from })
    const keys = [keyOf("It's a Secret to Everybody", of)]
    const { 'x-hub-signature-256': signature } = signRequest({
      scheme: of,
      keys,
      messageId: 'first',
      timestampMs: NOW_MS,
      body: BODY,
    })
    const at = (delivery: string | undefined): VerificationResult =>
      check(
        { 'x-hub-signature-256': signature, 'x-github-delivery': delivery },
        { scheme: of, keys },
      )

    expect(at('other')).toMatchObject({ ok: true, messageId: 'other', messageIdSigned: false })
    expect(at(undefined)).toEqual({
      ok: true,
      scheme: 'github',
      keyIndex: 0,
      messageIdSigned: false,
    })
  })
})

describe('many signatures (F114, W4)', () => {
  const wrong = `v1,${Buffer.alloc(32, 1).toString('base64')}`
  const list = (count: number): string =>
    [...Array<string>(count - 1).fill(wrong), goodSignature].join(' ')

  test('up to the maximum each is tried, one more is refused', () => {
    const max = LIMITS.signaturesMax

    expect(reasonOf(check({ ...good, 'webhook-signature': list(max) }))).toBe('accepted')
    expect(reasonOf(check({ ...good, 'webhook-signature': list(max + 1) }))).toBe(
      'too-many-signatures',
    )
    expect(reasonOf(check({ ...good, 'webhook-signature': list(300) }))).toBe('too-many-signatures')
    expect(reasonOf(check({ ...good, 'webhook-signature': list(200_000) }))).toBe('malformed')
  })

  test('only so many public-key checks are made', () => {
    const publicKeys = Array.from({ length: LIMITS.secretsMax }, () => keyOf(pair.publicKey))
    const noise = `v1a,${Buffer.alloc(64, 1).toString('base64')}`
    const genuine = String(signedBy([keyOf(pair.privateKey)])['webhook-signature'])
    const at = (noises: number): string =>
      reasonOf(
        check(
          {
            ...good,
            'webhook-signature': [...Array<string>(noises).fill(noise), genuine].join(' '),
          },
          { keys: [keyOf(generateKeyPair(createSeededRandom(4)).publicKey), ...publicKeys] },
        ),
      )

    expect(at(0)).toBe('accepted')
    expect(at(LIMITS.signaturesMax - 1)).toBe('mismatch')
  })
})

describe('rotation (F115)', () => {
  test('before, during and after the overlap, and after a revocation', () => {
    const byOld = signedBy([oldKey])
    const byBoth = signedBy([newKey, oldKey])
    const byNew = signedBy([newKey])

    expect(check(byOld, { keys: [newKey, oldKey] })).toMatchObject({ ok: true, keyIndex: 1 })
    expect(check(byNew, { keys: [newKey, oldKey] })).toMatchObject({ ok: true, keyIndex: 0 })
    expect(check(byBoth, { keys: [oldKey] })).toMatchObject({ ok: true, keyIndex: 0 })
    expect(check(byBoth, { keys: [newKey] })).toMatchObject({ ok: true, keyIndex: 0 })
    expect(reasonOf(check(byOld, { keys: [newKey] }))).toBe('mismatch')
  })

  test('from a shared secret to a public key', () => {
    const byBoth = signedBy([oldKey, keyOf(pair.privateKey)])

    expect(byBoth['webhook-signature']).toMatch(/^v1,\S+ v1a,\S+$/)
    expect(reasonOf(check(byBoth, { keys: [oldKey] }))).toBe('accepted')
    expect(reasonOf(check(byBoth, { keys: [keyOf(pair.publicKey)] }))).toBe('accepted')
  })
})

describe('confusion of algorithms (F116)', () => {
  const publicBytes = Buffer.from(pair.publicKey.slice(5), 'base64')
  const content = `${MESSAGE_ID}.${NOW}.${Buffer.from(BODY).toString()}`
  const byPublicKey = createHmac('sha256', publicBytes).update(content).digest('base64')

  test.each(['v1', 'v1a', 'none', '', 'V1', '__proto__'])(
    'an HMAC keyed with the public key is refused under the label %j',
    (label) => {
      const headers = { ...good, 'webhook-signature': `${label},${byPublicKey}` }

      expect(check(headers, { keys: [keyOf(pair.publicKey)] }).ok).toBe(false)
    },
  )

  test('a genuine signature under the label of the other version is refused', () => {
    const relabelled = goodSignature.replace('v1,', 'v1a,')
    const asymmetric = String(signedBy([keyOf(pair.privateKey)])['webhook-signature'])

    expect(reasonOf(check({ ...good, 'webhook-signature': relabelled }))).toBe('mismatch')
    expect(
      reasonOf(
        check(
          { ...good, 'webhook-signature': asymmetric.replace('v1a,', 'v1,') },
          { keys: [keyOf(pair.publicKey), oldKey] },
        ),
      ),
    ).toBe('mismatch')
  })

  test('another spelling of a genuine public-key signature is refused', () => {
    const genuine = String(signedBy([keyOf(pair.privateKey)])['webhook-signature'])
    const keys = [keyOf(pair.publicKey)]
    const at = (text: string): string =>
      reasonOf(check({ ...good, 'webhook-signature': text }, { keys }))

    expect(at(genuine)).toBe('accepted')
    expect(at(genuine.replace(/==$/, ''))).toBe('mismatch')
    expect(at(`${genuine}=`)).toBe('mismatch')
  })
})

describe('message ids (W11)', () => {
  test.each(['a.b', '.', 'a b', 'a\tb', 'a\u0000b', 'a\u007fb', 'é', 'a,b', 'x'.repeat(257)])(
    '%j is refused, although its signature fits',
    (id) => {
      const key = Buffer.from(SECRET_OLD.slice(6), 'base64')
      const signature = createHmac('sha256', key)
        .update(`${id}.${NOW}.`)
        .update(BODY)
        .digest('base64')
      const headers = {
        'webhook-id': id,
        'webhook-timestamp': NOW,
        'webhook-signature': `v1,${signature}`,
      }

      expect(reasonOf(check(headers))).toBe('bad-message-id')
    },
  )

  test('no byte moves between id, time and body', () => {
    const shifted = { ...good, 'webhook-id': `${MESSAGE_ID}.${NOW}`, 'webhook-timestamp': NOW }

    expect(check(shifted).ok).toBe(false)
  })
})
