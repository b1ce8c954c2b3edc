// The tables and consumers of the orders example, so that the same verdict reads both, with retries
// that take milliseconds and orders that are rough on the process that handles them.
import {
  body,
  consumer,
  type ConsumerContext,
  event,
  header,
  type Integration,
  integration,
  secret,
  sql,
  standardWebhooks,
  system,
  team,
  webhook,
} from 'junctura'
import { z } from 'zod'

const commerce = team('commerce')

const Order = z.looseObject({ version: z.literal(2), orderId: z.string(), status: z.string() })

const AcmeOrder = event('acme.order-status', { owner: commerce, versions: { 2: Order } })
const OrderStatusChanged = event('orders.status-changed', {
  owner: commerce,
  key: 'orderId',
  versions: { 2: Order },
  idempotency: { key: ['orderId', 'status'], retention: '7d' },
})
const WarehouseOrderUpdated = event('warehouse.order-updated', {
  owner: commerce,
  key: 'orderId',
  versions: { 1: z.object({ orderId: z.string() }) },
})

const acme = webhook('acme', {
  from: system('acme-commerce'),
  path: '/webhooks/acme',
  verify: standardWebhooks({
    secret: secret.env('ACME_WEBHOOK_SECRET', {
      development: 'whsec_b25seSBmb3IgZGV2ZWxvcG1lbnQsIG5vdCBhIHNlY3JldA==',
    }),
  }),
  accepts: AcmeOrder,
  version: body('version'),
  idempotency: { key: header('webhook-id'), retention: '7d', mismatch: 'conflict' },
  retriesFor: '3d',
  replayWindow: '4d',
  emit: (order) => OrderStatusChanged.of(order),
})

const recordEffect = (
  consumer: string,
  order: { readonly orderId: string; readonly status: string },
  ctx: ConsumerContext,
): Promise<void> =>
  ctx.tx(async (db) => {
    const insert = `insert into order_effects (consumer, order_id, status, message_id)
      values ($1, $2, $3, $4)`
    await db.run(insert, consumer, order.orderId, order.status, ctx.message.id)
  })

const policy = {
  owner: commerce,
  idempotency: 'transaction',
  retry: { attempts: 3, first: '20ms', factor: 2, max: '100ms' },
  deadLetter: { alert: commerce.oncall },
  replay: 'safe',
  partitions: Number(process.env['ORDERS_PARTITIONS'] ?? '1'),
} as const

const warehouse = consumer('warehouse', {
  ...policy,
  on: OrderStatusChanged,
  afterDeadLetter: 'park',
  handle: async (order, ctx) => {
    ctx.emit(WarehouseOrderUpdated.of({ orderId: order.orderId }))
    await recordEffect('warehouse', order, ctx)
  },
})

const BLOCK_MS = 1_200
const LEAK_NUMBERS = 2_097_152
const leaked: number[][] = []

/** What some orders do to the process, as a careless handler would. */
const beRough = ({ orderId }: { readonly orderId: string }, attempt: number): void => {
  if (orderId.startsWith('POISON-')) throw new Error('the ledger refuses this order')
  if (orderId.startsWith('FLAKY-') && attempt <= 2) throw new Error('the ledger is busy')
  if (orderId.startsWith('BLOCK-')) {
    for (const fromMs = performance.now(); performance.now() - fromMs < BLOCK_MS;);
  }
  if (orderId.startsWith('LEAK-'))
    leaked.push(Array.from({ length: LEAK_NUMBERS }, (_, index) => index + 0.5))
}

const finance = consumer('finance', {
  ...policy,
  on: OrderStatusChanged,
  afterDeadLetter: 'park',
  handle: async (order, ctx) => {
    beRough(order, ctx.attempt)
    await recordEffect('finance', order, ctx)
  },
})

const notifications = consumer('notifications', {
  ...policy,
  on: OrderStatusChanged,
  afterDeadLetter: 'skip',
  handle: (order, ctx) => recordEffect('notifications', order, ctx),
})

const statistics = consumer('statistics', {
  ...policy,
  on: WarehouseOrderUpdated,
  afterDeadLetter: 'skip',
  handle: ({ orderId }, ctx) =>
    ctx.tx(async (db) => {
      const count = `insert into order_updates (order_id, updates) values ($1, 1)
        on conflict (order_id) do update set updates = order_updates.updates + 1`
      await db.run(count, orderId)
    }),
})

const effects = (key: string): string =>
  `create table order_effects (seq ${key}, consumer text not null,
    order_id text not null, status text not null, message_id text not null)`
const updates = 'create table order_updates (order_id text primary key, updates integer not null)'

const roughOrders: Integration = integration('rough-orders', {
  parts: [acme, warehouse, finance, notifications, statistics],
  tables: [
    sql({
      sqlite: effects('integer primary key autoincrement'),
      postgres: effects('bigint generated always as identity primary key'),
    }),
    sql({ sqlite: updates, postgres: updates }),
  ],
})
export default roughOrders
