import type { SQLInputValue, StatementSync } from 'node:sqlite'
import { must } from '../../kernel/index.ts'
import { asRow, type Connection, type SqlRow, textAt } from './connection.ts'
import { isEngineFailure } from './sqlite-errors.ts'

/** A stretch of a table that could not be read: row numbers, both included. */
export interface LostRange {
  readonly from: number
  readonly to: number
}

export interface SalvagedTable {
  readonly name: string
  readonly columns: readonly string[]
  /** Whether rows are found by number, so that a hole can be narrowed down. */
  readonly numbered: boolean
}

/** Tries of one table at narrowing down what is not readable; then the rest of the hole is lost. */
const PROBES_MAX = 20_000

/**
 * Gives every row of a table that can be read, in no certain order. A damaged page makes the rows
 * below it unreadable and leaves those on both sides: they are read from both ends, and the hole
 * between is halved again and again.
 *
 * Returns the holes; `undefined` stands for one whose size is not known.
 */
export const salvageRows = (
  source: Connection,
  table: SalvagedTable,
  take: (row: SqlRow) => void,
): readonly (LostRange | undefined)[] => {
  if (!table.numbered) return salvageBothEnds(source, table, take)
  const reader = new NumberedReader(source, table, take)
  return reader.read()
}

/** Columns that are stored, of a table whose definition can be read. */
export const tableToSalvage = (source: Connection, name: string): SalvagedTable => {
  const columns = source
    .rows(`SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0`, name)
    .map((row) => textAt(row, 0))
  const sql = source.first('SELECT sql FROM sqlite_schema WHERE name = ?', name)?.[0]
  const numbered = typeof sql === 'string' && !/without\s+rowid/i.test(sql)
  return { name, columns, numbered }
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

class NumberedReader {
  readonly #forwards: StatementSync
  readonly #backwards: StatementSync
  readonly #take: (row: SqlRow) => void
  readonly #holes: LostRange[] = []
  #probes = 0

  constructor(source: Connection, table: SalvagedTable, take: (row: SqlRow) => void) {
    const columns = table.columns.map(quoted).join(', ')
    const select = `SELECT _rowid_, ${columns} FROM ${quoted(table.name)}
      WHERE _rowid_ >= ? AND _rowid_ <= ? ORDER BY _rowid_`
    this.#forwards = source.prepare(select)
    this.#backwards = source.prepare(`${select} DESC`)
    this.#forwards.setReadBigInts(true)
    this.#backwards.setReadBigInts(true)
    this.#take = take
  }

  read(): readonly LostRange[] {
    this.#between(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
    return this.#holes
  }

  /** Reads from both ends; what lies between is a hole, or is halved. */
  #between(from: number, to: number): void {
    const spans: LostRange[] = [{ from, to }]
    for (let span = spans.pop(); span !== undefined; span = spans.pop()) {
      const low = this.#run(this.#forwards, span)
      if (low === undefined) continue
      const above = { from: Math.max(span.from, low + 1), to: span.to }
      const high = this.#run(this.#backwards, above)
      // Whole from the other end, as it may be when only the way down to it was damaged.
      if (high === undefined) continue
      const hole = { from: above.from, to: Math.min(above.to, high - 1) }
      if (hole.to < hole.from) continue
      this.#probes += 1
      if (hole.from === hole.to || this.#probes > PROBES_MAX) {
        this.#holes.push(hole)
        continue
      }
      const middle = Math.floor(hole.from / 2 + hole.to / 2)
      // The lower half first: above the last row there may be nothing but one damaged page.
      spans.push({ from: middle + 1, to: hole.to }, { from: hole.from, to: middle })
    }
  }

  /** The last row read before an error; undefined when all were read. */
  #run(statement: StatementSync, { from, to }: LostRange): number | undefined {
    let last = statement === this.#forwards ? from - 1 : to + 1
    try {
      for (const value of statement.iterate(from, to)) {
        const [number, ...row] = plain(value)
        this.#take(row)
        if (typeof number === 'number') last = number
      }
      return undefined
    } catch (error) {
      if (!isEngineFailure(error)) throw error
      return last
    }
  }
}

function salvageBothEnds(
  source: Connection,
  table: SalvagedTable,
  take: (row: SqlRow) => void,
): readonly undefined[] {
  const key = must(table.columns[0], `${table.name} has columns`)
  const select = `SELECT ${table.columns.map(quoted).join(', ')} FROM ${quoted(table.name)}`
  let lastUpwards: string | undefined
  const readAll = (direction: 'ASC' | 'DESC'): boolean => {
    try {
      const statement = source.prepare(`${select} ORDER BY ${quoted(key)} ${direction}`)
      statement.setReadBigInts(true)
      for (const value of statement.iterate()) {
        const row = plain(value)
        const text = row.map(String).join('\0')
        if (direction === 'DESC' && text === lastUpwards) return true
        if (direction === 'ASC') lastUpwards = text
        take(row)
      }
      return true
    } catch (error) {
      if (!isEngineFailure(error)) throw error
      return false
    }
  }
  return readAll('ASC') || readAll('DESC') ? [] : [undefined]
}

type Kind = 'integer' | 'text' | 'bytes'

/** A page that was damaged may give rows of the right length with anything in their columns. */
export const hasKinds = (row: SqlRow, kinds: readonly Kind[]): boolean =>
  kinds.every((kind, column) => kindOf(row[column]) === kind)

function kindOf(value: SqlRow[number] | undefined): Kind | undefined {
  if (typeof value === 'string') return 'text'
  if (value instanceof Uint8Array) return 'bytes'
  return typeof value === 'number' && Number.isSafeInteger(value) ? 'integer' : undefined
}

/** Integers are read whole, since a user's may be large, and are numbers where they fit. */
const plain = (value: unknown): SqlRow =>
  asRow(value).map((column) =>
    typeof column === 'bigint' && Number.isSafeInteger(Number(column)) ? Number(column) : column,
  )

/** Inserts what was salvaged; false when a constraint of the table refuses the row. */
export const insertSalvaged = (target: Connection, table: SalvagedTable, row: SqlRow): boolean => {
  const columns = table.columns.map(quoted).join(', ')
  const places = table.columns.map(() => '?').join(', ')
  try {
    const values: SQLInputValue[] = [...row]
    target.run(`INSERT INTO ${quoted(table.name)} (${columns}) VALUES (${places})`, ...values)
    return true
  } catch (error) {
    if (isEngineFailure(error)) throw error
    return false
  }
}
