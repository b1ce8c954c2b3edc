/**
 * Lets the log of a store reach a position that writing would take hours to reach: run this file
 * with node, a directory whose store has a record, and the position. The log then has as many
 * partitions as one of that length, each with some records at both ends and nothing between, which
 * the store itself never leaves out. For measuring; prints one line of JSON.
 */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createSystemClock, createSystemRandom, must } from '../../kernel/index.ts'
import type { RowWrite } from '../store.ts'
import { createSqliteStore } from './index.ts'
import { checksumSeed, createLogTable, recordChecksum } from './log-layout.ts'

/** A closed partition has 64 MiB: so many records of 200 bytes, with what their rows take. */
const PARTITION_POSITIONS = 280_000
/**
 * At each end of a partition: with a hundred million positions, the file is larger than what is
 * verified wholly at start, as it would be with all records.
 */
const END_ROWS = 250

const [directory = '', position = '0'] = process.argv.slice(2)
const options = { directory, clock: createSystemClock(), random: createSystemRandom() }

let store = await createSqliteStore(options)
const head = await store.headPosition()
const template = must(await store.recordAt(head), 'the log has a record')
await store.close()

const db = new DatabaseSync(join(directory, 'junctura.db'))
const { slot, atMs, bytes } = template
const channel = Number(
  db.prepare('SELECT channel FROM junctura_log_1 WHERE position = ?').get(head)?.['channel'],
)
const close = db.prepare(
  `UPDATE junctura_partitions SET last_position = ?, first_at_ms = ${atMs}, last_at_ms = ${atMs}
   WHERE id = ?`,
)
const begin = db.prepare(
  `INSERT INTO junctura_partitions (id, first_position, created_at_ms) VALUES (?, ?, ${atMs})`,
)
db.exec('BEGIN')
let last = head
for (let id = 2; last < Number(position); id++) {
  close.run(last, id - 1)
  const first = last + 1
  last = Math.min(Number(position), last + PARTITION_POSITIONS)
  begin.run(id, first)
  db.exec(createLogTable(id))
  const insert = db.prepare(`INSERT INTO junctura_log_${id} VALUES (?, ?, ?, ?, ?, ?)`)
  for (let at = first; at <= last; at++) {
    if (at === first + END_ROWS) at = Math.max(at, last - END_ROWS)
    const checksum = recordChecksum(bytes, checksumSeed(at, { channel, slot, atMs }))
    insert.run(at, channel, slot, atMs, checksum, bytes)
  }
}
db.exec('COMMIT')
db.close()

// Every consumer is through with it, as in a store that has run until now.
store = await createSqliteStore(options)
const rows = await store.scan({ collection: 'progress', limit: 500 })
const watermark = await store.headPosition()
const caughtUp = rows.map(({ key, row }): RowWrite => ({
  collection: 'progress',
  key,
  row: { ...row, watermark, done: [], claimedTo: 0 },
}))
await store.commit([{ rows: caughtUp }])
await store.close()
console.log('{}')
