import type { Pool } from 'pg'
import type { Features, SqlMigration } from '../../contract/index.ts'
import { type Clock, JuncturaError, LIMITS, must, type Random } from '../../kernel/index.ts'
import type { CollectionName, Row } from '../catalogue.ts'
import type {
  BackwardsQuery,
  CommitOptions,
  KeyedRow,
  Leases,
  LogPage,
  LogPartition,
  LogQuery,
  RowWrite,
  ScanQuery,
  Store,
  StoredRecord,
  StoreFinding,
  StoreNeeds,
  StoreNews,
  StoreProblem,
  StoreWatch,
  Unit,
  UnitOutcome,
} from '../store.ts'
import { checkServer } from './check-server.ts'
import { checkStore, durabilityOf, longTransactions } from './check-store.ts'
import { type ClaimTables, createClaimTables, expiredBuckets } from './claim-tables.ts'
import { isOnKnownLine, settleServerLine } from './fail-over.ts'
import { commitUnits } from './group-commit.ts'
import { createKnownLayout, type KnownLayout, type LogView, nextVersion } from './known-layout.ts'
import {
  type EarlierWriter,
  isCurrent,
  lockSchema,
  migrateFormat,
  prepareSchema,
} from './layout.ts'
import { createLeaseTable, type LeaseTable } from './lease-table.ts'
import { createLogTables, type LogTables } from './log-tables.ts'
import { createOrderGuard } from './order-guard.ts'
import { isUndefinedTable, storeErrorOf } from './postgres-errors.ts'
import { createServerLine, type LineName, readLine, type ServerLine } from './server-line.ts'
import { createSession, integerAt, loadPg, type PgModule, type Session } from './session.ts'
import { createStateTables, type StateTables } from './state-tables.ts'
import { createTeller, watchStore } from './store-watch.ts'
import { claimId } from './unit-group.ts'
import { applyMigration, lockMigrations, pendingMigrations } from './user-migrations.ts'
import {
  closedError,
  createStoreFate,
  createTurn,
  orderOf,
  type StoreFate,
  Writer,
} from './writer.ts'

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
   * How long what only one process may do stays taken after that process has died.
   *
   * @default LIMITS.leaseMs
   */
  readonly leaseMs?: number
}

/** On a server with fsync on; one that replicates, or does not sync, is seen when it is opened. */
export const POSTGRES_FEATURES: Features = {
  engine: 'postgres',
  durability: 'fsync',
  unitOfOrder: 'key',
  transactions: true,
  multiProcess: true,
  commitsInParallel: true,
  sql: 'postgres',
  recordBytesMax: LIMITS.recordBytesMax,
}

/**
 * Opens the store in a PostgreSQL database, beside any number of other processes, and makes what
 * is missing. A process of a release with one writer that died may hold it for ten seconds; that
 * long this waits.
 *
 * @throws JUNCTURA_PEER_MISSING when the package `pg` is not installed.
 * @throws JUNCTURA_STORE_LOCKED when a process of such a release has it open.
 * @throws JUNCTURA_STORE_FORMAT when a later release has written it.
 * @throws JUNCTURA_STORE_FAILED when the server cannot be reached or refuses.
 */
export const createPostgresStore = async (options: PostgresStoreOptions): Promise<Store> => {
  const pg = await loadPg()
  const { url, clock, random, schema = 'junctura', leaseMs = LIMITS.leaseMs } = options
  checkSchemaName(schema)
  const owner = `${Buffer.from(random.bytes(8)).toString('hex')}, process ${process.pid}`
  const fate = createStoreFate()
  let line: ServerLine | undefined
  const known = createKnownLayout(schema, () => must(line, 'the server was asked before the log'))
  const state = createStateTables(schema)
  const pool = new pg.Pool({
    connectionString: url,
    max: LIMITS.postgresReadersMax,
    keepAlive: true,
    connectionTimeoutMillis: LIMITS.sqlConnectMs,
    application_name: `junctura reader ${schema}`,
  })
  // A reader that breaks while idle is replaced by the pool.
  pool.on('error', () => undefined)
  const leases = createLeaseTable({ schema, clock, pool, owner, leaseMs })
  const guard = createOrderGuard({ schema, clock, pool })
  const order = { turn: createTurn(clock), guard }
  const shared = { pg, url, schema, clock, known, leases, fate, ...order }
  const parts: StoreParts = {
    ...shared,
    owner,
    pool,
    state,
    durability: 'fsync',
    plain: new Writer({ ...shared, idleMs: leaseMs }),
    handlers: new Writer({ ...shared, idleMs: leaseMs }),
    claims: createClaimTables(schema),
    log: createLogTables({
      schema,
      partitionBytesMax: options.partitionBytesMax ?? LIMITS.partitionBytesMax,
      partitionMs: options.partitionMs ?? LIMITS.partitionMs,
    }),
  }
  try {
    await prepareStore(parts)
    const session = createSession(pool)
    const opened = {
      ...parts,
      durability: await durabilityOf(session),
      line: await readLine(session),
    }
    if (!(await isOnKnownLine(session, opened))) await settleLine(opened)
    let noted: Promise<void> | undefined
    line = createServerLine(opened.line, {
      fate,
      onMoved: () => {
        noted = noteMove(opened)
      },
    })
    await known.look(session)
    return new PostgresStore({ ...opened, noted: () => noted })
  } catch (error) {
    await Promise.all([parts.plain.close(), pool.end()])
    throw storeErrorOf(error, schema)
  }
}

/** A start in a store that is in order locks nothing: processes come and go under load. */
async function prepareStore({ pool, schema, state }: StoreParts): Promise<void> {
  const session = createSession(pool)
  if ((await isCurrent(session, schema)) && (await state.isComplete(session))) return
  let seen: EarlierWriter | undefined
  for (;;) {
    const writer = await inTransaction(pool, async (transaction) => {
      await lockSchema(transaction, schema)
      await prepareSchema(transaction, schema)
      const earlier = await migrateFormat(transaction, schema)
      if (!earlier && !(await state.isComplete(transaction))) await state.create(transaction)
      return earlier
    })
    if (!writer) return
    if (seen && (seen.owner !== writer.owner || seen.lease !== writer.lease)) {
      const details = { directory: `schema ${schema}`, pid: writer.owner }
      throw new JuncturaError('JUNCTURA_STORE_LOCKED', { details })
    }
    seen = writer
    // Its lease is by the clock of the database, and so is this.
    await session.rows(`select pg_sleep(${LIMITS.leasePollMs / 1_000})`)
  }
}

/** A server with another history is taken into use; see `settleServerLine`. */
const settleLine = (
  parts: StoreParts & { readonly line: LineName },
  reached?: number,
): Promise<void> =>
  inTransaction(parts.pool, async (session) => {
    await session.batch(orderOf(parts.schema))
    await settleServerLine(session, { ...parts, nowMs: parts.clock.now() }, reached)
  })

/** What this process alone remembers would be gone with it; the next start does the rest. */
async function noteMove(parts: StoreParts): Promise<void> {
  const reached = parts.known.view.head
  const line = await readLine(createSession(parts.pool))
  await settleLine({ ...parts, line }, reached)
}

/** On a connection of the pool; one that failed is not used again. */
async function inTransaction<T>(
  pool: Pool,
  work: (session: Session) => Promise<T>,
  settings: string = '',
): Promise<T> {
  const client = await pool.connect()
  // A migration takes as long as it takes.
  const session = createSession(client, Infinity)
  let broken: Error | undefined
  try {
    await session.exec(
      `begin isolation level read committed; set local search_path = public;${settings}`,
    )
    const result = await work(session)
    await session.exec('commit')
    return result
  } catch (error) {
    broken = error instanceof Error ? error : new Error('a transaction failed')
    throw error
  } finally {
    client.release(broken)
  }
}

interface StoreParts {
  readonly pg: PgModule
  readonly url: string
  readonly schema: string
  readonly clock: Clock
  readonly owner: string
  readonly durability: Features['durability']
  readonly pool: Pool
  readonly plain: Writer
  readonly handlers: Writer
  readonly known: KnownLayout
  readonly fate: StoreFate
  /** What this process notes of a fail-over, before it ends. */
  readonly noted?: () => Promise<void> | undefined
  readonly leases: LeaseTable
  readonly claims: ClaimTables
  readonly state: StateTables
  readonly log: LogTables
}

/**
 * Two connections commit (see `Writer` and `commitUnits`), one at a time in the order of
 * positions; a pool of others reads. What this process knows of the tables is compared with the
 * database before it is relied on: other processes append, begin partitions and drop them too.
 */
class PostgresStore implements Store {
  readonly features: Features
  readonly leases: Leases
  readonly #parts: StoreParts
  readonly #reader: Session
  readonly #tell: (head: number) => void
  #closing: Promise<void> | undefined

  constructor(parts: StoreParts) {
    this.#parts = parts
    this.#reader = createSession(parts.pool)
    this.#tell = createTeller(parts)
    this.leases = parts.leases
    this.features = { ...POSTGRES_FEATURES, durability: parts.durability }
  }

  async commit(
    units: readonly Unit[],
    finish?: (outcomes: readonly UnitOutcome[]) => readonly RowWrite[],
    { needsNoPositions }: CommitOptions = {},
  ): Promise<readonly UnitOutcome[]> {
    const { outcomes, tell } = await commitUnits(this.#parts, units, { finish, needsNoPositions })
    if (tell && !this.#closing) this.#tell(this.#parts.known.view.head)
    return outcomes
  }

  watch(onNews: (news: StoreNews) => void): Promise<StoreWatch> {
    const { owner } = this.#parts
    return watchStore({ ...this.#parts, probe: `probe ${owner}`, onNews })
  }

  readLog(query: LogQuery): Promise<LogPage> {
    const { log, known } = this.#parts
    return this.#read(async (session) => {
      // Whoever has read all that is known may be behind what others have appended.
      const view = await known.reaching(query.afterPosition + 1, session)
      return await log.page(session, view, query)
    })
  }

  readLogBackwards(query: BackwardsQuery): Promise<readonly StoredRecord[]> {
    return this.#readNow((session, view) => this.#parts.log.backwards(session, view, query))
  }

  recordAt(position: number): Promise<StoredRecord | undefined> {
    const { log, known } = this.#parts
    return this.#read(async (session) => {
      return await log.at(session, await known.reaching(position, session), position)
    })
  }

  headPosition(): Promise<number> {
    return this.#readNow((_, { head }) => Promise.resolve(head))
  }

  claimedPosition(scope: string, key: string): Promise<number | undefined> {
    const { claims, clock } = this.#parts
    const claim = { scope, key }
    return this.#readNow(async (session, { layout: { buckets } }) =>
      (await claims.taken(session, [claim], { buckets, nowMs: clock.now() })).get(claimId(claim)),
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

  partitions(): Promise<readonly LogPartition[]> {
    return this.#readNow((session, view) => this.#parts.log.list(session, view))
  }

  dropPartition(id: number): Promise<void> {
    const { log, schema, known, plain } = this.#parts
    return this.#drop([`log_${id}`], async () => {
      const view = await plain.orderedTransaction(async ({ session, view: { layout, head } }) => {
        await session.exec(DROP_SETTINGS)
        const partitions = await log.drop(session, layout, id)
        if (!partitions) return undefined
        const version = await nextVersion(session, schema)
        return { layout: { ...layout, version, partitions }, head }
      })
      if (view) known.settle(view)
    })
  }

  async expireClaims(nowMs: number): Promise<void> {
    const { claims, schema, known, plain } = this.#parts
    const { layout } = await this.#readNow((_, view) => Promise.resolve(view))
    const ended = expiredBuckets({ buckets: layout.buckets, nowMs })
    if (ended.length === 0) return
    await this.#drop(
      ended.map((bucket) => `claim_${bucket}`),
      async () => {
        const view = await plain.orderedTransaction(async ({ session, view: { layout, head } }) => {
          await session.exec(DROP_SETTINGS)
          await claims.drop(session, ended)
          const version = await nextVersion(session, schema)
          const buckets = new Set([...layout.buckets].filter((bucket) => !ended.includes(bucket)))
          return { layout: { ...layout, version, buckets }, head }
        })
        known.settle(view)
      },
    )
  }

  /** One at a time, over all processes, and apart from the commits: a migration may take long. */
  async migrate(tables: readonly SqlMigration[]): Promise<void> {
    const { schema, pool } = this.#parts
    try {
      for (let left = tables.length + 1; left > 0; left--) {
        const [next] = await inTransaction(pool, (session) =>
          pendingMigrations(session, schema, tables),
        )
        if (!next) return
        await inTransaction(pool, async (session) => {
          await lockMigrations(session, schema)
          // Another process may have applied it while this one waited.
          const [pending] = await pendingMigrations(session, schema, tables)
          if (pending) await applyMigration(session, schema, pending)
        })
      }
    } catch (error) {
      throw storeErrorOf(error, schema)
    }
  }

  check(): Promise<readonly StoreProblem[]> {
    const { schema, log, state } = this.#parts
    return this.#readNow((session, view) => checkStore({ session, schema, log, state, view }))
  }

  examine(needs: StoreNeeds): Promise<readonly StoreFinding[]> {
    const { schema } = this.#parts
    return this.#read((session) => checkServer(session, { schema, needs }))
  }

  warnings(): Promise<readonly StoreProblem[]> {
    return this.#read(longTransactions)
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
      const { plain, handlers, leases, pool, noted } = this.#parts
      await Promise.all([plain.close(), handlers.close()])
      await noted?.()?.catch(() => undefined)
      await leases.close()
      await pool.end()
    })()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /**
   * Drops tables, unless somebody reads one for longer than that: then later. Waiting for a reader
   * under the lock that orders commits would hold up everybody, so it is looked at before.
   */
  #drop(tables: readonly string[], work: () => Promise<void>): Promise<void> {
    const { schema, plain, pool } = this.#parts
    return this.#guarded(() =>
      plain.exclusively(async () => {
        const names = tables.map((table) => `${schema}.${table}`)
        await inTransaction(
          pool,
          async (session) => {
            for (const name of names) {
              const [found] = await session.rows('select to_regclass($1) is not null', name)
              if (found?.[0] === true) await session.exec(`lock table ${name}`)
            }
          },
          DROP_SETTINGS,
        )
        await work()
      }),
    )
  }

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw storeErrorOf(error, this.#parts.schema)
    }
  }

  /** Reads with what is committed at this moment, by any process. */
  #readNow<T>(work: (session: Session, view: LogView) => Promise<T>): Promise<T> {
    return this.#read(async (session) => await work(session, await this.#parts.known.look(session)))
  }

  async #read<T>(work: (session: Session) => Promise<T>): Promise<T> {
    if (this.#closing) throw closedError()
    for (let tries = 1; ; tries++) {
      try {
        return await work(this.#reader)
      } catch (error) {
        // A table was dropped between looking it up and reading it: looked up again, it is gone.
        if (isUndefinedTable(error) && tries < LIMITS.commitTriesMax) {
          this.#parts.known.forget()
          continue
        }
        throw storeErrorOf(error, this.#parts.schema)
      }
    }
  }
}

const DROP_SETTINGS = `set local lock_timeout = ${LIMITS.dropLockWaitMs}`

const SCHEMA_NAME = /^[a-z_][a-z0-9_]{0,39}$/

function checkSchemaName(schema: string): void {
  if (SCHEMA_NAME.test(schema) && !schema.startsWith('pg_')) return
  const problem = `the schema of the store is named ${schema}; write a-z, 0-9 and _, at most 40`
  throw new JuncturaError('JUNCTURA_USAGE', { details: { problem } })
}
