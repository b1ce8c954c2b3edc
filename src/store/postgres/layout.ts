import { JuncturaError } from '../../kernel/index.ts'
import { integerAt, type Session } from './session.ts'

/**
 * Makes the schema and the row that says who writes, before anyone has the right to write. Runs in
 * a transaction; the lock, which ends with it, lets two processes that start at once take turns.
 */
export const prepareSchema = async (session: Session, schema: string): Promise<void> => {
  await session.rows(`select pg_advisory_xact_lock(hashtextextended($1, 0))`, `junctura ${schema}`)
  const [found] = await session.rows(`select to_regclass($1) is not null`, `${schema}.writer`)
  // Asked first: a user who may not create schemas can work in one that was made for it.
  if (found?.[0] === true) return
  await session.exec(`
    create schema if not exists ${schema};
    create table ${schema}.writer (
      -- One row: the lock on it puts commits in one order, also across processes.
      one boolean primary key default true check (one),
      -- Grows with each taking over; a commit of an earlier one is refused.
      epoch bigint not null,
      owner text not null,
      expires_at timestamptz not null,
      -- Last position given, kept when the partitions that held it are dropped.
      head bigint not null
    );
    insert into ${schema}.writer (epoch, owner, expires_at, head)
      values (0, '', '-infinity', 0);
    create table ${schema}.format (
      number integer primary key, applied_at timestamptz not null default clock_timestamp()
    );`)
}

/**
 * Brings the tables to the format of this release, in the transaction that is open.
 *
 * @throws JUNCTURA_STORE_FORMAT when a later release has written here.
 */
export const migrateFormat = async (session: Session, schema: string): Promise<void> => {
  const [row] = await session.rows(`select coalesce(max(number), 0) from ${schema}.format`)
  const format = integerAt(row, 0)
  if (format > FORMATS.length) {
    throw new JuncturaError('JUNCTURA_STORE_FORMAT', {
      details: { file: `schema ${schema}`, format, known: FORMATS.length },
    })
  }
  for (const [index, statements] of FORMATS.entries()) {
    if (index < format) continue
    await session.exec(statements(schema))
    await session.run(`insert into ${schema}.format (number) values ($1)`, index + 1)
  }
}

/**
 * Only ever added to: what a release has applied is never edited. The tables of the log, of keys
 * and of collections are made by the files that write them.
 */
const FORMATS: readonly ((schema: string) => string)[] = [
  (schema) => `
    create table ${schema}.log_partition (
      id bigint primary key,
      first_position bigint not null,
      created_at_ms bigint not null,
      last_position bigint not null,
      first_at_ms bigint not null,
      last_at_ms bigint not null,
      bytes bigint not null
    );
    create table ${schema}.claim_bucket (bucket bigint primary key);
    create table ${schema}.user_migration (
      name text primary key,
      checksum text not null,
      applied_at timestamptz not null default clock_timestamp()
    );`,
]
