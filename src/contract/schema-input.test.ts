import { toStandardJsonSchema } from '@valibot/to-json-schema'
import * as v from 'valibot'
import { describe, expect, expectTypeOf, test } from 'vitest'
import * as z from 'zod'
import { LIMITS, isJuncturaError } from '../kernel/index.ts'
import { type InferSchema, type SchemaInput, jsonSchema, toJsonSchema } from './schema-input.ts'

const refusal = (input: unknown): Record<string, unknown> => {
  try {
    toJsonSchema(input as SchemaInput, 'event "a.b".versions.1')
  } catch (error) {
    if (isJuncturaError(error, 'JUNCTURA_DECLARATION')) return error.details
    throw error
  }
  throw new Error('nothing was refused')
}

describe('a schema that is refused', () => {
  test('names the field and the wrapper for a bare valibot schema', () => {
    const details = refusal(v.object({ a: v.string() }))

    expect(details['field']).toBe('event "a.b".versions.1')
    expect(details['fix']).toContain('toStandardJsonSchema')
  })

  test('names what to use when a library exports nothing', () => {
    expect(refusal({ '~standard': { version: 1, vendor: 'homemade' } })['fix']).toContain('zod 4.2')
  })

  test('says what JSON cannot hold', () => {
    const details = refusal(z.object({ at: z.date() }))

    expect(details['problem']).toContain('Date')
    expect(details['fix']).toContain('date-time')
  })

  test.each([undefined, null, 'string', 4, [], true])('is no schema: %j', (input) => {
    expect(refusal(input)['problem']).toContain('not a schema')
  })

  test('is one of another draft', () => {
    const details = refusal({ $schema: 'http://json-schema.org/draft-07/schema#', type: 'object' })

    expect(details['field']).toBe('event "a.b".versions.1.$schema')
  })

  test('is a cyclic object, which must be written with $ref', () => {
    const cyclic: Record<string, unknown> = { type: 'object' }
    cyclic['properties'] = { self: cyclic }

    expect(refusal(cyclic)['fix']).toContain('$ref')
  })

  test('is too large (F55)', () => {
    const large = { enum: Array.from({ length: LIMITS.schemaBytesMax / 4 }, () => 'abcd') }

    expect(refusal(large)['problem']).toContain('bytes')
  })

  test('is nested too deep, at any depth, without a stack overflow (F55)', () => {
    const nest = (depth: number): SchemaInput => {
      let schema: SchemaInput = { type: 'string' }
      for (let level = 0; level < depth; level++) schema = { not: schema }
      return schema
    }

    expect(refusal(nest(LIMITS.schemaDepthMax))['problem']).toContain('deeper')
    expect(refusal(nest(100_000))['problem']).toMatch(/deeper|plain JSON/)
    expect(toJsonSchema(nest(100), 'f')).toEqual(nest(100))
  })
})

describe('a schema that is taken', () => {
  test('is the input side of zod: what comes over the wire', () => {
    const schema = toJsonSchema(
      z.object({ a: z.string().transform((text) => text.length), b: z.number().default(4) }),
      'f',
    )

    expect(schema).toMatchObject({
      properties: { a: { type: 'string' }, b: { type: 'number' } },
      required: ['a'],
    })
  })

  test('is valibot in its wrapper', () => {
    const schema = toJsonSchema(toStandardJsonSchema(v.object({ a: v.string() })), 'f')

    expect(schema).toMatchObject({ properties: { a: { type: 'string' } }, required: ['a'] })
  })

  test('is a function with the standard property, as ArkType makes them', () => {
    const callable = Object.assign(() => true, {
      '~standard': {
        version: 1 as const,
        vendor: 'callable',
        jsonSchema: { input: () => ({ type: 'string' }) },
      },
    })

    expect(toJsonSchema(callable, 'f')).toEqual({ type: 'string' })
  })

  test('is a frozen copy, deaf to later changes of the original', () => {
    const original = { type: 'object', properties: { a: { type: 'string' } } }
    const schema = toJsonSchema(original, 'f')

    original.properties.a.type = 'number'

    expect(schema).toEqual({ type: 'object', properties: { a: { type: 'string' } } })
    expect(Object.isFrozen((schema['properties'] as { a: object }).a)).toBe(true)
  })
})

describe('the inferred type', () => {
  test('is the wire type of a library schema', () => {
    const zodSchema = z.object({ a: z.string().transform((text) => text.length) })
    const valibotSchema = toStandardJsonSchema(v.object({ a: v.optional(v.number()) }))

    expectTypeOf<InferSchema<typeof zodSchema>>().toEqualTypeOf<{ a: string }>()
    expectTypeOf<InferSchema<typeof valibotSchema>>().toEqualTypeOf<{ a?: number | undefined }>()
    expectTypeOf(zodSchema).toExtend<SchemaInput>()
    expectTypeOf(valibotSchema).toExtend<SchemaInput>()
    expect(toJsonSchema(zodSchema, 'f')).toMatchObject({ required: ['a'] })
  })

  test('is the given type for jsonSchema, and unknown for a bare raw schema', () => {
    const typed = jsonSchema<{ a: 1 }>({ const: { a: 1 } })
    const bare = { type: 'object' } as const

    expectTypeOf<InferSchema<typeof typed>>().toEqualTypeOf<{ a: 1 }>()
    expectTypeOf<InferSchema<typeof bare>>().toEqualTypeOf<unknown>()
    expect(toJsonSchema(typed, 'f')).toEqual({ const: { a: 1 } })
  })

  test('refuses in the editor a library schema that exports nothing', () => {
    const bare = v.object({ a: v.string() })
    // @ts-expect-error It exports no JSON Schema.
    const take: SchemaInput = bare

    expect(refusal(take)['fix']).toContain('toStandardJsonSchema')
  })
})
