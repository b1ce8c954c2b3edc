import { describe, expect, it } from 'vitest'
import type { Database } from '../contract/index.ts'
import { JuncturaError, sleep } from '../kernel/index.ts'
import { createVirtualClock } from '../testing/index.ts'
import { runTx, type TxOutcome } from './run-tx.ts'

const clock = createVirtualClock()

/** A driver whose statements take `turns` turns of the event loop; `bad` ones are refused. */
const driver = (turns = 0): { readonly database: Database; readonly ran: string[] } => {
  const ran: string[] = []
  const execute = async (sql: string): Promise<void> => {
    for (let turn = 0; turn < turns; turn++) await clock.yield()
    if (sql.startsWith('bad')) throw new JuncturaError('JUNCTURA_USAGE', { details: { sql } })
    ran.push(sql)
  }
  return {
    ran,
    database: {
      run: (sql) => execute(sql).then(() => ({ changes: 1 })),
      all: (sql) => execute(sql).then(() => []),
      get: (sql) => execute(sql).then(() => undefined),
    },
  }
}

const run = <T>(
  database: Database,
  callback: (db: Database) => Promise<T>,
): Promise<TxOutcome<T>> => runTx({ clock, database, callback })

const failedWith = (code: string): object => ({ status: 'failed', error: { code } })

describe('runTx', () => {
  it.each([
    ['a timer', () => sleep(clock, 10)],
    ['turns of the loop', () => clock.yield().then(() => clock.yield())],
    ['something that never settles', () => new Promise<void>(() => undefined)],
  ])('fails a callback that awaits %s, and runs nothing of it any more', async (_, leave) => {
    const { database, ran } = driver()

    const outcome = await run(database, async (db) => {
      await db.run('first')
      await leave()
      await db.run('second')
    })
    await clock.advance(100)

    expect(outcome).toMatchObject(failedWith('JUNCTURA_TX_LEFT'))
    expect(ran).toEqual(['first'])
  })

  it('refuses db once the callback has ended', async () => {
    const { database, ran } = driver()
    let kept: Database | undefined

    await run(database, async (db) => {
      kept = db
    })

    await expect(kept?.run('late')).rejects.toMatchObject({ code: 'JUNCTURA_TX_OVER' })
    expect(ran).toEqual([])
  })

  it('fails with the error of a callback that rejects or throws', async () => {
    const { database } = driver()
    const wanted = new JuncturaError('JUNCTURA_USAGE')
    const thrower = (): Promise<void> => {
      throw wanted
    }

    expect(await run(database, () => Promise.reject(wanted))).toEqual({
      status: 'failed',
      error: wanted,
    })
    expect(await run(database, thrower)).toEqual({ status: 'failed', error: wanted })
  })

  it.each([0, 3])('fails when a statement failed that was caught (%i turns)', async (turns) => {
    const { database, ran } = driver(turns)

    const outcome = await run(database, async (db) => {
      await db.run('bad').catch(() => undefined)
      await db.run('after').catch(() => undefined)
    })

    expect(outcome).toMatchObject(failedWith('JUNCTURA_USAGE'))
    expect(ran).toEqual([])
  })

  it.each([0, 3])(
    'waits for a statement nobody awaited and takes its error (%i)',
    async (turns) => {
      const { database, ran } = driver(turns)
      const fine = await run(database, async (db) => {
        void db.run('forgotten')
      })
      const failing = await run(database, async (db) => {
        void db.run('bad and forgotten')
      })

      expect(fine.status).toBe('done')
      expect(ran).toEqual(['forgotten'])
      expect(failing).toMatchObject(failedWith('JUNCTURA_USAGE'))
    },
  )

  it.each([
    'COMMIT',
    '  rollback',
    '-- a note\nbegin immediate',
    '/* a */ /* b */ SAVEPOINT x',
    'Release x',
    'PRAGMA synchronous = OFF',
    "ATTACH 'x' AS y",
  ])('refuses %j, which is not the callback’s to decide', async (sql) => {
    const { database, ran } = driver()

    const outcome = await run(database, (db) => db.run(sql))

    expect(outcome).toMatchObject(failedWith('JUNCTURA_TX_STATEMENT'))
    expect(ran).toEqual([])
  })

  it.each([0, 1, 7])('gives what the callback returns, after statements of %i turns', async (n) => {
    const { database, ran } = driver(n)

    const outcome = await run(database, async (db) => {
      for (let count = 0; count < 30; count++) await db.run(`statement ${count}`)
      const [row] = await Promise.all([db.get('one'), db.all('many')])
      return row ?? 'nothing'
    })

    expect(outcome).toEqual({ status: 'done', value: 'nothing' })
    expect(ran).toHaveLength(32)
  })
})
