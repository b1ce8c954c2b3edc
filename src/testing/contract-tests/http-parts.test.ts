import { describe, expect, it } from 'vitest'
import {
  bearer,
  consumer,
  event,
  eventsEndpoint,
  type Integration,
  integration,
  jsonSchema,
  secret,
  system,
  team,
} from '../../contract/index.ts'
import { contractTests } from './contract-tests.ts'

const shop = team('shop')

const orderSchema = jsonSchema<{ readonly orderId: string; readonly cents: number }>({
  type: 'object',
  required: ['orderId', 'cents'],
  properties: { orderId: { type: 'string' }, cents: { type: 'integer', minimum: 0 } },
})

const Placed = event('orders.placed', { owner: shop, key: 'orderId', versions: { 1: orderSchema } })
const Moved = event('stock.moved', {
  owner: shop,
  versions: {
    1: jsonSchema<{ sku: string }>({
      type: 'object',
      required: ['sku'],
      properties: { sku: { type: 'string' } },
    }),
    2: jsonSchema<{ item: string }>({
      type: 'object',
      required: ['item'],
      properties: { item: { type: 'string' } },
    }),
  },
  compatibility: 'none',
  upcast: { 1: ({ sku }) => ({ item: sku }) },
})

/** Programs in other languages on both sides. */
const parts: Integration = integration('http-parts', {
  parts: [
    eventsEndpoint('events', {
      from: system('shop', { kind: 'internal' }),
      accepts: [Placed, Moved],
      verify: bearer({ secret: [secret.env('EVENTS_TOKEN'), secret.file('/run/token')] }),
    }),
    consumer('billing', {
      owner: shop,
      on: Placed,
      idempotency: 'natural',
      retry: { attempts: 3, first: '1s', max: '10s' },
      deadLetter: { alert: shop.oncall },
      afterDeadLetter: 'park',
      replay: 'safe',
      push: { url: 'http://billing.invalid/events', secret: secret.env('PUSH_SECRET') },
    }),
  ],
})

describe('the derived contract tests', () => {
  const cases = contractTests(parts)

  it('try an events endpoint for each contract, and a consumer that pushes', () => {
    expect(new Set(cases.map(({ part, name }) => `${part} ${name}`))).toEqual(
      new Set(['webhook events/orders.placed', 'webhook events/stock.moved', 'consumer billing']),
    )
  })

  it.each(cases.map((one) => [one.title, one] as const))('%s', async (_, one) => {
    const report = await one.run()
    expect(typeof report).toBe('object')
  })
})
