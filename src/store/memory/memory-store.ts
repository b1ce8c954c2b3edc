import type { Features, SqlMigration } from '../../contract/index.ts'
import {
  type Clock,
  isJuncturaError,
  JuncturaError,
  LIMITS,
  messageOf,
  type Random,
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
import { failedCommit } from '../unit-check.ts'
import { claimKey, fencedError, MemoryCommit } from './memory-commit.ts'
import { createMemoryDisk, type Disk, diskOf, type MemoryDisk } from './memory-disk.ts'

export interface MemoryStoreOptions {
  readonly clock: Clock
  /** Not used, as keys are compared whole; taken so that every store is made alike. */
  readonly random?: Random
  /** @default a new one, which nobody else sees */
  readonly disk?: MemoryDisk
  /** Called at each point where a real store can fail or stall; the simulator throws and waits. */
  readonly fault?: (point: FaultPoint, info: FaultInfo) => Promise<void>
  /** @default 67_108_864 */
  readonly partitionBytesMax?: number
  /** @default 86_400_000 */
  readonly partitionMs?: number
}

/**
 * - `before-commit`: an error makes the commit fail with nothing written (JUNCTURA_STORE_FAILED,
 *   or the JUNCTURA_STORE_ error that was thrown).
 * - `after-commit`: everything is on the disk; an error reports it as failed all the same
 *   (JUNCTURA_STORE_UNKNOWN).
 * - `read`: an error fails the read.
 */
export type FaultPoint = 'before-commit' | 'after-commit' | 'read'

export interface FaultInfo {
  /** The method of the store. */
  readonly operation: string
  /** Units of the commit. */
  readonly units: number
}

/** Nothing is durable beyond the process; for tests and the simulator. */
export const MEMORY_FEATURES: Features = {
  engine: 'memory',
  durability: 'process',
  unitOfOrder: 'key',
  transactions: true,
  multiProcess: false,
  sql: 'sqlite',
  recordBytesMax: LIMITS.recordBytesMax,
}

/**
 * A store in memory that behaves like one on disk: it keeps bytes and JSON and no references, shows
 * only what is committed, and a crash of its disk loses the rest. The same calls give the same
 * result.
 *
 * @throws JUNCTURA_STORE_LOCKED when another store is open on the disk.
 */
export const createMemoryStore = (options: MemoryStoreOptions): Store => new MemoryStore(options)

class MemoryStore implements Store {
  readonly features: Features = MEMORY_FEATURES
  readonly #options: MemoryStoreOptions
  readonly #disk: Disk
  #mode: 'open' | 'failed' | 'closed' = 'open'
  #tail: Promise<unknown> = Promise.resolve()

  constructor(options: MemoryStoreOptions) {
    this.#options = options
    this.#disk = diskOf(options.disk ?? createMemoryDisk())
    if (this.#disk.owner !== undefined) {
      throw new JuncturaError('JUNCTURA_STORE_LOCKED', {
        details: { directory: 'memory', pid: 'this one' },
      })
    }
    this.#disk.openFor(this)
    if (this.#disk.partitions.length === 0) this.#disk.beginPartition(options.clock.now())
  }

  commit(
    units: readonly Unit[],
    finish?: (outcomes: readonly UnitOutcome[]) => readonly RowWrite[],
  ): Promise<readonly UnitOutcome[]> {
    return this.#exclusive(async () => {
      const disk = this.#disk
      const info = { operation: 'commit', units: units.length }
      this.#rotateIfDue()
      const commit = new MemoryCommit({ disk, clock: this.#options.clock, alive: this.#alive })
      try {
        const outcomes = await commit.run(units, finish)
        await this.#options.fault?.('before-commit', info)
        await commit.apply(this)
        await this.#afterCommit(info)
        return outcomes
      } catch (error) {
        throw this.#failed(error)
      }
    })
  }

  readLog({ channel, slots, afterPosition, limit, bytesMax }: LogQuery): Promise<LogPage> {
    return this.#read('readLog', () => {
      const records: StoredRecord[] = []
      let bytes = 0
      for (const record of limit > 0 ? this.#disk.recordsAfter(afterPosition) : []) {
        if (record.channel !== channel || !isAmong(slots, record.slot)) continue
        records.push(ownCopy(record))
        bytes += record.bytes.length
        const full = records.length >= limit || bytes >= bytesMax
        if (full) return { records, scannedTo: record.position }
      }
      return { records, scannedTo: Math.max(this.#disk.head, afterPosition) }
    })
  }

  readLogBackwards(query: BackwardsQuery): Promise<readonly StoredRecord[]> {
    const { channel, beforePosition, limit } = query
    return this.#read('readLogBackwards', () =>
      [...this.#disk.recordsAfter(0)]
        .filter((record) => record.position < beforePosition)
        .filter((record) => channel === undefined || record.channel === channel)
        .reverse()
        .slice(0, limit)
        .map(ownCopy),
    )
  }

  recordAt(position: number): Promise<StoredRecord | undefined> {
    return this.#read('recordAt', () => {
      for (const record of this.#disk.recordsAfter(position - 1)) {
        return record.position === position ? ownCopy(record) : undefined
      }
      return undefined
    })
  }

  headPosition(): Promise<number> {
    return this.#read('headPosition', () => this.#disk.head)
  }

  claimedPosition(scope: string, key: string): Promise<number | undefined> {
    return this.#read('claimedPosition', () => {
      const claim = this.#disk.claims.get(claimKey({ scope, key }))
      return claim && claim.expiresAtMs > this.#options.clock.now() ? claim.position : undefined
    })
  }

  row<C extends CollectionName>(collection: C, key: string): Promise<Row<C> | undefined> {
    return this.#read('row', () => {
      const value = this.#disk.collection(collection).value(key)
      // Only rows of the collection are put there.
      return value === undefined ? undefined : (JSON.parse(value) as Row<C>)
    })
  }

  scan<C extends CollectionName>(query: ScanQuery<C>): Promise<readonly KeyedRow<C>[]> {
    return this.#read('scan', () => {
      const collection = this.#disk.collection(query.collection)
      return collection.scan(query).map((key) => ({
        key,
        row: JSON.parse(collection.value(key) ?? 'null') as Row<C>,
      }))
    })
  }

  count<C extends CollectionName>(
    query: Pick<ScanQuery<C>, 'collection' | 'index' | 'where'>,
  ): Promise<number> {
    return this.#read('count', () => this.#disk.collection(query.collection).count(query))
  }

  partitions(): Promise<readonly LogPartition[]> {
    return this.#read('partitions', () => this.#disk.list())
  }

  dropPartition(id: number): Promise<void> {
    return this.#exclusive(() => {
      const { partitions } = this.#disk
      const index = partitions.findIndex((partition) => partition.id === id)
      if (index >= 0 && index < partitions.length - 1) partitions.splice(index, 1)
      return Promise.resolve()
    })
  }

  expireClaims(nowMs: number): Promise<void> {
    return this.#exclusive(() => {
      for (const [key, claim] of this.#disk.claims) {
        if (claim.expiresAtMs <= nowMs) this.#disk.claims.delete(key)
      }
      return Promise.resolve()
    })
  }

  migrate(tables: readonly SqlMigration[]): Promise<void> {
    return this.#exclusive(async () => {
      this.#disk.user.migrate(tables, this.#options.clock.now())
    })
  }

  check(): Promise<readonly StoreProblem[]> {
    return this.#read('check', () => [])
  }

  sizeBytes(): Promise<number | undefined> {
    return this.#read('sizeBytes', () =>
      this.#disk.partitions.reduce((sum, { bytes }) => sum + bytes, 0),
    )
  }

  async close(): Promise<void> {
    if (this.#mode === 'closed') return
    this.#mode = 'closed'
    await this.#tail
    if (this.#disk.owner === this) this.#disk.owner = undefined
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** False after a crash: this store is a ghost, and must not touch what its successor has. */
  readonly #alive = (): boolean => this.#disk.owner === this

  async #afterCommit(info: FaultInfo): Promise<void> {
    try {
      await this.#options.fault?.('after-commit', info)
    } catch (error) {
      throw unknownOutcome(error)
    }
  }

  #failed(error: unknown): JuncturaError {
    const isFenced = isJuncturaError(error, 'JUNCTURA_STORE_FENCED')
    const failure = this.#alive() || isFenced ? failedCommit(error) : unknownOutcome(error)
    if (this.#alive()) this.#disk.abandon()
    if (isJuncturaError(failure, 'JUNCTURA_STORE_UNKNOWN') && this.#mode === 'open') {
      this.#mode = 'failed'
    }
    return failure
  }

  #rotateIfDue(): void {
    const { clock, partitionBytesMax, partitionMs } = this.#options
    const open = this.#disk.openPartition()
    const nowMs = clock.now()
    const due =
      open.bytes >= (partitionBytesMax ?? LIMITS.partitionBytesMax) ||
      nowMs - open.createdAtMs >= (partitionMs ?? LIMITS.partitionMs)
    if (due && open.records.length > 0) this.#disk.beginPartition(nowMs)
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    if (this.#mode === 'closed') return Promise.reject(closedError())
    const result = this.#tail.then(() => {
      if (!this.#alive()) throw fencedError()
      if (this.#mode === 'failed') throw unknownOutcome('an earlier commit')
      return work()
    })
    this.#tail = result.catch(() => undefined)
    return result
  }

  async #read<T>(operation: string, work: () => T): Promise<T> {
    await this.#options.fault?.('read', { operation, units: 0 })
    if (this.#mode === 'closed' || !this.#alive()) throw closedError()
    return work()
  }
}

const unknownOutcome = (cause: unknown): JuncturaError =>
  new JuncturaError('JUNCTURA_STORE_UNKNOWN', { cause, details: { problem: messageOf(cause) } })

/** What is read is the reader's own: a disk keeps what was written, whatever becomes of that. */
const ownCopy = (record: StoredRecord): StoredRecord => ({
  ...record,
  bytes: new Uint8Array(record.bytes),
})

const closedError = (): JuncturaError =>
  new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'The store' } })

const isAmong = (slots: LogQuery['slots'], slot: number): boolean =>
  slots?.some(({ first, last }) => first <= slot && slot <= last) ?? true
