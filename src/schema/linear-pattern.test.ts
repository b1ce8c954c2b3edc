import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { linearPattern } from './linear-pattern.ts'

const agrees = (pattern: string, text: string): void => {
  const expected = new RegExp(pattern, 'u').test(text)
  expect(linearPattern(pattern, 'field').test(text), `${pattern} on ${text}`).toBe(expected)
}

describe('F55: a linear pattern', () => {
  test.each([
    ['^-?\\d+(\\.\\d+)?$', ['1', '-1.5', '1.', 'x']],
    ['^[A-Z]{2}-[0-9]+$', ['AB-1', 'A-1']],
    ['\\u00e9', ['é', 'e']],
    ['^\\p{L}+$', ['grün', '12']],
    ['^\\p{Letter}+$', ['grün', '12']],
    ['^\\s$', ['\u00a0', '\u2028', ' ', 'x', '\ufeff']],
    ['^\\S$', ['\u00a0', 'x']],
    ['^[\\s,]+$', [', \u00a0', 'x']],
    ['^a|b$', ['ax', 'xb', 'x']],
    ['^(?!\\.)(?!.*\\.\\.)[a-z.]+@x$', ['a.b@x', '.a@x', 'a..b@x', 'ab@x']],
    ['^(?=.*[A-Z])(?=.*\\d).{4,}$', ['Abc1', 'abc1', 'Abcd', 'A1']],
    ['^(?!ab)a[bc]', ['ac', 'ab']],
    ['^.$', ['😀', 'ab']],
  ])('%s says what ECMA-262 says', (pattern, texts) => {
    for (const text of texts) agrees(pattern, text)
  })

  test.each(['^(?!a)b|c', 'x(?=y)', '(?<=a)b', '^(?=a)*b', '(a)\\1', '[', '^(?!a'])(
    '%s is refused, not misread',
    (pattern) => {
      expect(() => linearPattern(pattern, 'field')).toThrow(/linear time/)
    },
  )

  test('agrees with the native engine on patterns made of simple parts', () => {
    const part = fc.constantFrom('a', 'b', '.', '[ab]', '[^a]', '\\d', '\\w', '(a|b)', '(?:ab)')
    const piece = fc.tuple(part, fc.constantFrom('', '*', '+', '?', '{2}', '{1,3}'))
    const pattern = fc
      .tuple(fc.constantFrom('', '^'), fc.array(piece, { maxLength: 4 }), fc.constantFrom('', '$'))
      .map(([start, pieces, end]) => start + pieces.flat().join('') + end)
    const text = fc.array(fc.constantFrom('a', 'b', '1', ' ', 'é')).map((parts) => parts.join(''))
    fc.assert(fc.property(pattern, text, agrees), { numRuns: 1_000 })
  })
})
