import type { JsonSchema } from '../contract/index.ts'
import { JuncturaError, type Random, randomInteger } from '../kernel/index.ts'
import { type Validator, compileValidator } from './compile-validator.ts'
import type { FieldError } from './field-error.ts'
import { generateText } from './generate-text.ts'
import {
  type Parts,
  type SchemaNode,
  type TypeName,
  TYPES,
  declaredTypes,
  isNode,
  isRecord,
  limitOf,
  listOf,
  mapOf,
  partsOf,
  stringsOf,
  valuesOf,
} from './schema-facts.ts'

/** How often chance may try before the schema counts as too hard. */
const TRIES = 60
/** Optional members are left out below this depth, so that recursive schemas end. */
const DEPTH_FULL = 4
const DEPTH_MAX = 24

/**
 * A value that the schema accepts. The same seed gives the same value. Small and plain rather than
 * varied: for a first message in `junctura send`, not for coverage.
 *
 * Knows types, constants, enums, limits, formats, simple patterns, references and unions; what it
 * cannot know (`not`, `if`, contradicting parts) it tries by chance and checks with the validator.
 *
 * @throws JUNCTURA_EXAMPLE_FAILED when no try is valid; it names the first field that refuses.
 */
export const makeExample = (schema: JsonSchema, random: Random): unknown => {
  const validator = validatorOf(schema)
  let problem = ''
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const value = generate({ root: schema, random, lean: attempt % 2 === 1 }, schema, 0)
    const verdict = value === NONE ? undefined : validator.validate(value)
    if (verdict?.ok) return value
    problem = verdict?.errors[0]?.message ?? 'it allows no value'
  }
  throw new JuncturaError('JUNCTURA_EXAMPLE_FAILED', { details: { problem } })
}

export interface InvalidExample {
  readonly value: unknown
  /** What the validator says about it. */
  readonly errors: readonly FieldError[]
}

/**
 * An example with one field broken: a required member missing, another type, or a value that is not
 * allowed. The rest stays valid.
 *
 * @throws JUNCTURA_EXAMPLE_FAILED when no example can be made, or none can be broken because the
 * schema accepts everything.
 */
export const makeInvalid = (schema: JsonSchema, random: Random): InvalidExample => {
  const validator = validatorOf(schema)
  const value = makeExample(schema, random)
  const places = placesOf(value, [])
  const first = randomInteger(random, 0, Math.max(0, places.length - 1))
  for (let i = 0; i < places.length; i++) {
    const place = places[(first + i) % places.length] ?? []
    const broken = breakAt(validator, value, place)
    if (broken) return broken
  }
  const problem = 'it accepts everything, so nothing can be invalid'
  throw new JuncturaError('JUNCTURA_EXAMPLE_FAILED', { details: { problem } })
}

const validators = new WeakMap<JsonSchema, Validator>()

/** Compiled once per schema: a thousand examples of one schema are common. */
function validatorOf(schema: JsonSchema): Validator {
  const validator = validators.get(schema) ?? compileValidator(schema, 'schema')
  validators.set(schema, validator)
  return validator
}

type Path = readonly (string | number)[]

/** Every place in a value, members before the whole, so that a small break is preferred. */
function placesOf(value: unknown, path: Path): readonly Path[] {
  const inner = Array.isArray(value)
    ? value.flatMap((item, index) => placesOf(item, [...path, index]))
    : isRecord(value)
      ? Object.entries(value).flatMap(([name, member]) => placesOf(member, [...path, name]))
      : []
  return path.length === 0 && inner.length > 0 ? inner : [...inner, path]
}

function breakAt(validator: Validator, value: unknown, path: Path): InvalidExample | undefined {
  for (const replacement of [REMOVED, null, 'not allowed here', -1.5, {}, []]) {
    const broken = replaceAt(value, path, replacement)
    const verdict = broken === REMOVED ? undefined : validator.validate(broken)
    if (verdict && !verdict.ok) return { value: broken, errors: verdict.errors }
  }
  return undefined
}

const REMOVED = Symbol('removed')

function replaceAt(value: unknown, path: Path, replacement: unknown): unknown {
  const [step, ...rest] = path
  if (step === undefined) return replacement
  if (Array.isArray(value)) {
    const items = value.map((item, index) =>
      index === step ? replaceAt(item, rest, replacement) : item,
    )
    return items.filter((item) => item !== REMOVED)
  }
  if (!isRecord(value)) return value
  const members = Object.entries(value).map(([name, member]) => [
    name,
    name === step ? replaceAt(member, rest, replacement) : member,
  ])
  return Object.fromEntries(members.filter(([, member]) => member !== REMOVED))
}

interface Making {
  readonly root: JsonSchema
  readonly random: Random
  /** Leave out what is optional; helps where optional parts contradict. */
  readonly lean: boolean
}

/** No value at all: the node is false, or too deep. */
const NONE = Symbol('none')

function generate(making: Making, node: SchemaNode, depth: number): unknown {
  const whole = partsOf(node, making.root)
  if (whole === undefined || typeof whole === 'string' || depth > DEPTH_MAX) return NONE
  const parts = chooseBranches(making, whole, depth)
  if (parts === undefined) return NONE

  const values = valuesOf(parts)
  if (values) return values.length === 0 ? NONE : pick(making.random, values)
  const examples = parts.flatMap((part) => [...listOf(part['examples']), part['example'] ?? NONE])
  const given = examples.find((example) => example !== NONE)
  if (given !== undefined) return given
  return ofType(making, parts, depth)
}

function ofType(making: Making, parts: Parts, depth: number): unknown {
  switch (typeFor(making, parts)) {
    case 'object':
      return generateObject(making, parts, depth)
    case 'array':
      return generateArray(making, parts, depth)
    case 'string':
      return generateText(making.random, {
        format: parts.map((part) => part['format']).find((format) => typeof format === 'string'),
        patterns: parts.map((part) => part['pattern']).filter((text) => typeof text === 'string'),
        charsMin: limitOf(parts, 'minLength', Math.max) ?? 0,
        charsMax: limitOf(parts, 'maxLength', Math.min) ?? Number.POSITIVE_INFINITY,
      })
    case 'integer':
      return generateNumber(making, parts, 1)
    case 'number':
      return generateNumber(making, parts, 0.5)
    case 'boolean':
      return making.random.next() < 0.5
    case 'null':
      break
  }
  return null
}

/** One branch of each union, resolved and joined to the rest. */
function chooseBranches(making: Making, whole: Parts, depth: number): Parts | undefined {
  const parts: JsonSchema[] = []
  for (const part of whole) {
    const { anyOf, oneOf, ...rest } = part
    parts.push(rest)
    for (const union of [anyOf, oneOf]) {
      const branches = listOf(union).filter(isNode)
      if (branches.length === 0) continue
      // Deep inside, the first branch: by custom the plainest, and the way out of a recursion.
      const branch = depth > DEPTH_FULL ? branches[0] : pick(making.random, branches)
      const inner = partsOf(branch ?? false, making.root)
      if (inner === undefined || typeof inner === 'string') return undefined
      const chosen = depth > DEPTH_MAX ? undefined : chooseBranches(making, inner, depth + 1)
      if (chosen === undefined) return undefined
      parts.push(...chosen)
    }
  }
  return parts
}

/** The declared type, or the one that the keywords are about. */
function typeFor(making: Making, parts: Parts): TypeName {
  const types = declaredTypes(parts)
  const useful = types?.filter((type) => type !== 'null') ?? []
  if (types) return pick(making.random, useful.length > 0 ? useful : types) ?? 'null'
  const has = (...keywords: readonly string[]): boolean =>
    parts.some((part) => keywords.some((keyword) => keyword in part))
  if (has('properties', 'required', 'additionalProperties', 'minProperties')) return 'object'
  if (has('items', 'prefixItems', 'minItems', 'contains')) return 'array'
  if (has('minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'))
    return 'number'
  if (has('pattern', 'format', 'minLength', 'maxLength')) return 'string'
  return (
    pick(
      making.random,
      TYPES.filter((type) => type !== 'array'),
    ) ?? 'string'
  )
}

function generateObject(making: Making, parts: Parts, depth: number): unknown {
  const required = new Set(parts.flatMap((part) => stringsOf(part['required'])))
  const names = new Set([
    ...required,
    ...parts.flatMap((part) => [...mapOf(part['properties']).keys()]),
  ])
  const value: Record<string, unknown> = {}
  for (const name of names) {
    if (!required.has(name) && (making.lean || depth >= DEPTH_FULL)) continue
    const nodes = parts.map((part) => mapOf(part['properties']).get(name)).filter(isNode)
    const others = parts.map((part) => part['additionalProperties']).filter(isNode)
    const member = generate(making, { allOf: nodes.length > 0 ? nodes : others }, depth + 1)
    if (member !== NONE) define(value, name, member)
    else if (required.has(name)) return NONE
  }
  const wanted = limitOf(parts, 'minProperties', Math.max) ?? 0
  const others = parts.map((part) => part['additionalProperties']).filter(isNode)
  for (let i = 1; Object.keys(value).length < wanted && i <= wanted; i++) {
    const member = generate(making, { allOf: others }, depth + 1)
    if (member === NONE) return NONE
    define(value, `member${i}`, member)
  }
  return value
}

/** Assignment would set the prototype for a member called `__proto__`. */
const define = (target: object, name: string, value: unknown): void => {
  Object.defineProperty(target, name, {
    value,
    enumerable: true,
    writable: true,
    configurable: true,
  })
}

function generateArray(making: Making, parts: Parts, depth: number): unknown {
  const least = limitOf(parts, 'minItems', Math.max) ?? 0
  const most = limitOf(parts, 'maxItems', Math.min) ?? Number.POSITIVE_INFINITY
  const prefix = Math.max(0, ...parts.map((part) => listOf(part['prefixItems']).length))
  const usual = making.lean || depth >= DEPTH_FULL ? least : Math.max(least, prefix, 1)
  const contained = parts.map((part) => part['contains']).filter(isNode)
  const items: unknown[] = []
  while (items.length < Math.min(Math.max(usual, contained.length), most)) {
    const index = items.length
    const nodes = parts
      .map((part) => listOf(part['prefixItems'])[index] ?? part['items'])
      .filter(isNode)
    const extra = contained[index]
    const item = generate(
      making,
      { allOf: extra === undefined ? nodes : [...nodes, extra] },
      depth + 1,
    )
    if (item === NONE) return items.length >= least ? items : NONE
    items.push(item)
  }
  return items
}

function generateNumber({ random }: Making, parts: Parts, step: number): number {
  const over = limitOf(parts, 'exclusiveMinimum', Math.max)
  const under = limitOf(parts, 'exclusiveMaximum', Math.min)
  const multiple = parts.map((part) => part['multipleOf']).find((unit) => typeof unit === 'number')
  const unit = multiple ?? step
  const lowest = Math.max(limitOf(parts, 'minimum', Math.max) ?? -Infinity, over ?? -Infinity)
  const highest = Math.min(limitOf(parts, 'maximum', Math.min) ?? Infinity, under ?? Infinity)
  const from = Number.isFinite(lowest)
    ? lowest
    : Number.isFinite(highest)
      ? highest - 100 * unit
      : 1
  const to = Math.min(highest, from + 100 * unit)
  let first = Math.ceil(from / unit)
  let last = Math.floor(to / unit)
  if (first * unit === over) first++
  if (last * unit === under) last--
  if (first > last) return (lowest + highest) / 2
  const value = randomInteger(random, first, last) * unit
  // 3 * 0.1 is not a multiple of 0.1 in binary; the shortest decimal is what people mean.
  return Number(value.toPrecision(12))
}

const pick = <T>(random: Random, items: readonly T[]): T | undefined =>
  items[randomInteger(random, 0, items.length - 1)]
