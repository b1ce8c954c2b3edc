import type { Consumer } from '../contract/index.ts'
import { isJuncturaError, LIMITS, messageOf, type Random } from '../kernel/index.ts'
import { nextDelayMs } from '../policy/index.ts'

/** What a failed attempt leads to. */
export type FailureDecision =
  | { readonly kind: 'retry'; readonly delayMs: number }
  | { readonly kind: 'dead-letter'; readonly why: 'permanent' | 'attempts' }

/** An attempt that failed, in words that can be kept. */
export interface Failure {
  readonly error: unknown
  readonly name: string
  readonly message: string
  readonly stack: string
}

/** Errors that no later attempt can mend, whatever the policy says. */
const PERMANENT_CODES = [
  'JUNCTURA_TX_LEFT',
  'JUNCTURA_TX_TWICE',
  'JUNCTURA_DATA_UNREADABLE',
  'JUNCTURA_EMIT_INVALID',
  'JUNCTURA_PUSH_REFUSED',
] as const

/** Pure: the same failure and the same random stream give the same decision. */
export const decideFailure = (
  consumer: Consumer,
  attempts: number,
  failure: Failure,
  random: Random,
): FailureDecision => {
  if (isPermanent(consumer, failure.error)) return { kind: 'dead-letter', why: 'permanent' }
  const delayMs = consumer.retry && nextDelayMs(consumer.retry, attempts, random)
  if (delayMs === undefined) return { kind: 'dead-letter', why: 'attempts' }
  return { kind: 'retry', delayMs: Math.max(delayMs, askedDelayMs(failure.error)) }
}

/** What a receiver asked for with `Retry-After`, which who pushes has capped. */
function askedDelayMs(error: unknown): number {
  if (!isJuncturaError(error, 'JUNCTURA_PUSH_FAILED')) return 0
  const { retryAfterMs } = error.details
  return typeof retryAfterMs === 'number' ? retryAfterMs : 0
}

/** Whether no later attempt can mend it. */
export const isPermanent = (consumer: Consumer, error: unknown): boolean =>
  PERMANENT_CODES.some((code) => isJuncturaError(error, code)) ||
  consumer.permanent.some((one) =>
    typeof one === 'string' ? nameOf(error) === one : error instanceof one,
  )

/** Never throws, whatever was thrown. */
export const describeFailure = (error: unknown, mask: (text: string) => string): Failure => ({
  error,
  name: nameOf(error).slice(0, 200),
  message: mask(readText(() => messageOf(error))).slice(0, LIMITS.errorMessageCharsMax),
  stack: mask(readText(() => (error instanceof Error ? error.stack : ''))).slice(
    0,
    LIMITS.errorStackCharsMax,
  ),
})

const nameOf = (error: unknown): string => {
  if (isJuncturaError(error)) return error.code
  return readText(() => (error instanceof Error ? error.name : typeof error)) || 'Error'
}

/** A thrown value may be anything, also one whose fields are no text or throw when read. */
function readText(read: () => unknown): string {
  try {
    const value = read()
    return typeof value === 'string' ? value : ''
  } catch {
    return '(unreadable)'
  }
}
