import type { LogRecord, Receipt } from '../contract/index.ts'
import { messageOf } from '../kernel/index.ts'
import type { DeadLetterRow } from '../store/index.ts'
import { type BodyCheck, checkBody } from './check-body.ts'
import { commitMessage, type MessageCommit } from './commit-message.ts'
import type { InboxContext } from './inbox-context.ts'
import { makeEvents } from './make-events.ts'
import { traceOf } from './message-record.ts'
import { readRecordAt } from './read-record-at.ts'
import { deadLetterWrite, describeTransformFailure } from './transform-dead-letter.ts'
import type { VerifiedRequest } from './verified-request.ts'

export type RetryTransformResult =
  /** The events are in the log and the dead letter is resolved, in one commit. */
  | { readonly kind: 'done'; readonly id: string; readonly events: number }
  /** The transform failed once more; the dead letter stays open and says why. */
  | { readonly kind: 'failed'; readonly problem: string }
  /** No such dead letter of a transform, or its webhook or its record is gone. */
  | { readonly kind: 'gone' }
  | { readonly kind: 'not-open'; readonly state: DeadLetterRow['state'] }

/** A message leaves its transform once, however often its dead letter is retried. */
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
  if (row?.stage !== 'transform') return { kind: 'gone' }
  if (row.state === 'resolved' || row.state === 'dropped') {
    return { kind: 'not-open', state: row.state }
  }
  const record = await findRecord(context, row)
  const kept = record && readKept(context, record)
  if (!kept) return { kind: 'gone' }
  if (!kept.check.ok) return writeProblem(context, row, kept.check.detail)
  const request = requestOf(kept, kept.check)
  const made = await makeEvents(context, request, row.messageId)
  if (!made.ok) return writeFailure(context, row, { request, error: made.error })
  const result = await commitMessage(context, {
    ...partsOf(context, kept),
    events: made.events,
    rows: [deadLetterWrite(resolvedRow(context, row, by))],
  })
  if (result.kind === 'taken') return { kind: 'not-open', state: 'resolved' }
  return { kind: 'done', id: row.messageId, events: result.events.length }
}

async function findRecord(
  context: InboxContext,
  row: DeadLetterRow,
): Promise<LogRecord | undefined> {
  const record = await readRecordAt(context.store, row.position)
  return record?.head.envelope.id === row.messageId ? record : undefined
}

/** A message as it was kept, read again with the contract of today. */
interface Kept {
  readonly record: LogRecord
  readonly raw: Uint8Array
  readonly receipt: Receipt
  readonly webhook: VerifiedRequest['webhook']
  readonly check: BodyCheck
}

function readKept(context: InboxContext, record: LogRecord): Kept | undefined {
  const { receipt } = record.head
  const { raw } = record
  const webhook = receipt && context.deskNamed(receipt.webhook)?.webhook
  if (!webhook || !raw) return undefined
  const header = (name: string): string | undefined => receipt.headers[name]
  const { mediaType } = receipt
  const check = checkBody(webhook, { raw, header, mediaType }, context.book)
  return { record, raw, receipt, webhook, check }
}

function requestOf(kept: Kept, check: BodyCheck & { readonly ok: true }): VerifiedRequest {
  const { raw, receipt, webhook } = kept
  const { data, text, version, key, keyCovered } = check
  return {
    webhook,
    raw,
    header: (name) => receipt.headers[name],
    mediaType: receipt.mediaType,
    receivedAtMs: receipt.receivedAtMs,
    scheme: receipt.scheme,
    data,
    text,
    version,
    key,
    keyCovered,
  }
}

function partsOf(context: InboxContext, kept: Kept): Omit<MessageCommit, 'events'> {
  const { envelope } = kept.record.head
  const nowMs = context.kernel.clock.now()
  const { transformError: _mended, ...receipt } = kept.receipt
  return {
    origin: {
      id: envelope.id,
      tenant: envelope.tenant,
      source: envelope.source,
      receivedAtMs: receipt.receivedAtMs,
      appendedAtMs: nowMs,
      correlationId: envelope.correlationid,
      causationId: envelope.causationid,
      idempotencyKey: envelope.idempotencykey,
      trace: traceOf(envelope),
    },
    // The raw bytes stay where they are; the receipt says how the message came.
    border: { receipt },
    claims: [
      {
        scope: `${context.tenant}/transform-retry`,
        key: envelope.id,
        expiresAtMs: nowMs + CLAIM_HELD_MS,
      },
    ],
  }
}

const resolvedRow = (context: InboxContext, row: DeadLetterRow, by: string): DeadLetterRow => ({
  ...row,
  state: 'resolved',
  resolvedAtMs: context.kernel.clock.now(),
  resolvedBy: by,
})

async function writeFailure(
  context: InboxContext,
  row: DeadLetterRow,
  failure: { readonly request: VerifiedRequest; readonly error: unknown },
): Promise<RetryTransformResult> {
  const words = describeTransformFailure(context, failure.request, failure.error)
  const again = { attempts: row.attempts + 1, lastFailedAtMs: context.kernel.clock.now() }
  const failed: DeadLetterRow = { ...row, ...words, ...again, state: 'open' }
  await context.committer.submit({ rows: [deadLetterWrite(failed)] })
  return { kind: 'failed', problem: messageOf(failure.error) }
}

/** The kept body does not pass the contract any more: nothing is run, and the reason is told. */
async function writeProblem(
  context: InboxContext,
  row: DeadLetterRow,
  problem: string,
): Promise<RetryTransformResult> {
  const again = { attempts: row.attempts + 1, lastFailedAtMs: context.kernel.clock.now() }
  const failed: DeadLetterRow = { ...row, ...again, errorMessage: problem, state: 'open' }
  await context.committer.submit({ rows: [deadLetterWrite(failed)] })
  return { kind: 'failed', problem }
}
