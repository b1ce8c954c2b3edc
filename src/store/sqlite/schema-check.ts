import { JuncturaError } from '../../kernel/index.ts'
import { claimBuckets, createClaimTable } from './claim-rows.ts'
import { type Connection, openConnection, textAt } from './connection.ts'
import { createTables } from './format.ts'
import { createLogTable } from './log-layout.ts'

/**
 * Compares our tables with what they are made as. The engine reads its schema from text without a
 * checksum, and one flipped bit in it may make a table that can be read and gives other rows.
 *
 * Columns that are in the file alone are left alone: another release may have added them.
 *
 * @throws JUNCTURA_STORE_DAMAGED naming the table and the column (F24).
 */
export const checkSchema = (writer: Connection, file: string): void => {
  const model = openConnection({ file: ':memory:' })
  try {
    createTables(model, new Uint8Array(32))
    for (const [id] of writer.rows('SELECT id FROM junctura_partitions')) {
      model.db.exec(createLogTable(Number(id)))
    }
    for (const bucket of claimBuckets(writer)) model.db.exec(createClaimTable(bucket))
    for (const row of model.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")) {
      const table = textAt(row, 0)
      const problem = differenceOf(shapeOf(model, table), shapeOf(writer, table))
      if (problem === undefined) continue
      throw new JuncturaError('JUNCTURA_STORE_DAMAGED', {
        details: { file, problem: `the schema of ${table} is damaged: ${problem}` },
      })
    }
  } finally {
    model.close()
  }
}

interface Shape {
  readonly hasRowId: boolean
  /** By name: type, whether it may be empty, and its place in the primary key. */
  readonly columns: ReadonlyMap<string, string>
}

function shapeOf({ rows }: Connection, table: string): Shape {
  const columns = rows('SELECT name, type, "notnull", pk FROM pragma_table_info(?)', table)
  const [list] = rows("SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?", table)
  return {
    hasRowId: list?.[0] === 0,
    columns: new Map(columns.map(([name, ...rest]) => [String(name), rest.join(' ')])),
  }
}

function differenceOf(model: Shape, found: Shape): string | undefined {
  if (found.columns.size === 0) return 'it is missing'
  if (model.hasRowId !== found.hasRowId) return 'it has other keys'
  for (const [name, rest] of model.columns) {
    if (found.columns.get(name) !== rest) return `its column ${name} is another`
  }
  return undefined
}
