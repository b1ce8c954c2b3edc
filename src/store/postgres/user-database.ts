import type { ClientBase, QueryConfig } from 'pg'
import type { Database, SqlValue } from '../../contract/index.ts'
import { JuncturaError, LIMITS } from '../../kernel/index.ts'
import { isEngineFailure } from './postgres-errors.ts'
import { type BoundedAnswer, TYPES } from './session.ts'

/** The user's statements in a transaction that the store begins and ends. */
export interface UserDatabase {
  readonly database: Database
  /** A failure of the server or the connection that a statement met: the group is lost with it. */
  readonly engineFailure: { readonly error: unknown } | undefined
}

export const createUserDatabase = (client: Pick<ClientBase, 'query'>): UserDatabase => {
  let engineFailure: { readonly error: unknown } | undefined
  let turn: Promise<unknown> = Promise.resolve()
  const query = (text: string, values: readonly SqlValue[]): Promise<QueryAnswer> => {
    // One connection takes one statement at a time, also when a callback starts two at once.
    const answer = turn.then(async () => {
      if (values.includes(undefined as never)) throw undefinedValue()
      // The extended protocol takes one statement only: none can end the transaction on the side.
      const config: ExtendedQuery = {
        text,
        values: [...values],
        types: TYPES,
        queryMode: 'extended',
        // The server ends it before; this is for one that is not heard of any more.
        query_timeout: LIMITS.sqlStatementMs + LIMITS.sqlAnswerMs,
      }
      return await client.query(config)
    })
    turn = answer.catch((error: unknown) => {
      if (isEngineFailure(error)) engineFailure ??= { error }
    })
    return answer
  }
  return {
    get engineFailure() {
      return engineFailure
    },
    database: {
      run: async (sql, ...values) => ({ changes: (await query(sql, values)).rowCount ?? 0 }),
      all: async <Row>(sql: string, ...values: readonly SqlValue[]) =>
        asUserRows<Row>((await query(sql, values)).rows),
      get: async <Row>(sql: string, ...values: readonly SqlValue[]) =>
        asUserRows<Row>((await query(sql, values)).rows)[0],
    },
  }
}

interface QueryAnswer {
  readonly rows: unknown[]
  readonly rowCount: number | null
}

interface ExtendedQuery extends QueryConfig, BoundedAnswer {
  /** Known to pg since 8.12 and missing in its types. */
  readonly queryMode: 'extended'
}

const undefinedValue = (): JuncturaError =>
  new JuncturaError('JUNCTURA_TX_STATEMENT', {
    details: { problem: 'undefined is no value; write null' },
  })

/** The caller says what a row of its own statement looks like. */
const asUserRows = <Row>(rows: unknown[]): Row[] => rows as Row[]
