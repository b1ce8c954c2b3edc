// What the handlers of the orders example wrote, read beside the runtime.
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'

export interface Effect {
  readonly consumer: string
  readonly orderId: string
  readonly status: string
  readonly messageId: string
}

/** Where the tables are: the folder of `junctura.db`, or the URL of a PostgreSQL database. */
export type EffectsPlace = { readonly dataDir: string } | { readonly databaseUrl: string }

export interface EffectsTable {
  /** In the order in which they were written. */
  read(): Promise<readonly Effect[]>
  /** `order_updates` against the rows of `warehouse`, which emits one update with each. */
  countUpdatesMissing(): Promise<number>
  close(): Promise<void>
}

type Query = (sql: string) => Promise<readonly Readonly<Record<string, unknown>>[]>

export const openEffects = async (place: EffectsPlace): Promise<EffectsTable> => {
  const { query, close } = await ('dataDir' in place
    ? openSqlite(place.dataDir)
    : openPostgres(place.databaseUrl))
  return {
    async read() {
      const rows = await query(
        'select consumer, order_id, status, message_id from order_effects order by seq',
      )
      return rows.map((row) => ({
        consumer: String(row['consumer']),
        orderId: String(row['order_id']),
        status: String(row['status']),
        messageId: String(row['message_id']),
      }))
    },
    async countUpdatesMissing() {
      const [row] = await query(
        `select (select count(*) from order_effects where consumer = 'warehouse')
          - (select coalesce(sum(updates), 0) from order_updates) as missing`,
      )
      return Number(row?.['missing'])
    },
    close,
  }
}

interface Opened {
  readonly query: Query
  readonly close: () => Promise<void>
}

const openSqlite = (dataDir: string): Promise<Opened> => {
  const db = new DatabaseSync(join(dataDir, 'junctura.db'), { readOnly: true, timeout: 10_000 })
  return Promise.resolve({
    query: (sql) => Promise.resolve(db.prepare(sql).all()),
    close: () => Promise.resolve(db.close()),
  })
}

const openPostgres = async (connectionString: string): Promise<Opened> => {
  const client = new pg.Client({ connectionString })
  await client.connect()
  return {
    query: async (sql) => {
      const { rows }: pg.QueryResult<Record<string, unknown>> = await client.query(sql)
      return rows
    },
    close: () => client.end(),
  }
}
