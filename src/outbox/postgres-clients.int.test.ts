import { drizzle as drizzlePg } from 'drizzle-orm/node-postgres'
import { drizzle as drizzlePostgresJs } from 'drizzle-orm/postgres-js'
import { Kysely, PostgresDialect } from 'kysely'
import { Pool } from 'pg'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { postgresForTests, type PostgresEngine } from '../../test/engines/postgres.ts'
import { outbox } from './emit.ts'
import type { TransactionHandle } from './handle.ts'
import { OrderPlaced, OUTBOX_URL, openRelayWorld, openSchema } from './outbox-world.fixture.ts'
import { inbox } from './process-once.ts'

let server: Pick<PostgresEngine, 'url' | 'stop'>

beforeAll(async () => {
  server = await postgresForTests()
})

afterAll(async () => {
  await server.stop()
})

/** Runs work in a transaction of a client; it rolls back when the work throws. */
type InTransaction = (work: (tx: TransactionHandle) => Promise<unknown>) => Promise<unknown>

interface Opened {
  readonly inTransaction: InTransaction
  /** The client itself, outside any transaction. */
  readonly root: object
  close(): Promise<unknown>
}

const CLIENTS: Readonly<Record<string, (url: string) => Opened>> = {
  pg: (url) => {
    const pool = new Pool({ connectionString: url })
    return {
      root: pool,
      close: () => pool.end(),
      inTransaction: async (work) => {
        const client = await pool.connect()
        try {
          await client.query('begin')
          await work(client)
          await client.query('commit')
        } catch (error) {
          await client.query('rollback')
          throw error
        } finally {
          client.release()
        }
      },
    }
  },
  'postgres.js': (url) => {
    const sql = postgres(url, { onnotice: () => undefined })
    return { root: sql, close: () => sql.end(), inTransaction: (work) => sql.begin(work) }
  },
  Kysely: (url) => {
    const dialect = new PostgresDialect({ pool: new Pool({ connectionString: url }) })
    const db = new Kysely<Record<string, never>>({ dialect })
    return {
      root: db,
      close: () => db.destroy(),
      inTransaction: (work) => db.transaction().execute(work),
    }
  },
  'Drizzle on pg': (url) => {
    const pool = new Pool({ connectionString: url })
    const db = drizzlePg(pool)
    return { root: db, close: () => pool.end(), inTransaction: (work) => db.transaction(work) }
  },
  'Drizzle on postgres.js': (url) => {
    const sql = postgres(url, { onnotice: () => undefined })
    const db = drizzlePostgresJs(sql)
    return { root: db, close: () => sql.end(), inTransaction: (work) => db.transaction(work) }
  },
}

describe.each(Object.entries(CLIENTS))('with %s', (name, open) => {
  const schema = `outbox_${name.replace(/\W+/g, '_').toLowerCase()}`

  test('what commits is in the log once, in order, and what is rolled back never is (M1)', async () => {
    const { client } = await openSchema(server.url, schema)
    const { inTransaction, close } = open(server.url)
    const world = await openRelayWorld({ database: OUTBOX_URL, url: server.url, schema })
    const sent: string[] = []

    await inTransaction(async (tx) => {
      sent.push((await outbox(tx, { schema }).emit(OrderPlaced, { orderId: 'a', n: 1 })).id)
      const drafts = [2, 3].map((n) => OrderPlaced.of({ orderId: 'a', n }))
      sent.push(...(await outbox(tx, { schema }).emitMany(drafts)).map(({ id }) => id))
    })
    const undone = inTransaction(async (tx) => {
      await outbox(tx, { schema }).emit(OrderPlaced, { orderId: 'a', n: 4 })
      throw new Error('changed my mind')
    })
    await expect(undone).rejects.toThrow('changed my mind')
    await inTransaction(async (tx) => {
      sent.push((await outbox(tx, { schema }).emit(OrderPlaced, { orderId: 'a', n: 5 })).id)
    })

    const logged = await world.logged(4)
    await world.runtime.idle()
    expect((await world.logged(4)).map(({ id }) => id)).toEqual(sent)
    expect(logged.map(({ key, type }) => `${type} ${key}`)).toEqual(
      sent.map(() => 'orders.placed a'),
    )
    await world.close()
    await close()
    await client.end()
  })

  test('a message is processed once, and again when its transaction was rolled back', async () => {
    const { client } = await openSchema(server.url, schema)
    const { inTransaction, close } = open(server.url)
    let runs = 0
    const statuses: string[] = []
    const once = (consumer: string, fail = false): Promise<unknown> =>
      inTransaction(async (tx) => {
        const work = (): number => (runs += 1)
        const { status } = await inbox(tx, { schema }).process('msg_1', work, { consumer })
        if (fail) throw new Error('no')
        statuses.push(status)
      })

    await expect(once('ledger', true)).rejects.toThrow('no')
    await once('ledger')
    await once('ledger')
    await once('mailer')

    expect(statuses).toEqual(['processed', 'duplicate', 'processed'])
    expect(runs).toBe(3)
    await close()
    await client.end()
  })

  test('the client itself is refused: nothing would bind the message to the business data', async () => {
    const { root, close } = open(server.url)

    expect(() => outbox(root as never)).toThrow(/not in a transaction/)
    await close()
  })
})
