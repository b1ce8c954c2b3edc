// Payload types reach every function of a declaration with no annotation.
import { toStandardJsonSchema } from '@valibot/to-json-schema'
import {
  type BatchItem,
  consumer,
  type ConsumerContext,
  event,
  type InferSchema,
  jsonSchema,
  type PayloadOf,
  type PayloadsOf,
  unsigned,
  webhook,
} from 'junctura'
import * as valibot from 'valibot'
import { z } from 'zod'
import { orderV1, type OrderV1, orderV2, type OrderV2, owner, partner, policy } from './declared.ts'
import { type Equal, holds } from './expect.ts'

const OrderPlaced = event('orders.placed', { owner, versions: { 1: orderV1, 2: orderV2 } })
const verify = unsigned({ reason: 'only types are of interest here' })

// A contract by itself shows its latest version; asked for another, that one.
holds<Equal<PayloadOf<typeof OrderPlaced>, OrderV2>>()
const OrderPlacedV1 = OrderPlaced.version(1)
holds<Equal<PayloadOf<typeof OrderPlacedV1>, OrderV1>>()
holds<Equal<PayloadsOf<typeof OrderPlaced>, { readonly 1: OrderV1; readonly 2: OrderV2 }>>()
holds<Equal<typeof OrderPlaced.name, 'orders.placed'>>()

// A handler, its filter and its batch.
consumer('latest', {
  ...policy,
  on: OrderPlaced,
  filter: (order) => order.total !== '0',
  handle: async (order, ctx) => {
    holds<Equal<typeof order, OrderV2>>()
    holds<Equal<typeof ctx, ConsumerContext>>()
    const changes = await ctx.tx(async (db) => (await db.run('select 1')).changes)
    holds<Equal<typeof changes, number>>()
    const sent = await ctx.once('mail', async () => ({ mailId: 'm-1' }))
    holds<Equal<typeof sent, { mailId: string }>>()
  },
})
consumer('first', {
  ...policy,
  on: OrderPlaced.version(1),
  handle: async (order) => {
    holds<Equal<typeof order, OrderV1>>()
  },
})
consumer('many', {
  ...policy,
  on: OrderPlaced,
  batch: { max: 100, maxAge: '50ms' },
  handleBatch: async (items) => {
    holds<Equal<typeof items, readonly BatchItem<OrderV2>[]>>()
  },
})

// Transforms: one for all versions sees the latest, one for each sees its own.
const parts = { from: partner, verify, accepts: OrderPlaced, idempotency: {} } as const
webhook('one-transform', {
  ...parts,
  path: '/one',
  retriesFor: '1d',
  emit: (order, context) => {
    holds<Equal<typeof order, OrderV2>>()
    holds<Equal<typeof context.id, string>>()
    return OrderPlaced.of(order)
  },
})
webhook('transform-per-version', {
  ...parts,
  path: '/per-version',
  retriesFor: '1d',
  emit: {
    1: (order) => OrderPlaced.of({ orderId: order.orderId, total: order.amount.toFixed(2) }),
    2: (order) => [OrderPlaced.of(order)],
  },
})

// Schemas: what goes into the library is on the wire, not what comes out of it.
const withDefault = z.object({ note: z.string().default('') })
holds<Equal<InferSchema<typeof withDefault>, { note?: string | undefined }>>()
const valibotSchema = toStandardJsonSchema(valibot.object({ id: valibot.string() }))
holds<Equal<InferSchema<typeof valibotSchema>, { id: string }>>()
const typed = jsonSchema<{ id: string }>({ type: 'object' })
holds<Equal<InferSchema<typeof typed>, { id: string }>>()
const Raw = event('raw.one', { owner, versions: { 1: { type: 'object' } } })
holds<Equal<PayloadOf<typeof Raw>, unknown>>()
