import { assert, JuncturaError, LIMITS, must } from '../../kernel/index.ts'
import { COLLECTIONS, type CollectionName, indexesOf, type Row } from '../catalogue.ts'
import type { Guard, KeyedRow, ScanQuery } from '../store.ts'
import { type EncodedRow, indexedFieldsOf, indexValueOf, rowChecksum } from '../unit-check.ts'
import { fieldOrder, keyOf, keyOrder } from './field-order.ts'
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
import { rowId } from './unit-group.ts'

/** One table per collection of the catalogue, with a column for each field of its indexes. */
export interface StateTables {
  /** Whether every table, column and index is there. */
  isComplete(session: Session): Promise<boolean>
  /** Adds the tables, columns and indexes that are missing; drops nothing. */
  create(session: Session): Promise<void>
  /** Those of the guarded rows that are there, by `rowId`. */
  present(session: Session, guards: readonly Guard[]): Promise<ReadonlySet<string>>
  write(session: Session, rows: readonly EncodedRow[]): Promise<void>
  /** The same as statements without values, to go with others; undefined for more than a few. */
  textOf(rows: readonly EncodedRow[]): string | undefined
  row<C extends CollectionName>(
    session: Session,
    collection: C,
    key: string,
  ): Promise<Row<C> | undefined>
  scan<C extends CollectionName>(
    session: Session,
    query: ScanQuery<C>,
  ): Promise<readonly KeyedRow<C>[]>
  count(session: Session, query: RangeQuery): Promise<number>
  /** Keys of rows whose checksum does not hold. */
  damagedKeys(session: Session, collection: CollectionName): Promise<readonly string[]>
}

type RangeQuery = Pick<ScanQuery<CollectionName>, 'collection' | 'index' | 'where' | 'from' | 'to'>

export const collectionNames = (): readonly CollectionName[] =>
  // `Object.keys` of a constant gives its keys.
  Object.keys(COLLECTIONS) as CollectionName[]

export const createStateTables = (schema: string): StateTables => {
  const tableOf = (collection: CollectionName): string => `${schema}.state_${snakeCase(collection)}`

  const keyed = <C extends CollectionName>(collection: C, row: SqlRow): KeyedRow<C> => {
    const key = keyOf(bytesAt(row, 0))
    const value = textAt(row, 1)
    if (rowChecksum(key, value) !== integerAt(row, 2)) {
      throw new JuncturaError('JUNCTURA_STORE_DAMAGED', {
        details: { file: tableOf(collection), problem: 'a row has a wrong checksum' },
      })
    }
    // The checksum vouches for the row: we wrote it from a `Row<C>`.
    return { key, row: JSON.parse(value) as Row<C> }
  }

  const placeOf = async (
    session: Session,
    query: ScanQuery<CollectionName>,
    order: readonly string[],
  ): Promise<SqlRow | undefined> => {
    const after = keyOrder(query.after ?? '')
    // In the order of keys, the place of a row is its key, also when the row is gone.
    if (query.index === undefined) return [after]
    const inIndex = order.map((column) => `${column} is not null`).join(' and ')
    const rest = order.slice(query.where?.length ?? 0)
    const sql = `select ${rest.join(', ')} from ${tableOf(query.collection)}
      where key = $1 and ${inIndex}`
    const [row] = await session.rows(sql, after)
    return row
  }

  return {
    async isComplete(session) {
      const [columns, indexes] = await session.batch(`
        select relname::text || '.' || attname::text
          from pg_attribute join pg_class on pg_class.oid = attrelid
         where relnamespace = to_regnamespace('${schema}') and attnum > 0 and not attisdropped;
        select indexname::text from pg_indexes where schemaname = '${schema}'`)
      const present = new Set([...(columns ?? []), ...(indexes ?? [])].map((row) => textAt(row, 0)))
      return collectionNames().every((collection) => {
        const name = `state_${snakeCase(collection)}`
        const fields = ['key', 'value', 'checksum', ...indexedFieldsOf(collection).map(columnOf)]
        const named = Object.keys(indexesOf(collection)).map(
          (index) => `${name}_${snakeCase(index)}`,
        )
        return [...fields.map((field) => `${name}.${field}`), ...named].every((wanted) =>
          present.has(wanted),
        )
      })
    },

    async create(session) {
      for (const collection of collectionNames()) await createTable(session, schema, collection)
    },

    async present(session, guards) {
      const found = new Set<string>()
      for (const [collection, group] of byCollection(guards)) {
        const keys = [...new Set(group.map((guard) => guard.key))]
        const sql = `select key from ${tableOf(collection)} where key = any($1::bytea[])`
        for (const row of await session.rows(sql, keys.map(keyOrder))) {
          found.add(rowId({ collection, key: keyOf(bytesAt(row, 0)) }))
        }
      }
      return found
    },

    async write(session, rows) {
      for (const [collection, group] of byCollection(rows)) {
        const chunks = chunksOf(group, {
          rowsMax: LIMITS.sqlRowsMax,
          bytesMax: LIMITS.sqlBytesMax,
          bytesOf: ({ key, value }) => key.length + (value?.length ?? 0),
        })
        for (const chunk of chunks) await writeChunk(session, tableOf(collection), chunk)
      }
    },

    textOf(rows) {
      if (rows.length > TEXT_ROWS_MAX) return undefined
      const bytes = rows.reduce((sum, { key, value = '' }) => sum + key.length + value.length, 0)
      if (bytes > TEXT_BYTES_MAX) return undefined
      return [...byCollection(rows)]
        .map(([collection, group]) => rowsText(tableOf(collection), group))
        .join(';')
    },

    async row(session, collection, key) {
      const sql = `select key, value, checksum from ${tableOf(collection)} where key = $1`
      const [row] = await session.rows(sql, keyOrder(key))
      return row && keyed(collection, row).row
    },

    async scan(session, query) {
      const { collection, reverse = false, limit } = query
      const order = orderOf(collection, query.index)
      const { conditions, values } = rangeOf(query, order)
      const place = query.after === undefined ? undefined : await placeOf(session, query, order)
      if (place) {
        const rest = order.slice(query.where?.length ?? 0)
        const bound = place.map((_, column) => `$${values.push(bytesAt(place, column))}`)
        conditions.push(`(${rest.join(', ')}) ${reverse ? '<' : '>'} (${bound.join(', ')})`)
      }
      const sql = `select key, value, checksum from ${tableOf(collection)} ${whereOf(conditions)}
        order by ${order.map((column) => column + (reverse ? ' desc' : '')).join(', ')}
        limit $${values.push(Math.max(0, limit))}`
      return (await session.rows(sql, ...values)).map((row) => keyed(collection, row))
    },

    async count(session, query) {
      const { conditions, values } = rangeOf(query, orderOf(query.collection, query.index))
      const sql = `select count(*) from ${tableOf(query.collection)} ${whereOf(conditions)}`
      const [row] = await session.rows(sql, ...values)
      return integerAt(row, 0)
    },

    async damagedKeys(session, collection) {
      const damaged: string[] = []
      let after: Uint8Array = new Uint8Array()
      for (let first = true; ; first = false) {
        const rows = await session.rows(
          `select key, value, checksum from ${tableOf(collection)}
            where key ${first ? '>=' : '>'} $1 order by key limit ${LIMITS.sqlRowsMax}`,
          after,
        )
        for (const row of rows) {
          after = bytesAt(row, 0)
          const checksum = rowChecksum(keyOf(after), textAt(row, 1))
          if (checksum !== integerAt(row, 2)) damaged.push(keyOf(after))
        }
        if (rows.length < LIMITS.sqlRowsMax) return damaged
      }
    },
  }
}

function byCollection<T extends { readonly collection: CollectionName }>(
  items: readonly T[],
): ReadonlyMap<CollectionName, readonly T[]> {
  const groups = new Map<CollectionName, T[]>()
  for (const item of items) {
    const group = groups.get(item.collection)
    if (group === undefined) groups.set(item.collection, [item])
    else group.push(item)
  }
  return groups
}

const snakeCase = (name: string): string =>
  name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

const columnOf = (field: string): string => `by_${snakeCase(field)}`

async function createTable(
  session: Session,
  schema: string,
  collection: CollectionName,
): Promise<void> {
  const name = `state_${snakeCase(collection)}`
  const table = `${schema}.${name}`
  await session.exec(`
    create table if not exists ${table} (
      key bytea primary key, value text not null, checksum bigint not null
    )`)
  const columns = await session.rows(
    `select attname::text from pg_attribute
      where attrelid = $1::regclass and attnum > 0 and not attisdropped`,
    table,
  )
  const present = new Set(columns.map((row) => textAt(row, 0)))
  const missing = indexedFieldsOf(collection).filter((field) => !present.has(columnOf(field)))
  if (missing.length > 0) {
    const added = missing.map((field) => `add column ${columnOf(field)} bytea`)
    await session.exec(`alter table ${table} ${added.join(', ')}`)
    await fillColumns(session, table, missing)
  }
  for (const statement of indexStatements(schema, collection)) await session.exec(statement)
}

/** Each index serves the scan of its name; rows without one of its fields are not in it. */
const indexStatements = (schema: string, collection: CollectionName): readonly string[] =>
  Object.entries(indexesOf(collection)).map(([index, fields]) => {
    const name = `state_${snakeCase(collection)}`
    const indexed = fields.map(columnOf)
    return `
    create index if not exists ${name}_${snakeCase(index)} on ${schema}.${name}
      (${indexed.join(', ')}, key)
      where ${indexed.map((column) => `${column} is not null`).join(' and ')}`
  })

/** The tables of all collections as they are made in an empty schema. */
export const stateSql = (schema: string): string =>
  collectionNames()
    .flatMap((collection) => [
      `
    create table ${schema}.state_${snakeCase(collection)} (
      key bytea primary key, value text not null, checksum bigint not null${indexedFieldsOf(
        collection,
      )
        .map((field) => `, ${columnOf(field)} bytea`)
        .join('')}
    )`,
      ...indexStatements(schema, collection),
    ])
    .map((statement) => `${statement};`)
    .join('')

/** An index that a release adds also finds old rows: its columns are filled from the JSON. */
async function fillColumns(
  session: Session,
  table: string,
  fields: readonly string[],
): Promise<void> {
  for (let after: Uint8Array | undefined; ;) {
    const bound = after === undefined ? '' : 'where key > $1'
    const rows: readonly SqlRow[] = await session.rows(
      `select key, value from ${table} ${bound} order by key limit ${LIMITS.sqlRowsMax}`,
      ...(after === undefined ? [] : [after]),
    )
    const parsed = rows.map((row): unknown => JSON.parse(textAt(row, 1)))
    const values = fields.map((field) => parsed.map((row) => encodedField(row, field)))
    if (rows.length > 0) {
      await session.run(
        `update ${table} as held set ${fields.map((field, at) => `${columnOf(field)} = u.f${at}`).join(', ')}
           from unnest($1::bytea[], ${fields.map((_, at) => `$${at + 2}::bytea[]`).join(', ')})
             as u (key, ${fields.map((_, at) => `f${at}`).join(', ')})
          where held.key = u.key`,
        rows.map((row) => bytesAt(row, 0)),
        ...values,
      )
      after = bytesAt(rows.at(-1), 0)
    }
    if (rows.length < LIMITS.sqlRowsMax) return
  }
}

function encodedField(row: unknown, field: string): Uint8Array | null {
  if (typeof row !== 'object' || row === null) return null
  const value = indexValueOf(Reflect.get(row, field))
  return value === null ? null : fieldOrder(value)
}

/** More of them are cheaper as values of one statement. */
const TEXT_ROWS_MAX = 32
const TEXT_BYTES_MAX = 32_768

/** Rows of one collection, each with another key. */
function rowsText(table: string, rows: readonly EncodedRow[]): string {
  const gone: string[] = []
  const put: string[] = []
  let columns: readonly string[] = []
  for (const { collection, key, value, fields } of rows) {
    const place = quoteBytes(keyOrder(key))
    if (value === undefined) {
      gone.push(place)
      continue
    }
    const indexed = fields.map((field) => (field === null ? 'null' : quoteBytes(fieldOrder(field))))
    put.push(`(${[place, quote(value), rowChecksum(key, value), ...indexed].join(', ')})`)
    columns = columnsOf(collection)
  }
  const statements: string[] = []
  if (gone.length > 0) statements.push(`delete from ${table} where key in (${gone.join(', ')})`)
  if (put.length > 0) {
    statements.push(`insert into ${table} (key, ${columns.join(', ')}) values ${put.join(', ')}
      on conflict (key) do update set ${updates(columns)}`)
  }
  return statements.join(';')
}

const columnsOf = (collection: CollectionName): readonly string[] => [
  'value',
  'checksum',
  ...indexedFieldsOf(collection).map(columnOf),
]

const updates = (columns: readonly string[]): string =>
  columns.map((column) => `${column} = excluded.${column}`).join(', ')

async function writeChunk(
  session: Session,
  table: string,
  rows: readonly EncodedRow[],
): Promise<void> {
  const deleted = rows.filter((row) => row.value === undefined).map((row) => keyOrder(row.key))
  if (deleted.length > 0) {
    await session.run(`delete from ${table} where key = any($1::bytea[])`, deleted)
  }
  const put = rows.filter((row) => row.value !== undefined)
  const [first] = put
  if (first === undefined) return
  const columns = columnsOf(first.collection)
  const types = ['bytea', 'text', 'bigint', ...first.fields.map(() => 'bytea')]
  const fields = first.fields.map((_, at) =>
    put.map(({ fields }) => {
      const value = fields[at] ?? null
      return value === null ? null : fieldOrder(value)
    }),
  )
  const values = put.map(({ value }) => must(value, 'a row that is put has a value'))
  await session.run(
    `insert into ${table} (key, ${columns.join(', ')})
     select * from unnest(${types.map((type, at) => `$${at + 1}::${type}[]`).join(', ')})
     on conflict (key) do update set ${updates(columns)}`,
    put.map(({ key }) => keyOrder(key)),
    values,
    put.map(({ key }, at) => rowChecksum(key, values[at] ?? '')),
    ...fields,
  )
}

/** Columns that rows come in the order of; the key makes it total. */
function orderOf(collection: CollectionName, index: string | undefined): readonly string[] {
  if (index === undefined) return ['key']
  const fields = must(indexesOf(collection)[index], `${collection} has an index ${index}`)
  return [...fields.map(columnOf), 'key']
}

interface Range {
  readonly conditions: string[]
  readonly values: SqlInput[]
}

function rangeOf(query: RangeQuery, order: readonly string[]): Range {
  const { where = [], from, to } = query
  assert(where.length < order.length, 'where gives values for fields of the index')
  // The index holds only rows that have all its fields; these terms let the engine use it.
  const conditions = order.slice(0, -1).map((column) => `${column} is not null`)
  const values: SqlInput[] = []
  where.forEach((value, at) => {
    conditions.push(`${order[at]} = $${values.push(fieldOrder(value))}`)
  })
  const bounded = must(order[where.length], 'the key follows the fields of an index')
  const encode = (value: string | number): Uint8Array =>
    bounded === 'key' ? keyOrder(String(value)) : fieldOrder(value)
  if (from !== undefined) conditions.push(`${bounded} >= $${values.push(encode(from))}`)
  if (to !== undefined) conditions.push(`${bounded} <= $${values.push(encode(to))}`)
  return { conditions, values }
}

const whereOf = (conditions: readonly string[]): string =>
  conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`
