import { isJuncturaError, JuncturaError, messageOf } from '../../kernel/index.ts'

/** It may succeed later: nothing is there, nothing answers, or the server has too much to do. */
export const unavailable = (problem: string, cause?: unknown): JuncturaError =>
  new JuncturaError('JUNCTURA_TRANSPORT_UNAVAILABLE', {
    details: { engine: 'nats', problem },
    ...(cause !== undefined && { cause }),
  })

export interface Refusal {
  readonly resource: string
  readonly problem: string
  readonly fix: string
}

/** It never succeeds as things are: somebody has to change something. */
export const refused = (refusal: Refusal, cause?: unknown): JuncturaError =>
  new JuncturaError('JUNCTURA_TRANSPORT_REFUSED', {
    details: { engine: 'nats', ...refusal },
    ...(cause !== undefined && { cause }),
  })

/** Error codes of the JetStream API. */
export const API_ERROR = {
  streamNotFound: 10_059,
  streamNameInUse: 10_058,
  notEnabledForAccount: 10_039,
  streamMismatch: 10_060,
  replicasNeedCluster: 10_074,
  repeatInBatch: 10_201,
} as const

/** Those with a status as of something that passes, which do not. */
const LASTING: ReadonlySet<number> = new Set([
  API_ERROR.notEnabledForAccount,
  API_ERROR.replicasNeedCluster,
])

export interface ApiFailure {
  /** As in HTTP: 400 to 499 says that the request was wrong. */
  readonly status: number
  readonly code: number
  readonly description: string
}

/** An answer of the API that is an error, as the client throws it. */
export const apiFailureOf = (thrown: unknown): ApiFailure | undefined => {
  if (!(thrown instanceof Error) || !('code' in thrown) || !('status' in thrown)) return undefined
  const { code, status, message } = thrown
  if (typeof code !== 'number' || typeof status !== 'number') return undefined
  return { code, status, description: message }
}

/** Names of errors of the client that mean a missing right, which only somebody else can give. */
const RIGHTS = new Set(['PermissionViolationError', 'AuthorizationError'])

/** The client wraps what the server says about a request. */
const missingRightOf = (thrown: unknown): Error | undefined => {
  if (!(thrown instanceof Error)) return undefined
  return RIGHTS.has(thrown.name) ? thrown : missingRightOf(thrown.cause)
}

/** What the client threw, as an error of the port. */
export const toBrokerError = (thrown: unknown, resource: string): JuncturaError => {
  if (isJuncturaError(thrown)) return thrown
  const missing = missingRightOf(thrown)
  if (missing) {
    const fix = 'give the user of the connection the rights that the page on NATS lists'
    return refused({ resource, problem: messageOf(missing), fix }, thrown)
  }
  const failure = apiFailureOf(thrown)
  if (failure !== undefined) return fromApiFailure(failure, resource, thrown)
  if (thrown instanceof Error && thrown.name === 'JetStreamNotEnabled') {
    // It also looks so for a moment after the server has started.
    return unavailable('JetStream does not answer: is it enabled for this account?', thrown)
  }
  return unavailable(`${resource}: ${messageOf(thrown)}`, thrown)
}

export const fromApiFailure = (
  { status, code, description }: ApiFailure,
  resource: string,
  cause?: unknown,
): JuncturaError => {
  const problem = code === 0 ? description : `${description} (${code})`
  // Too many requests, and what a leader that changes or a full disk answers.
  const mayPass = status === 408 || status === 429 || status >= 500
  if (mayPass && !LASTING.has(code)) {
    return unavailable(`${resource}: ${problem}`, cause)
  }
  const fix = 'change what the problem names; `junctura doctor` says what is expected'
  return refused({ resource, problem, fix }, cause)
}
