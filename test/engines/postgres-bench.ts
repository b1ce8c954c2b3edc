import pg from 'pg'
import { encodeRecord } from '../../src/contract/index.ts'
import { createSeededRandom, createSystemClock } from '../../src/kernel/index.ts'
import {
  createPostgresStore,
  type PostgresStoreOptions,
  type Store,
  type Unit,
} from '../../src/store/index.ts'

/** A database of a test's own, and the stores that it opened there. */
export interface PostgresBench {
  readonly url: string
  /** On the machine's clock; a lease of a second, unless the test says otherwise. */
  open(options?: Partial<PostgresStoreOptions>): Promise<Store>
  query(sql: string): Promise<readonly Record<string, unknown>[]>
  /** Closes every store that was opened. */
  close(): Promise<void>
}

export const createPostgresBench = async (
  serverUrl: string,
  database: string,
): Promise<PostgresBench> => {
  await queryAt(serverUrl, `create database ${database}`)
  const url = new URL(serverUrl)
  url.pathname = `/${database}`
  const stores: Store[] = []
  return {
    url: url.href,
    async open(options = {}) {
      const store = await createPostgresStore({
        url: url.href,
        clock: createSystemClock(),
        random: createSeededRandom(1),
        leaseMs: 1_000,
        ...options,
      })
      stores.push(store)
      return store
    },
    query: (sql) => queryAt(url.href, sql),
    async close() {
      for (const store of stores.splice(0)) await store.close()
    },
  }
}

const queryAt = async (url: string, sql: string): Promise<readonly Record<string, unknown>[]> => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const result: pg.QueryResult<Record<string, unknown>> = await client.query(sql)
    return result.rows
  } finally {
    await client.end()
  }
}

/** A record, a key and a row that say the same and commit together. */
export const unitOf = (text: string): Unit => ({
  appends: [{ channel: 'orders', slot: 0, atMs: 1, bytes: recordOf(text) }],
  claims: [{ scope: 's', key: text, expiresAtMs: Number.MAX_SAFE_INTEGER, append: 0 }],
  rows: [{ collection: 'timers', key: text, row: { owner: 'o', reference: text, dueAtMs: 1 } }],
})

/** Whether a unit is there, whole; throws when only a part of it is. */
export const holds = async (store: Store, text: string): Promise<boolean> => {
  const position = await store.claimedPosition('s', text)
  const record = position === undefined ? undefined : await store.recordAt(position)
  const row = await store.row('timers', text)
  const parts = [position, record, row].filter((part) => part !== undefined).length
  if (parts === 0 || parts === 3) return parts === 3
  throw new Error(`only a part of ${text} is there`)
}

export const statusesOf = async (
  store: Store,
  units: readonly Unit[],
): Promise<readonly string[]> => (await store.commit(units)).map(({ status }) => status)

const recordOf = (text: string): Uint8Array =>
  encodeRecord({
    head: {
      codec: 'json',
      envelope: {
        specversion: '1.0',
        id: text,
        type: 'orders.placed',
        source: '/publish',
        time: '2026-01-01T00:00:00.000Z',
        datacontenttype: 'application/json',
        contractversion: 1,
        partitionkey: text,
        correlationid: text,
        tenant: 'default',
      },
    },
    data: Buffer.from('{}'),
  })
