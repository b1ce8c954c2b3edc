import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type PostgresEngine, startPostgres } from '../../../test/engines/postgres.ts'
import {
  createPostgresBench,
  holds,
  type PostgresBench,
  statusesOf,
  unitOf,
} from '../../../test/engines/postgres-bench.ts'
import { sql } from '../../contract/index.ts'
import { createSeededRandom, createSystemClock, LIMITS, must } from '../../kernel/index.ts'
import {
  createPostgresStore,
  POSTGRES_FEATURES,
  type PostgresStoreOptions,
  type Store,
  type Unit,
} from '../index.ts'

let engine: PostgresEngine | undefined
let bench: PostgresBench | undefined
let databases = 0

beforeAll(async () => {
  engine = await startPostgres()
})

afterAll(async () => {
  await engine?.stop()
})

beforeEach(async () => {
  databases += 1
  bench = await createPostgresBench(theServer().url, `store_${databases}`)
})

afterEach(async () => {
  await bench?.close()
})

const theServer = (): PostgresEngine => must(engine, 'the server runs')
const theBench = (): PostgresBench => must(bench, 'a test has a database')
const open = (options?: Partial<PostgresStoreOptions>): Promise<Store> => theBench().open(options)
const query = (text: string): Promise<readonly object[]> => theBench().query(text)

const statement = (text: string): Unit => ({
  tx: async (db) => {
    await db.run(text)
    return {}
  },
})

describe('statements of the user', () => {
  const orders = sql({
    name: 'orders',
    sqlite: 'create table orders (id text)',
    postgres: 'create table orders (id text primary key, parent text)',
  })

  it('run in the schema public, also after one has changed the search path', async () => {
    const store = await open()
    await store.migrate([orders])

    const outcomes = await statusesOf(store, [
      statement(`set search_path = junctura`),
      statement(`insert into orders (id) values ('a')`),
    ])

    expect(outcomes).toEqual(['committed', 'committed'])
    expect(await statusesOf(store, [statement(`insert into orders (id) values ('b')`)])).toEqual([
      'committed',
    ])
    expect(await query('select id from public.orders order by id')).toEqual([
      { id: 'a' },
      { id: 'b' },
    ])
  })

  it('take the whole commit back when the disk is full (F20)', async () => {
    const store = await open()
    const full = statement(`do $$ begin raise exception 'no room' using errcode = '53100'; end $$`)

    const failing = store.commit([unitOf('neighbour'), full])

    await expect(failing).rejects.toMatchObject({ code: 'JUNCTURA_STORE_FULL' })
    expect(await holds(store, 'neighbour')).toBe(false)
    expect(await statusesOf(store, [unitOf('neighbour')])).toEqual(['committed'])
  })

  it('that break a deferred constraint fail their unit, not the commit', async () => {
    const store = await open()
    await store.migrate([orders])
    await query(
      `alter table orders add foreign key (parent) references orders (id)
         deferrable initially deferred`,
    )
    const inOrder: Unit = {
      tx: async (db) => {
        await db.run(`insert into orders (id, parent) values ('child', 'parent')`)
        await db.run(`insert into orders (id) values ('parent')`)
        return {}
      },
    }

    const outcomes = await statusesOf(store, [
      unitOf('before'),
      statement(`insert into orders (id, parent) values ('orphan', 'nobody')`),
      inOrder,
      unitOf('after'),
    ])

    expect(outcomes).toEqual(['committed', 'failed', 'committed', 'committed'])
    expect(await query('select id from orders order by id')).toEqual([
      { id: 'child' },
      { id: 'parent' },
    ])
  })

  it(
    'that wait too long for a lock fail their unit, and the others commit',
    async () => {
      const store = await open({ leaseMs: 30_000 })
      await store.migrate([orders])
      const other = new pg.Client({ connectionString: theBench().url })
      await other.connect()
      await other.query('begin; lock table orders')

      const outcomes = await statusesOf(store, [
        unitOf('before'),
        statement(`insert into orders (id) values ('waits')`),
        unitOf('after'),
      ])

      await other.end()
      expect(outcomes).toEqual(['committed', 'failed', 'committed'])
    },
    LIMITS.sqlLockWaitMs + 20_000,
  )

  it('that meet a deadlock fail their unit and are not called again by the store', async () => {
    const store = await open()
    let calls = 0
    const outcomes = await statusesOf(store, [
      unitOf('before'),
      {
        tx: async (db) => {
          calls += 1
          await db.run(`do $$ begin raise exception 'stuck' using errcode = '40P01'; end $$`)
          return {}
        },
      },
      unitOf('after'),
    ])

    expect(outcomes).toEqual(['committed', 'failed', 'committed'])
    expect(calls).toBe(1)
  })
})

describe('a commit that another transaction stands in the way of', () => {
  /** The next `times` writes of a timer meet a serialisation failure. */
  const stand = async (times: number): Promise<void> => {
    await query(
      `create sequence meetings;
       create function meet() returns trigger language plpgsql as $$ begin
         if nextval('public.meetings') <= ${times} then
           raise exception 'in the way' using errcode = '40001';
         end if;
         return new;
       end $$;
       create trigger meet before insert on junctura.state_timers
         for each row execute function public.meet();`,
    )
  }

  it('is run again, with the same positions, until it is through', async () => {
    const store = await open()
    await store.commit([{ appends: unitOf('x').appends ?? [] }])
    await stand(LIMITS.commitTriesMax - 1)

    expect(await store.commit([unitOf('a')])).toEqual([{ status: 'committed', positions: [2] }])
    expect(await holds(store, 'a')).toBe(true)
  })

  it('fails after a few tries, with nothing written', async () => {
    const store = await open()
    await stand(LIMITS.commitTriesMax)

    await expect(store.commit([unitOf('a')])).rejects.toMatchObject({
      code: 'JUNCTURA_STORE_FAILED',
    })

    expect(await holds(store, 'a')).toBe(false)
    expect(await statusesOf(store, [unitOf('a')])).toEqual(['committed'])
  })

  it('fails at once when a callback of the user has run, which is called only once', async () => {
    const store = await open()
    await stand(1)
    let calls = 0
    const callback: Unit = {
      tx: async (db) => {
        calls += 1
        await db.all('select 1')
        return {}
      },
    }

    const failing = store.commit([callback, unitOf('a')])

    await expect(failing).rejects.toMatchObject({ code: 'JUNCTURA_STORE_FAILED' })
    expect(calls).toBe(1)
    expect(await holds(store, 'a')).toBe(false)
  })
})

describe('what is stored', () => {
  it('goes on while another session holds a transaction open (M7)', async () => {
    const store = await open()
    const other = new pg.Client({ connectionString: theBench().url })
    await other.connect()
    await other.query('begin isolation level repeatable read; select count(*) from junctura.writer')

    await store.commit([unitOf('a')])
    const page = await store.readLog({
      channel: 'orders',
      afterPosition: 0,
      limit: 10,
      bytesMax: 1_000_000,
    })

    await other.end()
    expect(page.records.length).toBe(1)
    expect(page.scannedTo).toBe(1)
  })

  it('is found by an index that a later release adds', async () => {
    const before = await open()
    await before.commit([unitOf('a'), unitOf('b')])
    await before.close()
    await query('alter table junctura.state_timers drop column by_due_at_ms')

    const after = await open()

    const due = { collection: 'timers', index: 'byDue', where: [1] } as const
    expect(await after.count(due)).toBe(2)
    expect((await after.scan({ ...due, limit: 10 })).map(({ key }) => key)).toEqual(['a', 'b'])
  })

  it('is checked: a damaged record and a damaged row are named (F24)', async () => {
    const store = await open()
    await store.commit([unitOf('a'), unitOf('b')])
    await query(
      `update junctura.log_1 set bytes = set_byte(bytes, 40, 0) where position = 2;
       update junctura.state_timers set value = replace(value, 'reference', 'otherwise')
        where key = 'a'`,
    )

    const problems = await store.check()

    expect(problems.map(({ resource }) => resource)).toEqual([
      'record at position 2',
      'row "a" of timers in schema junctura',
    ])
    await expect(store.row('timers', 'a')).rejects.toMatchObject({ code: 'JUNCTURA_STORE_DAMAGED' })
    expect(await store.row('timers', 'b')).toBeDefined()
  })

  it('is said to survive only the process on a server that does not sync', async () => {
    const unsafe = await startPostgres({ settings: { fsync: 'off', full_page_writes: 'off' } })
    try {
      const store = await createPostgresStore({
        url: unsafe.url,
        clock: createSystemClock(),
        random: createSeededRandom(1),
      })
      expect(store.features).toEqual({ ...POSTGRES_FEATURES, durability: 'process' })
      expect((await store.check()).map(({ resource }) => resource)).toEqual([
        'PostgreSQL setting fsync',
        'PostgreSQL setting full_page_writes',
      ])
      await store.close()
    } finally {
      await unsafe.stop()
    }
  })

  it('is durable also where the server defaults to not waiting for the disk', async () => {
    await query(`alter database store_${databases} set synchronous_commit = off`)
    const store = await open()
    const seen: unknown[] = []

    await store.commit([
      {
        tx: async (db) => {
          seen.push(await db.get('show synchronous_commit'))
          return {}
        },
      },
    ])

    expect(seen).toEqual([{ synchronous_commit: 'on' }])
    expect(store.features.durability).toBe('fsync')
  })
})

describe('a transaction that stays open', () => {
  it('is told of after some minutes, by its session', async () => {
    const store = await open()
    const neighbour = new pg.Client({ connectionString: theBench().url })
    await neighbour.connect()
    await neighbour.query(`set application_name = 'report'; begin; select 1`)
    expect(await store.warnings?.()).toEqual([])

    // The server's clock cannot be moved; the view that is asked can.
    await query(
      `create schema later; create view later.pg_stat_activity as
         select datname, backend_type, pid, application_name,
                xact_start - interval '7 minutes' as xact_start from pg_catalog.pg_stat_activity;
       alter database store_${databases} set search_path = later, pg_catalog, public`,
    )
    const later = await open()

    expect(await later.warnings?.()).toEqual([
      expect.objectContaining({
        resource: 'long transaction',
        problem: expect.stringMatching(/^session \d+ \(report\) .* open for 7 minutes$/),
      }),
    ])
    await neighbour.end()
  })
})
