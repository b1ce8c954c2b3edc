import { writeSync } from 'node:fs'
import { Declined, event, integration, saga } from '../contract/index.ts'
import { createSystemKernel, sleep } from '../kernel/index.ts'
import { createRuntime } from './create-runtime.ts'
import {
  Charge,
  desks,
  does,
  LEDGER,
  orderInput,
  PaymentCaptured,
  Refund,
  Release,
  Reserve,
  Ship,
} from './order-saga.fixture.ts'
import { owners } from './world.fixture.ts'

/** A process to be killed: takes orders to their end, however often it is started again. */
const say = (line: string): void => void writeSync(1, `${line}\n`)
const [, , engine = 'sqlite', place = '', count = '0'] = process.argv
const { clock } = createSystemKernel()

const Placed = event('shop.placed', {
  owner: owners,
  key: 'orderId',
  versions: { 1: orderInput },
  // A restart publishes all of them again.
  idempotency: { key: 'orderId', retention: '1d' },
})

const orders = saga(
  'order',
  {
    version: 1,
    owner: owners,
    on: Placed,
    uses: [Reserve, Charge, Ship, Release, Refund, PaymentCaptured],
    from: 'earliest',
  },
  async (s, order) => {
    await s.call(Reserve, order)
    await s.call(Charge, order, { compensate: ({ input }) => Refund.of(input) })
    const got = await s.first({ captured: s.wait(PaymentCaptured), gone: s.sleep('2s') })
    if (got.tag === 'gone') return s.fail('payment-timeout')
    return s.call(Ship, order)
  },
)

const parts = [
  orders,
  ...desks(
    does(Charge, { paymentId: 'P' }, (input, ctx) => {
      // A third is never captured.
      if (input.amount % 3 !== 0) ctx.emit(PaymentCaptured.of(input))
    }),
    does(Ship, { parcel: 'Z' }, (input) =>
      input.amount % 5 === 0 ? new Declined('NoCarrier', { code: 'x' }) : undefined,
    ),
    does(Refund, null, (_input, ctx) => {
      if (ctx.attempt === 1) throw new Error('the bank is busy')
    }),
  ),
]

const store =
  engine === 'sqlite'
    ? ({ engine, directory: place } as const)
    : ({ engine: 'postgres', url: place, schema: 'sagas' } as const)
const runtime = await createRuntime(integration('shop', { parts, tables: [LEDGER] }), {
  store,
  onFatal: () => process.exit(1),
})
say('ready')
const total = Number(count)
await runtime.publishMany(
  Array.from({ length: total }, (_, n) => Placed.of({ orderId: `o${n}`, amount: n })),
)
for (;;) {
  const live: string[] = []
  for (const state of ['running', 'compensating', 'paused', 'compensation-stuck'] as const) {
    const page = await runtime.sagas({ saga: 'order', state, limit: 500 })
    live.push(...page.items.map((run) => `${run.key} ${run.state}`))
  }
  const ended = await runtime.sagas({ saga: 'order', limit: 500 })
  if (live.length === 0 && ended.items.length === total) break
  await sleep(clock, 100)
}
const states = await runtime.sagas({ saga: 'order', limit: 500 })
say(`done ${JSON.stringify(states.items.map(({ key, state, parked }) => [key, state, parked]))}`)
await runtime.close()
