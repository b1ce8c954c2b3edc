// A consumer whose handler takes the whole process down for one kind of message.
import {
  body,
  consumer,
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

const AcmeOrder = event('acme.order', { owner: commerce, versions: { 2: Order } })
const OrderChanged = event('orders.changed', {
  owner: commerce,
  key: 'orderId',
  versions: { 2: Order },
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
  emit: (order) => OrderChanged.of(order),
})

const fragile = consumer('fragile', {
  owner: commerce,
  on: OrderChanged,
  idempotency: 'transaction',
  retry: { attempts: 5, first: '100ms', factor: 2, max: '1s' },
  deadLetter: { alert: commerce.oncall },
  afterDeadLetter: 'park',
  replay: 'safe',
  handle: async ({ orderId }, ctx) => {
    // As an out-of-memory or a fault in native code would: without a word, and not to be caught.
    if (orderId.startsWith('POISON-')) process.kill(process.pid, 'SIGKILL')
    await ctx.tx((db) =>
      db.run('insert into effects (order_id, message_id) values ($1, $2)', orderId, ctx.message.id),
    )
  },
})

const fragileOrders: Integration = integration('fragile-orders', {
  parts: [acme, fragile],
  tables: [
    sql({
      sqlite: 'create table effects (order_id text not null, message_id text not null)',
      postgres: 'create table effects (order_id text not null, message_id text not null)',
    }),
  ],
})
export default fragileOrders
