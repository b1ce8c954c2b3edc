// What a saga asks for and waits for is held to its contracts.
import {
  command,
  commandHandler,
  event,
  type InputOf,
  type OutputOf,
  saga,
  type SagaContext,
} from 'junctura'
import { answersAfter, declines, fails, inTurn, neverAnswers, testSaga } from 'junctura/testing'
import { z } from 'zod'
import { owner, policy } from './declared.ts'
import { type Equal, holds } from './expect.ts'

const orderInput = z.object({ orderId: z.string(), amount: z.number() })
const Placed = event('orders.placed', { owner, key: 'orderId', versions: { 1: orderInput } })
const Captured = event('payments.captured', {
  owner,
  key: 'orderId',
  versions: { 1: z.object({ orderId: z.string(), paymentId: z.string() }) },
})
const Elsewhere = event('elsewhere.told', { owner, versions: { 1: orderInput } })
const Release = command('stock.release', { owner, key: 'orderId', input: orderInput })
const Reserve = command('stock.reserve', {
  owner,
  key: 'orderId',
  input: orderInput,
  output: z.object({ place: z.string() }),
  errors: { OutOfStock: z.object({ sku: z.string() }), Closed: z.object({ until: z.string() }) },
  compensate: ({ input, output }) => {
    holds<Equal<typeof output, { place: string } | undefined>>()
    return Release.of(input)
  },
})
const Unlisted = command('stock.count', { owner, input: orderInput })

holds<Equal<InputOf<typeof Reserve>, { orderId: string; amount: number }>>()
holds<Equal<OutputOf<typeof Reserve>, { place: string }>>()

// @ts-expect-error the key is not in the input
command('wrong.key', { owner, key: 'customer', input: orderInput })

commandHandler('stock', {
  ...policy,
  on: Reserve,
  handle: async (input, ctx) => {
    holds<Equal<typeof input, { orderId: string; amount: number }>>()
    if (input.amount > 1) return ctx.decline('OutOfStock', { sku: 'a' })
    // @ts-expect-error there is no such error
    ctx.decline('Elsewhere', { sku: 'a' })
    // @ts-expect-error its data has another shape
    ctx.decline('OutOfStock', { until: 'a' })
    return ctx.tx(async () => ({ place: 'A1' }))
  },
})

commandHandler('stock-wrong', {
  ...policy,
  on: Reserve,
  // @ts-expect-error the answer is not the declared output
  handle: async () => ({ shelf: 'A1' }),
})

const child = saga(
  'child',
  { version: 1, owner, on: Captured, uses: [] },
  async (_s, input) => input.paymentId.length,
)

const order = saga(
  'order',
  {
    version: 1,
    owner,
    on: Placed,
    uses: [Reserve, Captured, child],
    correlate: { 'payments.captured': (data) => data.orderId },
    late: {
      'payments.captured': async (s, got) => {
        holds<Equal<typeof got.data, { orderId: string; paymentId: string }>>()
        await s.call(Reserve, { orderId: got.data.orderId, amount: 1 })
      },
    },
  },
  async (s, input) => {
    holds<Equal<typeof input, { orderId: string; amount: number }>>()
    const { place } = await s.call(Reserve, input, {
      compensate: ({ output, outcome }) => {
        // The outcome may be unknown, and then there is no output.
        holds<Equal<typeof output, { place: string } | undefined>>()
        holds<Equal<typeof outcome, 'done' | 'declined' | 'unknown'>>()
        return Release.of(input)
      },
    })
    holds<Equal<typeof place, string>>()
    const tried = await s.try(Reserve, input)
    if (!tried.ok && tried.error === 'Closed') holds<Equal<typeof tried.data, { until: string }>>()
    const got = await s.first({ captured: s.wait(Captured), gone: s.sleep('15m') })
    if (got.tag === 'captured') holds<Equal<typeof got.value.data.paymentId, string>>()
    else holds<Equal<typeof got.value, void>>()
    const all = await s.gather(
      {
        one: s.call(Reserve, input, { name: 'one' }),
        two: s.call(Reserve, input, { name: 'two' }),
      },
      { atLeast: 1, within: '3s' },
    )
    if (all.one.status === 'done') holds<Equal<typeof all.one.value, { place: string }>>()
    const ended = await s.child(child, { orderId: 'a', paymentId: 'b' })
    if (ended.ok) holds<Equal<typeof ended.output, number>>()
    const ran = await s.run('mail', async () => ({ sent: 1 }), {
      effect: 'once',
      verify: async () => ({ happened: true, output: { sent: 1 } }),
      compensate: async ({ output }) => holds<Equal<typeof output, { sent: number } | undefined>>(),
    })
    return ran.sent
  },
)

saga('wrong', { version: 1, owner, on: Placed, uses: [Reserve] }, async (s, input) => {
  // @ts-expect-error it is not in `uses`
  await s.call(Unlisted, input)
  // @ts-expect-error it is not in `uses`
  await s.wait(Elsewhere)
  // @ts-expect-error a command is asked for, not waited for
  await s.wait(Reserve)
  // @ts-expect-error an event is waited for, not asked for
  await s.call(Captured, input)
  // @ts-expect-error the input has another shape
  await s.call(Reserve, { orderId: 1 })
})

const tested = saga(
  'tested',
  { version: 1, owner, on: Placed, uses: [Reserve, Captured] },
  async (s, input) => s.call(Reserve, input),
)
const test = testSaga(tested)
  .stub(Reserve, { place: 'A1' })
  .stub(Reserve, declines('OutOfStock', { sku: 'x' }))
  .stub(Reserve, answersAfter('2h', { place: 'A1' }))
  .stub(Reserve, inTurn(fails('busy'), neverAnswers, { place: 'A1' }))
  .stub(Reserve, ({ orderId }) => ({ place: orderId }))
  .stubCompensation(Release)
// @ts-expect-error it is not in `uses`
test.stub(Unlisted, undefined)
// @ts-expect-error an event has no answer
test.stub(Captured, undefined)
// @ts-expect-error the output has another shape
test.stub(Reserve, { shelf: 'A1' })
// @ts-expect-error it does not declare this error
test.stub(Reserve, declines('Lost', { sku: 'x' }))
// @ts-expect-error the data of the error has another shape
test.stub(Reserve, declines('OutOfStock', { until: 'x' }))
// @ts-expect-error one of them has another shape
test.stub(Reserve, inTurn({ place: 'A1' }, { shelf: 'A1' }))

// @ts-expect-error a saga says who owns it
saga('nobody', { version: 1, on: Placed, uses: [] }, async () => undefined)

type Context = SagaContext<typeof Reserve>
declare const context: Context
void [order, context]
