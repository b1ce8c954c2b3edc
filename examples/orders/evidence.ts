// What became of the messages, read from outside: effects from the database file, reasons from the
// management API.
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { DeadLetterRow, MessageView, Page } from 'junctura'
import type { RunningExample } from './running-example.ts'
import { CONSUMERS, type Effect, type Evidence, type Held } from './verdict.ts'

/** Messages asked about one by one; while more than these are missing, waiting is all there is. */
const ASKED_MAX = 20

export interface EvidenceReader {
  /** Undefined while something is neither done nor held with a reason. */
  read(acceptedIds: readonly string[]): Promise<Evidence | undefined>
  /** The effects alone, when waiting has taken too long. */
  readAsIs(): Evidence
  /** What the fourth consumer has counted in its own table. */
  countUpdates(): number
  deadLetters(): Promise<readonly DeadLetterRow[]>
  close(): void
}

export const openEvidence = (example: RunningExample, dataDir: string): EvidenceReader => {
  const db = new DatabaseSync(join(dataDir, 'junctura.db'), { readOnly: true, timeout: 5_000 })
  const readEffects = (): readonly Effect[] =>
    db
      .prepare('select consumer, order_id, message_id from order_effects order by seq')
      .all()
      .map((row) => ({
        consumer: String(row['consumer']),
        orderId: String(row['order_id']),
        messageId: String(row['message_id']),
      }))
  return {
    async read(acceptedIds) {
      const effects = readEffects()
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
    readAsIs: () => ({ effects: readEffects(), held: [] }),
    countUpdates() {
      const row = db.prepare('select sum(updates) as updates from order_updates').get()
      return Number(row?.['updates'] ?? 0)
    },
    async deadLetters() {
      return (await example.get<Page<DeadLetterRow>>('/api/v1/dead-letters')).items
    },
    close: () => db.close(),
  }
}
