import { slotOf } from '../contract/index.ts'
import { isJuncturaError, LIMITS, messageOf } from '../kernel/index.ts'
import { causeOf, formatTraceparent } from '../observe/index.ts'
import type { DeadLetterRow, RowWrite } from '../store/index.ts'
import type { InboxContext } from './inbox-context.ts'
import type { MessageOrigin } from './message-record.ts'
import type { VerifiedRequest } from './verified-request.ts'

/** How a transform failed, in words that can be kept. */
export type FailureWords = Pick<
  DeadLetterRow,
  'cause' | 'causeTitle' | 'errorName' | 'errorMessage' | 'errorStack'
>

export const describeTransformFailure = (
  context: InboxContext,
  request: VerifiedRequest,
  error: unknown,
): FailureWords => {
  const { webhook } = request
  const mask = (text: string): string => context.maskText(webhook.accepts, text, request.data)
  const errorName = nameOf(error).slice(0, LIMITS.causeCharsMax)
  const errorMessage = mask(messageOf(error)).slice(0, LIMITS.errorMessageCharsMax)
  const stack = error instanceof Error ? (error.stack ?? '') : ''
  const cause = causeOf({
    errorName,
    message: errorMessage,
    consumer: webhook.name,
    contract: webhook.accepts.name,
    version: request.version,
    stage: 'transform',
  })
  return {
    cause: cause.fingerprint,
    causeTitle: cause.label,
    errorName,
    errorMessage,
    errorStack: mask(stack).slice(0, LIMITS.errorStackCharsMax),
  }
}

const nameOf = (error: unknown): string => {
  if (isJuncturaError(error)) return error.code
  return error instanceof Error ? error.name : typeof error
}

/**
 * The dead letter of a message whose transform made no event. Its `key` is the idempotency key,
 * because a partition key is what the transform would have made. `position` is 0; the commit
 * gives it its place.
 */
export const transformDeadLetter = (
  context: InboxContext,
  request: VerifiedRequest,
  parts: { readonly origin: MessageOrigin; readonly words: FailureWords; readonly key: string },
): DeadLetterRow => {
  const { origin, words, key } = parts
  const { webhook } = request
  const desk = context.deskOf(webhook)
  const nowMs = origin.appendedAtMs
  return {
    id: context.kernel.ids.next('dead'),
    stage: 'transform',
    state: 'open',
    consumer: webhook.name,
    owner: desk.ownerName,
    messageId: origin.id,
    position: 0,
    channel: desk.channel,
    slot: slotOf(origin.tenant, origin.id),
    key,
    type: webhook.accepts.name,
    contractVersion: request.version,
    correlationId: origin.correlationId ?? origin.id,
    ...(origin.trace && { traceparent: formatTraceparent(origin.trace) }),
    attempts: 1,
    crashes: 0,
    ...words,
    receivedAtMs: request.receivedAtMs,
    firstFailedAtMs: nowMs,
    lastFailedAtMs: nowMs,
    diedAtMs: nowMs,
    modelHash: context.modelHash,
    parked: false,
  }
}

export const deadLetterWrite = (row: DeadLetterRow): RowWrite => ({
  collection: 'deadLetters',
  key: row.id,
  row,
})

/** Rows of the alert that tells the owner. */
export const alertTransformFailure = (
  context: InboxContext,
  request: VerifiedRequest,
  row: DeadLetterRow,
): readonly RowWrite[] =>
  context.raiseAlert({
    kind: 'transform',
    cause: row.cause,
    title: `Dead letter at the transform: ${row.causeTitle}`,
    webhook: request.webhook.name,
    owner: request.webhook.owner ?? request.webhook.accepts.owner,
    severity: 'critical',
    atMs: row.diedAtMs,
  })
