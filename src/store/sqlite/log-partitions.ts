import { LIMITS, must } from '../../kernel/index.ts'
import type { LogPartition } from '../store.ts'
import { type Connection, integerAt, type SqlRow, textAt } from './connection.ts'
import { logTableName, ROW_BYTES } from './log-layout.ts'

/** What retention drops: one table of the log. Only the newest is written. */
export interface Partition {
  readonly id: number
  readonly firstPosition: number
  readonly createdAtMs: number
  /** Of a closed partition; the open one ends at the head. */
  lastPosition: number
  firstAtMs: number
  lastAtMs: number
  bytes: number
}

/** A stretch of one partition that one statement looks through. */
export interface LogWindow {
  readonly id: number
  readonly to: number
}

/** The committed shape of the log, in memory: what readers go by. */
export class LogPartitions {
  readonly #partitions: Partition[]
  readonly #channels = new Map<string, number>()
  readonly #channelNames = new Map<number, string>()
  head: number

  constructor(connection: Connection) {
    for (const row of connection.rows('SELECT id, name FROM junctura_channels')) {
      this.addChannel(textAt(row, 1), integerAt(row, 0))
    }
    this.#partitions = connection
      .rows(
        `SELECT id, first_position, created_at_ms, last_position, first_at_ms, last_at_ms
         FROM junctura_partitions ORDER BY id`,
      )
      .map(partitionOf)
    this.head = this.#measureOpen(connection)
  }

  get open(): Partition {
    return must(this.#partitions.at(-1), 'the log has an open partition')
  }

  channel(name: string): number | undefined {
    return this.#channels.get(name)
  }

  channelName(id: number): string {
    return must(this.#channelNames.get(id), 'a record is in a channel that is known')
  }

  addChannel(name: string, id: number): void {
    this.#channels.set(name, id)
    this.#channelNames.set(id, name)
  }

  /** Closes the open partition and begins the next. */
  add(partition: Partition): void {
    this.open.lastPosition = this.head
    this.#partitions.push(partition)
  }

  /** A closed partition, which is the only kind that may be dropped. */
  closed(id: number): Partition | undefined {
    return this.#partitions.find((partition) => partition.id === id && partition !== this.open)
  }

  remove(partition: Partition): void {
    this.#partitions.splice(this.#partitions.indexOf(partition), 1)
  }

  lastOf(partition: Partition): number {
    return partition === this.open ? this.head : partition.lastPosition
  }

  holding(position: number): Partition | undefined {
    const partition = this.before(position + 1)
    return partition && position <= this.lastOf(partition) ? partition : undefined
  }

  /** The newest partition that begins before a position. */
  before(position: number): Partition | undefined {
    return this.#partitions.findLast(({ firstPosition }) => firstPosition < position)
  }

  windowAfter(after: number, head: number): LogWindow | undefined {
    const partition = this.#partitions.find((candidate) => this.lastOf(candidate) > after)
    if (partition === undefined) return undefined
    const from = Math.max(after, partition.firstPosition - 1)
    const to = Math.min(head, this.lastOf(partition), from + LIMITS.logScanPositionsMax)
    return { id: partition.id, to }
  }

  list(): readonly LogPartition[] {
    return this.#partitions.map((partition) => ({
      id: partition.id,
      firstPosition: partition.firstPosition,
      lastPosition: this.lastOf(partition),
      firstAtMs: partition.firstAtMs,
      lastAtMs: partition.lastAtMs,
      open: partition === this.open,
    }))
  }

  /** Times and size of the open partition, which no row tells; estimated from both its ends. */
  #measureOpen(connection: Connection): number {
    const { open } = this
    const table = logTableName(open.id)
    const last = connection.first(`SELECT max(position) FROM ${table}`)?.[0]
    if (typeof last !== 'number') return open.firstPosition - 1
    const sample = connection.first(
      `SELECT min(at_ms), max(at_ms), avg(length(record)) FROM ${table}
       WHERE position < ? OR position > ?`,
      open.firstPosition + MEASURED_ROWS,
      last - MEASURED_ROWS,
    )
    if (sample !== undefined) {
      open.firstAtMs = integerAt(sample, 0)
      open.lastAtMs = integerAt(sample, 1)
      open.bytes = (last - open.firstPosition + 1) * (integerAt(sample, 2) + ROW_BYTES)
    }
    return last
  }
}

const MEASURED_ROWS = 100

function partitionOf(row: SqlRow): Partition {
  const firstPosition = integerAt(row, 1)
  const createdAtMs = integerAt(row, 2)
  const [, , , lastPosition, firstAtMs, lastAtMs] = row
  return {
    id: integerAt(row, 0),
    firstPosition,
    createdAtMs,
    lastPosition: typeof lastPosition === 'number' ? lastPosition : firstPosition - 1,
    firstAtMs: typeof firstAtMs === 'number' ? firstAtMs : createdAtMs,
    lastAtMs: typeof lastAtMs === 'number' ? lastAtMs : createdAtMs,
    bytes: 0,
  }
}
