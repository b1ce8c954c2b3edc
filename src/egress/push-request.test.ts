import { describe, expect, it } from 'vitest'
import { webhookId } from './push-request.ts'

describe('the id of a pushed message', () => {
  it('W11: has no dot, and is another for another message', () => {
    expect(webhookId('msg_1.billing.0')).toBe('msg_1_billing_0')
    expect(webhookId('msg_1-2')).toBe('msg_1-2')
  })

  it('stays within what a signature may carry, after however many emits', () => {
    const long = Array.from({ length: 100 }, (_, n) => `consumer.${n}`).join('.')
    expect(webhookId(long)).toMatch(/^sha256_[0-9a-f]{64}$/)
    expect(webhookId(`${long}.1`)).not.toBe(webhookId(long))
  })
})
