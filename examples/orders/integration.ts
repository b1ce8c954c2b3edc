// A partner's signed webhook becomes exactly one effect for each consumer, on nothing but Node.
// `npm start` runs it beside a partner that misbehaves; partner.ts says how.
import {
  body,
  call,
  consumer,
  type ConsumerContext,
  event,
  header,
  type Integration,
  integration,
  type PayloadOf,
  secret,
  sql,
  standardWebhooks,
  system,
  team,
  webhook,
} from 'junctura'
import { z } from 'zod'

// Who is involved. A team is told what goes wrong with what it owns.

const commerce = team('commerce')
const logistics = team('logistics')
const accounting = team('accounting')
const customerCare = team('customer-care')

const acmeCommerce = system('acme-commerce', { summary: 'The shop of our partner Acme' })
const generalLedger = system('general-ledger', { kind: 'internal', owner: accounting })

// What Acme promises to send, in its own words. Both versions live; a body says which it is.

const AcmeOrderV1 = z.object({
  version: z.literal(1),
  orderId: z.string().min(1).max(100),
  status: z.enum(['placed', 'paid', 'packed', 'shipped', 'delivered', 'cancelled']),
  occurredAt: z.iso.datetime({ offset: true }),
  customer: z.object({ email: z.string() }),
  total: z.object({ amount: z.string().regex(/^-?\d+(\.\d+)?$/), currency: z.string() }).optional(),
})
const AcmeOrderV2 = AcmeOrderV1.required({ total: true }).extend({ version: z.literal(2) })

const AcmeOrderStatus = event('acme.order-status', {
  owner: commerce,
  versions: { 1: AcmeOrderV1, 2: AcmeOrderV2 },
  pii: ['customer.email'],
})

// What we tell each other, in our words. One order has one status once, whoever says it how often.

const OrderStatusChanged = event('orders.status-changed', {
  owner: commerce,
  summary: 'An order has reached a new status',
  key: 'orderId',
  versions: { 1: AcmeOrderV1.omit({ version: true }) },
  idempotency: { key: ['orderId', 'status'], retention: '7d' },
  pii: ['customer.email'],
})

const WarehouseOrderUpdated = event('warehouse.order-updated', {
  owner: logistics,
  key: 'orderId',
  versions: { 1: z.object({ orderId: z.string(), status: z.string() }) },
})

// Where Acme's model ends and ours begins.

const acme = webhook('acme', {
  from: acmeCommerce,
  path: '/webhooks/acme',
  verify: standardWebhooks({
    secret: secret.env('ACME_WEBHOOK_SECRET', {
      development: 'whsec_b25seSBmb3IgZGV2ZWxvcG1lbnQsIG5vdCBhIHNlY3JldA==',
    }),
  }),
  accepts: AcmeOrderStatus,
  version: body('version'),
  idempotency: { key: header('webhook-id'), retention: '7d', mismatch: 'conflict' },
  retriesFor: '3d',
  replayWindow: '4d',
  emit: {
    // Before version 2, a total was without tax: not what we call a total, so it stays behind.
    1: ({ orderId, status, occurredAt, customer }) =>
      OrderStatusChanged.of({ orderId, status, occurredAt, customer }),
    2: ({ orderId, status, occurredAt, customer, total }) =>
      OrderStatusChanged.of({ orderId, status, occurredAt, customer, total }),
  },
})

// What each consumer does. No index keeps its rows unique: that there is one, Junctura sees to.

const tables = [
  sql({
    sqlite: `create table order_effects (
      seq integer primary key autoincrement, consumer text not null, order_id text not null,
      status text not null, message_id text not null, recorded_at text not null)`,
    postgres: `create table order_effects (
      seq bigint generated always as identity primary key, consumer text not null,
      order_id text not null, status text not null, message_id text not null,
      recorded_at text not null)`,
  }),
  sql({
    sqlite: 'create table order_updates (order_id text primary key, updates integer not null)',
    postgres: 'create table order_updates (order_id text primary key, updates integer not null)',
  }),
]

/** Writes one row in the commit that completes the message: both happen, or neither. */
const recordEffect = (
  consumer: string,
  order: PayloadOf<typeof OrderStatusChanged>,
  ctx: ConsumerContext,
): Promise<void> =>
  ctx.tx(async (db) => {
    const insert = `insert into order_effects (consumer, order_id, status, message_id, recorded_at)
      values ($1, $2, $3, $4, $5)`
    const recordedAt = new Date().toISOString()
    await db.run(insert, consumer, order.orderId, order.status, ctx.message.id, recordedAt)
  })

/** These handlers only wait for a commit, which they share: more at once, fewer commits. */
const concurrency = 128

/** Five attempts within some eight seconds. */
const retry = { attempts: 5, first: '500ms', factor: 2, max: '4s' } as const

const warehouse = consumer('warehouse', {
  owner: logistics,
  on: OrderStatusChanged,
  idempotency: 'transaction',
  concurrency,
  retry,
  deadLetter: { alert: logistics.oncall },
  // Nothing is packed twice or shipped before it was paid: what follows waits for the mend.
  afterDeadLetter: 'park',
  replay: 'safe',
  handle: async (order, ctx) => {
    // Leaves with the commit of the row, or not at all.
    ctx.emit(WarehouseOrderUpdated.of({ orderId: order.orderId, status: order.status }))
    await recordEffect('warehouse', order, ctx)
  },
})

const finance = consumer('finance', {
  owner: accounting,
  on: OrderStatusChanged,
  idempotency: 'transaction',
  concurrency,
  retry,
  deadLetter: { alert: accounting.oncall },
  afterDeadLetter: 'park',
  replay: 'safe',
  handle: async (order, ctx) => {
    if (order.orderId.startsWith('POISON-')) throw new Error('the ledger refuses this order')
    if (order.orderId.startsWith('FLAKY-') && ctx.attempt <= 2)
      throw new Error('the ledger is busy')
    await recordEffect('finance', order, ctx)
  },
})

const notifications = consumer('notifications', {
  owner: customerCare,
  on: OrderStatusChanged,
  idempotency: 'transaction',
  concurrency,
  retry,
  deadLetter: { alert: customerCare.oncall },
  // A customer who missed one mail wants the next one all the more.
  afterDeadLetter: 'skip',
  replay: 'safe',
  handle: (order, ctx) => recordEffect('notifications', order, ctx),
})

const statistics = consumer('statistics', {
  owner: logistics,
  on: WarehouseOrderUpdated,
  idempotency: 'transaction',
  concurrency,
  retry,
  deadLetter: { alert: logistics.oncall },
  afterDeadLetter: 'skip',
  replay: 'safe',
  handle: ({ orderId }, ctx) =>
    ctx.tx(async (db) => {
      const count = `insert into order_updates (order_id, updates) values ($1, 1)
        on conflict (order_id) do update set updates = order_updates.updates + 1`
      await db.run(count, orderId)
    }),
})

// Edges that Junctura does not run, declared so that the Model shows the whole picture.

const stockLevels = call('stock-levels', {
  from: system('warehouse-robot', { kind: 'internal', owner: logistics }),
  to: acmeCommerce,
  style: 'file',
  guarantee: 'at-least-once',
  summary: 'What is in stock, every night',
})
const creditCheck = call('credit-check', {
  from: generalLedger,
  to: system('bank'),
  style: 'rpc',
  verified: true,
  reason: 'A payment is booked only on a confirmed balance',
})

const orders: Integration = integration('order-status', {
  parts: [acme, warehouse, finance, notifications, statistics, stockLevels, creditCheck],
  tables,
})
export default orders
