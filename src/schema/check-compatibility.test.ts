import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { type JsonSchema, toJsonSchema } from '../contract/index.ts'
import { type CompatibilityReport, checkCompatibility } from './check-compatibility.ts'

const object = (
  properties: Readonly<Record<string, JsonSchema | boolean>>,
  rest: JsonSchema = {},
): JsonSchema => ({ type: 'object', properties, ...rest })

const text: JsonSchema = { type: 'string' }

const check = (older: JsonSchema, newer: JsonSchema): CompatibilityReport =>
  checkCompatibility({ older, newer, mode: 'full', names: ['version 1', 'version 2'] })

/** `direction path rule`, without the notes. */
const faults = (report: CompatibilityReport): readonly string[] =>
  report.findings
    .filter(({ verdict }) => verdict !== 'note')
    .map(({ direction, path, rule }) => `${direction} ${path} ${rule}`)

/** What changed from the older version to the newer, and what breaks. */
const CHANGES: readonly (readonly [
  change: string,
  older: JsonSchema,
  newer: JsonSchema,
  breaks: readonly string[],
])[] = [
  [
    'an enum value added',
    object({ s: { enum: ['a', 'b'] } }),
    object({ s: { enum: ['a', 'b', 'c'] } }),
    ['forward /s enum-value-missing'],
  ],
  [
    'an enum value removed',
    object({ s: { enum: ['a', 'b'] } }),
    object({ s: { enum: ['a'] } }),
    ['backward /s enum-value-missing'],
  ],
  [
    'a free text made an enum',
    object({ s: text }),
    object({ s: { type: 'string', enum: ['a'] } }),
    ['backward /s enum-narrowed'],
  ],
  [
    'a constant changed',
    object({ v: { const: 1 } }),
    object({ v: { const: 2 } }),
    ['backward /v const-value-missing', 'forward /v const-value-missing'],
  ],
  [
    'optional made required',
    object({ a: text }),
    object({ a: text }, { required: ['a'] }),
    ['backward /a required-added'],
  ],
  [
    'required made optional',
    object({ a: text }, { required: ['a'] }),
    object({ a: text }),
    ['forward /a required-added'],
  ],
  ['an optional member added', object({}), object({ a: text }), []],
  [
    'a required member added',
    object({}),
    object({ a: text }, { required: ['a'] }),
    ['backward /a required-added'],
  ],
  ['an optional member removed', object({ a: text }), object({}), []],
  [
    'a member of a closed object added',
    object({}, { additionalProperties: false }),
    object({ a: text }, { additionalProperties: false }),
    ['forward /a member-removed'],
  ],
  [
    'an object closed',
    object({ a: text }),
    object({ a: text }, { additionalProperties: false }),
    ['backward /* closed'],
  ],
  [
    'a required member renamed',
    object({ old: { type: 'string', minLength: 2 } }, { required: ['old'] }),
    object({ new: { type: 'string', minLength: 2 } }, { required: ['new'] }),
    ['backward /new renamed', 'forward /old renamed'],
  ],
  [
    'an integer widened to a number',
    object({ n: { type: 'integer' } }),
    object({ n: { type: 'number' } }),
    ['forward /n type-narrowed'],
  ],
  [
    'a type changed',
    object({ n: { type: 'number' } }),
    object({ n: text }),
    ['backward /n type-narrowed', 'forward /n type-narrowed'],
  ],
  [
    'null allowed',
    object({ n: text }),
    object({ n: { type: ['string', 'null'] } }),
    ['forward /n type-narrowed'],
  ],
  ['a type given up', object({ n: text }), object({ n: {} }), ['forward /n type-narrowed']],
  [
    'limits raised',
    object({ n: { type: 'number', minimum: 1, maximum: 5 } }),
    object({ n: { type: 'number', minimum: 2, maximum: 9 } }),
    ['backward /n minimum-narrowed', 'forward /n maximum-narrowed'],
  ],
  [
    'a limit made exclusive',
    object({ n: { type: 'number', minimum: 1 } }),
    object({ n: { type: 'number', exclusiveMinimum: 1 } }),
    ['backward /n exclusiveMinimum-narrowed'],
  ],
  [
    'the same limit of whole numbers written otherwise',
    object({ n: { type: 'integer', minimum: 1 } }),
    object({ n: { type: 'integer', exclusiveMinimum: 0 } }),
    [],
  ],
  [
    'a length limited',
    object({ s: text }),
    object({ s: { type: 'string', maxLength: 9 } }),
    ['backward /s maxLength-narrowed'],
  ],
  [
    'a pattern added',
    object({ s: text }),
    object({ s: { type: 'string', pattern: '^a' } }),
    ['backward /s pattern-narrowed'],
  ],
  [
    'a format added',
    object({ s: text }),
    object({ s: { type: 'string', format: 'email' } }),
    ['backward /s format-narrowed'],
  ],
  [
    'a step added',
    object({ n: { type: 'number' } }),
    object({ n: { type: 'number', multipleOf: 5 } }),
    ['backward /n multiple-narrowed'],
  ],
  [
    'items narrowed',
    object({ l: { type: 'array', items: { type: 'number' } } }),
    object({ l: { type: 'array', items: { type: 'integer' } } }),
    ['backward /l/* type-narrowed'],
  ],
  [
    'items required to be unique',
    object({ l: { type: 'array' } }),
    object({ l: { type: 'array', uniqueItems: true } }),
    ['backward /l unique-narrowed'],
  ],
  [
    'a union branch added',
    { anyOf: [text, { type: 'null' }] },
    { anyOf: [text, { type: 'null' }, { type: 'number' }] },
    ['forward  union-narrowed', 'forward  type-narrowed'],
  ],
  [
    'a union branch removed',
    { anyOf: [text, { type: 'number' }] },
    { anyOf: [text] },
    ['backward  union-narrowed', 'backward  type-narrowed'],
  ],
  [
    'a union reordered',
    { anyOf: [text, { type: 'null' }] },
    { anyOf: [{ type: 'null' }, text] },
    [],
  ],
  [
    'a plain type written as union',
    { type: ['string', 'null'] },
    { anyOf: [text, { type: 'null' }] },
    [],
  ],
  [
    'a definition moved behind a reference',
    object({ a: text }),
    object({ a: { $ref: '#/$defs/a' } }, { $defs: { a: text } }),
    [],
  ],
  [
    'a change inside a recursive schema',
    object({ next: { $ref: '#' }, n: { type: 'integer' } }),
    object({ next: { $ref: '#' }, n: { type: 'number' } }),
    ['forward /n type-narrowed'],
  ],
  [
    'a dependency added',
    object({ a: text, b: text }),
    object({ a: text, b: text }, { dependentRequired: { a: ['b'] } }),
    ['backward  dependent-required-added'],
  ],
]

describe('F182: what changed between two versions', () => {
  test.each(CHANGES)('%s', (_, older, newer, breaks) => {
    const report = check(older, newer)

    expect(faults(report)).toEqual(breaks)
    expect(report.verdict).toBe(breaks.length === 0 ? 'compatible' : 'incompatible')
  })

  test('has a sentence that names both versions and the value', () => {
    const report = checkCompatibility({
      older: object({ s: { enum: ['a', 'b'] } }),
      newer: object({ s: { enum: ['a'] } }),
      mode: 'backward',
      names: ['version 1', 'version 2'],
    })

    expect(report.findings).toEqual([
      {
        direction: 'backward',
        verdict: 'incompatible',
        path: '/s',
        rule: 'enum-value-missing',
        reason: 'version 1 may send "b", which version 2 does not take',
      },
    ])
  })

  test('asks which member a renamed one was', () => {
    const report = check(
      object({ orderNo: { type: 'string', minLength: 1 } }, { required: ['orderNo'] }),
      object({ orderId: { type: 'string', minLength: 1 } }, { required: ['orderId'] }),
    )

    expect(report.findings[0]?.reason).toContain('renamed from "orderNo"')
  })

  test('notes a default that is gone, and a member added to an open object', () => {
    const report = check(
      object({ a: { type: 'string', default: 'x' } }),
      object({ a: text, b: text }),
    )

    expect(report.verdict).toBe('compatible')
    expect(report.findings.map(({ path, rule }) => `${path} ${rule}`)).toEqual([
      '/a default-changed',
      '/b member-added',
    ])
  })
})

describe('what is not understood', () => {
  test.each([
    ['not', object({ a: text }), object({ a: { type: 'string', not: { const: 'x' } } })],
    ['two patterns', { type: 'string', pattern: '^a' }, { type: 'string', pattern: '^a|b' }],
    ['if', object({}), object({}, { if: object({}), else: { required: ['a'] } })],
    ['a broken reference', { $ref: '#/$defs/%zz' }, { type: 'string' }],
    ['contains', { type: 'array' }, { type: 'array', contains: text }],
    [
      'a reference by name',
      { $ref: '#name', $defs: { a: { $anchor: 'name' } } },
      { type: 'string' },
    ],
    [
      'oneOf whose branches overlap',
      { type: 'string', maxLength: 2 },
      { oneOf: [{ type: 'string' }, { type: 'string', minLength: 5 }] },
    ],
  ] satisfies readonly (readonly [string, JsonSchema, JsonSchema])[])(
    '%s is unknown, never compatible',
    (_, older, newer) => {
      const report = checkCompatibility({ older, newer, mode: 'backward' })

      expect(report.verdict).toBe('unknown')
      expect(report.findings[0]?.reason).not.toBe('')
    },
  )

  test('the same keyword on both sides is compatible, whatever it is', () => {
    const same = object({ a: { type: 'string', not: { const: 'x' }, pattern: '^a' } })

    expect(check(same, structuredClone(same)).verdict).toBe('compatible')
  })
})

describe('a mode', () => {
  const older = object({ s: { enum: ['a'] } })
  const newer = object({ s: { enum: ['a', 'b'] } })

  test.each([
    ['none', 'compatible'],
    ['backward', 'compatible'],
    ['forward', 'incompatible'],
    ['full', 'incompatible'],
  ] as const)('%s makes an added enum value %s', (mode, verdict) => {
    expect(checkCompatibility({ older, newer, mode }).verdict).toBe(verdict)
  })
})

test('discriminated unions of a schema library compare branch by branch', () => {
  const paid = z.object({ kind: z.literal('paid'), amount: z.string() })
  const sent = z.object({ kind: z.literal('sent'), parcel: z.string() })
  const sentWithDay = z.object({ kind: z.literal('sent'), parcel: z.string(), day: z.string() })
  const older = toJsonSchema(z.discriminatedUnion('kind', [paid, sent]), 'older')

  expect(check(older, toJsonSchema(z.discriminatedUnion('kind', [sent, paid]), 'n')).verdict).toBe(
    'compatible',
  )
  const report = check(older, toJsonSchema(z.discriminatedUnion('kind', [paid, sentWithDay]), 'n'))
  expect(report.verdict).toBe('incompatible')
  expect(faults(report)).toContain('backward /day required-added')
})
