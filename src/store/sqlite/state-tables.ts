import { assert, JuncturaError, must } from '../../kernel/index.ts'
import { COLLECTIONS, type CollectionName, indexesOf, type Row } from '../catalogue.ts'
import type { Guard, KeyedRow, ScanQuery } from '../store.ts'
import { type EncodedRow, indexedFieldsOf, rowChecksum } from '../unit-check.ts'
import { fromColumnText, toColumn, toColumnText } from './column-text.ts'
import { type Connection, integerAt, type SqlRow, textAt } from './connection.ts'

export const collectionNames = (): readonly CollectionName[] =>
  // `Object.keys` of a constant gives its keys.
  Object.keys(COLLECTIONS) as CollectionName[]

export const stateTableName = (collection: CollectionName): string => `junctura_state_${collection}`

/**
 * Adds the tables, columns and indexes of the catalogue that are missing; drops nothing. A column
 * that is new is filled from the JSON, so that an index which a release adds also finds old rows.
 */
export const createStateTables = ({ db, rows }: Connection): void => {
  for (const collection of collectionNames()) {
    const table = stateTableName(collection)
    db.exec(`CREATE TABLE IF NOT EXISTS ${table} (
      key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL, checksum INTEGER NOT NULL
    ) WITHOUT ROWID`)
    const present = new Set(
      rows(`SELECT name FROM pragma_table_info('${table}')`).map((row) => textAt(row, 0)),
    )
    for (const field of indexedFieldsOf(collection)) {
      if (present.has(columnOf(field))) continue
      // Without a type a column keeps text as text and numbers as numbers.
      db.exec(`ALTER TABLE ${table} ADD COLUMN ${columnOf(field)}`)
      const path = `'$.${field}'`
      db.exec(`UPDATE ${table} SET ${columnOf(field)} = json_extract(value, ${path})
        WHERE json_type(value, ${path}) IN ('text', 'integer', 'real')`)
    }
    for (const [index, fields] of Object.entries(indexesOf(collection))) {
      const columns = fields.map(columnOf)
      db.exec(`CREATE INDEX IF NOT EXISTS ${table}_${index} ON ${table} (${columns.join(', ')})
        WHERE ${columns.map((column) => `${column} IS NOT NULL`).join(' AND ')}`)
    }
  }
}

/** Writes rows in the transaction that is open. */
export class StateWriter {
  readonly #writer: Connection
  readonly #puts = new Map<CollectionName, string>()

  constructor(writer: Connection) {
    this.#writer = writer
  }

  holds({ collection, key, is }: Guard): boolean {
    const sql = `SELECT 1 FROM ${stateTableName(collection)} WHERE key = ?`
    return (this.#writer.first(sql, toColumnText(key)) !== undefined) === (is === 'present')
  }

  put({ collection, key, value, fields }: EncodedRow): void {
    const stored = toColumnText(key)
    if (value === undefined) {
      this.#writer.run(`DELETE FROM ${stateTableName(collection)} WHERE key = ?`, stored)
      return
    }
    const checksum = rowChecksum(stored, value)
    this.#writer.run(this.#putOf(collection), stored, value, checksum, ...fields.map(toColumn))
  }

  #putOf(collection: CollectionName): string {
    let sql = this.#puts.get(collection)
    if (sql === undefined) {
      const columns = ['key', 'value', 'checksum', ...indexedFieldsOf(collection).map(columnOf)]
      const updates = columns.slice(1).map((column) => `${column} = excluded.${column}`)
      sql = `INSERT INTO ${stateTableName(collection)} (${columns.join(', ')})
        VALUES (${columns.map(() => '?').join(', ')})
        ON CONFLICT (key) DO UPDATE SET ${updates.join(', ')}`
      this.#puts.set(collection, sql)
    }
    return sql
  }
}

/** Reads committed rows; verifies each row's checksum. */
export class StateReader {
  readonly #reader: Connection
  readonly #file: string

  constructor(reader: Connection, file: string) {
    this.#reader = reader
    this.#file = file
  }

  row<C extends CollectionName>(collection: C, key: string): Row<C> | undefined {
    const sql = `SELECT key, value, checksum FROM ${stateTableName(collection)} WHERE key = ?`
    const row = this.#reader.first(sql, toColumnText(key))
    return row && this.#keyed(collection, row).row
  }

  scan<C extends CollectionName>(query: ScanQuery<C>): readonly KeyedRow<C>[] {
    const { collection, reverse = false, limit } = query
    const order = orderOf(collection, query.index)
    const range = rangeOf(query, order)
    const rest = order.slice(query.where?.length ?? 0)
    const place = query.after === undefined ? undefined : this.#placeOf(query, order, rest)
    if (place) {
      range.conditions.push(
        `(${rest.join(', ')}) ${reverse ? '<' : '>'} (${rest.map(() => '?').join(', ')})`,
      )
      range.parameters.push(...place)
    }
    const direction = reverse ? ' DESC' : ''
    const sql = `SELECT key, value, checksum FROM ${stateTableName(collection)}
      ${whereOf(range.conditions)}
      ORDER BY ${order.map((column) => column + direction).join(', ')} LIMIT ?`
    return this.#reader
      .rows(sql, ...range.parameters, limit)
      .map((row) => this.#keyed(collection, row))
  }

  count<C extends CollectionName>(
    query: Pick<ScanQuery<C>, 'collection' | 'index' | 'where'>,
  ): number {
    const range = rangeOf(query, orderOf(query.collection, query.index))
    const table = stateTableName(query.collection)
    const sql = `SELECT count(*) FROM ${table} ${whereOf(range.conditions)}`
    return integerAt(must(this.#reader.first(sql, ...range.parameters), 'count gives a row'), 0)
  }

  /** Keys of rows whose checksum does not hold. */
  damagedKeys(collection: CollectionName): readonly string[] {
    return this.#reader
      .rows(`SELECT key, value, checksum FROM ${stateTableName(collection)}`)
      .filter((row) => !holds(row))
      .map((row) => fromColumnText(textAt(row, 0)))
  }

  /** Values of the order's columns in the row of `after`; undefined when it is gone. */
  #placeOf<C extends CollectionName>(
    query: ScanQuery<C>,
    order: readonly string[],
    rest: readonly string[],
  ): (string | number)[] | undefined {
    // In the order of the keys the key is its own place, also when its row is gone.
    if (query.index === undefined) return [toColumnText(query.after ?? '')]
    const conditions = ['key = ?', ...order.map((column) => `${column} IS NOT NULL`)]
    const table = stateTableName(query.collection)
    const sql = `SELECT ${rest.join(', ')} FROM ${table} ${whereOf(conditions)}`
    const row = this.#reader.first(sql, toColumnText(query.after ?? ''))
    return row?.filter((value) => typeof value === 'string' || typeof value === 'number')
  }

  #keyed<C extends CollectionName>(collection: C, row: SqlRow): KeyedRow<C> {
    const key = fromColumnText(textAt(row, 0))
    if (!holds(row)) {
      throw new JuncturaError('JUNCTURA_STORE_DAMAGED', {
        details: { file: this.#file, problem: `a row of ${collection} has a wrong checksum` },
      })
    }
    // The checksum vouches for the row: we wrote it from a `Row<C>`.
    return { key, row: JSON.parse(textAt(row, 1)) as Row<C> }
  }
}

const columnOf = (field: string): string => `field_${field}`

const holds = (row: SqlRow): boolean =>
  rowChecksum(textAt(row, 0), textAt(row, 1)) === integerAt(row, 2)

/** Columns that rows come in the order of; the key makes it total. */
function orderOf(collection: CollectionName, index: string | undefined): readonly string[] {
  if (index === undefined) return ['key']
  const fields = must(indexesOf(collection)[index], `${collection} has an index ${index}`)
  return [...fields.map(columnOf), 'key']
}

interface Range {
  readonly conditions: string[]
  readonly parameters: (string | number | null)[]
}

function rangeOf(
  query: Pick<ScanQuery<CollectionName>, 'where' | 'from' | 'to'>,
  order: readonly string[],
): Range {
  const { where = [], from, to } = query
  assert(where.length < order.length, 'where gives values for fields of the index')
  const fields = order.slice(0, -1)
  // The index holds only rows that have all its fields; these terms let the engine use it.
  const conditions = fields.map((column) => `${column} IS NOT NULL`)
  const parameters = where.map(toColumn)
  for (let index = 0; index < where.length; index++) conditions.push(`${fields[index]} = ?`)
  const bounded = order[where.length]
  if (from !== undefined) {
    conditions.push(`${bounded} >= ?`)
    parameters.push(toColumn(from))
  }
  if (to !== undefined) {
    conditions.push(`${bounded} <= ?`)
    parameters.push(toColumn(to))
  }
  return { conditions, parameters }
}

const whereOf = (conditions: readonly string[]): string =>
  conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`
