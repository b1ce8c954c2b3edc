import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { startCuttingProxy } from '../../../test/engines/cutting-proxy.ts'
import { type PostgresEngine, startPostgres } from '../../../test/engines/postgres.ts'
import {
  createPostgresBench,
  holds,
  type PostgresBench,
  statusesOf,
  unitOf,
} from '../../../test/engines/postgres-bench.ts'
import { type Clock, createSystemClock, isJuncturaError, must } from '../../kernel/index.ts'
import { postgresStoreSql, type PostgresStoreOptions, type Store } from '../index.ts'

/** As `pg_dump` wrote it of a store of the release before. */
const FORMAT_1 = join(import.meta.dirname, '../../../test/upgrade/postgres-format-1.sql')

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
  bench = await createPostgresBench(theServer().url, `writer_${databases}`)
})

afterEach(async () => {
  await bench?.close()
})

const theServer = (): PostgresEngine => must(engine, 'the server runs')
const theBench = (): PostgresBench => must(bench, 'a test has a database')
const open = (options?: Partial<PostgresStoreOptions>): Promise<Store> => theBench().open(options)
const serverOf = (url: string): { readonly host: string; readonly port: number } => ({
  host: '127.0.0.1',
  port: Number(new URL(url).port),
})
const through = (url: string, port: number): string => {
  const changed = new URL(url)
  changed.port = String(port)
  return changed.href
}
const query = (sql: string): Promise<readonly object[]> => theBench().query(sql)

describe('a store', () => {
  it('keeps two schemas of one database apart', async () => {
    const one = await open({ schema: 'one' })
    const two = await open({ schema: 'two' })

    await one.commit([unitOf('a')])

    expect(await holds(two, 'a')).toBe(false)
    expect(await two.headPosition()).toBe(0)
  })

  it('refuses a schema that was written by a later release', async () => {
    await (await open()).close()
    await query('insert into junctura.format (number) values (999)')

    await expect(open()).rejects.toMatchObject({ code: 'JUNCTURA_STORE_FORMAT' })

    await query('delete from junctura.format where number = 999')
    await open()
  })

  it('refuses a name of a schema that would have to be quoted', async () => {
    for (const schema of ['', 'With Space', 'a"b', 'pg_own', 'x'.repeat(41)]) {
      await expect(open({ schema })).rejects.toMatchObject({ code: 'JUNCTURA_USAGE' })
    }
  })
})

describe('when the connection breaks', () => {
  it('asks the server what became of a commit whose answer was lost, and goes on (F80)', async () => {
    for (const when of ['before', 'after'] as const) {
      const proxy = await startCuttingProxy({
        host: '127.0.0.1',
        port: Number(new URL(theBench().url).port),
      })
      const through = new URL(theBench().url)
      through.port = String(proxy.port)
      const store = await open({ url: through.href, leaseMs: 300 })
      await store.commit([unitOf(`first ${when}`)])
      proxy.cutAt('commit\0', when)

      const lost = store.commit([unitOf(`lost ${when}`)])
      const next = store.commit([unitOf(`next ${when}`)])

      if (when === 'after') {
        expect(await lost).toMatchObject([{ status: 'committed' }])
      } else {
        await expect(lost).rejects.toMatchObject({ code: 'JUNCTURA_STORE_FAILED' })
      }
      expect(await next).toMatchObject([{ status: 'committed' }])
      expect(await holds(store, `first ${when}`)).toBe(true)
      expect(await holds(store, `lost ${when}`)).toBe(when === 'after')
      expect(await holds(store, `next ${when}`)).toBe(true)
      await store.close()
      await proxy.close()
    }
  })

  it('runs the statements of a handler once, whatever became of the answer to their commit (F80, M14)', async () => {
    const proxy = await startCuttingProxy(serverOf(theBench().url))
    await query('create table effects (id text primary key)')
    const store = await open({ url: through(theBench().url, proxy.port) })
    for (const when of ['before', 'after'] as const) {
      let calls = 0
      proxy.cutAt('commit\0', when)

      const outcome = await store
        .commit([
          {
            tx: async (db) => {
              calls += 1
              await db.run('insert into effects (id) values ($1)', when)
              return {}
            },
          },
        ])
        .then(
          ([one]) => one?.status,
          (error: unknown) => isJuncturaError(error) && error.code,
        )

      expect(calls).toBe(1)
      expect(outcome).toBe(when === 'after' ? 'committed' : 'JUNCTURA_STORE_FAILED')
      const found = await query(`select id from effects where id = '${when}'`)
      expect(found).toHaveLength(when === 'after' ? 1 : 0)
    }
    await store.close()
    await proxy.close()
  })

  it('gives itself up when the server cannot be asked, and what is opened then knows', async () => {
    const proxy = await startCuttingProxy(serverOf(theBench().url))
    const real = createSystemClock()
    const hasty: Clock = {
      ...real,
      now: () => real.now(),
      monotonicMs: () => real.monotonicMs() * 100,
    }
    const store = await open({ url: through(theBench().url, proxy.port), clock: hasty })
    await store.commit([unitOf('first')])
    proxy.cutAt('commit\0', 'after', 'stay')

    const lost = store.commit([unitOf('lost')])

    await expect(lost).rejects.toMatchObject({ code: 'JUNCTURA_STORE_UNKNOWN' })
    const next = store.commit([unitOf('next')])
    await expect(next).rejects.toMatchObject({ code: 'JUNCTURA_STORE_UNKNOWN' })
    await store.close()
    await proxy.close()
    const opened = await open()
    expect(await holds(opened, 'lost')).toBe(true)
    expect(await holds(opened, 'next')).toBe(false)
  })

  it('takes a network that swallows everything for a broken one, and goes on when it is mended', async () => {
    const proxy = await startCuttingProxy(serverOf(theBench().url))
    const store = await open({ url: through(theBench().url, proxy.port) })
    await store.commit([unitOf('first')])
    proxy.blackhole()

    const lost = store.commit([unitOf('swallowed')])

    await expect(lost).rejects.toMatchObject({ code: 'JUNCTURA_STORE_FAILED' })
    // What was sent arrives at a server that has given the connection up.
    await proxy.heal()
    await vi.waitFor(
      async () => expect(await statusesOf(store, [unitOf('mended')])).toEqual(['committed']),
      { timeout: 30_000, interval: 200 },
    )
    expect(await holds(store, 'swallowed')).toBe(false)
    await store.close()
    await proxy.close()
  })

  it('has written nothing when it breaks before the commit, and goes on by itself', async () => {
    const proxy = await startCuttingProxy({
      host: '127.0.0.1',
      port: Number(new URL(theBench().url).port),
    })
    const through = new URL(theBench().url)
    through.port = String(proxy.port)
    const store = await open({ url: through.href })
    for (const text of [
      'begin',
      'pg_advisory_xact_lock',
      'state_timers',
      'claim_bucket',
      'log_1',
    ]) {
      proxy.cutAt(text, 'after')
      const lost = store.commit([unitOf(text)])
      await expect(lost, text).rejects.toMatchObject({ code: 'JUNCTURA_STORE_FAILED' })
    }

    expect(await statusesOf(store, [unitOf('after')])).toEqual(['committed'])

    for (const text of [
      'begin',
      'pg_advisory_xact_lock',
      'state_timers',
      'claim_bucket',
      'log_1',
    ]) {
      expect(await holds(store, text)).toBe(false)
    }
    expect(await holds(store, 'after')).toBe(true)
    await store.close()
    await proxy.close()
  })

  it('loses nothing acknowledged when the server is killed under commits, round after round', async () => {
    const server = theServer()
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
      running = false
      await server.restart()
      // A commit that was under way asks the server that is back.
      await Promise.all(lanes)
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
    const server = theServer()
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

    expect(await statusesOf(store, [unitOf('after')])).toEqual(['committed'])
    expect(await holds(store, 'before')).toBe(true)
    expect(await holds(store, 'away')).toBe(false)
  })
})

describe('the tables', () => {
  it('can be made beforehand by an administrator, for a role that may not create schemas', async () => {
    await query(postgresStoreSql())
    await query(`
      create role plain login; grant usage, create on schema junctura to plain;
      do $$ declare name text; begin
        for name in select tablename from pg_tables where schemaname = 'junctura' loop
          execute format('alter table junctura.%I owner to plain', name);
        end loop;
      end $$`)
    const url = new URL(theBench().url)
    url.username = 'plain'

    const store = await open({ url: url.href })

    expect(await statusesOf(store, [unitOf('a')])).toEqual(['committed'])
    expect(await holds(store, 'a')).toBe(true)
    await store.close()
    await query('drop owned by plain; drop role plain')
  })

  it('of the format with one writer are taken over, with everything in them (M40)', async () => {
    await query(readFileSync(FORMAT_1, 'utf8'))
    const store = await open()

    expect(await store.headPosition()).toBe(3)
    expect((await store.partitions()).map(({ open: isOpen }) => isOpen)).toEqual([
      false,
      false,
      true,
    ])
    for (const text of ['one', 'two', 'three']) expect(await holds(store, text)).toBe(true)
    expect(await store.commit([unitOf('one'), unitOf('four')])).toEqual([
      { status: 'duplicate', claim: 0, position: 1 },
      { status: 'committed', positions: [4] },
    ])
    expect(await store.check()).toEqual([])
    // A process of that release that slept finds its epoch gone.
    expect(await query('select epoch from junctura.writer where epoch = 1')).toEqual([])
  })

  it('of the format with one writer are left alone while that one lives (F28)', async () => {
    await query(readFileSync(FORMAT_1, 'utf8'))
    const renew = `update junctura.writer set owner = 'old', expires_at = clock_timestamp() + interval '10 s'`
    await query(renew)
    let isOver = false
    const renewing = (async () => {
      while (!isOver) {
        await query(renew)
        await createSystemClock().yield()
      }
    })()

    await expect(open()).rejects.toMatchObject({ code: 'JUNCTURA_STORE_LOCKED' })

    isOver = true
    await renewing
    expect(await query('select max(number) as format from junctura.format')).toEqual([
      { format: 1 },
    ])
  })
})
