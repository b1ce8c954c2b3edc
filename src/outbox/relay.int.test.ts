import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Client } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  postgresForTests,
  startPostgres,
  type PostgresEngine,
} from '../../test/engines/postgres.ts'
import { createSystemClock, LIMITS } from '../kernel/index.ts'
import { watermarkOf } from './cursor.ts'
import { outbox } from './emit.ts'
import {
  OrderPlaced,
  OUTBOX_URL,
  openRelayWorld,
  openSchema,
  type RelayWorld,
} from './outbox-world.fixture.ts'
import { openPostgresReader } from './postgres-reader.ts'

let server: Pick<PostgresEngine, 'url' | 'stop'>
let client: Client
let connect: () => Promise<Client>
const schema = 'outbox_relay'

beforeAll(async () => {
  server = await postgresForTests()
})

beforeEach(async () => {
  ;({ client, connect } = await openSchema(server.url, schema))
  return () => client.end()
})

afterAll(async () => {
  await server.stop()
})

const openWorld = (): Promise<RelayWorld> =>
  openRelayWorld({ database: OUTBOX_URL, url: server.url, schema })

const emit = (tx: Client, orderId: string, n: number): Promise<{ readonly id: string }> =>
  outbox(tx, { schema }).emit(OrderPlaced, { orderId, n })

async function emitAlone(tx: Client, orderId: string, n = 0): Promise<string> {
  await tx.query('begin')
  const { id } = await emit(tx, orderId, n)
  await tx.query('commit')
  return id
}

const until = async (isSo: () => boolean | Promise<boolean>): Promise<void> => {
  for (let tries = 0; tries < 400; tries++) {
    if (await isSo()) return
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  throw new Error('it does not come to that')
}

describe('transactions that overlap', () => {
  test('one that began earlier and commits later is moved, and holds nothing back (M7, F83)', async () => {
    const early = await connect()
    const neighbour = await connect()
    const world = await openWorld()
    await neighbour.query('begin')
    await neighbour.query('select pg_current_xact_id()')
    await early.query('begin')
    const first = await emit(early, 'a', 1)
    const behind = [await emitAlone(client, 'b'), await emitAlone(client, 'c')]

    expect((await world.logged(2)).map(({ id }) => id)).toEqual(behind)
    await until(async () => (await world.runtime.outboxes())[0]?.gaps === 1)
    await early.query('commit')

    expect((await world.logged(3)).map(({ id }) => id)).toEqual([...behind, first.id])
    await until(async () => (await world.runtime.outboxes())[0]?.gaps === 0)
    await neighbour.query('commit')
    await world.close()
    await early.end()
    await neighbour.end()
  })

  test('one with a higher id than all that ended does not lose its number', async () => {
    // The lower id commits last of those that end; the upper end of a snapshot lies below `late`.
    const late = await connect()
    const world = await openWorld()
    await client.query('begin')
    await client.query('select pg_current_xact_id()')
    await late.query('begin')
    const first = await emit(late, 'a', 1)
    const second = await emit(client, 'b', 1)
    await client.query('commit')
    await world.logged(1)
    // Longer than it takes to draw a fence and to look again, many times.
    await new Promise((resolve) => setTimeout(resolve, 500))
    await late.query('commit')

    expect((await world.logged(2)).map(({ id }) => id)).toEqual([second.id, first.id])
    await world.close()
    await late.end()
  })

  test('a gap of a rollback closes although a neighbour keeps a transaction open', async () => {
    const neighbour = await connect()
    await neighbour.query('begin')
    await neighbour.query('select pg_current_xact_id()')
    const world = await openWorld()
    await client.query('begin')
    await emit(client, 'a', 1)
    await client.query('rollback')
    await emitAlone(client, 'b')
    await world.logged(1)

    await until(async () => (await world.runtime.outboxes())[0]?.gaps === 0)

    expect((await world.runtime.outboxes())[0]).toMatchObject({ head: 2, moved: 1 })
    await neighbour.query('commit')
    await world.close()
    await neighbour.end()
  })

  test('a prepared transaction is moved when it is committed', async () => {
    const { rows } = await client.query<{ max_prepared_transactions: string }>(
      'show max_prepared_transactions',
    )
    const own = rows[0]?.max_prepared_transactions === '0' ? await startPrepared() : undefined
    const url = own?.url ?? server.url
    const one = await openSchema(url, schema)
    const world = await openRelayWorld({ database: OUTBOX_URL, url, schema })
    await one.client.query('begin')
    const { id } = await emit(one.client, 'a', 1)
    await one.client.query("prepare transaction 'left'")
    const behind = await emitAlone(one.client, 'b')
    await world.logged(1)
    // Longer than the relay takes to ask who writes.
    await new Promise((resolve) => setTimeout(resolve, 2_500))
    await one.client.query("commit prepared 'left'")

    expect((await world.logged(2)).map((each) => each.id)).toEqual([behind, id])
    await world.close()
    await one.client.end()
    await own?.stop()
  })
})

const startPrepared = (): Promise<PostgresEngine> =>
  startPostgres({ settings: { max_prepared_transactions: '5' } })

describe('rows that any language writes', () => {
  test('are checked when they are moved, and those at fault are kept and hold nothing back', async () => {
    const world = await openWorld()
    const insert = `insert into ${schema}.junctura_outbox (id, type, payload, headers) values`
    await client.query(`${insert} ('py-1', 'orders.placed', '{"orderId": "a", "n": 1}',
      '{"correlationid": "c-1", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}')`)
    await client.query(`${insert} ('py-2', 'orders.placed', '{"orderId": "a"}', null)`)
    await client.query(`${insert} ('py-3', 'orders.unknown', '{}', null)`)
    await client.query(
      `insert into ${schema}.junctura_outbox (id, type, record) values ('py-4', 'orders.placed', 'x')`,
    )
    const { rows } = await client.query<{ id: string }>(
      `select ${schema}.junctura_outbox_emit('orders.placed', '{"orderId": "b", "n": 2}') as id`,
    )

    const logged = await world.logged(2)

    expect(logged).toMatchObject([
      { id: 'py-1', key: 'a', correlationId: 'c-1' },
      { id: rows[0]?.id, key: 'b' },
    ])
    await until(async () => (await world.runtime.invalid({ limit: 9 })).items.length === 3)
    const { items } = await world.runtime.invalid({ limit: 9 })
    expect(items.map(({ reason, messageId }) => `${messageId} ${reason}`).toSorted()).toEqual([
      'py-2 schema',
      'py-3 contract',
      'py-4 syntax',
    ])
    const { items: alerts } = await world.runtime.alerts({ limit: 9 })
    expect(alerts.map(({ kind }) => kind)).toEqual(['contract-mismatch'])
    await world.close()
  })

  test('that no record could hold are refused where they are written', async () => {
    const big = JSON.stringify({ pad: 'x'.repeat(LIMITS.recordBytesMax) })

    const insert = client.query(
      `insert into ${schema}.junctura_outbox (type, payload) values ('orders.placed', $1)`,
      [big],
    )

    await expect(insert).rejects.toThrow(/check constraint/)
  })
})

describe('tables that take turns', () => {
  test('are emptied as a whole once everything in them is moved, and not before (M35, M36)', async () => {
    let nowMs = 0
    const clock = { ...createSystemClock(), monotonicMs: () => nowMs }
    const cursor = { head: 0, gaps: [] }
    const options = { name: 'shop', url: server.url, schema, clock }
    const reader = await openPostgresReader(options, cursor)
    const count = async (): Promise<number> => {
      const { rows } = await client.query<{ n: string }>(
        `select count(*) as n from ${schema}.junctura_outbox`,
      )
      return Number(rows[0]?.n)
    }
    await emitAlone(client, 'a')
    await reader.clean(cursor)
    nowMs += 3_600_000
    // Its turn ends here; the next row goes into another table.
    await reader.clean(cursor)
    await emitAlone(client, 'b')
    const page = await reader.read(cursor, { rows: 10, bytes: 1_000_000 })
    const first = page.rows[0]?.seq ?? 0

    await reader.clean({ head: first - 1, gaps: [] })
    expect(await count()).toBe(2)

    const moved = { head: first, gaps: [] }
    await reader.clean(moved)
    expect(await count()).toBe(1)
    expect(page.rows[1]?.seq).toBeGreaterThan(watermarkOf(moved) + 1)
    await reader.close()
  })
})

describe('when something dies', () => {
  test('a relay killed at any moment moves each row once, in the order of its key (M3, M28)', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'junctura-outbox-'))
    const script = join(import.meta.dirname, 'relay-child.fixture.ts')
    const sent: string[] = []
    let isOver = false
    const writer = (async () => {
      for (let n = 0; !isOver; n++) {
        await client.query('begin')
        const drafts = [0, 1, 2, 3].map((key) => OrderPlaced.of({ orderId: `k${key}`, n }))
        const ids = await outbox(client, { schema }).emitMany(drafts)
        const commits = n % 5 !== 0
        await client.query(commits ? 'commit' : 'rollback')
        if (commits) sent.push(...ids.map(({ id }) => id))
      }
    })()
    for (let round = 0; round < 8; round++) {
      const child = spawn(process.execPath, [script, server.url, schema, directory])
      await new Promise((resolve) => child.stdout.once('data', resolve))
      await new Promise((resolve) => setTimeout(resolve, 30 + Math.random() * 250))
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
    }
    isOver = true
    await writer
    const world = await openRelayWorld({
      database: OUTBOX_URL,
      url: server.url,
      schema,
      store: { engine: 'sqlite', directory },
    })
    await until(async () => (await world.runtime.outboxes())[0]?.waiting === 0)
    await world.runtime.idle()

    const ids: string[] = []
    for (let after: string | undefined; ;) {
      const page = await world.runtime.messages({ limit: 500, ...(after && { after }) })
      ids.push(...page.items.map(({ id }) => id))
      after = page.next
      if (after === undefined) break
    }
    expect(ids.length).toBeGreaterThan(100)
    // One writer, so its order is the order of every key.
    expect(ids.toReversed()).toEqual(sent)
    await world.close()
    rmSync(directory, { recursive: true, force: true })
  })

  test('a database that is away is waited for; what was committed comes when it is back', async () => {
    const engine = await startPostgres()
    const one = await openSchema(engine.url, schema)
    one.client.on('error', () => undefined)
    const world = await openRelayWorld({ database: OUTBOX_URL, url: engine.url, schema })
    const ids = [await emitAlone(one.client, 'a')]
    await world.logged(1)

    await engine.kill()
    await until(async () => (await world.runtime.outboxes())[0]?.state === 'away')
    await engine.restart()
    const again = await one.connect()
    ids.push(await emitAlone(again, 'a'))

    expect((await world.logged(2)).map(({ id }) => id)).toEqual(ids)
    expect((await world.runtime.outboxes())[0]?.state).toBe('running')
    await world.close()
    await again.end()
    await engine.stop()
  })

  test('a table that is not there is told with what to run', async () => {
    const world = await openRelayWorld({
      database: OUTBOX_URL,
      url: server.url,
      schema: 'nowhere',
    })

    await until(async () => (await world.runtime.outboxes())[0]?.state === 'away')

    const [view] = await world.runtime.outboxes()
    expect(view?.lastError).toContain('junctura outbox sql --schema nowhere | psql')
    await until(async () => (await world.runtime.alerts({ limit: 9 })).items.length === 1)
    await world.close()
  })

  test('a database that was put back from a copy stops the relay, and nobody skips rows', async () => {
    const world = await openWorld()
    await emitAlone(client, 'a')
    await emitAlone(client, 'b')
    await world.logged(2)
    await client.query(`truncate ${schema}.junctura_outbox`)
    await client.query(`alter sequence ${schema}.junctura_outbox_seq restart with 1`)
    await client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'junctura-relay shop'`,
    )

    await until(async () => (await world.runtime.outboxes())[0]?.state === 'away')

    await until(async () =>
      ((await world.runtime.outboxes())[0]?.lastError ?? '').includes('gone back in time'),
    )
    const { items } = await world.runtime.alerts({ limit: 9 })
    expect(items.map(({ kind, severity }) => `${kind} ${severity}`)).toEqual([
      'outbox-away critical',
    ])
    await world.close()
  })
})
