import { JuncturaError } from '../../kernel/index.ts'
import { integerAt, type Session, textAt } from './session.ts'

/**
 * Makes the schema and the table that names its format. Runs in a transaction, under the lock of
 * `lockSchema`.
 */
export const prepareSchema = async (session: Session, schema: string): Promise<void> => {
  const [found] = await session.rows(`select to_regclass($1) is not null`, `${schema}.writer`)
  // Asked first: a user who may not create schemas can work in one that was made for it.
  if (found?.[0] === true) return
  await session.exec(firstTables(schema))
}

/** Ends with the transaction; lets processes that start at once take turns. */
export const lockSchema = async (session: Session, schema: string): Promise<void> => {
  await session.rows(`select pg_advisory_xact_lock(hashtextextended($1, 0))`, `junctura ${schema}`)
}

/** Who holds a store that an earlier release, which has one writer, uses now. */
export interface EarlierWriter {
  readonly owner: string
  /** Changes while its holder lives. */
  readonly lease: string
}

/**
 * Brings the tables to the format of this release, in the transaction that is open. A process of a
 * release that has one writer may still be at work: then nothing is changed, and it is named.
 *
 * @throws JUNCTURA_STORE_FORMAT when a later release has written here.
 */
export const migrateFormat = async (
  session: Session,
  schema: string,
): Promise<EarlierWriter | undefined> => {
  const format = await formatOf(session, schema)
  if (format >= FORMATS.length) return undefined
  if (format > 0 && format < SHARED_FORMAT) {
    const writer = await fenceWriter(session, schema)
    if (writer) return writer
  }
  for (const [index, statements] of FORMATS.entries()) {
    if (index < format) continue
    await session.exec(statements(schema))
    await session.run(`insert into ${schema}.format (number) values ($1)`, index + 1)
  }
  return undefined
}

/** Whether the tables are there in the format of this release: then a start changes nothing. */
export const isCurrent = async (session: Session, schema: string): Promise<boolean> => {
  const [found] = await session.rows(`select to_regclass($1) is not null`, `${schema}.format`)
  return found?.[0] === true && (await formatOf(session, schema)) === FORMATS.length
}

/** Everything that a start would make in an empty database, as text, for whoever makes it. */
export const layoutSql = (schema: string): string =>
  [
    firstTables(schema),
    ...FORMATS.map(
      (statements, index) =>
        `${statements(schema)}\n    insert into ${schema}.format (number) values (${index + 1});`,
    ),
  ].join('\n')

async function formatOf(session: Session, schema: string): Promise<number> {
  const [row] = await session.rows(`select coalesce(max(number), 0) from ${schema}.format`)
  const format = integerAt(row, 0)
  if (format <= FORMATS.length) return format
  throw new JuncturaError('JUNCTURA_STORE_FORMAT', {
    details: { file: `schema ${schema}`, format, known: FORMATS.length },
  })
}

/** Takes the right to write from the last release's writer, once its lease is over. */
async function fenceWriter(session: Session, schema: string): Promise<EarlierWriter | undefined> {
  const fenced = await session.run(
    `update ${schema}.writer set epoch = epoch + 1, owner = '', expires_at = '-infinity'
      where expires_at <= clock_timestamp()`,
  )
  if (fenced === 1) return undefined
  const [row] = await session.rows(`select owner, expires_at::text from ${schema}.writer`)
  return { owner: textAt(row, 0), lease: textAt(row, 1) }
}

/** The format from which several processes share a store. */
const SHARED_FORMAT = 2

const firstTables = (schema: string): string => `
    create schema if not exists ${schema};
    create table ${schema}.writer (
      -- Used up to format 1, when one process wrote. Later formats leave the row, so that a
      -- process of such a release finds its epoch gone and writes nothing more.
      one boolean primary key default true check (one),
      epoch bigint not null,
      owner text not null,
      expires_at timestamptz not null,
      head bigint not null
    );
    insert into ${schema}.writer (epoch, owner, expires_at, head)
      values (0, '', '-infinity', 0);
    create table ${schema}.format (
      number integer primary key, applied_at timestamptz not null default clock_timestamp()
    );`

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
  (schema) => `
    -- The last position is that of the newest record, so that no row is updated by every commit:
    -- while any transaction in the database stays open, the old versions of such a row pile up,
    -- and finding the newest of them takes longer with each commit.
    alter table ${schema}.log_partition
      alter column last_position drop not null,
      alter column first_at_ms drop not null,
      alter column last_at_ms drop not null,
      drop column bytes;
    -- The newest is written: what is known of it is in its table.
    update ${schema}.log_partition set last_position = null, first_at_ms = null, last_at_ms = null
      where id = (select max(id) from ${schema}.log_partition);
    create table ${schema}.layout (
      one boolean primary key default true check (one),
      -- Grows when a table of the log or of keys is made or dropped: whoever knows an older
      -- version reads log_partition and claim_bucket again.
      version bigint not null
    );
    insert into ${schema}.layout (version) values (1);
    create table ${schema}.lease (
      -- What its holder alone may do, for example to run the consumers.
      name text primary key,
      owner text not null,
      -- Grows with each taking over; a commit under an earlier one is refused.
      epoch bigint not null,
      -- By the clock of the database; '-infinity' when it was given back.
      expires_at timestamptz not null,
      -- Of the holder's management API, where one was told.
      url text,
      -- Whether the holder wants to hear of what others append.
      listens boolean not null default false
    );`,
  (schema) => `
    create table ${schema}.server_line (
      one boolean primary key default true check (one),
      -- The history of the server that the store was last used on: its identity and its timeline.
      -- With another one, a replica was promoted or a backup put back.
      line text not null,
      -- What an acknowledged commit survived there.
      durability text not null,
      -- How this history began, as JSON, if the store saw it begin.
      began text
    );`,
  (schema) => `
    -- Numbers the records of one commit, which sets it first, under the lock that orders commits:
    -- so it leaves no gaps. A session that takes many at once writes that down once.
    create sequence ${schema}.next_position cache 1000;
    do $$
    declare newest bigint := (select max(id) from ${schema}.log_partition);
    begin
      if newest is not null then
        execute format('alter table ${schema}.log_%s alter column position
          set default nextval(''${schema}.next_position'')', newest);
      end if;
    end $$;`,
]
