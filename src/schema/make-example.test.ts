import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { type JsonSchema, toJsonSchema } from '../contract/index.ts'
import { createSeededRandom } from '../kernel/index.ts'
import { compileValidator } from './compile-validator.ts'
import { makeExample, makeInvalid } from './make-example.ts'

const example = (schema: JsonSchema, seed = 1): unknown =>
  makeExample(schema, createSeededRandom(seed))

describe('a schema without example', () => {
  test.each([
    [{ not: {} }],
    [{ type: 'string', const: 1 }],
    [{ type: 'object', required: ['a'], properties: { a: false } }],
    [{ type: 'integer', minimum: 2, maximum: 1 }],
    [{ type: 'object', required: ['a'], properties: { a: { $ref: '#' } } }],
    [{ type: 'string', format: 'email', maxLength: 3 }],
  ] satisfies readonly (readonly [JsonSchema])[])('%j is told so', (schema) => {
    expect(() => example(schema)).toThrow(
      expect.objectContaining({ code: 'JUNCTURA_EXAMPLE_FAILED' }),
    )
  })

  test('that accepts everything cannot be broken', () => {
    expect(() => makeInvalid({}, createSeededRandom(1))).toThrow(
      expect.objectContaining({ code: 'JUNCTURA_EXAMPLE_FAILED' }),
    )
  })
})

describe('an example', () => {
  test.each(
    [
      'date-time date time duration email hostname ipv4 ipv6 uri uri-reference uri-template uuid',
      'json-pointer relative-json-pointer regex byte',
    ]
      .join(' ')
      .split(' '),
  )('follows the format %s', (format) => {
    for (let seed = 0; seed < 20; seed++) {
      const value = example({ type: 'string', format }, seed)
      expect(compileValidator({ type: 'string', format }, 'schema').validate(value).ok).toBe(true)
    }
  })

  test.each([
    '^[A-Z]{3}-\\d{4,6}$',
    '^(foo|bar)+[^x]?$',
    '^\\w+@\\w+\\.com$',
    '^-?\\d+(\\.\\d{2})?$',
    '^[\\w.-]+$',
    '^\\u0041\\x42\\/\\.$',
    '^(?!0)\\d{3}$',
    '^(?<year>20[0-9]{2})/(?:0[1-9]|1[0-2])$',
  ])('follows the pattern %s', (pattern) => {
    for (let seed = 0; seed < 20; seed++) {
      expect(example({ type: 'string', pattern }, seed)).toMatch(new RegExp(pattern, 'u'))
    }
  })

  test('ends for a schema that refers to itself', () => {
    const tree: JsonSchema = {
      type: 'object',
      properties: { children: { type: 'array', items: { $ref: '#' } }, next: { $ref: '#' } },
    }

    expect(JSON.stringify(example(tree)).length).toBeLessThan(10_000)
  })

  test.each([
    [{ type: 'array', minItems: 3, items: { type: 'integer' } }],
    [{ type: 'array', prefixItems: [{ const: 1 }, { const: 'a' }], minItems: 2, items: false }],
    [{ type: 'array', contains: { const: 5 } }],
    [{ type: 'object', minProperties: 2, additionalProperties: { type: 'integer' } }],
    [{ type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 }],
    [{ type: 'number', multipleOf: 0.1, minimum: 5 }],
    [{ type: 'integer', maximum: -5 }],
    [{ type: 'string', minLength: 40, maxLength: 40 }],
    [{ type: 'string', maxLength: 0 }],
    [{ required: ['a', '__proto__'] }],
  ] satisfies readonly (readonly [JsonSchema])[])('fits %j', (schema) => {
    for (let seed = 0; seed < 10; seed++) {
      const value = example(schema, seed)
      expect(compileValidator(schema, 'schema').validate(value)).toEqual({ ok: true })
    }
  })

  test('of a zod order is whole, plain and repeatable', () => {
    const order = toJsonSchema(
      z.object({
        version: z.literal(2),
        orderId: z.string().min(1),
        status: z.enum(['placed', 'paid']),
        occurredAt: z.iso.datetime(),
        customer: z.object({ email: z.email() }),
        total: z.object({
          amount: z.string().regex(/^\d+\.\d{2}$/),
          currency: z.string().length(3),
        }),
      }),
      'order',
    )

    expect(example(order)).toEqual(example(order))
    expect(example(order)).toMatchObject({
      version: 2,
      orderId: expect.stringMatching(/^[a-z-]+$/),
      customer: { email: expect.stringContaining('@example.com') },
    })
    expect(makeInvalid(order, createSeededRandom(1)).errors.length).toBeGreaterThan(0)
  })
})
