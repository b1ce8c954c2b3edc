import {
  type BearerScheme,
  describeSecret,
  type KeySource,
  sampleEventHeaders,
  type SecretReference,
  type SignedScheme,
  type Webhook,
} from '../../contract/index.ts'
import { type Random, toHex, utf8 } from '../../kernel/index.ts'
import { FORM } from '../../inbox/index.ts'
import { type SigningKey, signDelivery, type SignedDelivery, toForm } from '../../security/index.ts'
import { makeSigner, type Signer } from './make-signer.ts'
import type { VirtualClock } from '../virtual-clock.ts'

/** What a partner puts on the wire. */
export interface TestRequest {
  readonly id: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

export interface RequestPlan {
  /** Sent as JSON, or as it is when it is bytes. */
  readonly body: unknown
  /** @default a fresh one */
  readonly id?: string
  /** @default the contract's latest */
  readonly version?: number
  /** When the partner says that it signed. @default now */
  readonly signedAtMs?: number
  /** @default 'right' */
  readonly signature?: 'right' | 'of-other-bytes' | 'by-a-stranger' | 'missing'
}

/** A partner of one webhook, with secrets of its own. */
export interface TestPartner {
  readonly env: Readonly<Record<string, string>>
  readonly files: Readonly<Record<string, Uint8Array>>
  request(clock: VirtualClock, plan: RequestPlan): TestRequest
}

export const createTestPartner = (webhook: Webhook, random: Random): TestPartner => {
  const scheme = webhook.verify.kind === 'unsigned' ? undefined : webhook.verify
  const secrets = scheme
    ? scheme.secrets.map((reference) => ({ reference, ...makeSigner(scheme, random) }))
    : []
  const strangers: readonly Signer[] = scheme ? [makeSigner(scheme, random)] : []
  const tokens = handshakeTokens(scheme, random)
  const textsOf = (kind: SecretReference['kind']): readonly (readonly [string, string])[] =>
    secrets
      .filter(({ reference }) => reference.kind === kind)
      .map(({ reference, text }) => [describeSecret(reference).source, text] as const)
  return {
    env: Object.fromEntries([...textsOf('env'), ...tokens('env')]),
    files: Object.fromEntries(
      [...textsOf('file'), ...tokens('file')].map(([path, text]) => [path, utf8(text)]),
    ),
    request(clock, plan) {
      const id = plan.id ?? `ct-${toHex(random.bytes(8))}`
      const body = bodyBytes(plan.body, webhook.contentTypes[0])
      const keys = plan.signature === 'by-a-stranger' ? strangers : secrets
      const signed = sign(webhook, {
        plan,
        id,
        body,
        keys: keys.map(({ key }) => key),
        nowMs: clock.now(),
      })
      return {
        id,
        path: signed.target,
        body: signed.body,
        headers: {
          'content-type': webhook.contentTypes[0] ?? 'application/json',
          ...headerOf(webhook.version, String(plan.version ?? webhook.accepts.latest)),
          ...headerOf(webhook.idempotency.key, id),
          ...sampleEventHeaders(
            { endpoint: webhook.endpoint, from: webhook.from.name, accepts: webhook.accepts.name },
            { id, version: plan.version ?? webhook.accepts.latest },
          ),
          ...signed.headers,
        },
      }
    },
  }
}

const headerOf = (source: KeySource | undefined, value: string): Record<string, string> =>
  source?.from === 'header' ? { [source.name]: value } : {}

/** As a form where the webhook takes forms first, otherwise as JSON. */
function bodyBytes(body: unknown, mediaType: string | undefined): Uint8Array {
  if (body instanceof Uint8Array) return body
  const form = mediaType === FORM ? toForm(body) : undefined
  return utf8(form ?? JSON.stringify(body ?? null))
}

/** What a sender shows when it subscribes; nothing of it is tried here, and a start needs it. */
const handshakeTokens =
  (scheme: SignedScheme | BearerScheme | undefined, random: Random) =>
  (kind: SecretReference['kind']): readonly (readonly [string, string])[] =>
    ((scheme?.kind === 'signed' && scheme.handshakeSecrets) || [])
      .filter((reference) => reference.kind === kind)
      .map((reference) => [describeSecret(reference).source, toHex(random.bytes(16))] as const)

function sign(
  webhook: Webhook,
  request: {
    readonly plan: RequestPlan
    readonly id: string
    readonly body: Uint8Array
    readonly keys: readonly SigningKey[]
    readonly nowMs: number
  },
): SignedDelivery {
  const { plan, id, body, keys, nowMs } = request
  const scheme = webhook.verify
  const { path } = webhook
  const delivery = signDelivery({
    scheme,
    keys: keys.slice(0, 1),
    messageId: id,
    timestampMs: plan.signedAtMs ?? nowMs,
    body,
    request: { method: 'POST', target: path, path },
    mediaType: webhook.contentTypes[0] ?? 'application/json',
    // Well-formed, by the right key, and of something else.
    isSpoiled: plan.signature === 'of-other-bytes',
  })
  if (plan.signature !== 'missing' || scheme.kind === 'unsigned') return delivery
  const names = new Set(signatureNames(scheme))
  const headers = Object.entries(delivery.headers).filter(([name]) => !names.has(name))
  const bare = scheme.kind === 'signed' && scheme.inBody ? body : delivery.body
  return { ...delivery, headers: Object.fromEntries(headers), body: bare }
}

const signatureNames = (scheme: SignedScheme | BearerScheme): readonly string[] =>
  scheme.kind === 'bearer'
    ? [scheme.header ?? 'authorization']
    : scheme.headers.flatMap(({ signature, more = [] }) => [signature, ...more])
