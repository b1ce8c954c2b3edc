import type { ErrorObject } from 'ajv/dist/2020.js'
import { LIMITS } from '../kernel/index.ts'

/** One field at fault, as a problem document lists it. Holds no value of the sender's document. */
export interface FieldError {
  /** JSON Pointer of the field; for a missing one, where it should be. @see RFC 6901 */
  readonly pointer: string
  /** The JSON Schema keyword that refused it. */
  readonly keyword: string
  /** One sentence that names the field and what is allowed. */
  readonly message: string
}

/**
 * The validator's errors as field errors: each field and keyword once, at most `problemErrorsMax`.
 */
export const toFieldErrors = (errors: readonly ErrorObject[]): readonly FieldError[] => {
  const seen = new Map<string, FieldError>()
  for (const error of errors) {
    if (seen.size >= LIMITS.problemErrorsMax) break
    if (isEcho(error)) continue
    const field = toFieldError(error)
    const identity = `${field.keyword} ${field.pointer}`
    if (!seen.has(identity)) seen.set(identity, field)
  }
  // A library writes a format also as a long pattern; people understand the format.
  return [...seen.values()].filter(
    ({ keyword, pointer }) => keyword !== 'pattern' || !seen.has(`format ${pointer}`),
  )
}

/** Errors that only say that an error further in happened. */
const isEcho = (error: ErrorObject): boolean =>
  error.keyword === 'if' ||
  (error.keyword === 'propertyNames' && error.propertyName === undefined) ||
  error.keyword === '$ref'

const POINTER_CHARS_MAX = 512
const LIST_MAX = 20
const TEXT_CHARS_MAX = 200

function toFieldError(error: ErrorObject): FieldError {
  const params: Readonly<Record<string, unknown>> = error.params
  const child =
    params['missingProperty'] ??
    params['additionalProperty'] ??
    params['unevaluatedProperty'] ??
    error.propertyName
  const full =
    typeof child === 'string' ? `${error.instancePath}/${escapeToken(child)}` : error.instancePath
  // A sender chooses names, so names are capped like everything else a sender chooses.
  const pointer = full.slice(0, POINTER_CHARS_MAX)
  return {
    pointer,
    keyword: error.keyword,
    message: `${nameOf(pointer)} ${demand(error.keyword, params)}.`,
  }
}

/** The field as people write it: `lines[0].price`. */
function nameOf(pointer: string): string {
  if (pointer === '') return 'The document'
  let name = ''
  for (const token of pointer.split('/').slice(1)) {
    const plain = token.replaceAll('~1', '/').replaceAll('~0', '~')
    if (/^\d+$/.test(plain) && name !== '') name += `[${plain}]`
    else name += name === '' ? plain : `.${plain}`
  }
  return name === '' ? '""' : name
}

export const escapeToken = (name: string): string =>
  name.replaceAll('~', '~0').replaceAll('/', '~1')

/** What the keyword asks for, from the schema's side only. */
function demand(keyword: string, params: Readonly<Record<string, unknown>>): string {
  const limit = String(params['limit'])
  const text = (name: string): string => short(params[name])
  switch (keyword) {
    case 'required':
      return 'is required'
    case 'dependentRequired':
      return `is required when ${text('property')} is present`
    case 'type':
      return `must be ${typeNames(params['type'])}`
    case 'enum':
      return `must be one of ${listOf(params['allowedValues'])}`
    case 'const':
      return `must be ${text('allowedValue')}`
    case 'format':
      return `must be a valid ${String(params['format'])}`
    case 'pattern':
      return `must match the pattern ${text('pattern')}`
    case 'minLength':
      return `must have at least ${limit} character(s)`
    case 'maxLength':
      return `must have at most ${limit} character(s)`
    case 'minimum':
    case 'maximum':
    case 'exclusiveMinimum':
    case 'exclusiveMaximum':
      return `must be ${String(params['comparison'])} ${limit}`
    case 'multipleOf':
      return `must be a multiple of ${text('multipleOf')}`
    case 'minItems':
      return `must have at least ${limit} item(s)`
    case 'maxItems':
    case 'items':
    case 'unevaluatedItems':
      return `must have at most ${limit} item(s)`
    case 'uniqueItems':
      return 'must not have the same item twice'
    case 'contains':
      return `must have at least ${text('minContains')} item(s) of the required kind`
    case 'minProperties':
      return `must have at least ${limit} member(s)`
    case 'maxProperties':
      return `must have at most ${limit} member(s)`
    case 'additionalProperties':
    case 'unevaluatedProperties':
    case 'false schema':
      return 'is not allowed'
    case 'anyOf':
      return 'must match at least one of the allowed shapes'
    case 'oneOf':
      return 'must match exactly one of the allowed shapes'
    case 'not':
      return 'has a shape that is not allowed'
    default:
      return `does not satisfy "${keyword}"`
  }
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  array: 'an array',
  boolean: 'true or false',
  integer: 'a whole number',
  null: 'null',
  number: 'a number',
  object: 'an object',
  string: 'a string',
}

function typeNames(type: unknown): string {
  const names = [type].flat().map((name) => TYPE_NAMES[String(name)] ?? String(name))
  return names.join(' or ')
}

function listOf(values: unknown): string {
  if (!Array.isArray(values)) return 'the allowed values'
  const shown = values.slice(0, LIST_MAX).map(short).join(', ')
  return values.length > LIST_MAX ? `${shown} and ${values.length - LIST_MAX} more` : shown
}

function short(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > TEXT_CHARS_MAX ? `${text.slice(0, TEXT_CHARS_MAX)}…` : text
}
