import {
  type Contract,
  consumer,
  correlate,
  event,
  expectation,
  flow,
  integration,
  type Integration,
  jsonSchema,
  schedule,
  team,
} from 'junctura'

const commerce = team('commerce')
const payments = team('payments')
const warehouse = team('warehouse')

const text = { type: 'string' } as const

export interface Order {
  readonly orderId: string
}

export interface Payment extends Order {
  readonly paymentId: string
}

export const OrderPlaced: Contract<'orders.placed', { readonly 1: Order }, 1> = event(
  'orders.placed',
  {
    owner: commerce,
    key: 'orderId',
    versions: {
      1: jsonSchema<Order>({
        type: 'object',
        required: ['orderId'],
        properties: { orderId: text },
      }),
    },
  },
)

export const PaymentCaptured: Contract<'payments.captured', { readonly 1: Payment }, 1> = event(
  'payments.captured',
  {
    owner: payments,
    key: 'paymentId',
    versions: {
      1: jsonSchema<Payment>({
        type: 'object',
        required: ['paymentId', 'orderId'],
        properties: { paymentId: text, orderId: text },
      }),
    },
  },
)

const OrderShipped = event('shipments.sent', {
  owner: warehouse,
  key: 'orderId',
  versions: {
    1: jsonSchema<Order>({
      type: 'object',
      required: ['orderId'],
      properties: { orderId: text },
    }),
  },
})

const ReportDue = event('reports.due', {
  owner: commerce,
  key: 'day',
  versions: {
    1: jsonSchema<{ readonly day: string }>({
      type: 'object',
      required: ['day'],
      properties: { day: text },
    }),
  },
})

const policy = {
  idempotency: 'natural',
  retry: { attempts: 2, first: '100ms', max: '1s' },
  afterDeadLetter: 'park',
  replay: 'safe',
  from: 'earliest',
} as const

/** Captures, and has a bad day: some cards are refused, and some orders it forgets. */
const capture = consumer('capture', {
  ...policy,
  owner: payments,
  deadLetter: { alert: payments.oncall },
  on: OrderPlaced,
  handle: async ({ orderId }, ctx) => {
    if (orderId.endsWith('refused')) throw new Error('the card was refused')
    if (orderId.endsWith('forgotten')) return
    ctx.emit(PaymentCaptured.of({ paymentId: `pay-${orderId}`, orderId }))
  },
})

const ship = consumer('ship', {
  ...policy,
  owner: warehouse,
  deadLetter: { alert: warehouse.oncall },
  on: PaymentCaptured,
  handle: async ({ orderId }, ctx) => {
    ctx.emit(OrderShipped.of({ orderId }))
  },
})

const orderFlow = flow('orders', {
  owner: commerce,
  coordination: 'choreography',
  path: [OrderPlaced, PaymentCaptured, OrderShipped],
  expectations: [
    expectation('paid', {
      owner: payments,
      after: OrderPlaced,
      expect: correlate(PaymentCaptured, ({ orderId }) => orderId),
      // Minutes, in a shop; seconds, to look at.
      within: '3s',
      grace: 0,
    }),
    expectation('shipped', {
      owner: warehouse,
      after: correlate(PaymentCaptured, ({ orderId }) => orderId),
      expect: OrderShipped,
      within: '3s',
      grace: 0,
    }),
  ],
})

const daily = schedule('daily-report', {
  owner: commerce,
  cron: '0 6 * * *',
  timezone: 'Europe/Berlin',
  emits: ReportDue,
  data: ({ dueAt }) => ({ day: dueAt.slice(0, 10) }),
})

const expectations: Integration = integration('expectations', {
  parts: [capture, ship, orderFlow, daily],
})

export default expectations
