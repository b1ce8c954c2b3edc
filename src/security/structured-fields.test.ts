import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readByteMembers, readInnerLists } from './structured-fields.ts'

describe('a list of what is covered', () => {
  test('has names, their parameters and its own, and is kept as it was written', () => {
    const text =
      '("@method" "@query-param";name="Pet" "date");created=1618884473;keyid="k\\"1";alg=x'
    const list = readInnerLists(`sig1=${text}, sig2=()`)?.get('sig1')

    expect(list?.items.map(({ name }) => name)).toEqual(['@method', '@query-param', 'date'])
    expect(list?.items[1]?.params.get('name')).toBe('Pet')
    expect(list?.text).toBe(text)
    expect(list && Object.fromEntries(list.params)).toEqual({
      created: 1_618_884_473,
      keyid: 'k"1',
      alg: 'x',
    })
  })

  test.each([
    '',
    'sig1',
    'sig1=',
    'sig1=(',
    'sig1=("a"',
    'sig1=("a"  "b")',
    'sig1=( "a")',
    'sig1=("a" )',
    'sig1=(date)x',
    'sig1=("a");created=01',
    'sig1=("a");created=1.5',
    'sig1=("a");created=1;created=2',
    'sig1=("a"), sig1=("b")',
    'sig1=("a"),',
    'Sig1=("a")',
    'sig1=("\u00e9")',
    'sig1=("a") ;created=1',
  ])('is none when it is not canonical: %j (W3)', (text) => {
    expect(readInnerLists(text)).toBeUndefined()
  })

  test('is bounded, and no text makes it throw', () => {
    const many = Array.from({ length: 51 }, (_, n) => `"h${n}"`).join(' ')

    expect(readInnerLists(`sig1=(${many})`)).toBeUndefined()
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(() => [readInnerLists(`a=${text}`), readByteMembers(`a=${text}`)]).not.toThrow()
      }),
    )
  })
})

test.each([
  ['sig1=:AAAA:', 'AAAA'],
  ['sig1=:AA==:', 'AA=='],
  ['sig1=:AB==:', undefined],
  ['sig1=:AA:', undefined],
  ['sig1=:A-_A:', undefined],
  ['sig1=AAAA', undefined],
])('bytes have one spelling: %s is %s', (text, expected) => {
  expect(readByteMembers(text)?.get('sig1')).toBe(expected)
})
