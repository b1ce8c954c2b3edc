import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { type JsonSchema, toJsonSchema } from '../contract/index.ts'
import { LIMITS, isJuncturaError } from '../kernel/index.ts'
import { type Validation, compileValidator } from './compile-validator.ts'

const validate = (schema: JsonSchema, value: unknown): Validation =>
  compileValidator(schema, 'event "a.b".versions.1').validate(value)

const pointersOf = (verdict: Validation): readonly string[] =>
  verdict.ok ? [] : verdict.errors.map(({ pointer, keyword }) => `${pointer} ${keyword}`)

const problemOf = (schema: JsonSchema): string => {
  try {
    compileValidator(schema, 'event "a.b".versions.1')
  } catch (error) {
    if (isJuncturaError(error, 'JUNCTURA_DECLARATION')) return error.message
    throw error
  }
  throw new Error('nothing was refused')
}

/** Runs and says how long it took; bounds below are generous, other suites share the machine. */
const timed = <T>(run: () => T): { readonly result: T; readonly tookMs: number } => {
  const started = process.hrtime.bigint()
  const result = run()
  return { result, tookMs: Number(process.hrtime.bigint() - started) / 1e6 }
}

const order = toJsonSchema(
  z.object({
    version: z.literal(2),
    orderId: z.string().min(1),
    status: z.enum(['placed', 'paid']),
    occurredAt: z.iso.datetime({ offset: true }),
    customer: z.object({ email: z.email() }),
    total: z.object({
      amount: z.string().regex(/^-?\d+(\.\d+)?$/),
      currency: z.string().length(3),
    }),
  }),
  'order',
)
const goodOrder = {
  version: 2,
  orderId: 'o-1',
  status: 'paid',
  occurredAt: '2026-01-02T03:04:05+01:00',
  customer: { email: 'someone@example.com' },
  total: { amount: '10.00', currency: 'CHF' },
}

describe('a value at fault', () => {
  test('is told every field, each with a pointer, the keyword and a sentence', () => {
    const verdict = validate(order, {
      version: 1,
      orderId: '',
      status: 'lost',
      occurredAt: 'yesterday',
      customer: {},
      total: { amount: 5, currency: 'CHFF' },
    })

    expect(verdict).toEqual({
      ok: false,
      errors: [
        { pointer: '/version', keyword: 'const', message: 'version must be 2.' },
        {
          pointer: '/orderId',
          keyword: 'minLength',
          message: 'orderId must have at least 1 character(s).',
        },
        {
          pointer: '/status',
          keyword: 'enum',
          message: 'status must be one of "placed", "paid".',
        },
        {
          pointer: '/occurredAt',
          keyword: 'format',
          message: 'occurredAt must be a valid date-time.',
        },
        { pointer: '/customer/email', keyword: 'required', message: 'customer.email is required.' },
        { pointer: '/total/amount', keyword: 'type', message: 'total.amount must be a string.' },
        {
          pointer: '/total/currency',
          keyword: 'maxLength',
          message: 'total.currency must have at most 3 character(s).',
        },
      ],
    })
  })

  test('is told nothing of its own content', () => {
    const verdict = validate(order, { ...goodOrder, orderId: ['secret-1'], status: 'secret-2' })

    expect(JSON.stringify(verdict)).not.toContain('secret')
  })

  test('is pointed at as RFC 6901 says, and named as people write', () => {
    const schema = {
      properties: { 'a/b': { items: { properties: { 'c~d': { type: 'string' } } } } },
    }

    expect(validate(schema, { 'a/b': [{}, { 'c~d': 1 }] })).toEqual({
      ok: false,
      errors: [
        { pointer: '/a~1b/1/c~0d', keyword: 'type', message: 'a/b[1].c~d must be a string.' },
      ],
    })
  })

  test('is told at most the capped number of errors', () => {
    const schema = { items: { type: 'object', required: ['a', 'b', 'c'] } }
    const verdict = validate(
      schema,
      Array.from({ length: 20_000 }, () => ({})),
    )

    expect(!verdict.ok && verdict.errors.length).toBe(LIMITS.problemErrorsMax)
  })

  test('cannot make a message long with a name it chose', () => {
    const schema = { additionalProperties: false }
    const verdict = validate(schema, { ['k'.repeat(1_000_000)]: 1 })

    expect(JSON.stringify(verdict).length).toBeLessThan(2_000)
  })

  test.each([
    [{ type: ['string', 'null'] }, 1, 'The document must be a string or null.'],
    [{ minimum: 3 }, 1, 'The document must be >= 3.'],
    [{ multipleOf: 5 }, 1, 'The document must be a multiple of 5.'],
    [
      { items: { type: 'integer' }, maxItems: 1 },
      [1, 2],
      'The document must have at most 1 item(s).',
    ],
    [{ prefixItems: [true], items: false }, [1, 2], 'The document must have at most 1 item(s).'],
    [
      { uniqueItems: true },
      [{ a: 1 }, { a: 1 }],
      'The document must not have the same item twice.',
    ],
    [
      { contains: { const: 1 } },
      [],
      'The document must have at least 1 item(s) of the required kind.',
    ],
    [{ propertyNames: { maxLength: 1 } }, { ab: 1 }, 'ab must have at most 1 character(s).'],
    [{ dependentRequired: { a: ['b'] } }, { a: 1 }, 'b is required when "a" is present.'],
    [{ additionalProperties: false }, { a: 1 }, 'a is not allowed.'],
    [{ not: {} }, 1, 'The document has a shape that is not allowed.'],
    [{ properties: { a: false } }, { a: 1 }, 'a is not allowed.'],
    [{ pattern: '^x$' }, 'y', 'The document must match the pattern "^x$".'],
    [{ oneOf: [{}, {}] }, 1, 'The document must match exactly one of the allowed shapes.'],
  ] satisfies readonly (readonly [JsonSchema, unknown, string])[])(
    '%j',
    (schema, value, message) => {
      const verdict = validate(schema, value)

      expect(!verdict.ok && verdict.errors.map((error) => error.message)).toEqual([message])
    },
  )
})

describe('a good value', () => {
  test('passes, unchanged: no default is filled in and no type converted', () => {
    const schema = { properties: { a: { default: 1 }, b: { type: 'integer' } } }
    const value = Object.freeze({ b: 2 })

    expect(validate(schema, value)).toEqual({ ok: true })
    expect(value).toEqual({ b: 2 })
    expect(validate(schema, { b: '2' }).ok).toBe(false)
  })

  test('may have members named like those that objects inherit', () => {
    const schema = { required: ['toString', 'constructor'] }

    expect(pointersOf(validate(schema, {}))).toEqual([
      '/toString required',
      '/constructor required',
    ])
    expect(validate(schema, { toString: 1, constructor: 2 }).ok).toBe(true)
  })

  test('validator stays right for one value after another', () => {
    const validator = compileValidator(order, 'order')

    for (let round = 0; round < 3; round++) {
      expect(validator.validate(goodOrder).ok).toBe(true)
      expect(validator.validate({ ...goodOrder, version: 1 }).ok).toBe(false)
    }
  })

  test('unknown keywords and formats are annotations', () => {
    expect(validate({ 'x-note': { type: 'string' }, format: 'colour' }, 'red').ok).toBe(true)
  })
})

describe('F55: a schema that is refused', () => {
  test('leads to the network', () => {
    const problem = problemOf({ $ref: 'https://example.com/order.json' })

    expect(problem).toContain('event "a.b".versions.1')
    expect(problem).toContain('nothing is fetched')
  })

  test.each([
    [{ type: 'strnig' }, '/type'],
    [{ properties: { a: { minLength: -1 } } }, '/properties/a/minLength'],
    [{ pattern: '(a)\\1' }, 'linear time'],
    [{ pattern: 'a(?=b)c' }, 'linear time'],
    [{ pattern: '(' }, 'linear time'],
    [{ pattern: 'a'.repeat(LIMITS.patternCharsMax + 1) }, 'characters'],
    [{ $dynamicRef: '#a' }, '$dynamicRef'],
    [{ unevaluatedItems: false, contains: {} }, 'beside contains'],
  ] satisfies readonly (readonly [JsonSchema, string])[])('%j', (schema, text) => {
    expect(problemOf(schema)).toContain(text)
  })

  test('is too large or too deep', () => {
    let deep: JsonSchema = {}
    for (let i = 0; i < LIMITS.schemaDepthMax; i++) deep = { not: deep }

    expect(problemOf(deep)).toContain('deeper')
    expect(problemOf({ description: 'x'.repeat(LIMITS.schemaBytesMax) })).toContain('bytes')
  })
})

describe('F55: work that is bounded', () => {
  test('a pattern that would backtrack for years is matched at once', () => {
    const { result, tookMs } = timed(() =>
      validate({ type: 'string', pattern: '^(a+)+$' }, `${'a'.repeat(1_000_000)}b`),
    )

    expect(result.ok).toBe(false)
    expect(tookMs).toBeLessThan(1_000)
  })

  test('a union that doubles its work with each level ends, for a fault at the bottom', () => {
    const branch = (value: number): JsonSchema => ({
      type: 'object',
      properties: { next: { $ref: '#/$defs/node' }, leaf: { const: value } },
    })
    const schema = { $ref: '#/$defs/node', $defs: { node: { anyOf: [branch(1), branch(2)] } } }
    let value: unknown = { leaf: 3 }
    for (let depth = 0; depth < 60; depth++) value = { next: value }
    const validator = compileValidator(schema, 'schema')
    const { result, tookMs } = timed(() => validator.validate(value))

    expect(result.ok).toBe(false)
    expect(!result.ok && result.errors.length).toBeGreaterThan(0)
    expect(tookMs).toBeLessThan(1_000)
  })

  test('references that double with each name end', () => {
    const $defs: Record<string, JsonSchema> = { d0: { type: 'string' } }
    for (let i = 1; i <= 40; i++) {
      const next = { $ref: `#/$defs/d${i - 1}` }
      $defs[`d${i}`] = { allOf: [next, next] }
    }
    const validator = compileValidator({ $ref: '#/$defs/d40', $defs }, 'schema')
    const { result, tookMs } = timed(() => validator.validate('x'))

    expect(pointersOf(result)).toEqual([' $ref'])
    expect(tookMs).toBeLessThan(1_000)
  })

  test('a reference to itself ends', () => {
    expect(validate({ $ref: '#' }, 1).ok).toBe(false)
    expect(validate({ anyOf: [{ $ref: '#' }] }, 1).ok).toBe(false)
  })

  test('a cycle through the value is fine', () => {
    const schema = {
      type: 'object',
      properties: { next: { $ref: '#' }, name: { type: 'string' } },
    }

    expect(validate(schema, { next: { next: { name: 'x' } } })).toEqual({ ok: true })
    expect(pointersOf(validate(schema, { next: { next: { name: 1 } } }))).toEqual([
      '/next/next/name type',
    ])
  })

  test('uniqueItems on many objects is linear', () => {
    const items = Array.from({ length: 30_000 }, (_, i) => ({ a: i, b: { c: [i] } }))
    const { result, tookMs } = timed(() => validate({ uniqueItems: true }, items))

    expect(result.ok).toBe(true)
    expect(validate({ uniqueItems: true }, [...items, { b: { c: [7] }, a: 7 }]).ok).toBe(false)
    expect(tookMs).toBeLessThan(1_000)
  })

  test('many additional members are refused in bounded time', () => {
    const value = Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`k${i}`, i]))
    const { result, tookMs } = timed(() => validate({ additionalProperties: false }, value))

    expect(!result.ok && result.errors.length).toBe(LIMITS.problemErrorsMax)
    expect(tookMs).toBeLessThan(1_000)
  })
})
