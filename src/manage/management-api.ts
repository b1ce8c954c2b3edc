import { isJuncturaError, JuncturaError, LIMITS, messageOf } from '../kernel/index.ts'
import type { Runtime } from '../runtime/index.ts'
import { answerErrorPage, isErrorPath } from './error-page.ts'
import { assetAnswer, jsonAnswer, problemAnswer } from './http-answer.ts'
import type { ManageRequest, ManageResponse } from './manage-request.ts'
import { readPageAssets } from './page-assets.ts'
import { readParameters } from './parameters.ts'
import { createRequestGuard, type RequestGuard } from './request-guard.ts'
import { type RequestFields, readRequestFields } from './request-fields.ts'
import type { Route, RouteCall } from './route.ts'
import { ROUTES } from './routes.ts'

export interface ManagementApiOptions {
  readonly runtime: Runtime
  /**
   * Asked of every call but the two probes, the page's own files and the meanings of codes.
   *
   * @minimum 8 characters
   */
  readonly token?: string
}

export interface ManagementApi {
  /** Whether calls need a token, and so may come from other machines. */
  readonly requiresToken: boolean
  /** Answers one request. Never rejects: what goes wrong is a problem document (RFC 9457). */
  handle(request: ManageRequest): Promise<ManageResponse>
}

/**
 * The management API as a function from request to response: health, metrics, views, operations,
 * the event stream, and the page that shows them. It holds no state but its token. A process with
 * neither the role console nor worker answers only probes and metrics.
 *
 * Order of work: headers, host, page files, probes and codes, token, origin, route, parameters.
 *
 * @throws JUNCTURA_SECRET_WEAK, JUNCTURA_SECRET_INVALID when the token is no usable one.
 * @see docs/reference/management-api.md
 */
export const createManagementApi = (options: ManagementApiOptions): ManagementApi => {
  const { runtime } = options
  const guard = createRequestGuard(options.token)
  // Whoever runs the consumers is asked for what only they can do.
  const isConsole = runtime.roles.some((role) => role === 'console' || role === 'worker')
  const assets = isConsole ? readPageAssets() : new Map<string, never>()
  const answer = async (request: ManageRequest): Promise<ManageResponse> => {
    const fields = readRequestFields(request)
    guard.checkHost(fields)
    const asset = assets.get(fields.path)
    if (asset) {
      if (!isReading(request.method)) return notAllowed(['GET', 'HEAD'])
      return assetAnswer(asset.bytes, asset.contentType)
    }
    if (fields.path === '/healthz' || fields.path === '/readyz') {
      if (!isReading(request.method)) return notAllowed(['GET', 'HEAD'])
      return probe(runtime, fields, guard)
    }
    if (isErrorPath(fields.path)) {
      if (!isReading(request.method)) return notAllowed(['GET', 'HEAD'])
      readParameters(fields.query, [])
      return answerErrorPage(fields)
    }
    if (!isConsole && fields.path !== METRICS_PATH)
      throw new JuncturaError('JUNCTURA_ROUTE_UNKNOWN')
    if (!guard.isAuthorized(fields)) throw new JuncturaError('JUNCTURA_TOKEN_REQUIRED')
    guard.checkOrigin(fields)
    return callRoute({ runtime, request, fields, hasToken: guard.requiresToken })
  }
  return {
    requiresToken: guard.requiresToken,
    async handle(request) {
      try {
        return await answer(request)
      } catch (error) {
        tell(runtime, request, error)
        return problemAnswer(error)
      }
    },
  }
}

const METRICS_PATH = '/metrics'

const isReading = (method: string): boolean => method === 'GET' || method === 'HEAD'

/** Probes carry no token. Why it is not ready is for those who have one. */
function probe(runtime: Runtime, fields: RequestFields, guard: RequestGuard): ManageResponse {
  readParameters(fields.query, [])
  if (fields.path === '/healthz') {
    const isAlive = runtime.isAlive()
    return jsonAnswer({ status: isAlive ? 'alive' : 'stopped' }, isAlive ? 200 : 503)
  }
  const { ready, reasons } = runtime.readiness()
  const shown = guard.isAuthorized(fields) ? { reasons } : {}
  return jsonAnswer({ status: ready ? 'ready' : 'not-ready', ...shown }, ready ? 200 : 503)
}

interface Matched {
  readonly route: Route
  readonly id: string
}

type Call = Omit<RouteCall, 'parameters' | 'id'>

function callRoute(call: Call): Promise<ManageResponse> | ManageResponse {
  const { request, fields } = call
  const matches = ROUTES.flatMap((route) => matchRoute(route, fields.path))
  // A fixed segment wins over `{id}`: `groups` is no id.
  const [first] = matches.filter(({ route }) => route.path === fields.path)
  const candidates = first ? matches.filter(({ id }) => id === '') : matches
  if (candidates.length === 0) throw new JuncturaError('JUNCTURA_ROUTE_UNKNOWN')
  const wanted = request.method === 'HEAD' ? 'GET' : request.method
  const hit = candidates.find(({ route }) => route.method === wanted)
  const isStreamHead = request.method === 'HEAD' && hit?.route.answer === 'stream'
  if (!hit || isStreamHead) return notAllowed(allowedMethods(candidates))
  const parameters = readParameters(fields.query, hit.route.parameters)
  return hit.route.handle({ ...call, parameters, id: hit.id })
}

/** Paths are compared byte for byte; only the id is decoded (F102). */
function matchRoute(route: Route, path: string): readonly Matched[] {
  if (route.path === path) return [{ route, id: '' }]
  if (!route.path.endsWith('/{id}')) return []
  const parent = route.path.slice(0, -'{id}'.length)
  const rest = path.startsWith(parent) ? path.slice(parent.length) : ''
  if (rest === '' || rest.includes('/')) return []
  const id = decodeId(rest)
  return id === undefined ? [] : [{ route, id }]
}

function decodeId(text: string): string | undefined {
  try {
    const id = decodeURIComponent(text)
    return id.length <= LIMITS.parameterCharsMax ? id : undefined
  } catch {
    // A percent sign that encodes nothing names nothing.
    return undefined
  }
}

const allowedMethods = (matches: readonly Matched[]): readonly string[] =>
  matches.flatMap(({ route }) => {
    if (route.method !== 'GET') return [route.method]
    return route.answer === 'stream' ? ['GET'] : ['GET', 'HEAD']
  })

/** Also for OPTIONS: without CORS headers a browser lets no foreign page go on. */
const notAllowed = (methods: readonly string[]): ManageResponse =>
  problemAnswer(new JuncturaError('JUNCTURA_METHOD_NOT_ALLOWED'), { allow: methods.join(', ') })

/** A refusal is the caller's; what fails on our side is the operator's to know. */
function tell(runtime: Runtime, request: ManageRequest, error: unknown): void {
  if (isJuncturaError(error) && error.status < 500) return
  const [path] = request.target.split('?')
  const fields = { method: request.method, path, problem: messageOf(error), error }
  runtime.kernel.log.error(fields, 'a management request failed')
}
