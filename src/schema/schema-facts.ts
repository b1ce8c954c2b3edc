import type { JsonSchema } from '../contract/index.ts'
import { LIMITS } from '../kernel/index.ts'
import { canonicalJson } from './canonical-json.ts'

/**
 * What can be read off a schema that is a conjunction: a value must satisfy every one of its parts.
 * `$ref` and `allOf` are already resolved into parts.
 */
export type Parts = readonly JsonSchema[]

export type SchemaNode = JsonSchema | boolean

export const TYPES = ['array', 'boolean', 'integer', 'null', 'number', 'object', 'string'] as const
export type TypeName = (typeof TYPES)[number]

export const isNode = (value: unknown): value is SchemaNode =>
  typeof value === 'boolean' || isRecord(value)

export const isRecord = (value: unknown): value is JsonSchema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * The parts of a node, or why they cannot be told. `false`, which no value satisfies, is undefined.
 */
export const partsOf = (node: SchemaNode, root: JsonSchema): Parts | undefined | string => {
  const parts: JsonSchema[] = []
  const open: SchemaNode[] = [node]
  const followed = new Set<SchemaNode>()
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (next === false) return undefined
    if (next === true || followed.has(next)) continue
    followed.add(next)
    if (followed.size > LIMITS.problemErrorsMax) return 'it combines too many schemas'
    if ('$dynamicRef' in next) return 'it has a $dynamicRef'
    if (Object.keys(next).some((keyword) => !WRAPPING.has(keyword))) parts.push(next)
    for (const inner of listOf(next['allOf'])) if (isNode(inner)) open.push(inner)
    const reference = next['$ref']
    if (reference === undefined) continue
    const target = resolveReference(reference, root)
    if (target === undefined) return `its $ref ${JSON.stringify(reference)} is not a plain pointer`
    open.push(target)
  }
  return parts
}

/** A node with only these says nothing itself; leaving it out lets recursion be recognised. */
const WRAPPING = new Set(['$ref', 'allOf', '$defs', '$schema', '$id', 'title', 'description'])

/** The target of `#` or of a JSON Pointer inside the same schema; undefined for any other kind. */
const resolveReference = (reference: unknown, root: JsonSchema): SchemaNode | undefined => {
  if (reference === '#') return root
  if (typeof reference !== 'string' || !reference.startsWith('#/')) return undefined
  let node: unknown = root
  for (const token of reference.slice(2).split('/')) {
    const name = percentDecoded(token).replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof node !== 'object' || node === null || !Object.hasOwn(node, name)) return undefined
    node = Reflect.get(node, name)
  }
  return isNode(node) ? node : undefined
}

/** The text itself where its percent signs encode nothing. */
function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch (error) {
    if (error instanceof URIError) return text
    throw error
  }
}

export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

export const stringsOf = (value: unknown): readonly string[] =>
  listOf(value).filter((item) => typeof item === 'string')

/** The members of a map keyword such as `properties`, by name. */
export const mapOf = (value: unknown): ReadonlyMap<string, SchemaNode> => {
  const map = new Map<string, SchemaNode>()
  if (!isRecord(value)) return map
  for (const [name, node] of Object.entries(value)) if (isNode(node)) map.set(name, node)
  return map
}

/** Every value the parts allow, where that is a short list by `const`, `enum` or type. */
export const valuesOf = (parts: Parts): readonly unknown[] | undefined => {
  let values: readonly unknown[] | undefined
  const keepOnly = (allowed: readonly unknown[]): void => {
    const texts = new Set(allowed.map(canonicalJson))
    values = values?.filter((value) => texts.has(canonicalJson(value))) ?? allowed
  }
  for (const part of parts) {
    if ('const' in part) keepOnly([part['const']])
    if (Array.isArray(part['enum'])) keepOnly(part['enum'])
  }
  const types = declaredTypes(parts)
  if (values) return types ? values.filter((value) => isOfType(value, types)) : values
  if (!types) return undefined
  if (types.some((type) => type !== 'boolean' && type !== 'null')) return undefined
  return [
    ...(types.includes('boolean') ? [true, false] : []),
    ...(types.includes('null') ? [null] : []),
  ]
}

/** The types that `type` leaves, or undefined when nothing is said. `number` includes `integer`. */
export const declaredTypes = (parts: Parts): readonly TypeName[] | undefined => {
  let types: readonly TypeName[] | undefined
  for (const part of parts) {
    if (part['type'] === undefined) continue
    const own = TYPES.filter((type) => [part['type']].flat().includes(type))
    const kept: readonly TypeName[] = types ?? TYPES
    types = TYPES.filter((type) => isCovered(type, own) && isCovered(type, kept))
  }
  return types?.includes('number') ? types.filter((type) => type !== 'integer') : types
}

/** The types that a value of the parts may have. */
export const typesOf = (parts: Parts): readonly TypeName[] => {
  const values = valuesOf(parts)
  if (values) return TYPES.filter((type) => values.some((value) => typeOf(value) === type))
  return declaredTypes(parts) ?? TYPES.filter((type) => type !== 'integer')
}

export const isCovered = (type: TypeName, by: readonly TypeName[]): boolean =>
  by.includes(type) || (type === 'integer' && by.includes('number'))

const typeOf = (value: unknown): TypeName => {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  if (typeof value === 'boolean' || typeof value === 'string') return typeof value as TypeName
  return 'object'
}

const isOfType = (value: unknown, types: readonly TypeName[]): boolean =>
  isCovered(typeOf(value), types)

/** The strictest number that the parts give for a keyword. */
export const limitOf = (
  parts: Parts,
  keyword: string,
  strictest: (...limits: number[]) => number,
): number | undefined => {
  const limits = parts.map((part) => part[keyword]).filter((limit) => typeof limit === 'number')
  return limits.length === 0 ? undefined : strictest(...limits)
}
