import type { JsonSchema } from '../contract/index.ts'
import { canonicalJson } from './canonical-json.ts'
import { compareMembers } from './compare-members.ts'
import { compareScalars } from './compare-scalars.ts'
import { type Comparison, type Difference, type Walk, isSame, unknown } from './comparison.ts'
import {
  type Parts,
  type SchemaNode,
  declaredTypes,
  isNode,
  mapOf,
  partsOf,
  stringsOf,
  typesOf,
  valuesOf,
} from './schema-facts.ts'

/** Places looked at; unions inside unions multiply. */
const STEPS_MAX = 20_000

/**
 * Whether every value of the writer is one of the reader, keyword by keyword of the reader: each
 * must be implied by what the writer says. What cannot be decided that way is `unknown`, never
 * compatible.
 */
export const compareSchemas = (comparison: Comparison): readonly Difference[] => {
  const ids = new Map<object, number>()
  const idOf = (part: object): number => {
    const id = ids.get(part) ?? ids.size
    ids.set(part, id)
    return id
  }
  const texts = new WeakMap<object, string>()
  const textOf = (part: object): string => {
    const text = texts.get(part) ?? canonicalJson(part)
    texts.set(part, text)
    return text
  }
  const isSameRoot = textOf(comparison.writerRoot) === textOf(comparison.readerRoot)
  const open = new Set<string>()
  let steps = 0
  const walk: Walk = {
    ...comparison,
    isSameText: (writer, reader) =>
      textOf(writer) === textOf(reader) && (isSameRoot || !textOf(reader).includes('"$ref"')),
    isSpent: () => ++steps > STEPS_MAX,
    compareNode(writer, reader, path) {
      const parts = partsOf(writer, comparison.writerRoot)
      if (parts === undefined) return []
      if (typeof parts === 'string') return [unknown(path, 'reference', parts)]
      return walk.compare(parts, reader, path)
    },
    compare(writer, reader, path) {
      const parts = partsOf(reader, comparison.readerRoot)
      if (typeof parts === 'string') return [unknown(path, 'reference', parts)]
      if (parts === undefined) {
        const reason = `${comparison.writer} may send it, ${comparison.reader} allows no value here`
        return [{ verdict: 'incompatible', path, rule: 'not-allowed', reason }]
      }
      const pair = `${writer.map(idOf).join()}:${parts.map(idOf).join()}`
      // Met again inside itself: a recursive schema agrees with itself unless some place differs.
      if (open.has(pair)) return []
      open.add(pair)
      const found = compareParts(walk, { writer, reader: parts, path })
      open.delete(pair)
      return found
    },
  }
  return walk.compareNode(comparison.writerRoot, comparison.readerRoot, '')
}

/** The parts of both sides at one path. */
interface Place {
  readonly writer: Parts
  readonly reader: Parts
  readonly path: string
}

function compareParts(walk: Walk, place: Place): readonly Difference[] {
  if (walk.isSpent()) return [unknown(place.path, 'too-large', 'the schemas are too large')]
  const direct = place.reader.flatMap((part) => comparePart(walk, place, part))
  if (direct.every(({ verdict }) => verdict === 'note')) return direct
  // A union of the writer is contained when each of its branches is.
  const union = place.writer.find((part) => branchesOf(part) !== undefined)
  if (union === undefined) return direct
  const others = place.writer.filter((part) => part !== union)
  const { anyOf: _anyOf, oneOf: _oneOf, ...siblings } = union
  const distributed = (branchesOf(union) ?? []).flatMap((branch) => {
    const parts = partsOf(branch, walk.writerRoot)
    if (parts === undefined) return []
    if (typeof parts === 'string') return [unknown(place.path, 'reference', parts)]
    return compareParts(walk, { ...place, writer: [...others, siblings, ...parts] })
  })
  return unique(distributed)
}

const branchesOf = (part: JsonSchema): readonly SchemaNode[] | undefined => {
  const branches = part['anyOf'] ?? part['oneOf']
  return Array.isArray(branches) ? branches.filter(isNode) : undefined
}

const unique = (differences: readonly Difference[]): readonly Difference[] => [
  ...new Map(differences.map((found) => [canonicalJson(found), found])).values(),
]

function comparePart(walk: Walk, place: Place, reader: JsonSchema): readonly Difference[] {
  const { writer, path } = place
  if (writer.some((part) => walk.isSameText(part, reader))) return []
  const scalars = compareScalars(walk, { writer, reader, path })
  // A value of another type has no members to compare; the type is finding enough.
  if (scalars.some(({ rule }) => rule === 'type-narrowed')) return scalars
  return [
    ...scalars,
    ...compareMembers(walk, { writer, reader, path }),
    ...compareUnion(walk, place, reader),
    ...compareOpaque(writer, reader, path),
  ]
}

function compareUnion(walk: Walk, place: Place, reader: JsonSchema): readonly Difference[] {
  const branches = branchesOf(reader)
  if (branches === undefined) return []
  const { writer, path } = place
  if (walk.isSpent()) return [unknown(path, 'too-large', 'the schemas are too large')]
  const keyword = 'anyOf' in reader ? 'anyOf' : 'oneOf'
  const attempts = branches.map((branch) => walk.compare(writer, branch, path))
  const fits = attempts.filter((found) => found.every(({ verdict }) => verdict === 'note'))
  if (fits.length > 0) {
    if (keyword === 'anyOf' || areExclusive(branches, walk.readerRoot)) return fits[0] ?? []
    return [unknown(path, 'one-of', 'a value may fit several branches of oneOf')]
  }
  // A list of types or values may still fit one by one.
  const types = declaredTypes(writer) ?? []
  if (types.length > 1 && valuesOf(writer) === undefined) {
    return types.flatMap((type) =>
      compareUnion(walk, { ...place, writer: [...writer, { type }] }, reader),
    )
  }
  const values = valuesOf(writer)
  if (values && values.length > 1) {
    return values.flatMap((value) =>
      compareUnion(walk, { ...place, writer: [...writer, { const: value }] }, reader),
    )
  }
  const nearest = attempts.toSorted((left, right) => left.length - right.length)[0] ?? []
  if (nearest.some(({ verdict }) => verdict === 'unknown')) return nearest
  const reason = `${walk.writer} has a shape here that fits no branch of ${walk.reader}`
  return [{ verdict: 'incompatible', path, rule: 'union-narrowed', reason }, ...nearest]
}

/** Whether no value fits two branches: different types, or different constants of one member. */
function areExclusive(branches: readonly SchemaNode[], root: JsonSchema): boolean {
  const parts = branches.map((branch) => partsOf(branch, root))
  return parts.every((left, index) =>
    parts.slice(index + 1).every((right) => {
      if (left === undefined || right === undefined) return true
      if (typeof left === 'string' || typeof right === 'string') return false
      return areDisjoint(left, right, root)
    }),
  )
}

function areDisjoint(left: Parts, right: Parts, root: JsonSchema): boolean {
  const leftTypes = typesOf(left)
  const rightTypes = typesOf(right)
  const overlap = leftTypes.filter(
    (type) =>
      rightTypes.includes(type) ||
      (type === 'integer' && rightTypes.includes('number')) ||
      (type === 'number' && rightTypes.includes('integer')),
  )
  if (overlap.length === 0) return true
  const leftValues = valuesOf(left)?.map(canonicalJson)
  const rightValues = valuesOf(right)?.map(canonicalJson)
  if (leftValues && rightValues) return !leftValues.some((value) => rightValues.includes(value))
  if (overlap.length > 1 || overlap[0] !== 'object') return false
  const required = left.flatMap((part) => stringsOf(part['required']))
  return required
    .filter((name) => right.some((part) => stringsOf(part['required']).includes(name)))
    .some((name) => {
      const [a, b] = [left, right].map((side) => memberParts(side, name, root))
      return a !== undefined && b !== undefined && (valuesOf(a) ?? valuesOf(b)) !== undefined
        ? areDisjoint(a, b, root)
        : false
    })
}

function memberParts(parts: Parts, name: string, root: JsonSchema): Parts | undefined {
  const found = parts.flatMap((part) => {
    const node = mapOf(part['properties']).get(name)
    const inner = node === undefined ? [] : partsOf(node, root)
    return inner === undefined || typeof inner === 'string' ? [] : inner
  })
  return found.length === 0 ? undefined : found
}

/** Keywords that are compared as text only, each with the neighbours that give it its meaning. */
const OPAQUE: Readonly<Record<string, readonly string[]>> = {
  not: [],
  if: ['then', 'else'],
  contains: ['minContains', 'maxContains'],
  propertyNames: [],
  dependentSchemas: [],
  dependencies: [],
  unevaluatedProperties: [
    'properties',
    'patternProperties',
    'additionalProperties',
    'anyOf',
    'oneOf',
  ],
  unevaluatedItems: ['prefixItems', 'items', 'anyOf', 'oneOf'],
}

function compareOpaque(writer: Parts, reader: JsonSchema, path: string): readonly Difference[] {
  return Object.entries(OPAQUE).flatMap(([keyword, neighbours]) => {
    if (!(keyword in reader) || reader[keyword] === true) return []
    const keywords = [keyword, ...neighbours]
    const isKept = writer.some((part) => keywords.every((name) => isSame(part[name], reader[name])))
    // Text with a reference means the same only while what it refers to is the same; not looked at.
    const refers = JSON.stringify(keywords.map((name) => reader[name] ?? null)).includes('"$ref"')
    if (isKept && !refers) return []
    return [unknown(path, keyword, `the keyword ${keyword} is not understood by this check`)]
  })
}
