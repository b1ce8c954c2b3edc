import { existsSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Features, SqlMigration } from '../../contract/index.ts'
import {
  type Clock,
  isJuncturaError,
  JuncturaError,
  LIMITS,
  type Logger,
  messageOf,
  type Random,
  silentLogger,
} from '../../kernel/index.ts'
import type { CollectionName, Row } from '../catalogue.ts'
import type {
  BackwardsQuery,
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
import { refuseTransactionControl } from '../run-tx.ts'
import { encodeRow, failedCommit } from '../unit-check.ts'
import { ClaimTables } from './claim-tables.ts'
import { type Connection, openConnection, setUpReader, setUpWriter } from './connection.ts'
import { checkFormat, isEmptyFile, openFormat, opensOf, storeSecret } from './format.ts'
import { HighMark, type MarkedHeight, storeIdOf } from './high-mark.ts'
import { LogPartitions } from './log-partitions.ts'
import { LogReader } from './log-reader.ts'
import { LogWriter } from './log-writer.ts'
import { LostCommit } from './lost-commit.ts'
import { behindMark, rolledBack, settleHeight } from './rollback.ts'
import { storeErrorOf, type StorePhase } from './sqlite-errors.ts'
import { checkSchema } from './schema-check.ts'
import { StateReader, StateWriter } from './state-tables.ts'
import { type CheckedParts, checkAtStart, checkNotHalfRepaired, checkWhole } from './store-check.ts'
import { acquireStoreLock, type StoreLock } from './store-lock.ts'
import { UnitWriter } from './unit-writer.ts'
import { applyMigrations } from './user-migrations.ts'
import { writeUnits } from './unit-chain.ts'
import { createUserStatements, type UserStatements } from './user-statements.ts'
import { checkWal } from './wal-check.ts'
import { WalFold } from './wal-fold.ts'
import { WalSync } from './wal-sync.ts'

export interface SqliteStoreOptions {
  /** Holds `junctura.db`; made when it is missing. */
  readonly directory: string
  readonly clock: Clock
  readonly random: Random
  /** @default a logger that writes nothing */
  readonly log?: Logger
  /**
   * A part of the log is closed at this size, in bytes. @default 67_108_864
   * @minimum 1
   */
  readonly partitionBytesMax?: number
  /**
   * ... and at this age, in milliseconds. @default 86_400_000
   * @minimum 1
   */
  readonly partitionMs?: number
  /** The database file grows no larger; then JUNCTURA_STORE_FULL. @default no limit but the disk */
  readonly fileBytesMax?: number
  /**
   * Memory for the idempotency keys, in bytes; keys beyond it are found on disk, at 2.25 bytes of
   * memory each. Some 40 million keys fit in the default; with more, a new key costs reads.
   *
   * @default 134_217_728
   * @minimum 4_194_304
   */
  readonly dedupeBytesMax?: number
  /** A store up to this size is verified wholly at start. @default 67_108_864 */
  readonly startCheckBytesMax?: number
  /**
   * Goes on with a store that is older than what has run in this directory, instead of refusing it.
   *
   * @default false
   */
  readonly acceptRollback?: boolean
}

/** One process writes, any number reads; one transaction over log, state and the user's tables. */
export const SQLITE_FEATURES: Features = {
  engine: 'sqlite',
  durability: 'fsync',
  unitOfOrder: 'key',
  transactions: true,
  multiProcess: false,
  sql: 'sqlite',
  recordBytesMax: LIMITS.recordBytesMax,
}

/**
 * Opens the store in a directory, or makes it. It is locked for this process until `close` or the
 * end of the process; other processes may read `junctura.db` meanwhile with any SQLite client.
 *
 * @throws JUNCTURA_STORE_LOCKED when another process has it.
 * @throws JUNCTURA_STORE_FORMAT when a newer release wrote it.
 * @throws JUNCTURA_STORE_DAMAGED when a file is damaged; it is left as it is.
 * @throws JUNCTURA_STORE_ROLLED_BACK when it is older than what has run here (F29).
 * @throws JUNCTURA_STORE_FULL or JUNCTURA_STORE_FAILED when the directory cannot be used.
 * @throws JUNCTURA_POLICY_RANGE when `dedupeBytesMax` is out of bounds.
 */
export const createSqliteStore = async (options: SqliteStoreOptions): Promise<Store> => {
  const { directory, clock, log = silentLogger } = options
  const file = join(directory, 'junctura.db')
  let lock: StoreLock | undefined
  let wal: WalSync | undefined
  const connections: Connection[] = []
  try {
    mkdirSync(directory, { recursive: true })
    lock = acquireStoreLock(directory)
    checkNotHalfRepaired(file)
    const mark = new HighMark({ directory, clock, log })
    const marked = mark.read()
    refuseMissing(file, marked, options)
    const torn = checkWal(file, { trustsIndex: lock.wasHeldSinceBoot })
    if (torn > 0) log.warn({ file, torn }, 'an unfinished write at the end was dropped')
    const writer = openConnection({ file })
    connections.push(writer)
    // Before anything is set: a file that is not ours stays as it is.
    if (!isEmptyFile(writer)) checkFormat(writer, file)
    setUpWriter(writer)
    limitFile(writer, options.fileBytesMax)
    openFormat({ clock, random: options.random, writer })
    checkSchema(writer, file)
    const reader = openConnection({ file, readOnly: true })
    connections.unshift(reader)
    setUpReader(reader.db)
    const partitions = new LogPartitions(writer)
    const bytesMax = dedupeBytesOf(options)
    const claims = new ClaimTables({ writer, secret: storeSecret(writer), file, bytesMax })
    const { partitionBytesMax = LIMITS.partitionBytesMax, partitionMs = LIMITS.partitionMs } =
      options
    const logWriter = new LogWriter({ writer, partitions, partitionBytesMax, partitionMs })
    const stateWriter = new StateWriter(writer)
    const user = createUserStatements(writer.db, { check: refuseTransactionControl })
    wal = new WalSync(file)
    const parts: StoreParts = {
      file,
      directory,
      clock,
      lock,
      wal,
      reader,
      writer,
      partitions,
      claims,
      logWriter,
      stateWriter,
      log: new LogReader({ reader, partitions, clock, file }),
      state: new StateReader(reader, file),
      user,
      unitWriter: new UnitWriter({ clock, writer, logWriter, stateWriter, claims, user }),
      mark,
    }
    await claims.load(clock)
    await checkAtStart(parts, options.startCheckBytesMax ?? LIMITS.startCheckBytesMax)
    await markHeight(parts, marked, options)
    lock.opened()
    return new SqliteStore(parts, log)
  } catch (error) {
    for (const connection of connections) connection.close()
    wal?.close()
    lock?.abandon()
    throw storeErrorOf(error, file, 'open')
  }
}

function dedupeBytesOf({ dedupeBytesMax = LIMITS.dedupeBytesMax }: SqliteStoreOptions): number {
  if (dedupeBytesMax >= LIMITS.dedupeBytesMin) return dedupeBytesMax
  throw new JuncturaError('JUNCTURA_POLICY_RANGE', {
    details: {
      field: 'dedupeBytesMax',
      value: dedupeBytesMax,
      allowed: `${LIMITS.dedupeBytesMin} or more`,
      fix: 'Give the idempotency keys more memory, or leave the option out.',
    },
  })
}

function limitFile({ db, first }: Connection, bytesMax: number | undefined): void {
  const pageBytes = first('PRAGMA page_size')?.[0]
  if (bytesMax === undefined || typeof pageBytes !== 'number') return
  db.exec(`PRAGMA max_page_count = ${Math.max(1, Math.floor(bytesMax / pageBytes))}`)
}

/** An empty store in the place of one that had something in it would hide the loss. */
function refuseMissing(
  file: string,
  marked: MarkedHeight | undefined,
  { acceptRollback = false }: SqliteStoreOptions,
): void {
  if (acceptRollback || marked === undefined || existsSync(file)) return
  throw rolledBack(file, behindMark(undefined, marked) ?? '')
}

/** Looked at last: what is damaged is called so, and not old. */
async function markHeight(
  parts: StoreParts,
  marked: MarkedHeight | undefined,
  { acceptRollback = false, log = silentLogger }: SqliteStoreOptions,
): Promise<void> {
  const { writer, wal, file, partitions, logWriter, mark, clock } = parts
  const store = storeIdOf(storeSecret(writer))
  const found = { store, opens: opensOf(writer, file), position: partitions.head }
  const problem = marked && behindMark(found, marked)
  if (problem !== undefined && !acceptRollback) throw rolledBack(file, problem)
  const accepted = marked && problem !== undefined ? { problem, mark: marked } : undefined
  const height = settleHeight({ ...parts, nowMs: clock.now() }, found, accepted)
  // It begins at the head that was just moved.
  logWriter.discard()
  await wal.sync()
  renewWal(parts, log)
  mark.write(height)
}

/**
 * Folds the write-ahead log into the file and begins a new one. After a sync that failed, the pages
 * of the old one may stand in the machine's memory only, and no later sync would write them: what
 * is appended behind them would be lost with the power (F21).
 */
function renewWal({ writer, file }: StoreParts, log: Logger): void {
  const [row] = writer.rows('PRAGMA wal_checkpoint(TRUNCATE)')
  if (row?.[0] === 0) return
  // It is waited for, but not for long: that somebody reads is no reason not to start.
  log.warn({ file }, 'another program reads the database, so its write-ahead log is not renewed')
}

interface StoreParts extends CheckedParts {
  readonly writer: Connection
  readonly lock: StoreLock
  readonly wal: WalSync
  readonly logWriter: LogWriter
  readonly stateWriter: StateWriter
  readonly unitWriter: UnitWriter
  readonly user: UserStatements
  readonly mark: HighMark
}

/**
 * Modes: `open`; `failed` after a commit whose outcome is unknown or a file that is damaged, when
 * nothing more is written; `closed`. Whatever writes goes one after the other through `#exclusive`.
 * Reads go over a connection of their own and see what is committed, also while a transaction
 * waits for the user's statements.
 */
class SqliteStore implements Store {
  readonly features: Features = SQLITE_FEATURES
  readonly #parts: StoreParts
  #mode: 'open' | 'failed' | 'closed' = 'open'
  #failure: unknown
  #tail: Promise<unknown> = Promise.resolve()
  readonly #fold: WalFold

  constructor(parts: StoreParts, log: Logger) {
    this.#parts = parts
    const { file, writer } = parts
    const onFailed = (problem: string): void => {
      // The next commit is refused; until one comes, only this says it.
      log.error({ file, problem }, 'the write-ahead log could not be folded; the store ends')
      const details = { problem: `the write-ahead log could not be folded: ${problem}` }
      this.#failed(new JuncturaError('JUNCTURA_STORE_UNKNOWN', { details }), 'commit')
    }
    this.#fold = new WalFold({ file, writer, log, onFailed })
  }

  commit(
    units: readonly Unit[],
    finish?: (outcomes: readonly UnitOutcome[]) => readonly RowWrite[],
  ): Promise<readonly UnitOutcome[]> {
    return this.#exclusive(async () => {
      const { writer, logWriter, claims, stateWriter, clock, unitWriter, user } = this.#parts
      const { mark, partitions } = this.#parts
      let phase: StorePhase = 'commit'
      try {
        logWriter.rotateIfDue(clock.now())
        phase = 'write'
        writer.run('BEGIN IMMEDIATE')
        const outcomes = await writeUnits({ clock, writer, unitWriter, user }, units)
        for (const row of finish?.(outcomes) ?? []) stateWriter.put(encodeRow(row))
        claims.write()
        phase = 'commit'
        writer.run('COMMIT')
        const appended = logWriter.pendingBytes
        await this.#parts.wal.sync()
        logWriter.settle()
        claims.settle()
        mark.reached(partitions.head)
        this.#fold.committed(appended)
        return outcomes
      } catch (error) {
        throw this.#rolledBack(error, phase)
      }
    })
  }

  readLog(query: LogQuery): Promise<LogPage> {
    return this.#read(() => this.#parts.log.page(query))
  }

  readLogBackwards(query: BackwardsQuery): Promise<readonly StoredRecord[]> {
    return this.#read(() => this.#parts.log.backwards(query))
  }

  recordAt(position: number): Promise<StoredRecord | undefined> {
    return this.#read(() => this.#parts.log.at(position))
  }

  headPosition(): Promise<number> {
    return this.#read(() => this.#parts.partitions.head)
  }

  claimedPosition(scope: string, key: string): Promise<number | undefined> {
    return this.#read(() => this.#parts.claims.committed(scope, key, this.#parts.clock.now()))
  }

  row<C extends CollectionName>(collection: C, key: string): Promise<Row<C> | undefined> {
    return this.#read(() => this.#parts.state.row(collection, key))
  }

  scan<C extends CollectionName>(query: ScanQuery<C>): Promise<readonly KeyedRow<C>[]> {
    return this.#read(() => this.#parts.state.scan(query))
  }

  count<C extends CollectionName>(
    query: Pick<ScanQuery<C>, 'collection' | 'index' | 'where'>,
  ): Promise<number> {
    return this.#read(() => this.#parts.state.count(query))
  }

  partitions(): Promise<readonly LogPartition[]> {
    return this.#read(() => this.#parts.partitions.list())
  }

  dropPartition(id: number): Promise<void> {
    return this.#write(() => {
      this.#parts.log.forget(id)
      this.#parts.logWriter.drop(id)
    })
  }

  async expireClaims(nowMs: number): Promise<void> {
    const { claims, clock } = this.#parts
    await this.#write(() => claims.expire(nowMs))
    // One step at a time, so that commits get in between: deleting touches every page.
    for (let step = 0; step < LIMITS.claimCleanStepsMax && claims.hasGarbage; step++) {
      await clock.yield()
      await this.#write(() => claims.clean())
    }
  }

  migrate(tables: readonly SqlMigration[]): Promise<void> {
    const { writer, clock } = this.#parts
    return this.#write(() => applyMigrations(writer, tables, clock.now()))
  }

  check(): Promise<readonly StoreProblem[]> {
    return this.#read(() => checkWhole(this.#parts))
  }

  sizeBytes(): Promise<number | undefined> {
    const { file } = this.#parts
    return this.#read(
      () => statSync(file).size + (statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0),
    )
  }

  async close(): Promise<void> {
    if (this.#mode === 'closed') return
    this.#mode = 'closed'
    await this.#tail
    await this.#fold.close()
    const { reader, writer, wal, lock, mark } = this.#parts
    mark.close()
    // The last connection that closes folds the write-ahead log into the file: the writer.
    reader.close()
    writer.close()
    wal.close()
    lock.release()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #rolledBack(error: unknown, phase: StorePhase): JuncturaError {
    const { writer, logWriter, claims } = this.#parts
    logWriter.discard()
    claims.discard()
    try {
      // The engine has already rolled back after some failures, such as a full disk.
      if (writer.db.isTransaction) writer.run('ROLLBACK')
    } catch (rollbackError) {
      const details = { problem: `it could not be rolled back: ${messageOf(rollbackError)}` }
      return this.#failed(
        new JuncturaError('JUNCTURA_STORE_UNKNOWN', { details, cause: error }),
        phase,
      )
    }
    const cause = error instanceof LostCommit ? error.cause : error
    return failedCommit(this.#failed(cause, phase))
  }

  /** Ours of the engine's error; after some the store is not written again. */
  #failed(error: unknown, phase: StorePhase): JuncturaError {
    const failure = storeErrorOf(error, this.#parts.file, phase)
    const over =
      isJuncturaError(failure, 'JUNCTURA_STORE_UNKNOWN') ||
      isJuncturaError(failure, 'JUNCTURA_STORE_DAMAGED')
    if (over && this.#mode === 'open') {
      this.#mode = 'failed'
      this.#failure = failure
    }
    return failure
  }

  /** Work with transactions of its own. */
  #write(work: () => void): Promise<void> {
    return this.#exclusive(async () => {
      try {
        work()
        await this.#parts.wal.sync()
      } catch (error) {
        throw this.#failed(error, 'commit')
      }
    })
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    if (this.#mode === 'closed') return Promise.reject(closedError())
    const result = this.#tail.then(async () => {
      if (this.#fold.pause) await this.#fold.pause
      if (this.#mode !== 'failed') return await work()
      const details = { problem: messageOf(this.#failure) }
      throw new JuncturaError('JUNCTURA_STORE_UNKNOWN', { details, cause: this.#failure })
    })
    this.#tail = result.catch(() => undefined)
    return result
  }

  async #read<T>(work: () => T | Promise<T>): Promise<T> {
    if (this.#mode === 'closed') throw closedError()
    try {
      return await work()
    } catch (error) {
      throw storeErrorOf(error, this.#parts.file, 'read')
    }
  }
}

const closedError = (): JuncturaError =>
  new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'The store' } })
