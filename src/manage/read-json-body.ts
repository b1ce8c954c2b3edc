import { JuncturaError, LIMITS } from '../kernel/index.ts'
import { parseJson } from '../schema/index.ts'
import type { ManageRequest } from './manage-request.ts'
import { invalidParameter } from './parameters.ts'
import type { RequestFields } from './request-fields.ts'

export type JsonObject = Readonly<Record<string, unknown>>

/**
 * The body of a call that changes something. It must say `application/json`: a form of a foreign
 * page cannot, and a script of one has to ask first and gets no answer (F144).
 *
 * @throws JUNCTURA_CONTENT_TYPE, JUNCTURA_BODY_TOO_LARGE, JUNCTURA_BODY_INCOMPLETE,
 * JUNCTURA_BODY_SYNTAX, or JUNCTURA_PARAMETER_INVALID when it is no object.
 */
export const readJsonBody = async (
  request: ManageRequest,
  fields: RequestFields,
): Promise<JsonObject> => {
  const taken = 'application/json'
  if (
    !/^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i.test(fields.header('content-type') ?? '')
  )
    throw new JuncturaError('JUNCTURA_CONTENT_TYPE', { details: { taken } })
  const maximum = LIMITS.manageBodyBytesMax
  const body = await request.readBody(maximum)
  if (body.kind === 'too-large') {
    throw new JuncturaError('JUNCTURA_BODY_TOO_LARGE', { details: { maximum } })
  }
  if (body.kind === 'incomplete') throw new JuncturaError('JUNCTURA_BODY_INCOMPLETE')
  const parsed = parseJson(body.bytes)
  if (!parsed.ok) {
    throw new JuncturaError('JUNCTURA_BODY_SYNTAX', { details: { problem: parsed.detail } })
  }
  if (isJsonObject(parsed.value)) return parsed.value
  throw invalidParameter('body', {
    problem: 'it is no object',
    allowed: 'a JSON object',
    fix: 'Send a JSON object.',
  })
}

export const isJsonObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
