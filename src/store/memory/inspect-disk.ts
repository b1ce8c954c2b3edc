import type { CollectionName } from '../catalogue.ts'
import type { RowWrite, StoredRecord } from '../store.ts'
import type { EncodedRow } from '../unit-check.ts'
import { diskOf, type MemoryDisk } from './memory-disk.ts'

/** One commit as it was applied. */
export interface AppliedCommit {
  readonly records: readonly StoredRecord[]
  readonly rows: readonly RowWrite[]
}

/** A look at what is durable, from outside of the store that is open on it: for the simulator. */
export interface DiskInspector {
  count(collection: CollectionName): number
  readonly headPosition: number
  readonly partitionCount: number
  /** Where the log begins: what stood before has been dropped. */
  readonly firstPosition: number
  /** Called after each commit, before whoever asked for it is told. */
  onApplied(listener: (commit: AppliedCommit) => void): void
}

export const inspectDisk = (memoryDisk: MemoryDisk): DiskInspector => {
  const disk = diskOf(memoryDisk)
  return {
    count: (collection) => disk.collection(collection).count({}),
    get headPosition() {
      return disk.head
    },
    get partitionCount() {
      return disk.partitions.length
    },
    get firstPosition() {
      return disk.partitions[0]?.firstPosition ?? 1
    },
    onApplied(listener) {
      disk.watchers.add(({ records, rows }) => listener({ records, rows: rows.map(decodeRow) }))
    },
  }
}

/** The row as it was given to the store, read by the first who looks at it: most nobody does. */
function decodeRow({ collection, key, value }: EncodedRow): RowWrite {
  const write: RowWrite = JSON.parse('{}')
  let row: unknown
  const get = (): unknown => (value === undefined ? undefined : (row ??= JSON.parse(value)))
  return Object.defineProperty(Object.assign(write, { collection, key }), 'row', { get })
}
