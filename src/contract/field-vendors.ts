import { BASE64, HEX, PUBLIC_KEYS, VERBATIM_LINES, type Vendors } from './vendor-scheme.ts'

/** Senders whose signature does not cover the body as it is: what else it covers is in `covers`. */
export const FIELD_VENDORS: Vendors = {
  mailgun: {
    title: 'Mailgun',
    source: 'https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks',
    definition: {
      name: 'mailgun',
      headers: [],
      inBody: { signature: 'signature.signature', id: 'signature.token' },
      timestampPath: 'signature.timestamp',
      format: { kind: 'single', prefix: '' },
      versions: [HEX],
      signed: '{timestamp}{field:signature.token}',
      covers: 'fields',
      timestampUnit: 's',
      // Mailgun says that its own queues may hold a request for long.
      tolerance: { past: '24h', future: '5m' },
      ...VERBATIM_LINES,
      answer: { accepted: 200 },
    },
    key: "body('signature.token')",
    note: 'Only the token is signed, not the event: the key must be the token, so that it is taken once.',
  },
  sns: {
    title: 'Amazon SNS (SignatureVersion 2)',
    source: 'https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html',
    definition: {
      name: 'sns',
      headers: [],
      inBody: { signature: 'Signature', id: 'MessageId' },
      timestampPath: 'Timestamp',
      format: { kind: 'single', prefix: '' },
      versions: [{ label: '', algorithm: 'rsa-sha256', encoding: 'base64' }],
      signed: '{lines:Message,MessageId,Subject,SubscribeURL,Timestamp,Token,TopicArn,Type}',
      covers: 'fields',
      timestampUnit: 'iso',
      // The time of the publication, which its retries keep.
      tolerance: { past: '24h', future: '5m' },
      certificate: {
        place: { from: 'body', name: 'SigningCertURL' },
        hosts: ['sns.*.amazonaws.com', 'sns.*.amazonaws.com.cn'],
        path: '/SimpleNotificationService-',
      },
      secretForms: PUBLIC_KEYS,
      secretSeparator: 'pem',
      answer: { accepted: 200 },
    },
    key: "body('MessageId')",
    note: 'Set SignatureVersion 2 on the topic: version 1 uses SHA-1. Media type text/plain. A subscription is confirmed by opening its SubscribeURL.',
  },
  paypal: {
    title: 'PayPal',
    source: 'https://developer.paypal.com/api/rest/webhooks/rest/',
    definition: {
      name: 'paypal',
      headers: [{ signature: 'paypal-transmission-sig', id: 'paypal-transmission-id' }],
      format: { kind: 'single', prefix: '' },
      versions: [{ label: '', algorithm: 'rsa-sha256', encoding: 'base64' }],
      // The id of the webhook at PayPal is put in by its preset.
      signed: '{id}|{header:paypal-transmission-time}|WEBHOOK_ID|{crc32}',
      covers: 'fields',
      fixedHeaders: [{ name: 'paypal-auth-algo', value: 'SHA256withRSA' }],
      certificate: {
        place: { from: 'header', name: 'paypal-cert-url' },
        hosts: ['api.paypal.com', 'api.sandbox.paypal.com'],
        path: '/v1/notifications/certs/',
      },
      secretForms: PUBLIC_KEYS,
      secretSeparator: 'pem',
      answer: { accepted: 200 },
    },
    key: "header('paypal-transmission-id')",
    note: 'Signed is a CRC-32 of the body, which others can forge: the key must be the transmission id, so that it is taken once with one body.',
  },
  adyen: {
    title: 'Adyen payments',
    source:
      'https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures',
    definition: {
      name: 'adyen',
      headers: [],
      inBody: {
        signature: 'notificationItems.0.NotificationRequestItem.additionalData.hmacSignature',
        one: 'notificationItems',
      },
      format: { kind: 'single', prefix: '' },
      versions: [BASE64],
      signed: [
        'pspReference',
        'originalReference',
        'merchantAccountCode',
        'merchantReference',
        'amount.value',
        'amount.currency',
        'eventCode',
        'success',
      ]
        .map((path) => `{field:notificationItems.0.NotificationRequestItem.${path}}`)
        .join(':'),
      covers: 'fields',
      secretForms: [{ prefix: '', encoding: 'hex', use: 'hmac' }],
      secretSeparator: 'whitespace',
      answer: { accepted: 200 },
    },
    key: "body('notificationItems.0.NotificationRequestItem.pspReference', …)",
    note: 'Eight fields are signed, the rest is not: the key must be made of signed fields. A field with a colon is refused, since it could be read in two ways.',
  },
}
