import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import type { Database, SqlValue } from '../../contract/index.ts'
import { JuncturaError, LIMITS } from '../../kernel/index.ts'
import { isEngineFailure } from './sqlite-errors.ts'

/** The user's statements on a connection whose transaction somebody else begins and ends. */
export interface UserStatements {
  /** @throws what is wrong with the statement, and what the engine says. */
  run(sql: string, parameters: readonly SqlValue[]): { readonly changes: number }
  all(sql: string, parameters: readonly SqlValue[]): unknown[]
  get(sql: string, parameters: readonly SqlValue[]): unknown
  /** The same as promises. */
  readonly database: Database
  /**
   * The failure of the engine or the disk that a statement met since the last call, if any: then
   * the whole transaction is lost, not only the user's part.
   */
  takeEngineFailure(): { readonly error: unknown } | undefined
}

export interface UserStatementsOptions {
  /** Looks at a statement before it is prepared; throws where it may not be run. */
  readonly check?: (sql: string) => void
}

export const createUserStatements = (
  db: DatabaseSync,
  { check }: UserStatementsOptions = {},
): UserStatements => {
  const statements = new Map<string, UserStatement>()
  let engineFailure: { readonly error: unknown } | undefined
  const prepare = (sql: string): UserStatement => {
    let statement = statements.get(sql)
    if (statement === undefined) {
      check?.(sql)
      statement = prepareUserStatement(db, sql)
      if (statements.size >= LIMITS.userStatementsMax) {
        const [oldest] = statements.keys()
        if (oldest !== undefined) statements.delete(oldest)
      }
      statements.set(sql, statement)
    }
    return statement
  }
  const noted = (error: unknown): Error => {
    if (isEngineFailure(error)) engineFailure ??= { error }
    return error instanceof Error ? error : new Error(String(error))
  }
  const run: UserStatements['run'] = (sql, parameters) => {
    try {
      const { statement, expected } = prepare(sql)
      const { changes } = statement.run(...bound(parameters, expected))
      return { changes: Number(changes) }
    } catch (error) {
      throw noted(error)
    }
  }
  const all: UserStatements['all'] = (sql, parameters) => {
    try {
      const { statement, expected } = prepare(sql)
      return statement.all(...bound(parameters, expected)).map(plainRow)
    } catch (error) {
      throw noted(error)
    }
  }
  const get: UserStatements['get'] = (sql, parameters) => {
    try {
      const { statement, expected } = prepare(sql)
      const row = statement.get(...bound(parameters, expected))
      return row && plainRow(row)
    } catch (error) {
      throw noted(error)
    }
  }
  return {
    run,
    all,
    get,
    database: databaseOf({ run, all, get }),
    takeEngineFailure: () => {
      const failure = engineFailure
      engineFailure = undefined
      return failure
    },
  }
}

/** Statements that are done when they return, as the asynchronous ones that callbacks know. */
export const databaseOf = (statements: Pick<UserStatements, 'run' | 'all' | 'get'>): Database => ({
  run: (sql, ...parameters) => promised(() => statements.run(sql, parameters)),
  // What a row of a statement looks like, only its author can say.
  all: <Row>(sql: string, ...parameters: readonly SqlValue[]) =>
    promised(() => statements.all(sql, parameters) as Row[]),
  get: <Row>(sql: string, ...parameters: readonly SqlValue[]) =>
    promised(() => statements.get(sql, parameters) as Row | undefined),
})

function promised<T>(work: () => T): Promise<T> {
  try {
    return Promise.resolve(work())
  } catch (error) {
    const refused = Promise.reject(error)
    // A callback that drops it must not end the process; the transaction knows of it.
    refused.catch(() => undefined)
    return refused
  }
}

interface UserStatement {
  readonly statement: StatementSync
  /** Values that it takes. */
  readonly expected: number
}

function prepareUserStatement(db: DatabaseSync, sql: string): UserStatement {
  const bare = withoutTextAndComments(sql)
  refuse(/;\s*\S/.test(bare), 'it holds more than one; write one statement per call')
  refuse(/\bor\s+rollback\b/i.test(bare), 'OR ROLLBACK would undo the work of others')
  refuse(/[?@]|:[a-z_]/i.test(bare), 'values are written $1, $2, as on every store')
  const numbers = [...bare.matchAll(/\$(\d+)/g)].map((match) => Number(match[1]))
  const expected = Math.max(0, ...numbers)
  return { statement: db.prepare(withPlaces(sql)), expected }
}

/** `?1` for `$1`: the engine takes values by place faster than by name. */
const withPlaces = (sql: string): string =>
  sql.replace(new RegExp(`${TEXT_OR_COMMENT}|\\$(\\d+)`, 'g'), (whole, number?: string) =>
    number === undefined ? whole : `?${number}`,
  )

function bound(parameters: readonly SqlValue[], expected: number): readonly SQLInputValue[] {
  if (parameters.length !== expected) {
    refuse(true, `it has ${expected} value(s), and ${parameters.length} were given`)
  }
  for (const value of parameters) {
    if (typeof value === 'boolean' || value === undefined) return parameters.map(inputValue)
  }
  // Neither of the two is left.
  return parameters as readonly SQLInputValue[]
}

/** Text, quoted names and comments may hold anything; the rest shows the shape. */
const TEXT_OR_COMMENT = String.raw`'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\/\*[^]*?\*\/`

const withoutTextAndComments = (sql: string): string =>
  sql.replace(new RegExp(TEXT_OR_COMMENT, 'g'), ' ')

function inputValue(value: SqlValue | undefined): SQLInputValue {
  if (typeof value === 'boolean') return value ? 1 : 0
  refuse(value === undefined, 'undefined is no value; write null')
  return value ?? null
}

function refuse(condition: boolean, problem: string): void {
  if (condition) throw new JuncturaError('JUNCTURA_TX_STATEMENT', { details: { problem } })
}

/** Plain objects, where the engine gives ones without a prototype. */
const plainRow = (row: Record<string, SQLOutputValue>): Record<string, SQLOutputValue> => ({
  ...row,
})
