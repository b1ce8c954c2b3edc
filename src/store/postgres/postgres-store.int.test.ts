import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startCuttingProxy } from '../../../test/engines/cutting-proxy.ts'
import { type PostgresEngine, startPostgres } from '../../../test/engines/postgres.ts'
import { encodeRecord, sql } from '../../contract/index.ts'
import { createSeededRandom, createSystemClock, LIMITS, must } from '../../kernel/index.ts'
import { createVirtualClock } from '../../testing/index.ts'
import {
  createPostgresStore,
  POSTGRES_FEATURES,
  type PostgresStoreOptions,
  type Store,
  type Unit,
} from '../index.ts'

let engine: PostgresEngine | undefined
let databases = 0
let url = ''
const stores: Store[] = []

beforeAll(async () => {
  engine = await startPostgres()
})

afterAll(async () => {
  await engine?.stop()
})

beforeEach(async () => {
  databases += 1
  const base = new URL(must(engine, 'the server runs').url)
  await query(base.href, `create database store_${databases}`)
  base.pathname = `/store_${databases}`
  url = base.href
})

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
})

const query = async (at: string, text: string): Promise<Record<string, unknown>[]> => {
  const client = new pg.Client({ connectionString: at })
  await client.connect()
  try {
    const result: pg.QueryResult<Record<string, unknown>> = await client.query(text)
    return result.rows
  } finally {
    await client.end()
  }
}

const open = async (options: Partial<PostgresStoreOptions> = {}): Promise<Store> => {
  const store = await createPostgresStore({
    url,
    clock: createSystemClock(),
    random: createSeededRandom(databases),
    leaseMs: 1_000,
    ...options,
  })
  stores.push(store)
  return store
}

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

const unitOf = (text: string): Unit => ({
  appends: [{ channel: 'orders', slot: 0, atMs: 1, bytes: recordOf(text) }],
  claims: [{ scope: 's', key: text, expiresAtMs: Number.MAX_SAFE_INTEGER, append: 0 }],
  rows: [{ collection: 'timers', key: text, row: { owner: 'o', reference: text, dueAtMs: 1 } }],
})

const statement = (text: string): Unit => ({
  tx: async (db) => {
    await db.run(text)
    return {}
  },
})

const statuses = async (store: Store, units: readonly Unit[]): Promise<readonly string[]> =>
  (await store.commit(units)).map(({ status }) => status)

/** Whether a unit is there whole; fails when only a part of it is. */
const holds = async (store: Store, text: string): Promise<boolean> => {
  const position = await store.claimedPosition('s', text)
  const record = position === undefined ? undefined : await store.recordAt(position)
  const row = await store.row('timers', text)
  expect([record !== undefined, row !== undefined], text).toEqual([
    position !== undefined,
    position !== undefined,
  ])
  return position !== undefined
}

describe('one process writes', () => {
  it('refuses a second process on the same schema while the first lives (F28)', async () => {
    const first = await open()

    await expect(open()).rejects.toMatchObject({ code: 'JUNCTURA_STORE_LOCKED' })

    expect(await statuses(first, [unitOf('goes on')])).toEqual(['committed'])
  })

  it('opens at once after the first has closed', async () => {
    await (await open({ leaseMs: 60_000 })).close()

    const second = await open()

    expect(await statuses(second, [unitOf('a')])).toEqual(['committed'])
  })

  it('takes over from a silent process, whose next commit is refused and writes nothing', async () => {
    const silent = await open({ clock: createVirtualClock(), leaseMs: 300 })
    await silent.commit([unitOf('before')])

    const second = await open()
    await second.commit([unitOf('second')])
    const late = silent.commit([unitOf('late')])

    await expect(late).rejects.toMatchObject({ code: 'JUNCTURA_STORE_FENCED' })
    await expect(silent.commit([])).rejects.toMatchObject({ code: 'JUNCTURA_STORE_FENCED' })
    await silent.close()
    expect(await holds(second, 'before')).toBe(true)
    expect(await holds(second, 'late')).toBe(false)
    expect(await statuses(second, [unitOf('third')])).toEqual(['committed'])
  })

  it('keeps two schemas of one database apart', async () => {
    const one = await open({ schema: 'one' })
    const two = await open({ schema: 'two' })

    await one.commit([unitOf('a')])

    expect(await holds(two, 'a')).toBe(false)
    expect(await two.headPosition()).toBe(0)
  })

  it('refuses a schema that was written by a later release', async () => {
    await (await open()).close()
    await query(url, 'insert into junctura.format (number) values (999)')

    await expect(open()).rejects.toMatchObject({ code: 'JUNCTURA_STORE_FORMAT' })

    await query(url, 'delete from junctura.format where number = 999')
    await open()
  })

  it('refuses a name of a schema that would have to be quoted', async () => {
    for (const schema of ['', 'With Space', 'a"b', 'pg_own', 'x'.repeat(41)]) {
      await expect(open({ schema })).rejects.toMatchObject({ code: 'JUNCTURA_USAGE' })
    }
  })
})

describe('when the connection breaks', () => {
  it('does not know of a commit whose answer was lost, and trusts nothing afterwards', async () => {
    for (const when of ['before', 'after'] as const) {
      const proxy = await startCuttingProxy({ host: '127.0.0.1', port: Number(new URL(url).port) })
      const through = new URL(url)
      through.port = String(proxy.port)
      const store = await open({ url: through.href, leaseMs: 300 })
      await store.commit([unitOf(`first ${when}`)])
      proxy.cutAt('commit\0', when)

      const lost = store.commit([unitOf(`lost ${when}`)])

      await expect(lost).rejects.toMatchObject({ code: 'JUNCTURA_STORE_UNKNOWN' })
      const next = store.commit([unitOf('next')])
      await expect(next).rejects.toMatchObject({ code: 'JUNCTURA_STORE_UNKNOWN' })
      await store.close()
      await proxy.close()

      const opened = await open({ leaseMs: 300 })
      expect(await holds(opened, `first ${when}`)).toBe(true)
      expect(await holds(opened, `lost ${when}`)).toBe(when === 'after')
      expect(await holds(opened, 'next')).toBe(false)
      await opened.close()
    }
  })

  it('has written nothing when it breaks before the commit, and goes on by itself', async () => {
    const proxy = await startCuttingProxy({ host: '127.0.0.1', port: Number(new URL(url).port) })
    const through = new URL(url)
    through.port = String(proxy.port)
    const store = await open({ url: through.href })
    for (const text of ['begin', 'for update', 'state_timers', 'set head']) {
      proxy.cutAt(text, 'after')
      const lost = store.commit([unitOf(text)])
      await expect(lost, text).rejects.toMatchObject({ code: 'JUNCTURA_STORE_FAILED' })
    }

    expect(await statuses(store, [unitOf('after')])).toEqual(['committed'])

    for (const text of ['begin', 'for update', 'state_timers', 'set head']) {
      expect(await holds(store, text)).toBe(false)
    }
    expect(await holds(store, 'after')).toBe(true)
    await store.close()
    await proxy.close()
  })

  it('loses nothing acknowledged when the server is killed under commits, round after round', async () => {
    const server = must(engine, 'the server runs')
    const acknowledged: string[] = []
    const refused: string[] = []
    for (let round = 0; round < 4; round++) {
      const store = await open({ leaseMs: 300 })
      let count = 0
      let running = true
      const write = async (lane: number): Promise<void> => {
        while (running) {
          const text = `${round}-${lane}-${count++}`
          await store.commit([unitOf(text)]).then(
            () => acknowledged.push(text),
            (error: unknown) => {
              running = false
              refused.push(text)
              expect(error).toMatchObject({
                code: expect.stringMatching(/^JUNCTURA_STORE_(FAILED|UNKNOWN)$/),
              })
            },
          )
        }
      }
      const lanes = [0, 1, 2, 3].map(write)
      while (count < 40 + round * 7) await createSystemClock().yield()
      await server.kill()
      await Promise.all(lanes)
      await server.restart()
      await store.close()
    }

    const store = await open()
    expect(acknowledged.length).toBeGreaterThan(100)
    expect(refused.length).toBeGreaterThan(0)
    for (const text of acknowledged) expect(await holds(store, text), text).toBe(true)
    // What was refused is there whole or not at all, which `holds` looks at.
    for (const text of refused) await holds(store, text)
    expect(await store.check()).toEqual([])
  })

  it('refuses while the server is away and goes on when it is back, without being reopened', async () => {
    const server = must(engine, 'the server runs')
    const store = await open({ leaseMs: 30_000 })
    await store.commit([unitOf('before')])
    await server.kill()

    await expect(store.commit([unitOf('away')])).rejects.toMatchObject({
      code: 'JUNCTURA_STORE_FAILED',
    })
    await expect(store.row('timers', 'before')).rejects.toMatchObject({
      code: 'JUNCTURA_STORE_FAILED',
    })
    await server.restart()

    expect(await statuses(store, [unitOf('after')])).toEqual(['committed'])
    expect(await holds(store, 'before')).toBe(true)
    expect(await holds(store, 'away')).toBe(false)
  })
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

    const outcomes = await statuses(store, [
      statement(`set search_path = junctura`),
      statement(`insert into orders (id) values ('a')`),
    ])

    expect(outcomes).toEqual(['committed', 'committed'])
    expect(await statuses(store, [statement(`insert into orders (id) values ('b')`)])).toEqual([
      'committed',
    ])
    expect(await query(url, 'select id from public.orders order by id')).toEqual([
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
    expect(await statuses(store, [unitOf('neighbour')])).toEqual(['committed'])
  })

  it('that break a deferred constraint fail their unit, not the commit', async () => {
    const store = await open()
    await store.migrate([orders])
    await query(
      url,
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

    const outcomes = await statuses(store, [
      unitOf('before'),
      statement(`insert into orders (id, parent) values ('orphan', 'nobody')`),
      inOrder,
      unitOf('after'),
    ])

    expect(outcomes).toEqual(['committed', 'failed', 'committed', 'committed'])
    expect(await query(url, 'select id from orders order by id')).toEqual([
      { id: 'child' },
      { id: 'parent' },
    ])
  })

  it(
    'that wait too long for a lock fail their unit, and the others commit',
    async () => {
      const store = await open({ leaseMs: 30_000 })
      await store.migrate([orders])
      const other = new pg.Client({ connectionString: url })
      await other.connect()
      await other.query('begin; lock table orders')

      const outcomes = await statuses(store, [
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
    const outcomes = await statuses(store, [
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
      url,
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
    expect(await statuses(store, [unitOf('a')])).toEqual(['committed'])
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
    const other = new pg.Client({ connectionString: url })
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
    await query(url, 'alter table junctura.state_timers drop column by_due_at_ms')

    const after = await open()

    const due = { collection: 'timers', index: 'byDue', where: [1] } as const
    expect(await after.count(due)).toBe(2)
    expect((await after.scan({ ...due, limit: 10 })).map(({ key }) => key)).toEqual(['a', 'b'])
  })

  it('is checked: a damaged record and a damaged row are named (F24)', async () => {
    const store = await open()
    await store.commit([unitOf('a'), unitOf('b')])
    await query(
      url,
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
    await query(url, `alter database store_${databases} set synchronous_commit = off`)
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
