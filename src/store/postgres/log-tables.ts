import { LIMITS } from '../../kernel/index.ts'
import type { BackwardsQuery, LogPage, LogPartition, LogQuery, StoredRecord } from '../store.ts'
import {
  bytesAt,
  chunksOf,
  integerAt,
  type Session,
  type SqlInput,
  type SqlRow,
  textAt,
} from './session.ts'
import type { PlacedAppend } from './unit-group.ts'

/**
 * The log: one table per partition, so that retention drops a file and never deletes rows. Which
 * partitions there are is kept in memory and changes only after the transaction that changed them
 * has committed: readers go by it and by `head`, so they never look past what is committed.
 */
export interface LogTables {
  readonly head: number
  load(session: Session, head: number): Promise<void>
  /** Appends in the open transaction; the result is called once it has committed. */
  append(session: Session, appends: readonly PlacedAppend[], nowMs: number): Promise<() => void>
  page(session: Session, query: LogQuery): Promise<LogPage>
  backwards(session: Session, query: BackwardsQuery): Promise<readonly StoredRecord[]>
  at(session: Session, position: number): Promise<StoredRecord | undefined>
  list(): readonly LogPartition[]
  /** Undefined for the newest and for one that is gone. */
  drop(session: Session, id: number): Promise<(() => void) | undefined>
}

export interface LogTablesOptions {
  readonly schema: string
  readonly partitionBytesMax: number
  readonly partitionMs: number
}

interface Partition {
  readonly id: number
  readonly firstPosition: number
  readonly createdAtMs: number
  readonly lastPosition: number
  readonly firstAtMs: number
  readonly lastAtMs: number
  readonly bytes: number
}

export const createLogTables = (options: LogTablesOptions): LogTables => new PartitionedLog(options)

class PartitionedLog implements LogTables {
  readonly #options: LogTablesOptions
  /** By position; the last is the one that is written. Replaced, never changed. */
  #partitions: readonly Partition[] = []
  #head = 0

  constructor(options: LogTablesOptions) {
    this.#options = options
  }

  get head(): number {
    return this.#head
  }

  async load(session: Session, head: number): Promise<void> {
    const rows = await session.rows(
      `select id, first_position, created_at_ms, last_position, first_at_ms, last_at_ms, bytes
         from ${this.#options.schema}.log_partition order by id`,
    )
    this.#partitions = rows.map(partitionOf)
    this.#head = head
  }

  async append(
    session: Session,
    appends: readonly PlacedAppend[],
    nowMs: number,
  ): Promise<() => void> {
    const [first] = appends
    if (first === undefined) return () => undefined
    const { schema } = this.#options
    const open = this.#partitions.at(-1)
    const rotates = open === undefined || this.#isDue(open, nowMs)
    const id = rotates ? (open?.id ?? 0) + 1 : open.id
    if (rotates) await session.exec(createLogTable(schema, id))
    await insertRecords(session, `${schema}.log_${id}`, appends)
    const grown = grow(rotates ? emptyPartition(id, first.position, nowMs) : open, appends)
    await session.run(
      `insert into ${schema}.log_partition
         (id, first_position, created_at_ms, last_position, first_at_ms, last_at_ms, bytes)
       values ($1, $2, $3, $4, $5, $6, $7)
       on conflict (id) do update set last_position = excluded.last_position,
         first_at_ms = excluded.first_at_ms, last_at_ms = excluded.last_at_ms,
         bytes = excluded.bytes`,
      id,
      grown.firstPosition,
      grown.createdAtMs,
      grown.lastPosition,
      grown.firstAtMs,
      grown.lastAtMs,
      grown.bytes,
    )
    const kept = rotates ? this.#partitions : this.#partitions.slice(0, -1)
    return () => {
      this.#partitions = [...kept, grown]
      this.#head = grown.lastPosition
    }
  }

  async page(session: Session, query: LogQuery): Promise<LogPage> {
    // Read once: what commits meanwhile belongs to a later page, in whichever table it is.
    const head = this.#head
    const records: StoredRecord[] = []
    let bytesLeft = query.bytesMax
    for (const partition of this.#partitions) {
      if (partition.lastPosition <= query.afterPosition) continue
      if (records.length >= query.limit || (records.length > 0 && bytesLeft <= 0)) break
      const rows = await session.rows(
        `select position, channel, slot, at_ms, bytes
           from (select *, sum(octet_length(bytes)) over (order by position) as bytes_to_here
                   from (select * from ${this.#tableOf(partition)}
                          where channel = $1 and position > $2 and position <= $3
                          order by position limit $4) as found) as summed
          where bytes_to_here - octet_length(bytes) < $5
          order by position`,
        query.channel,
        query.afterPosition,
        head,
        Math.max(0, query.limit - records.length),
        // A page has at least one record, also when no byte is wanted.
        Math.max(1, bytesLeft),
      )
      for (const row of rows) {
        const record = recordOf(row)
        records.push(record)
        bytesLeft -= record.bytes.length
      }
    }
    const last = records.at(-1)?.position
    const full = records.length >= query.limit || bytesLeft <= 0
    if (full && last !== undefined) return { records, scannedTo: last }
    return { records, scannedTo: Math.max(head, query.afterPosition) }
  }

  async backwards(session: Session, query: BackwardsQuery): Promise<readonly StoredRecord[]> {
    const records: StoredRecord[] = []
    const before = Math.min(query.beforePosition, this.#head + 1)
    for (const partition of this.#partitions.toReversed()) {
      if (partition.firstPosition >= before) continue
      if (records.length >= query.limit) break
      const parameters: SqlInput[] = [before, query.limit - records.length]
      if (query.channel !== undefined) parameters.push(query.channel)
      const rows = await session.rows(
        `select ${RECORD_COLUMNS} from ${this.#tableOf(partition)}
          where position < $1 ${query.channel === undefined ? '' : 'and channel = $3'}
          order by position desc limit $2`,
        ...parameters,
      )
      records.push(...rows.map(recordOf))
    }
    return records
  }

  async at(session: Session, position: number): Promise<StoredRecord | undefined> {
    const partition = this.#partitions.find(
      ({ firstPosition, lastPosition }) => firstPosition <= position && position <= lastPosition,
    )
    if (partition === undefined) return undefined
    const sql = `select ${RECORD_COLUMNS} from ${this.#tableOf(partition)} where position = $1`
    const [row] = await session.rows(sql, position)
    return row && recordOf(row)
  }

  list(): readonly LogPartition[] {
    const open = this.#partitions.at(-1)
    return this.#partitions.map((partition) => ({
      id: partition.id,
      firstPosition: partition.firstPosition,
      lastPosition: partition.lastPosition,
      firstAtMs: partition.firstAtMs,
      lastAtMs: partition.lastAtMs,
      open: partition === open,
    }))
  }

  async drop(session: Session, id: number): Promise<(() => void) | undefined> {
    const partition = this.#partitions.slice(0, -1).find((candidate) => candidate.id === id)
    if (partition === undefined) return undefined
    await session.exec(`drop table if exists ${this.#tableOf(partition)}`)
    await session.run(`delete from ${this.#options.schema}.log_partition where id = $1`, id)
    return () => {
      this.#partitions = this.#partitions.filter((candidate) => candidate.id !== id)
    }
  }

  #tableOf({ id }: Partition): string {
    return `${this.#options.schema}.log_${id}`
  }

  #isDue(open: Partition, nowMs: number): boolean {
    const { partitionBytesMax, partitionMs } = this.#options
    return open.bytes >= partitionBytesMax || nowMs - open.createdAtMs >= partitionMs
  }
}

const RECORD_COLUMNS = 'position, channel, slot, at_ms, bytes'
/** What a row takes beside its record. */
const ROW_BYTES = 60

/**
 * The index serves `readLog`; the primary key `recordAt` and reading backwards. Records are kept
 * as they are: `external` spares the time to compress, and their length is known without reading.
 */
const createLogTable = (schema: string, id: number): string => `
  create table ${schema}.log_${id} (
    position bigint primary key,
    channel text collate "C" not null,
    slot integer not null,
    at_ms bigint not null,
    bytes bytea not null
  );
  alter table ${schema}.log_${id} alter column bytes set storage external;
  create index on ${schema}.log_${id} (channel, position);
`

/** The bytes of many records travel as one value and are cut on the server: an array is all hex. */
async function insertRecords(
  session: Session,
  table: string,
  appends: readonly PlacedAppend[],
): Promise<void> {
  const chunks = chunksOf(appends, {
    rowsMax: LIMITS.sqlRowsMax,
    bytesMax: LIMITS.sqlBytesMax,
    bytesOf: ({ bytes }) => bytes.length,
  })
  for (const chunk of chunks) {
    let offset = 1
    const offsets = chunk.map(({ bytes }) => {
      const start = offset
      offset += bytes.length
      return start
    })
    await session.run(
      `insert into ${table} (position, channel, slot, at_ms, bytes)
       select position, channel, slot, at_ms, substring($7::bytea from start for length)
         from unnest($1::bigint[], $2::text[], $3::integer[], $4::bigint[], $5::integer[],
                     $6::integer[]) as u (position, channel, slot, at_ms, start, length)`,
      chunk.map(({ position }) => position),
      chunk.map(({ channel }) => channel),
      chunk.map(({ slot }) => slot),
      chunk.map(({ atMs }) => atMs),
      offsets,
      chunk.map(({ bytes }) => bytes.length),
      Buffer.concat(chunk.map(({ bytes }) => bytes)),
    )
  }
}

const emptyPartition = (id: number, firstPosition: number, nowMs: number): Partition => ({
  id,
  firstPosition,
  createdAtMs: nowMs,
  lastPosition: firstPosition - 1,
  firstAtMs: Number.MAX_SAFE_INTEGER,
  lastAtMs: Number.MIN_SAFE_INTEGER,
  bytes: 0,
})

const grow = (partition: Partition, appends: readonly PlacedAppend[]): Partition => {
  let { lastPosition, firstAtMs, lastAtMs, bytes } = partition
  for (const append of appends) {
    lastPosition = append.position
    firstAtMs = Math.min(firstAtMs, append.atMs)
    lastAtMs = Math.max(lastAtMs, append.atMs)
    bytes += append.bytes.length + ROW_BYTES
  }
  return { ...partition, lastPosition, firstAtMs, lastAtMs, bytes }
}

const partitionOf = (row: SqlRow): Partition => ({
  id: integerAt(row, 0),
  firstPosition: integerAt(row, 1),
  createdAtMs: integerAt(row, 2),
  lastPosition: integerAt(row, 3),
  firstAtMs: integerAt(row, 4),
  lastAtMs: integerAt(row, 5),
  bytes: integerAt(row, 6),
})

const recordOf = (row: SqlRow): StoredRecord => ({
  position: integerAt(row, 0),
  channel: textAt(row, 1),
  slot: integerAt(row, 2),
  atMs: integerAt(row, 3),
  bytes: bytesAt(row, 4),
})
