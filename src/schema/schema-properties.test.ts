import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { JsonSchema } from '../contract/index.ts'
import { createSeededRandom, isJuncturaError } from '../kernel/index.ts'
import { checkCompatibility } from './check-compatibility.ts'
import { compileValidator } from './compile-validator.ts'
import { makeExample, makeInvalid } from './make-example.ts'

/** Schemas of a few keywords and small numbers, so that two of them often nearly agree. */
const { schema: anySchema } = fc.letrec<{ schema: JsonSchema; leaf: JsonSchema }>((tie) => ({
  leaf: fc.oneof(
    fc.record(
      { type: fc.constant('integer'), minimum: fc.nat(3), maximum: fc.integer({ min: 3, max: 6 }) },
      { requiredKeys: ['type'] },
    ),
    fc.record(
      {
        type: fc.constant('number'),
        exclusiveMinimum: fc.nat(3),
        multipleOf: fc.constantFrom(1, 0.5),
      },
      { requiredKeys: ['type'] },
    ),
    fc.record(
      {
        type: fc.constant('string'),
        minLength: fc.nat(3),
        maxLength: fc.integer({ min: 3, max: 5 }),
      },
      { requiredKeys: ['type'] },
    ),
    fc.record({ type: fc.constant('string'), pattern: fc.constantFrom('^a', '^[ab]+$', 'b') }),
    fc.record({
      enum: fc.uniqueArray(fc.constantFrom('a', 'b', 1, 2, null, true), { minLength: 1 }),
    }),
    fc.record({ const: fc.constantFrom('a', 1, null) }),
    fc.record({
      type: fc.uniqueArray(fc.constantFrom('string', 'null', 'integer', 'number', 'boolean'), {
        minLength: 1,
      }),
    }),
    fc.constant({}),
  ),
  schema: fc.oneof(
    { depthSize: 'small', maxDepth: 3 },
    tie('leaf'),
    fc
      .record({
        properties: fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('schema'), { maxKeys: 3 }),
        required: fc.subarray(['a', 'b', 'c']),
        additionalProperties: fc.constantFrom(true, false),
      })
      .map(({ properties, required, additionalProperties }) => ({
        type: 'object',
        properties,
        required: required.filter((name) => name in properties),
        additionalProperties,
      })),
    fc.record(
      {
        type: fc.constant('array'),
        items: tie('schema'),
        minItems: fc.nat(1),
        maxItems: fc.integer({ min: 1, max: 3 }),
        uniqueItems: fc.boolean(),
      },
      { requiredKeys: ['type', 'items'] },
    ),
    fc.record({ anyOf: fc.array(tie('schema'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ oneOf: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }) }),
    fc.record({ allOf: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }) }),
  ),
}))

/** An example, or undefined where the schema is contradictory or hard. */
const exampleOf = (schema: JsonSchema, seed: number): { readonly value: unknown } | undefined => {
  try {
    return { value: makeExample(schema, createSeededRandom(seed)) }
  } catch (error) {
    if (isJuncturaError(error, 'JUNCTURA_EXAMPLE_FAILED')) return undefined
    throw error
  }
}

test('F182: what is called compatible is: no example of the writer is refused by the reader', () => {
  let compared = 0
  fc.assert(
    fc.property(anySchema, anySchema, fc.nat(1_000), (older, newer, seed) => {
      const report = checkCompatibility({ older, newer, mode: 'backward' })
      if (report.verdict !== 'compatible') return
      const reader = compileValidator(newer, 'newer')
      for (let draw = 0; draw < 4; draw++) {
        const example = exampleOf(older, seed + draw)
        if (example === undefined) return
        compared++
        expect(reader.validate(example.value), JSON.stringify(example.value)).toEqual({ ok: true })
      }
    }),
    { numRuns: 1_000 },
  )
  expect(compared).toBeGreaterThan(50)
})

test('F182: every schema is compatible with itself, also behind references', () => {
  fc.assert(
    fc.property(anySchema, (schema) => {
      const copy = structuredClone(schema)
      const moved = { $ref: '#/$defs/moved', $defs: { moved: copy } }
      for (const newer of [copy, moved, { allOf: [true, copy] }]) {
        const report = checkCompatibility({ older: schema, newer, mode: 'full' })
        expect(report.verdict).toBe('compatible')
      }
    }),
    { numRuns: 500 },
  )
})

test('an example is valid, and the same for the same seed', () => {
  let made = 0
  fc.assert(
    fc.property(anySchema, fc.nat(1_000), (schema, seed) => {
      const example = exampleOf(schema, seed)
      if (example === undefined) return
      made++
      expect(compileValidator(schema, 'schema').validate(example.value)).toEqual({ ok: true })
      expect(exampleOf(schema, seed)).toEqual(example)
    }),
    { numRuns: 200 },
  )
  expect(made).toBeGreaterThan(140)
})

test('a broken example is invalid, and its errors say where', () => {
  let made = 0
  fc.assert(
    fc.property(anySchema, fc.nat(1_000), (schema, seed) => {
      if (exampleOf(schema, seed) === undefined) return
      try {
        const { value, errors } = makeInvalid(schema, createSeededRandom(seed))
        const verdict = compileValidator(schema, 'schema').validate(value)
        made++
        expect(verdict).toEqual({ ok: false, errors })
      } catch (error) {
        if (!isJuncturaError(error, 'JUNCTURA_EXAMPLE_FAILED')) throw error
      }
    }),
    { numRuns: 200 },
  )
  expect(made).toBeGreaterThan(90)
})
