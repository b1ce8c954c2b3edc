import { JuncturaError, LIMITS } from '../kernel/index.ts'
import type { Runtime } from '../runtime/index.ts'
import { jsonAnswer } from './http-answer.ts'
import type { ManageRequest, ManageResponse } from './manage-request.ts'
import type { Parameters, ParameterSpec } from './parameters.ts'
import type { RequestFields } from './request-fields.ts'

/** What a route gets to answer with. */
export interface RouteCall {
  readonly runtime: Runtime
  readonly request: ManageRequest
  readonly fields: RequestFields
  readonly parameters: Parameters
  /** What stands for `{id}` in the path. */
  readonly id: string
  readonly hasToken: boolean
}

export interface Route {
  readonly method: 'GET' | 'POST'
  /** `{id}` stands for one segment. */
  readonly path: string
  readonly summary: string
  readonly parameters: readonly ParameterSpec[]
  /** Name of the answer's schema in the OpenAPI document. */
  readonly answer: string
  readonly handle: (call: RouteCall) => Promise<ManageResponse>
}

export const get = (
  path: string,
  about: { readonly summary: string; readonly answer: string },
  how: {
    readonly parameters?: readonly ParameterSpec[]
    readonly handle: (call: RouteCall) => Promise<object>
  },
): Route => ({
  method: 'GET',
  path,
  ...about,
  parameters: how.parameters ?? [],
  handle: async (call) => jsonAnswer(await how.handle(call)),
})

export const text = (name: string, summary: string): ParameterSpec => ({
  kind: 'text',
  name,
  summary,
})
export const choice = (
  name: string,
  allowed: readonly string[],
  summary: string,
): ParameterSpec => ({
  kind: 'choice',
  name,
  allowed,
  summary,
})
export const limit: ParameterSpec = {
  kind: 'integer',
  name: 'limit',
  minimum: 1,
  maximum: LIMITS.pageRowsMax,
  default: 50,
  summary: 'Rows in one answer.',
}
export const PAGE: readonly ParameterSpec[] = [
  limit,
  text('after', 'The `next` of the page before.'),
]
export const position = (
  name: string,
  summary: string,
  maximum: number = Number.MAX_SAFE_INTEGER,
): ParameterSpec => ({ kind: 'integer', name, minimum: 0, maximum, summary })

export const pageOf = (parameters: Parameters): { limit?: number; after?: string } => {
  const rows = parameters.integer('limit')
  const after = parameters.text('after')
  return { ...(rows !== undefined && { limit: rows }), ...(after !== undefined && { after }) }
}

/** The text parameters that were given, under their own names. */
export const given = <N extends string>(
  parameters: Parameters,
  names: readonly N[],
): { [K in N]?: string } => {
  const found: { [K in N]?: string } = {}
  for (const name of names) {
    const value = parameters.text(name)
    if (value !== undefined) found[name] = value
  }
  return found
}

export function found<T extends object>(kind: string, row: T | undefined): T {
  if (row) return row
  throw new JuncturaError('JUNCTURA_RESOURCE_UNKNOWN', { details: { kind } })
}
