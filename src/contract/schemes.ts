import {
  type BearerScheme,
  type TokenDefinition,
  type TokenOptions,
  tokenScheme,
} from './bearer-scheme.ts'
import { declarationError } from './declaration-error.ts'
import { github, standardWebhooks, stripe } from './scheme-presets.ts'
import type {
  SchemeDefinition,
  SchemeOptions,
  SchemeSetting,
  SignatureAlgorithm,
  SignedScheme,
} from './scheme-types.ts'
import type { SecretInput } from './secret.ts'
import { signatureScheme } from './signature-scheme.ts'
import { PUBLIC_KEYS } from './vendor-scheme.ts'
import { VENDOR_SCHEMES } from './vendor-schemes.ts'

/** Of a sender that signs no time. */
export type UntimedOptions = Omit<SchemeOptions, 'tolerance'>

/** Of a sender that signs the URL of the webhook. */
export interface UrlOptions extends UntimedOptions {
  readonly publicUrl: NonNullable<SchemeSetting['publicUrl']>
}

/** Of a sender that shows a token when it subscribes. */
export interface SubscribedOptions extends UntimedOptions {
  /** The token that you typed in at the sender. */
  readonly verifyToken: SecretInput
}

/** Of a sender that names its certificate; give `secret` to have no certificate fetched. */
export interface CertificateOptions extends Omit<SchemeOptions, 'secret'> {
  readonly secret?: SecretInput
}

export interface PaypalOptions extends Omit<CertificateOptions, 'tolerance'> {
  /** The id of the webhook in the developer dashboard; it is signed, and not sent. */
  readonly webhookId: string
}

export interface CloudEventsOptions extends TokenOptions {
  /**
   * DNS names of senders that may send here, as they say them in `WebHook-Request-Origin`.
   */
  readonly allowedOrigins: readonly string[]
  /** Requests a minute that a sender is granted. @default '*', as many as it asks for */
  readonly requestsPerMinute?: number
}

export interface MessageSignatureOptions extends SchemeOptions {
  /** @default 'http-message-signatures' */
  readonly name?: string
  readonly publicUrl: NonNullable<SchemeSetting['publicUrl']>
  /** What the sender may use; a key is only used with its own. */
  readonly algorithms: readonly (
    | 'hmac-sha256'
    | 'ed25519'
    | 'ecdsa-p256-sha256'
    | 'rsa-pss-sha512'
  )[]
  /** What must be covered, at least. @default ['@method', '@target-uri', 'content-digest'] */
  readonly components?: readonly string[]
  /** What the sender must write as `tag`. @default anything */
  readonly tag?: string
  /** A header that carries the id of the message; it must be covered too. */
  readonly id?: { readonly header: string }
}

const signed =
  (name: string): ((options: Partial<SchemeOptions> & SchemeSetting) => SignedScheme) =>
  (options) =>
    signatureScheme(signedDefinition(name), options)

function signedDefinition(name: string): SchemeDefinition {
  const definition = VENDOR_SCHEMES[name]?.definition
  if (definition && 'versions' in definition) return definition
  throw declarationError(`schemes.${name}`, 'it is no signature', 'see the reference of schemes')
}

const token =
  (name: string): ((options: TokenOptions) => BearerScheme) =>
  (options) => {
    const definition = VENDOR_SCHEMES[name]?.definition
    const isToken = definition && !('versions' in definition)
    return tokenScheme(isToken ? definition : { name }, options)
  }

const timed = (name: string): ((options: SchemeOptions) => SignedScheme) => signed(name)
const untimed = (name: string): ((options: UntimedOptions) => SignedScheme) => signed(name)
const overUrl = (name: string): ((options: UrlOptions) => SignedScheme) => signed(name)

/** Everything that is known by name; `docs/reference/schemes.md` says what each of them is. */
export interface Schemes {
  readonly standardWebhooks: (options: SchemeOptions) => SignedScheme
  readonly stripe: (options: SchemeOptions) => SignedScheme
  readonly slack: (options: SchemeOptions) => SignedScheme
  readonly zoom: (options: SchemeOptions) => SignedScheme
  readonly discord: (options: SchemeOptions) => SignedScheme
  readonly discordEvents: (options: SchemeOptions) => SignedScheme
  readonly telnyx: (options: SchemeOptions) => SignedScheme
  readonly hubspot: (options: UrlOptions & SchemeOptions) => SignedScheme
  readonly twitch: (options: SchemeOptions) => SignedScheme
  readonly paddle: (options: SchemeOptions) => SignedScheme
  readonly calendly: (options: SchemeOptions) => SignedScheme
  readonly sendgrid: (options: SchemeOptions) => SignedScheme
  readonly zendesk: (options: SchemeOptions) => SignedScheme
  readonly box: (options: SchemeOptions) => SignedScheme
  readonly linear: (options: SchemeOptions) => SignedScheme
  readonly customerio: (options: SchemeOptions) => SignedScheme
  readonly webflow: (options: SchemeOptions) => SignedScheme
  readonly mailgun: (options: SchemeOptions) => SignedScheme
  readonly sns: (options?: CertificateOptions) => SignedScheme
  readonly github: (options: UntimedOptions) => SignedScheme
  readonly shopify: (options: UntimedOptions) => SignedScheme
  readonly square: (options: UrlOptions) => SignedScheme
  readonly twilio: (options: UrlOptions) => SignedScheme
  readonly bitbucket: (options: UntimedOptions) => SignedScheme
  readonly meta: (options: SubscribedOptions) => SignedScheme
  readonly intercom: (options: UntimedOptions) => SignedScheme
  readonly dropbox: (options: UntimedOptions) => SignedScheme
  readonly typeform: (options: UntimedOptions) => SignedScheme
  readonly woocommerce: (options: UntimedOptions) => SignedScheme
  readonly docusign: (options: UntimedOptions) => SignedScheme
  readonly vercel: (options: UntimedOptions) => SignedScheme
  readonly sentry: (options: UntimedOptions) => SignedScheme
  readonly razorpay: (options: UntimedOptions) => SignedScheme
  readonly pagerduty: (options: UntimedOptions) => SignedScheme
  readonly lemonsqueezy: (options: UntimedOptions) => SignedScheme
  readonly calcom: (options: UntimedOptions) => SignedScheme
  readonly trello: (options: UrlOptions) => SignedScheme
  readonly paypal: (options: PaypalOptions) => SignedScheme
  readonly adyen: (options: UntimedOptions) => SignedScheme
  readonly gitlab: (options: TokenOptions) => BearerScheme
  readonly okta: (options: TokenOptions) => BearerScheme
  readonly cloudEvents: (options: CloudEventsOptions) => BearerScheme
  readonly httpMessageSignatures: (options: MessageSignatureOptions) => SignedScheme
}

/**
 * Senders by name: `schemes.slack({ secret: secret.env('SLACK_SIGNING_SECRET') })`. Each is plain
 * data in `VENDOR_SCHEMES`, read by the one verifier that reads your own `signatureScheme`, too.
 *
 * @throws JUNCTURA_DECLARATION when an option is missing or out of its bounds.
 */
export const schemes: Schemes = Object.freeze<Schemes>({
  standardWebhooks,
  stripe,
  github,
  slack: timed('slack'),
  zoom: timed('zoom'),
  discord: timed('discord'),
  discordEvents: timed('discordEvents'),
  telnyx: timed('telnyx'),
  hubspot: signed('hubspot'),
  twitch: timed('twitch'),
  paddle: timed('paddle'),
  calendly: timed('calendly'),
  sendgrid: timed('sendgrid'),
  zendesk: timed('zendesk'),
  box: timed('box'),
  linear: timed('linear'),
  customerio: timed('customerio'),
  webflow: timed('webflow'),
  mailgun: timed('mailgun'),
  sns: (options = {}) => signed('sns')(options),
  shopify: untimed('shopify'),
  square: overUrl('square'),
  twilio: overUrl('twilio'),
  bitbucket: untimed('bitbucket'),
  meta: ({ verifyToken, ...options }) =>
    signatureScheme(signedDefinition('meta'), { ...options, handshakeSecret: verifyToken }),
  intercom: untimed('intercom'),
  dropbox: untimed('dropbox'),
  typeform: untimed('typeform'),
  woocommerce: untimed('woocommerce'),
  docusign: untimed('docusign'),
  vercel: untimed('vercel'),
  sentry: untimed('sentry'),
  razorpay: untimed('razorpay'),
  pagerduty: untimed('pagerduty'),
  lemonsqueezy: untimed('lemonsqueezy'),
  calcom: untimed('calcom'),
  trello: overUrl('trello'),
  paypal,
  adyen: untimed('adyen'),
  gitlab: token('gitlab'),
  okta: token('okta'),
  cloudEvents,
  httpMessageSignatures,
})

function paypal({ webhookId, ...options }: PaypalOptions): SignedScheme {
  if (typeof webhookId !== 'string' || !/^[A-Za-z0-9]{1,50}$/.test(webhookId)) {
    throw declarationError(
      'verify paypal.webhookId',
      `${JSON.stringify(webhookId)} is not the id of a webhook`,
      'copy the webhook ID from the developer dashboard',
    )
  }
  const definition = signedDefinition('paypal')
  const signedText = definition.signed?.replace('WEBHOOK_ID', webhookId) ?? ''
  return signatureScheme({ ...definition, signed: signedText }, options)
}

/** @see CloudEvents, HTTP 1.1 Web Hooks for Event Delivery 1.0.2, section 4 */
function cloudEvents(options: CloudEventsOptions): BearerScheme {
  const { allowedOrigins, requestsPerMinute, ...rest } = options
  const origins = Array.isArray(allowedOrigins) ? allowedOrigins.map(String) : []
  if (origins.length === 0 || !origins.every((name) => /^[a-z0-9.-]{1,253}$/.test(name))) {
    throw declarationError(
      'verify cloud-events.allowedOrigins',
      `${JSON.stringify(allowedOrigins)} is not a list of DNS names`,
      "write allowedOrigins: ['eventemitter.example.com']",
    )
  }
  const rate = requestsPerMinute ?? '*'
  if (rate !== '*' && !(Number.isInteger(rate) && rate >= 1)) {
    throw declarationError(
      'verify cloud-events.requestsPerMinute',
      `${rate} grants nothing`,
      'give a whole number of at least 1, or leave it out',
    )
  }
  const definition: TokenDefinition = {
    name: 'cloud-events',
    handshakes: [
      {
        method: 'OPTIONS',
        signed: false,
        when: [{ from: 'header', name: 'webhook-request-origin', among: origins }],
        answer: {
          as: 'headers',
          headers: {
            'webhook-allowed-origin': { from: 'header', name: 'webhook-request-origin' },
            'webhook-allowed-rate': { from: 'fixed', value: rate },
          },
        },
      },
    ],
  }
  return tokenScheme(definition, rest)
}

const MESSAGE_COMPONENTS = ['@method', '@target-uri', 'content-digest']

/** @see RFC 9421; RFC 9530 for `content-digest` */
function httpMessageSignatures(options: MessageSignatureOptions): SignedScheme {
  const { name, algorithms, tag, id, ...rest } = options
  const isKeyed = algorithms.includes('hmac-sha256')
  const isPublic = algorithms.some((each: SignatureAlgorithm) => each !== 'hmac-sha256')
  if (isKeyed && isPublic) {
    throw declarationError(
      'verify http-message-signatures.algorithms',
      'a secret and public keys in one place could be taken for each other',
      "write ['hmac-sha256'], or only algorithms of public keys",
    )
  }
  const components = [...(options.components ?? MESSAGE_COMPONENTS)].map((one) => one.toLowerCase())
  const idHeader = id?.header.toLowerCase()
  if (idHeader !== undefined && !components.includes(idHeader)) components.push(idHeader)
  const definition: SchemeDefinition = {
    name: name ?? 'http-message-signatures',
    headers: [{ signature: 'signature', ...(idHeader !== undefined && { id: idHeader }) }],
    format: { kind: 'http-message', components, ...(tag !== undefined && { tag }) },
    versions: algorithms.map((algorithm) => ({
      label: algorithm,
      algorithm,
      encoding: 'base64',
      ecdsa: 'ieee-p1363',
    })),
    timestampUnit: 's',
    secretForms: isKeyed ? [{ prefix: '', encoding: 'base64', use: 'hmac' }] : PUBLIC_KEYS,
    secretSeparator: isKeyed ? 'whitespace' : 'pem',
  }
  return signatureScheme(definition, rest)
}
