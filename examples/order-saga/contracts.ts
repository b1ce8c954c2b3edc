import {
  type Command,
  command,
  type Contract,
  event,
  jsonSchema,
  sql,
  type SqlMigration,
  type Team,
  team,
  type TypedJsonSchema,
} from 'junctura'

export const shop: Team = team('shop')
export const stock: Team = team('stock')
export const bank: Team = team('bank')
export const parcels: Team = team('parcels')

export interface Order {
  readonly orderId: string
  readonly cents: number
}

const orderSchema: TypedJsonSchema<Order> = jsonSchema<Order>({
  type: 'object',
  required: ['orderId', 'cents'],
  properties: { orderId: { type: 'string' }, cents: { type: 'integer', minimum: 0 } },
})

const withText = <T>(name: keyof T & string): TypedJsonSchema<T> =>
  jsonSchema<T>({
    type: 'object',
    required: [name],
    properties: { [name]: { type: 'string' } },
  })

type OrderEvent<Name extends string> = Contract<Name, { readonly 1: Order }, 1>

// What both ways of coordinating know.

export const OrderPlaced: OrderEvent<'orders.placed'> = event('orders.placed', {
  owner: shop,
  key: 'orderId',
  versions: { 1: orderSchema },
})

/** The bank has the money: told when it is so, which is not when it was asked for. */
export const PaymentCaptured: OrderEvent<'payments.captured'> = event('payments.captured', {
  owner: bank,
  key: 'orderId',
  versions: { 1: orderSchema },
})

export const OrderShipped: OrderEvent<'orders.shipped'> = event('orders.shipped', {
  owner: parcels,
  key: 'orderId',
  versions: { 1: orderSchema },
})

// What an orchestrator asks of the others.

type OrderCommand<Name extends string, Output, Errors extends object> = Command<
  Name,
  { readonly 1: Order },
  1,
  Output,
  Errors
>

const asked = { key: 'orderId', input: orderSchema } as const

export const Release: OrderCommand<'stock.release', undefined, object> = command('stock.release', {
  ...asked,
  owner: stock,
})

export const Reserve: OrderCommand<
  'stock.reserve',
  { readonly shelf: string },
  { readonly OutOfStock: { readonly sku: string } }
> = command('stock.reserve', {
  ...asked,
  owner: stock,
  output: withText<{ readonly shelf: string }>('shelf'),
  errors: { OutOfStock: withText<{ readonly sku: string }>('sku') },
  compensate: ({ input }) => Release.of(input),
})

export const Refund: OrderCommand<
  'payments.refund',
  undefined,
  { readonly AccountClosed: { readonly since: string } }
> = command('payments.refund', {
  ...asked,
  owner: bank,
  errors: { AccountClosed: withText<{ readonly since: string }>('since') },
})

export const Charge: OrderCommand<
  'payments.charge',
  { readonly paymentId: string },
  { readonly CardDeclined: { readonly code: string } }
> = command('payments.charge', {
  ...asked,
  owner: bank,
  output: withText<{ readonly paymentId: string }>('paymentId'),
  errors: { CardDeclined: withText<{ readonly code: string }>('code') },
  // Of a card that was declined, and of one whose answer never came, nothing else is known here.
  compensate: ({ input, outcome }) => (outcome === 'declined' ? undefined : Refund.of(input)),
})

export const Ship: OrderCommand<
  'parcels.create',
  { readonly parcel: string },
  { readonly NoCarrier: { readonly region: string } }
> = command('parcels.create', {
  ...asked,
  owner: parcels,
  output: withText<{ readonly parcel: string }>('parcel'),
  errors: { NoCarrier: withText<{ readonly region: string }>('region') },
})

// What the services tell each other when nobody conducts.

export const StockReserved: OrderEvent<'stock.reserved'> = event('stock.reserved', {
  owner: stock,
  key: 'orderId',
  versions: { 1: orderSchema },
})

/** The order will not be: whoever did something for it undoes that. */
export const OrderRefused: OrderEvent<'orders.refused'> = event('orders.refused', {
  owner: shop,
  key: 'orderId',
  versions: { 1: orderSchema },
})

/** What each service did, written in the commit of the message: once each. */
export const LEDGER: SqlMigration = sql({
  sqlite: 'create table ledger(seq integer primary key, what text, order_id text)',
  postgres:
    'create table ledger(seq bigint generated always as identity, what text, order_id text)',
})

export const WRITE = 'insert into ledger(what, order_id) values ($1, $2)'

// What an order is called decides what happens to it, whoever coordinates.

const isCalled =
  (part: string) =>
  ({ orderId }: Order): boolean =>
    orderId.includes(part)

export const isDeclined: (order: Order) => boolean = isCalled('declined')
export const isNeverCaptured: (order: Order) => boolean = isCalled('uncaptured')
export const isClosed: (order: Order) => boolean = isCalled('closed')
/** Of an order whose account is closed, too: it is refused after it was paid. */
export const hasNoCarrier = (order: Order): boolean =>
  isCalled('nocarrier')(order) || isClosed(order)

/** How long the bank may take: minutes in a shop, seconds to look at. */
export type CaptureTime = `${number}${'s' | 'm'}`
