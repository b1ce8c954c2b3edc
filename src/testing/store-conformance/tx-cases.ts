import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import type { Database, SqlValue } from '../../contract/index.ts'
import { type ErrorCode, isJuncturaError } from '../../kernel/index.ts'
import type { Store, Unit, UnitOutcome } from '../../store/index.ts'
import {
  appendOf,
  claimOf,
  commitAll,
  commitOne,
  type ConformanceCase,
  ITEMS,
  positionsOf,
  readAll,
  reads,
  timerWrite,
} from './conformance-case.ts'

type Statements = NonNullable<Unit['tx']>
interface ItemRow {
  readonly id: string
  readonly whole: SqlValue
  readonly fraction: SqlValue
  readonly bytes: SqlValue
  readonly flag: SqlValue
  readonly note: SqlValue
}

const transactions: ConformanceCase['needs'] = (features) => features.transactions

const insert = async (db: Database, id: string): Promise<Awaited<ReturnType<Statements>>> => {
  await db.run('insert into items (id, whole) values ($1, $2)', id, 1)
  return {}
}

/** Ids in the user's table, read in a unit of its own. */
const itemIds = async (store: Store): Promise<readonly string[]> => {
  let ids: readonly string[] = []
  await commitOne(store, {
    tx: async (db) => {
      ids = (await db.all<{ id: string }>('select id from items order by id')).map(({ id }) => id)
      return {}
    },
  })
  return ids
}

const failedWith = (outcome: UnitOutcome | undefined, code: ErrorCode): boolean =>
  outcome?.status === 'failed' && isJuncturaError(outcome.error, code)

export const TX_CASES: readonly ConformanceCase[] = [
  {
    title: 'statements, the records and rows of the unit and those returned commit together (M1)',
    needs: transactions,
    run: async (bench) => {
      await bench.store.migrate([ITEMS])
      const [first = 0, second = 0, ...more] = await commitOne(bench.store, {
        appends: [appendOf('given')],
        claims: [claimOf('key')],
        rows: [timerWrite('given')],
        tx: async (db) => {
          await insert(db, 'item')
          return { appends: [appendOf('returned')], rows: [timerWrite('returned')] }
        },
      })
      deepEqual(more, [])
      ok(second > first)
      await bench.crash()

      ok(reads(await bench.store.recordAt(first), 'given'))
      ok(reads(await bench.store.recordAt(second), 'returned'))
      equal(await bench.store.claimedPosition('default/acme', 'key'), first)
      equal(await bench.store.count({ collection: 'timers' }), 2)
      deepEqual(await itemIds(bench.store), ['item'])
    },
  },
  {
    title: 'a callback that throws takes back its unit and no other',
    needs: transactions,
    run: async ({ store }) => {
      await store.migrate([ITEMS])
      const failing = (id: string, fail: () => Promise<never>): Unit => ({
        appends: [appendOf(id)],
        claims: [claimOf('key')],
        rows: [timerWrite(id)],
        tx: async (db) => {
          await insert(db, id)
          return await fail()
        },
      })
      const reason = new TypeError('the handler gave up')

      const outcomes = await store.commit([
        { tx: (db) => insert(db, 'before') },
        failing('rejects', () => Promise.reject(reason)),
        failing('throws', () => {
          throw reason
        }),
        {
          tx: () => {
            throw reason
          },
        },
        {
          appends: [appendOf('after')],
          claims: [claimOf('key')],
          tx: (db) => insert(db, 'after'),
        },
      ])

      deepEqual(
        outcomes.map(({ status }) => status),
        ['committed', 'failed', 'failed', 'failed', 'committed'],
      )
      ok(outcomes.slice(1, 4).every((o) => o.status === 'failed' && o.error === reason))
      deepEqual(await itemIds(store), ['after', 'before'])
      equal((await readAll(store, 'orders')).length, 1)
      equal(await store.count({ collection: 'timers' }), 0)
      equal(await store.claimedPosition('default/acme', 'key'), positionsOf(outcomes[4])[0])
    },
  },
  {
    title: 'a statement that fails takes back its unit, also when the callback goes on',
    needs: transactions,
    run: async ({ store }) => {
      await store.migrate([ITEMS])
      await commitOne(store, { tx: (db) => insert(db, 'there') })

      const outcomes = await store.commit([
        { tx: (db) => insert(db, 'before') },
        { tx: (db) => insert(db, 'there') },
        {
          tx: async (db) => {
            await insert(db, 'caught')
            await insert(db, 'there').catch(() => undefined)
            return { appends: [appendOf('caught')] }
          },
        },
        {
          tx: async (db) => {
            await db.run('this is no statement')
            return {}
          },
        },
        { tx: (db) => insert(db, 'after') },
      ])

      deepEqual(
        outcomes.map(({ status }) => status),
        ['committed', 'failed', 'failed', 'failed', 'committed'],
      )
      deepEqual(await itemIds(store), ['after', 'before', 'there'])
      deepEqual(await readAll(store, 'orders'), [])
    },
  },
  {
    title: 'a callback that awaits anything but db is taken back with JUNCTURA_TX_LEFT',
    needs: transactions,
    run: async ({ store, clock }) => {
      await store.migrate([ITEMS])
      const leave = (id: string, away: () => Promise<unknown>): Unit => ({
        appends: [appendOf(id)],
        tx: async (db) => {
          await insert(db, id)
          await away()
          return {}
        },
      })

      const outcomes = await store.commit([
        { tx: (db) => insert(db, 'before') },
        leave('never', () => new Promise(() => undefined)),
        leave('timer', () => new Promise<void>((resolve) => clock.setTimer(50, resolve))),
        leave('store', () => store.headPosition().then(() => new Promise(() => undefined))),
        { tx: (db) => insert(db, 'after') },
      ])

      positionsOf(outcomes[0])
      for (const outcome of outcomes.slice(1, 4)) ok(failedWith(outcome, 'JUNCTURA_TX_LEFT'))
      positionsOf(outcomes[4])
      await clock.advance(100)
      deepEqual(await itemIds(store), ['after', 'before'])
      deepEqual(await readAll(store, 'orders'), [])
    },
  },
  {
    title: 'a callback that was taken back and comes to its end later touches no other',
    needs: transactions,
    run: async ({ store }) => {
      await store.migrate([ITEMS])
      let comeBack: (() => void) | undefined
      const away = new Promise<void>((resolve) => {
        comeBack = resolve
      })

      const outcomes = await store.commit([
        {
          tx: async (db) => {
            await insert(db, 'left')
            await away
            await insert(db, 'late').catch(() => undefined)
            return { appends: [appendOf('late')] }
          },
        },
        {
          tx: async (db) => {
            await insert(db, 'first')
            comeBack?.()
            for (let count = 0; count < 20; count++) await db.get('select 1 as one')
            await insert(db, 'second')
            return { appends: [appendOf('own')] }
          },
        },
        { tx: (db) => insert(db, 'after') },
      ])

      ok(failedWith(outcomes[0], 'JUNCTURA_TX_LEFT'))
      equal(positionsOf(outcomes[1]).length, 1)
      positionsOf(outcomes[2])
      deepEqual(await itemIds(store), ['after', 'first', 'second'])
      const records = await readAll(store, 'orders')
      ok(records.length === 1 && reads(records[0], 'own'))
    },
  },
  {
    title: 'db is dead once the callback has ended',
    needs: transactions,
    run: async ({ store }) => {
      await store.migrate([ITEMS])
      let kept: Database | undefined
      await commitOne(store, {
        tx: async (db) => {
          kept = db
          return await insert(db, 'in-time')
        },
      })

      await rejects(
        kept?.run('insert into items (id) values ($1)', 'late') ?? Promise.resolve(),
        (error) => isJuncturaError(error, 'JUNCTURA_TX_OVER'),
      )

      deepEqual(await itemIds(store), ['in-time'])
    },
  },
  {
    title: 'a statement that ends the transaction is refused, and others lose nothing',
    needs: transactions,
    run: async ({ store }) => {
      await store.migrate([ITEMS])
      const ending = (statement: string): Unit => ({
        tx: async (db) => {
          await insert(db, statement)
          await db.run(statement)
          return {}
        },
      })

      const statements = ['commit', 'ROLLBACK', ' /* x */ end', '-- x\nsavepoint a', 'begin']
      const outcomes = await store.commit([
        { tx: (db) => insert(db, 'before') },
        ...statements.map(ending),
        { tx: (db) => insert(db, 'after') },
      ])

      for (const outcome of outcomes.slice(1, -1)) {
        ok(failedWith(outcome, 'JUNCTURA_TX_STATEMENT'))
      }
      deepEqual(await itemIds(store), ['after', 'before'])
    },
  },
  {
    title: 'one call runs one statement',
    needs: transactions,
    run: async ({ store }) => {
      await store.migrate([ITEMS])
      const [outcome] = await store.commit([
        {
          tx: async (db) => {
            await db.run(`insert into items (id) values ('a'); insert into items (id) values ('b')`)
            return {}
          },
        },
      ])

      equal(outcome?.status, 'failed')
      deepEqual(await itemIds(store), [])
    },
  },
  {
    title: 'a callback is not called when its unit is refused',
    needs: transactions,
    run: async ({ store }) => {
      await store.migrate([ITEMS])
      await commitOne(store, { appends: [appendOf('first')], claims: [claimOf('taken')] })
      let calls = 0
      const tx: Statements = async (db) => {
        calls += 1
        return await insert(db, 'refused')
      }

      const outcomes = await store.commit([
        { appends: [appendOf('again')], claims: [claimOf('taken')], tx },
        { guards: [{ collection: 'timers', key: 'no', is: 'present' }], tx },
      ])

      deepEqual(
        outcomes.map(({ status }) => status),
        ['duplicate', 'guarded'],
      )
      equal(calls, 0)
      deepEqual(await itemIds(store), [])
    },
  },
  {
    title: 'statements of a commit whose finish throws leave nothing',
    needs: transactions,
    run: async ({ store }) => {
      await store.migrate([ITEMS])
      const reason = new TypeError('finish gave up')
      await rejects(
        store.commit([{ tx: (db) => insert(db, 'lost') }], () => {
          throw reason
        }),
        (error) => isJuncturaError(error, 'JUNCTURA_STORE_FAILED'),
      )

      deepEqual(await itemIds(store), [])
    },
  },
  {
    title: 'units see what the units before them did to the tables of the user',
    needs: transactions,
    run: async ({ store }) => {
      await store.migrate([ITEMS])
      const counted: unknown[] = []
      const count: Statements = async (db) => {
        counted.push((await db.get('select count(*) as items from items'))?.['items'])
        return {}
      }

      await commitAll(store, [
        { tx: (db) => insert(db, 'a') },
        { tx: count },
        { tx: (db) => insert(db, 'b') },
        { tx: count },
      ])

      deepEqual(counted, [1, 2])
    },
  },
  {
    title: 'run says how many rows changed, all gives every row and get the first or undefined',
    needs: transactions,
    run: async ({ store }) => {
      await store.migrate([ITEMS])
      const answers: unknown[] = []
      await commitOne(store, {
        tx: async (db) => {
          await Promise.all(['a', 'b', 'c'].map((id) => insert(db, id)))
          answers.push(await db.run('update items set whole = 2 where id < $1', 'c'))
          answers.push(await db.run('delete from items where id = $1', 'nothing'))
          answers.push(await db.all('select id, whole from items order by id'))
          answers.push(await db.get('select id from items order by id'))
          answers.push(await db.get('select id from items where id = $1', 'nothing'))
          answers.push(await db.all('select id from items where id = $1', 'nothing'))
          return {}
        },
      })

      deepEqual(answers, [
        { changes: 2 },
        { changes: 0 },
        [
          { id: 'a', whole: 2 },
          { id: 'b', whole: 2 },
          { id: 'c', whole: 1 },
        ],
        { id: 'a' },
        undefined,
        [],
      ])
    },
  },
  {
    title: 'values are numbered: $1 may stand anywhere, and twice',
    needs: transactions,
    run: async ({ store }) => {
      await store.migrate([ITEMS])
      let row: ItemRow | undefined
      await commitOne(store, {
        tx: async (db) => {
          await db.run(
            `insert into items (note, id, whole) values ($2, $1, $3) -- $4`,
            'the-id',
            `a note with $1, ? and 'quotes'`,
            3,
          )
          row = await db.get<ItemRow>(
            `select * from items where id = $1 and note <> '$9' and id <= $1`,
            'the-id',
          )
          return {}
        },
      })

      equal(row?.note, `a note with $1, ? and 'quotes'`)
      equal(row?.whole, 3)
    },
  },
  {
    title: 'values of every type come back as they were',
    needs: transactions,
    run: async (bench) => {
      await bench.store.migrate([ITEMS])
      const texts = ['', 'plain', 'ä 日本語 😀', `'"\\\n\t`, 'x'.repeat(100_000)]
      const wholes = [0, 1, -1, 2 ** 31, -(2 ** 31) - 1, Number.MAX_SAFE_INTEGER, 12n]
      const fractions = [0.5, -1.25, 1e-300, 1.7976931348623157e308, 0.1 + 0.2]
      const bytes = [new Uint8Array(), Uint8Array.from({ length: 256 }, (_, at) => at)]
      const rows: ItemRow[] = Array.from({ length: 8 }, (_, at) => ({
        id: `row-${at}`,
        whole: wholes[at] ?? null,
        fraction: fractions[at] ?? null,
        bytes: bytes[at] ?? null,
        flag: at % 3 === 2 ? null : at % 3 === 1,
        note: texts[at] ?? null,
      }))
      await commitOne(bench.store, {
        tx: async (db) => {
          for (const { id, whole, fraction, bytes, flag, note } of rows) {
            const sql = 'insert into items (id, whole, fraction, bytes, flag, note)'
            await db.run(
              `${sql} values ($1, $2, $3, $4, $5, $6)`,
              id,
              whole,
              fraction,
              bytes,
              flag,
              note,
            )
          }
          return {}
        },
      })
      await bench.reopen()

      let found: readonly ItemRow[] = []
      await commitOne(bench.store, {
        tx: async (db) => {
          found = await db.all<ItemRow>('select * from items order by id')
          return {}
        },
      })
      deepEqual(found.map(plain), rows.map(plain))
    },
  },
]

/** What two stores agree on: a flag may be 0 or 1, a bigint that fits is a number. */
function plain(row: ItemRow): Record<string, unknown> {
  return {
    ...row,
    whole: typeof row.whole === 'bigint' ? Number(row.whole) : row.whole,
    bytes: row.bytes instanceof Uint8Array ? Buffer.from(row.bytes).toString('hex') : row.bytes,
    flag: row.flag === null ? null : Number(row.flag),
  }
}
