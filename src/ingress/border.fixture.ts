import {
  body,
  event,
  header,
  integration,
  secret,
  type SignatureScheme,
  standardWebhooks,
  system,
  team,
  webhook,
  type Webhook,
} from '../contract/index.ts'
import { type BorderEvent, createInbox, type Inbox } from '../inbox/index.ts'
import { createMetrics, type Metrics, type Tracer } from '../observe/index.ts'
import type { RateLimit } from '../policy/index.ts'
import {
  type FetchCertificate,
  resolveSecrets,
  type SigningKey,
  signRequest,
} from '../security/index.ts'
import { createCommitter, type Row, type Store } from '../store/index.ts'
import { createMemoryStore, type MemoryStoreOptions } from '../store/memory/index.ts'
import { createVirtualKernel } from '../testing/index.ts'
import { createIngress, type Ingress } from './ingress.ts'
import type { Refusal } from './ingress-context.ts'
import { bodyOfBytes, type BodySource, type IngressResponse } from './ingress-request.ts'

const owners = team('owners')
const total = {
  type: 'object',
  required: ['amount'],
  properties: { amount: { type: 'string' } },
} as const
const versionOne = {
  type: 'object',
  required: ['orderId', 'status', 'version'],
  properties: {
    version: { type: 'integer' },
    orderId: { type: 'string' },
    status: { enum: ['placed', 'paid'] },
    note: { type: 'string' },
    total,
  },
} as const

const PartnerOrder = event('partner.order', {
  owner: owners,
  versions: { 1: versionOne, 2: { ...versionOne, required: [...versionOne.required, 'total'] } },
})
const OrderSeen = event('orders.seen', {
  owner: owners,
  key: 'orderId',
  versions: { 1: { type: 'object', required: ['orderId'] } },
})

const SECRET: string = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
const acmeScheme: SignatureScheme = standardWebhooks({ secret: secret.env('ACME_SECRET') })

export interface HookOptions {
  readonly verify?: SignatureScheme
  readonly bodyBytesMax?: number
  readonly key?: 'header' | 'none'
  readonly idHeader?: string
}

export const acmeHook = (options: HookOptions = {}): Webhook =>
  webhook('acme', {
    from: system('acme'),
    path: '/webhooks/acme',
    verify: options.verify ?? acmeScheme,
    accepts: PartnerOrder,
    version: body('version'),
    idempotency: {
      ...(options.key !== 'none' && { key: header(options.idHeader ?? 'webhook-id') }),
      retention: '7d',
    },
    retriesFor: '3d',
    ...(options.bodyBytesMax !== undefined && { bodyBytesMax: options.bodyBytesMax }),
    emit: {
      1: (data: unknown) => ({ contract: OrderSeen, data }),
      2: (data: unknown) => ({ contract: OrderSeen, data }),
    },
  })

export interface SendOptions {
  readonly id?: string
  readonly method?: string
  readonly target?: string
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>
  /** What is sent in place of the signed bytes. */
  readonly sent?: Uint8Array
  readonly body?: BodySource
  readonly agoMs?: number
  readonly family?: number
  readonly address?: string
}

export interface BorderBench {
  readonly ingress: Ingress
  readonly inbox: Inbox
  readonly store: Store
  readonly kernel: ReturnType<typeof createVirtualKernel>
  readonly refusals: Refusal[]
  readonly metrics: Metrics
  readonly events: BorderEvent[]
  readonly keys: readonly SigningKey[]
  send(data: unknown, options?: SendOptions): Promise<IngressResponse>
  stored(): Promise<number>
  invalid(): Promise<readonly Row<'invalid'>[]>
}

export interface BenchOptions extends Pick<MemoryStoreOptions, 'fault'> {
  readonly hook?: Webhook
  readonly ratePerAddress?: RateLimit
  readonly tracer?: Tracer
  readonly waiting?: () => number
  readonly mode?: 'open' | 'failed'
  /** @default the secret of the usual scheme */
  readonly env?: Readonly<Record<string, string>>
  readonly fetchCertificate?: FetchCertificate
}

export const openBorder = async (options: BenchOptions = {}): Promise<BorderBench> => {
  const hook = options.hook ?? acmeHook()
  const kernel = createVirtualKernel({ env: options.env ?? { ACME_SECRET: SECRET } })
  const { clock, log } = kernel
  const store = createMemoryStore({ clock, ...(options.fault && { fault: options.fault }) })
  const committer = createCommitter({ store, clock, log })
  const events: BorderEvent[] = []
  const metrics = createMetrics(clock)
  const inbox = createInbox({
    kernel,
    committer,
    store,
    integration: integration('bench', { parts: [hook, OrderSeen] }),
    modelHash: 'model',
    metrics,
    onEvent: (one) => events.push(one),
  })
  const { keys } = await resolveSecrets(kernel, hook.verify)
  const refusals: Refusal[] = []
  const ingress = createIngress({
    kernel,
    webhooks: [hook],
    inbox,
    committer: {
      get waiting() {
        return options.waiting?.() ?? committer.waiting
      },
      mode: options.mode ?? 'open',
    },
    keysOf: () => keys,
    metrics,
    ...(options.tracer && { tracer: options.tracer }),
    ...(options.fetchCertificate && { fetchCertificate: options.fetchCertificate }),
    ...(options.ratePerAddress && { ratePerAddress: options.ratePerAddress }),
    onRefused: (refusal) => refusals.push(refusal),
  })
  const bench = { ingress, inbox, store, kernel, refusals, metrics, events, keys }
  return {
    ...bench,
    send: (data, sendOptions = {}) => send(bench, hook, { data, ...sendOptions }),
    stored: () => store.headPosition(),
    invalid: async () => {
      const rows = await store.scan({ collection: 'invalid', limit: 1_000 })
      return rows.map(({ row }) => row)
    },
  }
}

function send(
  { ingress, kernel, keys }: Pick<BorderBench, 'ingress' | 'kernel' | 'keys'>,
  hook: Webhook,
  options: SendOptions & { readonly data: unknown },
): Promise<IngressResponse> {
  const signed = bytesOf(options.data)
  const sent = options.sent ?? signed
  const headers: Record<string, string | readonly string[] | undefined> = {
    host: 'localhost',
    'content-type': 'application/json',
    'content-length': String(sent.length),
    ...signedHeaders({ kernel, keys }, hook, { ...options, signed }),
    ...options.headers,
  }
  return ingress.handle({
    method: options.method ?? 'POST',
    target: options.target ?? '/webhooks/acme',
    rawHeaders: rawOf(headers),
    remoteAddress: options.address ?? '127.0.0.1',
    body: options.body ?? bodyOfBytes(sent),
  })
}

/** The headers that make a request of the bench's partner genuine. */
export const signedHeaders = (
  { kernel, keys }: Pick<BorderBench, 'kernel' | 'keys'>,
  hook: Webhook,
  options: SendOptions & { readonly signed: Uint8Array },
): Readonly<Record<string, string>> =>
  signRequest({
    scheme: hook.verify,
    keys,
    messageId: options.id ?? 'evt_1',
    timestampMs: kernel.clock.now() - (options.agoMs ?? 0),
    body: options.signed,
    ...(options.family !== undefined && { family: options.family }),
  })

export const bytesOf = (data: unknown): Uint8Array => {
  if (data instanceof Uint8Array) return data
  return Buffer.from(typeof data === 'string' ? data : JSON.stringify(data))
}

const rawOf = (
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
): string[] =>
  Object.entries(headers).flatMap(([name, value]) =>
    [value ?? []].flat().flatMap((one) => [name, one]),
  )

export const order = (
  orderId = 'A-1',
  more: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> => ({
  version: 1,
  orderId,
  status: 'placed',
  ...more,
})

export const problemOf = (response: IngressResponse): Record<string, unknown> => {
  const parsed: unknown = JSON.parse(response.body)
  return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {}
}
