import { consumer, integration, type Integration, outboxSource, sql, system } from 'junctura'
import { OrderPlaced, shop } from './contract.ts'

const orders = outboxSource('orders-db', {
  owner: shop,
  from: system('order-shop', { kind: 'internal', owner: shop }),
  database: { file: process.env['ORDERS_DATABASE'] ?? 'orders.db' },
  accepts: [OrderPlaced],
})

const invoices = consumer('invoices', {
  owner: shop,
  on: OrderPlaced,
  from: 'earliest',
  idempotency: 'transaction',
  retry: { attempts: 6, first: '1s', factor: 2, max: '1m' },
  deadLetter: { alert: shop.oncall },
  afterDeadLetter: 'park',
  replay: 'safe',
  handle: async ({ orderId, cents }, ctx) => {
    await ctx.tx(async (db) => {
      await db.run('insert into invoices (order_id, cents) values ($1, $2)', orderId, cents)
    })
  },
})

const whole: Integration = integration('order-shop', {
  parts: [orders, invoices],
  tables: [
    sql({
      sqlite: 'create table invoices (order_id text primary key, cents integer not null)',
      postgres: 'create table public.invoices (order_id text primary key, cents integer not null)',
    }),
  ],
})

export default whole
