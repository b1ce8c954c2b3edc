import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { rawScalarAt } from './raw-scalar-at.ts'

describe('the source text of a scalar', () => {
  test('F49: keeps apart two ids that parse to one number', () => {
    const left = '{"id": 9007199254740993}'
    const right = '{"id": 9007199254740992}'

    expect(JSON.parse(left)).toEqual(JSON.parse(right))
    expect(rawScalarAt(left, ['id'])).toBe('9007199254740993')
    expect(rawScalarAt(right, ['id'])).toBe('9007199254740992')
  })

  test('F49: keeps decimals as written', () => {
    expect(rawScalarAt('{"total":{"amount":10.00}}', ['total', 'amount'])).toBe('10.00')
    expect(rawScalarAt('[-0]', [0])).toBe('-0')
  })

  test.each([
    ['a missing member', '{"a":1}', ['b']],
    ['a missing item', '[1,2]', [2]],
    ['an item of an empty array', '[]', [0]],
    ['a member of an array', '[1]', ['a']],
    ['a member of a scalar', '{"a":1}', ['a', 'b']],
    ['an object', '{"a":{}}', ['a']],
    ['an array', '{"a":[1]}', ['a']],
  ])('is undefined for %s', (_, text, path) => {
    expect(rawScalarAt(text, path)).toBeUndefined()
  })

  test('finds a key written with escapes, and is not misled by text inside strings', () => {
    const text = String.raw`{"x":"\"a\":7 }]","\u0061" : [ {"b":[[],{}]} , {"c" : 5 } ]}`

    expect(rawScalarAt(text, ['a', 1, 'c'])).toBe('5')
    expect(rawScalarAt(text, ['x'])).toBe(String.raw`"\"a\":7 }]"`)
  })

  test('is, at every path of any document, the text of the value there', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), fc.nat(2), (json, indent) => {
        const document: unknown = JSON.parse(json)
        const text = JSON.stringify(document, null, indent)
        for (const [path, value] of scalarsOf(document, [])) {
          expect(rawScalarAt(text, path)).toBe(JSON.stringify(value))
        }
      }),
    )
  })

  test('F47: walks past a deep neighbour without recursion', () => {
    const deep = '['.repeat(500_000) + ']'.repeat(500_000)

    expect(rawScalarAt(`{"a":${deep},"id":7}`, ['id'])).toBe('7')
  })
})

type Path = readonly (string | number)[]

function* scalarsOf(value: unknown, path: Path): Generator<readonly [Path, unknown]> {
  if (typeof value !== 'object' || value === null) yield [path, value]
  else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) yield* scalarsOf(item, [...path, index])
  } else for (const [key, member] of Object.entries(value)) yield* scalarsOf(member, [...path, key])
}
