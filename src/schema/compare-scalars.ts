import { canonicalJson } from './canonical-json.ts'
import { type Difference, type Facing, type Walk, incompatible } from './comparison.ts'
import { linearPattern } from './linear-pattern.ts'
import {
  type Parts,
  type TypeName,
  declaredTypes,
  isCovered,
  limitOf,
  listOf,
  typesOf,
  valuesOf,
} from './schema-facts.ts'

/** Types, allowed values, limits and texts: everything that is not about members. */
export const compareScalars = (walk: Walk, facing: Facing): readonly Difference[] => {
  const narrowed = compareType(walk, facing)
  if (narrowed.length > 0) return narrowed
  return [
    ...compareValues(walk, facing),
    ...LIMIT_KEYWORDS.flatMap((limit) => compareLimit(walk, facing, limit)),
    ...compareText(walk, facing, 'pattern'),
    ...compareText(walk, facing, 'format'),
    ...compareMultiple(walk, facing),
  ]
}

function compareType(walk: Walk, { writer, reader, path }: Facing): readonly Difference[] {
  const allowed = declaredTypes([reader])
  if (allowed === undefined) return []
  const refused = typesOf(writer).filter((type) => !isCovered(type, allowed))
  if (refused.length === 0) return []
  const anyType = declaredTypes(writer) === undefined && valuesOf(writer) === undefined
  const sent = anyType ? 'any type' : refused.join(' or ')
  const reason = `${walk.writer} may send ${sent}, ${walk.reader} takes ${allowed.join(' or ')} only`
  return [incompatible(path, 'type-narrowed', reason)]
}

function compareValues(walk: Walk, { writer, reader, path }: Facing): readonly Difference[] {
  const allowed =
    'const' in reader ? [reader['const']] : 'enum' in reader ? listOf(reader['enum']) : undefined
  if (allowed === undefined) return []
  const rule = 'const' in reader ? 'const' : 'enum'
  const texts = new Set(allowed.map(canonicalJson))
  const sent = valuesOf(writer)
  if (sent === undefined) {
    const reason = `${walk.writer} may send any value, ${walk.reader} takes ${shown(allowed)} only`
    return [incompatible(path, `${rule}-narrowed`, reason)]
  }
  const refused = sent.filter((value) => !texts.has(canonicalJson(value)))
  if (refused.length === 0) return []
  const reason = `${walk.writer} may send ${shown(refused)}, which ${walk.reader} does not take`
  return [incompatible(path, `${rule}-value-missing`, reason)]
}

interface Limit {
  readonly keyword: string
  readonly type: TypeName
  readonly side: 'min' | 'max'
  /** What the writer promises without the keyword. */
  readonly otherwise: number
  readonly exclusive?: boolean
}

const LIMIT_KEYWORDS: readonly Limit[] = [
  { keyword: 'minimum', type: 'number', side: 'min', otherwise: Number.NEGATIVE_INFINITY },
  { keyword: 'maximum', type: 'number', side: 'max', otherwise: Number.POSITIVE_INFINITY },
  {
    keyword: 'exclusiveMinimum',
    type: 'number',
    side: 'min',
    otherwise: Number.NEGATIVE_INFINITY,
    exclusive: true,
  },
  {
    keyword: 'exclusiveMaximum',
    type: 'number',
    side: 'max',
    otherwise: Number.POSITIVE_INFINITY,
    exclusive: true,
  },
  { keyword: 'minLength', type: 'string', side: 'min', otherwise: 0 },
  { keyword: 'maxLength', type: 'string', side: 'max', otherwise: Number.POSITIVE_INFINITY },
  { keyword: 'minItems', type: 'array', side: 'min', otherwise: 0 },
  { keyword: 'maxItems', type: 'array', side: 'max', otherwise: Number.POSITIVE_INFINITY },
  { keyword: 'minProperties', type: 'object', side: 'min', otherwise: 0 },
  { keyword: 'maxProperties', type: 'object', side: 'max', otherwise: Number.POSITIVE_INFINITY },
]

function compareLimit(walk: Walk, facing: Facing, limit: Limit): readonly Difference[] {
  const { writer, reader, path } = facing
  const wanted = reader[limit.keyword]
  if (typeof wanted !== 'number' || !maySend(writer, limit.type)) return []
  const values = valuesOf(writer)
  const isPromised = values
    ? values.every((value) => measuresUp(value, limit, wanted))
    : promises(writer, limit, wanted)
  if (isPromised) return []
  const reason = `${walk.reader} has ${limit.keyword} ${wanted}, which ${walk.writer} does not promise`
  return [incompatible(path, `${limit.keyword}-narrowed`, reason)]
}

function promises(writer: Parts, limit: Limit, wanted: number): boolean {
  const strictest = limit.side === 'min' ? Math.max : Math.min
  const sign = limit.side === 'min' ? 1 : -1
  if (limit.type !== 'number') {
    const own = limitOf(writer, limit.keyword, strictest) ?? limit.otherwise
    return sign * own >= sign * wanted
  }
  const [open, closed] =
    limit.side === 'min' ? ['exclusiveMinimum', 'minimum'] : ['exclusiveMaximum', 'maximum']
  const beyond = limitOf(writer, open, strictest) ?? limit.otherwise
  const upTo = limitOf(writer, closed, strictest) ?? limit.otherwise
  if (limit.exclusive) return sign * beyond >= sign * wanted || sign * upTo > sign * wanted
  // Beyond 0 means from 1 on where only whole numbers are sent.
  const whole = typesOf(writer).includes('number') ? beyond : Math.trunc(beyond) + sign
  const isWhole = Number.isInteger(beyond) && sign * whole >= sign * wanted
  return sign * upTo >= sign * wanted || sign * beyond >= sign * wanted || isWhole
}

function measuresUp(value: unknown, limit: Limit, wanted: number): boolean {
  const size = sizeOf(value, limit.type)
  if (size === undefined) return true
  if (limit.exclusive && size === wanted) return false
  return limit.side === 'min' ? size >= wanted : size <= wanted
}

function sizeOf(value: unknown, type: TypeName): number | undefined {
  if (type === 'number') return typeof value === 'number' ? value : undefined
  // JSON Schema counts code points.
  if (type === 'string') return typeof value === 'string' ? Array.from(value).length : undefined
  if (type === 'array') return Array.isArray(value) ? value.length : undefined
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  return isObject ? Object.keys(value).length : undefined
}

const maySend = (writer: Parts, type: TypeName): boolean => {
  const types = typesOf(writer)
  return types.includes(type) || (type === 'number' && types.includes('integer'))
}

function compareText(
  walk: Walk,
  { writer, reader, path }: Facing,
  keyword: 'pattern' | 'format',
): readonly Difference[] {
  const wanted = reader[keyword]
  if (typeof wanted !== 'string' || !maySend(writer, 'string')) return []
  if (writer.some((part) => part[keyword] === wanted)) return []
  const texts = valuesOf(writer)?.filter((value) => typeof value === 'string')
  if (texts && keyword === 'pattern') {
    const pattern = linearPattern(wanted, path)
    if (texts.every((text) => pattern.test(text))) return []
  }
  const rule = `${keyword}-narrowed`
  const isFree = !texts && !writer.some((part) => 'pattern' in part || 'format' in part)
  if (isFree) {
    const reason = `${walk.reader} asks for the ${keyword} ${shown([wanted])}, ${walk.writer} does not`
    return [incompatible(path, rule, reason)]
  }
  const reason = `this cannot be compared: ${walk.reader} asks for the ${keyword} ${shown([wanted])}`
  return [{ verdict: 'unknown', path, rule, reason }]
}

function compareMultiple(walk: Walk, { writer, reader, path }: Facing): readonly Difference[] {
  const wanted = reader['multipleOf']
  if (typeof wanted !== 'number' || !maySend(writer, 'number')) return []
  const values = valuesOf(writer)?.filter((value) => typeof value === 'number')
  const own = writer.map((part) => part['multipleOf']).filter((step) => typeof step === 'number')
  const isWhole = wanted === 1 && !typesOf(writer).includes('number')
  if (isWhole || (values ?? own).some((step) => step % wanted === 0 && !values)) return []
  if (values?.every((value) => value % wanted === 0)) return []
  const reason = `${walk.reader} takes multiples of ${wanted} only`
  if (own.length === 0) return [incompatible(path, 'multiple-narrowed', reason)]
  return [{ verdict: 'unknown', path, rule: 'multiple-narrowed', reason }]
}

const shown = (values: readonly unknown[]): string => {
  const texts = values.slice(0, 10).map((value) => JSON.stringify(value))
  return texts.join(', ') + (values.length > 10 ? ` and ${values.length - 10} more` : '')
}
