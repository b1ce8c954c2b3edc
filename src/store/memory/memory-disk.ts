import type { SqlValue } from '../../contract/index.ts'
import { isJuncturaError, JuncturaError, must } from '../../kernel/index.ts'
import { COLLECTIONS, type CollectionName } from '../catalogue.ts'
import { createUserTables, type UserTables } from '../sqlite/index.ts'
import type { LogPartition, StoredRecord } from '../store.ts'
import type { EncodedRow } from '../unit-check.ts'
import { MemoryCollection } from './memory-collection.ts'
import { type JournalFile, MemoryJournal } from './memory-journal.ts'

/**
 * What survives: only what was committed. One store at a time is open on it, as on a directory.
 */
export interface MemoryDisk {
  /**
   * The process is gone, or another has taken its place: what was not committed is lost, and
   * another store may be opened. The one that was open is fenced: should its process still live,
   * its commits are refused with JUNCTURA_STORE_FENCED.
   */
  crash(): void
  /** Reads the user's tables from outside, as another process would. */
  query(sql: string, ...parameters: readonly SqlValue[]): Promise<Record<string, SqlValue>[]>
}

export interface MemoryDiskOptions {
  /** Each commit is written to it and synced before it counts. @default none; a commit is a step */
  readonly file?: JournalFile
}

export const createMemoryDisk = (options: MemoryDiskOptions = {}): MemoryDisk =>
  new Disk(options.file)

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
  /** Told of each commit when it is applied. */
  readonly watchers: Set<(change: MemoryChange) => void> = new Set()
  readonly #journal: MemoryJournal | undefined
  /** Written and not known to be durable. */
  #inFlight: MemoryChange | undefined

  constructor(file: JournalFile | undefined) {
    this.#journal = file && new MemoryJournal(file)
    for (const name of Object.keys(COLLECTIONS)) {
      // `Object.keys` of a constant gives its keys.
      const collection = name as CollectionName
      this.#collections.set(collection, new MemoryCollection(collection))
    }
  }

  crash(): void {
    this.owner = undefined
    const inFlight = this.#inFlight
    this.#inFlight = undefined
    const hasSurvived = this.#journal?.recover() === true
    if (hasSurvived && inFlight) this.#settle(inFlight)
    else this.user.rollback()
  }

  /** @throws JUNCTURA_STORE_DAMAGED when a commit that was durable cannot be read any more. */
  openFor(store: object): void {
    // The last store did not know what became of its commit; the file does.
    if (this.#inFlight) this.crash()
    this.#journal?.open()
    this.owner = store
  }

  /**
   * Makes one commit durable, and then visible. Without a journal that is one step.
   *
   * @throws JUNCTURA_STORE_FULL with nothing written; JUNCTURA_STORE_UNKNOWN when the file was not
   *   synced, or the disk was taken over meanwhile: what became of it, the next store finds.
   */
  async write(change: MemoryChange, owner: object | undefined): Promise<void> {
    if (this.#journal) {
      const writing = this.#journal.write(change)
      this.#inFlight = change
      try {
        await writing
      } catch (error) {
        if (isJuncturaError(error, 'JUNCTURA_STORE_FULL')) this.#inFlight = undefined
        throw error
      }
      if (this.owner !== owner) throw takenOver()
      this.#inFlight = undefined
    }
    this.#settle(change)
  }

  /** Undoes what a commit did that was refused; one whose outcome is unknown stays as it is. */
  abandon(): void {
    if (!this.#inFlight) this.user.rollback()
  }

  #settle(change: MemoryChange): void {
    this.user.commit()
    this.apply(change)
    for (const watch of this.watchers) watch(change)
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

const takenOver = (): JuncturaError =>
  new JuncturaError('JUNCTURA_STORE_UNKNOWN', {
    details: { problem: 'another process took the disk while the commit was being synced' },
  })
