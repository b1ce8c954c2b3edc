import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { must } from '../../kernel/index.ts'
import {
  append,
  claim,
  openSqlite,
  ORDER_EFFECTS,
  temporaryDirectory,
  textsOf,
  unitOf,
} from '../drivers.fixture.ts'
import type { Store } from '../store.ts'
import { STORE_FORMAT } from './format.ts'

const kilobytes = (count: number): string => 'x'.repeat(count * 1_024)

const fillUp = async (
  store: Store,
): Promise<{ readonly taken: number; readonly error: unknown }> => {
  for (let taken = 0; ; taken++) {
    const unit = unitOf(kilobytes(20), { claims: [claim(`fill ${taken}`)] })
    const error = await store.commit([unit]).then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    if (error !== undefined) return { taken, error }
  }
}

describe('a full disk', () => {
  it('refuses the commit, serves reads, and takes more when there is room again (F20)', async () => {
    const { store } = await openSqlite({ fileBytesMax: 2_000_000, partitionBytesMax: 300_000 })

    const { taken, error } = await fillUp(store)
    const again = store.commit([unitOf(kilobytes(20), { claims: [claim(`fill ${taken}`)] })])
    await expect(again).rejects.toMatchObject({ code: 'JUNCTURA_STORE_FULL' })

    expect(error).toMatchObject({ code: 'JUNCTURA_STORE_FULL' })
    expect(taken).toBeGreaterThan(10)
    expect(await store.headPosition()).toBe(taken)
    expect(await textsOf(store)).toHaveLength(taken)
    expect(await store.claimedPosition('acme', `fill ${taken}`)).toBeUndefined()
    await store.dropPartition(must((await store.partitions())[0], 'there is one').id)
    const unit = unitOf('after', { claims: [claim(`fill ${taken}`)] })
    const [outcome] = await store.commit([unit])
    expect(outcome).toEqual({ status: 'committed', positions: [taken + 1] })
    expect(await store.check()).toEqual([])
  })

  it('met by a statement of the user undoes the whole group, and only that (F20)', async () => {
    const { store } = await openSqlite({ fileBytesMax: 1_500_000 })
    await store.migrate([ORDER_EFFECTS])

    const commit = store.commit([
      unitOf('before', { claims: [claim('before')] }),
      {
        tx: async (db) => {
          await db.run('INSERT INTO effects (text) VALUES ($1)', kilobytes(3_000))
          return {}
        },
      },
    ])

    await expect(commit).rejects.toMatchObject({ code: 'JUNCTURA_STORE_FULL' })
    expect(await store.headPosition()).toBe(0)
    expect(await store.claimedPosition('acme', 'before')).toBeUndefined()
    expect(await store.commit([unitOf('after')])).toMatchObject([{ positions: [1] }])
  })
})

describe('the directory of a store', () => {
  it('refuses a second store, and names the process that has it (F28)', async () => {
    const { directory, store } = await openSqlite()

    await expect(openSqlite({ directory })).rejects.toMatchObject({
      code: 'JUNCTURA_STORE_LOCKED',
      details: { directory, pid: process.pid },
    })
    await store.close()
    await openSqlite({ directory })
  })

  it('refuses a store of a newer release and leaves it as it is', async () => {
    const { directory, store } = await openSqlite()
    await store.close()
    const file = join(directory, 'junctura.db')
    const newer = new DatabaseSync(file)
    newer.exec('PRAGMA user_version = 99')
    newer.close()
    const before = readFileSync(file)

    await expect(openSqlite({ directory })).rejects.toMatchObject({
      code: 'JUNCTURA_STORE_FORMAT',
      details: { file, format: 99, known: STORE_FORMAT },
    })
    expect(readFileSync(file)).toEqual(before)
  })

  it('refuses a database of somebody else and a file that is none', async () => {
    const directory = temporaryDirectory()
    const file = join(directory, 'junctura.db')
    const foreign = new DatabaseSync(file)
    foreign.exec('CREATE TABLE theirs (a)')
    foreign.close()
    const before = readFileSync(file)

    const damaged = { code: 'JUNCTURA_STORE_DAMAGED', details: { file } }
    await expect(openSqlite({ directory })).rejects.toMatchObject(damaged)
    expect(readFileSync(file)).toEqual(before)
    writeFileSync(file, 'not a database, but long enough to be taken for one'.repeat(400))
    await expect(openSqlite({ directory })).rejects.toMatchObject(damaged)
  })

  it('is named when it cannot be used (F26)', async () => {
    const directory = join(temporaryDirectory(), 'taken')
    writeFileSync(directory, 'a file')

    await expect(openSqlite({ directory })).rejects.toMatchObject({
      code: 'JUNCTURA_STORE_FAILED',
      message: expect.stringContaining(directory),
    })
  })

  it('is left tidy by close: one file holds everything', async () => {
    const { directory, store } = await openSqlite()
    await store.commit([unitOf('a')])
    expect(await store.sizeBytes()).toBeGreaterThan(100_000)

    await store.close()

    expect(existsSync(join(directory, 'junctura.db-wal'))).toBe(false)
    expect(existsSync(join(directory, 'junctura.pid'))).toBe(false)
  })
})

describe('the catalogue of a newer release', () => {
  it('adds an index to rows that are there, and finds them by it', async () => {
    const { directory, store } = await openSqlite()
    await store.commit([
      {
        rows: [3, 1, 2].map((dueAtMs) => ({
          collection: 'timers',
          key: `${dueAtMs}`,
          row: { owner: 'o', reference: 'r', dueAtMs },
        })),
      },
    ])
    await store.close()
    const older = new DatabaseSync(join(directory, 'junctura.db'))
    older.exec(`DROP INDEX junctura_state_timers_byDue;
      ALTER TABLE junctura_state_timers DROP COLUMN field_dueAtMs;
      DROP TABLE junctura_state_alerts`)
    older.close()

    const { store: upgraded } = await openSqlite({ directory })

    const query = { collection: 'timers', index: 'byDue', from: 2, limit: 9 } as const
    expect((await upgraded.scan(query)).map(({ key }) => key)).toEqual(['2', '3'])
    expect(await upgraded.count({ collection: 'alerts' })).toBe(0)
  })

  it('finds rows through their index, not by reading all of them', async () => {
    const { directory } = await openSqlite()
    const reader = new DatabaseSync(join(directory, 'junctura.db'), { readOnly: true })
    const plan = reader
      .prepare(
        `EXPLAIN QUERY PLAN SELECT key, value, checksum FROM junctura_state_deadLetters
         WHERE field_consumer IS NOT NULL AND field_state IS NOT NULL
           AND field_diedAtMs IS NOT NULL AND field_consumer = ? AND field_state = ?
           AND (field_diedAtMs, key) > (?, ?)
         ORDER BY field_consumer, field_state, field_diedAtMs, key LIMIT ?`,
      )
      .all()
    reader.close()

    const text = JSON.stringify(plan)
    expect(text).toContain('junctura_state_deadLetters_byConsumer')
    expect(text).not.toContain('TEMP B-TREE')
  })
})

describe('the log', () => {
  it('looks through long stretches of other channels without losing its place', async () => {
    const { store } = await openSqlite()
    for (let batch = 0; batch < 20; batch++) {
      const appends = Array.from({ length: 1_000 }, () => append('n', { channel: 'noise' }))
      await store.commit([{ appends }])
      if (batch === 0 || batch === 18) await store.commit([unitOf(`${batch}`)])
    }

    const found: string[] = []
    let after = 0
    for (let page = 0; page < 10; page++) {
      const query = { channel: 'orders', afterPosition: after, limit: 100, bytesMax: 1e6 }
      const { records, scannedTo } = await store.readLog(query)
      found.push(...records.map(({ bytes }) => Buffer.from(bytes).toString()))
      after = scannedTo
    }

    expect(found).toEqual(['0', '18'])
    expect(after).toBe(await store.headPosition())
    const backwards = { channel: 'orders', beforePosition: 30_000, limit: 5 }
    expect((await store.readLogBackwards(backwards)).map(({ position }) => position)).toEqual([
      19_002, 1_001,
    ])
    expect(await textsOf(store, 'no such channel')).toEqual([])
  })
})
