import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { utf8 } from '../kernel/index.ts'
import { formToJson, readForm, toForm } from './form-fields.ts'

test.each([
  [
    'a=1&b=two+words&c=%2B',
    [
      ['a', '1'],
      ['b', 'two words'],
      ['c', '+'],
    ],
  ],
  [
    'a&b=&=c',
    [
      ['a', ''],
      ['b', ''],
      ['', 'c'],
    ],
  ],
  [
    'a=1&a=2',
    [
      ['a', '1'],
      ['a', '2'],
    ],
  ],
  ['', []],
  ['a=%', undefined],
  ['a=%FF', undefined],
])('the fields of %j', (text, expected) => {
  expect(readForm(text, 10)).toEqual(expected)
})

test('more fields than allowed are no form', () => {
  expect(readForm('a&'.repeat(10), 10)).toBeUndefined()
})

test('a form is an object of texts, and a name that comes twice has a list', () => {
  expect(formToJson(utf8('a=1&b=x&a=2&__proto__=p'), 10)).toBe(
    '{"a":["1","2"],"b":"x","__proto__":"p"}',
  )
  expect(formToJson(Uint8Array.of(0x61, 0x3d, 0xff), 10)).toBeUndefined()
})

test('what is written as a form is read again', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string({ unit: 'grapheme', minLength: 1 }), fc.string({ unit: 'grapheme' })),
      (data) => {
        const json = formToJson(utf8(toForm(data) ?? ''), 1_000) ?? ''

        expect(Object.entries(JSON.parse(json))).toEqual(
          expect.arrayContaining(Object.entries(data)),
        )
      },
    ),
  )
})

test.each([[[1]], [null], ['text'], [{ a: { b: 1 } }]])(
  '%j cannot be written as a form',
  (value) => {
    expect(toForm(value)).toBeUndefined()
  },
)
