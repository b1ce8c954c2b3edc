import type { JsonSchema } from '../contract/index.ts'
import { canonicalJson } from './canonical-json.ts'
import { type Difference, type Facing, type Walk, isSame, namesOf, unknown } from './comparison.ts'
import { escapeToken } from './field-error.ts'
import { linearPattern } from './linear-pattern.ts'
import {
  type Parts,
  type SchemaNode,
  isNode,
  listOf,
  mapOf,
  stringsOf,
  typesOf,
} from './schema-facts.ts'

/** Members of objects and items of arrays. */
export const compareMembers = (walk: Walk, facing: Facing): readonly Difference[] => {
  const types = typesOf(facing.writer)
  return [
    ...(types.includes('object') ? compareObject(walk, facing) : []),
    ...(types.includes('array') ? compareArray(walk, facing) : []),
  ]
}

function compareObject(walk: Walk, facing: Facing): readonly Difference[] {
  return [
    ...compareRequired(walk, facing),
    ...compareNamed(walk, facing),
    ...compareOthers(walk, facing),
    ...comparePatterns(facing),
  ]
}

function compareRequired(walk: Walk, { writer, reader, path }: Facing): readonly Difference[] {
  const promised = new Set(writer.flatMap((part) => stringsOf(part['required'])))
  const missing = stringsOf(reader['required']).filter((name) => !promised.has(name))
  const found = missing.map((name): Difference => {
    const renamed = renamedFrom(name, writer, reader)
    const hint = renamed === undefined ? '' : `; was it renamed from "${renamed}"?`
    return {
      verdict: 'incompatible',
      path: `${path}/${escapeToken(name)}`,
      rule: renamed === undefined ? 'required-added' : 'renamed',
      reason: `${walk.reader} requires it, ${walk.writer} may leave it out${hint}`,
    }
  })
  for (const [name, needs] of Object.entries(Object(reader['dependentRequired']))) {
    const own = writer.flatMap((part) => stringsOf(Object(part['dependentRequired'])[name]))
    const unmet = stringsOf(needs).filter((need) => !promised.has(need) && !own.includes(need))
    if (unmet.length === 0 || memberOf(writer, name) === false) continue
    const reason = `${walk.reader} requires ${unmet.join(', ')} beside ${name}, ${walk.writer} does not`
    found.push({ verdict: 'incompatible', path, rule: 'dependent-required-added', reason })
  }
  return found
}

/**
 * A member of the writer alone with the same schema, which makes a new required one look renamed.
 */
function renamedFrom(name: string, writer: Parts, reader: JsonSchema): string | undefined {
  const own = mapOf(reader['properties'])
  const wanted = own.get(name)
  if (wanted === undefined || wanted === true) return undefined
  return namesOf(writer, 'properties').find((other) => {
    if (own.has(other)) return false
    return writer.some((part) => isSame(mapOf(part['properties']).get(other), wanted))
  })
}

/**
 * What the writer says about one member: nodes that all hold, `false` when it cannot occur,
 * undefined when the writer does not name it and does not forbid it.
 */
function memberOf(writer: Parts, name: string): readonly SchemaNode[] | false | undefined {
  const nodes: SchemaNode[] = []
  for (const part of writer) {
    const before = nodes.length
    const named = mapOf(part['properties']).get(name)
    if (named !== undefined) nodes.push(named)
    for (const [pattern, node] of mapOf(part['patternProperties'])) {
      if (linearPattern(pattern, name).test(name)) nodes.push(node)
    }
    const others = part['additionalProperties']
    if (nodes.length === before && isNode(others) && others !== true) nodes.push(others)
  }
  if (nodes.includes(false)) return false
  return nodes.length === 0 ? undefined : nodes
}

const all = (nodes: readonly SchemaNode[]): SchemaNode =>
  nodes.length === 1 && nodes[0] !== undefined ? nodes[0] : { allOf: nodes }

function compareNamed(walk: Walk, { writer, reader, path }: Facing): readonly Difference[] {
  return [...mapOf(reader['properties'])].flatMap(([name, wanted]): readonly Difference[] => {
    const inner = `${path}/${escapeToken(name)}`
    const sent = memberOf(writer, name)
    if (sent === false || wanted === true || isSame(wanted, {})) return []
    if (sent !== undefined) {
      return [
        ...walk.compareNode(all(sent), wanted, inner),
        ...compareDefault(walk, all(sent), wanted, inner),
      ]
    }
    if (wanted === false) {
      const reason = `${walk.reader} forbids it; ${walk.writer} does not name it, so none should be sent`
      return [{ verdict: 'note', path: inner, rule: 'member-forbidden', reason }]
    }
    const reason = `${walk.writer} does not name it; compatible while nobody sends it as an extra member`
    return [{ verdict: 'note', path: inner, rule: 'member-added', reason }]
  })
}

/**
 * Defaults are annotations and filled in by nobody here, so a change of one is only worth knowing.
 */
function compareDefault(
  walk: Walk,
  sent: SchemaNode,
  wanted: SchemaNode,
  path: string,
): readonly Difference[] {
  if (typeof sent === 'boolean' || typeof wanted === 'boolean') return []
  if (!('default' in sent) || isSame(sent['default'], wanted['default'])) return []
  const change = 'default' in wanted ? 'another default' : 'no default'
  const reason = `${walk.reader} has ${change} than ${walk.writer}; readers must not rely on it`
  return [{ verdict: 'note', path, rule: 'default-changed', reason }]
}

/** Members that the reader's part does not name. */
function compareOthers(walk: Walk, { writer, reader, path }: Facing): readonly Difference[] {
  const wanted = reader['additionalProperties']
  if (!isNode(wanted) || wanted === true || isSame(wanted, {})) return []
  const named = mapOf(reader['properties'])
  const patterns = [...mapOf(reader['patternProperties']).keys()].map((pattern) =>
    linearPattern(pattern, path),
  )
  const isNamed = (name: string): boolean =>
    named.has(name) || patterns.some((pattern) => pattern.test(name))
  const found = namesOf(writer, 'properties').flatMap((name): readonly Difference[] => {
    const sent = memberOf(writer, name)
    if (isNamed(name) || sent === false || sent === undefined) return []
    const inner = `${path}/${escapeToken(name)}`
    if (wanted !== false) return walk.compareNode(all(sent), wanted, inner)
    const reason = `${walk.writer} may send it, ${walk.reader} is closed and does not name it`
    return [{ verdict: 'incompatible', path: inner, rule: 'member-removed', reason }]
  })
  return [...found, ...compareUnnamed(walk, { writer, reader, path }, wanted)]
}

/** Members that neither side names. */
function compareUnnamed(
  walk: Walk,
  { writer, path }: Facing,
  wanted: SchemaNode,
): readonly Difference[] {
  const isClosed = writer.some(
    (part) => part['additionalProperties'] === false && !('patternProperties' in part),
  )
  if (isClosed) return []
  const inner = `${path}/*`
  if (wanted === false) {
    const reason = `${walk.reader} is closed, ${walk.writer} allows members that it does not name`
    return [{ verdict: 'incompatible', path: inner, rule: 'closed', reason }]
  }
  const others = writer.map((part) => part['additionalProperties']).filter(isNode)
  if (writer.some((part) => 'patternProperties' in part)) {
    return [unknown(inner, 'patternProperties', 'members are named by patterns')]
  }
  return walk.compareNode(others.length === 0 ? true : all(others), wanted, inner)
}

function comparePatterns({ writer, reader, path }: Facing): readonly Difference[] {
  const wanted = mapOf(reader['patternProperties'])
  const same = writer.some((part) => isSame(part['patternProperties'], reader['patternProperties']))
  if (wanted.size === 0 || [...wanted.values()].every((node) => node === true)) return []
  if (same && !canonicalJson(reader['patternProperties']).includes('"$ref"')) return []
  return [unknown(path, 'patternProperties', 'members are named by patterns')]
}

function compareArray(walk: Walk, { writer, reader, path }: Facing): readonly Difference[] {
  const found: Difference[] = []
  const prefix = listOf(reader['prefixItems']).filter(isNode)
  for (const [index, wanted] of prefix.entries()) {
    found.push(...compareItem(walk, itemOf(writer, index), wanted, `${path}/${index}`))
  }
  const rest = reader['items']
  if (isNode(rest)) {
    const longest = Math.max(0, ...writer.map((part) => listOf(part['prefixItems']).length))
    for (let index = prefix.length; index < longest; index++) {
      found.push(...compareItem(walk, itemOf(writer, index), rest, `${path}/${index}`))
    }
    const shortEnough = writer.some((part) => Number(part['maxItems']) <= prefix.length)
    if (!shortEnough) {
      const beyond = Math.max(longest, prefix.length)
      found.push(...compareItem(walk, itemOf(writer, beyond), rest, `${path}/*`))
    }
  }
  const isUnique = writer.some(
    (part) => part['uniqueItems'] === true || Number(part['maxItems']) <= 1,
  )
  if (reader['uniqueItems'] === true && !isUnique) {
    const reason = `${walk.reader} takes each item once only, ${walk.writer} may repeat one`
    found.push({ verdict: 'incompatible', path, rule: 'unique-narrowed', reason })
  }
  return found
}

function compareItem(
  walk: Walk,
  sent: SchemaNode,
  wanted: SchemaNode,
  path: string,
): readonly Difference[] {
  if (wanted === true) return []
  return walk.compareNode(sent, wanted, path)
}

/** What the writer says about the item at an index. */
function itemOf(writer: Parts, index: number): SchemaNode {
  const nodes = writer.flatMap((part) => {
    const prefix = listOf(part['prefixItems'])
    const node = index < prefix.length ? prefix[index] : part['items']
    return isNode(node) ? [node] : []
  })
  if (nodes.includes(false)) return false
  return nodes.length === 0 ? true : all(nodes)
}
