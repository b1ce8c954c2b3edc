import type { SqlMigration } from '../../contract/index.ts'
import { isJuncturaError, JuncturaError, messageOf } from '../../kernel/index.ts'
import { isEngineFailure } from './postgres-errors.ts'
import { type Session, textAt } from './session.ts'

/** Ends with the transaction; lets processes that start at once apply a migration once. */
export const lockMigrations = async (session: Session, schema: string): Promise<void> => {
  const name = `junctura ${schema} migrations`
  await session.rows(`select pg_advisory_xact_lock(hashtextextended($1, 0))`, name)
}

/**
 * The migrations still to be applied, in order.
 *
 * @throws JUNCTURA_MIGRATION_CHANGED when an applied one has other statements now.
 * @throws JUNCTURA_MIGRATION_DIALECT when one to be applied has no statements for PostgreSQL.
 */
export const pendingMigrations = async (
  session: Session,
  schema: string,
  migrations: readonly SqlMigration[],
): Promise<readonly SqlMigration[]> => {
  const rows = await session.rows(`select name, checksum from ${schema}.user_migration`)
  const applied = new Map(rows.map((row) => [textAt(row, 0), textAt(row, 1)]))
  const pending: SqlMigration[] = []
  for (const migration of migrations) {
    const { name, checksum, postgres } = migration
    const before = applied.get(name)
    if (before !== undefined && before !== checksum) {
      throw new JuncturaError('JUNCTURA_MIGRATION_CHANGED', { details: { name } })
    }
    if (before !== undefined) continue
    if (postgres === undefined) {
      const details = { name, dialect: 'postgres' }
      throw new JuncturaError('JUNCTURA_MIGRATION_DIALECT', { details })
    }
    applied.set(name, checksum)
    pending.push(migration)
  }
  return pending
}

/**
 * Applies one in the transaction that is open, with the mark that it was.
 *
 * @throws JUNCTURA_MIGRATION_FAILED when its statements fail; the caller rolls back.
 */
export const applyMigration = async (
  session: Session,
  schema: string,
  migration: SqlMigration,
): Promise<void> => {
  const { name, checksum, postgres = '' } = migration
  const failed = (problem: string, cause?: unknown): JuncturaError =>
    new JuncturaError('JUNCTURA_MIGRATION_FAILED', { details: { name, problem }, cause })
  const transactionOf = async (): Promise<string> =>
    textAt((await session.rows('select pg_current_xact_id()::text'))[0], 0)
  try {
    const before = await transactionOf()
    await session.exec(postgres)
    if ((await transactionOf()) !== before) throw failed('its statements end the transaction')
    await session.run(
      `insert into ${schema}.user_migration (name, checksum) values ($1, $2)`,
      name,
      checksum,
    )
  } catch (error) {
    if (isJuncturaError(error) || isEngineFailure(error)) throw error
    throw failed(messageOf(error), error)
  }
}
