import {
  type AnyContract,
  body,
  type Contract,
  decodeRecord,
  event,
  header,
  integration,
  type LogRecord,
  system,
  type Team,
  team,
  unsigned,
  webhook,
  type Webhook,
  type WebhookOptions,
} from '../contract/index.ts'
import { JuncturaError, must } from '../kernel/index.ts'
import { type CollectionName, createCommitter, type Row, type Store } from '../store/index.ts'
import { createMemoryStore, type MemoryStoreOptions } from '../store/memory/index.ts'
import { createVirtualKernel } from '../testing/index.ts'
import type { BorderAlert, BorderEvent } from './border-events.ts'
import { createInbox, type Inbox } from './inbox.ts'
import type { VerifiedRequest } from './verified-request.ts'

const owners: Team = team('owners')

const orderSchema = {
  type: 'object',
  required: ['orderId', 'status'],
  properties: { orderId: { type: ['string', 'integer'] }, status: { type: 'string' } },
} as const

/** The partner's contract. */
const PartnerOrder: Contract<'partner.order', { readonly 1: unknown }, 1> = event('partner.order', {
  owner: owners,
  versions: { 1: orderSchema },
})

/** Our event, with a key and an identity of its own facts. */
export const OrderChanged: Contract<'orders.changed', { readonly 1: unknown }, 1> = event(
  'orders.changed',
  {
    owner: owners,
    key: 'orderId',
    idempotency: { key: ['orderId', 'status'], retention: '7d' },
    versions: { 1: orderSchema },
  },
)

/** Our event without an identity, so that nothing but the message's key dedupes it. */
export const OrderSeen: Contract<'orders.seen', { readonly 1: unknown }, 1> = event('orders.seen', {
  owner: owners,
  key: 'orderId',
  versions: { 1: orderSchema },
})

export interface OrderData {
  readonly orderId: string | number
  readonly status: string
}

export const orderData = (data: unknown): OrderData => data as OrderData

/** A webhook that emits `OrderSeen`, with what a test wants otherwise. */
export const ordersHook = (options: Partial<WebhookOptions<AnyContract>> = {}): Webhook =>
  webhook('acme', {
    from: system('acme'),
    path: '/webhooks/acme',
    verify: unsigned({ reason: 'the inbox is tried without its border' }),
    accepts: PartnerOrder,
    retriesFor: '3d',
    emit: (data: unknown) => ({ contract: OrderSeen, data }),
    ...options,
    idempotency: { key: header('webhook-id'), retention: '7d', ...options.idempotency },
  })

export const bodyKey: typeof body = body

export interface InboxBench {
  readonly inbox: Inbox
  readonly store: Store
  readonly kernel: ReturnType<typeof createVirtualKernel>
  readonly alerts: BorderAlert[]
  readonly events: BorderEvent[]
  readonly hook: Webhook
  request(key: string | undefined, data: unknown): VerifiedRequest
  send(key: string | undefined, data: unknown): ReturnType<Inbox['accept']>
  log(): Promise<readonly LogRecord[]>
  rows<C extends CollectionName>(collection: C): Promise<readonly Row<C>[]>
}

export const openInbox = (
  hook: Webhook = ordersHook(),
  options: Pick<MemoryStoreOptions, 'fault' | 'disk'> & {
    readonly wrap?: (s: Store) => Store
  } = {},
): InboxBench => {
  const kernel = createVirtualKernel()
  const { wrap = (one: Store): Store => one, ...storeOptions } = options
  const store = wrap(createMemoryStore({ clock: kernel.clock, ...storeOptions }))
  const committer = createCommitter({ store, clock: kernel.clock, log: kernel.log })
  const alerts: BorderAlert[] = []
  const events: BorderEvent[] = []
  const inbox = createInbox({
    kernel,
    committer,
    store,
    integration: integration('bench', { parts: [hook, OrderChanged, OrderSeen] }),
    modelHash: 'model',
    raiseAlert: (alert) => {
      alerts.push(alert)
      return []
    },
    onEvent: (one) => events.push(one),
  })
  const bench: InboxBench = {
    inbox,
    store,
    kernel,
    alerts,
    events,
    hook,
    request: (key, data) => requestOf(bench, key, data),
    send: (key, data) => inbox.accept(requestOf(bench, key, data)),
    log: async () => {
      const records = await store.readLogBackwards({ beforePosition: 1e9, limit: 10_000 })
      return records.toReversed().map(({ bytes, position }) => decodeRecord(bytes, position))
    },
    rows: async (collection) => {
      await settle(kernel.clock)
      await committer.drain()
      const rows = await store.scan({ collection, limit: 10_000 })
      return rows.map(({ row }) => row)
    },
  }
  return bench
}

function requestOf(
  { inbox, kernel, hook }: InboxBench,
  key: string | undefined,
  data: unknown,
): VerifiedRequest {
  const raw = Buffer.from(typeof data === 'string' ? data : JSON.stringify(data))
  const header = (name: string): string | undefined => (name === 'webhook-id' ? key : undefined)
  const check = inbox.check(hook, { raw, header })
  if (!check.ok) throw new JuncturaError('JUNCTURA_USAGE', { details: { problem: check.detail } })
  const { text, version, keyCovered } = check
  return {
    webhook: hook,
    raw,
    header,
    mediaType: 'application/json',
    receivedAtMs: kernel.clock.now(),
    scheme: 'unsigned',
    data: check.data,
    text,
    version,
    key: check.key,
    keyCovered,
  }
}

export const order = (orderId: string | number, status = 'placed'): OrderData => ({
  orderId,
  status,
})

/** Lets what is on its way arrive: a commit takes a few turns of the loop. */
export const settle = async (clock: { yield(): Promise<void> }): Promise<void> => {
  for (let turn = 0; turn < 6; turn++) await clock.yield()
}

export const only = <T>(list: readonly T[]): T =>
  must(list.length === 1 ? list[0] : undefined, 'one')
