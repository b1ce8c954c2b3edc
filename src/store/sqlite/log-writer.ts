import type { StatementSync } from 'node:sqlite'
import { must } from '../../kernel/index.ts'
import type { Append } from '../store.ts'
import { type Connection, integerAt } from './connection.ts'
import {
  addPartition,
  checksumSeed,
  logTableName,
  recordChecksum,
  ROW_BYTES,
} from './log-layout.ts'
import type { LogPartitions } from './log-partitions.ts'

export interface LogWriterOptions {
  readonly writer: Connection
  readonly partitions: LogPartitions
  readonly partitionBytesMax: number
  readonly partitionMs: number
}

/** What a transaction has appended and nobody may see yet. */
interface Pending {
  firstAtMs: number
  lastAtMs: number
  bytes: number
  readonly channels: Map<string, number>
}

/**
 * Appends to the newest partition, inside the transaction that the store has open. `settle` makes
 * what was appended the head that readers go to; `discard` forgets it, and its positions are given
 * again, which nobody has seen.
 */
export class LogWriter {
  readonly #options: LogWriterOptions
  #head: number
  #pending: Pending = nothing()
  #insert: StatementSync | undefined

  constructor(options: LogWriterOptions) {
    this.#options = options
    this.#head = options.partitions.head
  }

  /** Bytes that the open transaction has appended. */
  get pendingBytes(): number {
    return this.#pending.bytes
  }

  append(append: Append): number {
    const pending = this.#pending
    this.#insert ??= this.#prepareInsert()
    const { slot, atMs, bytes } = append
    const position = this.#head + 1
    const channel = this.#channelOf(append.channel)
    const checksum = recordChecksum(bytes, checksumSeed(position, { channel, slot, atMs }))
    this.#insert.run(position, channel, slot, atMs, checksum, bytes)
    this.#head = position
    if (atMs < pending.firstAtMs) pending.firstAtMs = atMs
    if (atMs > pending.lastAtMs) pending.lastAtMs = atMs
    pending.bytes += bytes.length + ROW_BYTES
    return position
  }

  /** The transaction has committed. */
  settle(): void {
    const { partitions } = this.#options
    const { open } = partitions
    if (this.#head === partitions.head) return
    const first = partitions.head < open.firstPosition
    const { firstAtMs, lastAtMs, bytes, channels } = this.#pending
    open.firstAtMs = first ? firstAtMs : Math.min(open.firstAtMs, firstAtMs)
    open.lastAtMs = first ? lastAtMs : Math.max(open.lastAtMs, lastAtMs)
    open.bytes += bytes
    for (const [name, id] of channels) partitions.addChannel(name, id)
    partitions.head = this.#head
    this.#pending = nothing()
  }

  /** The transaction was rolled back. */
  discard(): void {
    this.#head = this.#options.partitions.head
    this.#pending = nothing()
  }

  /** Begins a new partition when the open one is full or old; in a transaction of its own. */
  rotateIfDue(nowMs: number): void {
    const { writer, partitions, partitionBytesMax, partitionMs } = this.#options
    const { open, head } = partitions
    const due = open.bytes >= partitionBytesMax || nowMs - open.createdAtMs >= partitionMs
    if (!due || head < open.firstPosition) return
    const next = {
      id: open.id + 1,
      firstPosition: head + 1,
      lastPosition: head,
      createdAtMs: nowMs,
      firstAtMs: nowMs,
      lastAtMs: nowMs,
      bytes: 0,
    }
    transaction(writer, () => {
      writer.run(
        `UPDATE junctura_partitions SET last_position = ?, first_at_ms = ?, last_at_ms = ?
         WHERE id = ?`,
        head,
        open.firstAtMs,
        open.lastAtMs,
        open.id,
      )
      addPartition(writer, next)
    })
    partitions.add(next)
    this.#insert = undefined
  }

  drop(id: number): void {
    const { writer, partitions } = this.#options
    const partition = partitions.closed(id)
    if (partition === undefined) return
    transaction(writer, () => {
      writer.forget(logTableName(id))
      writer.db.exec(`DROP TABLE ${logTableName(id)}`)
      writer.run('DELETE FROM junctura_partitions WHERE id = ?', id)
    })
    partitions.remove(partition)
  }

  #prepareInsert(): StatementSync {
    const { writer, partitions } = this.#options
    return writer.prepare(
      `INSERT INTO ${logTableName(partitions.open.id)}
         (position, channel, slot, at_ms, checksum, record) VALUES (?, ?, ?, ?, ?, ?)`,
    )
  }

  #channelOf(name: string): number {
    const known = this.#options.partitions.channel(name) ?? this.#pending.channels.get(name)
    if (known !== undefined) return known
    const { writer } = this.#options
    writer.run('INSERT INTO junctura_channels (name) VALUES (?)', name)
    const row = writer.first('SELECT id FROM junctura_channels WHERE name = ?', name)
    const id = integerAt(must(row, 'a channel that was added is there'), 0)
    this.#pending.channels.set(name, id)
    return id
  }
}

/** Runs `work` in a transaction of its own, all or nothing. */
export const transaction = (writer: Connection, work: () => void): void => {
  writer.run('BEGIN IMMEDIATE')
  try {
    work()
    writer.run('COMMIT')
  } catch (error) {
    // The engine has already rolled back after some failures, such as a full disk.
    if (writer.db.isTransaction) writer.run('ROLLBACK')
    throw error
  }
}

const nothing = (): Pending => ({
  firstAtMs: Number.POSITIVE_INFINITY,
  lastAtMs: Number.NEGATIVE_INFINITY,
  bytes: 0,
  channels: new Map(),
})
