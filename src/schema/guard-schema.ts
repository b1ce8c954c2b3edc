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
 * A copy of the schema with the guard beside each `$ref`, or in every subschema. Only references
 * can make work grow faster than schema times document, so they are what is counted.
 *
 * @throws JUNCTURA_DECLARATION at what the compiler does not read as the specification says.
 */
export const guardSchema = (
  schema: JsonSchema | boolean,
  options: { readonly field: string; readonly everywhere: boolean },
): JsonSchema | boolean => {
  if (typeof schema === 'boolean') return schema
  const seen = new Set<string>()
  const guardNode = (node: unknown): unknown => {
    if (Array.isArray(node)) return node.map(guardNode)
    if (typeof node !== 'object' || node === null) return node
    const entries = Object.entries(node).map(([keyword, value]): [string, unknown] => {
      seen.add(keyword)
      if (DATA.has(keyword)) return [keyword, value]
      if (!MAPS.has(keyword) || !isObject(value)) return [keyword, guardNode(value)]
      const map = Object.entries(value).map(([name, inner]) => [name, guardNode(inner)])
      return [keyword, Object.fromEntries(map)]
    })
    if ('if' in node && !('then' in node && 'else' in node)) seen.add(HALF_IF)
    if ('$ref' in node || (options.everywhere && entries.length > 0)) entries.push([GUARD, true])
    return Object.fromEntries(entries)
  }
  const guarded = guardNode(schema) as JsonSchema // An object goes in, so one comes out.
  refuseMisread(seen, options.field)
  return guarded
}

const HALF_IF = 'if without then and else'

/** Keywords that the compiler misreads together. A wrong verdict is worse than a refused schema. */
const MISREAD: readonly { readonly keyword: string; readonly beside: readonly string[] }[] = [
  { keyword: 'unevaluatedItems', beside: ['contains', 'anyOf', 'oneOf', 'if'] },
  { keyword: 'unevaluatedProperties', beside: [HALF_IF] },
]

function refuseMisread(seen: ReadonlySet<string>, field: string): void {
  if (seen.has('$dynamicRef')) {
    throw declarationError(field, 'it has a $dynamicRef', 'use $ref to a part of $defs')
  }
  for (const { keyword, beside } of MISREAD) {
    const other = seen.has(keyword) ? beside.find((name) => seen.has(name)) : undefined
    if (other === undefined) continue
    throw declarationError(
      field,
      `it has ${keyword} beside ${other}, which no compiled validator decides safely`,
      `spell the allowed members out, or leave ${keyword} away`,
    )
  }
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
