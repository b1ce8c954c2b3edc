import { isJuncturaError, JuncturaError } from '../../kernel/index.ts'

/** Something that may work later: the caller tries again. */
export const unavailable = (problem: string, cause?: unknown): JuncturaError =>
  new JuncturaError('JUNCTURA_TRANSPORT_UNAVAILABLE', {
    cause,
    details: { engine: 'rabbitmq', problem },
  })

export interface Refusal {
  readonly resource: string
  readonly problem: string
  readonly fix: string
}

/** Something that will not work until a person changes it. */
export const refused = ({ resource, problem, fix }: Refusal, cause?: unknown): JuncturaError =>
  new JuncturaError('JUNCTURA_TRANSPORT_REFUSED', {
    cause,
    details: { engine: 'rabbitmq', resource, problem, fix },
  })

/** Codes of AMQP 0-9-1, section "Constants", with which the server closes a channel. */
export const REPLY = {
  accessRefused: 403,
  notFound: 404,
  resourceLocked: 405,
  preconditionFailed: 406,
  notImplemented: 540,
} as const

export const replyCodeOf = (error: unknown): number | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'number'
    ? error.code
    : undefined

/** What the server or the network said, in one line. */
export const problemOf = (error: unknown): string => {
  if (isJuncturaError(error)) {
    const { problem } = error.details
    return typeof problem === 'string' ? problem : error.message
  }
  if (!(error instanceof Error)) return String(error)
  // Several addresses of one host fail as one error without a text of its own.
  if (error instanceof AggregateError && error.message === '') {
    return error.errors.map(problemOf).join('; ')
  }
  const { message } = error
  if (message.includes('got <ConnectionClose')) {
    return 'it refused the virtual host: it is not there, or the user may not use it'
  }
  const said = /with message "(.+)"$/s.exec(message)?.[1]
  if (said !== undefined) return said
  return message === '' && 'code' in error ? String(error.code) : message
}

/** Whether the server said that this user may not connect. */
export const isLoginRefused = (error: unknown): boolean =>
  error instanceof Error &&
  (error.message.includes('ACCESS-REFUSED') || error.message.includes('got <ConnectionClose'))

/** A failed operation on something: by the reply code, a refusal or something that passes. */
export const failureOf = (resource: string, error: unknown): JuncturaError => {
  if (isJuncturaError(error)) return error
  const problem = problemOf(error)
  const fix = FIXES[replyCodeOf(error) ?? 0]
  if (fix === undefined) return unavailable(`${resource}: ${problem}`, error)
  return refused({ resource, problem, fix }, error)
}

const FIXES: Readonly<Record<number, string>> = {
  [REPLY.accessRefused]: 'grant the user the rights that the page on RabbitMQ lists',
  [REPLY.resourceLocked]: 'another connection has it for itself: end that, or choose another name',
  [REPLY.preconditionFailed]: 'delete it or choose another prefix; what is there cannot be changed',
  [REPLY.notImplemented]: 'use a durable quorum queue',
}
