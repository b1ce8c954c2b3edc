import { describe, expect, it } from 'vitest'
import { command, event, jsonSchema, saga, team } from '../../contract/index.ts'
import { answersAfter, declines, fails, inTurn, neverAnswers } from './stub-answer.ts'
import { testSaga } from './test-saga.ts'

interface Order {
  readonly orderId: string
}

const shop = team('shop')
const text = { type: 'string' } as const
const of = <T>(...names: readonly string[]) =>
  jsonSchema<T>({
    type: 'object',
    required: [...names],
    properties: Object.fromEntries(names.map((name) => [name, text])),
  })
const orderSchema = of<Order>('orderId')
const told = { owner: shop, key: 'orderId', versions: { 1: orderSchema } } as const
const Placed = event('shop.placed', told)
const Captured = event('payments.captured', told)
const Shipped = event('shop.shipped', told)
const asked = { owner: shop, key: 'orderId', input: orderSchema } as const
const Release = command('stock.release', asked)
const Refund = command('payments.refund', asked)
const Reserve = command('stock.reserve', {
  ...asked,
  output: of<{ readonly shelf: string }>('shelf'),
  errors: { OutOfStock: of<{ readonly sku: string }>('sku') },
  compensate: ({ input }) => Release.of(input),
})
const Charge = command('payments.charge', {
  ...asked,
  output: of<{ readonly paymentId: string }>('paymentId'),
  errors: { CardDeclined: of<{ readonly code: string }>('code') },
  retry: { attempts: 2, first: '5s', max: '5s', jitter: 'none' },
})
const Ship = command('parcels.create', {
  ...asked,
  output: of<{ readonly parcel: string }>('parcel'),
  errors: { NoCarrier: of<{ readonly code: string }>('code') },
})

const orders = saga(
  'order',
  {
    version: 1,
    owner: shop,
    on: Placed,
    uses: [Reserve, Charge, Ship, Refund, Captured],
    emits: [Shipped],
  },
  async (s, order) => {
    await s.call(Reserve, order)
    await s.call(Charge, order, { compensate: ({ input }) => Refund.of(input) })
    const got = await s.first({ captured: s.wait(Captured), gone: s.sleep('15m') })
    if (got.tag === 'gone') return s.fail('payment-timeout')
    const { parcel } = await s.call(Ship, order)
    s.emit(Shipped.of(order))
    return { parcel }
  },
)

const order = { orderId: 'o1' }
const test = testSaga(orders)
  .stub(Reserve, { shelf: 'A1' })
  .stub(Charge, { paymentId: 'P1' })
  .stub(Ship, { parcel: 'Z1' })
  .stubCompensation(Release)
  .given(Placed.of(order))
const captured = test.advance('5m').emit(Captured.of(order))

const failureOf = async (work: Promise<unknown>): Promise<string> => {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  return error instanceof Error ? error.message : ''
}

describe('a saga test', () => {
  it('shows the outcome, the commands in order, what was told, and the timeline', async () => {
    const result = await captured.run()

    expect(result.outcome).toBe('completed')
    expect(result.output).toEqual({ parcel: 'Z1' })
    expect(result.commands.map(({ step }) => step)).toEqual([
      'stock.reserve#1',
      'payments.charge#1',
      'parcels.create#1',
    ])
    expect(result.compensations).toEqual([])
    expect(result.emitted).toEqual([{ type: 'shop.shipped', key: 'o1', data: order }])
    expect(result.alerts).toEqual([])
    expect(result.timeline.at(-1)).toMatch(/^\+0:05:0\d\.\d{3} {2}completed$/)
  })

  it('takes back in reverse order after a timeout in virtual time', async () => {
    const { outcome, cause, compensations } = await test.advance('15m').run()

    expect(outcome).toBe('compensated')
    expect(cause?.reason).toBe('payment-timeout')
    expect(compensations.map(({ type }) => type)).toEqual(['payments.refund', 'stock.release'])
    expect((await test.advance('14m').run()).outcome).toBe('running')
  })

  it('answers with declared errors, failures, late, never, in turn, and by a function', async () => {
    const declined = await test.stub(Ship, declines('NoCarrier', { code: 'x' })).run()
    expect(declined.outcome).toBe('running')
    const refused = captured.stub(Ship, () => declines('NoCarrier', { code: 'x' }))
    expect(await refused.run()).toMatchObject({
      outcome: 'compensated',
      cause: { kind: 'declined', step: 'parcels.create#1' },
    })

    const failing = await test.stub(Reserve, fails('the shelf is locked')).run()
    expect(failing).toMatchObject({
      outcome: 'paused',
      problem: { kind: 'step-failed' },
      alerts: [{ isOpen: true }],
    })

    const late = await test.stub(Reserve, answersAfter('2h', { shelf: 'B' })).run()
    expect(late.commands.map(({ type, atMs }) => [type, atMs >= 7_200_000])).toEqual([
      ['stock.reserve', false],
      ['payments.charge', true],
    ])

    const never = await test.stub(Charge, neverAnswers).advance('30d').run()
    expect([never.outcome, never.steps.at(-1)?.state]).toEqual(['running', 'open'])

    const turns = inTurn(fails('the bank is busy'), { paymentId: 'P2' })
    const retried = await test.stub(Charge, turns).advance('1m').run()
    expect(retried.steps.find(({ step }) => step === 'payments.charge#1')).toMatchObject({
      state: 'done',
      output: { paymentId: 'P2' },
    })
  })

  it('says what is not stubbed, and what a command does not declare', async () => {
    const bare = testSaga(orders).given(Placed.of(order))
    expect(await failureOf(bare.run())).toMatch(
      /asked for stock\.reserve \(stock\.reserve#1\).*add \.stub/,
    )
    const loose: object = declines('Lost', {})
    const wrong = Reflect.apply(test.stub, test, [Reserve, loose])
    expect(await failureOf(wrong.run())).toMatch(/declines with Lost.*OutOfStock/)
    expect(() => test.given(Captured.of(order))).toThrow(/started by shop\.placed/)
    expect(() => test.emit(Shipped.of(order))).toThrow(/does not hear; it hears: shop\.placed/)
  })
})

describe('crashEverywhere', () => {
  it.each([
    ['ends well', captured, 'completed'],
    ['is taken back', test.advance('15m'), 'compensated'],
  ] as const)(
    'kills a saga that %s at each commit (S1, S13, F150)',
    async (_, scenario, outcome) => {
      const { result, commits, crashes } = await scenario.crashEverywhere()

      expect(result.outcome).toBe(outcome)
      expect(commits).toBeGreaterThan(10)
      expect(crashes).toBe(2 * commits)
    },
    120_000,
  )

  it('finds a function that depends on more than its steps, and names the crash', async () => {
    let runs = 0
    const forgetful = saga(
      'forgetful',
      { version: 1, owner: shop, on: Placed, uses: [Reserve, Charge] },
      async (s, given) => {
        runs += 1
        const first = runs % 2 === 1 ? Reserve : Charge
        await s.run('look', async () => 'seen')
        await s.call(first, given)
      },
    )
    const scenario = testSaga(forgetful)
      .stub(Reserve, { shelf: 'A1' })
      .stub(Charge, { paymentId: 'P1' })
      .given(Placed.of(order))

    expect(await failureOf(scenario.crashEverywhere())).toMatch(/^(always suspended|crash )/)
  })

  it('finds an effect of once that nobody can verify, at the crash that leaves it in doubt', async () => {
    const mails = saga('mails', { version: 1, owner: shop, on: Placed, uses: [] }, async (s) =>
      s.run('mail', async () => 'sent', { effect: 'once' }),
    )

    const message = await failureOf(testSaga(mails).given(Placed.of(order)).crashEverywhere())
    expect(message).toMatch(/^crash (before|after) commit \d+ of \d+: the saga went another way/)
    expect(message).toContain('in-doubt')
  })
})

describe('alternatives', () => {
  it('tries each answer and each order of a timer and what races it (S9, F152)', async () => {
    const outcomes = new Map<string, string>()
    const { alternatives, leftOut } = await captured.alternatives(({ name, result }) => {
      outcomes.set(name, result.outcome)
    })

    expect(leftOut).toEqual([])
    expect(alternatives[0]?.name).toBe('as written')
    expect(Object.fromEntries(outcomes)).toMatchObject({
      'as written': 'completed',
      'stock.reserve declines OutOfStock': 'compensated',
      'payments.charge declines CardDeclined': 'compensated',
      'parcels.create declines NoCarrier': 'compensated',
      'stock.reserve fails': 'paused',
      'stock.reserve never answers': 'running',
      'stock.reserve answers late': 'completed',
      'payments.captured never comes': 'compensated',
      'payments.captured comes just before sleep#1': 'completed',
      'payments.captured comes just after sleep#1': 'compensated',
    })
  }, 60_000)

  it('names the alternative that a check refuses, and what it left out', async () => {
    const check = captured.alternatives(({ result }) => {
      expect(result.outcome).toBe('completed')
    })
    expect(await failureOf(check)).toMatch(/^alternative "stock\.reserve declines OutOfStock": /)

    const few = await captured.alternatives(() => undefined, { max: 2 })
    expect([few.alternatives.length, few.leftOut.length > 5]).toEqual([2, true])
  }, 60_000)
})
