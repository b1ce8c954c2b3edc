import { GITHUB } from './scheme-presets.ts'
import { BASE64, overBody, SHA1_BASE64, SHA1_HEX, type Vendors } from './vendor-scheme.ts'

/** Senders that sign the body and no time. */
export const UNTIMED_VENDORS: Vendors = {
  github: {
    title: 'GitHub',
    source: 'https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries',
    definition: GITHUB,
    key: "header('x-github-delivery')",
    retriesFor: '0s',
    note: 'It never tries again by itself.',
  },
  shopify: {
    title: 'Shopify',
    source: 'https://shopify.dev/docs/apps/build/webhooks/verify-deliveries',
    definition: overBody('shopify', 'x-shopify-hmac-sha256', {
      id: 'x-shopify-webhook-id',
      versions: [BASE64],
      answer: { accepted: 200 },
    }),
    key: "header('x-shopify-webhook-id')",
  },
  square: {
    title: 'Square',
    source: 'https://developer.squareup.com/docs/webhooks/step3validate',
    definition: overBody('square', 'x-square-hmacsha256-signature', {
      versions: [BASE64],
      signed: '{url}{body}',
      secretBytesMin: 16,
    }),
    key: "body('event_id')",
  },
  twilio: {
    title: 'Twilio',
    source: 'https://www.twilio.com/docs/usage/webhooks/webhooks-security',
    definition: overBody('twilio', 'x-twilio-signature', {
      id: 'i-twilio-idempotency-token',
      versions: [SHA1_BASE64],
      signed: '{url}{form}',
      covers: 'form',
      bodyHashInQuery: 'bodySHA256',
      answer: { accepted: 204, duplicate: 204 },
    }),
    key: "header('i-twilio-idempotency-token')",
    note: 'Forms: contentTypes with application/x-www-form-urlencoded. JSON is covered by bodySHA256 in the URL.',
  },
  bitbucket: {
    title: 'Bitbucket',
    source: 'https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/',
    definition: overBody('bitbucket', 'x-hub-signature', {
      id: 'x-request-uuid',
      prefix: 'sha256=',
    }),
    key: "header('x-request-uuid')",
  },
  meta: {
    title: 'Meta (Facebook, Instagram, WhatsApp)',
    source: 'https://developers.facebook.com/docs/graph-api/webhooks/getting-started/',
    definition: overBody('meta', 'x-hub-signature-256', {
      prefix: 'sha256=',
      handshakes: [
        {
          method: 'GET',
          signed: false,
          when: [
            { from: 'query', name: 'hub.mode', equals: 'subscribe' },
            { from: 'query', name: 'hub.challenge' },
          ],
          shows: { from: 'query', name: 'hub.verify_token' },
          answer: { as: 'text', text: { from: 'query', name: 'hub.challenge' } },
        },
      ],
      answer: { accepted: 200 },
    }),
    key: '',
  },
  intercom: {
    title: 'Intercom',
    source: 'https://developers.intercom.com/docs/references/webhooks/webhook-models',
    definition: overBody('intercom', 'x-hub-signature', {
      prefix: 'sha1=',
      versions: [SHA1_HEX],
      answer: { accepted: 200 },
    }),
    key: "body('id')",
  },
  dropbox: {
    title: 'Dropbox',
    source: 'https://www.dropbox.com/developers/reference/webhooks',
    definition: overBody('dropbox', 'x-dropbox-signature', {
      secretBytesMin: 15,
      handshakes: [
        {
          method: 'GET',
          signed: false,
          when: [{ from: 'query', name: 'challenge' }],
          answer: { as: 'text', text: { from: 'query', name: 'challenge' } },
        },
      ],
      answer: { accepted: 200 },
    }),
    key: '',
    retriesFor: '10m',
  },
  typeform: {
    title: 'Typeform',
    source: 'https://www.typeform.com/developers/webhooks/secure-your-webhooks/',
    definition: overBody('typeform', 'typeform-signature', {
      prefix: 'sha256=',
      versions: [BASE64],
    }),
    key: "body('event_id')",
  },
  woocommerce: {
    title: 'WooCommerce',
    source: 'https://woocommerce.github.io/woocommerce-rest-api-docs/#webhooks',
    definition: overBody('woocommerce', 'x-wc-webhook-signature', {
      id: 'x-wc-webhook-delivery-id',
      versions: [BASE64],
    }),
    key: "header('x-wc-webhook-delivery-id')",
  },
  docusign: {
    title: 'DocuSign Connect',
    source: 'https://developers.docusign.com/platform/webhooks/connect/validate/',
    definition: {
      ...overBody('docusign', 'x-docusign-signature-1', { versions: [BASE64] }),
      headers: [
        {
          signature: 'x-docusign-signature-1',
          more: [2, 3, 4, 5, 6, 7, 8, 9].map((n) => `x-docusign-signature-${n}`),
        },
      ],
      answer: { accepted: 200 },
    },
    key: '',
    note: 'The first nine of its signatures are read.',
  },
  vercel: {
    title: 'Vercel',
    source: 'https://vercel.com/docs/webhooks/webhooks-api',
    definition: overBody('vercel', 'x-vercel-signature', { versions: [SHA1_HEX] }),
    key: "body('id')",
  },
  sentry: {
    title: 'Sentry',
    source: 'https://docs.sentry.io/integrations/integration-platform/webhooks/',
    definition: overBody('sentry', 'sentry-hook-signature', { id: 'request-id' }),
    key: "header('request-id')",
    note: 'The time in sentry-hook-timestamp is not signed.',
  },
  razorpay: {
    title: 'Razorpay',
    source: 'https://razorpay.com/docs/webhooks/validate-test/',
    definition: overBody('razorpay', 'x-razorpay-signature', { id: 'x-razorpay-event-id' }),
    key: "header('x-razorpay-event-id')",
    retriesFor: '1d',
  },
  pagerduty: {
    title: 'PagerDuty (v3)',
    source: 'https://developer.pagerduty.com/docs/verifying-webhook-signatures',
    definition: {
      ...overBody('pagerduty', 'x-pagerduty-signature'),
      format: { kind: 'comma-list' },
      versions: [{ label: 'v1', algorithm: 'hmac-sha256', encoding: 'hex' }],
    },
    key: "body('event.id')",
  },
  lemonsqueezy: {
    title: 'Lemon Squeezy',
    source: 'https://docs.lemonsqueezy.com/help/webhooks/signing-requests',
    definition: overBody('lemonsqueezy', 'x-signature', {
      secretBytesMin: 16,
      answer: { accepted: 200 },
    }),
    key: '',
  },
  calcom: {
    title: 'Cal.com',
    source: 'https://cal.com/docs/developing/guides/automation/webhooks',
    definition: overBody('calcom', 'x-cal-signature-256', { answer: { accepted: 200 } }),
    key: '',
  },
  trello: {
    title: 'Trello',
    source: 'https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/',
    definition: overBody('trello', 'x-trello-webhook', {
      versions: [SHA1_BASE64],
      signed: '{body}{url}',
      handshakes: [
        {
          method: 'HEAD',
          signed: false,
          when: [{ from: 'header', name: 'host' }],
          answer: { as: 'nothing' },
        },
      ],
      answer: { accepted: 200 },
    }),
    key: "body('action.id')",
  },
}
