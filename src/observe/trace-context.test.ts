import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createSeededRandom } from '../kernel/index.ts'
import {
  formatTraceparent,
  isSampled,
  parseTraceparent,
  parseTracestate,
  readTraceContext,
  type SpanContext,
  startSpanContext,
  traceHeaders,
} from './trace-context.ts'

const TRACE = '12345678901234567890123456789012'
const SPAN = '1234567890123456'
const PARENT = `00-${TRACE}-${SPAN}-01`

/** The case names follow the W3C trace-context test suite; the values are our own. */
describe('traceparent', () => {
  it.each([
    ['nothing', ''],
    ['one dash', '-'],
    ['version too short', `0-${TRACE}-${SPAN}-01`],
    ['version too long', `000-${TRACE}-${SPAN}-01`],
    ['version far too long', `0000-${TRACE}-${SPAN}-01`],
    ['version with an illegal character in front', `.0-${TRACE}-${SPAN}-01`],
    ['version with an illegal character behind', `0.-${TRACE}-${SPAN}-01`],
    ['version ff', `ff-${TRACE}-${SPAN}-01`],
    ['version ff with more', `ff-${TRACE}-${SPAN}-01-more`],
    ['version in upper case', `CC-${TRACE}-${SPAN}-01`],
    ['version 00 with a trailing character', `${PARENT}.`],
    ['version 00 with a trailing dash', `${PARENT}-`],
    ['version 00 with another field', `${PARENT}-what-comes-later`],
    ['later version with a tail that does not begin with a dash', `cc-${TRACE}-${SPAN}-01.later`],
    ['later version with longer flags', `cc-${TRACE}-${SPAN}-011`],
    ['later version cut short', `cc-${TRACE}-${SPAN}`],
    ['later version with a bad trace id', `cc-${TRACE.slice(1)}g-${SPAN}-01`],
    ['trace id of zeros', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['trace id with an illegal character in front', `00-.${TRACE.slice(1)}-${SPAN}-01`],
    ['trace id with an illegal character behind', `00-${TRACE.slice(1)}.-${SPAN}-01`],
    ['trace id in upper case', `00-${'A'.repeat(32)}-${SPAN}-01`],
    ['trace id too long', `00-${TRACE}3-${SPAN}-01`],
    ['trace id too short', `00-${TRACE.slice(1)}-${SPAN}-01`],
    ['parent id of zeros', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['parent id with an illegal character in front', `00-${TRACE}-.${SPAN.slice(1)}-01`],
    ['parent id with an illegal character behind', `00-${TRACE}-${SPAN.slice(1)}.-01`],
    ['parent id in upper case', `00-${TRACE}-${'B'.repeat(16)}-01`],
    ['parent id too long', `00-${TRACE}-${SPAN}7-01`],
    ['parent id too short', `00-${TRACE}-${SPAN.slice(1)}-01`],
    ['flags with an illegal character in front', `00-${TRACE}-${SPAN}-.0`],
    ['flags with an illegal character behind', `00-${TRACE}-${SPAN}-0.`],
    ['flags in upper case', `00-${TRACE}-${SPAN}-0A`],
    ['flags too long', `00-${TRACE}-${SPAN}-001`],
    ['flags too short', `00-${TRACE}-${SPAN}-1`],
    ['underscores for dashes', PARENT.replaceAll('-', '_')],
    ['a line break behind', `${PARENT}\n`],
    ['two values joined by a proxy', `${PARENT}, ${PARENT}`],
    ['two values of a later version joined by a proxy', `cc${PARENT.slice(2)}, ${PARENT}`],
    ['a no-break space in front', `\u00a0${PARENT}`],
  ])('is refused: %s', (_, value) => {
    expect(parseTraceparent(value)).toBeUndefined()
  })

  it.each([
    ['plain', PARENT],
    ['a blank in front', ` ${PARENT}`],
    ['a tab in front', `\t${PARENT}`],
    ['a blank behind', `${PARENT} `],
    ['a tab behind', `${PARENT}\t`],
    ['both around', `\t ${PARENT} \t`],
    ['a later version', `cc-${TRACE}-${SPAN}-01`],
    ['a later version with more fields', `cc-${TRACE}-${SPAN}-01-what-comes-later`],
    ['a later version with an empty field', `01-${TRACE}-${SPAN}-01-`],
  ])('is read: %s', (_, value) => {
    expect(parseTraceparent(value)).toEqual({
      traceId: TRACE,
      spanId: SPAN,
      flags: 1,
      traceState: '',
    })
  })

  it.each([
    ['00', 0],
    ['01', 1],
    ['02', 2],
    ['03', 3],
    ['09', 1],
    ['ff', 3],
    ['fe', 2],
  ])('keeps only the flags it knows: %s', (flags, kept) => {
    expect(parseTraceparent(`00-${TRACE}-${SPAN}-${flags}`)?.flags).toBe(kept)
  })

  it('takes nothing but the sampled flag from a later version', () => {
    expect(parseTraceparent(`01-${TRACE}-${SPAN}-ff`)?.flags).toBe(1)
  })

  it('is written as version 00, whatever version was read', () => {
    const context = must(parseTraceparent(`cc-${TRACE}-${SPAN}-01-later`))

    expect(formatTraceparent(context)).toBe(PARENT)
  })

  it('comes out as it went in', () => {
    const hex = (length: number): fc.Arbitrary<string> =>
      fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`)).filter((id) => /[^0]/.test(id))
    fc.assert(
      fc.property(hex(32), hex(16), fc.integer({ min: 0, max: 3 }), (traceId, spanId, flags) => {
        const context: SpanContext = { traceId, spanId, flags, traceState: '' }

        expect(parseTraceparent(formatTraceparent(context))).toEqual(context)
      }),
    )
  })
})

describe('tracestate', () => {
  const key = 'abcdefghijklmnopqrstuvwxyz0123456789_-*/'
  const printable = Array.from({ length: 0x7f - 0x20 }, (_, index) =>
    String.fromCharCode(0x20 + index),
  )
    .filter((character) => character !== ',' && character !== '=')
    .join('')
  const members = (count: number): string[] =>
    Array.from({ length: count }, (_, index) => `bar${index}=${index}`)

  it.each([
    ['no equals sign', ['foo']],
    ['nothing before the equals sign', ['=1']],
    ['a blank in the key', ['foo =1']],
    ['upper case in the key', ['FOO=1']],
    ['a dot in the key', ['foo.bar=1']],
    ['a key that begins with a dash', ['-foo=1']],
    ['nothing behind the at sign', ['foo@=1,bar=2']],
    ['nothing before the at sign', ['@foo=1,bar=2']],
    ['two at signs in a row', ['foo@@bar=1,bar=2']],
    ['two at signs', ['foo@bar@baz=1,bar=2']],
    ['a key of 257 characters', ['foo=1', `${'z'.repeat(257)}=1`]],
    ['a tenant of 242 characters', ['foo=1', `${'t'.repeat(242)}@v=1`]],
    ['a vendor of 15 characters', ['foo=1', `t@${'v'.repeat(15)}=1`]],
    ['an equals sign in the value', ['foo=bar=baz']],
    ['an empty value', ['foo=,bar=3']],
    ['a value of blanks', ['foo=  ,bar=3']],
    ['a value of 257 characters', [`foo=${'x'.repeat(257)}`]],
    ['a tab inside a value', ['foo=a\tb']],
    ['a control character in a value', ['foo=a\u0001b']],
    ['a character outside ASCII', ['foo=ä']],
    ['a key twice with one value', ['foo=1,foo=1']],
    ['a key twice with two values', ['foo=1,foo=2']],
    ['a key twice over two headers', ['foo=1', 'foo=1']],
    ['33 members', members(33)],
    ['33 members in one header', [members(33).join(',')]],
  ])('is dropped whole: %s', (_, values) => {
    expect(parseTracestate(values)).toBe('')
  })

  it.each<[string, string[], string]>([
    ['nothing', [], ''],
    ['an empty header', [''], ''],
    ['an empty header behind', ['foo=1', ''], 'foo=1'],
    ['an empty header in front', ['', 'foo=1'], 'foo=1'],
    ['empty members', ['foo=1,,\t ,bar=2,'], 'foo=1,bar=2'],
    ['several headers, in order', ['foo=1,bar=2', 'rojo=1', 'baz=3'], 'foo=1,bar=2,rojo=1,baz=3'],
    ['blanks and tabs around members', ['foo=1 \t , \t bar=2\t'], 'foo=1,bar=2'],
    ['blanks and tabs around the whole', ['\t foo=1 \t'], 'foo=1'],
    ['every character of a vendor', [`${key}=1`], `${key}=1`],
    ['every character of tenant and vendor', [`${key}@a-z0-9_-*/=1`], `${key}@a-z0-9_-*/=1`],
    ['every character of a value', [`foo=${printable}`], `foo=${printable}`],
    ['a value that begins with a blank', ['foo= 1'], 'foo= 1'],
    ['a key that begins with a digit', ['1foo=1'], '1foo=1'],
    ['a tenant that begins with a digit', ['1foo@bar=1'], '1foo@bar=1'],
    ['a key of 256 characters', ['foo=1', `${'z'.repeat(256)}=1`], `foo=1,${'z'.repeat(256)}=1`],
    [
      'a tenant of 241 and a vendor of 14 characters',
      [`${'t'.repeat(241)}@${'v'.repeat(14)}=1`],
      `${'t'.repeat(241)}@${'v'.repeat(14)}=1`,
    ],
    ['a value of 256 characters', [`f=${'x'.repeat(256)}`], `f=${'x'.repeat(256)}`],
    ['32 members', members(32), members(32).join(',')],
  ])('is carried on: %s', (_, values, carried) => {
    expect(parseTracestate(values)).toBe(carried)
  })

  it('loses large members first when it is longer than 512 characters', () => {
    const large = `large=${'x'.repeat(200)}`
    const small = Array.from({ length: 4 }, (_, index) => `s${index}=${'y'.repeat(100)}`)

    expect(parseTracestate([large, ...small])).toBe(small.join(','))
  })

  it('then loses members from the end, never a part of one', () => {
    const small = Array.from({ length: 10 }, (_, index) => `s${index}=${'y'.repeat(96)}`)

    expect(parseTracestate(small)).toBe(small.slice(0, 5).join(','))
  })

  it('is never longer than 512 characters and always valid again', () => {
    const member = fc
      .tuple(fc.stringMatching(/^[a-z]{1,8}$/), fc.stringMatching(/^[!-+]{1,256}$/))
      .map(([name, value]) => `${name}=${value}`)
    fc.assert(
      fc.property(fc.array(member, { maxLength: 32 }), (list) => {
        const carried = parseTracestate(list)

        expect(carried.length).toBeLessThanOrEqual(512)
        expect(parseTracestate([carried])).toBe(carried)
      }),
    )
  })
})

describe('readTraceContext', () => {
  it.each<[string, [string, string][]]>([
    ['no header', []],
    ['a tracestate alone', [['tracestate', 'foo=1']]],
    ['a name with a dash', [['trace-parent', PARENT]]],
    ['a name with a dot', [['trace.parent', PARENT]]],
    [
      'two traceparent headers',
      [
        ['traceparent', PARENT],
        ['traceparent', PARENT],
      ],
    ],
    [
      'two traceparent headers in different case',
      [
        ['traceparent', PARENT],
        ['TraceParent', `00-${'a'.repeat(32)}-${SPAN}-01`],
      ],
    ],
    [
      'a bad traceparent beside a good tracestate',
      [
        ['traceparent', 'nonsense'],
        ['tracestate', 'foo=1'],
      ],
    ],
  ])('starts a new trace on %s', (_, headers) => {
    expect(readTraceContext(headers)).toBeUndefined()
  })

  it.each(['traceparent', 'TraceParent', 'TrAcEpArEnT', 'TRACEPARENT'])('knows %s', (name) => {
    expect(readTraceContext([[name, PARENT]])?.traceId).toBe(TRACE)
  })

  it.each(['tracestate', 'TraceState', 'TrAcEsTaTe', 'TRACESTATE'])('knows %s', (name) => {
    const context = readTraceContext([
      ['traceparent', PARENT],
      [name, 'foo=1'],
    ])

    expect(context?.traceState).toBe('foo=1')
  })

  it.each(['trace-state', 'trace.state'])('does not know %s', (name) => {
    const context = readTraceContext([
      ['traceparent', PARENT],
      [name, 'foo=1'],
    ])

    expect(context?.traceState).toBe('')
  })

  it('keeps the trace when only the tracestate is bad', () => {
    const context = readTraceContext([
      ['traceparent', PARENT],
      ['tracestate', 'foo=1'],
      ['tracestate', 'foo=2'],
    ])

    expect(context).toEqual({ traceId: TRACE, spanId: SPAN, flags: 1, traceState: '' })
  })

  it('takes any iterable of headers, such as a Map', () => {
    expect(readTraceContext(new Map([['traceparent', PARENT]]))?.spanId).toBe(SPAN)
  })
})

describe('startSpanContext', () => {
  const parent: SpanContext = { traceId: TRACE, spanId: SPAN, flags: 1, traceState: 'foo=1' }

  it('gives every child its own span in the same trace', () => {
    const random = createSeededRandom(1)

    const children = [1, 2, 3].map(() => startSpanContext(parent, random))

    expect(new Set(children.map((child) => child.traceId))).toEqual(new Set([TRACE]))
    expect(new Set([SPAN, ...children.map((child) => child.spanId)]).size).toBe(4)
  })

  it.each([0, 1, 2, 3])('keeps the flags %i and the tracestate of the parent', (flags) => {
    const child = startSpanContext({ ...parent, flags }, createSeededRandom(1))

    expect(child).toMatchObject({ flags, traceState: 'foo=1' })
    expect(isSampled(child)).toBe(flags % 2 === 1)
  })

  it('starts a new random trace that nobody sampled when there is no parent', () => {
    const random = createSeededRandom(2)

    const [first, second] = [
      startSpanContext(undefined, random),
      startSpanContext(undefined, random),
    ]

    expect(first.traceId).not.toBe(second.traceId)
    expect(isSampled(first)).toBe(false)
    expect(formatTraceparent(first)).toMatch(/-02$/)
    expect(parseTraceparent(formatTraceparent(first))).toEqual(first)
  })

  it('never makes an id of zeros', () => {
    const zeros = { bytes: (length: number) => new Uint8Array(length) }

    const context = startSpanContext(undefined, zeros)

    expect(parseTraceparent(formatTraceparent(context))).toEqual(context)
  })
})

describe('traceHeaders', () => {
  it('sends no empty tracestate', () => {
    const context = must(parseTraceparent(PARENT))

    expect(traceHeaders(context)).toEqual({ traceparent: PARENT })
    expect(traceHeaders({ ...context, traceState: 'a=1' })).toEqual({
      traceparent: PARENT,
      tracestate: 'a=1',
    })
  })
})

function must(context: SpanContext | undefined): SpanContext {
  if (context === undefined) throw new Error('is not a valid traceparent')
  return context
}
