import { describe, expect, it } from 'vitest'
import { command, event, saga } from '../contract/index.ts'
import {
  Charge,
  createSagaWorld,
  does,
  order,
  OrderPlaced,
  orderInput,
  PaymentCaptured,
  Refund,
  Release,
  Reserve,
  sagaParts,
} from './order-saga.fixture.ts'
import { owners } from './world.fixture.ts'

const MINUTE = 60_000
const at = { saga: 'order', key: 'a' } as const

const base = { version: 1, owner: owners, on: OrderPlaced, from: 'earliest' } as const

describe('limits', () => {
  it('of steps pause a run after a warning, and memory holds nothing of it (F158)', async () => {
    const world = createSagaWorld()
    const kind = saga('order', { ...base, uses: [], budget: { steps: 20 } }, async (s) => {
      for (;;) {
        await s.run('step', async () => 1, { effect: 'idempotent' })
        await s.sleep(1)
      }
    })
    const runtime = await world.begin([kind])
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(MINUTE)

    const run = await world.run('a')
    expect(run).toMatchObject({ state: 'paused', problem: { kind: 'limit' } })
    expect(run?.entries).toHaveLength(20)
    const open = await runtime.alerts({ state: 'open' })
    expect(open.items.map(({ severity }) => severity).toSorted()).toEqual(['critical', 'warning'])
    await runtime.close()
  })

  it('of time take a run back that goes forward, and tell of one that does not move (S16)', async () => {
    const world = createSagaWorld()
    const kind = saga(
      'order',
      { ...base, uses: [Reserve, PaymentCaptured], budget: { total: '1h', quiet: '10m' } },
      async (s, input) => {
        await s.call(Reserve, input)
        await s.wait(PaymentCaptured)
      },
    )
    const runtime = await world.begin(sagaParts(kind))
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(15 * MINUTE)
    const open = await runtime.alerts({ state: 'open' })
    expect(open.items.map(({ title }) => title)).toEqual([
      expect.stringContaining('has not moved for'),
    ])
    expect((await world.run('a'))?.state).toBe('running')

    await world.pass(50 * MINUTE)
    expect(await world.run('a')).toMatchObject({ state: 'compensated', cause: { kind: 'budget' } })
    expect(await world.ledger('a')).toEqual(['stock.reserve', 'stock.release'])
    await runtime.close()
  })
})

describe('personal data', () => {
  it('is masked in what people see of a run, and in what an effect threw', async () => {
    const world = createSagaWorld()
    const Placed = event('people.placed', {
      owner: owners,
      key: 'orderId',
      versions: { 1: orderInput },
      pii: ['orderId'],
    })
    const kind = saga('order', { ...base, on: Placed, uses: [] }, async (s, input) => {
      await s.run(
        'mail',
        async () => {
          throw new Error(`no box for ${input.orderId}`)
        },
        { retry: { attempts: 1, first: 0, max: '1s' } },
      )
    })
    const runtime = await world.begin([kind])
    await runtime.publish(Placed.of(order('someone-secret')))
    await world.pass(MINUTE)
    const run = await world.run('someone-secret')
    expect(run?.state).toBe('paused')
    expect(JSON.stringify([run?.input, run?.problem, run?.entries])).not.toContain('secret')
    await runtime.close()
  })
})

describe('an ended run', () => {
  it('is forgotten after its time with the answers of its commands; one that lives is not (S21)', async () => {
    const world = createSagaWorld()
    const kind = saga(
      'order',
      { ...base, uses: [Reserve, PaymentCaptured], keep: '1h' },
      async (s, input) => {
        await s.call(Reserve, input)
        if (input.orderId === 'b') await s.wait(PaymentCaptured)
      },
    )
    const runtime = await world.begin(sagaParts(kind))
    await runtime.publish(OrderPlaced.of(order('a')))
    await runtime.publish(OrderPlaced.of(order('b')))
    await world.pass(30 * MINUTE)
    expect((await world.run('a'))?.state).toBe('completed')
    await world.pass(90 * MINUTE)
    expect(await world.run('a')).toBeUndefined()
    expect((await world.run('b'))?.state).toBe('running')
    await runtime.close()
  })
})

describe('steps side by side', () => {
  const Quote = (name: string) =>
    command(`quotes.${name}`, {
      owner: owners,
      key: 'orderId',
      input: orderInput,
      output: orderInput,
    })

  it('are gathered: those that came within the time, the rest is missing', async () => {
    const world = createSagaWorld()
    const [dhl, ups] = [Quote('dhl'), Quote('ups')]
    const kind = saga('order', { ...base, uses: [dhl, ups] }, async (s, input) =>
      s.gather({ dhl: s.call(dhl, input), ups: s.call(ups, input) }, { atLeast: 1, within: '3s' }),
    )
    const runtime = await world.begin([kind, does(dhl, order('a', 7))])
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(2_000)
    expect((await world.run('a'))?.state).toBe('running')
    await world.pass(2_000)
    expect(await world.run('a')).toMatchObject({
      state: 'completed',
      output: { dhl: { status: 'done', value: { amount: 7 } }, ups: { status: 'missing' } },
    })
    await runtime.close()
  })

  it('of a child saga end with it; a parent that is cancelled cancels the child first (S17)', async () => {
    const world = createSagaWorld()
    const child = saga(
      'child',
      {
        ...base,
        on: event('child.asked', { owner: owners, key: 'orderId', versions: { 1: orderInput } }),
        uses: [Reserve, Release, PaymentCaptured],
      },
      async (s, input) => {
        await s.call(Reserve, input)
        await s.wait(PaymentCaptured)
        return input.amount + 1
      },
    )
    const parent = saga('order', { ...base, uses: [child, Charge, Refund] }, async (s, input) => {
      await s.call(Charge, input, { compensate: () => Refund.of(input) })
      return s.child(child, input, { key: `of-${input.orderId}` })
    })
    const runtime = await world.begin([...sagaParts(parent), child])
    await runtime.publish(OrderPlaced.of(order('a', 4)))
    await runtime.publish(OrderPlaced.of(order('b', 4)))
    await world.pass(500)
    await runtime.publish(PaymentCaptured.of(order('of-a')))
    await world.operate({ kind: 'saga.cancel', saga: 'order', key: 'b' })
    await world.pass(MINUTE)

    expect(await world.run('a')).toMatchObject({
      state: 'completed',
      output: { ok: true, output: 5 },
    })
    expect(await world.run('b')).toMatchObject({ state: 'compensated' })
    expect(await world.run('of-b', 'child')).toMatchObject({ state: 'compensated' })
    expect(await world.ledger('b')).toEqual([
      'payments.charge',
      'stock.reserve',
      'stock.release',
      'payments.refund',
    ])
    await runtime.close()
  })

  it('of s.tx commit with the journal, once', async () => {
    const world = createSagaWorld()
    const kind = saga('order', { ...base, uses: [] }, async (s, input) => {
      await s.tx('note', (db) =>
        db.run('insert into ledger(what, key, amount) values ($1, $2, 1)', 'noted', input.orderId),
      )
      await s.sleep('1s')
      return s.tx('count', async (db) => (await db.all('select 1 from ledger')).length)
    })
    const runtime = await world.begin([kind])
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(MINUTE)
    expect(await world.run('a')).toMatchObject({ state: 'completed', output: 1 })
    expect(await world.ledger('a')).toEqual(['noted'])
    await runtime.close()
  })

  it('that wait for a retry let a cancel through, and effects are taken back, too', async () => {
    const world = createSagaWorld()
    const done: string[] = []
    const kind = saga('order', { ...base, uses: [] }, async (s) => {
      await s.run('one', async () => 'x', {
        compensate: async ({ output, outcome }) => done.push(`one ${output} ${outcome}`),
      })
      await s.run(
        'two',
        async () => {
          throw new Error('away')
        },
        {
          retry: { attempts: 5, first: '10m', max: '10m' },
          compensate: async ({ output, outcome }) => done.push(`two ${output} ${outcome}`),
        },
      )
    })
    const runtime = await world.begin([kind])
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(1_000)
    await world.operate({ kind: 'saga.cancel', ...at })
    await world.pass(1_000)
    expect((await world.run('a'))?.state).toBe('compensated')
    expect(done).toEqual(['two undefined unknown', 'one x done'])
    await runtime.close()
  })
})
