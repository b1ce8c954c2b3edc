import { declarationError } from './declaration-error.ts'
import { expectedAnswer, signatureScheme } from './signature-scheme.ts'
import type {
  ExpectedAnswer,
  SchemeDefinition,
  SchemeOptions,
  SecretForm,
  SignedScheme,
  UnsignedScheme,
} from './scheme-types.ts'

export const STANDARD_WEBHOOKS: SchemeDefinition = {
  name: 'standard-webhooks',
  headers: ['webhook', 'svix'].map((family) => ({
    signature: `${family}-signature`,
    timestamp: `${family}-timestamp`,
    id: `${family}-id`,
  })),
  format: { kind: 'space-list' },
  versions: [
    { label: 'v1', algorithm: 'hmac-sha256', encoding: 'base64' },
    { label: 'v1a', algorithm: 'ed25519', encoding: 'base64' },
  ],
  signed: '{id}.{timestamp}.{body}',
  timestampUnit: 's',
  secretForms: [
    { prefix: 'whsec_', encoding: 'base64', use: 'hmac' },
    { prefix: 'whpk_', encoding: 'base64', use: 'ed25519-public' },
    { prefix: 'whsk_', encoding: 'base64', use: 'ed25519-private' },
    { prefix: '', encoding: 'base64', use: 'hmac' },
  ],
  secretSeparator: 'whitespace',
}

export const VERBATIM: readonly SecretForm[] = [{ prefix: '', encoding: 'verbatim', use: 'hmac' }]

export const STRIPE: SchemeDefinition = {
  name: 'stripe',
  headers: [{ signature: 'stripe-signature' }],
  format: { kind: 'comma-list', timestampField: 't' },
  versions: [{ label: 'v1', algorithm: 'hmac-sha256', encoding: 'hex' }],
  signed: '{timestamp}.{body}',
  timestampUnit: 's',
  secretForms: VERBATIM,
  secretSeparator: 'whitespace',
}

export const GITHUB: SchemeDefinition = {
  name: 'github',
  headers: [{ signature: 'x-hub-signature-256', id: 'x-github-delivery' }],
  format: { kind: 'single', prefix: 'sha256=' },
  versions: [{ label: '', algorithm: 'hmac-sha256', encoding: 'hex' }],
  signed: '{body}',
  secretForms: VERBATIM,
  secretSeparator: 'line',
}

/**
 * Standard Webhooks: `v1` (HMAC, secrets `whsec_…`) and `v1a` (ed25519, public keys `whpk_…`),
 * under the headers `webhook-*` or `svix-*`, several signatures in one header.
 *
 * @throws JUNCTURA_DECLARATION when an option is out of its bounds.
 * @see the Standard Webhooks specification 1.0.0, "Signature scheme"
 */
export const standardWebhooks = (options: SchemeOptions): SignedScheme =>
  signatureScheme(STANDARD_WEBHOOKS, options)

/**
 * Stripe: `t=…,v1=…` in `stripe-signature`. Its `whsec_…` secret is the key as it is written, not
 * base64. The id is in the body: take it as the idempotency key with `body('id')`.
 *
 * @throws JUNCTURA_DECLARATION when an option is out of its bounds.
 */
export const stripe = (options: SchemeOptions): SignedScheme => signatureScheme(STRIPE, options)

/**
 * GitHub: `x-hub-signature-256` over the body alone. Nothing says when a request was made and
 * `x-github-delivery` is not signed, so only the dedupe record of the body stops a replay. Several
 * secrets in one variable or file stand on lines of their own.
 *
 * @throws JUNCTURA_DECLARATION when an option is out of its bounds.
 */
export const github = (options: Omit<SchemeOptions, 'tolerance'>): SignedScheme =>
  signatureScheme(GITHUB, options)

export interface HmacOptions extends SchemeOptions {
  /** @default 'hmac' */
  readonly name?: string
  /** The header that carries the signature. */
  readonly header: string
  /** @default 'hex' */
  readonly encoding?: 'hex' | 'base64'
  /** @default 'hmac-sha256' */
  readonly algorithm?: 'hmac-sha256' | 'hmac-sha512' | 'hmac-sha1'
  /**
   * What is signed, with `{id}`, `{timestamp}` and `{body}`; for example `v0:{timestamp}:{body}`.
   *
   * @default '{body}'
   */
  readonly signed?: string
  /** What stands before the signature in its header, such as `sha256=`. */
  readonly prefix?: string
  /** Must be signed too: an unsigned timestamp proves nothing. */
  readonly timestamp?: { readonly header: string; readonly unit?: 's' | 'ms' }
  readonly id?: { readonly header: string }
  /**
   * How the secret's text becomes the key. Several verbatim secrets in one variable or file stand
   * on lines of their own.
   *
   * @default 'verbatim'
   */
  readonly secretEncoding?: 'verbatim' | 'base64' | 'hex'
}

/**
 * A keyed hash in a header, as most partners without a named scheme do it.
 *
 * @throws JUNCTURA_DECLARATION when the body is not signed, a part that is signed has no header, or
 * an option is out of its bounds.
 * @example hmac({ secret: secret.env('PARTNER_SECRET'), header: 'x-signature', prefix: 'sha256=' })
 */
export const hmac = (options: HmacOptions): SignedScheme => {
  const secretEncoding = options.secretEncoding ?? 'verbatim'
  const definition: SchemeDefinition = {
    name: options.name ?? 'hmac',
    headers: [
      {
        signature: options.header,
        ...(options.timestamp ? { timestamp: options.timestamp.header } : {}),
        ...(options.id ? { id: options.id.header } : {}),
      },
    ],
    format: { kind: 'single', prefix: options.prefix ?? '' },
    versions: [
      {
        label: '',
        algorithm: options.algorithm ?? 'hmac-sha256',
        encoding: options.encoding ?? 'hex',
      },
    ],
    signed: options.signed ?? '{body}',
    ...(options.timestamp ? { timestampUnit: options.timestamp.unit ?? 's' } : {}),
    secretForms: [{ prefix: '', encoding: secretEncoding, use: 'hmac' }],
    secretSeparator: secretEncoding === 'verbatim' ? 'line' : 'whitespace',
  }
  return signatureScheme(definition, options)
}

/**
 * Takes requests from anyone. The reason is for whoever asks later why this door has no lock.
 *
 * @throws JUNCTURA_DECLARATION when the reason is empty.
 */
export const unsigned = (options: {
  readonly reason: string
  readonly answer?: Partial<ExpectedAnswer>
}): UnsignedScheme => {
  const reason = typeof options?.reason === 'string' ? options.reason.trim() : ''
  if (reason === '') {
    throw declarationError(
      'unsigned.reason',
      'requests from anyone would be taken without a reason',
      'write why this sender cannot sign, or declare a scheme',
    )
  }
  return Object.freeze({
    kind: 'unsigned',
    name: 'unsigned',
    reason,
    answer: expectedAnswer(options.answer),
  })
}
