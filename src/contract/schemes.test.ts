import { describe, expect, test } from 'vitest'
import { checkIntegration } from './check-integration.ts'
import { event } from './contract.ts'
import { integration } from './integration.ts'
import { body, header, type KeySource } from './key-source.ts'
import type { SchemeDefinition, SignatureScheme } from './scheme-types.ts'
import { schemes } from './schemes.ts'
import { secret } from './secret.ts'
import { signatureScheme } from './signature-scheme.ts'
import { system, team } from './system.ts'
import { VENDOR_SCHEMES } from './vendor-schemes.ts'
import { webhook } from './webhook.ts'

const from = secret.env('PARTNER_SECRET')

const refusal = (problem: string): unknown =>
  expect.objectContaining({
    code: 'JUNCTURA_DECLARATION',
    message: expect.stringContaining(problem),
  })

const OWN: SchemeDefinition = {
  name: 'own',
  headers: [{ signature: 'x-signature' }],
  format: { kind: 'single', prefix: '' },
  versions: [{ label: '', algorithm: 'hmac-sha256', encoding: 'hex' }],
  signed: '{body}',
  secretForms: [{ prefix: '', encoding: 'verbatim', use: 'hmac' }],
  secretSeparator: 'line',
}
const MESSAGE: SchemeDefinition = {
  ...OWN,
  headers: [{ signature: 'signature' }],
  format: { kind: 'http-message', components: ['@method', 'content-digest'] },
  versions: [{ label: 'ed25519', algorithm: 'ed25519', encoding: 'base64' }],
  signed: '',
  timestampUnit: 's',
}

describe('a scheme of your own', () => {
  test.each<[string, SchemeDefinition]>([
    ['nothing of that is signed', { ...OWN, signed: '{url}', covers: 'fields' }],
    ['the body must be signed once', { ...OWN, signed: '{url}{form}' }],
    ['nothing of that is signed', { ...OWN, covers: 'form' }],
    ['names nothing', { ...OWN, signed: '{body}{header:}' }],
    ['nowhere, or in two places', { ...OWN, inBody: { signature: 'a' } }],
    ['nowhere, or in two places', { ...OWN, headers: [] }],
    ['a timestamp must be sent and signed', { ...OWN, timestampUnit: 'iso' }],
    [
      'is not signed',
      {
        ...OWN,
        headers: [],
        inBody: { signature: 's', id: 'i' },
        signed: '{field:b}',
        covers: 'fields',
      },
    ],
    [
      'headers are read',
      {
        ...OWN,
        headers: [{ signature: 'a', more: Array.from({ length: 10 }, (_, n) => `a${n}`) }],
      },
    ],
    [
      'would be answered as a handshake',
      {
        ...OWN,
        handshakes: [
          {
            method: 'POST',
            signed: false,
            when: [{ from: 'body', name: 'x' }],
            answer: { as: 'nothing' },
          },
        ],
      },
    ],
    [
      'a handshake fits every request',
      {
        ...OWN,
        handshakes: [{ method: 'GET', signed: false, when: [], answer: { as: 'nothing' } }],
      },
    ],
    [
      'no signature would cover the body',
      { ...MESSAGE, format: { kind: 'http-message', components: ['@method'] } },
    ],
    ['the request says what is signed', { ...MESSAGE, signed: '{body}' }],
    ['is none of the algorithms', { ...MESSAGE, versions: OWN.versions }],
    ['which a server behind a proxy does not know', { ...OWN, signed: '{url}{body}' }],
  ])('is refused: %s', (problem, definition) => {
    expect(() => signatureScheme(definition, { secret: from })).toThrow(refusal(problem))
  })

  test.each([
    'hooks.example.com/in',
    'https://hooks.example.com/in?x=1',
    'https://user@hooks.example.com/in',
    'ftp://hooks.example.com/in',
  ])('is refused with the public URL %s', (publicUrl) => {
    const definition = { ...OWN, signed: '{url}{body}' }

    expect(() => signatureScheme(definition, { secret: from, publicUrl })).toThrow(
      refusal('is not an absolute http(s) URL'),
    )
  })
})

describe('a sender by name', () => {
  test.each([
    ['the id of a webhook', () => schemes.paypal({ webhookId: 'a|b' })],
    ['a list of DNS names', () => schemes.cloudEvents({ secret: from, allowedOrigins: [] })],
    ['a list of DNS names', () => schemes.cloudEvents({ secret: from, allowedOrigins: ['*'] })],
    [
      'could be taken for each other',
      () =>
        schemes.httpMessageSignatures({
          secret: from,
          publicUrl: 'https://a.example/',
          algorithms: ['hmac-sha256', 'ed25519'],
        }),
    ],
    ['not a list of host names', () => schemes.square({ secret: from, publicUrl: { hosts: [] } })],
  ] as const)('is refused: not %s', (problem, make) => {
    expect(make).toThrow(refusal(problem))
  })

  test('has a source, and every name has its function', () => {
    for (const [name, { source, title }] of Object.entries(VENDOR_SCHEMES)) {
      expect(Object.hasOwn(schemes, name)).toBe(true)
      expect(source).toMatch(/^https:\/\//)
      expect(title).not.toBe('')
    }
  })

  test('is plain data: it survives JSON as it is', () => {
    const scheme = schemes.twitch({ secret: from })

    expect(JSON.parse(JSON.stringify(scheme))).toEqual({ ...scheme })
  })
})

describe('a key that the signature does not cover is refused at start (W9)', () => {
  const Told = event('partner.told', { owner: team('owners'), versions: { 1: { type: 'object' } } })
  const rulesOf = (verify: SignatureScheme, key?: KeySource): readonly string[] => {
    const hook = webhook('partner', {
      from: system('partner'),
      path: '/partner',
      verify,
      accepts: Told,
      idempotency: { ...(key && { key }) },
      retriesFor: '1d',
      emit: () => undefined,
    })
    return checkIntegration(integration('one', { parts: [hook] })).map(({ rule }) => rule)
  }
  const mailgun = schemes.mailgun({ secret: from })
  const paypal = schemes.paypal({ webhookId: 'WH1' })
  const item = 'notificationItems.0.NotificationRequestItem'

  test.each<[string, SignatureScheme, KeySource | undefined, boolean]>([
    ['the token of Mailgun', mailgun, body('signature.token'), true],
    ['the id of its event', mailgun, body('event-data.id'), false],
    ['none', mailgun, undefined, false],
    ['the transmission of PayPal', paypal, header('paypal-transmission-id'), true],
    ['the id in its body', paypal, body('id'), false],
    [
      'signed fields of Adyen',
      schemes.adyen({ secret: from }),
      body(`${item}.pspReference`, `${item}.eventCode`),
      true,
    ],
    ['a field that is not', schemes.adyen({ secret: from }), body(`${item}.reason`), false],
    ['anything where the body is signed', schemes.slack({ secret: from }), body('event_id'), true],
  ])('%s', (_, verify, key, isTaken) => {
    expect(rulesOf(verify, key).includes('key-is-signed')).toBe(!isTaken)
  })
})
