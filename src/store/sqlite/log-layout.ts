import { crc32 } from 'node:zlib'
import { bytesAt, type Connection, integerAt, type SqlRow } from './connection.ts'

/** How the log is laid out: one table per partition, a dictionary of channels. Format 1. */
export const LOG_SCHEMA = `
  CREATE TABLE junctura_channels (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
  CREATE TABLE junctura_partitions (
    id INTEGER PRIMARY KEY,
    first_position INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    -- Known when the partition is closed.
    last_position INTEGER,
    first_at_ms INTEGER,
    last_at_ms INTEGER
  );
`

export const logTableName = (partition: number): string => `junctura_log_${partition}`

/**
 * There is no index besides the position: one over anything random costs several times the append,
 * and readers go by position.
 */
export const createLogTable = (partition: number): string => `
  CREATE TABLE ${logTableName(partition)} (
    position INTEGER PRIMARY KEY,
    channel INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record BLOB NOT NULL
  );
`

/** In this order everywhere: `checksumHolds` and the readers go by column number. */
export const RECORD_COLUMNS = 'position, channel, slot, at_ms, checksum, record'

/** What a row takes beside its record. */
export const ROW_BYTES = 32

export interface RecordPlace {
  readonly channel: number
  readonly slot: number
  readonly atMs: number
}

/** Start of the checksum: a record that stands under another position is seen too. */
export const checksumSeed = (position: number, place: RecordPlace): number => {
  const high =
    Math.imul(upperBits(place.atMs), 0xc2b2ae35) ^ Math.imul(upperBits(position), 0x27d4eb2f)
  return (checksumSeedOfFormat1(position, place) ^ high) >>> 0
}

/** Of positions and times it covers only the lower 32 bits. */
const checksumSeedOfFormat1 = (position: number, place: RecordPlace): number => {
  const { channel, slot, atMs } = place
  return (position ^ Math.imul(channel, 0x9e3779b1) ^ Math.imul(slot, 0x85ebca6b) ^ atMs) >>> 0
}

const upperBits = (number: number): number => Math.floor(number / 2 ** 32)

export const recordChecksum = (bytes: Uint8Array, seed: number): number =>
  // Of no bytes, which the engine gives without an address, Node 22 makes 0 whatever the seed.
  bytes.length === 0 ? seed : crc32(bytes, seed)

export const checksumHolds = (row: SqlRow): boolean => holdsFrom(row, checksumSeed)

const holdsFrom = (row: SqlRow, seedOf: typeof checksumSeed): boolean =>
  integerAt(row, 4) === recordChecksum(bytesAt(row, 5), seedOf(integerAt(row, 0), placeOf(row)))

const placeOf = (row: SqlRow): RecordPlace => ({
  channel: integerAt(row, 1),
  slot: integerAt(row, 2),
  atMs: integerAt(row, 3),
})

/**
 * Gives the records of format 1 the checksums of format 2, in a transaction that the caller has
 * open. One whose old checksum does not hold keeps it, so that it is still found damaged.
 */
export const renewChecksums = (writer: Connection): void => {
  for (const [id] of writer.rows('SELECT id FROM junctura_partitions ORDER BY id')) {
    const table = logTableName(Number(id))
    const select = `SELECT ${RECORD_COLUMNS} FROM ${table} WHERE position > ? ORDER BY position LIMIT 1000`
    for (let after = -1; ;) {
      const rows = writer.rows(select, after)
      for (const row of rows) {
        after = integerAt(row, 0)
        if (!holdsFrom(row, checksumSeedOfFormat1)) continue
        const checksum = recordChecksum(bytesAt(row, 5), checksumSeed(after, placeOf(row)))
        writer.run(`UPDATE ${table} SET checksum = ? WHERE position = ?`, checksum, after)
      }
      if (rows.length < 1_000) break
    }
  }
}

export interface NewPartition {
  readonly id: number
  readonly firstPosition: number
  readonly createdAtMs: number
}

/** Inside a transaction that the caller has open. */
export const addPartition = (writer: Connection, partition: NewPartition): void => {
  writer.db.exec(createLogTable(partition.id))
  writer.run(
    'INSERT INTO junctura_partitions (id, first_position, created_at_ms) VALUES (?, ?, ?)',
    partition.id,
    partition.firstPosition,
    partition.createdAtMs,
  )
}
