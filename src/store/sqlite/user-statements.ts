import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import type { Database, SqlValue } from '../../contract/index.ts'
import { JuncturaError, LIMITS } from '../../kernel/index.ts'
import { isEngineFailure } from './sqlite-errors.ts'

/** The user's statements on a connection whose transaction somebody else begins and ends. */
export interface UserStatements {
  readonly database: Database
  /**
   * The failure of the engine or the disk that a statement met since the last call, if any: then
   * the whole transaction is lost, not only the user's part.
   */
  takeEngineFailure(): { readonly error: unknown } | undefined
}

export const createUserStatements = (db: DatabaseSync): UserStatements => {
  const statements = new Map<string, UserStatement>()
  let engineFailure: { readonly error: unknown } | undefined
  const prepare = (sql: string): UserStatement => {
    let statement = statements.get(sql)
    if (statement === undefined) {
      statement = prepareUserStatement(db, sql)
      if (statements.size >= LIMITS.userStatementsMax) {
        const [oldest] = statements.keys()
        if (oldest !== undefined) statements.delete(oldest)
      }
      statements.set(sql, statement)
    }
    return statement
  }
  const guarded = <T>(work: () => T): Promise<T> => {
    try {
      return Promise.resolve(work())
    } catch (error) {
      if (isEngineFailure(error)) engineFailure ??= { error }
      return Promise.reject(error instanceof Error ? error : new Error(String(error)))
    }
  }
  const database: Database = {
    run: (sql, ...parameters) =>
      guarded(() => {
        const { statement, bind } = prepare(sql)
        return { changes: Number(statement.run(bind(parameters)).changes) }
      }),
    // What a row of a statement looks like, only its author can say.
    all: <Row>(sql: string, ...parameters: readonly SqlValue[]) =>
      guarded(() => {
        const { statement, bind } = prepare(sql)
        return statement.all(bind(parameters)).map(plainRow) as Row[]
      }),
    get: <Row>(sql: string, ...parameters: readonly SqlValue[]) =>
      guarded(() => {
        const { statement, bind } = prepare(sql)
        const row = statement.get(bind(parameters))
        return row && (plainRow(row) as Row)
      }),
  }
  return {
    database,
    takeEngineFailure: () => {
      const failure = engineFailure
      engineFailure = undefined
      return failure
    },
  }
}

interface UserStatement {
  readonly statement: StatementSync
  bind(parameters: readonly SqlValue[]): Record<string, SQLInputValue>
}

function prepareUserStatement(db: DatabaseSync, sql: string): UserStatement {
  const bare = withoutTextAndComments(sql)
  refuse(/;\s*\S/.test(bare), 'it holds more than one; write one statement per call')
  refuse(/\bor\s+rollback\b/i.test(bare), 'OR ROLLBACK would undo the work of others')
  refuse(/[?@]|:[a-z_]/i.test(bare), 'values are written $1, $2, as on every store')
  const numbers = [...bare.matchAll(/\$(\d+)/g)].map((match) => Number(match[1]))
  const expected = Math.max(0, ...numbers)
  const names = Array.from({ length: expected }, (_, index) => `$${index + 1}`)
  const used = names.map((_, index) => numbers.includes(index + 1))
  return {
    statement: db.prepare(sql),
    bind(parameters) {
      refuse(
        parameters.length !== expected,
        `it has ${expected} value(s), and ${parameters.length} were given`,
      )
      const named: Record<string, SQLInputValue> = {}
      names.forEach((name, index) => {
        if (used[index]) named[name] = inputValue(parameters[index])
      })
      return named
    },
  }
}

/** Text, quoted names and comments may hold anything; the rest shows the shape. */
const withoutTextAndComments = (sql: string): string =>
  sql.replace(/'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\/\*[^]*?\*\//g, ' ')

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
