import { crc32 } from 'node:zlib'
import { type Clock, JuncturaError, must, type Random } from '../../kernel/index.ts'
import { CLAIM_PAGES_SCHEMA } from './claim-pages.ts'
import { CLAIM_RUNS_SCHEMA } from './claim-runs.ts'
import { bytesAt, type Connection, integerAt, textAt } from './connection.ts'
import { addPartition, LOG_SCHEMA, renewChecksums } from './log-layout.ts'
import { transaction } from './log-writer.ts'
import { createStateTables } from './state-tables.ts'
import { MIGRATIONS_SCHEMA } from './user-migrations.ts'

/**
 * Version of the layout, kept in the file's `user_version`. A change that an older release cannot
 * read raises it, and `openFormat` then gets a step from each format before; the fixtures in
 * test/upgrade/ hold a store of every format that was ever released.
 */
export const STORE_FORMAT = 2

/** 'JUNC': marks the file as ours. */
export const APPLICATION_ID = 0x4a554e43

export interface OpenFormat {
  readonly writer: Connection
  readonly clock: Clock
  readonly random: Random
}

/** Creates the layout in an empty file, or upgrades it and adds what the catalogue has anew. */
export const openFormat = ({ writer, clock, random }: OpenFormat): void => {
  if (isEmptyFile(writer)) createLayout(writer, clock.now(), random)
  else {
    transaction(writer, () => {
      upgrade(writer)
      createStateTables(writer)
    })
  }
}

/** What each format needs to become the next. */
const UPGRADES: Readonly<Record<number, (writer: Connection) => void>> = {
  // Claims may be sealed; rows that are not are read as before. Checksums cover whole numbers.
  1: (writer) => {
    writer.db.exec(CLAIM_RUNS_SCHEMA + CLAIM_PAGES_SCHEMA)
    renewChecksums(writer)
  },
}

function upgrade(writer: Connection): void {
  const format = integerAt(firstOf(writer, 'PRAGMA user_version'), 0)
  for (let from = format; from < STORE_FORMAT; from++) {
    must(UPGRADES[from], 'every earlier format can be upgraded')(writer)
    writer.db.exec(`PRAGMA user_version = ${from + 1}`)
  }
}

export const isEmptyFile = (connection: Connection): boolean =>
  integerAt(firstOf(connection, 'SELECT count(*) FROM sqlite_schema'), 0) === 0

/**
 * @throws JUNCTURA_STORE_FORMAT when a newer release wrote it.
 * @throws JUNCTURA_STORE_DAMAGED when the file is not one of ours.
 */
export const checkFormat = (connection: Connection, file: string): void => {
  const format = integerAt(firstOf(connection, 'PRAGMA user_version'), 0)
  const application = integerAt(firstOf(connection, 'PRAGMA application_id'), 0)
  if (application !== APPLICATION_ID || format < 1) {
    throw new JuncturaError('JUNCTURA_STORE_DAMAGED', {
      details: { file, problem: 'it is a database, but not a store of Junctura' },
    })
  }
  if (format > STORE_FORMAT) {
    throw new JuncturaError('JUNCTURA_STORE_FORMAT', {
      details: { file, format, known: STORE_FORMAT },
    })
  }
}

/** The secret of the fingerprints, made when the store was. */
export const storeSecret = (connection: Connection): Uint8Array =>
  bytesAt(firstOf(connection, "SELECT value FROM junctura_store WHERE name = 'secret'"), 0)

/** How often the store was opened; 0 in one that an earlier release wrote. */
export const opensOf = (connection: Connection, file: string): number => {
  const row = connection.first("SELECT value FROM junctura_store WHERE name = 'opens'")
  if (row === undefined) return 0
  const [opens = '', checksum = ''] = textAt(row, 0).split(' ')
  if (Number(checksum) === crc32(opens)) return Number(opens)
  throw new JuncturaError('JUNCTURA_STORE_DAMAGED', {
    details: { file, problem: 'the number of its openings does not match its checksum' },
  })
}

/** Inside a transaction that the caller has open. */
export const countOpen = (writer: Connection, opens: number): void =>
  writer.run(
    "INSERT OR REPLACE INTO junctura_store (name, value) VALUES ('opens', ?)",
    `${opens} ${crc32(String(opens))}`,
  )

/** Layout without partitions, in a transaction that the caller has open. */
export const createTables = (writer: Connection, secret: Uint8Array): void => {
  writer.db.exec(`
    CREATE TABLE junctura_store (name TEXT PRIMARY KEY NOT NULL, value BLOB) WITHOUT ROWID;
    ${LOG_SCHEMA}
    ${CLAIM_RUNS_SCHEMA}
    ${CLAIM_PAGES_SCHEMA}
    ${MIGRATIONS_SCHEMA}
    PRAGMA application_id = ${APPLICATION_ID};
    PRAGMA user_version = ${STORE_FORMAT};
  `)
  writer.run("INSERT INTO junctura_store (name, value) VALUES ('secret', ?)", secret)
  createStateTables(writer)
}

function createLayout(writer: Connection, nowMs: number, random: Random): void {
  transaction(writer, () => {
    createTables(writer, random.bytes(32))
    addPartition(writer, { id: 1, firstPosition: 1, createdAtMs: nowMs })
  })
}

const firstOf = (connection: Connection, sql: string): ReturnType<Connection['rows']>[number] =>
  must(connection.first(sql), 'the store answers about itself')
