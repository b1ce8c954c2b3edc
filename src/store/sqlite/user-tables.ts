import type { Database, SqlMigration, SqlValue } from '../../contract/index.ts'
import { assert } from '../../kernel/index.ts'
import { openConnection } from './connection.ts'
import { applyMigrations, MIGRATIONS_SCHEMA } from './user-migrations.ts'
import { createUserStatements } from './user-statements.ts'

/**
 * The user's tables in memory, for the memory store: the same engine and the same statements as on
 * disk, and what was not committed is gone after `rollback`.
 */
export interface UserTables {
  /** Statements run inside the savepoint that is open. */
  readonly database: Database
  /** Begins the transaction of the group with its first. */
  savepoint(): void
  release(): void
  undo(): void
  commit(): void
  /** Idempotent; also what a crash does. */
  rollback(): void
  migrate(migrations: readonly SqlMigration[], nowMs: number): void
  /** Reads what is committed. */
  query(sql: string, ...parameters: readonly SqlValue[]): Promise<Record<string, SqlValue>[]>
}

export const createUserTables = (): UserTables => {
  const connection = openConnection({ file: ':memory:' })
  const { db } = connection
  const { database } = createUserStatements(db)
  db.exec(MIGRATIONS_SCHEMA)
  return {
    database,
    savepoint: () => {
      // Most groups have no statements.
      if (!db.isTransaction) connection.run('BEGIN')
      connection.run('SAVEPOINT junctura_unit')
    },
    release: () => connection.run('RELEASE junctura_unit'),
    undo: () => {
      connection.run('ROLLBACK TO junctura_unit')
      connection.run('RELEASE junctura_unit')
    },
    commit: () => {
      if (db.isTransaction) connection.run('COMMIT')
    },
    rollback: () => {
      if (db.isTransaction) connection.run('ROLLBACK')
    },
    migrate: (migrations, nowMs) => applyMigrations(connection, migrations, nowMs),
    query: (sql, ...parameters) => {
      assert(!db.isTransaction, 'user tables are read from outside when no commit is running')
      return database.all(sql, ...parameters)
    },
  }
}
