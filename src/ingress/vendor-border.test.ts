import { createHmac, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  event,
  header,
  type SchemeDefinition,
  schemes,
  secret,
  signatureScheme,
  type SignatureScheme,
  system,
  team,
  type Webhook,
  webhook,
  type WebhookOptions,
} from '../contract/index.ts'
import { LIMITS } from '../kernel/index.ts'
import { makeCertificate } from '../../test/certificate.fixture.ts'
import { createPublicSigningKey, signDelivery } from '../security/index.ts'
import { acmeHook, bytesOf, openBorder, order } from './border.fixture.ts'
import { bodyOfBytes, type IngressResponse } from './ingress-request.ts'

const SECRET = 'a-secret-of-the-partner-that-is-long'
const from = secret.env('ACME_SECRET')
const env = { ACME_SECRET: SECRET, VERIFY_TOKEN: 'meatyhamhock' }

type Border = Awaited<ReturnType<typeof openBorder>>

interface Ask {
  readonly method?: string
  readonly target?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly bytes?: Uint8Array
}

const ask = (border: Border, { method = 'GET', target, headers = {}, bytes }: Ask) =>
  border.ingress.handle({
    method,
    target: target ?? '/webhooks/acme',
    rawHeaders: Object.entries(headers).flat(),
    remoteAddress: '127.0.0.1',
    body: bodyOfBytes(bytes ?? new Uint8Array(0)),
  })

/** A genuine request of the partner. */
const post = (
  border: Border,
  scheme: SignatureScheme,
  sent: { readonly data: unknown; readonly mediaType?: string; readonly more?: Ask },
): Promise<IngressResponse> => {
  const { data, mediaType = 'application/json', more = {} } = sent
  const path = '/webhooks/acme'
  const signed = signDelivery({
    scheme,
    keys: border.keys,
    messageId: 'evt_1',
    timestampMs: border.kernel.clock.now(),
    body: bytesOf(data),
    mediaType,
    request: { method: 'POST', target: path, path },
  })
  return ask(border, {
    method: 'POST',
    target: signed.target,
    bytes: signed.body,
    ...more,
    headers: { 'content-type': mediaType, ...signed.headers, ...more.headers },
  })
}

const openWith = (verify: SignatureScheme, hook = acmeHook({ verify, key: 'none' })) =>
  openBorder({ hook, env })

describe('a sender that sets up its subscription', () => {
  test('Slack gets its challenge as text, signed only, and nothing is stored', async () => {
    const verify = schemes.slack({ secret: from })
    const border = await openWith(verify)
    const data = { type: 'url_verification', token: 'x', challenge: '3eZbrw1aBm2rZgRNFdxV2595E9CY' }

    const answer = await post(border, verify, { data })
    const forged = await ask(border, {
      method: 'POST',
      bytes: bytesOf(data),
      headers: { 'content-type': 'application/json' },
    })

    expect(answer).toMatchObject({ status: 200, body: data.challenge })
    expect(answer.headers).toMatchObject({ 'x-content-type-options': 'nosniff' })
    expect(forged.status).toBe(401)
    expect([await border.stored(), (await border.invalid()).length]).toEqual([0, 0])
  })

  test('Slack gets no page for a challenge', async () => {
    const verify = schemes.slack({ secret: from })
    const border = await openWith(verify)

    for (const challenge of ['a b', 'é', '\n', 'x'.repeat(LIMITS.handshakeCharsMax + 1)]) {
      const answer = await post(border, verify, { data: { type: 'url_verification', challenge } })
      expect(answer.status).toBe(401)
    }
  })

  test('Zoom gets the token and its keyed hash', async () => {
    const verify = schemes.zoom({ secret: from })
    const border = await openWith(verify)
    const data = {
      event: 'endpoint.url_validation',
      payload: { plainToken: 'qgg8vlvZRS6UYooatFL8Aw' },
    }

    const answer = await post(border, verify, { data })

    expect(answer.status).toBe(200)
    expect(JSON.parse(answer.body)).toEqual({
      plainToken: 'qgg8vlvZRS6UYooatFL8Aw',
      encryptedToken: createHmac('sha256', SECRET).update('qgg8vlvZRS6UYooatFL8Aw').digest('hex'),
    })
  })

  test.each([
    [schemes.discord, 1, 200, '{"type":1}'],
    [schemes.discordEvents, 0, 204, ''],
  ] as const)('Discord gets its pong (%#)', async (make, type, status, text) => {
    const verify = make({ secret: secret.env('DISCORD_KEY') })
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
    const hook = acmeHook({ verify, key: 'none' })
    const border = await openBorder({ hook, env: { DISCORD_KEY: raw.toString('hex') } })
    const signer = { ...createPublicSigningKey({ scheme: verify, source: 'test' }, publicKey) }
    const discord = { ...border, keys: [{ ...signer, privateKey }] }
    const stranger = { ...border, keys: [{ ...signer, ...generateKeyPairSync('ed25519') }] }

    expect(await post(discord, verify, { data: { type } })).toMatchObject({ status, body: text })
    expect((await post(stranger, verify, { data: { type } })).status).toBe(401)
  })

  test('Twitch gets its challenge, and a message of the same form is stored', async () => {
    const verify = schemes.twitch({ secret: from })
    const border = await openWith(verify)
    const type = (value: string) => ({ headers: { 'twitch-eventsub-message-type': value } })

    const challenge = await post(border, verify, {
      data: { ...order(), challenge: 'pogchamp-kappa-360noscope-vohiyo' },
      more: type('webhook_callback_verification'),
    })
    const message = await post(border, verify, { data: order(), more: type('notification') })

    expect(challenge).toMatchObject({ status: 200, body: 'pogchamp-kappa-360noscope-vohiyo' })
    expect(message.status).toBe(202)
    expect(await border.stored()).toBe(1)
  })

  test('Meta gets its challenge for the right token only', async () => {
    const verify = schemes.meta({ secret: from, verifyToken: secret.env('VERIFY_TOKEN') })
    const border = await openWith(verify)
    const target = (token: string): string =>
      `/webhooks/acme?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=${token}`

    const right = await ask(border, { target: target('meatyhamhock') })
    const wrong = await ask(border, { target: target('meatyhamhoc') })
    const twice = await ask(border, { target: `${target('meatyhamhock')}&hub.verify_token=x` })
    const other = await ask(border, { target: '/webhooks/acme?hub.mode=unsubscribe' })

    expect(right).toMatchObject({ status: 200, body: '1158201444' })
    expect([wrong.status, twice.status, other.status]).toEqual([401, 401, 405])
    expect(wrong.body).toBe(twice.body)
  })

  test('the token of a subscription verifies no message (F116)', async () => {
    const verify = schemes.meta({ secret: from, verifyToken: secret.env('VERIFY_TOKEN') })
    const border = await openWith(verify)

    const genuine = await post(border, verify, { data: order() })
    const [, handshakeKey] = border.keys

    expect(genuine.status).toBe(200)
    expect(handshakeKey?.use).toBe('handshake')
  })

  test('Dropbox gets its challenge as text', async () => {
    const border = await openWith(schemes.dropbox({ secret: from }))

    const answer = await ask(border, { target: '/webhooks/acme?challenge=abc123' })
    const script = await ask(border, { target: '/webhooks/acme?challenge=%3Cscript%3E+x' })

    expect(answer).toMatchObject({ status: 200, body: 'abc123' })
    expect(answer.headers['content-type']).toBe('text/plain; charset=utf-8')
    expect(script.status).toBe(401)
  })

  test('Okta proves itself in its handshake as ever', async () => {
    const border = await openWith(schemes.okta({ secret: from }))
    const headers = { 'x-okta-verification-challenge': 'Me_rShK8JHsTnbyYrWXCEoMGbM' }

    const right = await ask(border, { headers: { ...headers, authorization: SECRET } })
    const wrong = await ask(border, { headers })
    const bearer = await ask(border, { headers: { ...headers, authorization: `Bearer ${SECRET}` } })

    expect(right).toMatchObject({
      status: 200,
      body: '{"verification":"Me_rShK8JHsTnbyYrWXCEoMGbM"}',
    })
    expect([wrong.status, bearer.status]).toEqual([401, 401])
  })

  test('CloudEvents: an origin that is allowed is told so, any other gets the plain answer', async () => {
    const allowedOrigins = ['eventemitter.example.com']
    const border = await openWith(schemes.cloudEvents({ secret: from, allowedOrigins }))
    const options = (origin: string) =>
      ask(border, { method: 'OPTIONS', headers: { 'webhook-request-origin': origin } })

    expect((await options('eventemitter.example.com')).headers).toEqual({
      'webhook-allowed-origin': 'eventemitter.example.com',
      'webhook-allowed-rate': '*',
    })
    expect(await options('evil.example.com')).toMatchObject({
      status: 204,
      headers: { allow: 'POST, OPTIONS' },
    })
  })

  test('a scheme without a handshake takes POST only', async () => {
    const border = await openWith(schemes.shopify({ secret: from }))

    expect((await ask(border, {})).status).toBe(405)
  })
})

const owners = team('owners')
const Sms = event('twilio.sms', {
  owner: owners,
  versions: {
    1: {
      type: 'object',
      required: ['From', 'Body'],
      properties: { From: { type: 'string' }, Body: { type: 'string' } },
    },
  },
})
const smsHook = (
  verify: SignatureScheme,
  more: Partial<WebhookOptions<typeof Sms>> = {},
): Webhook =>
  webhook('acme', {
    from: system('acme'),
    path: '/webhooks/acme',
    verify,
    accepts: Sms,
    idempotency: { key: header('i-twilio-idempotency-token') },
    retriesFor: '1d',
    contentTypes: ['application/x-www-form-urlencoded', 'application/json'],
    emit: () => undefined,
    ...more,
  })

describe('a signed URL', () => {
  const declared = schemes.twilio({ secret: from, publicUrl: 'https://hooks.example.com/in/sms' })
  const form = {
    data: 'From=%2B15550100&Body=hi+there',
    mediaType: 'application/x-www-form-urlencoded',
  }

  test('a form is verified, read as an object, and a repeat is one', async () => {
    const border = await openWith(declared, smsHook(declared))

    const first = await post(border, declared, form)
    const again = await post(border, declared, form)
    const json = await post(border, declared, {
      data: { From: '+1', Body: 'as JSON' },
      more: { headers: { 'i-twilio-idempotency-token': 'evt_2' } },
    })

    expect([first.status, again.status, json.status]).toEqual([204, 204, 204])
    expect(await border.stored()).toBe(2)
  })

  test('what Host says is not asked where the URL is declared', async () => {
    const border = await openWith(declared, smsHook(declared))
    const more = { headers: { host: 'evil.example' } }

    expect((await post(border, declared, { ...form, more })).status).toBe(204)
  })

  test('Host is taken only where it is one of the declared names (F102)', async () => {
    const verify = schemes.twilio({ secret: from, publicUrl: { hosts: ['hooks.example.com'] } })
    const border = await openWith(verify, smsHook(verify))
    const more = { headers: { host: 'evil.example' } }

    expect((await post(border, verify, form)).status).toBe(204)
    expect((await post(border, verify, { ...form, more })).status).toBe(401)
    expect(border.refusals[0]).toMatchObject({ detail: 'unknown-host' })
  })

  test('a form that is none is kept as invalid', async () => {
    const border = await openWith(declared, smsHook(declared))
    const sent = { data: 'Body=hi', mediaType: 'application/x-www-form-urlencoded' }

    expect((await post(border, declared, sent)).status).toBe(422)
    expect(await border.invalid()).toMatchObject([{ reason: 'schema' }])
  })
})

describe('a certificate that the sender names', () => {
  const verify = schemes.paypal({ webhookId: '8PT597110X687430LKGECATA' })
  const CERT_URL = 'https://api.paypal.com/v1/notifications/certs/CERT-1'
  const certificate = makeCertificate()
  const hook = smsHook(verify, {
    idempotency: { key: header('paypal-transmission-id') },
    contentTypes: ['application/json'],
  })

  const open = async (fetchCertificate: (url: string) => Promise<Uint8Array>) => {
    const border = await openBorder({ hook, env, fetchCertificate })
    const { privateKey } = certificate
    const publicKey = createPublicKey(privateKey)
    const key = {
      ...createPublicSigningKey({ scheme: verify, source: 'test' }, publicKey),
      privateKey,
    }
    return { ...border, keys: [key] }
  }
  const data = { From: 'a', Body: 'b' }
  const more = { headers: { 'paypal-cert-url': CERT_URL } }

  test('is fetched once, and the same id with another body is a conflict', async () => {
    const asked: string[] = []
    const border = await open((url) => {
      asked.push(url)
      return Promise.resolve(certificate.pem)
    })

    const first = await post(border, verify, { data, more })
    const again = await post(border, verify, { data, more })
    const other = await post(border, verify, { data: { From: 'a', Body: 'c' }, more })

    expect([first.status, again.status, other.status]).toEqual([200, 200, 409])
    expect(asked).toEqual([CERT_URL])
  })

  test('of another host is not fetched, and without one the request is refused', async () => {
    const border = await open(() => Promise.reject(new Error('must not be asked')))
    const evil = { headers: { 'paypal-cert-url': 'https://evil.example/v1/notifications/certs/x' } }

    const answers = [
      await post(border, verify, { data, more: evil }),
      await post(border, verify, { data, more }),
    ]

    expect(answers.map(({ status }) => status)).toEqual([401, 401])
    expect(answers[0]?.body).toBe(answers[1]?.body)
    expect(border.refusals.map(({ detail }) => detail)).toEqual([
      'no-certificate',
      'no-certificate',
    ])
  })
})

test('a scheme of your own is checked and read by the same verifier', async () => {
  const definition: SchemeDefinition = {
    name: 'own',
    headers: [{ signature: 'x-own-signature', timestamp: 'x-own-time', id: 'x-own-id' }],
    format: { kind: 'single', prefix: 'own ' },
    versions: [{ label: '', algorithm: 'hmac-sha512', encoding: 'base64url' }],
    signed: '{method} {url}\n{id}\n{timestamp}\n{header:content-type}\n{body}',
    timestampUnit: 'iso',
    secretForms: [{ prefix: '', encoding: 'verbatim', use: 'hmac' }],
    secretSeparator: 'line',
  }
  const verify = signatureScheme(definition, {
    secret: from,
    publicUrl: 'https://hooks.example.com/in/own',
  })
  const border = await openWith(verify, acmeHook({ verify, idHeader: 'x-own-id' }))
  const scheme = {
    ...verify,
    signed: verify.signed.map((part) =>
      part.part === 'header' ? { part: 'literal' as const, text: 'application/json' } : part,
    ),
  }

  const answer = await post(border, scheme, { data: order() })
  const other = await post(border, scheme, {
    data: order(),
    more: { headers: { 'x-own-id': 'evt_2' } },
  })

  expect([answer.status, other.status]).toEqual([202, 401])
})
