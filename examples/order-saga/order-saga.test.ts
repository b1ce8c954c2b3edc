import { declines, inTurn, fails, type SagaTest, testSaga } from 'junctura/testing'
import { describe, expect, it } from 'vitest'
import { Charge, OrderPlaced, PaymentCaptured, Refund, Reserve, Ship } from './contracts.ts'
import { createOrderSaga } from './orchestrated.ts'

const order = { orderId: 'a', cents: 4_200 }
const orderSaga = createOrderSaga('15m')

const placed: SagaTest<typeof orderSaga> = testSaga(orderSaga)
  .stub(Reserve, { shelf: 'A1' })
  .stub(Charge, { paymentId: 'P1' })
  .stub(Ship, { parcel: 'Z1' })
  .given(OrderPlaced.of(order))
const paid = placed.advance('14m').emit(PaymentCaptured.of(order))

describe('the order saga', () => {
  it('ships what was paid in time, wherever the process dies (S1, S13)', async () => {
    const { result, crashes } = await paid.crashEverywhere()

    expect(result).toMatchObject({ outcome: 'completed', output: { parcel: 'Z1' } })
    expect(result.emitted.map(({ type }) => type)).toEqual(['orders.shipped'])
    expect(crashes).toBeGreaterThan(20)
  }, 60_000)

  it('gives back what was not captured in time, wherever the process dies (S11)', async () => {
    const { result } = await placed.advance('15m').crashEverywhere()

    expect(result.outcome).toBe('compensated')
    expect(result.compensations.map(({ type }) => type)).toEqual([
      'payments.refund',
      'stock.release',
    ])
  }, 60_000)

  it('does not refund a card that was declined, and refunds one that failed', async () => {
    const declined = await paid.stub(Charge, declines('CardDeclined', { code: '51' })).run()
    expect(declined.compensations.map(({ type }) => type)).toEqual(['stock.release'])

    const refused = await paid.stub(Ship, declines('NoCarrier', { region: 'far away' })).run()
    expect(refused.compensations.map(({ type }) => type)).toEqual([
      'payments.refund',
      'stock.release',
    ])
  })

  it('is never called compensated when the refund is refused, and tells the bank (S12)', async () => {
    const { outcome, alerts, compensations } = await paid
      .stub(Ship, declines('NoCarrier', { region: 'far away' }))
      .stub(Refund, declines('AccountClosed', { since: 'yesterday' }))
      .run()

    expect(outcome).toBe('compensation-stuck')
    expect(compensations.map(({ type }) => type)).toEqual(['payments.refund', 'stock.release'])
    expect(alerts).toMatchObject([{ owner: 'bank', isOpen: true }])
  })

  it('asks for a refund again that failed', async () => {
    const { outcome, timeline } = await placed
      .stub(Refund, inTurn(fails('the bank is busy'), undefined))
      .advance('16m')
      .run()

    expect(outcome).toBe('compensated')
    expect(timeline.join('\n')).toContain('undo:payments.charge#1 done')
  })

  it('comes to an end, or tells somebody, or waits for an answer that never comes, in every alternative', async () => {
    const { alternatives } = await paid.alternatives(({ name, result }) => {
      const isTold = result.alerts.some(({ isOpen }) => isOpen)
      const isWaiting = /never answers/.test(name)
      const isEnded = result.outcome === 'completed' || result.outcome === 'compensated'
      expect({ name, isFine: isEnded || isTold || isWaiting }).toEqual({ name, isFine: true })
    })

    expect(alternatives.length).toBeGreaterThan(15)
  }, 60_000)
})
