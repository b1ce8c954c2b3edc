import { commandHandler, type Integration, integration, type Part, type Saga, saga } from 'junctura'
import {
  bank,
  type CaptureTime,
  Charge,
  hasNoCarrier,
  isClosed,
  isDeclined,
  isNeverCaptured,
  LEDGER,
  type Order,
  OrderPlaced,
  OrderShipped,
  parcels,
  PaymentCaptured,
  Refund,
  Release,
  Reserve,
  Ship,
  shop,
  stock,
  WRITE,
} from './contracts.ts'

type Used =
  | typeof Reserve
  | typeof Charge
  | typeof Ship
  | typeof Refund
  | typeof Release
  | typeof PaymentCaptured

/** The whole process, in one place. */
export const createOrderSaga = (
  captureWithin: CaptureTime,
): Saga<'order', Order, { readonly parcel: string }, Used> =>
  saga(
    'order',
    {
      version: 1,
      owner: shop,
      on: OrderPlaced,
      uses: [Reserve, Charge, Ship, Refund, Release, PaymentCaptured],
      emits: [OrderShipped],
      budget: { total: '24h', quiet: '30m' },
    },
    async (s, order) => {
      await s.call(Reserve, order)
      await s.call(Charge, order)
      const got = await s.first({ captured: s.wait(PaymentCaptured), gone: s.sleep(captureWithin) })
      if (got.tag === 'gone') return s.fail('the payment was not captured in time')
      const { parcel } = await s.call(Ship, order)
      s.emit(OrderShipped.of(order))
      return { parcel }
    },
  )

const policy = {
  from: 'earliest',
  idempotency: 'transaction',
  retry: { attempts: 2, first: '100ms', max: '1s' },
  afterDeadLetter: 'skip',
  replay: 'safe',
} as const

const stockPolicy = { ...policy, owner: stock, deadLetter: { alert: stock.oncall } }
const bankPolicy = { ...policy, owner: bank, deadLetter: { alert: bank.oncall } }

/** Each does its part and knows nothing of the others; what an order is called decides how. */
const desks: readonly Part[] = [
  commandHandler('reserve-desk', {
    ...stockPolicy,
    on: Reserve,
    handle: async (order, ctx) =>
      ctx.tx(async (db) => {
        await db.run(WRITE, 'reserved', order.orderId)
        return { shelf: 'A1' }
      }),
  }),
  commandHandler('release-desk', {
    ...stockPolicy,
    on: Release,
    handle: async (order, ctx) =>
      ctx.tx(async (db) => {
        await db.run(WRITE, 'released', order.orderId)
        return undefined
      }),
  }),
  commandHandler('charge-desk', {
    ...bankPolicy,
    on: Charge,
    handle: async (order, ctx) => {
      if (isDeclined(order)) return ctx.decline('CardDeclined', { code: '51' })
      if (!isNeverCaptured(order)) ctx.emit(PaymentCaptured.of(order))
      return ctx.tx(async (db) => {
        await db.run(WRITE, 'charged', order.orderId)
        return { paymentId: `pay-${order.orderId}` }
      })
    },
  }),
  commandHandler('refund-desk', {
    ...bankPolicy,
    on: Refund,
    handle: async (order, ctx) => {
      if (isClosed(order)) return ctx.decline('AccountClosed', { since: 'yesterday' })
      return ctx.tx(async (db) => {
        await db.run(WRITE, 'refunded', order.orderId)
        return undefined
      })
    },
  }),
  commandHandler('ship-desk', {
    ...policy,
    owner: parcels,
    deadLetter: { alert: parcels.oncall },
    on: Ship,
    handle: async (order, ctx) => {
      if (hasNoCarrier(order)) return ctx.decline('NoCarrier', { region: 'far away' })
      return ctx.tx(async (db) => {
        await db.run(WRITE, 'shipped', order.orderId)
        return { parcel: `parcel-${order.orderId}` }
      })
    },
  }),
]

export const createOrchestrated = (captureWithin: CaptureTime): Integration =>
  integration('orchestrated', {
    parts: [createOrderSaga(captureWithin), ...desks],
    tables: [LEDGER],
  })
