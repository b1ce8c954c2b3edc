import type { AnyContract } from './contract.ts'
import type { JsonSchema } from './schema-input.ts'

/** A `pii` path that masks nothing, and what was probably meant. */
export interface UnknownPath {
  readonly path: string
  /** Paths that a version has, the closest first. */
  readonly close: readonly string[]
}

/**
 * The `pii` paths that no version's schema has. Such a path masks nothing, and nobody would notice
 * before personal data is in an output (F57).
 *
 * An object that lists its members has these and no others, unless it says so itself with
 * `additionalProperties`, `unevaluatedProperties` or `patternProperties`: JSON Schema takes more by
 * default, and if that counted, no mistake would ever be found. What cannot be read off the schema,
 * such as an object without a list of members, is taken to have the path.
 */
export const unknownPersonalPaths = (contract: AnyContract): readonly UnknownPath[] => {
  const schemas = [...contract.versions.values()]
  const wrong = contract.pii.filter((path) => !schemas.some((schema) => hasPath(schema, path)))
  if (wrong.length === 0) return []
  const known = [...new Set(schemas.flatMap(pathsOf))]
  return wrong.map((path) => ({ path, close: closestTo(path, known) }))
}

type Node = JsonSchema | boolean

/** What a schema says about one step of a path. */
interface Step {
  /** Schemas of what is found there. */
  readonly nodes: readonly Node[]
  /** True when it does not say which members there are. */
  readonly isSilent: boolean
}

const NOWHERE: Step = { nodes: [], isSilent: false }
const SILENT: Step = { nodes: [], isSilent: true }

function hasPath(root: JsonSchema, path: string): boolean {
  let nodes: readonly Node[] = [root]
  for (const name of path.split('.')) {
    if (name === '') return false
    const look = { root, name, known: new Map<Node, Step>() }
    const step = anyOf(nodes.map((node) => stepInto(look, node)))
    if (step.isSilent) return true
    if (step.nodes.length === 0) return false
    nodes = step.nodes
  }
  return true
}

interface Look {
  readonly root: JsonSchema
  readonly name: string
  /** Each schema is looked at once: references may lead back, or double at each level (F55). */
  readonly known: Map<Node, Step>
}

/** A schema's statements hold together: one that lists members speaks for the silent ones. */
function stepInto(look: Look, node: unknown): Step {
  if (!isRecord(node)) return node === false ? NOWHERE : SILENT
  const known = look.known.get(node)
  if (known) return known
  look.known.set(node, SILENT)
  const at = (next: unknown): Step => stepInto(look, next)
  const parts = [ownStep(look, node), ...listOf(node['allOf']).map(at)]
  if (typeof node['$ref'] === 'string') parts.push(at(resolve(look.root, node['$ref'])))
  for (const keyword of ['anyOf', 'oneOf']) {
    const branches = listOf(node[keyword])
    if (branches.length > 0) parts.push(anyOf(branches.map(at)))
  }
  if ('if' in node) parts.push(anyOf([at(node['then']), at(node['else'])]))
  const step = {
    nodes: nodesOf(parts),
    isSilent: parts.every(({ isSilent }) => isSilent),
  }
  look.known.set(node, step)
  return step
}

/** One of several: what any of them leaves open is open. */
const anyOf = (steps: readonly Step[]): Step => ({
  nodes: nodesOf(steps),
  isSilent: steps.some(({ isSilent }) => isSilent),
})

/** Each once, or equal branches would double them at each level. */
const nodesOf = (steps: readonly Step[]): readonly Node[] => [
  ...new Set(steps.flatMap(({ nodes }) => nodes)),
]

/** The statements of one schema object, without those it refers to. */
function ownStep(look: Look, node: JsonSchema): Step {
  const types = node['type'] === undefined ? undefined : [node['type']].flat()
  const steps: Step[] = []
  if (!types || types.includes('object')) steps.push(memberStep(node, look.name))
  if (!types || types.includes('array')) steps.push(itemStep(look, node))
  // Without a type each of the two may be what is meant, so the one that says something counts.
  const telling = types ? steps : steps.filter(({ isSilent }) => !isSilent)
  if (telling.length > 0) return anyOf(telling)
  return types ? NOWHERE : SILENT
}

function memberStep(node: JsonSchema, name: string): Step {
  const members = isRecord(node['properties']) ? node['properties'] : undefined
  const others = [node['additionalProperties'], node['unevaluatedProperties']]
  const patterns = isRecord(node['patternProperties']) ? node['patternProperties'] : {}
  if (!members && others.every((other) => other === undefined) && isEmpty(patterns)) return SILENT
  const named = Object.entries(members ?? {}).filter(([key]) => name === '*' || key === name)
  const found = [...named.map(([, schema]) => schema), ...Object.values(patterns), ...others]
  return { nodes: found.filter(isNode).filter((schema) => schema !== false), isSilent: false }
}

/** A masker enters an array with a step of its own or without (`items.*.name`, `items.name`). */
function itemStep(look: Look, node: JsonSchema): Step {
  const items = [node['items'], ...listOf(node['prefixItems'])].filter(isNode)
  if (items.length === 0) return SILENT
  const through = anyOf(items.map((item) => stepInto(look, item)))
  const isIndex = look.name === '*' || /^\d+$/.test(look.name)
  return isIndex ? { ...through, nodes: [...items, ...through.nodes] } : through
}

/** Every path that a schema lists, as far as people tell them apart: for suggestions only. */
function pathsOf(root: JsonSchema): readonly string[] {
  const paths: string[] = []
  let level: readonly { readonly node: unknown; readonly path: string }[] = [
    { node: root, path: '' },
  ]
  for (let depth = 0; depth < SUGGESTED_DEPTH && level.length > 0; depth++) {
    const next: { readonly node: unknown; readonly path: string }[] = []
    for (const { node, path } of level) {
      const below = (name: string): string => (path === '' ? name : `${path}.${name}`)
      for (const schema of flatten(root, node)) {
        const members = isRecord(schema['properties']) ? Object.entries(schema['properties']) : []
        paths.push(...members.map(([name]) => below(name)))
        next.push(...members.map(([name, inner]) => ({ node: inner, path: below(name) })))
        const { items } = schema
        if (items !== undefined) next.push({ node: items, path: below('*') })
      }
    }
    level = next.slice(0, SUGGESTED_FROM_MAX)
  }
  return paths.slice(0, SUGGESTED_FROM_MAX)
}

const SUGGESTED_DEPTH = 8
/** More than a person reads; bounds the work on a schema that refers to itself. */
const SUGGESTED_FROM_MAX = 1_000
const SUGGESTED_MAX = 3
const COMPARED_CHARS_MAX = 200

/** A schema and those it is made of, at the same value. */
function flatten(root: JsonSchema, node: unknown): readonly JsonSchema[] {
  const all = new Set<JsonSchema>()
  const open: unknown[] = [node]
  while (open.length > 0) {
    const next = open.pop()
    if (!isRecord(next) || all.has(next)) continue
    all.add(next)
    for (const keyword of ['allOf', 'anyOf', 'oneOf']) open.push(...listOf(next[keyword]))
    open.push(next['then'], next['else'])
    if (typeof next['$ref'] === 'string') open.push(resolve(root, next['$ref']))
  }
  return [...all]
}

/** The closest in spelling; one that ends alike, as `customer.email` does for `email`, is near. */
function closestTo(path: string, known: readonly string[]): readonly string[] {
  const last = path.split('.').at(-1) ?? path
  const distanceOf = (other: string): number => {
    const isSameEnd = other === last || other.endsWith(`.${last}`)
    return isSameEnd ? 0.5 : editDistance(path, other) / Math.max(path.length, other.length)
  }
  return known
    .map((other) => ({ other, distance: distanceOf(other) }))
    .filter(({ distance }) => distance <= 0.6)
    .toSorted((a, b) => a.distance - b.distance)
    .slice(0, SUGGESTED_MAX)
    .map(({ other }) => other)
}

/** Insertions, deletions and replacements that make one text of the other. */
function editDistance(from: string, to: string): number {
  const [a, b] = [from, to].map((text) => text.slice(0, COMPARED_CHARS_MAX))
  if (a === undefined || b === undefined) return 0
  let row = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let line = 1; line <= a.length; line++) {
    const before = row
    row = [line]
    for (let column = 1; column <= b.length; column++) {
      const replaced = (before[column - 1] ?? 0) + (a[line - 1] === b[column - 1] ? 0 : 1)
      row.push(Math.min(replaced, (before[column] ?? 0) + 1, (row[column - 1] ?? 0) + 1))
    }
  }
  return row[b.length] ?? 0
}

/** The target of `#` or of a JSON Pointer inside the schema; any other reference says nothing. */
function resolve(root: JsonSchema, reference: string): Node {
  if (reference === '#') return root
  let node: unknown = reference.startsWith('#/') ? root : undefined
  for (const token of reference.slice(2).split('/')) {
    const name = token.replaceAll('~1', '/').replaceAll('~0', '~')
    node = isRecord(node) || Array.isArray(node) ? Reflect.get(node, name) : undefined
  }
  return isNode(node) ? node : true
}

const isNode = (value: unknown): value is Node => typeof value === 'boolean' || isRecord(value)

const isRecord = (value: unknown): value is JsonSchema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isEmpty = (record: object): boolean => Object.keys(record).length === 0

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])
