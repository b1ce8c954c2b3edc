import type { Pool } from 'pg'
import type { Features, SqlMigration } from '../../contract/index.ts'
import { type Clock, JuncturaError, LIMITS, type Random } from '../../kernel/index.ts'
import type { CollectionName, Row } from '../catalogue.ts'
import { runTx } from '../run-tx.ts'
import type {
  BackwardsQuery,
  ClaimedKey,
  KeyedRow,
  LogPage,
  LogPartition,
  LogQuery,
  RowWrite,
  ScanQuery,
  Store,
  StoredRecord,
  StoreProblem,
  Unit,
  UnitOutcome,
} from '../store.ts'
import { type CheckedWork, checkClaims, checkWork, failedCommit } from '../unit-check.ts'
import { checkStore, durabilityOf } from './check-store.ts'
import { type ClaimTables, createClaimTables } from './claim-tables.ts'
import { migrateFormat, prepareSchema } from './layout.ts'
import { createLogTables, type LogTables } from './log-tables.ts'
import { isConflict, isEngineFailure, isUndefinedTable, storeErrorOf } from './postgres-errors.ts'
import { createSession, integerAt, loadPg, type Session } from './session.ts'
import { createStateTables, type StateTables } from './state-tables.ts'
import { claimId, createUnitGroup, type UnitGroup } from './unit-group.ts'
import { createUserDatabase } from './user-database.ts'
import { applyMigration, pendingMigrations } from './user-migrations.ts'
import { closedError, Writer, type WriterTransaction } from './writer.ts'

export interface PostgresStoreOptions {
  /** For example `postgres://user:password@host:5432/database`; never shown in an error. */
  readonly url: string
  /**
   * Holds everything of Junctura's; the user's own tables live in `public`.
   *
   * @default 'junctura'
   */
  readonly schema?: string
  readonly clock: Clock
  readonly random: Random
  /** @default LIMITS.partitionBytesMax */
  readonly partitionBytesMax?: number
  /** @default LIMITS.partitionMs */
  readonly partitionMs?: number
  /**
   * How long the store stays taken after its process has died.
   *
   * @default LIMITS.writerLeaseMs
   */
  readonly leaseMs?: number
}

/** On a server with fsync on; one that replicates, or does not sync, is seen when it is opened. */
export const POSTGRES_FEATURES: Features = {
  engine: 'postgres',
  durability: 'fsync',
  unitOfOrder: 'key',
  transactions: true,
  multiProcess: false,
  sql: 'postgres',
  recordBytesMax: LIMITS.recordBytesMax,
}

/**
 * Opens the store in a PostgreSQL database, for one process at a time, and makes what is missing.
 * A process that died may hold it for `leaseMs`; that long this waits.
 *
 * @throws JUNCTURA_PEER_MISSING when the package `pg` is not installed.
 * @throws JUNCTURA_STORE_LOCKED when another process has it open.
 * @throws JUNCTURA_STORE_FORMAT when a later release has written it.
 * @throws JUNCTURA_STORE_FAILED when the server cannot be reached or refuses.
 */
export const createPostgresStore = async (options: PostgresStoreOptions): Promise<Store> => {
  const pg = await loadPg()
  const { url, clock, random, schema = 'junctura', leaseMs = LIMITS.writerLeaseMs } = options
  checkSchemaName(schema)
  const owner = `${Buffer.from(random.bytes(4)).toString('hex')}, process ${process.pid}`
  const writer = new Writer({ pg, url, schema, clock, leaseMs, owner })
  const claims = createClaimTables(schema)
  const state = createStateTables(schema)
  const log = createLogTables({
    schema,
    partitionBytesMax: options.partitionBytesMax ?? LIMITS.partitionBytesMax,
    partitionMs: options.partitionMs ?? LIMITS.partitionMs,
  })
  try {
    await writer.open((session) => prepareSchema(session, schema))
    const durability = await writer.exclusively(() =>
      writer.transaction(async ({ session, head }) => {
        await migrateFormat(session, schema)
        await state.create(session)
        await log.load(session, head)
        await claims.load(session)
        return await durabilityOf(session)
      }),
    )
    const pool = new pg.Pool({
      connectionString: url,
      max: LIMITS.postgresReadersMax,
      keepAlive: true,
      application_name: `junctura reader ${schema}`,
    })
    // A reader that breaks while idle is replaced by the pool.
    pool.on('error', () => undefined)
    return new PostgresStore({ schema, clock, durability, writer, pool, claims, state, log })
  } catch (error) {
    await writer.close()
    throw error
  }
}

interface StoreParts {
  readonly schema: string
  readonly clock: Clock
  readonly durability: Features['durability']
  readonly writer: Writer
  readonly pool: Pool
  readonly claims: ClaimTables
  readonly state: StateTables
  readonly log: LogTables
}

/**
 * One transaction per commit on the writer's connection; readers have connections of their own.
 *
 * Units are decided in order, in memory, against what the transaction has looked up at its start;
 * their records, keys and rows are written together at the end. Only a unit with statements of the
 * user's needs a savepoint. A commit that another transaction stood in the way of is run again as
 * a whole, unless a callback of the user's has run: that one is called once, so the commit fails.
 */
class PostgresStore implements Store {
  readonly features: Features
  readonly #parts: StoreParts
  readonly #reader: Session
  #closing: Promise<void> | undefined

  constructor(parts: StoreParts) {
    this.#parts = parts
    this.#reader = createSession(parts.pool)
    this.features = { ...POSTGRES_FEATURES, durability: parts.durability }
  }

  commit(
    units: readonly Unit[],
    finish?: (outcomes: readonly UnitOutcome[]) => readonly RowWrite[],
  ): Promise<readonly UnitOutcome[]> {
    return this.#write(async () => {
      for (let tries = 1; ; tries++) {
        const called = { callbacks: 0 }
        try {
          return await this.#commitOnce(units, finish, called)
        } catch (error) {
          const again = isConflict(error) && called.callbacks === 0 && tries < LIMITS.commitTriesMax
          if (!again) throw failedCommit(storeErrorOf(error, this.#parts.schema))
        }
      }
    })
  }

  readLog(query: LogQuery): Promise<LogPage> {
    return this.#read((session) => this.#parts.log.page(session, query))
  }

  readLogBackwards(query: BackwardsQuery): Promise<readonly StoredRecord[]> {
    return this.#read((session) => this.#parts.log.backwards(session, query))
  }

  recordAt(position: number): Promise<StoredRecord | undefined> {
    return this.#read((session) => this.#parts.log.at(session, position))
  }

  headPosition(): Promise<number> {
    return this.#read(async () => this.#parts.log.head)
  }

  claimedPosition(scope: string, key: string): Promise<number | undefined> {
    const { claims, clock } = this.#parts
    const claim = { scope, key }
    return this.#read(async (session) =>
      (await claims.taken(session, [claim], clock.now())).get(claimId(claim)),
    )
  }

  row<C extends CollectionName>(collection: C, key: string): Promise<Row<C> | undefined> {
    return this.#read((session) => this.#parts.state.row(session, collection, key))
  }

  scan<C extends CollectionName>(query: ScanQuery<C>): Promise<readonly KeyedRow<C>[]> {
    return this.#read((session) => this.#parts.state.scan(session, query))
  }

  count<C extends CollectionName>(
    query: Pick<ScanQuery<C>, 'collection' | 'index' | 'where'>,
  ): Promise<number> {
    return this.#read((session) => this.#parts.state.count(session, query))
  }

  async partitions(): Promise<readonly LogPartition[]> {
    return this.#parts.log.list()
  }

  dropPartition(id: number): Promise<void> {
    return this.#write(async () => {
      const settle = await this.#parts.writer.transaction(({ session }) =>
        this.#parts.log.drop(session, id),
      )
      settle?.()
    })
  }

  expireClaims(nowMs: number): Promise<void> {
    return this.#write(async () => {
      const { claims, writer } = this.#parts
      const ended = claims.expired(nowMs)
      if (ended.length === 0) return
      const settle = await writer.transaction(({ session }) => claims.drop(session, ended))
      settle()
    })
  }

  migrate(tables: readonly SqlMigration[]): Promise<void> {
    const { writer, schema } = this.#parts
    return this.#write(async () => {
      const pending = await writer.transaction(({ session }) =>
        pendingMigrations(session, schema, tables),
      )
      for (const migration of pending) {
        await writer.transaction(({ session }) => applyMigration(session, schema, migration))
      }
    })
  }

  check(): Promise<readonly StoreProblem[]> {
    const { schema, log, state } = this.#parts
    return this.#read((session) => checkStore({ session, schema, log, state }))
  }

  sizeBytes(): Promise<number | undefined> {
    return this.#read(async (session) => {
      const [row] = await session.rows(
        `select coalesce(sum(pg_total_relation_size(oid)), 0)::bigint from pg_class
          where relnamespace = $1::regnamespace and relkind = 'r'`,
        this.#parts.schema,
      )
      return integerAt(row, 0)
    })
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      await this.#parts.writer.close()
      await this.#parts.pool.end()
    })()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #commitOnce(
    units: readonly Unit[],
    finish: ((outcomes: readonly UnitOutcome[]) => readonly RowWrite[]) | undefined,
    called: { callbacks: number },
  ): Promise<readonly UnitOutcome[]> {
    const { writer, claims, state, log, clock } = this.#parts
    const nowMs = clock.now()
    const { outcomes, settle } = await writer.transaction(async (transaction) => {
      const { session, head } = transaction
      if (head !== log.head) throw writer.distrust(`the last position is ${head} there`)
      const group = createUnitGroup({
        head,
        taken: await claims.taken(session, units.flatMap(keysOf), nowMs),
        present: await state.present(
          session,
          units.flatMap((unit) => unit.guards ?? []),
        ),
      })
      const outcomes: UnitOutcome[] = []
      for (const unit of units) {
        if (unit.tx) called.callbacks += 1
        outcomes.push(await this.#runUnit({ transaction, group, nowMs }, unit))
      }
      for (const write of finish?.(outcomes) ?? []) group.put(write)
      const settleLog = await log.append(session, group.appends, nowMs)
      const settleClaims = await claims.write(session, group.claims, nowMs)
      await state.write(session, group.rows)
      await transaction.advance(group.head)
      return { outcomes, settle: [settleLog, settleClaims] }
    })
    for (const settled of settle) settled()
    return outcomes
  }

  async #runUnit({ transaction, group, nowMs }: OpenGroup, unit: Unit): Promise<UnitOutcome> {
    let work: CheckedWork
    try {
      work = checkWork(unit)
      checkClaims(unit, work.appends.length)
    } catch (error) {
      return { status: 'failed', error }
    }
    const refusal = group.refusalOf(unit)
    if (refusal) return refusal
    if (unit.tx) {
      const returned = await this.#runStatements(transaction, unit.tx)
      if ('status' in returned) return returned
      const keys = keysOf({ appends: returned.appends })
      group.learn(await this.#parts.claims.taken(transaction.session, keys, nowMs))
      work = {
        appends: [...work.appends, ...returned.appends],
        rows: [...work.rows, ...returned.rows],
      }
    }
    return group.add(unit.claims ?? [], work)
  }

  /** Runs a unit's callback under a savepoint; a failure of it leaves the transaction usable. */
  async #runStatements(
    { client, session }: WriterTransaction,
    callback: NonNullable<Unit['tx']>,
  ): Promise<CheckedWork | Extract<UnitOutcome, { status: 'failed' }>> {
    const user = createUserDatabase(client)
    await session.exec(BEGIN_UNIT)
    const outcome = await runTx({
      clock: this.#parts.clock,
      database: user.database,
      callback: async (db) => checkWork(await callback(db)),
    })
    if (user.engineFailure) throw user.engineFailure.error
    if (outcome.status === 'done') {
      try {
        await session.exec(CHECK_UNIT)
        return outcome.value
      } catch (error) {
        if (isEngineFailure(error)) throw error
        await session.exec(UNDO_UNIT)
        return { status: 'failed', error }
      }
    }
    await session.exec(UNDO_UNIT)
    return { status: 'failed', error: outcome.error }
  }

  async #write<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await this.#parts.writer.exclusively(work)
    } catch (error) {
      throw storeErrorOf(error, this.#parts.schema)
    }
  }

  async #read<T>(work: (session: Session) => Promise<T>): Promise<T> {
    if (this.#closing) throw closedError()
    for (let tries = 1; ; tries++) {
      try {
        return await work(this.#reader)
      } catch (error) {
        // A table was dropped between looking it up and reading it: looked up again, it is gone.
        if (isUndefinedTable(error) && tries < LIMITS.commitTriesMax) continue
        throw storeErrorOf(error, this.#parts.schema)
      }
    }
  }
}

/** The units of one commit, while its transaction is open. */
interface OpenGroup {
  readonly transaction: WriterTransaction
  readonly group: UnitGroup
  /** One time for the whole commit: what is looked up and what is written must agree. */
  readonly nowMs: number
}

/** Every key that a unit may claim. */
const keysOf = ({ claims = [], appends = [] }: Unit): readonly ClaimedKey[] => [
  ...claims,
  ...appends.flatMap(({ claim }) => claim ?? []),
]

/** A user's statement that waits, for a lock or for itself, holds up the whole group. */
const BEGIN_UNIT = `
  savepoint junctura_unit;
  set local search_path = public;
  set local lock_timeout = ${LIMITS.sqlLockWaitMs};
  set local statement_timeout = ${LIMITS.sqlStatementMs}`

/**
 * A constraint that is deferred would be checked at the commit, where it fails everybody: it is
 * checked here, under a savepoint that is undone so that it is deferred for the next unit again.
 */
const CHECK_UNIT = `
  savepoint junctura_constraints;
  set constraints all immediate;
  rollback to savepoint junctura_constraints;
  release savepoint junctura_unit`

const UNDO_UNIT = `
  rollback to savepoint junctura_unit;
  release savepoint junctura_unit`

const SCHEMA_NAME = /^[a-z_][a-z0-9_]{0,39}$/

function checkSchemaName(schema: string): void {
  if (SCHEMA_NAME.test(schema) && !schema.startsWith('pg_')) return
  const problem = `the schema of the store is named ${schema}; write a-z, 0-9 and _, at most 40`
  throw new JuncturaError('JUNCTURA_USAGE', { details: { problem } })
}
