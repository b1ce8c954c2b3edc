import { fromBase64 } from '../kernel/index.ts'
import type { InvalidRow } from '../store/index.ts'
import { type BodyError, checkBody } from './check-body.ts'
import type { InboxContext } from './inbox-context.ts'
import type { AcceptResult, VerifiedRequest } from './verified-request.ts'

export type ReadmitResult =
  | Exclude<AcceptResult, { kind: 'in-flight' }>
  | { readonly kind: 'still-invalid'; readonly errors: readonly BodyError[] }
  | { readonly kind: 'not-found' | 'webhook-gone' | 'busy' }
  /** Somebody else has dealt with it. */
  | { readonly kind: 'not-open'; readonly state: InvalidRow['state'] }

/**
 * Puts a kept request through the border again, with the id and the receipt time it had. Its
 * signature was checked when it came and is not checked again. What was kept as a conflict goes in
 * as a message of its own: a person has judged it.
 */
export const readmitInvalid = async (
  context: InboxContext,
  invalidId: string,
  accept: (request: VerifiedRequest) => Promise<AcceptResult>,
): Promise<ReadmitResult> => {
  const row = await context.store.row('invalid', invalidId)
  if (!row) return { kind: 'not-found' }
  if (row.state !== 'open') return { kind: 'not-open', state: row.state }
  const webhook = context.deskNamed(row.webhook)?.webhook
  if (!webhook) return { kind: 'webhook-gone' }
  const raw = fromBase64(row.body)
  const header = (name: string): string | undefined => row.headers[name]
  const { mediaType } = row
  const check = checkBody(webhook, { raw, header, mediaType }, context.book)
  if (!check.ok) return { kind: 'still-invalid', errors: check.errors }
  const messageId = row.messageId ?? context.kernel.ids.next('msg')
  const { data, text, version, key, keyCovered } = check
  const result = await accept({
    webhook,
    raw,
    header,
    mediaType: row.mediaType,
    receivedAtMs: row.receivedAtMs,
    scheme: row.scheme,
    ...(row.signedAtMs !== undefined && { signedAtMs: row.signedAtMs }),
    data,
    text,
    version,
    key,
    keyCovered,
    readmission: {
      invalidId,
      messageId,
      asNew: row.reason === 'conflict',
      rows: [resolvedRow(context, row, messageId)],
    },
  })
  if (result.kind === 'in-flight') return { kind: 'busy' }
  if (result.kind === 'duplicate') {
    // The sender has sent it again meanwhile: nothing was committed, so the row is on its own.
    await context.committer.submit({ rows: [resolvedRow(context, row, result.id ?? messageId)] })
  }
  return result
}

const resolvedRow = (context: InboxContext, row: InvalidRow, messageId: string) =>
  ({
    collection: 'invalid',
    key: row.id,
    row: { ...row, state: 'readmitted', messageId, resolvedAtMs: context.kernel.clock.now() },
  }) as const
