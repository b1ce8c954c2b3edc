import { describe, expect, it } from 'vitest'
import {
  body,
  event,
  header,
  integration,
  schemes,
  secret,
  type SignatureScheme,
  system,
  team,
  type Webhook,
  webhook,
  type WebhookOptions,
} from '../../contract/index.ts'
import { runAll } from './run-all.fixture.ts'

const owners = team('owners')
const from = secret.env('PARTNER_SECRET')
const text = { type: 'string', minLength: 1, maxLength: 20 } as const

const Told = event('partner.told', {
  owner: owners,
  versions: {
    1: {
      type: 'object',
      required: ['subject', 'signature'],
      properties: {
        subject: text,
        signature: {
          type: 'object',
          required: ['token', 'timestamp', 'signature'],
          properties: {
            token: { type: 'string' },
            timestamp: { type: 'string' },
            signature: { type: 'string' },
          },
        },
      },
    },
  },
})
const Sent = event('partner.sent', {
  owner: owners,
  versions: { 1: { type: 'object', required: ['subject'], properties: { subject: text } } },
})
const Seen = event('orders.seen', {
  owner: owners,
  key: 'subject',
  versions: { 1: { type: 'object', required: ['subject'], properties: { subject: text } } },
})

const hook = (verify: SignatureScheme, more: Partial<WebhookOptions<typeof Sent>> = {}): Webhook =>
  webhook('partner', {
    from: system('partner'),
    path: '/webhooks/partner',
    verify,
    accepts: Sent,
    idempotency: {},
    retriesFor: '1d',
    emit: (data) => ({ contract: Seen, data }),
    ...more,
  })

const publicUrl = 'https://hooks.example.com/in/partner'
const url = { secret: from, publicUrl }

const HOOKS: readonly (readonly [string, Webhook])[] = [
  [
    'a form under a signed URL',
    hook(schemes.twilio(url), { contentTypes: ['application/x-www-form-urlencoded'] }),
  ],
  ['JSON whose hash is in a signed URL', hook(schemes.twilio(url))],
  [
    'an unsigned delivery id',
    hook(schemes.bitbucket({ secret: from }), { idempotency: { key: header('x-request-uuid') } }),
  ],
  [
    'a signed id and a time of RFC 3339',
    hook(schemes.twitch({ secret: from }), {
      idempotency: { key: header('twitch-eventsub-message-id') },
    }),
  ],
  ['ECDSA', hook(schemes.sendgrid({ secret: from }))],
  [
    'HTTP Message Signatures',
    hook(schemes.httpMessageSignatures({ ...url, algorithms: ['ed25519'] })),
  ],
  [
    'a certificate that is fetched elsewhere',
    hook(schemes.paypal({ webhookId: '8PT597110X687430LKGECATA' }), {
      idempotency: { key: header('paypal-transmission-id') },
    }),
  ],
  ['a token in a header of its own', hook(schemes.gitlab({ secret: from }))],
  [
    'a handshake token',
    hook(schemes.meta({ secret: from, verifyToken: secret.env('VERIFY_TOKEN') })),
  ],
]

const tell = webhook('partner', {
  from: system('partner'),
  path: '/webhooks/partner',
  verify: schemes.mailgun({ secret: from }),
  accepts: Told,
  // Signed anew, a repeat has another time in its body.
  idempotency: { key: body('signature.token'), compare: { fields: ['subject'] } },
  retriesFor: '8h',
  emit: (data) => ({ contract: Seen, data }),
})

describe('the contract tests sign with', () => {
  it.each([...HOOKS, ['a signature in the body', tell] as const])(
    '%s',
    async (_, declared) => {
      const outcomes = await runAll(integration('vendors', { parts: [declared, Seen] }))

      expect(outcomes.filter(({ outcome }) => outcome === 'fails')).toEqual([])
      expect(outcomes.length).toBeGreaterThan(5)
    },
    60_000,
  )
})
