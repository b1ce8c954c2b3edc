import {
  consumer,
  event,
  header,
  integration,
  type Integration,
  jsonSchema,
  secret,
  sql,
  standardWebhooks,
  system,
  team,
  webhook,
  type Webhook,
} from '../../src/contract/index.ts'
import type { Random } from '../../src/kernel/index.ts'

interface Order {
  readonly id: string
  readonly step: number
}

const orderSchema = jsonSchema<Order>({
  type: 'object',
  required: ['id', 'step'],
  properties: { id: { type: 'string' }, step: { type: 'integer' } },
})

const owners = team('owners')
const partner = system('partner')
const PartnerOrder = event('partner.order', { owner: owners, versions: { 1: orderSchema } })
const OrderStepped = event('shop.order-stepped', {
  owner: owners,
  key: 'id',
  versions: { 1: orderSchema },
})

const policy = {
  owner: owners,
  on: OrderStepped,
  from: 'earliest',
  idempotency: 'transaction',
  retry: { attempts: 5, first: '1s', max: '30s' },
  deadLetter: { alert: owners.oncall },
  replay: 'safe',
  timeout: '10s',
} as const

const insert = 'insert into steps(consumer, id, step) values ($1, $2, $3)'

const ledger = consumer('ledger', {
  ...policy,
  afterDeadLetter: 'park',
  handle: async (order, ctx) => {
    if (order.id === 'poison') throw new Error('this order never works')
    await ctx.tx(async (db) => {
      await db.run(insert, 'ledger', order.id, order.step)
    })
  },
})

const mail = consumer('mail', {
  ...policy,
  afterDeadLetter: 'skip',
  handle: async (order, ctx) => {
    await ctx.tx(async (db) => {
      await db.run(insert, 'mail', order.id, order.step)
    })
  },
})

const hook = webhook('partner', {
  from: partner,
  path: '/webhooks/partner',
  verify: standardWebhooks({ secret: secret.env('PARTNER_SECRET') }),
  accepts: PartnerOrder,
  idempotency: { key: header('webhook-id'), retention: '7d' },
  retriesFor: '1d',
  emit: (order) => OrderStepped.of(order),
})

/** A small integration with a parking and a skipping consumer, to run under the simulator. */
export const shop: Integration = integration('shop', {
  parts: [hook, ledger, mail],
  tables: [sql({ sqlite: 'create table steps(consumer text, id text, step integer)' })],
})

/** A few keys, so that they meet; now and then an order that no retry mends. */
export const shopBody = (_webhook: Webhook, random: Random, index: number): Order => ({
  id: random.next() < 0.03 ? 'poison' : `k${Math.floor(random.next() * 6)}`,
  step: index,
})
