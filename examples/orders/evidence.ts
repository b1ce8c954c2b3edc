// What became of the messages, read from outside: effects from the database, reasons from the
// management API.
import type { DeadLetterRow, MessageView, Page } from 'junctura'
import type { OrderTables } from './order-tables.ts'
import type { RunningExample } from './running-example.ts'
import { CONSUMERS, type Effect, type Evidence, type Held } from './verdict.ts'

/** Messages asked about one by one; while more than these are missing, waiting is all there is. */
const ASKED_MAX = 20

export interface EvidenceReader {
  /** Undefined while something is neither done nor held with a reason. */
  read(acceptedIds: readonly string[]): Promise<Evidence | undefined>
  /** The effects alone, when waiting has taken too long. */
  readAsIs(): Promise<Evidence>
  /** What the fourth consumer has counted in its own table. */
  countUpdates(): Promise<number>
  deadLetters(): Promise<readonly DeadLetterRow[]>
}

export const readEvidence = (example: RunningExample, tables: OrderTables): EvidenceReader => {
  const readEffects = async (): Promise<readonly Effect[]> => {
    const rows = await tables.rows(
      'select consumer, order_id, message_id from order_effects order by seq',
    )
    return rows.map((row) => ({
      consumer: String(row['consumer']),
      orderId: String(row['order_id']),
      messageId: String(row['message_id']),
    }))
  }
  return {
    async read(acceptedIds) {
      const effects = await readEffects()
      const done = new Set(effects.map((one) => `${one.consumer} ${one.messageId}`))
      const missing = acceptedIds.filter((id) =>
        CONSUMERS.some((name) => !done.has(`${name} ${id}`)),
      )
      if (missing.length > ASKED_MAX) return undefined
      const held: Held[] = []
      for (const messageId of missing) {
        const view = await example.get<MessageView>(`/api/v1/messages/${messageId}`)
        for (const { consumer, status } of view.consumers) {
          if (status === 'dead' || status === 'parked') held.push({ consumer, messageId, status })
          else if (!done.has(`${consumer} ${messageId}`)) return undefined
        }
      }
      return { effects, held }
    },
    readAsIs: async () => ({ effects: await readEffects(), held: [] }),
    async countUpdates() {
      const [row] = await tables.rows('select sum(updates) as updates from order_updates')
      return Number(row?.['updates'] ?? 0)
    },
    async deadLetters() {
      return (await example.get<Page<DeadLetterRow>>('/api/v1/dead-letters')).items
    },
  }
}
