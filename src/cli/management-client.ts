import { type Kernel, JuncturaError, LIMITS, utf8 } from '../kernel/index.ts'
import type { OperationCommand, OperationResult } from '../runtime/index.ts'
import type { CliIo, DialReply } from './cli-io.ts'

export type QueryValue = string | number | boolean | undefined

/** A running integration, driven through its management listener. */
export interface ManagementClient {
  readonly url: string
  /**
   * @throws JUNCTURA_UNREACHABLE when nothing answers.
   * @throws JUNCTURA_API_REFUSED when the answer is no; its own code is in `details`.
   */
  get<T>(path: string, query?: Readonly<Record<string, QueryValue>>): Promise<T>
  /** Like `get`, undefined where there is no such thing. */
  find<T>(path: string): Promise<T | undefined>
  post<T>(path: string, body: object): Promise<T>
  /** Does one journaled operation; a lost answer is asked for again under the same id. */
  operate(command: OperationCommand, by: OperationBy): Promise<OperationResult>
  /** The event stream from just after `afterId`. */
  stream(options: StreamOptions): Promise<DialReply>
}

export interface StreamOptions {
  readonly afterId: number | undefined
  /** The start of the runtime that `afterId` was seen in. */
  readonly run: number | undefined
  /** Begin with so many past events. */
  readonly newest?: number | undefined
  readonly signal: AbortSignal
}

export interface OperationBy {
  readonly actor: string
  readonly reason: string
  /** @default a fresh id */
  readonly operationId?: string
}

export interface ManagementOptions {
  /** @default JUNCTURA_MANAGEMENT_URL, else http://127.0.0.1:7071 */
  readonly managementUrl?: string
  /** On this machine. */
  readonly managementPort?: string
  /** @default JUNCTURA_TOKEN */
  readonly tokenEnv?: string
}

const DEFAULT_PORT = 7071
const DEFAULT_TOKEN_ENV = 'JUNCTURA_TOKEN'

export const createManagementClient = (
  io: Pick<CliIo, 'dial' | 'kernel'>,
  options: ManagementOptions,
): ManagementClient => {
  const url = managementUrl(io.kernel, options)
  const token = readToken(io.kernel, options)
  const headers = {
    accept: 'application/json',
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
  }
  const send = (path: string, body?: object): Promise<DialReply> =>
    io.dial({
      method: body === undefined ? 'GET' : 'POST',
      url: `${url}${path}`,
      headers: {
        ...headers,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: utf8(JSON.stringify(body)) }),
    })
  const call = async <T>(path: string, body?: object): Promise<T> => {
    const reply = await send(path, body)
    if (!isSuccess(reply)) throw await refusal(reply, url)
    return toBody(await reply.text(), url)
  }
  return {
    url,
    get: (path, query) => call(`${path}${queryString(query)}`),
    async find<T>(path: string): Promise<T | undefined> {
      const reply = await send(path)
      if (reply.status === 404) return undefined
      if (!isSuccess(reply)) throw await refusal(reply, url)
      return toBody(await reply.text(), url)
    },
    post: (path, body) => call(path, body),
    async operate(command, by) {
      const operationId = by.operationId ?? io.kernel.ids.next('op')
      const body = { command, actor: by.actor, reason: by.reason, operationId }
      try {
        return await call('/api/v1/operations', body)
      } catch (error) {
        // The answer may be lost and the work done; the id makes the repeat give the first result.
        if (!wasCutOff(error)) throw error
        return await call('/api/v1/operations', body)
      }
    },
    async stream({ afterId, run, newest, signal }) {
      const reply = await io.dial({
        method: 'GET',
        url: `${url}/api/v1/stream${queryString({ run, newest })}`,
        headers: {
          ...headers,
          accept: 'text/event-stream',
          ...(afterId !== undefined && { 'last-event-id': String(afterId) }),
        },
        signal,
      })
      if (!isSuccess(reply)) throw await refusal(reply, url)
      return reply
    },
  }
}

/** Builds `?a=1&b=2` of what is set. */
const queryString = (query: Readonly<Record<string, QueryValue>> = {}): string => {
  const set = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) set.append(name, String(value))
  }
  return set.size === 0 ? '' : `?${set.toString()}`
}

function managementUrl(kernel: Kernel, options: ManagementOptions): string {
  const { managementUrl: given, managementPort } = options
  if (given !== undefined) return checkUrl(given)
  const fromEnv = managementPort === undefined ? kernel.env('JUNCTURA_MANAGEMENT_URL') : undefined
  if (fromEnv !== undefined && fromEnv !== '') return checkUrl(fromEnv)
  return `http://127.0.0.1:${managementPort ?? DEFAULT_PORT}`
}

/** @throws JUNCTURA_USAGE when `text` is no http or https address. */
export const checkUrl = (text: string): string => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url && /^https?:$/.test(url.protocol)) return text.replace(/\/+$/, '')
  throw new JuncturaError('JUNCTURA_USAGE', {
    details: {
      problem: `${JSON.stringify(text)} is no address`,
      fix: 'write http://127.0.0.1:7071',
    },
  })
}

function readToken(kernel: Kernel, options: ManagementOptions): string | undefined {
  const token = kernel.env(options.tokenEnv ?? DEFAULT_TOKEN_ENV)
  // A name that was given and holds nothing is a mistake; the default may well be unset.
  if (options.tokenEnv !== undefined && (token === undefined || token === '')) {
    throw new JuncturaError('JUNCTURA_SECRET_MISSING', {
      details: { source: options.tokenEnv, problem: 'the environment variable is not set' },
    })
  }
  if (token === undefined || token === '') return undefined
  return token.slice(0, LIMITS.tokenCharsMax)
}

const isSuccess = (reply: DialReply): boolean => reply.status >= 200 && reply.status < 300

/** What our own listener answers is what its version of the API says; it is not checked again. */
function toBody(text: string, url: string) {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw notOurs(url, cause)
  }
}

const notOurs = (url: string, cause?: unknown): JuncturaError =>
  new JuncturaError('JUNCTURA_UNREACHABLE', {
    details: { url, problem: 'what answers is not a management listener of Junctura' },
    cause,
  })

const wasCutOff = (error: unknown): boolean =>
  error instanceof JuncturaError &&
  error.code === 'JUNCTURA_UNREACHABLE' &&
  !/ECONNREFUSED|ENOTFOUND/.test(String(error.details['problem']))

/** What the answer says is wrong: a problem document of RFC 9457, or at least its status. */
async function refusal(reply: DialReply, url: string): Promise<JuncturaError> {
  const problem = readProblem(await reply.text())
  const text = (name: string): string | undefined => {
    const value = problem[name]
    return typeof value === 'string' ? value : undefined
  }
  if (reply.status === 401 || reply.status === 403) {
    const details = {
      status: reply.status,
      code: text('code'),
      problem: text('detail') ?? 'The management listener asks for a token.',
      fix: 'Put the token into JUNCTURA_TOKEN, or name its variable: --token-env NAME',
      url,
    }
    return new JuncturaError('JUNCTURA_API_REFUSED', { details })
  }
  const said = text('detail') ?? text('title')
  if (said === undefined && reply.status === 404) return notOurs(url)
  return new JuncturaError('JUNCTURA_API_REFUSED', {
    details: {
      status: reply.status,
      code: text('code'),
      problem: said ?? `The management listener answered ${reply.status}.`,
      fix: text('fix') ?? text('advice'),
      url,
    },
  })
}

function readProblem(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    // Not JSON: something else answers there. The status is all there is to say.
    return {}
  }
}
