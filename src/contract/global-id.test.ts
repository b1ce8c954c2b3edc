import { expect, it } from 'vitest'
import { globalId } from './global-id.ts'

it('is the id where we made it, or it came of one of ours', () => {
  const id = 'msg_0193a1b2c3d47a6b9f0e6b1f7d3a5c21'
  for (const own of [id, `${id}-2`, `${id}.billing.0`]) {
    expect(globalId({ source: '/publish', id: own })).toBe(own)
  }
  const emitted = `${globalId({ source: '/shop', id: '1' })}.billing.0`
  expect(globalId({ source: '/consumers/billing', id: emitted })).toBe(emitted)
})

it('tells two messages apart to which two systems gave one id', () => {
  const [one, other] = ['/shop', '/mill'].map((source) => globalId({ source, id: '1042' }))
  expect(one).toMatch(/^sha256_[0-9a-f]{64}$/)
  expect(one).not.toBe(other)
  expect(globalId({ source: '/shop', id: '1042' })).toBe(one)
})
