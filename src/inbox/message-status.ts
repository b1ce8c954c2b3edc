import { keyGroup, type LogRecord } from '../contract/index.ts'
import type { InboxContext } from './inbox-context.ts'
import { locateMessage } from './locate-message.ts'
import { salted } from './message-keys.ts'
import { readRecordAt } from './read-record-at.ts'
import type { WebhookDesk } from './webhook-desk.ts'

/** What the border knows of one accepted message. */
export interface MessageStatus {
  readonly id: string
  readonly webhook: string
  readonly key: string
  readonly position: number
  readonly receivedAtMs: number
  readonly repeats: number
  readonly lastRepeatAtMs: number | undefined
  /** `duplicate-fact` when another message had carried the same fact before. */
  readonly border: 'events' | 'no-event' | 'transform-failed' | 'duplicate-fact'
  readonly duplicateOf: string | undefined
}

const SALTS_MAX = 4

/**
 * Finds a message of one webhook by its id, or by the idempotency key its sender gave it. A message
 * of another webhook is not found.
 */
export const messageStatus = async (
  context: InboxContext,
  desk: WebhookDesk,
  idOrKey: string,
): Promise<MessageStatus | undefined> => {
  const found = (await findByKey(context, desk, idOrKey)) ?? (await findById(context, idOrKey))
  const receipt = found?.record.head.receipt
  if (!found || !receipt) return undefined
  if (keyGroup(receipt.webhook) !== keyGroup(desk.webhook.name)) return undefined
  const { envelope } = found.record.head
  const repeats = await context.repeats.countOf(receipt.webhook, envelope.id)
  return {
    id: envelope.id,
    webhook: receipt.webhook,
    key: envelope.idempotencykey ?? envelope.id,
    position: found.position,
    receivedAtMs: receipt.receivedAtMs,
    repeats: repeats?.repeats ?? 0,
    lastRepeatAtMs: repeats?.lastAtMs,
    border: borderOf(found.record),
    duplicateOf: receipt.duplicateOf,
  }
}

interface Found {
  readonly position: number
  readonly record: LogRecord
}

async function findByKey(
  { store }: InboxContext,
  desk: WebhookDesk,
  key: string,
): Promise<Found | undefined> {
  for (let salt = 0; salt < SALTS_MAX; salt++) {
    const position = await store.claimedPosition(salted(desk.scope, salt), key)
    if (position === undefined) return undefined
    const record = await readRecordAt(store, position)
    if (record?.head.envelope.idempotencykey === key) return { position, record }
  }
  return undefined
}

async function findById({ store }: InboxContext, id: string): Promise<Found | undefined> {
  const position = await locateMessage(store, id)
  const record = position === undefined ? undefined : await readRecordAt(store, position)
  return position !== undefined && record?.head.envelope.id === id
    ? { position, record }
    : undefined
}

function borderOf({ head, data }: LogRecord): MessageStatus['border'] {
  if (head.receipt?.transformError !== undefined) return 'transform-failed'
  if (head.receipt?.duplicateOf !== undefined) return 'duplicate-fact'
  return data.length > 0 ? 'events' : 'no-event'
}
