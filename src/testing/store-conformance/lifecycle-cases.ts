import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { type Features, type SqlMigration, sql } from '../../contract/index.ts'
import { type ErrorCode, isJuncturaError } from '../../kernel/index.ts'
import type { Store } from '../../store/index.ts'
import {
  appendOf,
  claimOf,
  commitOne,
  type ConformanceCase,
  ITEMS,
  readAll,
  reads,
  timerWrite,
} from './conformance-case.ts'

const both = (name: string, statements: string): SqlMigration =>
  sql({ name, sqlite: statements, postgres: statements })

const transactions: ConformanceCase['needs'] = (features) => features.transactions

const withCode =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    isJuncturaError(error, code)

const hasTable = async (store: Store, table: string): Promise<boolean> => {
  const [outcome] = await store.commit([
    {
      tx: async (db) => {
        await db.all(`select * from ${table}`)
        return {}
      },
    },
  ])
  return outcome?.status === 'committed'
}

export const LIFECYCLE_CASES: readonly ConformanceCase[] = [
  {
    title: 'it declares the features it is tested for, the unit of order among them (M9)',
    run: async ({ store, features }) => {
      deepEqual(store.features, features)
    },
  },
  {
    title: 'reopening keeps everything',
    run: async (bench) => {
      const positions = await commitOne(bench.store, {
        appends: [appendOf('a'), appendOf('b')],
        claims: [claimOf('key', { append: 1 })],
        rows: [timerWrite('row', 5)],
      })

      for (let times = 0; times < 3; times++) {
        await bench.reopen()
        const records = await readAll(bench.store, 'orders')
        equal(records.length, 2)
        ok(reads(records[0], 'a') && reads(records[1], 'b'))
        equal(await bench.store.claimedPosition('default/acme', 'key'), positions[1])
        equal((await bench.store.row('timers', 'row'))?.dueAtMs, 5)
        equal(await bench.store.headPosition(), positions[1])
      }
    },
  },
  {
    title: 'closing waits for a commit that runs, and may be asked for twice',
    run: async (bench) => {
      const running = commitOne(bench.store, { appends: [appendOf('running')] })
      await Promise.all([bench.store.close(), bench.store.close()])
      const [position = 0] = await running
      await bench.store.close()
      await bench.store[Symbol.asyncDispose]()

      await bench.reopen()
      ok(reads(await bench.store.recordAt(position), 'running'))
    },
  },
  {
    title: 'a closed store takes no commit',
    run: async ({ store }) => {
      await store.close()

      await rejects(
        async () => await store.commit([{ appends: [appendOf('late')] }]),
        withCode('JUNCTURA_CLOSED'),
      )
    },
  },
  {
    title: 'a healthy store has no problems, and says its size in bytes if it knows it',
    run: async ({ store }) => {
      await commitOne(store, {
        appends: [appendOf('a'), appendOf('large', { dataBytes: 100_000 })],
        claims: [claimOf('key')],
        rows: [timerWrite('row')],
      })

      deepEqual(await store.check(), [])
      const bytes = await store.sizeBytes()
      ok(bytes === undefined || bytes > 0)
    },
  },
  {
    title: 'a migration is applied once, in the order given, and its tables are kept',
    needs: transactions,
    run: async (bench) => {
      const notes = both('notes', 'create table notes (id text primary key)')
      const filled = both('fill-notes', `insert into notes (id) values ('from the migration')`)

      for (let times = 0; times < 3; times++) {
        await bench.store.migrate([notes, filled])
        await bench.reopen()
      }

      let ids: unknown
      await commitOne(bench.store, {
        tx: async (db) => {
          ids = await db.all('select id from notes')
          return {}
        },
      })
      deepEqual(ids, [{ id: 'from the migration' }])
    },
  },
  {
    title: 'a migration may hold several statements',
    needs: transactions,
    run: async ({ store }) => {
      const text = `create table one (id integer); -- and
        create table two (id integer); insert into two (id) values (2);`

      await store.migrate([both('several', text)])

      ok(await hasTable(store, 'one'))
      ok(await hasTable(store, 'two'))
    },
  },
  {
    title: 'an applied migration with other statements is refused, before any is applied',
    needs: transactions,
    run: async (bench) => {
      await bench.store.migrate([both('notes', 'create table notes (id text)')])
      await bench.reopen()

      await rejects(
        bench.store.migrate([
          both('new-one', 'create table new_one (id text)'),
          both('notes', 'create table notes (id text, more text)'),
        ]),
        withCode('JUNCTURA_MIGRATION_CHANGED'),
      )

      ok(!(await hasTable(bench.store, 'new_one')))
    },
  },
  {
    title: 'a migration that fails leaves nothing, those before it stay, and it can be mended',
    needs: transactions,
    run: async ({ store }) => {
      const first = both('first', 'create table first (id text)')
      const last = both('last', 'create table last_one (id text)')
      const broken = 'create table broken (id text); insert into nowhere (id) values (1);'

      await rejects(
        store.migrate([first, both('broken', broken), last]),
        withCode('JUNCTURA_MIGRATION_FAILED'),
      )

      ok(await hasTable(store, 'first'))
      ok(!(await hasTable(store, 'broken')))
      ok(!(await hasTable(store, 'last_one')))
      await store.migrate([first, both('broken', 'create table broken (id text)'), last])
      ok(await hasTable(store, 'broken'))
      ok(await hasTable(store, 'last_one'))
    },
  },
  {
    title: 'a migration that ends its transaction fails, and the store goes on',
    needs: transactions,
    run: async ({ store }) => {
      await rejects(
        store.migrate([both('ending', 'create table ending (id text); commit;')]),
        withCode('JUNCTURA_MIGRATION_FAILED'),
      )

      await commitOne(store, { appends: [appendOf('after')], rows: [timerWrite('row')] })
      equal((await readAll(store, 'orders')).length, 1)
    },
  },
  {
    title: 'a migration without statements for this engine is refused',
    needs: (features: Features) => features.transactions && features.sql === 'postgres',
    run: async ({ store }) => {
      await rejects(
        store.migrate([ITEMS, sql({ name: 'sqlite-only', sqlite: 'create table x (id text)' })]),
        withCode('JUNCTURA_MIGRATION_DIALECT'),
      )

      ok(!(await hasTable(store, 'items')))
    },
  },
]
