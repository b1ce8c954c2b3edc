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
import {
  createSigningKey,
  ed25519PrivateKey,
  ed25519PublicBytes,
  type SigningKey,
  signRequest,
} from '../../security/index.ts'
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

interface Secret {
  readonly text: string
  readonly key: SigningKey
}

export const createTestPartner = (webhook: Webhook, random: Random): TestPartner => {
  const scheme = webhook.verify.kind === 'unsigned' ? undefined : webhook.verify
  const secrets = scheme
    ? scheme.secrets.map((reference) => ({ reference, ...makeSecret(scheme, random) }))
    : []
  const strangers = scheme ? [makeSecret(scheme, random)] : []
  const textsOf = (kind: SecretReference['kind']): readonly (readonly [string, string])[] =>
    secrets
      .filter(({ reference }) => reference.kind === kind)
      .map(({ reference, text }) => [describeSecret(reference).source, text] as const)
  return {
    env: Object.fromEntries(textsOf('env')),
    files: Object.fromEntries(textsOf('file').map(([path, text]) => [path, utf8(text)])),
    request(clock, plan) {
      const id = plan.id ?? `ct-${toHex(random.bytes(8))}`
      const body =
        plan.body instanceof Uint8Array ? plan.body : utf8(JSON.stringify(plan.body ?? null))
      const keys = plan.signature === 'by-a-stranger' ? strangers : secrets
      const signed = signatureHeaders(webhook, {
        plan,
        id,
        body,
        keys: keys.map(({ key }) => key),
        nowMs: clock.now(),
      })
      return {
        id,
        path: webhook.path,
        body,
        headers: {
          'content-type': webhook.contentTypes[0] ?? 'application/json',
          ...headerOf(webhook.version, String(plan.version ?? webhook.accepts.latest)),
          ...headerOf(webhook.idempotency.key, id),
          ...sampleEventHeaders(
            { endpoint: webhook.endpoint, from: webhook.from.name, accepts: webhook.accepts.name },
            { id, version: plan.version ?? webhook.accepts.latest },
          ),
          ...signed,
        },
      }
    },
  }
}

const headerOf = (source: KeySource | undefined, value: string): Record<string, string> =>
  source?.from === 'header' ? { [source.name]: value } : {}

function signatureHeaders(
  webhook: Webhook,
  request: {
    readonly plan: RequestPlan
    readonly id: string
    readonly body: Uint8Array
    readonly keys: readonly SigningKey[]
    readonly nowMs: number
  },
): Readonly<Record<string, string>> {
  const { plan, id, body, keys, nowMs } = request
  const scheme = webhook.verify
  if (scheme.kind === 'unsigned') return {}
  const headers = signRequest({
    scheme,
    keys: keys.slice(0, 1),
    messageId: id,
    timestampMs: plan.signedAtMs ?? nowMs,
    // Well-formed, by the right key, and of something else.
    body: plan.signature === 'of-other-bytes' ? Buffer.concat([body, utf8(' ')]) : body,
  })
  if (plan.signature !== 'missing') return headers
  const names = new Set(
    scheme.kind === 'bearer' ? ['authorization'] : scheme.headers.map(({ signature }) => signature),
  )
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.has(name)))
}

const SECRET_BYTES = 32

/** A secret of the scheme's own form, and the key that a partner makes of it. */
function makeSecret(scheme: SignedScheme | BearerScheme, random: Random): Secret {
  const signsByHash =
    scheme.kind === 'bearer' || scheme.versions.some(({ algorithm }) => algorithm !== 'ed25519')
  const form = scheme.secretForms.find(({ use }) => (use === 'hmac') === signsByHash)
  const bytes = random.bytes(Math.max(SECRET_BYTES, scheme.secretBytesMin))
  if (!form || form.use === 'hmac') {
    const encoding = form?.encoding === 'base64' ? 'base64' : 'hex'
    const text = `${form?.prefix ?? ''}${Buffer.from(bytes).toString(encoding)}`
    return { text, key: createSigningKey({ scheme, text, source: 'contract-tests' }) }
  }
  const privateKey = ed25519PrivateKey(bytes.slice(0, SECRET_BYTES))
  const publicBytes = ed25519PublicBytes(privateKey)
  const written = form.use === 'ed25519-public' ? publicBytes : bytes.slice(0, SECRET_BYTES)
  const encoding = form.encoding === 'base64' ? 'base64' : 'hex'
  const text = `${form.prefix}${Buffer.from(written).toString(encoding)}`
  const read = createSigningKey({ scheme, text, source: 'contract-tests' })
  // The receiver may know only the public half; the partner has both.
  return { text, key: read.use === 'hmac' ? read : { ...read, privateKey } }
}
