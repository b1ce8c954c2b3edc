import { firstPageId } from './claim-pages.ts'
import { claimTableName } from './claim-rows.ts'
import type { Connection } from './connection.ts'

/**
 * What is no longer looked into and still on disk: pages of a run whose keys are elsewhere or have
 * expired, rows of a bucket that were sealed, the table of a bucket that has ended. Deleted some
 * at a time, because deleting touches every page.
 */
export type Garbage =
  | { readonly kind: 'run'; readonly run: number }
  | { readonly kind: 'rows'; readonly bucket: number; readonly to: number }
  | { readonly kind: 'table'; readonly bucket: number }

/** Deletes some, in the open transaction; true when nothing is left. */
export const deleteSome = (writer: Connection, garbage: Garbage, rowsMax: number): boolean => {
  switch (garbage.kind) {
    case 'run':
      return deleteRun(writer, garbage.run, rowsMax)
    case 'rows':
      return deleteRows(writer, claimTableName(garbage.bucket), { to: garbage.to, rowsMax })
    case 'table': {
      const table = claimTableName(garbage.bucket)
      const to = Number.MAX_SAFE_INTEGER
      if (!deleteRows(writer, table, { to, rowsMax })) return false
      writer.forget(table)
      writer.db.exec(`DROP TABLE ${table}`)
      return true
    }
  }
}

/** Its row goes with the last page, so that pages never stand without one. */
function deleteRun(writer: Connection, run: number, rowsMax: number): boolean {
  const deleted = writer.rows(
    `DELETE FROM junctura_claim_pages WHERE id IN (
       SELECT id FROM junctura_claim_pages WHERE id >= ? AND id < ? ORDER BY id LIMIT ?
     ) RETURNING 1`,
    firstPageId(run),
    firstPageId(run + 1),
    rowsMax,
  )
  if (deleted.length === rowsMax) return false
  writer.run('DELETE FROM junctura_claim_runs WHERE run = ?', run)
  return true
}

function deleteRows(
  writer: Connection,
  table: string,
  { to, rowsMax }: { readonly to: number; readonly rowsMax: number },
): boolean {
  const deleted = writer.rows(
    `DELETE FROM ${table} WHERE id IN (
       SELECT id FROM ${table} WHERE id <= ? ORDER BY id LIMIT ?
     ) RETURNING 1`,
    to,
    rowsMax,
  )
  return deleted.length < rowsMax
}
