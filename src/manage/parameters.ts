import { JuncturaError, LIMITS } from '../kernel/index.ts'

/** A parameter as it is checked and as the OpenAPI document shows it. */
export type ParameterSpec = { readonly name: string; readonly summary: string } & (
  | { readonly kind: 'text' }
  | { readonly kind: 'choice'; readonly allowed: readonly string[] }
  | {
      readonly kind: 'integer'
      readonly minimum: number
      readonly maximum: number
      readonly default?: number
    }
)

/** The parameters of one request, every one of them known and in range. */
export interface Parameters {
  text(name: string): string | undefined
  integer(name: string): number | undefined
  choice<T extends string>(name: string, allowed: readonly T[]): T | undefined
}

/**
 * Reads a query string. Nothing is ignored: a misspelt name would answer another question than the
 * one that was asked (F104).
 *
 * @throws JUNCTURA_PARAMETER_INVALID naming the parameter, what is allowed, and the fix.
 */
export const readParameters = (query: string, specs: readonly ParameterSpec[]): Parameters => {
  const values = new Map<string, string>()
  for (const part of query === '' ? [] : query.split('&')) {
    const at = part.indexOf('=')
    const name = decodeText(at < 0 ? part : part.slice(0, at), 'the query')
    const spec = specs.find((one) => one.name === name)
    if (!spec) throw unknownParameter(name, specs)
    const value = decodeText(at < 0 ? '' : part.slice(at + 1), name)
    if (values.has(name)) {
      throw invalidParameter(name, { problem: 'it is given twice', fix: `Send ${name} once.` })
    }
    checkValue(spec, value)
    values.set(name, value)
  }
  return {
    text: (name) => values.get(name),
    integer(name) {
      const value = values.get(name)
      return value === undefined ? undefined : Number(value)
    },
    choice: (name, allowed) => allowed.find((one) => one === values.get(name)),
  }
}

export interface ParameterFault {
  readonly problem: string
  readonly allowed?: readonly string[] | string
  readonly fix: string
}

export const invalidParameter = (parameter: string, fault: ParameterFault): JuncturaError =>
  new JuncturaError('JUNCTURA_PARAMETER_INVALID', { details: { parameter, ...fault } })

function unknownParameter(name: string, specs: readonly ParameterSpec[]): JuncturaError {
  const allowed = specs.map((spec) => spec.name)
  const fix = allowed.length === 0 ? 'Send no parameter.' : `Use one of: ${allowed.join(', ')}.`
  return invalidParameter(shown(name), { problem: 'there is no such parameter here', allowed, fix })
}

function checkValue(spec: ParameterSpec, value: string): void {
  if (spec.kind === 'choice' && !spec.allowed.includes(value)) {
    throw invalidParameter(spec.name, {
      problem: 'the value is none of the allowed ones',
      allowed: spec.allowed,
      fix: `Use one of: ${spec.allowed.join(', ')}.`,
    })
  }
  if (spec.kind === 'integer') checkInteger(spec.name, value, spec)
  if (spec.kind === 'text') checkText(spec.name, value)
}

function checkInteger(
  name: string,
  value: string,
  range: { readonly minimum: number; readonly maximum: number },
): void {
  const { minimum, maximum } = range
  const number = Number(value)
  if (/^\d{1,16}$/.test(value) && number >= minimum && number <= maximum) return
  throw invalidParameter(name, {
    problem: `the value is no integer from ${minimum} to ${maximum}`,
    allowed: `${minimum} to ${maximum}`,
    fix: `Send an integer from ${minimum} to ${maximum}.`,
  })
}

/** @throws JUNCTURA_PARAMETER_INVALID when it is empty or longer than LIMITS.parameterCharsMax. */
export const checkText = (name: string, value: string): string => {
  if (value.length > 0 && value.length <= LIMITS.parameterCharsMax) return value
  throw invalidParameter(name, {
    problem: value === '' ? 'it is empty' : 'the value is too long',
    allowed: `1 to ${LIMITS.parameterCharsMax} characters`,
    fix: `Leave ${name} out, or send 1 to ${LIMITS.parameterCharsMax} characters.`,
  })
}

/** Text of a URL, as a form or a program writes it. */
const decodeText = (text: string, parameter: string): string => {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    // A percent sign that encodes nothing, or bytes that are no UTF-8.
    throw invalidParameter(parameter, {
      problem: 'the percent-encoding is broken',
      fix: 'Encode it as UTF-8 with encodeURIComponent.',
    })
  }
}

const shown = (name: string): string => (name.length > 60 ? `${name.slice(0, 60)}…` : name)
