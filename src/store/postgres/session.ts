import type * as Pg from 'pg'
import type { QueryArrayConfig, QueryConfig } from 'pg'
import { assert, LIMITS, loadPeer } from '../../kernel/index.ts'
import { CopyIn } from './copy-in.ts'
import { CopyOut, type CopyTuple } from './copy-out.ts'

/** The part of the package `pg` that the driver uses. */
export type PgModule = Pick<typeof Pg, 'Client' | 'Pool'>

/** Statements of the driver itself; rows come as arrays, in the order of the columns. */
export interface Session {
  /** Statements without values; several may be separated by semicolons. Gives the last command. */
  exec(sql: string): Promise<string>
  /** The same, in one exchange; gives the rows of each. */
  batch(sql: string): Promise<readonly (readonly SqlRow[])[]>
  rows(sql: string, ...values: readonly SqlInput[]): Promise<readonly SqlRow[]>
  /** Number of rows that were written. */
  run(sql: string, ...values: readonly SqlInput[]): Promise<number>
  /** The rows of a query without values, in the binary form of COPY. */
  copyOut<Row>(query: string, options: CopyOutOptions<Row>): Promise<readonly Row[]>
  /**
   * Statements of which one is `copy … from stdin`; gives the rows of the others, values as text.
   * On one connection, not on a pool.
   */
  copyIn(sql: string, data: Uint8Array): Promise<readonly SqlRow[]>
}

export interface CopyOutOptions<Row> {
  readonly read: (tuple: CopyTuple) => Row
  /** Statements before it, which hold as long as it does: `set local …`. */
  readonly settings?: string
}

export type SqlInput =
  | string
  | number
  | Uint8Array
  | null
  | readonly (string | number | Uint8Array | null)[]

export type SqlRow = readonly unknown[]

/** Where pg takes statements: one connection, or a pool of them. */
export type Queryable = Pick<Pg.ClientBase, 'query'> | Pick<Pg.Pool, 'query'>

/**
 * The package is an optional peer: it is looked for when a PostgreSQL store is opened.
 *
 * @throws JUNCTURA_PEER_MISSING when it is not installed.
 */
export const loadPg = async (
  load: () => Promise<PgModule> = () => import('pg'),
): Promise<PgModule> => loadPeer({ package: 'pg', feature: 'the PostgreSQL store' }, load)

/**
 * A statement without an answer by `answerMs` fails; whoever has the connection drops it then.
 * Infinity for what takes as long as it takes.
 */
export const createSession = (
  queryable: Queryable,
  answerMs: number = LIMITS.sqlReadMs,
): Session => {
  const bound = Number.isFinite(answerMs) ? { query_timeout: answerMs } : {}
  const query = async (
    text: string,
    values: readonly SqlInput[],
  ): Promise<{ readonly rows: readonly SqlRow[]; readonly rowCount: number | null }> => {
    const config: BoundedQuery = {
      text,
      values: [...values],
      rowMode: 'array',
      types: TYPES,
      ...bound,
    }
    return await queryable.query(config)
  }
  return {
    async exec(sql) {
      const config: QueryConfig & BoundedAnswer = { text: sql, ...bound }
      const result: unknown = await queryable.query(config)
      const last: unknown = Array.isArray(result) ? result.at(-1) : result
      const command = typeof last === 'object' && last !== null && 'command' in last && last.command
      return typeof command === 'string' ? command : ''
    },
    async batch(sql) {
      const config: BoundedQuery = { text: sql, rowMode: 'array', types: TYPES, ...bound }
      const result: unknown = await queryable.query(config)
      return (Array.isArray(result) ? result : [result]).map(rowsOfResult)
    },
    rows: async (sql, ...values) => (await query(sql, values)).rows,
    run: async (sql, ...values) => (await query(sql, values)).rowCount ?? 0,
    async copyOut(query, { read, settings }) {
      const sql = `copy (${query}) to stdout (format binary)`
      const text = settings === undefined ? sql : `${settings};${sql}`
      const copy = new CopyOut(text, read, answerMs)
      // A pool answers when it is over, also where it has no connection to ask on.
      const asked: unknown = queryable.query(copy)
      await asked
      return await copy.rows
    },
    async copyIn(sql, data) {
      const copy = new CopyIn(sql, data, answerMs)
      queryable.query(copy)
      return await copy.done
    },
  }
}

/** Known to pg and missing in its types. */
export interface BoundedAnswer {
  readonly query_timeout?: number
}

type BoundedQuery = QueryArrayConfig & BoundedAnswer

const rowsOfResult = (result: unknown): readonly SqlRow[] => {
  const rows: unknown =
    typeof result === 'object' && result !== null && 'rows' in result ? result.rows : undefined
  assert(Array.isArray(rows), 'a statement has rows, or none')
  // With `rowMode: 'array'` each of them is an array.
  return rows as readonly SqlRow[]
}

/**
 * How values are read, the same for the driver and for the user's statements: whole numbers as
 * numbers while they are exact, `numeric` and everything that has no form in SqlValue as text.
 */
export const TYPES: Pg.CustomTypesConfig = {
  getTypeParser: (oid: number) => PARSERS[oid] ?? asIs,
}

const asIs = (text: string): string => text

const integer = (text: string): number | bigint => {
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : BigInt(text)
}

const bytea = (text: string): Uint8Array => {
  assert(text.startsWith('\\x'), 'bytea_output is hex, which is the default of PostgreSQL')
  return Buffer.from(text.slice(2), 'hex')
}

/** By the object id of the type, which PostgreSQL keeps for good. */
const PARSERS: Readonly<Record<number, (text: string) => unknown>> = {
  16: (text) => text === 't',
  17: bytea,
  20: integer,
  21: Number,
  23: Number,
  26: Number,
  700: Number,
  701: Number,
}

/** As part of a statement, whatever the server thinks of backslashes. */
export const quote = (text: string): string =>
  `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`

export const quoteBytes = (bytes: Uint8Array): string =>
  `decode('${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')}', 'hex')`

export const integerAt = (row: SqlRow | undefined, column: number): number => {
  const value = row?.[column]
  assert(typeof value === 'number', `column ${column} holds a number`)
  return value
}

export const textAt = (row: SqlRow | undefined, column: number): string => {
  const value = row?.[column]
  assert(typeof value === 'string', `column ${column} holds text`)
  return value
}

export const bytesAt = (row: SqlRow | undefined, column: number): Uint8Array => {
  const value = row?.[column]
  assert(value instanceof Uint8Array, `column ${column} holds bytes`)
  return value
}

/** Cuts rows into statements of bounded size; at least one row each. */
export const chunksOf = <T>(
  items: readonly T[],
  { rowsMax, bytesMax, bytesOf }: ChunkOptions<T>,
): readonly (readonly T[])[] => {
  const chunks: T[][] = []
  let chunk: T[] = []
  let bytes = 0
  for (const item of items) {
    const size = bytesOf(item)
    if (chunk.length > 0 && (chunk.length >= rowsMax || bytes + size > bytesMax)) {
      chunks.push(chunk)
      chunk = []
      bytes = 0
    }
    chunk.push(item)
    bytes += size
  }
  if (chunk.length > 0) chunks.push(chunk)
  return chunks
}

export interface ChunkOptions<T> {
  readonly rowsMax: number
  readonly bytesMax: number
  readonly bytesOf: (item: T) => number
}
