import { isJuncturaError, JuncturaError, messageOf } from '../../kernel/index.ts'

/** What the broker or the connection said, in the words of the port. */
export const ENGINE = 'kafka'

/** Numbers of the Kafka protocol that the driver acts on. */
export const CODES = {
  offsetOutOfRange: 1,
  unknownTopic: 3,
  topicExists: 36,
  notController: 41,
  outOfOrderSequence: 45,
  duplicateSequence: 46,
  invalidProducerEpoch: 47,
  unknownProducerId: 59,
  producerFenced: 90,
  unknownTopicId: 100,
} as const

/** Codes that mean no, however often one asks, each with what to do about it. */
const REFUSALS: Readonly<Record<number, string>> = {
  10: 'raise max.message.bytes of the topic, or send less',
  17: 'choose another prefix or channel: letters, digits, ".", "_" and "-", at most 249 characters',
  18: 'raise max.message.bytes of the topic, or send less',
  29: 'allow Read, Write, Describe, DescribeConfigs, Create and AlterConfigs on the prefix',
  31: 'allow Create on the cluster or the prefix, and Write on the topics, to the user',
  33: 'name a mechanism that the broker offers in the URL',
  35: 'use Kafka 3.5 or later',
  37: 'choose another number of partitions',
  38: 'choose a replication factor that the number of brokers allows',
  40: 'see the message of the broker',
  44: 'see the policy that the broker names',
  58: 'correct user and password in the URL',
  87: 'see the message of the broker',
}

/** The sequence numbers of this producer do not fit what the partition has. */
const SEQUENCE_CODES: ReadonlySet<number> = new Set([
  CODES.outOfOrderSequence,
  CODES.invalidProducerEpoch,
  CODES.unknownProducerId,
  CODES.producerFenced,
])

export const unavailable = (problem: string, cause?: unknown): JuncturaError =>
  new JuncturaError('JUNCTURA_TRANSPORT_UNAVAILABLE', {
    details: { engine: ENGINE, problem },
    cause,
  })

export const refused = (resource: string, problem: string, fix: string): JuncturaError =>
  new JuncturaError('JUNCTURA_TRANSPORT_REFUSED', {
    details: { engine: ENGINE, resource, problem, fix },
  })

export const isRefused = (error: unknown): boolean =>
  isJuncturaError(error, 'JUNCTURA_TRANSPORT_REFUSED')

/** An answer with an error in it. */
export interface CodedError {
  readonly code: number
  readonly name: string
}

/** The errors that a broker answered with, first to last; none for one of the network. */
export const codesOf = (error: unknown): readonly CodedError[] => {
  if (typeof error !== 'object' || error === null) return []
  const found: CodedError[] = []
  if ('apiCode' in error && typeof error.apiCode === 'number') {
    const name = 'apiId' in error ? String(error.apiId) : String(error.apiCode)
    const said = 'serverErrorMessage' in error ? error.serverErrorMessage : undefined
    found.push({ code: error.apiCode, name: typeof said === 'string' ? `${name}: ${said}` : name })
  }
  const inner: unknown = 'errors' in error ? error.errors : []
  for (const one of Array.isArray(inner) ? inner : []) found.push(...codesOf(one))
  if ('cause' in error && error.cause !== undefined) found.push(...codesOf(error.cause))
  return found
}

/** For a code that came as a part of an answer. */
export const codedError = (
  code: number,
  name: string = NAMES[code] ?? `error ${code}`,
): unknown => ({
  apiCode: code,
  apiId: name,
})

const NAMES: Readonly<Record<number, string>> = {
  1: 'OFFSET_OUT_OF_RANGE',
  3: 'UNKNOWN_TOPIC_OR_PARTITION',
  5: 'LEADER_NOT_AVAILABLE',
  6: 'NOT_LEADER_OR_FOLLOWER',
  17: 'INVALID_TOPIC_EXCEPTION',
  29: 'TOPIC_AUTHORIZATION_FAILED',
  36: 'TOPIC_ALREADY_EXISTS',
  100: 'UNKNOWN_TOPIC_ID',
}

export const hasCode = (error: unknown, code: number): boolean =>
  codesOf(error).some((one) => one.code === code)

export const isSequenceError = (error: unknown): boolean =>
  codesOf(error).some(({ code }) => SEQUENCE_CODES.has(code))

/** In the words of the port; one that is in them already stays. */
export const toPortError = (error: unknown, resource: string): JuncturaError => {
  if (isJuncturaError(error)) return error
  const codes = codesOf(error)
  for (const { code, name } of codes) {
    const fix = REFUSALS[code]
    if (fix !== undefined) return refused(resource, name, fix)
  }
  const [first] = codes
  return unavailable(first ? `${resource}: ${first.name}` : problemOf(error), error)
}

/** The innermost reason: it says ECONNREFUSED where the outer ones say that it failed. */
export const problemOf = (error: unknown): string => {
  const [coded] = codesOf(error)
  if (coded) return coded.name
  const cause = error instanceof Error ? error.cause : undefined
  if (cause instanceof Error) return `${messageOf(error)} ${problemOf(cause)}`
  return messageOf(error)
}

export const fixOf = ({ details, advice }: JuncturaError): string =>
  typeof details['fix'] === 'string' ? details['fix'] : advice

/** The answer of an API whose parser throws when one of its parts is an error. */
export const answerIn = (error: unknown): unknown =>
  typeof error === 'object' && error !== null && 'response' in error ? error.response : undefined
