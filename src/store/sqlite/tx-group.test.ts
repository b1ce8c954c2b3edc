import { describe, expect, it } from 'vitest'
import { openSqlite, ORDER_EFFECTS } from '../drivers.fixture.ts'
import type { Unit } from '../store.ts'

const statements =
  (...sql: readonly string[]): NonNullable<Unit['tx']> =>
  async (db) => {
    for (const one of sql) await db.run(one)
    return {}
  }

describe('callbacks that share a savepoint', () => {
  it('are not held to the count that a statement without one has left over', async () => {
    const { store } = await openSqlite()
    await store.migrate([ORDER_EFFECTS])
    const two = `INSERT INTO effects (text) VALUES ('x'), ('y')`

    const outcomes = await store.commit([
      { tx: statements('CREATE TABLE IF NOT EXISTS notes (text TEXT)') },
      { tx: statements(`SELECT 1 FROM effects`) },
      { tx: statements(`WITH one AS (SELECT 1) SELECT * FROM one`) },
      { tx: statements(two, 'INSERT INTO nowhere VALUES (1)') },
      { tx: statements(`INSERT INTO notes VALUES ('kept')`) },
    ])

    expect(outcomes.map(({ status }) => status)).toEqual([
      'committed',
      'committed',
      'committed',
      'failed',
      'committed',
    ])
  })
})
