import { LIMITS, messageOf, utf8Length } from '../kernel/index.ts'
import { declarationError } from './declaration-error.ts'

declare const TYPED: unique symbol

const DIALECT = 'https://json-schema.org/draft/2020-12/schema'

/** A raw JSON Schema of draft 2020-12: the truth on the wire, whatever library wrote it. */
export interface JsonSchema {
  /** Present on objects of schema libraries only, which are not raw JSON Schema. */
  readonly '~standard'?: never
  readonly [keyword: string]: unknown
}

/** A raw JSON Schema that carries the type of the values it accepts. */
export interface TypedJsonSchema<T> extends JsonSchema {
  readonly [TYPED]?: { readonly value: T }
}

/**
 * An object of a schema library that can export JSON Schema: zod 4.2 and later, ArkType 2.1.28 and
 * later, valibot through `toStandardJsonSchema` of `@valibot/to-json-schema`.
 *
 * @see Standard JSON Schema 1 (`StandardJSONSchemaV1`)
 */
export interface StandardJsonSchema<Input = unknown, Output = unknown> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
    readonly jsonSchema: {
      readonly input: (options: { readonly target: 'draft-2020-12' }) => Record<string, unknown>
    }
  }
}

/** What a declaration takes as schema. */
export type SchemaInput = StandardJsonSchema | JsonSchema

/**
 * The type of a value on the wire.
 *
 * For a library's schema this is its input type, not its output: what is stored, replayed and
 * handed to consumers is the message as the partner sent it, so defaults, coercions and transforms
 * of the library do not run. A raw JSON Schema infers `unknown` unless `jsonSchema` gave it a type.
 */
export type InferSchema<S> = S extends {
  readonly '~standard': { readonly types?: infer Types }
}
  ? NonNullable<Types> extends { readonly input: infer Input }
    ? Input
    : unknown
  : S extends { readonly [TYPED]?: infer Mark }
    ? Mark extends { readonly value: infer T }
      ? T
      : unknown
    : unknown

/**
 * Gives a raw JSON Schema the type of its values. The type is believed, not checked: the schema is
 * what runs.
 *
 * @example
 * const order = jsonSchema<{ orderId: string }>({
 *   type: 'object', properties: { orderId: { type: 'string' } }, required: ['orderId'],
 * })
 */
export const jsonSchema = <T>(schema: JsonSchema): TypedJsonSchema<T> => schema

/**
 * The JSON Schema of what the user gave: converted once, at declaration, as a frozen copy.
 *
 * @throws JUNCTURA_DECLARATION when the library exports no JSON Schema, when it cannot express this
 * schema, when the schema names another draft, or when it passes `LIMITS.schemaBytesMax` or
 * `LIMITS.schemaDepthMax`. The error names `field` and the fix.
 */
export const toJsonSchema = (input: SchemaInput, field: string): JsonSchema => {
  const raw = isStandard(input) ? exportOf(input['~standard'], field) : input
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
    throw declarationError(
      field,
      'this is not a schema',
      'give a zod schema or a JSON Schema object',
    )
  }
  const schema = frozenCopy(raw, field)
  const dialect = schema['$schema']
  if (dialect !== undefined && dialect !== DIALECT && dialect !== `${DIALECT}#`) {
    throw declarationError(
      `${field}.$schema`,
      'the schema is of another draft',
      `write it in draft 2020-12 ("${DIALECT}") or leave $schema out`,
    )
  }
  return schema
}

type StandardProps = { readonly vendor?: unknown; readonly jsonSchema?: unknown }

/** Structural: libraries disagree on whether a schema is an object or a function. */
function isStandard(input: unknown): input is { readonly '~standard': StandardProps } {
  if (typeof input !== 'function' && (typeof input !== 'object' || input === null)) return false
  const props: unknown = Reflect.get(input, '~standard')
  return typeof props === 'object' && props !== null
}

function exportOf(standard: StandardProps, field: string): unknown {
  const converter = standard.jsonSchema
  const convert: unknown =
    typeof converter === 'object' && converter !== null
      ? Reflect.get(converter, 'input')
      : undefined
  if (typeof convert !== 'function') {
    throw declarationError(
      field,
      `this ${String(standard.vendor)} schema exports no JSON Schema`,
      EXPORT_FIXES[String(standard.vendor)] ?? OTHER_FIX,
    )
  }
  try {
    // The wire carries what goes into the library, so this is its input side.
    return convert.call(converter, { target: 'draft-2020-12' })
  } catch (cause) {
    throw declarationError(
      field,
      `${String(standard.vendor)} cannot write it as JSON Schema (${messageOf(cause)})`,
      'use types that JSON has: for a date, a string with the format date-time',
    )
  }
}

const EXPORT_FIXES: Readonly<Record<string, string>> = {
  zod: 'use zod 4.2 or later',
  valibot: 'wrap it: toStandardJsonSchema(schema), from @valibot/to-json-schema',
  arktype: 'use arktype 2.1.28 or later',
}
const OTHER_FIX =
  'use a library with Standard JSON Schema, such as zod 4.2, or give raw JSON Schema'

/** A copy, so that a later change of the user's object cannot change what is on the wire. */
function frozenCopy(raw: object, field: string): JsonSchema {
  let text: string
  try {
    text = JSON.stringify(raw)
  } catch (cause) {
    throw declarationError(
      field,
      `the schema is not plain JSON (${messageOf(cause).split('\n')[0]})`,
      'write recursion as a $ref to $defs',
    )
  }
  if (utf8Length(text) > LIMITS.schemaBytesMax) {
    throw declarationError(
      field,
      `the schema has more than ${LIMITS.schemaBytesMax} bytes`,
      'split the message into several contracts',
    )
  }
  const copy: unknown = JSON.parse(text)
  if (freezeAndMeasure(copy) > LIMITS.schemaDepthMax) {
    throw declarationError(
      field,
      `the schema is nested deeper than ${LIMITS.schemaDepthMax}`,
      'move inner parts to $defs',
    )
  }
  return copy as JsonSchema // An object went in, so one came out.
}

/** Freezes everything inside and returns the depth; without recursion, for any depth. */
function freezeAndMeasure(root: unknown): number {
  let depth = 0
  let level: unknown[] = [root]
  while (level.length > 0) {
    depth++
    const next: unknown[] = []
    for (const value of level) {
      if (typeof value !== 'object' || value === null) continue
      Object.freeze(value)
      for (const inner of Object.values(value)) next.push(inner)
    }
    level = next
  }
  return depth
}
