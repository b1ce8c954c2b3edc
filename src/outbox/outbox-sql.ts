import { checkSchema, OUTBOX_SCHEMA } from '../contract/index.ts'
import { LIMITS } from '../kernel/index.ts'

/** How many tables take turns; each is emptied as a whole once everything in it is moved. */
export const OUTBOX_PARTS = 4
/** Numbers of one turn: 2^17. The relay may use up the rest of a turn to end it early. */
export const OUTBOX_TURN_BITS = 17
/** Turns of the inbox table, each of a week. */
const INBOX_PARTS = 4
const INBOX_TURN_SECONDS = 604_800

export interface OutboxSqlOptions {
  /** @default 'postgres' */
  readonly dialect?: 'postgres' | 'sqlite'
  /** PostgreSQL only. @default 'public' */
  readonly schema?: string
}

/**
 * The statements that make the outbox and inbox tables in the user's own database: what a migration
 * of the user's takes up. They may run again.
 *
 * @throws JUNCTURA_DECLARATION for a schema that is no name.
 */
export const outboxSql = (options: OutboxSqlOptions = {}): string =>
  options.dialect === 'sqlite'
    ? sqliteSql()
    : postgresSql(checkSchema(options.schema ?? OUTBOX_SCHEMA, 'schema'))

/** A table of the outbox, qualified, so that no search path decides where a message goes. */
export const outboxTable = (dialect: 'postgres' | 'sqlite', schema: string): string =>
  dialect === 'sqlite' ? 'junctura_outbox' : `"${schema}".junctura_outbox`

const inboxTable = (dialect: 'postgres' | 'sqlite', schema: string): string =>
  dialect === 'sqlite' ? 'junctura_inbox' : `"${schema}".junctura_inbox`

const numbers = (count: number): readonly number[] => Array.from({ length: count }, (_, at) => at)

const qualify =
  (schema: string) =>
  (name: string): string =>
    `"${schema}".${name}`

const postgresSql = (schema: string): string =>
  [postgresOutbox(schema), postgresInbox(schema), postgresGrants(schema)].join('\n')

function postgresOutbox(schema: string): string {
  const at = qualify(schema)
  const parts = numbers(OUTBOX_PARTS).map(
    (part) =>
      `create table if not exists ${at(`junctura_outbox_${part}`)}
  partition of ${at('junctura_outbox')} for values in (${part}) with (autovacuum_enabled = off);`,
  )
  return `-- The outbox of Junctura, for PostgreSQL 15 or later.
${schema === OUTBOX_SCHEMA ? '' : `create schema if not exists "${schema}";\n`}
-- One row for each message that a transaction emits. Rows are inserted and never changed; the relay
-- moves them into the log and then empties whole tables, so no row is ever deleted.
create sequence if not exists ${at('junctura_outbox_seq')} as bigint cache 1;

create table if not exists ${at('junctura_outbox')} (
  -- Never write it. Asking for the transaction's id first is what makes a number that is missing
  -- tell whose it is: by then the transaction has an id, and the relay can wait for its end.
  seq bigint not null default (case when pg_current_xact_id() is not null
    then nextval('${at('junctura_outbox_seq')}') end),
  at timestamptz not null default clock_timestamp(),
  id text not null default 'msg_' || replace(gen_random_uuid()::text, '-', ''),
  -- Name of the contract; its version, the latest where it is null.
  type text not null,
  version integer,
  -- Messages of one key keep their order; where it is null, the contract's key is read from payload.
  key text,
  -- What identifies the fact, where the contract names one; written by outbox(tx).emit.
  fact text,
  -- Either the data as JSON, checked when it is moved, or a whole record of outbox(tx).emit.
  payload json,
  record bytea,
  -- correlationid, causationid, traceparent, tracestate; each may be missing.
  headers json,
  check (num_nonnulls(payload, record) = 1),
  -- What fits into no record of the log is refused here, where the writer sees it.
  check (coalesce(octet_length(record), octet_length(payload::text)) <= ${LIMITS.recordBytesMax})
) partition by list (((seq >> ${OUTBOX_TURN_BITS}) & ${OUTBOX_PARTS - 1}));

-- Nothing in them is updated or deleted, and they are emptied as a whole: there is nothing to vacuum.
${parts.join('\n')}
-- The relay reads in this order.
create index if not exists junctura_outbox_by_seq on ${at('junctura_outbox')} (seq);

-- For any language: select ${at('junctura_outbox_emit')}('orders.placed', '{"orderId": "1"}');
create or replace function ${at('junctura_outbox_emit')}(
  type text, payload json, key text default null, version integer default null,
  headers json default null
) returns text language sql as $$
  insert into ${at('junctura_outbox')} (type, payload, key, version, headers)
  values ($1, $2, $3, $4, $5) returning id
$$;
`
}

function postgresInbox(schema: string): string {
  const at = qualify(schema)
  const parts = numbers(INBOX_PARTS).map(
    (part) =>
      `create table if not exists ${at(`junctura_inbox_${part}`)}
  partition of ${at('junctura_inbox')} for values in (${part});`,
  )
  return `-- Which messages a consumer has processed: inbox(tx).process. A row is found for at least two weeks.
-- It is written for this week and for the next, so that two transactions on either side of midnight
-- meet in one unique index.
create table if not exists ${at('junctura_inbox')} (
  part smallint not null,
  consumer text not null,
  message_id text not null,
  at timestamptz not null default clock_timestamp(),
  primary key (consumer, message_id, part)
) partition by list (part);

${parts.join('\n')}

-- True for the first call with a message id, which then does the work in the same transaction.
create or replace function ${at('junctura_inbox_claim')}(consumer text, message_id text)
returns boolean language plpgsql as $$
declare written integer;
begin
  ${inboxInsert('postgres', schema)};
  get diagnostics written = row_count;
  return written = 2;
end $$;

-- Empties the table that comes after next week's. The relay calls it; without one, call it weekly.
create or replace function ${at('junctura_inbox_clean')}() returns void language plpgsql as $$
declare
  week bigint := floor(extract(epoch from clock_timestamp()) / ${INBOX_TURN_SECONDS});
  part text := format('${at('junctura_inbox_%s')}', (week + 2) % ${INBOX_PARTS});
  young boolean;
  used boolean;
begin
  execute format('select exists (select 1 from %s)', part) into used;
  if not used then return; end if;
  perform set_config('lock_timeout', '50ms', true);
  execute format('lock table %s in access exclusive mode', part);
  execute format('select exists (select 1 from %s where at > clock_timestamp() - interval ''7 days'')', part)
    into young;
  if not young then execute format('truncate %s', part); end if;
exception when lock_not_available then null; -- Somebody reads it: another time.
end $$;
`
}

function postgresGrants(schema: string): string {
  const at = qualify(schema)
  return `-- Whoever emits needs:
--   grant insert on ${at('junctura_outbox')} to WRITER;
--   grant usage on sequence ${at('junctura_outbox_seq')} to WRITER;
--   grant select, insert on ${at('junctura_inbox')} to WRITER;
-- The relay owns the tables, or needs select and truncate on each junctura_outbox table, select and
-- update on the sequence, and select and truncate on each junctura_inbox table.
`
}

/**
 * Claims the first value (consumer) with the second (message id). On PostgreSQL two rows written
 * mean that nobody had, on SQLite one.
 */
export function inboxInsert(dialect: 'postgres' | 'sqlite', schema: string): string {
  const table = inboxTable(dialect, schema)
  if (dialect === 'sqlite') {
    return `insert or ignore into ${table} (consumer, message_id) values (?1, ?2)`
  }
  return `insert into ${table} (part, consumer, message_id)
  select (week + next) % ${INBOX_PARTS}, $1, $2
  from (select floor(extract(epoch from clock_timestamp()) / ${INBOX_TURN_SECONDS})::bigint as week) as clock,
    generate_series(0, 1) as next
  where not exists (select 1 from ${table} as old where old.consumer = $1 and old.message_id = $2)
  on conflict do nothing`
}

function sqliteSql(): string {
  return `-- The outbox of Junctura, for SQLite.

-- One row for each message that a transaction emits. Rows are inserted and never changed; the relay
-- moves them into the log and then removes them from the beginning.
create table if not exists junctura_outbox (
  -- Never write it, and never without autoincrement: a number that was used must not come again.
  seq integer primary key autoincrement,
  at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  id text not null default ('msg_' || lower(hex(randomblob(16)))),
  -- Name of the contract; its version, the latest where it is null.
  type text not null,
  version integer,
  -- Messages of one key keep their order; where it is null, the contract's key is read from payload.
  key text,
  -- What identifies the fact, where the contract names one; written by outbox(tx).emit.
  fact text,
  -- Either the data as JSON, checked when it is moved, or a whole record of outbox(tx).emit.
  payload text check (payload is null or json_valid(payload)),
  record blob,
  -- correlationid, causationid, traceparent, tracestate; each may be missing.
  headers text check (headers is null or json_valid(headers)),
  check ((payload is null) <> (record is null)),
  -- What fits into no record of the log is refused here, where the writer sees it.
  check (coalesce(length(record), length(cast(payload as blob))) <= ${LIMITS.recordBytesMax})
);

-- Which messages a consumer has processed: inbox(tx).process. A row is kept for two weeks.
create table if not exists junctura_inbox (
  consumer text not null,
  message_id text not null,
  at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  primary key (consumer, message_id)
) without rowid;

create index if not exists junctura_inbox_by_time on junctura_inbox (at);
`
}
