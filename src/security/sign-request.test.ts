import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  hmac,
  secret,
  type SignatureScheme,
  type SignedScheme,
  standardWebhooks,
  unsigned,
} from '../contract/index.ts'
import { createSeededRandom, utf8 } from '../kernel/index.ts'
import { generateKeyPair } from './generate-secret.ts'
import { signRequest } from './sign-request.ts'
import { createSigningKey, type SigningKey } from './signing-key.ts'
import { type VerificationResult, verifySignature } from './verify-signature.ts'

const NOW_MS = 1_735_689_600_000
const NOW = String(NOW_MS / 1_000)
const MESSAGE_ID = 'msg_1'
const BODY = utf8('{"status":"paid"}')
const from = secret.env('PARTNER_SECRET')
const scheme = standardWebhooks({ secret: from })
const pair = generateKeyPair(createSeededRandom(3))

const keyOf = (text: string, of: SignedScheme = scheme): SigningKey =>
  createSigningKey({ scheme: of, text, source: 'test' })

const oldKey = keyOf('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')

type Headers = Readonly<Record<string, string>>

const check = (
  headers: Headers,
  other: { readonly scheme: SignatureScheme; readonly keys: readonly SigningKey[] },
): VerificationResult =>
  verifySignature({ ...other, headers: (name) => headers[name], body: BODY, nowMs: NOW_MS })

const reasonOf = (result: VerificationResult): string => (result.ok ? 'accepted' : result.reason)

describe('a scheme written as data', () => {
  const slack = hmac({
    secret: from,
    name: 'slack',
    header: 'X-Slack-Signature',
    prefix: 'v0=',
    signed: 'v0:{timestamp}:{body}',
    timestamp: { header: 'X-Slack-Request-Timestamp' },
  })
  const slackKey = keyOf('8f742231b10e8888abcd99yyyzzz85a5', slack)
  const mac = createHmac('sha256', '8f742231b10e8888abcd99yyyzzz85a5')
    .update(`v0:${NOW}:`)
    .update(BODY)
    .digest('hex')

  const attempt = (of: SignatureScheme, keys: readonly SigningKey[], headers: Headers): string =>
    reasonOf(check(headers, { scheme: of, keys }))

  test('verifies what its template says, and nothing without its prefix', () => {
    const at = (signature: string): string =>
      attempt(slack, [slackKey], {
        'x-slack-signature': signature,
        'x-slack-request-timestamp': NOW,
      })

    expect(at(`v0=${mac}`)).toBe('accepted')
    expect(at(`v0=${mac.toUpperCase()}`)).toBe('accepted')
    expect(at(mac)).toBe('malformed')
    expect(at('v0=')).toBe('malformed')
    expect(at(`v1=${mac}`)).toBe('malformed')
    expect(at(`v0=${mac.slice(0, -1)}`)).toBe('mismatch')
  })

  test.each(['hmac-sha1', 'hmac-sha256', 'hmac-sha512'] as const)(
    'takes %s, base64, a key in hexadecimal, milliseconds, and text after the body',
    (algorithm) => {
      const of = hmac({
        secret: from,
        header: 'x-mac',
        encoding: 'base64',
        algorithm,
        signed: '{body}|{timestamp}|{id}|end',
        timestamp: { header: 'x-time', unit: 'ms' },
        id: { header: 'x-id' },
        secretEncoding: 'hex',
      })
      const hex = '0f'.repeat(24)
      const signature = createHmac(algorithm.slice('hmac-'.length), Buffer.from(hex, 'hex'))
        .update(BODY)
        .update(`|${NOW_MS}|order.1|end`)
        .digest('base64')
      const headers = { 'x-mac': signature, 'x-time': String(NOW_MS), 'x-id': 'order.1' }

      expect(attempt(of, [keyOf(hex, of)], headers)).toBe('accepted')
      expect(attempt(of, [keyOf(hex, of)], { ...headers, 'x-id': 'order.2' })).toBe('mismatch')
      expect(attempt(of, [keyOf(hex, of)], { ...headers, 'x-id': 'order|1' })).toBe(
        'bad-message-id',
      )
      expect(
        signRequest({
          scheme: of,
          keys: [keyOf(hex, of)],
          messageId: 'order.1',
          timestampMs: NOW_MS,
          body: BODY,
        }),
      ).toEqual(headers)
    },
  )

  test('that is unsigned takes everything and trusts no id', () => {
    const open = unsigned({ reason: 'a sensor without a clock' })

    expect(check({}, { scheme: open, keys: [] })).toEqual({
      ok: true,
      scheme: 'unsigned',
      messageIdSigned: false,
    })
  })
})

describe('signing', () => {
  const input = { scheme, keys: [oldKey], messageId: MESSAGE_ID, timestampMs: NOW_MS, body: BODY }

  test.each([
    ['an id that cannot be verified', { messageId: 'a.b' }],
    ['a time before 1970', { timestampMs: -1_000 }],
    ['a time that is not a number', { timestampMs: Number.NaN }],
    ['no key', { keys: [] }],
    ['a public key', { keys: [keyOf(pair.publicKey)] }],
    ['a header family that does not exist', { family: 2 }],
  ])('refuses %s', (_, other) => {
    expect(() => signRequest({ ...input, ...other })).toThrow(
      expect.objectContaining({ code: 'JUNCTURA_USAGE' }),
    )
  })

  test('adds nothing under an unsigned scheme', () => {
    expect(signRequest({ ...input, scheme: unsigned({ reason: 'a sensor' }) })).toEqual({})
  })
})
