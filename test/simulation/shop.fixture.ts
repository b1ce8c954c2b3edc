import {
  type AnyContract,
  type BatchItem,
  consumer,
  type ConsumerContext,
  event,
  header,
  integration,
  type Integration,
  jsonSchema,
  outboxSource,
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
const courier = system('courier')
// Kept for half an hour, so that a simulated afternoon sees parts of the log go.
const retention = '30m'

const PartnerOrder = event('partner.order', {
  owner: owners,
  retention,
  versions: { 1: orderSchema },
})
const CourierOrder = event('courier.order', {
  owner: owners,
  retention,
  versions: { 1: orderSchema },
})
const OrderStepped = event('shop.order-stepped', {
  owner: owners,
  key: 'id',
  retention,
  versions: { 1: orderSchema },
})
const OrderMailed = event('mail.order-mailed', {
  owner: owners,
  key: 'id',
  retention,
  versions: { 1: orderSchema },
})

const policy = {
  owner: owners,
  from: 'earliest',
  idempotency: 'transaction',
  retry: { attempts: 4, first: '1s', max: '20s' },
  deadLetter: { alert: owners.oncall },
  replay: 'safe',
  timeout: '10s',
} as const

const insert = 'insert into steps(consumer, id, step) values ($1, $2, $3)'

const book = (name: string, { id, step }: Order, ctx: Pick<ConsumerContext, 'tx'>): Promise<void> =>
  ctx.tx(async (db) => {
    await db.run(insert, name, id, step)
  })

/** Stops a key at a message that never works. */
const ledger = consumer('ledger', {
  ...policy,
  on: OrderStepped,
  afterDeadLetter: 'park',
  handle: async (order, ctx) => {
    if (order.id === 'poison') throw new Error('this order never works')
    await book('ledger', order, ctx)
  },
})

/** Goes on without what never works, does something outside, and says so in the same commit. */
const mail = consumer('mail', {
  ...policy,
  on: OrderStepped,
  afterDeadLetter: 'skip',
  handle: async (order, ctx) => {
    const receipt = await ctx.once('send', () => Promise.resolve(`mail ${order.step}`))
    if (order.step % 50 === 49 && ctx.attempt === 1) throw new Error(`no answer to ${receipt}`)
    ctx.emit(OrderMailed.of(order))
    await book('mail', order, ctx)
  },
})

/** May be replayed on purpose; on a shared store several processes may have a part of it. */
const audit = consumer('audit', {
  ...policy,
  partitions: 4,
  on: OrderStepped,
  afterDeadLetter: 'park',
  replay: 'guarded',
  handle: async (order, ctx) => {
    await ctx.once('send', () => Promise.resolve('noted'))
    await book('audit', order, ctx)
  },
})

/** Takes several messages at once, of what another consumer emits. */
const statistics = consumer('statistics', {
  ...policy,
  on: OrderMailed,
  afterDeadLetter: 'skip',
  batch: { max: 8, maxAge: '200ms' },
  handleBatch: (items: readonly BatchItem<Order>[], ctx) =>
    ctx.tx(async (db) => {
      for (const { data } of items) await db.run(insert, 'statistics', data.id, data.step)
    }),
})

const hookOf = (
  from: typeof partner,
  accepts: typeof PartnerOrder | typeof CourierOrder,
): Webhook =>
  webhook(from.name, {
    from,
    path: `/webhooks/${from.name}`,
    verify: standardWebhooks({ secret: secret.env('PARTNER_SECRET') }),
    accepts,
    idempotency: { key: header('webhook-id'), retention },
    retriesFor: '10m',
    emit: (order: Order) => OrderStepped.of(order),
  })

const parts = [
  hookOf(partner, PartnerOrder),
  hookOf(courier, CourierOrder),
  ledger,
  mail,
  audit,
  statistics,
]
const tables = [sql({ sqlite: 'create table steps(consumer text, id text, step integer)' })]

/** A small integration of every kind of consumer, to run under the simulator. */
export const shop: Integration = integration('shop', { parts, tables })

/** The same, with two services that write what they emit to their own databases. */
export const shopWithOutboxes: Integration = integration('shop', {
  parts: [
    ...parts,
    outboxSource('orders', {
      owner: owners,
      database: { url: secret.env('ORDERS_URL') },
      accepts: [OrderStepped],
    }),
    outboxSource('till', {
      owner: owners,
      database: { file: 'till.db' },
      accepts: [OrderStepped, OrderMailed],
    }),
  ],
  tables,
})

/** A few keys, so that they meet; now and then an order that no retry mends. */
export const shopBody = (_webhook: Webhook, random: Random, index: number): Order => ({
  id: random.next() < 0.01 ? 'poison' : `k${Math.floor(random.next() * 8)}`,
  step: index,
})

/** What services emit is of the same keys. */
export const shopEmitted = (_contract: AnyContract, random: Random, index: number): Order => ({
  id: `k${Math.floor(random.next() * 8)}`,
  step: 100_000 + index,
})
