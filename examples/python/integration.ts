// A shop whose orders come from a program in Python, and whose invoices another one writes.
import {
  bearer,
  consumer,
  event,
  eventsEndpoint,
  integration,
  type Integration,
  jsonSchema,
  secret,
  sql,
  system,
  team,
} from 'junctura'

const shop = team('shop')

const order = jsonSchema<{ readonly orderId: string; readonly cents: number }>({
  type: 'object',
  required: ['orderId', 'cents'],
  properties: { orderId: { type: 'string' }, cents: { type: 'integer' } },
})

const OrderPlaced = event('orders.placed', { owner: shop, key: 'orderId', versions: { 1: order } })

const OrderInvoiced = event('orders.invoiced', {
  owner: shop,
  key: 'orderId',
  versions: { 1: order },
})

/** Where http_send.py publishes. */
const events = eventsEndpoint('events', {
  from: system('order-desk', { kind: 'internal', owner: shop }),
  accepts: [OrderPlaced],
  verify: bearer({ secret: secret.env('EVENTS_TOKEN') }),
})

/** What http_receive.py does; it answers an event for each invoice. */
const invoices = consumer('invoices', {
  owner: shop,
  on: OrderPlaced,
  from: 'earliest',
  // The receiver knows what it has done by the id of the event.
  idempotency: 'natural',
  // A minute, at least: as long as a deployment of the receiver takes.
  retry: { attempts: 80, first: '200ms', factor: 2, max: '2s' },
  deadLetter: { alert: shop.oncall },
  afterDeadLetter: 'skip',
  replay: 'safe',
  push: {
    url: process.env['RECEIVER_URL'] ?? 'http://127.0.0.1:8800/',
    secret: secret.env('PUSH_SECRET'),
    timeout: '5s',
    emits: [OrderInvoiced],
  },
})

const ledger = consumer('ledger', {
  owner: shop,
  on: OrderInvoiced,
  from: 'earliest',
  idempotency: 'transaction',
  retry: { attempts: 6, first: '1s', max: '1m' },
  deadLetter: { alert: shop.oncall },
  afterDeadLetter: 'park',
  replay: 'safe',
  handle: async ({ orderId, cents }, ctx) => {
    await ctx.tx((db) =>
      db.run('insert into ledger (order_id, cents) values ($1, $2)', orderId, cents),
    )
  },
})

const whole: Integration = integration('python-shop', {
  parts: [events, invoices, ledger],
  tables: [
    sql({
      sqlite: 'create table ledger (order_id text not null, cents integer not null)',
      postgres: 'create table public.ledger (order_id text not null, cents bigint not null)',
    }),
  ],
})

export default whole
