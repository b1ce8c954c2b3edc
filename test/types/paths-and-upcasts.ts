// Keys and upcasters are held to the schemas beside them.
import { consumer, event, jsonSchema } from 'junctura'
import { z } from 'zod'
import { orderV1, orderV2, owner, policy } from './declared.ts'
import { type Equal, holds } from './expect.ts'

const customer = z.object({ id: z.string(), address: z.object({ city: z.string() }).optional() })

event('orders.keyed', {
  owner,
  key: ['orderId', 'customer.id', 'customer.address.city'],
  idempotency: { key: 'orderId', retention: '7d' },
  versions: { 1: orderV1.extend({ customer }) },
})
event('orders.misspelt', {
  owner,
  // @ts-expect-error '"ordrId"' is not assignable to '"orderId" | "total"'. Did you mean
  // '"orderId"'?
  key: 'ordrId',
  versions: { 1: orderV1, 2: orderV2 },
})
event('orders.old-field', {
  owner,
  // @ts-expect-error '"amount"' is of version 1 only; the key is read from the latest version.
  key: 'amount',
  versions: { 1: orderV1, 2: orderV2 },
})
event('orders.fact', {
  owner,
  // @ts-expect-error '"customer.name"' is not assignable … Did you mean '"customer.id"'?
  idempotency: { key: ['orderId', 'customer.name'], retention: '7d' },
  versions: { 1: orderV1.extend({ customer }) },
})
// Raw JSON Schema has no type to check against, unless it was given one.
event('raw.keyed', { owner, key: 'any.path', versions: { 1: { type: 'object' } } })
event('raw.typed', { owner, key: 'id', versions: { 1: jsonSchema<{ id: string }>({}) } })
// An object that may have more members than it names is open to any path.
event('open.keyed', { owner, key: 'more', versions: { 1: z.looseObject({ id: z.string() }) } })
event('record.keyed', { owner, key: 'x', versions: { 1: z.record(z.string(), z.string()) } })
// A member whose type is not known may hold anything below it.
event('nested.keyed', {
  owner,
  key: 'meta.source',
  versions: { 1: z.object({ meta: z.unknown(), id: z.string() }) },
})

event('orders.lifted', {
  owner,
  versions: { 1: orderV1, 2: orderV2 },
  upcast: {
    1: (order) => {
      holds<Equal<typeof order, { orderId: string; amount: number }>>()
      return { orderId: order.orderId, total: order.amount.toFixed(2) }
    },
  },
})
event('orders.lifted-wrongly', {
  owner,
  versions: { 1: orderV1, 2: orderV2 },
  // @ts-expect-error Property 'total' is missing: what is lifted is of another version.
  upcast: { 1: (order) => ({ orderId: order.orderId }) },
})
event('orders.lifted-too-far', {
  owner,
  versions: { 1: orderV1, 2: orderV2 },
  // @ts-expect-error The latest version cannot be lifted: there is nothing above it
  upcast: { 2: (order: object) => order },
})

const OrderPlaced = event('orders.placed', { owner, versions: { 1: orderV1 } })
consumer('careless', {
  ...policy,
  on: OrderPlaced,
  // @ts-expect-error '"maybe"' is not assignable to 'ReplayRule'; the handler still has its types.
  replay: 'maybe',
  handle: async (order) => void order.amount.toFixed(2),
})
