import {
  type AnyCommand,
  type Command,
  command,
  commandHandler,
  type Consumer,
  Declined,
  event,
  header,
  integration,
  type Integration,
  jsonSchema,
  saga,
  secret,
  sql,
  standardWebhooks,
  system,
  team,
  type TypedJsonSchema,
  webhook,
  type Webhook,
} from '../../src/contract/index.ts'
import type { Random } from '../../src/kernel/index.ts'
import type { CheckWorld } from '../../src/testing/index.ts'

interface Order {
  readonly orderId: string
  readonly amount: number
}

const owners = team('owners')
const orderSchema: TypedJsonSchema<Order> = jsonSchema<Order>({
  type: 'object',
  required: ['orderId', 'amount'],
  properties: { orderId: { type: 'string' }, amount: { type: 'integer' } },
})
const reasonSchema = jsonSchema<{ readonly code: string }>({
  type: 'object',
  required: ['code'],
  properties: { code: { type: 'string' } },
})
const versions = { 1: orderSchema }
const named = { owner: owners, key: 'orderId' as const }

const PartnerOrder = event('partner.order', { owner: owners, versions })
const BankCapture = event('bank.capture', { owner: owners, versions })
const OrderPlaced = event('shop.placed', { ...named, versions })
const PaymentCaptured = event('payments.captured', { ...named, versions })
const OrderShipped = event('shop.shipped', { ...named, versions })

type Step<Name extends string> = Command<
  Name,
  { readonly 1: Order },
  1,
  undefined,
  { readonly Refused: { readonly code: string } }
>
type Undo<Name extends string> = Command<Name, { readonly 1: Order }, 1, undefined, object>

const errors = { Refused: reasonSchema }
const Release: Undo<'stock.release'> = command('stock.release', { ...named, input: orderSchema })
const Refund: Undo<'payments.refund'> = command('payments.refund', { ...named, input: orderSchema })
const Reserve: Step<'stock.reserve'> = command('stock.reserve', {
  ...named,
  input: orderSchema,
  errors,
  compensate: ({ input }) => Release.of(input),
})
const Charge: Step<'payments.charge'> = command('payments.charge', {
  ...named,
  input: orderSchema,
  errors,
})
const Ship: Step<'parcels.create'> = command('parcels.create', {
  ...named,
  input: orderSchema,
  errors,
})

const policy = {
  owner: owners,
  from: 'earliest',
  idempotency: 'transaction',
  retry: { attempts: 4, first: '1s', max: '20s' },
  deadLetter: { alert: owners.oncall },
  afterDeadLetter: 'skip',
  replay: 'safe',
  timeout: '10s',
} as const

interface Books {
  readonly from: string
  readonly to: string
  /** Moves back what was moved, if it was. */
  readonly isBack?: boolean
  readonly refuses?: (order: Order) => boolean
}

/** Moves an amount from one account to the other, once for each request. */
const desk = (on: AnyCommand, { from, to, isBack = false, refuses }: Books): Consumer =>
  commandHandler(`${on.name.replace('.', '-')}-desk`, {
    ...policy,
    on,
    handle: async (given, ctx) => {
      // Its own schema has checked it.
      const order = given as Order
      if (refuses?.(order)) return new Declined('Refused', { code: 'no' })
      return ctx.tx(async (db) => {
        const moved = await db.get<{ amount: number }>(
          'select coalesce(sum(amount), 0) as amount from ledger where account = $1 and id = $2',
          from,
          order.orderId,
        )
        const amount = isBack ? (moved?.amount ?? 0) : order.amount
        const insert =
          'insert into ledger(step, account, id, amount, request) values ($1, $2, $3, $4, $5)'
        await db.run(insert, on.name, from, order.orderId, -amount, ctx.idempotencyKey)
        await db.run(insert, on.name, to, order.orderId, amount, ctx.idempotencyKey)
        return null
      })
    },
  })

const every = (nth: number, { orderId }: Order): boolean => Number(orderId.slice(1)) % nth === 0

const orderSaga = saga(
  'order',
  {
    version: 1,
    owner: owners,
    on: OrderPlaced,
    uses: [Reserve, Charge, Ship, Release, Refund, PaymentCaptured],
    emits: [OrderShipped],
    from: 'earliest',
  },
  async (s, order) => {
    await s.call(Reserve, order)
    await s.call(Charge, order, { compensate: ({ input }) => Refund.of(input) })
    const got = await s.first({ captured: s.wait(PaymentCaptured), gone: s.sleep('40s') })
    if (got.tag === 'gone') return s.fail('payment-timeout')
    await s.call(Ship, order)
    s.emit(OrderShipped.of(order))
    return null
  },
)

const hook = {
  verify: standardWebhooks({ secret: secret.env('PARTNER_SECRET') }),
  idempotency: { key: header('webhook-id'), retention: '30m' },
  retriesFor: '10m',
} as const

/** Orders and payments come through the border, in any order; a saga brings them together. */
export const shopWithSaga: Integration = integration('shop', {
  parts: [
    webhook('partner', {
      ...hook,
      from: system('partner'),
      path: '/webhooks/partner',
      accepts: PartnerOrder,
      emit: (order: Order) => OrderPlaced.of(order),
    }),
    webhook('bank', {
      ...hook,
      from: system('bank'),
      path: '/webhooks/bank',
      accepts: BankCapture,
      emit: (order: Order) => PaymentCaptured.of(order),
    }),
    orderSaga,
    desk(Reserve, { from: 'shelf', to: 'reserved', refuses: (order) => every(11, order) }),
    desk(Charge, { from: 'customer', to: 'shop', refuses: (order) => every(7, order) }),
    desk(Ship, { from: 'reserved', to: 'shipped', refuses: (order) => every(13, order) }),
    desk(Release, { from: 'reserved', to: 'shelf', isBack: true }),
    desk(Refund, { from: 'shop', to: 'customer', isBack: true }),
  ],
  tables: [
    sql({
      sqlite: 'create table ledger(step text, account text, id text, amount integer, request text)',
    }),
  ],
})

/** Two messages for each order: placed twice, paid twice, paid before it was placed, never paid. */
export const sagaBody = (_webhook: Webhook, random: Random, index: number): Order => ({
  orderId: `o${(index % 1_000_000) >>> 1}`,
  amount: 1 + Math.floor(random.next() * 9),
})

/**
 * What is moved is moved once, the sum of all accounts stays nothing, and what was sent is paid for
 * and no longer reserved.
 */
export const checkLedger: CheckWorld = async ({ disk }) => {
  const found: string[] = []
  const repeated = await disk.query(
    'select step, id, request from ledger group by step, request having count(*) > 2',
  )
  for (const { step, id } of repeated) found.push(`${String(step)} of ${String(id)} was done twice`)
  const sums = await disk.query(
    `select id, sum(amount) as total,
       sum(case account when 'shop' then amount else 0 end) as paid,
       sum(case account when 'shipped' then amount else 0 end) as shipped,
       sum(case account when 'reserved' then amount else 0 end) as reserved
     from ledger group by id`,
  )
  for (const { id, total, paid, shipped, reserved } of sums) {
    const name = String(id)
    if (total !== 0) found.push(`the accounts of ${name} sum up to ${String(total)}`)
    if (shipped !== 0 && (paid !== shipped || reserved !== 0))
      found.push(`${name} was sent, and is paid with ${String(paid)}`)
  }
  return found
}
