import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fieldOrder, keyOf, keyOrder } from './field-order.ts'

const order = (left: string | number, right: string | number): number =>
  Buffer.compare(fieldOrder(left), fieldOrder(right))

describe('fieldOrder', () => {
  it('orders numbers by size, whatever their sign and scale', () => {
    const number = fc.oneof(
      fc.double({ noNaN: true }),
      fc.integer(),
      fc.maxSafeInteger(),
      fc.constantFrom(0, 1, -1, 1e-320, -1e-320),
    )
    fc.assert(
      fc.property(number, number, (left, right) => {
        expect(order(left, right)).toBe(Math.sign(left - right) || (left === right ? 0 : NaN))
      }),
      {
        // Infinity minus itself is no number.
        examples: [[Infinity, -Infinity]],
      },
    )
  })

  it('takes 0 and -0 for one value', () => {
    expect(order(0, -0)).toBe(0)
  })

  it('orders text by its UTF-8 bytes, behind every number', () => {
    const text = fc.string({ unit: 'binary' })
    fc.assert(
      fc.property(text, text, fc.double({ noNaN: true }), (left, right, number) => {
        expect(order(left, right)).toBe(Buffer.compare(Buffer.from(left), Buffer.from(right)))
        expect(order(number, left)).toBe(-1)
      }),
    )
  })
})

describe('keyOrder', () => {
  it('gives every well-formed key back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (key) => {
        expect(keyOf(keyOrder(key))).toBe(key)
      }),
    )
  })
})
