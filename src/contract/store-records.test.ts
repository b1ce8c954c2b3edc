import { describe, expect, it } from 'vitest'
import { consumer } from './consumer.ts'
import { event } from './contract.ts'
import { integration } from './integration.ts'
import { jsonSchema } from './schema-input.ts'
import { storeRecords } from './store-records.ts'
import { team } from './system.ts'

const owner = team('owners')
const versions = { 1: jsonSchema<{ readonly id: string }>({ type: 'object' }) }
const rest = { owner, idempotency: 'natural', replay: 'safe', afterDeadLetter: 'skip' } as const
const policy = {
  ...rest,
  retry: { attempts: 1, first: '1s', max: '1s' },
  deadLetter: { alert: owner.oncall },
} as const

describe('an integration without a broker, in development and in tests', () => {
  it('has every record in the store, and is the same otherwise', () => {
    const Metered = event('meters.metered', { owner, versions, record: 'transport' })
    const reader = consumer('reader', { ...policy, on: Metered, handle: async () => undefined })
    const declared = integration('meters', { parts: [reader] })

    const stored = storeRecords(declared)

    expect(stored.contracts.get('meters.metered')).not.toHaveProperty('record')
    expect(stored.consumers[0]?.on).not.toHaveProperty('record')
    expect(stored.model.hash).toBe(declared.model.hash)
    expect(stored.consumers[0]).toMatchObject({ name: 'reader', on: { channel: 'meters' } })
  })

  it('is itself where it has none elsewhere', () => {
    const Placed = event('orders.placed', { owner, versions })
    const reader = consumer('reader', { ...policy, on: Placed, handle: async () => undefined })
    const declared = integration('orders', { parts: [reader] })

    expect(storeRecords(declared)).toBe(declared)
  })
})
