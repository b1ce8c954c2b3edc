import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LIMITS, utf8 } from '../kernel/index.ts'
import { locateJsonFault } from './locate-json-fault.ts'
import { type JsonLimits, type ParsedJson, parseJson } from './parse-json.ts'

const parse = (text: string, limits?: JsonLimits): ParsedJson => parseJson(utf8(text), limits)
const reasonOf = (text: string, limits?: JsonLimits): string => {
  const parsed = parse(text, limits)
  return parsed.ok ? 'ok' : parsed.reason
}

describe('F48: what is refused', () => {
  test.each([
    ['nothing', '', 'empty'],
    ['only spaces', ' \n', 'syntax'],
    ['a byte order mark', '\uFEFF{}', 'bom'],
    ['NaN', '[NaN]', 'syntax'],
    ['Infinity', '[-Infinity]', 'syntax'],
    ['a comment', '{"a":1/* b */}', 'syntax'],
    ['a trailing comma', '{"a":1,}', 'syntax'],
    ['a raw NUL', '"\0"', 'syntax'],
    ['a broken escape', String.raw`"\x41"`, 'syntax'],
    ['a short unicode escape', String.raw`"\u00"`, 'syntax'],
    ['two documents', '{}{}', 'syntax'],
    ['an open string', '"abc', 'syntax'],
    ['an open string that ends in a backslash', '"abc\\', 'syntax'],
    ['a key twice', '{"a":1,"b":2,"a":1}', 'duplicate-key'],
    ['a key twice, once escaped', String.raw`{"a":1,"\u0061":2}`, 'duplicate-key'],
    ['a key twice deep inside', '[{"x":{"a":1,"a":2}}]', 'duplicate-key'],
    ['__proto__ as key', '{"__proto__":{"admin":true}}', 'prototype-key'],
    ['__proto__ as escaped key', String.raw`{"\u005f_proto__":1}`, 'prototype-key'],
    ['constructor.prototype', '{"constructor":{"prototype":{"admin":1}}}', 'prototype-key'],
    ['half a surrogate pair', String.raw`"\ud83d"`, 'surrogate'],
    ['the second half alone', String.raw`"\uDE00"`, 'surrogate'],
    ['the halves swapped', String.raw`"\ude00\ud83d"`, 'surrogate'],
    ['half a pair in a key', String.raw`{"\ud83d":1}`, 'surrogate'],
    ['half a pair before another escape', String.raw`"\ud83d\n"`, 'surrogate'],
    ['a number past the doubles', '{"a":1e400}', 'number-range'],
    ['a negative one', '[-1e400]', 'number-range'],
    ['one as the whole document', '1e400', 'number-range'],
  ])('%s', (_, text, reason) => {
    expect(reasonOf(text)).toBe(reason)
  })

  test.each([
    ['a bare continuation byte', [0x22, 0x80, 0x22]],
    ['an overlong slash', [0x22, 0xc0, 0xaf, 0x22]],
    ['an encoded surrogate', [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ['past the last code point', [0x22, 0xf4, 0x90, 0x80, 0x80, 0x22]],
    ['a cut sequence', [0x22, 0xe2, 0x82]],
    ['UTF-16 with its mark', [0xff, 0xfe, 0x5b, 0x00, 0x5d, 0x00]],
  ])('bytes that are not UTF-8: %s', (_, bytes) => {
    expect(parseJson(Uint8Array.from(bytes))).toMatchObject({ ok: false, reason: 'utf8' })
  })

  test('UTF-16 without a mark is not JSON', () => {
    expect(parseJson(Buffer.from('{"a":1}', 'utf16le'))).toMatchObject({ reason: 'syntax' })
  })

  test('says the byte of the fault and nothing of the content', () => {
    const parsed = parse('{"é":"secret-value", x}')

    expect(parsed).toMatchObject({ ok: false, reason: 'syntax', at: 22 })
    expect(JSON.stringify(parsed)).not.toContain('secret')
  })
})

describe('F48: what is accepted', () => {
  test.each([
    String.raw`"\ud83d\ude00"`,
    String.raw`"\uD83D\uDE00 \\ud83d \" \\"`,
    String.raw`"\u0000"`,
    '{"":1," ":{"a":1},"b":{"a":1}}',
    '{"constructor":"Ferrari","prototype":1,"hasOwnProperty":2,"toString":3}',
    '{"constructor":{"name":"x"}}',
    '{"2":1,"1":2,"a":"{\\"a\\":[,:"}',
    ' [ 1 , -0 , 1E-7 ] \r\n\t',
    '"\u2028\u2029"',
    'null',
  ])('%s', (text) => {
    const parsed = parse(text)

    expect(parsed).toEqual({ ok: true, value: JSON.parse(text), text })
  })

  test('reads any JSON value as the native parser does', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 8 }), fc.nat(3), (json, indent) => {
        const text = JSON.stringify(JSON.parse(json), null, indent)
        fc.pre(!/"__proto__"|"constructor"|\\ud[89a-f]/i.test(text))
        const parsed = parse(text)
        expect(parsed.ok && parsed.value).toEqual(JSON.parse(text))
      }),
    )
  })

  test('a number keeps the value of the native parser, also past 2^53', () => {
    const parsed = parse('[9007199254740993, 0.1, 1e-400]')

    expect(parsed).toMatchObject({ value: [9007199254740992, 0.1, 0] })
  })
})

test('F48: arbitrary bytes give a result, and only what the native parser takes is accepted', () => {
  const alphabet = fc.constantFrom(
    ...Array.from('{}[]",:\\u0eE-+.d8 atrue\n'),
    '"a":',
    '\ud83d\ude00',
  )
  const jsonish = fc.array(alphabet).map((parts) => utf8(parts.join('')))
  fc.assert(
    fc.property(fc.oneof(jsonish, fc.uint8Array({ maxLength: 40 })), (bytes) => {
      const parsed = parseJson(bytes)
      const text = new TextDecoder().decode(bytes)
      let native: unknown = 'refused'
      try {
        native = JSON.parse(text)
      } catch {
        expect(parsed.ok).toBe(false)
      }
      if (parsed.ok) expect(parsed.value).toEqual(native)
    }),
    { numRuns: 5_000 },
  )
})

test('F48: the slow scanner finds a fault wherever the native parser throws, and no other bad syntax', () => {
  const alphabet = fc.constantFrom(
    ...Array.from('{}[]",:\\u0eE-+.1 t'),
    '"a":',
    '"b":',
    'true',
    'null',
    '12',
  )
  fc.assert(
    fc.property(
      fc.array(alphabet, { maxLength: 12 }).map((parts) => parts.join('')),
      (text) => {
        let isJson = true
        try {
          JSON.parse(text)
        } catch {
          isJson = false
        }
        const fault = locateJsonFault(text)
        if (isJson) expect(fault?.reason).not.toBe('syntax')
        else expect(fault).toBeDefined()
      },
    ),
    { numRuns: 20_000 },
  )
})

test('F48: accepted input never reaches a prototype, even when merged carelessly', () => {
  for (const text of ['{"__proto__":{"x":1}}', '{"a":{"__proto__":{"x":1}}}']) {
    const parsed = parse(text)
    if (parsed.ok) Object.assign({}, parsed.value)
    expect(parsed.ok).toBe(false)
    expect(Reflect.get({}, 'x')).toBeUndefined()
  }
})

test('F48: a polluted prototype elsewhere does not turn good bodies away', () => {
  Reflect.set(Object.prototype, 'polluted', 1)
  try {
    expect(reasonOf('{"a":{"b":1}}')).toBe('ok')
    expect(reasonOf('{"a":{"b":1,"b":2}}')).toBe('duplicate-key')
  } finally {
    Reflect.deleteProperty(Object.prototype, 'polluted')
  }
})

describe('F47: limits', () => {
  test('depth counts nested containers, up to the limit and not past it', () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)

    expect(reasonOf(nested(3), { depthMax: 3 })).toBe('ok')
    expect(reasonOf(nested(4), { depthMax: 3 })).toBe('depth')
    expect(reasonOf(nested(LIMITS.jsonDepthMax))).toBe('ok')
    expect(reasonOf(nested(LIMITS.jsonDepthMax + 1))).toBe('depth')
    expect(reasonOf('"[[[[[["', { depthMax: 0 })).toBe('ok')
  })

  test('nodes count values and keys', () => {
    expect(reasonOf('[1,2,3]', { nodesMax: 4 })).toBe('ok')
    expect(reasonOf('[1,2,3]', { nodesMax: 3 })).toBe('nodes')
    expect(reasonOf('{"a":1}', { nodesMax: 2 })).toBe('nodes')
    expect(reasonOf('",,,,,"', { nodesMax: 1 })).toBe('ok')
  })

  test.each([
    ['1M open arrays', '['.repeat(1_048_576), 'depth'],
    ['1M closing arrays', ']'.repeat(1_048_576), 'syntax'],
    ['open objects', '{"a":'.repeat(200_000), 'depth'],
    ['500k elements', `[${'1,'.repeat(500_000)}1]`, 'nodes'],
    ['150k keys', `{${'"a":1,'.repeat(150_000)}"b":1}`, 'nodes'],
    ['a 1 MB string', `"${'x'.repeat(1_048_000)}"`, 'ok'],
    ['a 1 MB key', `{"${'x'.repeat(1_048_000)}":1}`, 'ok'],
    ['a number of 1M digits', '1'.repeat(1_048_576), 'number-range'],
    ['a fraction of 1M digits', `0.${'1'.repeat(1_048_000)}`, 'ok'],
    ['escapes only', `"${String.raw`\ud83d\ude00`.repeat(87_000)}"`, 'ok'],
    ['an unclosed string of backslashes', `"${'\\'.repeat(1_048_570)}`, 'syntax'],
    [
      'a late duplicate',
      `{${Array.from({ length: 49_000 }, (_, i) => `"${i * 53_777}":1`).join(',')},"0":1}`,
      'duplicate-key',
    ],
  ])('%s', (_, text, reason) => {
    const started = process.hrtime.bigint()
    const actual = reasonOf(text)
    const tookMs = Number(process.hrtime.bigint() - started) / 1e6

    expect(actual).toBe(reason)
    // Generous: other suites share the machine. Measured alone, the slowest takes 50 ms.
    expect(tookMs).toBeLessThan(500)
  })
})
