import { describe, expect, it } from 'vitest'
import {
  Charge,
  createSagaWorld,
  does,
  order,
  OrderPlaced,
  orderSaga,
  PaymentCaptured,
  Reserve,
  sagaParts,
} from './order-saga.fixture.ts'
import { Declined } from '../contract/index.ts'

describe('a saga', () => {
  it('runs to its end over commands, an event and a timer that is not needed', async () => {
    const world = createSagaWorld()
    const runtime = await world.begin(sagaParts())
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(1_000)

    expect(await world.ledger('a')).toEqual(['stock.reserve', 'payments.charge'])
    expect((await world.run('a'))?.state).toBe('running')

    await runtime.publish(PaymentCaptured.of(order('a')))
    await world.pass(1_000)

    expect(await world.ledger('a')).toEqual(['stock.reserve', 'payments.charge', 'parcels.create'])
    const run = await world.run('a')
    expect(run?.problem).toBeUndefined()
    expect(run).toMatchObject({ state: 'completed', output: { parcel: 'Z1' }, timers: [] })
    const shipped = await runtime.messages({ type: 'shop.shipped' })
    expect(shipped.items).toHaveLength(1)
    await runtime.close()
  })

  it('is taken back in reverse order after a timeout, also while waiting (S11)', async () => {
    const world = createSagaWorld()
    const runtime = await world.begin(sagaParts())
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(16 * 60_000)

    expect(await world.ledger('a')).toEqual([
      'stock.reserve',
      'payments.charge',
      'payments.refund',
      'stock.release',
    ])
    expect(await world.run('a')).toMatchObject({
      state: 'compensated',
      cause: { kind: 'failed', reason: 'payment-timeout' },
    })
    await runtime.close()
  })

  it('includes a step that was declined in what is taken back (S10)', async () => {
    const world = createSagaWorld()
    const desk = does(Charge, null, () => new Declined('CardDeclined', { code: '51' }))
    const runtime = await world.begin(sagaParts(orderSaga, desk))
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(1_000)

    expect(await world.ledger('a')).toEqual([
      'stock.reserve',
      'no payments.charge',
      'payments.refund',
      'stock.release',
    ])
    expect(await world.run('a')).toMatchObject({
      state: 'compensated',
      cause: { kind: 'declined', step: 'payments.charge#1' },
    })
    await runtime.close()
  })

  it('pauses with an alert when a handler gives up, and goes on when the step is retried (S10)', async () => {
    const world = createSagaWorld()
    let isDown = true
    const desk = does(Reserve, { place: 'B' }, () => {
      if (isDown) throw new Error('the shelf is locked')
    })
    const runtime = await world.begin(sagaParts(orderSaga, desk))
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(60_000)

    expect(await world.run('a')).toMatchObject({
      state: 'paused',
      problem: { kind: 'step-failed', step: 'stock.reserve#1' },
    })
    const open = await runtime.alerts({ state: 'open' })
    expect(open.items.map(({ kind }) => kind).toSorted()).toEqual(['dead-letter', 'saga'])

    isDown = false
    await world.operate({
      kind: 'saga.retry-step',
      saga: 'order',
      key: 'a',
      step: 'stock.reserve#1',
    })
    await world.pass(1_000)
    await runtime.publish(PaymentCaptured.of(order('a')))
    await world.pass(1_000)

    expect((await world.run('a'))?.state).toBe('completed')
    const still = await runtime.alerts({ state: 'open' })
    expect(still.items.map(({ kind }) => kind)).toEqual(['dead-letter'])
    await runtime.close()
  })
})
