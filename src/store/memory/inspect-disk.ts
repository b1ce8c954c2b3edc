import type { CollectionName, Row } from '../catalogue.ts'
import type { StoredRecord } from '../store.ts'
import { diskOf, type MemoryDisk } from './memory-disk.ts'

/** One commit as it was applied. */
export interface AppliedCommit {
  readonly records: readonly StoredRecord[]
  /** `undefined` where the row was deleted. */
  readonly rows: readonly {
    readonly collection: CollectionName
    readonly key: string
    readonly row: unknown
  }[]
}

/** A look at what is durable, from outside of the store that is open on it: for the simulator. */
export interface DiskInspector {
  row<C extends CollectionName>(collection: C, key: string): Row<C> | undefined
  count(collection: CollectionName): number
  /** The log's own bytes: what is changed in them is changed on the disk. */
  records(): Iterable<StoredRecord>
  readonly headPosition: number
  readonly partitionCount: number
  /** Called after each commit, before whoever asked for it is told. */
  onApplied(listener: (commit: AppliedCommit) => void): void
}

export const inspectDisk = (memoryDisk: MemoryDisk): DiskInspector => {
  const disk = diskOf(memoryDisk)
  return {
    row<C extends CollectionName>(collection: C, key: string) {
      const value = disk.collection(collection).value(key)
      // Only rows of the collection are put there.
      return value === undefined ? undefined : (JSON.parse(value) as Row<C>)
    },
    count: (collection) => disk.collection(collection).count({}),
    records: () => disk.recordsAfter(0),
    get headPosition() {
      return disk.head
    },
    get partitionCount() {
      return disk.partitions.length
    },
    onApplied(listener) {
      disk.watchers.add(({ records, rows }) =>
        listener({
          records,
          rows: rows.map(({ collection, key, value }) => {
            const row: unknown = value === undefined ? undefined : JSON.parse(value)
            return { collection, key, row }
          }),
        }),
      )
    },
  }
}
