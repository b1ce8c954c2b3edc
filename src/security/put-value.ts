import { type SignedScheme, valueAt } from '../contract/index.ts'
import { decodeUtf8, JuncturaError, utf8 } from '../kernel/index.ts'

/**
 * The JSON body with a value at a dotted path; what is on the way and missing is made.
 *
 * @throws JUNCTURA_USAGE when the body is no JSON object or array.
 */
export const putValue = (body: Uint8Array, path: string, value: unknown): Uint8Array => {
  const text = JSON.stringify(putAt(readJson(body), path.split('.'), value))
  // White space behind the JSON is part of what was given.
  const rest = body.length - trimmedLength(body)
  return utf8(text + ' '.repeat(rest))
}

function trimmedLength(body: Uint8Array): number {
  let end = body.length
  while (end > 0 && (body[end - 1] ?? 0) <= 0x20) end--
  return end
}

/** The body with its time and id, where a scheme has them there. */
export const putTimeAndId = (
  scheme: SignedScheme,
  body: Uint8Array,
  given: { readonly timestamp: string; readonly id: string },
): Uint8Array => {
  const { timestampPath, inBody } = scheme
  let put = body
  if (timestampPath !== undefined) {
    put = putValue(put, timestampPath, timeValue(scheme, put, given.timestamp))
  }
  return inBody?.id === undefined ? put : putValue(put, inBody.id, given.id)
}

/** As a number or a text, whichever the example of the body has there. */
function timeValue(scheme: SignedScheme, body: Uint8Array, timestamp: string): string | number {
  const known = valueAt(readJson(body), scheme.timestampPath ?? '')
  const isNumber = known === undefined ? scheme.timestampUnit === 'ms' : typeof known === 'number'
  return isNumber && scheme.timestampUnit !== 'iso' ? Number(timestamp) : timestamp
}

function readJson(body: Uint8Array): unknown {
  const problem = 'The scheme puts its signature into the body, which must be a JSON object'
  try {
    const value: unknown = JSON.parse(decodeUtf8(body) ?? '')
    if (typeof value === 'object' && value !== null) return value
  } catch (cause) {
    throw new JuncturaError('JUNCTURA_USAGE', { details: { problem }, cause })
  }
  throw new JuncturaError('JUNCTURA_USAGE', { details: { problem } })
}

function putAt(data: unknown, [step, ...rest]: readonly string[], value: unknown): unknown {
  if (step === undefined) return value
  const inner = valueAt(data, step)
  const put = putAt(inner, rest, value)
  if (Array.isArray(data) || (data === undefined && step === '0')) {
    const items: unknown[] = Array.isArray(data) ? [...data] : []
    items[Number(step)] = put
    return items
  }
  return { ...(typeof data === 'object' && data), [step]: put }
}
