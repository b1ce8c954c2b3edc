import { checkText, invalidParameter } from './parameters.ts'
import type { JsonObject } from './read-json-body.ts'

/** What a member of a body may be. The same table makes the OpenAPI document. */
export interface MemberSpec {
  readonly kind: 'text' | 'integer' | 'boolean' | 'ids' | 'object' | 'any'
  readonly isRequired?: true
  readonly minimum?: number
  readonly maximum?: number
  readonly allowed?: readonly string[]
  readonly members?: MemberSpecs
  readonly summary: string
}

export type MemberSpecs = Readonly<Record<string, MemberSpec>>

/**
 * Checks an object of a request against its table: every member known, of its kind, in range; none
 * required missing (F104). `path` names the object in what is said, empty for the body itself.
 *
 * @throws JUNCTURA_PARAMETER_INVALID naming the member, what is allowed, and the fix.
 */
export const checkMembers = (value: JsonObject, specs: MemberSpecs, path = ''): void => {
  for (const name of Object.keys(value)) {
    if (Object.hasOwn(specs, name)) continue
    const allowed = Object.keys(specs)
    throw invalidParameter(joined(path, name.slice(0, 60)), {
      problem: 'there is no such member here',
      allowed,
      fix: `Use only: ${allowed.join(', ')}.`,
    })
  }
  for (const [name, spec] of Object.entries(specs)) {
    const member = value[name]
    if (member !== undefined) checkMember(joined(path, name), member, spec)
    else if (spec.isRequired) {
      throw invalidParameter(joined(path, name), {
        problem: 'it is missing',
        allowed: wanted(spec),
        fix: `Send ${name}: ${wanted(spec)}.`,
      })
    }
  }
}

const joined = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`)

function checkMember(name: string, value: unknown, spec: MemberSpec): void {
  if (!fits(name, value, spec)) {
    const allowed = spec.allowed ?? wanted(spec)
    throw invalidParameter(name, {
      problem: `it is not ${wanted(spec)}`,
      allowed,
      fix: `Send ${wanted(spec)}.`,
    })
  }
}

function fits(name: string, value: unknown, spec: MemberSpec): boolean {
  const { minimum = 0, maximum = Number.MAX_SAFE_INTEGER, allowed } = spec
  switch (spec.kind) {
    case 'any':
      return true
    case 'boolean':
      return typeof value === 'boolean'
    case 'integer':
      return (
        typeof value === 'number' &&
        Number.isSafeInteger(value) &&
        value >= minimum &&
        value <= maximum
      )
    case 'text':
      if (typeof value !== 'string') return false
      if (allowed) return allowed.includes(value)
      return checkText(name, value).length <= maximum
    case 'ids':
      return (
        Array.isArray(value) &&
        value.length > 0 &&
        value.length <= maximum &&
        value.every((id) => typeof id === 'string' && checkText(name, id) === id)
      )
    case 'object':
    default:
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
      checkMembers({ ...value }, spec.members ?? {}, name)
      return true
  }
}

/** What is allowed, as a sentence goes on with it. */
function wanted(spec: MemberSpec): string {
  const { minimum = 0, maximum } = spec
  switch (spec.kind) {
    case 'any':
      return 'a JSON value'
    case 'boolean':
      return 'true or false'
    case 'integer':
      return maximum === undefined
        ? `an integer of at least ${minimum}`
        : `an integer from ${minimum} to ${maximum}`
    case 'text':
      if (spec.allowed) return `one of: ${spec.allowed.join(', ')}`
      return maximum === undefined ? 'a text' : `a text of 1 to ${maximum} characters`
    case 'ids':
      return `a list of 1 to ${maximum ?? 'many'} ids`
    case 'object':
    default:
      return 'an object'
  }
}
