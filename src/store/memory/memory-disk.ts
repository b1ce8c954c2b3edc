import type { SqlValue } from '../../contract/index.ts'
import { JuncturaError, must } from '../../kernel/index.ts'
import { COLLECTIONS, type CollectionName } from '../catalogue.ts'
import { createUserTables, type UserTables } from '../sqlite/index.ts'
import type { LogPartition, StoredRecord } from '../store.ts'
import type { EncodedRow } from '../unit-check.ts'
import { MemoryCollection } from './memory-collection.ts'

/**
 * What survives: only what was committed. One store at a time is open on it, as on a directory.
 */
export interface MemoryDisk {
  /**
   * The process is gone: what was not committed is lost, the store that was open writes no more,
   * and another may be opened.
   */
  crash(): void
  /** Reads the user's tables from outside, as another process would. */
  query(sql: string, ...parameters: readonly SqlValue[]): Promise<Record<string, SqlValue>[]>
}

export const createMemoryDisk = (): MemoryDisk => new Disk()

/** The disk behind the interface. */
export const diskOf = (disk: MemoryDisk): Disk => {
  if (disk instanceof Disk) return disk
  throw new JuncturaError('JUNCTURA_INVARIANT', {
    details: { invariant: 'a memory disk is made by createMemoryDisk' },
  })
}

/** What one commit changes, applied in one step. */
export interface MemoryChange {
  readonly records: readonly StoredRecord[]
  readonly rows: readonly EncodedRow[]
  readonly claims: ReadonlyMap<string, MemoryClaim>
}

export interface MemoryClaim {
  readonly position: number
  readonly expiresAtMs: number
}

interface MemoryPartition {
  readonly id: number
  readonly firstPosition: number
  readonly createdAtMs: number
  readonly records: StoredRecord[]
  bytes: number
}

export class Disk implements MemoryDisk {
  readonly user: UserTables = createUserTables()
  readonly claims: Map<string, MemoryClaim> = new Map()
  readonly partitions: MemoryPartition[] = []
  head = 0
  readonly #collections = new Map<CollectionName, MemoryCollection>()
  /** The store that may write, if one is open. */
  owner: object | undefined

  constructor() {
    for (const name of Object.keys(COLLECTIONS)) {
      // `Object.keys` of a constant gives its keys.
      const collection = name as CollectionName
      this.#collections.set(collection, new MemoryCollection(collection))
    }
  }

  crash(): void {
    this.owner = undefined
    this.user.rollback()
  }

  query(sql: string, ...parameters: readonly SqlValue[]): Promise<Record<string, SqlValue>[]> {
    return this.user.query(sql, ...parameters)
  }

  collection(name: CollectionName): MemoryCollection {
    return must(this.#collections.get(name), `there is a collection ${name}`)
  }

  openPartition(): MemoryPartition {
    return must(this.partitions.at(-1), 'the log has an open partition')
  }

  beginPartition(nowMs: number): void {
    const id = (this.partitions.at(-1)?.id ?? 0) + 1
    const firstPosition = this.head + 1
    this.partitions.push({ id, firstPosition, createdAtMs: nowMs, records: [], bytes: 0 })
  }

  apply(change: MemoryChange): void {
    const partition = this.openPartition()
    for (const record of change.records) {
      partition.records.push(record)
      partition.bytes += record.bytes.length
      this.head = record.position
    }
    for (const row of change.rows) this.collection(row.collection).put(row)
    for (const [key, claim] of change.claims) this.claims.set(key, claim)
  }

  /** Records in order whose position is above `after`. */
  *recordsAfter(after: number): Iterable<StoredRecord> {
    for (const { firstPosition, records } of this.partitions) {
      // Positions have no gaps within a partition.
      const start = Math.max(0, after - firstPosition + 1)
      for (let index = start; index < records.length; index++) {
        yield must(records[index], 'a partition has no holes')
      }
    }
  }

  list(): readonly LogPartition[] {
    return this.partitions.map(({ id, firstPosition, createdAtMs, records }) => {
      const times = records.length === 0 ? [createdAtMs] : records.map(({ atMs }) => atMs)
      return {
        id,
        firstPosition,
        lastPosition: firstPosition + records.length - 1,
        firstAtMs: times.reduce((first, atMs) => Math.min(first, atMs)),
        lastAtMs: times.reduce((last, atMs) => Math.max(last, atMs)),
        open: id === this.openPartition().id,
      }
    })
  }
}
