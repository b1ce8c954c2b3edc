import {
  DatabaseSync,
  type SQLInputValue,
  type SQLOutputValue,
  type StatementSync,
} from 'node:sqlite'
import { assert } from '../../kernel/index.ts'

/** One connection with its prepared statements; internal statements give rows as arrays. */
export interface Connection {
  readonly db: DatabaseSync
  prepare(sql: string): StatementSync
  /** Rows of a cached statement. */
  rows(sql: string, ...parameters: readonly SQLInputValue[]): readonly SqlRow[]
  /** First row of a cached statement. */
  first(sql: string, ...parameters: readonly SQLInputValue[]): SqlRow | undefined
  run(sql: string, ...parameters: readonly SQLInputValue[]): void
  /** Forgets statements that name a table which is about to be dropped. */
  forget(table: string): void
  close(): void
}

export type SqlRow = readonly SQLOutputValue[]

export interface ConnectionOptions {
  readonly file: string
  readonly readOnly?: boolean
  /** How long a statement waits for another process, and the loop with it. @default 1_000 */
  readonly busyMs?: number
}

/**
 * 8 KiB pages hold seven records of 1 KB where 4 KiB ones hold three: a fifth more records a
 * second in groups of a hundred, a twentieth fewer one at a time.
 */
export const PAGE_BYTES = 8_192

export const openConnection = (options: ConnectionOptions): Connection => {
  const { file, readOnly = false, busyMs = 1_000 } = options
  const db = new DatabaseSync(file, { readOnly })
  db.exec(`PRAGMA busy_timeout = ${busyMs}`)
  const statements = new Map<string, StatementSync>()
  const prepare = (sql: string): StatementSync => {
    let statement = statements.get(sql)
    if (statement === undefined) {
      statement = db.prepare(sql)
      statement.setReturnArrays(true)
      statements.set(sql, statement)
    }
    return statement
  }
  return {
    db,
    prepare,
    rows: (sql, ...parameters) =>
      prepare(sql)
        .all(...parameters)
        .map(asRow),
    first: (sql, ...parameters) => {
      const row = prepare(sql).get(...parameters)
      return row === undefined ? undefined : asRow(row)
    },
    run: (sql, ...parameters) => void prepare(sql).run(...parameters),
    forget: (table) => {
      for (const sql of statements.keys()) {
        if (new RegExp(`\\b${table}\\b`).test(sql)) statements.delete(sql)
      }
    },
    close: () => {
      statements.clear()
      if (db.isOpen) db.close()
    },
  }
}

/**
 * How the writer commits: in a write-ahead log, so that other processes read meanwhile. `WalSync`
 * syncs it at each commit, so that an answer survives the loss of power; `WalFold` moves its pages
 * into the file.
 */
export const setUpWriter = ({ db }: Connection): void => {
  db.exec(`
    PRAGMA page_size = ${PAGE_BYTES};
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA wal_autocheckpoint = 0;
    PRAGMA checkpoint_fullfsync = ON;
    PRAGMA journal_size_limit = 67108864;
  `)
  setUpReader(db)
}

export const setUpReader = (db: DatabaseSync): void => {
  db.exec(`
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -32768;
    PRAGMA cell_size_check = ON;
    PRAGMA trusted_schema = OFF;
  `)
}

/** `setReturnArrays` was called, which the engine's types do not say. */
export const asRow = (row: unknown): SqlRow => {
  assert(Array.isArray(row), 'a row is an array')
  return row as SqlRow
}

export const integerAt = (row: SqlRow, column: number): number => {
  const value = row[column]
  assert(typeof value === 'number', `column ${column} holds a number`)
  return value
}

export const textAt = (row: SqlRow, column: number): string => {
  const value = row[column]
  assert(typeof value === 'string', `column ${column} holds text`)
  return value
}

export const bytesAt = (row: SqlRow, column: number): Uint8Array => {
  const value = row[column]
  assert(value instanceof Uint8Array, `column ${column} holds bytes`)
  return value
}
