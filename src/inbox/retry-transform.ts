import type { LogRecord } from '../contract/index.ts'
import { isJuncturaError, JuncturaError, messageOf } from '../kernel/index.ts'
import { parseTraceparent } from '../observe/index.ts'
import type { DeadLetterRow } from '../store/index.ts'
import { checkBody } from './check-body.ts'
import { commitMessage } from './commit-message.ts'
import type { InboxContext } from './inbox-context.ts'
import { locateMessage } from './locate-message.ts'
import { makeEvents } from './make-events.ts'
import { webhookScope } from './message-keys.ts'
import { readRecordAt } from './read-record-at.ts'
import { deadLetterWrite, describeTransformFailure } from './transform-dead-letter.ts'
import type { VerifiedRequest } from './verified-request.ts'

export type RetryTransformResult =
  /** The events are in the log and the dead letter is resolved, in one commit. */
  | { readonly kind: 'done'; readonly id: string; readonly events: number }
  | { readonly kind: 'failed'; readonly error: unknown }
  /** Its webhook, or its record, is gone. */
  | { readonly kind: 'gone' }
  | { readonly kind: 'not-open'; readonly state: DeadLetterRow['state'] }

/** A message goes through its transform once, however often its dead letter is retried. */
const CLAIM_HELD_MS = 365 * 86_400_000

/**
 * Runs the transform of a dead letter again, after a mend. The events get the message's own id and
 * receipt time, so that what follows is the same as if the first run had succeeded.
 */
export const retryTransform = async (
  context: InboxContext,
  deadLetterId: string,
  by: string,
): Promise<RetryTransformResult> => {
  const row = await context.store.row('deadLetters', deadLetterId)
  if (!row || row.stage !== 'transform') return { kind: 'gone' }
  if (row.state === 'resolved' || row.state === 'dropped') {
    return { kind: 'not-open', state: row.state }
  }
  const record = await findRecord(context, row)
  const request = record && requestOf(context, record)
  if (!record || !request) return { kind: 'gone' }
  if ('error' in request) return fail(context, row, { request: undefined, error: request.error })
  const made = await makeEvents(context, request, row.messageId)
  if (!made.ok) return fail(context, row, { request, error: made.error })
  const nowMs = context.kernel.clock.now()
  const { envelope, receipt } = record.head
  const resolved = { ...row, state: 'resolved', resolvedAtMs: nowMs, resolvedBy: by } as const
  const claim = {
    scope: `${context.tenant}/transform-retry`,
    key: row.messageId,
    expiresAtMs: nowMs + CLAIM_HELD_MS,
  }
  const { transformError: _, ...cleanReceipt } = receipt ?? {}
  const result = await commitMessage(context, {
    origin: {
      id: envelope.id,
      tenant: envelope.tenant,
      source: envelope.source,
      receivedAtMs: request.receivedAtMs,
      appendedAtMs: nowMs,
      correlationId: envelope.correlationid,
      causationId: envelope.causationid,
      idempotencyKey: envelope.idempotencykey,
      trace: request.trace,
    },
    events: made.events,
    ...(receipt && { border: { receipt: { ...receipt, ...cleanReceipt } } }),
    claims: made.events.length > 0 ? [claim] : [],
    rows: [deadLetterWrite(resolved)],
  })
  if (result.kind === 'taken') return { kind: 'not-open', state: 'resolved' }
  return { kind: 'done', id: envelope.id, events: result.events.length }
}
