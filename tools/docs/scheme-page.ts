import type { SchemeDefinition, TokenDefinition, VendorScheme } from '../../src/contract/index.ts'
import { formatDuration, durationMs } from '../../src/kernel/index.ts'
import { GENERATED, tableCell } from './page-text.ts'

/** One row for each sender that is known by name, made of the data that verifies it. */
export const renderSchemePage = (vendors: Readonly<Record<string, VendorScheme>>): string => {
  const rows = Object.entries(vendors).map(([name, vendor]) => rowOf(name, vendor))
  const notes = Object.entries(vendors).flatMap(([name, { note }]) =>
    note === undefined ? [] : [`- \`${name}\`: ${note}`],
  )
  const lines = [
    '# Signature schemes',
    '',
    GENERATED,
    '',
    "Senders by name: `schemes.slack({ secret: secret.env('SLACK_SIGNING_SECRET') })`. Each row is data in",
    '`VENDOR_SCHEMES`, read by one verifier. How to declare them, and your own:',
    '[receive webhooks from a sender](../how-to/receive-webhooks-from.md).',
    '',
    '- **Replay**: what refuses a request that comes again. *time* is the signed time and its tolerance into past and',
    '  future; *dedupe* is only the dedupe record, because nothing that is signed says when a request was made.',
    '- **Key**: where the sender puts an id, for `idempotency: { key }`. Without one the key is made of the body.',
    '- **Retries**: how long it tries again, where its documentation says so; for `retriesFor`.',
    '- **Setup**: a request that sets up a subscription is answered and never stored.',
    '',
    '| Name | Sender | Signature in | Algorithm | Signed | Replay | Key | Retries | Setup | Source |',
    '|---|---|---|---|---|---|---|---|---|---|',
    ...rows,
    ...EXTRA,
    '',
    '## Notes',
    '',
    ...notes,
    '',
    '## What is not here',
    '',
    'Schemes that need more than a request and a key: a secret that the sender hands over at run time (Asana), a key',
    'fetched with credentials (Plaid), signed JSON Web Tokens (Vonage, Netlify, LiveKit).',
  ]
  return `${lines.join('\n')}\n`
}

const code = (text: string): string => (text === '' ? '' : `\`${text}\``)

function rowOf(name: string, vendor: VendorScheme): string {
  const { title, source, definition, key, retriesFor } = vendor
  const cells =
    'versions' in definition
      ? signedCells(definition)
      : ['token', 'the token itself', 'dedupe', code(definition.header ?? 'authorization')]
  const [algorithm = '', signed = '', replay = '', place = ''] = cells
  const setup = setupOf(definition)
  const retries = retriesFor === undefined ? '' : formatDuration(durationMs(retriesFor, 'retries'))
  const all = [code(name), title, place, algorithm, signed, replay, code(key), retries, setup]
  return `| ${all.map(tableCell).join(' | ')} | [docs](${source}) |`
}

function signedCells(definition: SchemeDefinition): readonly string[] {
  const { versions, signed = '', timestampUnit, tolerance = {}, headers, inBody } = definition
  const algorithms = [...new Set(versions.map(({ algorithm }) => algorithm))].join(', ')
  const minutes = (given: Parameters<typeof durationMs>[0] | undefined): string =>
    formatDuration(durationMs(given ?? '5m', 'tolerance'))
  const replay =
    timestampUnit === undefined
      ? 'dedupe'
      : `time, ${minutes(tolerance.past)} / ${minutes(tolerance.future)}`
  const place = inBody
    ? `body \`${inBody.signature}\``
    : headers.map(({ signature }) => `\`${signature}\``).join(', ')
  const whole = definition.covers === 'fields' ? 'fields only: ' : ''
  return [algorithms, `${whole}\`${shorten(signed)}\``, replay, place]
}

const SIGNED_CHARS_MAX = 60

const shorten = (text: string): string => {
  const plain = text.replaceAll('notificationItems.0.NotificationRequestItem.', '')
  return plain.length <= SIGNED_CHARS_MAX ? plain : `${plain.slice(0, SIGNED_CHARS_MAX)}…`
}

const setupOf = ({ handshakes = [] }: SchemeDefinition | TokenDefinition): string =>
  handshakes
    .map(({ method, signed, shows }) => {
      const proof = signed ? 'signed' : shows ? 'shows a token' : 'open'
      return `${method}, ${proof}`
    })
    .join('; ')

/** Those that are made of options, so that no fixed data says what they are. */
const EXTRA: readonly string[] = [
  "| `cloudEvents` | CloudEvents HTTP webhooks | `authorization` | token | the token itself | dedupe | `body('id')` | | OPTIONS, open | [docs](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md) |",
  '| `httpMessageSignatures` | HTTP Message Signatures (RFC 9421) with Content-Digest (RFC 9530) | `signature` | hmac-sha256, ed25519, ecdsa-p256-sha256, rsa-pss-sha512 | what the request lists, at least `@method`, `@target-uri`, `content-digest` | time, 5m / 5m, and `expires` | `id: { header }` | | | [docs](https://www.rfc-editor.org/rfc/rfc9421) |',
]
