import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  decodeHeaderValue,
  encodeHeaderValue,
  fromCloudEventHeaders,
  toCloudEventHeaders,
} from './cloud-event-headers.ts'

describe('a CloudEvent in HTTP headers', () => {
  test('F54: the example of the HTTP binding is read and written', () => {
    const headers = {
      'ce-specversion': '1.0',
      'ce-type': 'com.example.someevent',
      'ce-time': '2018-04-05T03:56:24Z',
      'ce-id': '1234-1234-1234',
      'ce-source': '/mycontext/subcontext',
      'content-type': 'application/json; charset=utf-8',
    }
    const reading = fromCloudEventHeaders([...Object.entries(headers), ['Host', 'example.com']])
    expect(reading).toMatchObject({ ok: true })
    expect(reading.ok && toCloudEventHeaders(reading.attributes)).toEqual(headers)
  })

  test('names are read in any case', () => {
    expect(fromCloudEventHeaders([['CE-Id', '1']])).toEqual({ ok: true, attributes: { id: '1' } })
  })

  test.each([
    [
      'twice',
      [
        ['ce-id', '1'],
        ['Ce-Id', '1'],
      ],
    ],
    ['a media type in a ce- header', [['ce-datacontenttype', 'application/json']]],
    ['no UTF-8', [['ce-subject', '%C0%A0']]],
  ] as const)('F54: refuses %s', (_, headers) => {
    expect(fromCloudEventHeaders(headers).ok).toBe(false)
  })

  test.each([
    ['Euro € 😀', 'Euro%20%E2%82%AC%20%F0%9F%98%80'],
    ['50%', '50%25'],
    ['say "x"', 'say%20%22x%22'],
    ['a\u007fb', 'a%7Fb'],
    ['plain-~!#', 'plain-~!#'],
  ])('section 3.1.3.2: %j is written as %s, and read again', (value, encoded) => {
    expect(encodeHeaderValue(value)).toBe(encoded)
    expect(decodeHeaderValue(encoded)).toBe(value)
  })

  test.each([
    ['%e2%82%ac', '€'],
    ['%41', 'A'],
    ['"quoted \\"text\\" %20"', 'quoted "text"  '],
    ['100%', '100%'],
    ['%2525', '%25'],
    ['Å¼', 'ż'],
    ['%C0%A0', undefined],
    ['%ff', undefined],
    ['\u00ff', undefined],
    ['\u0141', undefined],
  ])('section 3.1.3.2: %s is read as %s', (raw, value) => {
    expect(decodeHeaderValue(raw)).toBe(value)
  })

  test('every text survives, and what is written is printable ASCII without space or quote', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (value) => {
        const encoded = encodeHeaderValue(value)
        expect(encoded).toMatch(/^[!#-~]*$/)
        expect(decodeHeaderValue(encoded)).toBe(value)
      }),
    )
  })

  test('whatever a header holds, it is read or refused', () => {
    const anyByte = fc.string({ unit: fc.nat(255).map((code) => String.fromCharCode(code)) })
    fc.assert(
      fc.property(anyByte, (raw) => {
        const value = decodeHeaderValue(raw)
        expect(value === undefined || value.isWellFormed()).toBe(true)
      }),
    )
  })
})
