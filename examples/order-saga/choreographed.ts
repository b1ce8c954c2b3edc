import {
  consumer,
  type Expectation,
  expectation,
  flow,
  type Integration,
  integration,
  type Part,
} from 'junctura'
import {
  bank,
  type CaptureTime,
  hasNoCarrier,
  isClosed,
  isDeclined,
  isNeverCaptured,
  LEDGER,
  OrderPlaced,
  OrderRefused,
  OrderShipped,
  parcels,
  PaymentCaptured,
  shop,
  stock,
  StockReserved,
  WRITE,
} from './contracts.ts'

const policy = {
  from: 'earliest',
  idempotency: 'transaction',
  retry: { attempts: 2, first: '100ms', max: '1s' },
  afterDeadLetter: 'skip',
  replay: 'safe',
} as const

const stockPolicy = { ...policy, owner: stock, deadLetter: { alert: stock.oncall } }
const bankPolicy = { ...policy, owner: bank, deadLetter: { alert: bank.oncall } }

/** Each hears one event and tells the next. Nobody has the whole. */
const services: readonly Part[] = [
  consumer('reserve', {
    ...stockPolicy,
    on: OrderPlaced,
    handle: async (order, ctx) => {
      ctx.emit(StockReserved.of(order))
      await ctx.tx((db) => db.run(WRITE, 'reserved', order.orderId))
    },
  }),
  consumer('charge', {
    ...bankPolicy,
    on: StockReserved,
    handle: async (order, ctx) => {
      if (isDeclined(order)) return void ctx.emit(OrderRefused.of(order))
      if (!isNeverCaptured(order)) ctx.emit(PaymentCaptured.of(order))
      await ctx.tx((db) => db.run(WRITE, 'charged', order.orderId))
    },
  }),
  consumer('ship', {
    ...policy,
    owner: parcels,
    deadLetter: { alert: parcels.oncall },
    on: PaymentCaptured,
    handle: async (order, ctx) => {
      if (hasNoCarrier(order)) return void ctx.emit(OrderRefused.of(order))
      ctx.emit(OrderShipped.of(order))
      await ctx.tx((db) => db.run(WRITE, 'shipped', order.orderId))
    },
  }),
  consumer('release', {
    ...stockPolicy,
    on: OrderRefused,
    handle: async (order, ctx) => {
      await ctx.tx((db) => db.run(WRITE, 'released', order.orderId))
    },
  }),
  consumer('refund', {
    ...bankPolicy,
    on: OrderRefused,
    handle: async (order, ctx) => {
      // Of an order that was never charged there is nothing to give back: the service must know.
      if (isDeclined(order)) return
      if (isClosed(order)) throw new Error('the account is closed')
      await ctx.tx((db) => db.run(WRITE, 'refunded', order.orderId))
    },
  }),
]

const watch = (captureWithin: CaptureTime): readonly Expectation[] => [
  expectation('reserved', {
    owner: stock,
    after: OrderPlaced,
    expect: StockReserved,
    within: captureWithin,
    grace: 0,
  }),
  expectation('paid', {
    owner: bank,
    after: StockReserved,
    expect: PaymentCaptured,
    undoneBy: OrderRefused,
    within: captureWithin,
    grace: 0,
  }),
  expectation('shipped', {
    owner: parcels,
    after: PaymentCaptured,
    expect: OrderShipped,
    undoneBy: OrderRefused,
    within: captureWithin,
    grace: 0,
  }),
]

export const createChoreographed = (captureWithin: CaptureTime): Integration =>
  integration('choreographed', {
    parts: [
      ...services,
      flow('orders', {
        owner: shop,
        coordination: 'choreography',
        path: [OrderPlaced, StockReserved, PaymentCaptured, OrderShipped],
        expectations: watch(captureWithin),
      }),
    ],
    tables: [LEDGER],
  })
