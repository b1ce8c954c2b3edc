import type { SqlMigration } from '../../contract/index.ts'
import { isJuncturaError, JuncturaError, messageOf } from '../../kernel/index.ts'
import { type Connection, textAt } from './connection.ts'
import { transaction } from './log-writer.ts'
import { isEngineFailure } from './sqlite-errors.ts'

export const MIGRATIONS_SCHEMA = `
  CREATE TABLE IF NOT EXISTS junctura_migrations (
    name TEXT PRIMARY KEY NOT NULL, checksum TEXT NOT NULL, applied_at_ms INTEGER NOT NULL
  ) WITHOUT ROWID;
`

/**
 * Applies what has not been applied, in the order given, each with its mark in one transaction.
 *
 * @throws JUNCTURA_MIGRATION_CHANGED when an applied one has other statements now.
 * @throws JUNCTURA_MIGRATION_FAILED when its statements fail; nothing of it was applied.
 */
export const applyMigrations = (
  writer: Connection,
  migrations: readonly SqlMigration[],
  nowMs: number,
): void => {
  const applied = new Map(
    writer
      .rows('SELECT name, checksum FROM junctura_migrations')
      .map((row) => [textAt(row, 0), textAt(row, 1)]),
  )
  for (const { name, checksum } of migrations) {
    const before = applied.get(name)
    if (before !== undefined && before !== checksum) {
      throw new JuncturaError('JUNCTURA_MIGRATION_CHANGED', { details: { name } })
    }
  }
  for (const migration of migrations) {
    if (!applied.has(migration.name)) applyOne(writer, migration, nowMs)
    applied.set(migration.name, migration.checksum)
  }
}

function applyOne(writer: Connection, migration: SqlMigration, nowMs: number): void {
  const { name, checksum, sqlite } = migration
  const failed = (problem: string, cause?: unknown): JuncturaError =>
    new JuncturaError('JUNCTURA_MIGRATION_FAILED', { details: { name, problem }, cause })
  if (/\binitially\s+deferred\b/i.test(sqlite)) {
    // Checked only at the commit, where it would fail the work of everybody in the group.
    throw failed('a constraint may not be INITIALLY DEFERRED')
  }
  try {
    transaction(writer, () => {
      writer.db.exec(sqlite)
      if (!writer.db.isTransaction) throw failed('its statements end the transaction')
      writer.run(
        'INSERT INTO junctura_migrations (name, checksum, applied_at_ms) VALUES (?, ?, ?)',
        name,
        checksum,
        nowMs,
      )
    })
  } catch (error) {
    if (isJuncturaError(error) || isEngineFailure(error)) throw error
    throw failed(messageOf(error), error)
  }
}
