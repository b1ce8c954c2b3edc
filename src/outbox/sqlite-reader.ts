import { resolve } from 'node:path'
import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { assert, JuncturaError } from '../kernel/index.ts'
import { type OutboxCursor, watermarkOf } from './cursor.ts'
import { wentBack } from './went-back.ts'
import {
  BACKLOG_COUNTED_MAX,
  type OutboxPage,
  type OutboxReader,
  type OutboxRow,
} from './outbox-reader.ts'

export interface SqliteReaderOptions {
  readonly name: string
  readonly file: string
}

/** Removed at once: the user's own writers wait meanwhile. */
const REMOVED_MAX = 2_000

/**
 * Reads an outbox in a SQLite file. Writers of SQLite take turns, so numbers become visible in
 * their order and a missing one was never committed. Statements run on the event loop, each over a
 * bounded number of rows; a lock that somebody holds is an error at once, never a wait.
 *
 * @throws JUNCTURA_OUTBOX_REFUSED when the file or the table is missing, or is older than what was
 *   moved from it.
 */
export const openSqliteReader = async (
  { name, file }: SqliteReaderOptions,
  cursor: OutboxCursor,
): Promise<OutboxReader> => {
  // Loaded when a source is opened: who only emits over PostgreSQL needs no SQLite.
  const sqlite = await import('node:sqlite')
  let db: DatabaseSync
  try {
    db = new sqlite.DatabaseSync(fileUrl(file), { timeout: 0 })
  } catch (cause) {
    throw tableError(name, `${file} cannot be opened`, cause)
  }
  try {
    checkTable(db, name, cursor)
    return readerOf(db)
  } catch (error) {
    db.close()
    throw error
  }
}

/** An empty file is never made: it would hide that the path is wrong. */
function fileUrl(file: string): URL {
  const url = pathToFileURL(resolve(file))
  url.search = '?mode=rw'
  return url
}

const tableError = (outbox: string, problem: string, cause?: unknown): JuncturaError =>
  new JuncturaError('JUNCTURA_OUTBOX_REFUSED', {
    cause,
    details: { outbox, problem, fix: 'Run: junctura outbox sql --dialect sqlite | sqlite3 FILE' },
  })

function checkTable(db: DatabaseSync, outbox: string, { head }: OutboxCursor): void {
  const row = db
    .prepare("select sql from sqlite_schema where type = 'table' and name = 'junctura_outbox'")
    .get()
  if (!row) throw tableError(outbox, 'the file has no table junctura_outbox')
  if (!/autoincrement/i.test(String(row['sql']))) {
    throw tableError(outbox, 'its column seq is not autoincrement, so numbers could come again')
  }
  const last = lastNumber(db)
  if (last >= head) return
  throw wentBack(outbox, { last, head })
}

const lastNumber = (db: DatabaseSync): number => {
  const row = db.prepare("select seq from sqlite_sequence where name = 'junctura_outbox'").get()
  return Number(row?.['seq'] ?? 0)
}

function readerOf(db: DatabaseSync): OutboxReader {
  const select = db.prepare(
    `select seq, cast(unixepoch(at, 'subsec') * 1000 as integer) as atMs, id, type, version, key,
       fact, payload, headers, record
     from junctura_outbox where seq > ? order by seq limit ?`,
  )
  const version = db.prepare('pragma data_version')
  const oldest = db.prepare(
    `select cast(unixepoch(at, 'subsec') * 1000 as integer) as atMs
     from junctura_outbox where seq > ? order by seq limit 1`,
  )
  const counted = db.prepare(
    'select count(*) as n from (select 1 from junctura_outbox where seq > ? limit ?)',
  )
  const remove = db.prepare(
    `delete from junctura_outbox where seq <= ?
     and seq <= (select min(seq) from junctura_outbox) + ${REMOVED_MAX}`,
  )
  const forget = removeOldInbox(db)
  let seen: unknown
  let seenHead = -1
  return {
    async read({ head }, limit) {
      // Nobody has committed since the table was read to its end: nothing to look for.
      const now = version.get()?.['data_version']
      if (now === seen && head === seenHead) return EMPTY
      const rows = takeRows(select.iterate(head, limit.rows), limit.bytes)
      const isComplete = rows.length === 0
      if (isComplete) {
        seen = now
        seenHead = head
      }
      return { rows, isComplete, endedBelow: Infinity }
    },
    fence: async () => 0,
    writersEndedBelow: async () => Infinity,
    async clean(cursor) {
      remove.run(watermarkOf(cursor))
      forget?.run()
    },
    async backlog({ head }) {
      const waiting = Number(counted.get(head, BACKLOG_COUNTED_MAX + 1)?.['n'] ?? 0)
      const atMs = oldest.get(head)?.['atMs']
      return {
        waiting: Math.min(waiting, BACKLOG_COUNTED_MAX),
        isMore: waiting > BACKLOG_COUNTED_MAX,
        oldestAtMs: typeof atMs === 'number' ? atMs : undefined,
      }
    },
    async close() {
      db.close()
    },
  }
}

const EMPTY: OutboxPage = { rows: [], isComplete: true, endedBelow: Infinity }

/** Notes of what was processed are kept for two weeks, where the file has that table. */
function removeOldInbox(db: DatabaseSync): StatementSync | undefined {
  const has = db.prepare("select 1 from sqlite_schema where name = 'junctura_inbox'").get()
  if (!has) return undefined
  return db.prepare(
    `delete from junctura_inbox where (consumer, message_id) in (
       select consumer, message_id from junctura_inbox
       where at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-14 days') order by at limit ${REMOVED_MAX})`,
  )
}

function takeRows(
  found: Iterable<Record<string, SQLOutputValue>>,
  bytesMax: number,
): readonly OutboxRow[] {
  const rows: OutboxRow[] = []
  let bytes = 0
  for (const row of found) {
    const read = readRow(row)
    rows.push(read)
    bytes += (read.record?.length ?? 0) + (read.payload?.length ?? 0)
    if (bytes >= bytesMax) break
  }
  return rows
}

function readRow(row: Record<string, SQLOutputValue>): OutboxRow {
  const { seq, atMs, record } = row
  assert(typeof seq === 'number', 'seq is a number')
  const text = (name: string): string | null => (row[name] === null ? null : String(row[name]))
  return {
    seq,
    atMs: typeof atMs === 'number' ? atMs : 0,
    id: String(row['id']),
    type: String(row['type']),
    version: typeof row['version'] === 'number' ? row['version'] : null,
    key: text('key'),
    fact: text('fact'),
    payload: text('payload'),
    headers: text('headers'),
    record: record instanceof Uint8Array ? record : null,
  }
}
