import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  github,
  hmac,
  secret,
  type SignedScheme,
  standardWebhooks,
  stripe,
} from '../contract/index.ts'
import { createSeededRandom } from '../kernel/index.ts'
import { generateKeyPair } from './generate-secret.ts'
import { signRequest } from './sign-request.ts'
import { createSigningKey, type SigningKey } from './signing-key.ts'
import { verifySignature } from './verify-signature.ts'

const NOW_MS = 1_735_689_600_000
const from = secret.env('PARTNER_SECRET')
const TEXT = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'

const withKey = (scheme: SignedScheme, text: string): [string, SignedScheme, SigningKey] => [
  `${scheme.name} ${scheme.versions.length}`,
  scheme,
  createSigningKey({ scheme, text, source: 'test' }),
]

const SCHEMES = [
  withKey(standardWebhooks({ secret: from }), TEXT),
  withKey(standardWebhooks({ secret: from }), generateKeyPair(createSeededRandom(5)).privateKey),
  withKey(stripe({ secret: from }), TEXT),
  withKey(github({ secret: from }), TEXT),
  withKey(
    hmac({
      secret: from,
      header: 'x-mac',
      algorithm: 'hmac-sha512',
      encoding: 'base64',
      signed: '{timestamp}{body}',
      timestamp: { header: 'x-time', unit: 'ms' },
    }),
    TEXT,
  ),
] as const

const messageId = fc.stringMatching(/^[A-Za-z0-9_-]{1,40}$/)
const body = fc.uint8Array({ maxLength: 300 })
const RUNS = { numRuns: 200 }

describe.each(SCHEMES)('%s', (_, scheme, key) => {
  const signatureHeader = scheme.headers[0]?.signature ?? ''

  const signed = (id: string, bytes: Uint8Array): Readonly<Record<string, string>> =>
    signRequest({ scheme, keys: [key], messageId: id, timestampMs: NOW_MS, body: bytes })

  const accepts = (
    headers: Readonly<Record<string, string | readonly string[] | undefined>>,
    bytes: Uint8Array,
  ): boolean =>
    verifySignature({
      scheme,
      keys: [key],
      headers: (name) => headers[name],
      body: bytes,
      nowMs: NOW_MS,
    }).ok

  test('any bytes that are signed are accepted', () => {
    fc.assert(
      fc.property(messageId, body, (id, bytes) => {
        expect(accepts(signed(id, bytes), bytes)).toBe(true)
      }),
      RUNS,
    )
  })

  test('one flipped bit of the body is refused (F111)', () => {
    fc.assert(
      fc.property(
        messageId,
        fc.uint8Array({ minLength: 1, maxLength: 300 }),
        fc.nat(),
        (id, bytes, at) => {
          const changed = Uint8Array.from(bytes)
          const bit = at % (changed.length * 8)
          changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))

          expect(accepts(signed(id, bytes), changed)).toBe(false)
        },
      ),
      RUNS,
    )
  })

  test('one changed character of the signature header is refused (F110)', () => {
    // Other spellings of the same hexadecimal number are the same signature.
    const isHex = scheme.versions.some((version) => version.encoding === 'hex')
    const same = (left: string, right: string): boolean =>
      isHex ? left.toLowerCase() === right.toLowerCase() : left === right

    fc.assert(
      fc.property(
        messageId,
        body,
        fc.nat(),
        fc.string({ minLength: 1, maxLength: 1 }),
        (id, bytes, at, put) => {
          const headers = signed(id, bytes)
          const header = headers[signatureHeader] ?? ''
          const index = at % header.length
          const changed = header.slice(0, index) + put + header.slice(index + 1)
          fc.pre(!same(changed, header))

          expect(accepts({ ...headers, [signatureHeader]: changed }, bytes)).toBe(false)
        },
      ),
      RUNS,
    )
  })

  test('a header cut anywhere is refused, of any length (W5)', () => {
    const bytes = Uint8Array.of(1, 2, 3)
    const headers = signed('msg_1', bytes)
    const header = headers[signatureHeader] ?? ''

    for (let length = 0; length < header.length; length++) {
      expect(accepts({ ...headers, [signatureHeader]: header.slice(0, length) }, bytes)).toBe(false)
    }
    expect(accepts(headers, bytes)).toBe(true)
  })

  test('whatever stands in the headers is refused and never thrown (F110, W3)', () => {
    const garbage = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.array(fc.string(), { maxLength: 3 }),
      fc.constant(undefined),
      fc
        .array(
          fc.constantFrom('v1', 'v1a', 't', ',', '=', ' ', 'sha256', '', 'AAAA', '1735689600'),
          {
            maxLength: 30,
          },
        )
        .map((parts) => parts.join('')),
    )
    const names = scheme.headers.flatMap((family) => Object.values(family))

    fc.assert(
      fc.property(
        fc.array(garbage, { minLength: names.length, maxLength: names.length }),
        body,
        (values, bytes) => {
          const headers = Object.fromEntries(names.map((name, index) => [name, values[index]]))

          expect(accepts(headers, bytes)).toBe(false)
        },
      ),
      { numRuns: 500 },
    )
  })
})
