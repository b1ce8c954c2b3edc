import { JuncturaError } from '../kernel/index.ts'

type Method = (...parameters: never) => unknown

/** A client of `pg` between `begin` and `commit`; not a pool. */
export interface PgHandle {
  readonly query: Method
}

/** What postgres.js hands to the callback of `sql.begin`. */
export interface PostgresJsHandle {
  readonly unsafe: Method
  readonly savepoint: Method
}

/** What Kysely hands to the callback of `db.transaction().execute`. */
export interface KyselyHandle {
  readonly isTransaction: boolean
  readonly executeQuery: Method
}

/** What Drizzle hands to the callback of `db.transaction`, over pg or postgres.js. */
export interface DrizzleHandle {
  readonly rollback: Method
  readonly _: object
}

/** What Prisma hands to the callback of `prisma.$transaction`. */
export interface PrismaHandle {
  readonly $executeRawUnsafe: Method
}

/** A `DatabaseSync` of `node:sqlite` between `begin` and `commit`. */
export interface SqliteHandle {
  readonly prepare: Method
  readonly isTransaction?: boolean
}

/** The user's own open transaction, whatever client it came from. */
export type TransactionHandle =
  | PgHandle
  | PostgresJsHandle
  | KyselyHandle
  | DrizzleHandle
  | PrismaHandle
  | SqliteHandle

/** A transaction as the outbox uses it. */
export interface SqlHandle {
  readonly dialect: 'postgres' | 'sqlite'
  /** Runs one statement of its dialect; says how many rows it wrote. */
  run(sql: string, values: readonly SqlValue[]): Promise<number>
}

export type SqlValue = string | number | Uint8Array | null

/**
 * The handle behind a transaction, recognised by what it can do. The first that fits is taken: a
 * transaction of Drizzle, Kysely and Prisma before the clients that they stand on.
 *
 * @throws JUNCTURA_OUTBOX_HANDLE when it is none that is known, or no open transaction.
 */
export const recogniseHandle = (tx: object): SqlHandle => {
  for (const recognise of ADAPTERS) {
    const handle = recognise(tx)
    if (handle) return handle
  }
  throw handleError('this is no transaction of a client that is known', SUPPORTED)
}

const SUPPORTED =
  'Give the open transaction of pg (a client), postgres.js, Kysely, Drizzle, Prisma or node:sqlite.'

const handleError = (problem: string, fix: string): JuncturaError =>
  new JuncturaError('JUNCTURA_OUTBOX_HANDLE', { details: { problem, fix } })

/** Outside a transaction, the message would commit without the business data, or before it. */
const notOpen = (client: string, fix: string): JuncturaError =>
  handleError(`this is ${client}, but not in a transaction`, fix)

const can = <Name extends string>(
  value: unknown,
  name: Name,
): value is { readonly [N in Name]: (...parameters: unknown[]) => unknown } =>
  (typeof value === 'object' || typeof value === 'function') &&
  value !== null &&
  typeof Reflect.get(value, name) === 'function'

const memberOf = (value: unknown, name: string): unknown =>
  (typeof value === 'object' || typeof value === 'function') && value !== null
    ? Reflect.get(value, name)
    : undefined

/** What clients call the number of rows that a statement wrote. */
const countIn = (result: unknown, name: string): number => Number(memberOf(result, name) ?? 0)

type Adapter = (tx: object) => SqlHandle | undefined

const prisma: Adapter = (tx) => {
  if (!can(tx, '$executeRawUnsafe')) return undefined
  // From 7 on, a transaction can begin one within itself; only the client itself can disconnect.
  if (can(tx, '$disconnect')) {
    throw notOpen('a client of Prisma', 'Pass the tx of prisma.$transaction(async (tx) => …).')
  }
  return {
    dialect: 'postgres',
    run: async (sql, values) => Number(await tx.$executeRawUnsafe(sql, ...values)),
  }
}

const kysely: Adapter = (tx) => {
  if (!can(tx, 'executeQuery') || typeof memberOf(tx, 'isTransaction') !== 'boolean') {
    return undefined
  }
  if (memberOf(tx, 'isTransaction') !== true) {
    throw notOpen('Kysely', 'Pass the trx of db.transaction().execute(async (trx) => …).')
  }
  const executor: unknown = can(tx, 'getExecutor') ? tx.getExecutor() : undefined
  const isSqlite = /sqlite/i.test(nameOfClass(memberOf(executor, 'adapter')))
  return {
    dialect: isSqlite ? 'sqlite' : 'postgres',
    run: async (sql, values) => {
      const query = { kind: 'RawNode', sqlFragments: [sql], parameters: [] }
      const queryId = { queryId: 'junctura' }
      const parameters = [...values]
      const result: unknown = await tx.executeQuery({ sql, parameters, query, queryId })
      return countIn(result, 'numAffectedRows')
    },
  }
}

const nameOfClass = (value: unknown): string => {
  const made: unknown = memberOf(value, 'constructor')
  return typeof made === 'function' ? made.name : ''
}

/** Drizzle stands on a client that is one of the others; its session holds it. */
const drizzle: Adapter = (tx) => {
  const session = memberOf(memberOf(tx, '_'), 'session')
  if (session === undefined) return undefined
  if (!can(tx, 'rollback')) {
    throw notOpen('Drizzle', 'Pass the tx of db.transaction(async (tx) => …).')
  }
  const client = memberOf(session, 'client')
  const known = typeof client === 'object' || typeof client === 'function' ? client : undefined
  return known ? recogniseHandle(known) : undefined
}

const postgresJs: Adapter = (tx) => {
  if (!can(tx, 'unsafe')) return undefined
  if (!can(tx, 'savepoint')) {
    throw notOpen('postgres.js', 'Pass the sql of sql.begin(async (sql) => …).')
  }
  return {
    dialect: 'postgres',
    run: async (sql, values) => countIn(await tx.unsafe(sql, [...values]), 'count'),
  }
}

const pg: Adapter = (tx) => {
  if (!can(tx, 'query')) return undefined
  if (memberOf(tx, 'totalCount') !== undefined) {
    throw notOpen('a pool of pg', 'Take a client with pool.connect(), and begin on it.')
  }
  if (can(tx, 'getTransactionStatus') && tx.getTransactionStatus() === 'I') {
    throw notOpen('a client of pg', "Await client.query('begin') first.")
  }
  return {
    dialect: 'postgres',
    run: async (sql, values) => countIn(await tx.query(sql, [...values].map(asBuffer)), 'rowCount'),
  }
}

/** pg takes any other view of bytes for an object that is to be JSON. */
const asBuffer = (value: SqlValue): SqlValue =>
  value instanceof Uint8Array
    ? Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    : value

const sqlite: Adapter = (tx) => {
  if (!can(tx, 'prepare')) return undefined
  const isOpen = memberOf(tx, 'isTransaction') ?? memberOf(tx, 'inTransaction')
  if (isOpen === false) throw notOpen('a SQLite database', "Run exec('begin immediate') first.")
  return {
    dialect: 'sqlite',
    // Runs before this returns: a transaction that is committed without awaiting it is whole too.
    run: async (sql, values) => {
      const statement: unknown = tx.prepare(sql)
      if (!can(statement, 'run')) throw handleError('its statements cannot run', SUPPORTED)
      return countIn(statement.run(...values), 'changes')
    },
  }
}

const ADAPTERS: readonly Adapter[] = [prisma, kysely, drizzle, postgresJs, pg, sqlite]
