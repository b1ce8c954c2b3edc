import { type JsonSchema, declarationError } from '../contract/index.ts'

/** A keyword of ours in the copy that is compiled; it bounds the work of validation. */
export const GUARD = 'junctura-guard'

/** Keywords whose value is data, never a schema. */
const DATA = new Set(['const', 'enum', 'default', 'examples', 'dependentRequired', '$vocabulary'])
/** Keywords whose value maps free names to schemas. */
const MAPS = new Set([
  'properties',
  'patternProperties',
  '$defs',
  'definitions',
  'dependentSchemas',
  'dependencies',
])

/**
 * A copy of the schema with the guard beside each `$ref`, or in every subschema.
 * Only references can make work grow faster than schema times document, so they are what is counted.
 *
 * @throws JUNCTURA_DECLARATION at a `$dynamicRef`, which the compiler does not resolve as the
 * specification says; a schema that would be misread is refused.
 */
export const guardSchema = (
  schema: JsonSchema | boolean,
  options: { readonly field: string; readonly everywhere: boolean },
): JsonSchema | boolean => {
  const guardNode = (node: unknown): unknown => {
    if (Array.isArray(node)) return node.map(guardNode)
    if (typeof node !== 'object' || node === null) return node
    const entries = Object.entries(node).map(([keyword, value]): [string, unknown] => {
      if (DATA.has(keyword)) return [keyword, value]
      if (!MAPS.has(keyword) || !isObject(value)) return [keyword, guardNode(value)]
      const map = Object.entries(value).map(([name, inner]) => [name, guardNode(inner)])
      return [keyword, Object.fromEntries(map)]
    })
    if ('$dynamicRef' in node) {
      throw declarationError(options.field, 'it has a $dynamicRef', 'use $ref to a part of $defs')
    }
    if ('$ref' in node || (options.everywhere && entries.length > 0)) entries.push([GUARD, true])
    return Object.fromEntries(entries)
  }
  return typeof schema === 'boolean' ? schema : (guardNode(schema) as JsonSchema)
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
