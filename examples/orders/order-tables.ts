// The example's own tables, read from another process than the one that writes them.
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

export interface OrderTables {
  rows(query: string): Promise<readonly Readonly<Record<string, unknown>>[]>
  close(): Promise<void>
}

export const openOrderTables = async (store: string, dataDir: string): Promise<OrderTables> => {
  if (store === 'sqlite') {
    const path = join(dataDir, 'junctura.db')
    const db = new DatabaseSync(path, { readOnly: true, timeout: 5_000 })
    return {
      rows: async (query) => db.prepare(query).all(),
      close: async () => db.close(),
    }
  }
  const { Client } = await import('pg')
  const client = new Client({ connectionString: store })
  await client.connect()
  return {
    async rows(query) {
      const { rows } = await client.query<Record<string, unknown>>(query)
      return rows
    },
    close: () => client.end(),
  }
}
