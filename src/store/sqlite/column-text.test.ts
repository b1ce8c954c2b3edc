import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromColumnText, toColumnText } from './column-text.ts'

const text = fc.string({ unit: fc.constantFrom('\0', '\u0001', '\u0002', 'a', 'é'), maxLength: 6 })

describe('text in a column', () => {
  it('comes back as it was, holds no NUL, and keeps its order', () => {
    fc.assert(
      fc.property(text, text, (left, right) => {
        const stored = [left, right].map(toColumnText)
        expect(stored.map(fromColumnText)).toEqual([left, right])
        expect(stored.join()).not.toContain('\0')
        expect(compare(stored[0] ?? '', stored[1] ?? '')).toBe(compare(left, right))
      }),
    )
  })
})

const compare = (left: string, right: string): number =>
  Buffer.compare(Buffer.from(left), Buffer.from(right))
