import { crc32 } from 'node:zlib'
import { LIMITS, messageOf } from '../../kernel/index.ts'
import { indexedFieldsOf, indexValueOf, rowChecksum } from '../unit-check.ts'
import { ENTRY_WORDS } from '../key-entry.ts'
import { decodePage, runOfPage } from './claim-pages.ts'
import {
  claimBuckets,
  claimsOfPage,
  claimTableName,
  createClaimTable,
  decodeClaims,
  encodeClaims,
} from './claim-rows.ts'
import { readRunRows, type RunRow } from './claim-runs.ts'
import { fromColumnText } from './column-text.ts'
import { bytesAt, type Connection, integerAt, type SqlRow, textAt } from './connection.ts'
import { checksumHolds, createLogTable, logTableName } from './log-layout.ts'
import { transaction } from './log-writer.ts'
import type { Repair } from './repair.ts'
import {
  hasKinds,
  insertSalvaged,
  type LostRange,
  type SalvagedTable,
  salvageRows,
  tableToSalvage,
} from './salvage.ts'
import { collectionNames, StateWriter, stateTableName } from './state-tables.ts'

/** Of RECORD_COLUMNS. */
const RECORD_KINDS = ['integer', 'integer', 'integer', 'integer', 'integer', 'bytes'] as const

export const salvageClaims = (repair: Repair): void => {
  const { source, target } = repair
  for (const bucket of claimBuckets(source)) {
    target.db.exec(createClaimTable(bucket))
    const table = tableToSalvage(source, claimTableName(bucket))
    let bad = 0
    const holes = salvageRows(source, table, (row) => {
      if (!claimsHold(row) || !insertSalvaged(target, table, row)) bad += 1
      else decodeClaims(bytesAt(row, 2), bucket, (_, { position }) => raise(repair, position))
    })
    if (bad > 0 || holes.length > 0) {
      repair.lost.push(
        `idempotency keys of ${bad + holes.length} or more commits: ${TAKEN_FOR_NEW}`,
      )
    }
  }
  if (hasTable(repair, 'junctura_claim_pages')) salvageRuns(repair)
}

const TAKEN_FOR_NEW = 'such a message sent again is taken for a new one'

/**
 * Sealed keys become rows again, one for each page, which says itself what bucket it is of; the
 * next start seals them. Pages of runs that are not looked into hold nothing that the others and
 * the rows do not. A key may come twice, which does no harm.
 */
function salvageRuns(repair: Repair): void {
  const { source, target } = repair
  const dead = new Set(deadRuns(repair))
  const buckets = new Set(claimBuckets(target))
  const found = new Map<number, number>()
  let bad = 0
  const holes = salvageRows(source, tableToSalvage(source, 'junctura_claim_pages'), (row) => {
    const id = integerAt(row, 0)
    const run = runOfPage(id)
    if (dead.has(run)) return
    const page = decodePage(id, integerAt(row, 1), bytesAt(row, 2))
    if (page === undefined) bad += 1
    if (page?.kind !== 'entries') return
    found.set(run, (found.get(run) ?? 0) + page.words.length / ENTRY_WORDS)
    const { bucket } = page
    if (!buckets.has(bucket)) target.db.exec(createClaimTable(bucket))
    buckets.add(bucket)
    const entries = encodeClaims(claimsOfPage(page))
    const sql = `INSERT INTO ${claimTableName(bucket)} (checksum, entries) VALUES (?, ?)`
    target.run(sql, crc32(entries), entries)
    for (const { position } of claimsOfPage(page)) raise(repair, position)
  })
  const missing = missingEntries(repair, found)
  if (bad > 0 || holes.length > 0 || missing > 0) {
    repair.lost.push(`${missing} or more sealed idempotency keys: ${TAKEN_FOR_NEW}`)
  }
}

/** Runs that were being written, or are replaced; none if the list of runs is not readable. */
function deadRuns({ source }: Repair): readonly number[] {
  return runRowsOf(source)
    .filter(({ state }) => state !== 'live')
    .map(({ run }) => run)
}

function missingEntries({ source }: Repair, found: ReadonlyMap<number, number>): number {
  return runRowsOf(source)
    .filter(({ state }) => state === 'live')
    .reduce((sum, { run, entries }) => sum + Math.max(0, entries - (found.get(run) ?? 0)), 0)
}

function runRowsOf(source: Connection): readonly RunRow[] {
  try {
    return readRunRows(source).rows
  } catch {
    // Whatever is wrong with the list: every page says itself what it holds.
    return []
  }
}

const claimsHold = (row: SqlRow): boolean =>
  hasKinds(row, ['integer', 'integer', 'bytes']) && crc32(bytesAt(row, 2)) === integerAt(row, 1)

export const salvageState = (repair: Repair): void => {
  const { source, target } = repair
  const writer = new StateWriter(target)
  for (const collection of collectionNames()) {
    const name = stateTableName(collection)
    if (!hasTable(repair, name)) continue
    const lostKeys: string[] = []
    const table = { ...tableToSalvage(source, name), columns: ['key', 'value', 'checksum'] }
    transaction(target, () => {
      const holes = salvageRows(source, table, (row) => {
        if (!hasKinds(row, ['text', 'text', 'integer'])) {
          lostKeys.push('')
          return
        }
        const key = fromColumnText(textAt(row, 0))
        const value = textAt(row, 1)
        if (rowChecksum(textAt(row, 0), value) !== integerAt(row, 2)) {
          lostKeys.push(key)
          return
        }
        const parsed: unknown = JSON.parse(value)
        const fields = indexedFieldsOf(collection).map((field) =>
          indexValueOf(typeof parsed === 'object' && parsed && Reflect.get(parsed, field)),
        )
        writer.put({ collection, key, value, fields })
        repair.rows += 1
      })
      if (holes.length > 0) repair.lost.push(`rows of ${collection}, number unknown`)
    })
    if (lostKeys.length > 0) repair.lost.push(`${lostKeys.length} row(s) of ${collection}`)
  }
}

/** The user's tables with their rows, then what stands on them; and what was applied. */
export const salvageUserTables = (repair: Repair): void => {
  const { source, target } = repair
  const objects = source
    .rows(
      `SELECT type, name, sql FROM sqlite_schema
       WHERE sql IS NOT NULL AND name NOT GLOB 'junctura_*' AND name NOT GLOB 'sqlite_*'`,
    )
    .map((row) => ({ type: textAt(row, 0), name: textAt(row, 1), sql: textAt(row, 2) }))
  // Rows are copied table by table, so a reference may point to a row that is still to come.
  target.db.exec('PRAGMA foreign_keys = OFF')
  for (const { type, name, sql } of objects) {
    if (type !== 'table') continue
    transaction(target, () => {
      target.db.exec(sql)
      copyTable(repair, tableToSalvage(source, name))
    })
  }
  transaction(target, () => copyTable(repair, tableToSalvage(source, 'junctura_migrations')))
  copySequences(repair)
  for (const { type, name, sql } of objects) {
    if (type === 'table') continue
    try {
      target.db.exec(sql)
    } catch (error) {
      repair.lost.push(`the ${type} ${name}: ${messageOf(error)}`)
    }
  }
}

export const salvageLog = (repair: Repair): void => {
  const { source, target } = repair
  const channels = tableToSalvage(source, 'junctura_channels')
  const known = new Set<number>()
  salvageRows(source, channels, (row) => {
    if (hasKinds(row, ['integer', 'text']) && insertSalvaged(target, channels, row))
      known.add(integerAt(row, 0))
  })
  const partitions = partitionsOf(repair)
  for (const partition of partitions) {
    transaction(target, () => salvagePartition(repair, partition, known))
  }
  const lossless = repair.lostPositions.length === 0 && repair.lost.length === 0
  const first = repair.highest + 1 + (lossless ? 0 : LIMITS.positionGap)
  const id = (partitions.at(-1)?.id ?? 0) + 1
  transaction(target, () => {
    target.db.exec(createLogTable(id))
    writePartition(repair, { id, first, createdAtMs: repair.nowMs })
  })
}

interface PartitionToSalvage {
  readonly id: number
  readonly first?: number
  readonly last?: number
  readonly createdAtMs: number
}

/** From the tables that are there, with what the list of partitions still says. */
function partitionsOf(repair: Repair): readonly PartitionToSalvage[] {
  const { source } = repair
  const listed = new Map<number, SqlRow>()
  const list = tableToSalvage(source, 'junctura_partitions')
  salvageRows(source, list, (row) => {
    if (hasKinds(row, ['integer', 'integer', 'integer'])) listed.set(integerAt(row, 0), row)
  })
  const prefix = logTableName(0).slice(0, -1)
  const names = source.rows(`SELECT name FROM sqlite_schema WHERE name GLOB '${prefix}*'`)
  const ids = names.map((row) => Number(textAt(row, 0).slice(prefix.length)))
  return ids
    .sort((left, right) => left - right)
    .map((id) => {
      const [, first, createdAtMs, last] = listed.get(id) ?? []
      return {
        id,
        createdAtMs: typeof createdAtMs === 'number' ? createdAtMs : repair.nowMs,
        ...(typeof first === 'number' && { first }),
        ...(typeof last === 'number' && { last }),
      }
    })
}

function salvagePartition(
  repair: Repair,
  partition: PartitionToSalvage,
  channels: Set<number>,
): void {
  const { source, target } = repair
  const table = tableToSalvage(source, logTableName(partition.id))
  target.db.exec(createLogTable(partition.id))
  const positions: number[] = []
  let firstAtMs = Number.POSITIVE_INFINITY
  let lastAtMs = Number.NEGATIVE_INFINITY
  const holes = salvageRows(source, table, (row) => {
    if (!hasKinds(row, RECORD_KINDS)) return
    const position = integerAt(row, 0)
    const holds = checksumHolds(row)
    // The number of a damaged row speaks of a position only if one may have been there.
    if (holds || position <= repair.highest + LIMITS.positionGap) raise(repair, position)
    if (!holds || !insertSalvaged(target, table, row)) return
    nameChannel(repair, channels, integerAt(row, 1))
    positions.push(position)
    firstAtMs = Math.min(firstAtMs, integerAt(row, 3))
    lastAtMs = Math.max(lastAtMs, integerAt(row, 3))
  })
  positions.sort((left, right) => left - right)
  const first = partition.first ?? positions[0] ?? repair.highest + 1
  // How far the newest went is what its records and the idempotency keys speak of.
  const last = partition.last ?? Math.max(first - 1, repair.highest)
  raise(repair, last)
  repair.records += positions.length
  repair.lostPositions.push(...missingIn(positions, { from: first, to: last }))
  if (partition.last === undefined && holes.length > 0) {
    repair.lost.push(`records behind position ${positions.at(-1) ?? first}, number unknown`)
  }
  const times = positions.length > 0 ? { firstAtMs, lastAtMs } : {}
  writePartition(repair, { ...partition, first, last, ...times })
}

function writePartition(
  { target }: Repair,
  row: PartitionToSalvage & { readonly firstAtMs?: number; readonly lastAtMs?: number },
): void {
  target.run(
    `INSERT INTO junctura_partitions
       (id, first_position, created_at_ms, last_position, first_at_ms, last_at_ms)
     VALUES (?, ?, ?, ?, ?, ?)`,
    row.id,
    row.first ?? 1,
    row.createdAtMs,
    row.last ?? null,
    row.firstAtMs ?? null,
    row.lastAtMs ?? null,
  )
}

/** A channel whose name is lost keeps its records together under a name that says so. */
function nameChannel({ target, lost }: Repair, channels: Set<number>, id: number): void {
  if (channels.has(id)) return
  channels.add(id)
  const name = `unreadable-channel-${id}`
  target.run('INSERT INTO junctura_channels (id, name) VALUES (?, ?)', id, name)
  lost.push(`the name of a channel; its records are now in ${name}`)
}

function missingIn(positions: readonly number[], { from, to }: LostRange): readonly LostRange[] {
  const missing: LostRange[] = []
  let next = from
  for (const position of [...positions, to + 1]) {
    if (position > next) missing.push({ from: next, to: Math.min(position - 1, to) })
    next = position + 1
  }
  return missing
}

function copyTable(repair: Repair, table: SalvagedTable): void {
  let refused = 0
  const holes = salvageRows(repair.source, table, (row) => {
    if (insertSalvaged(repair.target, table, row)) repair.rows += 1
    else refused += 1
  })
  if (refused > 0) repair.lost.push(`${refused} row(s) of ${table.name}`)
  if (holes.length > 0) repair.lost.push(`rows of ${table.name}, number unknown`)
}

/** Numbers that the database gave once are not given again, also when their rows are lost. */
function copySequences(repair: Repair): void {
  const { source, target } = repair
  if (!hasTable(repair, 'sqlite_sequence')) return
  for (const [name, sequence] of source.rows('SELECT name, seq FROM sqlite_sequence')) {
    if (typeof name !== 'string' || typeof sequence !== 'number') continue
    const update = 'UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ? RETURNING 1'
    if (target.rows(update, sequence, name).length > 0) continue
    target.run('INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)', name, sequence)
  }
}

const hasTable = ({ source }: Repair, name: string): boolean =>
  source.first('SELECT 1 FROM sqlite_schema WHERE name = ?', name) !== undefined

function raise(repair: Repair, position: number): void {
  repair.highest = Math.max(repair.highest, position)
}
