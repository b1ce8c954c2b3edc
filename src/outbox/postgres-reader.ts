import type * as Pg from 'pg'
import type { QueryArrayConfig } from 'pg'
import { assert, type Clock, JuncturaError, loadPeer } from '../kernel/index.ts'
import { CopyOut, type CopyTuple } from '../store/index.ts'
import { type OutboxCursor, watermarkOf } from './cursor.ts'
import {
  BACKLOG_COUNTED_MAX,
  type OutboxLimit,
  type OutboxPage,
  type OutboxReader,
  type OutboxRow,
} from './outbox-reader.ts'
import { OUTBOX_PARTS, OUTBOX_TURN_BITS } from './outbox-sql.ts'
import {
  emptyStatement,
  partsStatement,
  readStatement,
  writersStatement,
} from './postgres-statements.ts'
import { wentBack } from './went-back.ts'

export interface PostgresReaderOptions {
  readonly name: string
  readonly url: string
  readonly schema: string
  readonly clock: Pick<Clock, 'monotonicMs'>
  /** Told when the server ends the connection between two statements. */
  readonly onLost?: (error: Error) => void
}

/** A server that does not answer is gone; its socket may say so only hours later. */
const ANSWER_MS_MAX = 60_000
const CONNECT_MS_MAX = 10_000
/** A table that is written to for so long is left, so that it can be emptied. */
const TURN_MS = 600_000
/** The table of what was processed is looked at as often. */
const INBOX_MS = 600_000

/**
 * Reads an outbox in PostgreSQL over one connection of its own, which may go through a pooler: it
 * keeps nothing in its session.
 *
 * @throws JUNCTURA_PEER_MISSING when `pg` is not installed.
 * @throws JUNCTURA_OUTBOX_REFUSED when the table is not as `junctura outbox sql` makes it, or the
 *   database is older than what was moved from it.
 */
export const openPostgresReader = async (
  options: PostgresReaderOptions,
  cursor: OutboxCursor,
): Promise<OutboxReader> => {
  const { Client } = await loadPg()
  const client = new Client({
    connectionString: options.url,
    connectionTimeoutMillis: CONNECT_MS_MAX,
    query_timeout: ANSWER_MS_MAX,
    keepAlive: true,
    application_name: `junctura-relay ${options.name}`.slice(0, 63),
  })
  // Without a listener, an end of the connection would end the process.
  client.on('error', (error) => options.onLost?.(error))
  try {
    await client.connect()
    const session = sessionOf(client)
    await checkTable(session, options, cursor)
    return readerOf(session, options)
  } catch (error) {
    await client.end().catch(() => undefined)
    throw error
  }
}

/** A package in CommonJS: what it exports is its default here. */
const loadPg = async (): Promise<Pick<typeof Pg, 'Client'>> =>
  (await loadPeer({ package: 'pg', feature: 'an outbox in PostgreSQL' }, () => import('pg')))
    .default

interface Session {
  rows(sql: string): Promise<readonly (readonly unknown[])[]>
  copied<Row>(query: string, read: (tuple: CopyTuple) => Row): Promise<readonly Row[]>
  close(): Promise<void>
}

function sessionOf(client: Pg.Client): Session {
  return {
    async rows(text) {
      const config: QueryArrayConfig = { text, rowMode: 'array', types: TYPES }
      return (await client.query(config)).rows
    },
    copied(query, read) {
      const copy = new CopyOut(`copy (${query}) to stdout (format binary)`, read)
      client.query(copy)
      return copy.rows
    },
    close: () => client.end(),
  }
}

/** By the object id of the type, which PostgreSQL keeps for good; anything else stays text. */
const PARSERS: Readonly<Record<number, (text: string) => unknown>> = {
  16: (text) => text === 't',
  20: Number,
  21: Number,
  23: Number,
}

const TYPES: Pg.CustomTypesConfig = {
  getTypeParser: (oid: number) => PARSERS[oid] ?? ((text: string) => text),
}

async function checkTable(
  session: Session,
  { name: outbox, schema }: PostgresReaderOptions,
  { head }: OutboxCursor,
): Promise<void> {
  const fix = `Run: junctura outbox sql --schema ${schema} | psql`
  const refuse = (problem: string, what = fix): JuncturaError =>
    new JuncturaError('JUNCTURA_OUTBOX_REFUSED', { details: { outbox, problem, fix: what } })
  const [found] = await session.rows(
    `select to_regclass('"${schema}".junctura_outbox') is not null, pg_is_in_recovery(),
       (select cache_size from pg_sequences
        where schemaname = '${schema}' and sequencename = 'junctura_outbox_seq')`,
  )
  if (found?.[0] !== true) throw refuse(`there is no table ${schema}.junctura_outbox`)
  if (found[1] === true) {
    throw refuse(
      'this server is a standby, which cannot draw a transaction id',
      'Name the primary.',
    )
  }
  // A session that keeps numbers for later would write one long after its gap was closed.
  if (found[2] !== 1) {
    throw refuse('its sequence is missing, or hands out numbers in lots', `${fix}, with cache 1`)
  }
  const last = await lastNumber(session, schema)
  if (last >= head) return
  throw wentBack(outbox, { last, head })
}

async function lastNumber(session: Session, schema: string): Promise<number> {
  const [row] = await session.rows(
    `select case when is_called then last_value else 0 end from "${schema}".junctura_outbox_seq`,
  )
  return integerOf(row?.[0])
}

const integerOf = (value: unknown): number => {
  const number = Number(value)
  assert(Number.isSafeInteger(number), 'a number of the database is exact')
  return number
}

function readerOf(session: Session, options: PostgresReaderOptions): OutboxReader {
  const { schema } = options
  const table = `"${schema}".junctura_outbox`
  return {
    async read(cursor, limit) {
      const found = await session.copied(readStatement(table, cursor, limit), rowOf)
      return pageOf(found, limit)
    },
    async fence() {
      return integerOf((await session.rows('select pg_current_xact_id()::text'))[0]?.[0])
    },
    async writersEndedBelow() {
      const [row] = await session.rows(writersStatement(table))
      return lowestWriter(integerOf(row?.[0]), String(row?.[1]))
    },
    clean: createCleaner(session, options),
    async backlog(cursor) {
      const { head } = cursor
      const [row] = await session.rows(
        `select (select count(*) from (select 1 from ${table} where seq > ${head}
           limit ${BACKLOG_COUNTED_MAX + 1}) as counted),
           (select (extract(epoch from at) * 1000)::bigint from ${table} where seq > ${head}
            order by seq limit 1)`,
      )
      const waiting = integerOf(row?.[0])
      return {
        waiting: Math.min(waiting, BACKLOG_COUNTED_MAX),
        isMore: waiting > BACKLOG_COUNTED_MAX,
        oldestAtMs: row?.[1] === null ? undefined : integerOf(row?.[1]),
      }
    },
    close: () => session.close(),
  }
}

interface Found {
  readonly endedBelow: number
  /** Without one where nothing was found: a read says at least when it was. */
  readonly row: OutboxRow | undefined
}

function pageOf(found: readonly Found[], limit: OutboxLimit): OutboxPage {
  const [first] = found
  assert(first !== undefined, 'a read says at least when it was')
  const rows = found.flatMap(({ row }) => row ?? [])
  const isAscending = rows.every(({ seq }, at) => seq > (rows[at - 1]?.seq ?? 0))
  // Cut by its bytes, with the row that reached them.
  const isFull = rows.reduce((bytes, row) => bytes + sizeOf(row), 0) >= limit.bytes
  return {
    rows: isAscending ? rows : rows.toSorted((a, b) => a.seq - b.seq),
    isComplete: !isFull && rows.length < limit.rows,
    endedBelow: first.endedBelow,
  }
}

const sizeOf = ({ record, payload }: OutboxRow): number =>
  record?.length ?? (payload === null ? 0 : Buffer.byteLength(payload))

function rowOf(tuple: CopyTuple): Found {
  const endedBelow = integerOf(tuple.text())
  const seq = tuple.integer()
  if (seq === null) return { endedBelow, row: undefined }
  const row: OutboxRow = {
    seq: integerOf(seq),
    atMs: integerOf(tuple.integer()),
    id: tuple.text() ?? '',
    type: tuple.text() ?? '',
    version: tuple.integer(),
    key: tuple.text(),
    fact: tuple.text(),
    payload: tuple.text(),
    headers: tuple.text(),
    record: tuple.bytes(),
  }
  return { endedBelow, row }
}

/**
 * Ids of locks have 32 bits; they are all within 2^31 of an id that was just drawn. Where a writer
 * shows no id, nothing can be told this time.
 */
function lowestWriter(drawn: number, holders: string): number {
  const ids = holders.slice(1, -1).split(',')
  if (holders === '{}') return drawn
  let lowest = drawn
  for (const id of ids) {
    if (!/^\d+$/.test(id)) return 0
    const age = ((((drawn % ID_RANGE) - Number(id)) % ID_RANGE) + ID_RANGE) % ID_RANGE
    // An id drawn after this statement's own is younger still.
    if (age < ID_RANGE / 2) lowest = Math.min(lowest, drawn - age)
  }
  return lowest
}

const ID_RANGE = 2 ** 32

/**
 * Empties tables whose turn is over and in which everything is moved. The turn of a quiet outbox is
 * ended by drawing what is left of its numbers: setting the sequence could set it back, if others
 * drew from it at that moment, and numbers that come twice would be taken for moved.
 */
function createCleaner(
  session: Session,
  { schema, clock }: PostgresReaderOptions,
): (cursor: OutboxCursor) => Promise<void> {
  const parts = Array.from({ length: OUTBOX_PARTS }, (_, part) => part)
  let turn = -1
  let turnSinceMs = 0
  let inboxAtMs = -Infinity
  return async (cursor) => {
    const last = await lastNumber(session, schema)
    const [highest = []] = await session.rows(partsStatement(schema, parts))
    const current = Math.floor(last / TURN)
    const watermark = watermarkOf(cursor)
    for (const part of parts) {
      const top = highest[part]
      if (top === null || integerOf(top) > watermark || part === current % OUTBOX_PARTS) continue
      await session.rows(emptyStatement(`"${schema}".junctura_outbox_${part}`, watermark))
    }
    const nowMs = clock.monotonicMs()
    if (turn !== current) turnSinceMs = nowMs
    turn = current
    const isUsed = highest[current % OUTBOX_PARTS] !== null
    if (isUsed && nowMs - turnSinceMs >= TURN_MS) await endTurn(session, schema, last)
    if (nowMs - inboxAtMs >= INBOX_MS) {
      inboxAtMs = nowMs
      await session.rows(`select "${schema}".junctura_inbox_clean()`)
    }
  }
}

const TURN = 2 ** OUTBOX_TURN_BITS

async function endTurn(session: Session, schema: string, last: number): Promise<void> {
  const left = TURN - (last % TURN)
  await session.rows(
    `select count(nextval('"${schema}".junctura_outbox_seq')) from generate_series(1, ${left})`,
  )
}
