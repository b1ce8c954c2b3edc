import { type Clock, JuncturaError, LIMITS } from '../../kernel/index.ts'
import type { BackwardsQuery, LogPage, LogQuery, StoredRecord } from '../store.ts'
import { asRow, bytesAt, type Connection, integerAt, type SqlRow } from './connection.ts'
import { checksumHolds, logTableName, RECORD_COLUMNS } from './log-layout.ts'
import type { LogPartitions } from './log-partitions.ts'

export interface LogReaderOptions {
  readonly reader: Connection
  readonly partitions: LogPartitions
  readonly clock: Clock
  /** Named in errors. */
  readonly file: string
}

/** Reads what is committed, over a connection of its own; verifies each record's checksum. */
export class LogReader {
  readonly #options: LogReaderOptions

  constructor(options: LogReaderOptions) {
    this.#options = options
  }

  async page(query: LogQuery): Promise<LogPage> {
    const { partitions, clock } = this.#options
    const { head } = partitions
    const channel = partitions.channel(query.channel)
    const records: StoredRecord[] = []
    const end = Math.max(head, query.afterPosition)
    if (channel === undefined || query.limit <= 0) return { records, scannedTo: end }
    let bytes = 0
    let looked = 0
    let after = query.afterPosition
    while (after < head) {
      const window = partitions.windowAfter(after, head)
      if (window === undefined) break
      const parameters = [after, window.to, channel, channel, query.limit]
      const where = forwards(query.slots)
      for (const row of this.#statement(window.id, where).iterate(...parameters)) {
        const record = this.#recordOf(asRow(row), query.channel)
        records.push(record)
        bytes += record.bytes.length
        const full = records.length >= query.limit || bytes >= query.bytesMax
        if (full) return { records, scannedTo: record.position }
      }
      looked += window.to - after
      after = window.to
      if (looked < LIMITS.logScanPositionsMax) continue
      // What was found is given before another long stretch of other channels is looked through.
      if (records.length > 0) return { records, scannedTo: after }
      looked = 0
      await clock.yield()
    }
    return { records, scannedTo: end }
  }

  async backwards(query: BackwardsQuery): Promise<readonly StoredRecord[]> {
    const { partitions, clock } = this.#options
    const channel = query.channel === undefined ? ANY : partitions.channel(query.channel)
    const records: StoredRecord[] = []
    if (channel === undefined) return records
    let before = Math.min(query.beforePosition, partitions.head + 1)
    while (records.length < query.limit) {
      const partition = partitions.before(before)
      if (partition === undefined) break
      const top = Math.min(before, partitions.lastOf(partition) + 1)
      before = Math.max(partition.firstPosition, top - LIMITS.logScanPositionsMax)
      const parameters = [before, top, channel, channel, query.limit - records.length]
      for (const row of this.#statement(partition.id, BACKWARDS).iterate(...parameters)) {
        records.push(this.#recordOf(asRow(row), query.channel))
      }
      await clock.yield()
    }
    return records
  }

  at(position: number): StoredRecord | undefined {
    const partition = this.#options.partitions.holding(position)
    if (partition === undefined) return undefined
    const row = this.#statement(partition.id, 'WHERE position = ?').get(position)
    return row && this.#recordOf(asRow(row))
  }

  /** Statements of a table that is about to be dropped. */
  forget(partition: number): void {
    this.#options.reader.forget(logTableName(partition))
  }

  /** Verifies up to `limit` records after a position; gives the next position to go on from. */
  verify(after: number, limit: number): { readonly to: number; readonly bad: readonly number[] } {
    const { partitions } = this.#options
    const bad: number[] = []
    const window = partitions.windowAfter(after, partitions.head)
    if (window === undefined) return { to: partitions.head, bad }
    let last = after
    let count = 0
    const parameters = [after, window.to, ANY, ANY, limit]
    for (const value of this.#statement(window.id, FORWARDS).iterate(...parameters)) {
      const row = asRow(value)
      last = integerAt(row, 0)
      count += 1
      if (!checksumHolds(row)) bad.push(last)
    }
    return { to: count < limit ? window.to : last, bad }
  }

  #statement(partition: number, where: string): ReturnType<Connection['prepare']> {
    const sql = `SELECT ${RECORD_COLUMNS} FROM ${logTableName(partition)} ${where}`
    return this.#options.reader.prepare(sql)
  }

  #recordOf(row: SqlRow, channel?: string): StoredRecord {
    const { partitions, file } = this.#options
    const position = integerAt(row, 0)
    if (!checksumHolds(row)) {
      throw new JuncturaError('JUNCTURA_RECORD_DAMAGED', {
        details: { position, problem: 'its checksum in the store does not match', file },
      })
    }
    return {
      position,
      channel: channel ?? partitions.channelName(integerAt(row, 1)),
      slot: integerAt(row, 2),
      atMs: integerAt(row, 3),
      bytes: bytesAt(row, 5),
    }
  }
}

const ANY = -1
/** The channel is a filter on rows that are read anyway; only positions are looked up. */
/** Numbers of slots are in the text: there are as many texts as ways to divide a consumer. */
const forwards = (slots: LogQuery['slots']): string => {
  if (!slots) return FORWARDS
  const among = slots.map(({ first, last }) => `slot BETWEEN ${first} AND ${last}`)
  return FORWARDS.replace('ORDER', `AND (${[...among, 'FALSE'].join(' OR ')}) ORDER`)
}

const FORWARDS = `WHERE position > ? AND position <= ? AND (? < 0 OR channel = ?)
  ORDER BY position LIMIT ?`
const BACKWARDS = `WHERE position >= ? AND position < ? AND (? < 0 OR channel = ?)
  ORDER BY position DESC LIMIT ?`
