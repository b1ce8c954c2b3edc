import type { OutboxCursor } from './cursor.ts'
import type { OutboxLimit } from './outbox-reader.ts'

/**
 * One statement is one snapshot: with two, a row behind could be seen before the row in a gap that
 * its transaction waited for. Values are whole numbers of ours, written into the text so that the
 * planner knows the limit. Columns: what had ended, then the row, as `rowOf` reads it.
 *
 * Plan: an index scan on each part table, merged, that ends with the limit, and sizes added up on
 * the way. Nothing holds the rows, which have the records in them: so there is no order on the
 * outside, where the server would sort what is in order already, and no count.
 */
export const readStatement = (
  table: string,
  { head, gaps }: OutboxCursor,
  { rows, bytes }: OutboxLimit,
): string => {
  const columns = `seq, at, id, type, version, key, fact, payload, headers, record,
      coalesce(octet_length(record), octet_length(payload::text), 0) as size`
  const tail = `(select ${columns} from ${table} where seq > ${head} order by seq limit ${rows})`
  const lows = gaps.map(({ from }) => from).join(',')
  const highs = gaps.map(({ to }) => to).join(',')
  const late = `(select late.* from unnest('{${lows}}'::bigint[], '{${highs}}'::bigint[]) as gap(low, high)
      cross join lateral (select ${columns} from ${table}
        where seq between gap.low and gap.high order by seq limit ${rows}) as late
      order by seq limit ${rows})`
  const found = gaps.length === 0 ? tail : `${late} union all ${tail}`
  return `with moment as materialized (select pg_snapshot_xmin(pg_current_snapshot())::text as ended),
    page as (select * from (${found}) as found order by seq limit ${rows}),
    sized as (select *, sum(size) over (order by seq rows unbounded preceding) - size as before
      from page)
  select ended, seq, (extract(epoch from at) * 1000)::bigint, id, type, version, key, fact,
    payload::text, headers::text, record
  from moment left join sized on before < ${bytes}`
}

/**
 * The lowest id of a transaction that holds the outbox's tables open for writing; null where none
 * does, an empty text where it cannot be told. A writer holds that lock from before it draws a
 * number until its end is visible. Prepared transactions hold it too, under a name with their id.
 */
export const writersStatement = (table: string): string =>
  `with locks as materialized (
     select locktype, mode, database, relation, virtualtransaction as holder, transactionid
     from pg_locks),
   writers as (
     select distinct holder from locks where locktype = 'relation' and mode = 'RowExclusiveLock'
       and database = (select oid from pg_database where datname = current_database())
       and (relation = '${table}'::regclass or relation in
         (select inhrelid from pg_inherits where inhparent = '${table}'::regclass))),
   ids as (
     select holder, case when holder like '-1/%' then split_part(holder, '/', 2)
       else (select transactionid::text from locks where locks.holder = writers.holder
         and locktype = 'transactionid' and mode = 'ExclusiveLock' limit 1) end as id
     from writers)
   select pg_current_xact_id()::text, coalesce(array_agg(coalesce(id, '')), '{}')::text from ids`

/** The tables that take turns: the highest number in each. */
export const partsStatement = (schema: string, parts: readonly number[]): string => {
  const highest = parts.map((part) => `(select max(seq) from "${schema}".junctura_outbox_${part})`)
  return `select ${highest.join(', ')}`
}

/**
 * Empties one table, unless something in it is not moved: looked at once nobody can write to it any
 * more. Somebody who has it open keeps it, and is not waited for: those behind would wait as well.
 */
export const emptyStatement = (part: string, watermark: number): string =>
  `do $$ declare isNeeded boolean; begin
     perform set_config('lock_timeout', '50ms', true);
     lock table ${part} in access exclusive mode;
     select exists (select 1 from ${part} where seq > ${watermark}) into isNeeded;
     if not isNeeded then truncate ${part}; end if;
   exception when lock_not_available then null; end $$`
