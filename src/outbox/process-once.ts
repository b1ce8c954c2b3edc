import { OUTBOX_SCHEMA } from '../contract/index.ts'
import { JuncturaError, LIMITS } from '../kernel/index.ts'
import { recogniseHandle, type TransactionHandle } from './handle.ts'
import { inboxInsert } from './outbox-sql.ts'

export interface InboxHandleOptions {
  /** Schema of the table; PostgreSQL only. @default 'public' */
  readonly schema?: string
}

export interface ProcessOptions {
  /** Who processes: each consumer processes a message once. */
  readonly consumer: string
}

export type Processed<T> =
  | { readonly status: 'processed'; readonly result: T }
  /** It was processed before; the function was not called. */
  | { readonly status: 'duplicate' }

/** The user's own transaction, as a record of what was processed. */
export interface InboxHandle {
  /**
   * Runs `work` unless this consumer has processed the message before. The note that it has is
   * written first, in the same transaction: what `work` does commits with it, or neither does, and
   * of two at once the second waits for the first. A note is found for at least two weeks.
   *
   * When `work` throws, so does this; the transaction must then be rolled back, or the message
   * would count as processed.
   *
   * @throws JUNCTURA_USAGE for an empty or too long id or consumer.
   */
  process<T>(
    messageId: string,
    work: () => T | Promise<T>,
    options: ProcessOptions,
  ): Promise<Processed<T>>
}

/**
 * Exactly-once effects for business data in another database than the store: inside a handler of
 * ours with a client of the user's own, or in any other process. The table is made by the
 * statements of `junctura outbox sql`.
 *
 * @throws JUNCTURA_OUTBOX_HANDLE when `tx` is no open transaction of a known client.
 * @example await inbox(tx).process(ctx.message.id, () => book(tx, order), { consumer: 'ledger' })
 */
export const inbox = (tx: TransactionHandle, options: InboxHandleOptions = {}): InboxHandle => {
  const handle = recogniseHandle(tx)
  const insert = inboxInsert(handle.dialect, options.schema ?? OUTBOX_SCHEMA)
  const fresh = handle.dialect === 'sqlite' ? 1 : 2
  return {
    async process(messageId, work, { consumer }) {
      const values = [checkText(consumer, 'consumer'), checkText(messageId, 'messageId')]
      const written = await handle.run(insert, values)
      if (written !== fresh) return { status: 'duplicate' }
      return { status: 'processed', result: await work() }
    },
  }
}

function checkText(value: unknown, field: string): string {
  if (typeof value === 'string' && value !== '' && value.length <= LIMITS.messageIdCharsMax) {
    return value
  }
  const problem = `inbox(tx).process: ${field} is no text of 1 to ${LIMITS.messageIdCharsMax} characters`
  throw new JuncturaError('JUNCTURA_USAGE', { details: { problem } })
}
