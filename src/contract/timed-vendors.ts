import { STANDARD_WEBHOOKS, STRIPE } from './scheme-presets.ts'
import type { SchemeDefinition } from './scheme-types.ts'
import {
  BASE64,
  ED25519_BASE64,
  ED25519_HEX,
  HEX,
  overBody,
  PUBLIC_KEYS,
  VERBATIM_LINES,
  type Vendors,
} from './vendor-scheme.ts'

const DISCORD: SchemeDefinition = {
  name: 'discord',
  headers: [{ signature: 'x-signature-ed25519', timestamp: 'x-signature-timestamp' }],
  format: { kind: 'single', prefix: '' },
  versions: [ED25519_HEX],
  signed: '{timestamp}{body}',
  timestampUnit: 's',
  handshakes: [
    {
      method: 'POST',
      signed: true,
      when: [{ from: 'body', name: 'type', equals: 1 }],
      answer: { as: 'json', members: { type: { from: 'fixed', value: 1 } } },
    },
  ],
  secretForms: [{ prefix: '', encoding: 'hex', use: 'ed25519-public' }],
  secretSeparator: 'whitespace',
}

/** Senders whose requests say when they were made, under a signature. */
export const TIMED_VENDORS: Vendors = {
  standardWebhooks: {
    title: 'Standard Webhooks, Svix',
    source:
      'https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md',
    definition: STANDARD_WEBHOOKS,
    key: "header('webhook-id')",
    note: 'Also GitLab with a signing token, and every sender that uses Svix.',
  },
  stripe: {
    title: 'Stripe',
    source: 'https://docs.stripe.com/webhooks/signature',
    definition: STRIPE,
    key: "body('id')",
    retriesFor: '3d',
  },
  slack: {
    title: 'Slack',
    source: 'https://docs.slack.dev/authentication/verifying-requests-from-slack/',
    definition: {
      name: 'slack',
      headers: [{ signature: 'x-slack-signature', timestamp: 'x-slack-request-timestamp' }],
      format: { kind: 'single', prefix: 'v0=' },
      versions: [HEX],
      signed: 'v0:{timestamp}:{body}',
      timestampUnit: 's',
      handshakes: [
        {
          method: 'POST',
          signed: true,
          when: [
            { from: 'body', name: 'type', equals: 'url_verification' },
            { from: 'body', name: 'challenge' },
          ],
          answer: { as: 'text', text: { from: 'body', name: 'challenge' } },
        },
      ],
      ...VERBATIM_LINES,
      answer: { accepted: 200 },
    },
    key: "body('event_id')",
    note: 'Slash commands and interactions are forms: add their media type to contentTypes.',
  },
  zoom: {
    title: 'Zoom',
    source: 'https://developers.zoom.us/docs/api/webhooks/',
    definition: {
      name: 'zoom',
      headers: [{ signature: 'x-zm-signature', timestamp: 'x-zm-request-timestamp' }],
      format: { kind: 'single', prefix: 'v0=' },
      versions: [HEX],
      signed: 'v0:{timestamp}:{body}',
      timestampUnit: 's',
      handshakes: [
        {
          method: 'POST',
          signed: true,
          when: [
            { from: 'body', name: 'event', equals: 'endpoint.url_validation' },
            { from: 'body', name: 'payload.plainToken' },
          ],
          answer: {
            as: 'json',
            members: {
              plainToken: { from: 'body', name: 'payload.plainToken' },
              encryptedToken: { from: 'body', name: 'payload.plainToken', hmac: 'hex' },
            },
          },
        },
      ],
      ...VERBATIM_LINES,
      secretBytesMin: 16,
      answer: { accepted: 200 },
    },
    key: '',
  },
  discord: {
    title: 'Discord interactions',
    source: 'https://docs.discord.com/developers/interactions/overview#setting-up-an-endpoint',
    definition: DISCORD,
    key: "body('id')",
    note: 'The secret is the public key. An interaction is answered 202: answer the user by its token.',
  },
  discordEvents: {
    title: 'Discord webhook events',
    source: 'https://docs.discord.com/developers/events/webhook-events',
    definition: {
      ...DISCORD,
      name: 'discord-events',
      handshakes: [
        {
          method: 'POST',
          signed: true,
          when: [{ from: 'body', name: 'type', equals: 0 }],
          answer: { as: 'nothing' },
        },
      ],
      answer: { accepted: 204, duplicate: 204 },
    },
    key: '',
    note: 'The secret is the public key.',
  },
  telnyx: {
    title: 'Telnyx',
    source: 'https://developers.telnyx.com/docs/voice/programmable-voice/voice-api-webhooks',
    definition: {
      name: 'telnyx',
      headers: [{ signature: 'telnyx-signature-ed25519', timestamp: 'telnyx-timestamp' }],
      format: { kind: 'single', prefix: '' },
      versions: [ED25519_BASE64],
      signed: '{timestamp}|{body}',
      timestampUnit: 's',
      secretForms: [{ prefix: '', encoding: 'base64', use: 'ed25519-public' }],
      secretSeparator: 'whitespace',
      answer: { accepted: 200 },
    },
    key: "body('data.id')",
    note: 'The secret is the public key.',
  },
  hubspot: {
    title: 'HubSpot (v3)',
    source:
      'https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests',
    definition: {
      name: 'hubspot',
      headers: [{ signature: 'x-hubspot-signature-v3', timestamp: 'x-hubspot-request-timestamp' }],
      format: { kind: 'single', prefix: '' },
      versions: [BASE64],
      signed: '{method}{url}{body}{timestamp}',
      timestampUnit: 'ms',
      urlDecodes: ":/?@!$'()*,;",
      ...VERBATIM_LINES,
    },
    key: '',
    note: 'A body is a list of events.',
  },
  twitch: {
    title: 'Twitch EventSub',
    source: 'https://dev.twitch.tv/docs/eventsub/handling-webhook-events/',
    definition: {
      name: 'twitch',
      headers: [
        {
          signature: 'twitch-eventsub-message-signature',
          timestamp: 'twitch-eventsub-message-timestamp',
          id: 'twitch-eventsub-message-id',
        },
      ],
      format: { kind: 'single', prefix: 'sha256=' },
      versions: [HEX],
      signed: '{id}{timestamp}{body}',
      timestampUnit: 'iso',
      tolerance: { past: '10m', future: '5m' },
      handshakes: [
        {
          method: 'POST',
          signed: true,
          when: [
            {
              from: 'header',
              name: 'twitch-eventsub-message-type',
              equals: 'webhook_callback_verification',
            },
            { from: 'body', name: 'challenge' },
          ],
          answer: { as: 'text', text: { from: 'body', name: 'challenge' } },
        },
      ],
      ...VERBATIM_LINES,
      secretBytesMin: 10,
    },
    key: "header('twitch-eventsub-message-id')",
  },
  paddle: {
    title: 'Paddle Billing',
    source: 'https://developer.paddle.com/webhooks/signature-verification',
    definition: {
      name: 'paddle',
      headers: [{ signature: 'paddle-signature' }],
      format: { kind: 'comma-list', timestampField: 'ts', separator: ';' },
      versions: [{ label: 'h1', algorithm: 'hmac-sha256', encoding: 'hex' }],
      signed: '{timestamp}:{body}',
      timestampUnit: 's',
      ...VERBATIM_LINES,
      answer: { accepted: 200 },
    },
    key: "body('event_id')",
  },
  calendly: {
    title: 'Calendly',
    source: 'https://developer.calendly.com/api-docs/4c305798a61d3-webhook-signatures',
    definition: {
      name: 'calendly',
      headers: [{ signature: 'calendly-webhook-signature' }],
      format: { kind: 'comma-list', timestampField: 't' },
      versions: [{ label: 'v1', algorithm: 'hmac-sha256', encoding: 'hex' }],
      signed: '{timestamp}.{body}',
      timestampUnit: 's',
      ...VERBATIM_LINES,
    },
    key: '',
  },
  sendgrid: {
    title: 'Twilio SendGrid event webhook',
    source:
      'https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features',
    definition: {
      name: 'sendgrid',
      headers: [
        {
          signature: 'x-twilio-email-event-webhook-signature',
          timestamp: 'x-twilio-email-event-webhook-timestamp',
        },
      ],
      format: { kind: 'single', prefix: '' },
      versions: [{ label: '', algorithm: 'ecdsa-p256-sha256', encoding: 'base64', ecdsa: 'der' }],
      signed: '{timestamp}{body}',
      timestampUnit: 's',
      secretForms: PUBLIC_KEYS,
      secretSeparator: 'pem',
      answer: { accepted: 200 },
    },
    key: '',
    note: 'The secret is the verification key. A body is a list of events, each with sg_event_id.',
  },
  zendesk: {
    title: 'Zendesk',
    source: 'https://developer.zendesk.com/documentation/webhooks/verifying/',
    definition: {
      name: 'zendesk',
      headers: [
        {
          signature: 'x-zendesk-webhook-signature',
          timestamp: 'x-zendesk-webhook-signature-timestamp',
        },
      ],
      format: { kind: 'single', prefix: '' },
      versions: [BASE64],
      signed: '{timestamp}{body}',
      timestampUnit: 'iso',
      ...VERBATIM_LINES,
    },
    key: '',
  },
  box: {
    title: 'Box',
    source: 'https://developer.box.com/guides/webhooks/v2/signatures-v2',
    definition: {
      name: 'box',
      headers: [
        {
          signature: 'box-signature-primary',
          more: ['box-signature-secondary'],
          timestamp: 'box-delivery-timestamp',
          id: 'box-delivery-id',
        },
      ],
      format: { kind: 'single', prefix: '' },
      versions: [BASE64],
      signed: '{body}{timestamp}',
      timestampUnit: 'iso',
      fixedHeaders: [
        { name: 'box-signature-version', value: '1' },
        { name: 'box-signature-algorithm', value: 'HmacSHA256' },
      ],
      tolerance: { past: '10m', future: '5m' },
      ...VERBATIM_LINES,
    },
    key: "header('box-delivery-id')",
  },
  linear: {
    title: 'Linear',
    source: 'https://linear.app/developers/webhooks',
    definition: overBody('linear', 'linear-signature', {
      id: 'linear-delivery',
      timestampPath: 'webhookTimestamp',
      timestampUnit: 'ms',
      answer: { accepted: 200 },
    }),
    key: "header('linear-delivery')",
  },
  customerio: {
    title: 'Customer.io',
    source: 'https://docs.customer.io/integrations/api/webhooks/',
    definition: {
      name: 'customerio',
      headers: [{ signature: 'x-cio-signature', timestamp: 'x-cio-timestamp' }],
      format: { kind: 'single', prefix: '' },
      versions: [HEX],
      signed: 'v0:{timestamp}:{body}',
      timestampUnit: 's',
      ...VERBATIM_LINES,
      answer: { accepted: 200 },
    },
    key: "body('event_id')",
  },
  webflow: {
    title: 'Webflow',
    source: 'https://developers.webflow.com/data/reference/request-signatures',
    definition: {
      name: 'webflow',
      headers: [{ signature: 'x-webflow-signature', timestamp: 'x-webflow-timestamp' }],
      format: { kind: 'single', prefix: '' },
      versions: [HEX],
      signed: '{timestamp}:{body}',
      timestampUnit: 'ms',
      ...VERBATIM_LINES,
      answer: { accepted: 200 },
    },
    key: '',
  },
}
