import { LIMITS } from '../../kernel/index.ts'
import type { BackwardsQuery, LogPage, LogPartition, LogQuery, StoredRecord } from '../store.ts'
import { encodeCopy, RECORD_COLUMNS, UNNUMBERED_COLUMNS } from './copy-in.ts'
import type { CopyTuple } from './copy-out.ts'
import type { Layout, LogView, Partition } from './known-layout.ts'
import {
  bytesAt,
  chunksOf,
  integerAt,
  quote,
  quoteBytes,
  type Session,
  type SqlInput,
  type SqlRow,
  textAt,
} from './session.ts'
import type { PlacedAppend } from './unit-group.ts'

/**
 * The log: one table per partition, so that retention drops a file and never deletes rows. Readers
 * go by a view of what is committed: which partitions there are, and the last position given.
 */
export interface LogTables {
  /**
   * Appends in the open transaction, and runs `along` in the same exchange; the partitions
   * afterwards, when they have changed.
   */
  append(
    session: Session,
    appends: readonly PlacedAppend[],
    at: AppendAt,
  ): Promise<readonly Partition[] | undefined>
  /**
   * The same as one text, whose records the server numbers in their order, and the data that go
   * along; undefined where something has to be looked at first, or it is too much at once.
   */
  textOf(appends: readonly PlacedAppend[], at: TextAt): AppendText | undefined
  /** Begins a partition in the open transaction; the one before it is closed. */
  begin(
    session: Session,
    at: LogView & { readonly nowMs: number },
    firstPosition: number,
  ): Promise<readonly Partition[]>
  page(session: Session, view: LogView, query: LogQuery): Promise<LogPage>
  backwards(
    session: Session,
    view: LogView,
    query: BackwardsQuery,
  ): Promise<readonly StoredRecord[]>
  at(session: Session, view: LogView, position: number): Promise<StoredRecord | undefined>
  list(session: Session, view: LogView): Promise<readonly LogPartition[]>
  /** Drops it in the open transaction; undefined for the newest and for one that is gone. */
  drop(session: Session, layout: Layout, id: number): Promise<readonly Partition[] | undefined>
}

export interface AppendAt extends LogView {
  readonly nowMs: number
  /** Statements without values; may be empty. */
  readonly along: string
}

export interface TextAt {
  readonly layout: Layout
  readonly nowMs: number
}

export interface AppendText {
  readonly sql: string
  readonly data: Uint8Array | undefined
}

export interface LogTablesOptions {
  readonly schema: string
  readonly partitionBytesMax: number
  readonly partitionMs: number
}

export const createLogTables = (options: LogTablesOptions): LogTables => new PartitionedLog(options)

class PartitionedLog implements LogTables {
  readonly #options: LogTablesOptions
  /** Appended by this process since it last asked for the size of the newest partition. */
  #bytesUnmeasured = Infinity

  constructor(options: LogTablesOptions) {
    this.#options = options
  }

  async append(
    session: Session,
    appends: readonly PlacedAppend[],
    at: AppendAt,
  ): Promise<readonly Partition[] | undefined> {
    const [first] = appends
    const { along } = at
    if (first === undefined) {
      if (along !== '') await session.exec(along)
      return undefined
    }
    const open = at.layout.partitions.at(-1)
    const rotates = open === undefined || (await this.#isDue(session, open, at.nowMs))
    const partitions = rotates ? await this.begin(session, at, first.position) : undefined
    const id = partitions?.at(-1)?.id ?? open?.id ?? 1
    for (const { bytes } of appends) this.#bytesUnmeasured += bytes.length + ROW_BYTES
    await writeRecords(session, `${this.#options.schema}.log_${id}`, { appends, along })
    return partitions
  }

  textOf(appends: readonly PlacedAppend[], { layout, nowMs }: TextAt): AppendText | undefined {
    if (appends.length === 0) return { sql: '', data: undefined }
    const open = layout.partitions.at(-1)
    if (!open || this.#isOld(open, nowMs) || this.#isMeasureDue()) return undefined
    const table = this.#tableOf(open)
    let bytes = 0
    for (const append of appends) bytes += append.bytes.length
    if (appends.length > LIMITS.sqlRowsMax || bytes > LIMITS.sqlBytesMax) return undefined
    this.#bytesUnmeasured += bytes + appends.length * ROW_BYTES
    if (isFew(appends, bytes)) return { sql: unnumberedText(table, appends), data: undefined }
    return {
      sql: `copy ${table} (${UNNUMBERED_COLUMNS}) from stdin (format binary)`,
      data: encodeCopy(appends, { isNumbered: false }),
    }
  }

  async begin(
    session: Session,
    { layout, head, nowMs }: LogView & { readonly nowMs: number },
    firstPosition: number,
  ): Promise<readonly Partition[]> {
    const { schema } = this.#options
    const open = layout.partitions.at(-1)
    const id = (open?.id ?? 0) + 1
    await session.exec(createLogTable(schema, id))
    await session.run(
      `insert into ${schema}.log_partition (id, first_position, created_at_ms)
       values ($1, $2, $3)`,
      id,
      firstPosition,
      nowMs,
    )
    await session.run(
      `update ${schema}.log_partition set last_position = $1 where id = $2`,
      head,
      open?.id ?? 0,
    )
    const closed = layout.partitions.map((one) =>
      one === open ? { ...one, lastPosition: head } : one,
    )
    const begun = { id, firstPosition, createdAtMs: nowMs, lastPosition: undefined }
    return [...closed, { ...begun, times: undefined }]
  }

  async page(session: Session, { layout, head }: LogView, query: LogQuery): Promise<LogPage> {
    const records: StoredRecord[] = []
    let bytesLeft = query.bytesMax
    for (const partition of layout.partitions) {
      if ((partition.lastPosition ?? head) <= query.afterPosition) continue
      if (records.length >= query.limit || (records.length > 0 && bytesLeft <= 0)) break
      // What commits meanwhile belongs to a later page, in whichever table it is. A page has at
      // least one record, also when no byte is wanted.
      const found = await session.copyOut(
        `select ${RECORD_COLUMNS}
           from (select *, sum(octet_length(bytes)) over
                     (order by position rows unbounded preceding) as bytes_to_here
                   from (select * from ${this.#tableOf(partition)}
                          where channel = ${quote(query.channel)}${slotsIn(query)}
                            and position > ${query.afterPosition} and position <= ${head}
                          order by position limit ${Math.max(0, query.limit - records.length)}
                        ) as found) as summed
          where bytes_to_here - octet_length(bytes) < ${Math.max(1, bytesLeft)}
          order by position`,
        { read: recordIn, settings: BY_INDEX },
      )
      for (const record of found) {
        records.push(record)
        bytesLeft -= record.bytes.length
      }
    }
    const last = records.at(-1)?.position
    const full = records.length >= query.limit || bytesLeft <= 0
    if (full && last !== undefined) return { records, scannedTo: last }
    return { records, scannedTo: Math.max(head, query.afterPosition) }
  }

  async backwards(
    session: Session,
    { layout, head }: LogView,
    query: BackwardsQuery,
  ): Promise<readonly StoredRecord[]> {
    const records: StoredRecord[] = []
    const before = Math.min(query.beforePosition, head + 1)
    for (const partition of layout.partitions.toReversed()) {
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

  async at(
    session: Session,
    { layout, head }: LogView,
    position: number,
  ): Promise<StoredRecord | undefined> {
    const partition = layout.partitions.find(
      ({ firstPosition, lastPosition = head }) =>
        firstPosition <= position && position <= lastPosition,
    )
    if (partition === undefined) return undefined
    const sql = `select ${RECORD_COLUMNS} from ${this.#tableOf(partition)} where position = $1`
    const [row] = await session.rows(sql, position)
    return row && recordOf(row)
  }

  async list(session: Session, { layout, head }: LogView): Promise<readonly LogPartition[]> {
    const listed: LogPartition[] = []
    for (const partition of layout.partitions) {
      const { id, firstPosition, createdAtMs, lastPosition } = partition
      const none = { firstAtMs: createdAtMs, lastAtMs: createdAtMs }
      const times = partition.times ?? (await this.#readTimes(session, partition)) ?? none
      const open = lastPosition === undefined
      listed.push({ id, firstPosition, lastPosition: lastPosition ?? head, ...times, open })
    }
    return listed
  }

  async drop(
    session: Session,
    { partitions }: Layout,
    id: number,
  ): Promise<readonly Partition[] | undefined> {
    const partition = partitions.slice(0, -1).find((candidate) => candidate.id === id)
    if (partition === undefined) return undefined
    await session.exec(`drop table if exists ${this.#tableOf(partition)}`)
    await session.run(`delete from ${this.#options.schema}.log_partition where id = $1`, id)
    return partitions.filter((candidate) => candidate.id !== id)
  }

  /** Reads a whole partition, once: a closed one does not change, so what was found is kept. */
  async #readTimes(session: Session, partition: Partition): Promise<Partition['times']> {
    const [row] = await session.rows(
      `select min(at_ms), max(at_ms) from ${this.#tableOf(partition)}`,
    )
    if (row?.[0] === null) return undefined
    const times = { firstAtMs: integerAt(row, 0), lastAtMs: integerAt(row, 1) }
    if (partition.lastPosition === undefined) return times
    await session.run(
      `update ${this.#options.schema}.log_partition set first_at_ms = $1, last_at_ms = $2
        where id = $3`,
      times.firstAtMs,
      times.lastAtMs,
      partition.id,
    )
    return times
  }

  #tableOf({ id }: Pick<Partition, 'id'>): string {
    return `${this.#options.schema}.log_${id}`
  }

  /** The size is asked for now and then: others append to the same table. */
  async #isDue(session: Session, open: Partition, nowMs: number): Promise<boolean> {
    if (this.#isOld(open, nowMs)) return true
    if (!this.#isMeasureDue()) return false
    this.#bytesUnmeasured = 0
    const sql = `select pg_table_size($1::regclass)`
    const [row] = await session.rows(sql, this.#tableOf(open))
    return integerAt(row, 0) >= this.#options.partitionBytesMax
  }

  #isOld({ createdAtMs }: Partition, nowMs: number): boolean {
    return nowMs - createdAtMs >= this.#options.partitionMs
  }

  #isMeasureDue(): boolean {
    return this.#bytesUnmeasured >= this.#options.partitionBytesMax / MEASURES_PER_PARTITION
  }
}

/**
 * Without them, a table that was not analyzed yet is read to its end and sorted for every page: it
 * takes a minute until it is, and by then a backlog is read at a tenth of its rate.
 */
const BY_INDEX =
  'set local enable_seqscan = off; set local enable_bitmapscan = off; set local enable_sort = off'

/** A page that is not full has come to the end of the log, so what was left out is passed, too. */
const slotsIn = ({ slots }: LogQuery): string => {
  if (!slots) return ''
  const among = slots.map(({ first, last }) => `slot between ${first} and ${last}`)
  return ` and (${[...among, 'false'].join(' or ')})`
}

const MEASURES_PER_PARTITION = 16
/** What a row takes beside its record. */
const ROW_BYTES = 60

/**
 * The index serves `readLog`; the primary key `recordAt` and reading backwards. Records are kept
 * as they are: `external` spares the time to compress, and their length is known without reading.
 */
const createLogTable = (schema: string, id: number): string => `
  create table ${schema}.log_${id} (
    position bigint primary key default nextval('${schema}.next_position'),
    channel text collate "C" not null,
    slot integer not null,
    at_ms bigint not null,
    bytes bytea not null
  );
  alter table ${schema}.log_${id} alter column bytes set storage external;
  create index on ${schema}.log_${id} (channel, position);
`

/** Many by COPY; for a few, one more exchange would take longer than what it saves. */
async function writeRecords(
  session: Session,
  table: string,
  { appends, along }: { readonly appends: readonly PlacedAppend[]; readonly along: string },
): Promise<void> {
  const bytes = appends.reduce((sum, append) => sum + append.bytes.length, 0)
  if (isFew(appends, bytes)) {
    await session.exec(`${insertText(table, appends)};${along}`)
    return
  }
  const chunks = chunksOf(appends, {
    rowsMax: LIMITS.sqlRowsMax,
    bytesMax: LIMITS.sqlBytesMax,
    bytesOf: ({ bytes: { length } }) => length,
  })
  const copy = `copy ${table} (${RECORD_COLUMNS}) from stdin (format binary)`
  for (const chunk of chunks) {
    const sql = chunk === chunks.at(-1) ? `${copy};${along}` : copy
    await session.copyIn(sql, encodeCopy(chunk))
  }
}

const INSERTED_RECORDS_MAX = 8
const INSERTED_BYTES_MAX = 16_384

const isFew = (appends: readonly PlacedAppend[], bytes: number): boolean =>
  appends.length <= INSERTED_RECORDS_MAX && bytes <= INSERTED_BYTES_MAX

/** The rows of VALUES are written, and so numbered, one after the other. */
const unnumberedText = (table: string, appends: readonly PlacedAppend[]): string => {
  const rows = appends.map(
    ({ channel, slot, atMs, bytes }) =>
      `(${quote(channel)}, ${slot}, ${atMs}, ${quoteBytes(bytes)})`,
  )
  return `insert into ${table} (${UNNUMBERED_COLUMNS}) values ${rows.join(', ')}`
}

const insertText = (table: string, appends: readonly PlacedAppend[]): string => {
  const rows = appends.map(
    ({ position, channel, slot, atMs, bytes }) =>
      `(${position}, ${quote(channel)}, ${slot}, ${atMs}, ${quoteBytes(bytes)})`,
  )
  return `insert into ${table} (${RECORD_COLUMNS}) values ${rows.join(', ')}`
}

const recordIn = (tuple: CopyTuple): StoredRecord => {
  const position = tuple.integer()
  const channel = tuple.text()
  const slot = tuple.integer()
  const atMs = tuple.integer()
  const bytes = tuple.bytes()
  return recordOf([position, channel, slot, atMs, bytes])
}

const recordOf = (row: SqlRow): StoredRecord => ({
  position: integerAt(row, 0),
  channel: textAt(row, 1),
  slot: integerAt(row, 2),
  atMs: integerAt(row, 3),
  bytes: bytesAt(row, 4),
})
