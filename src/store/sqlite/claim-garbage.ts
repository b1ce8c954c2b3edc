import { firstPageId } from './claim-pages.ts'
import { claimTableName } from './claim-rows.ts'
import { type Connection, integerAt, PAGE_BYTES } from './connection.ts'

/**
 * What is no longer looked into and still on disk: pages of a run whose keys are elsewhere or have
 * expired, rows of a bucket that were sealed, the table of a bucket that has ended. Deleted some
 * at a time, because deleting touches every page.
 */
export type Garbage =
  | { readonly kind: 'run'; readonly run: number }
  | { readonly kind: 'rows'; readonly bucket: number; readonly to: number }
  | { readonly kind: 'table'; readonly bucket: number }

/** Deletes some pages' worth, in the open transaction; true when nothing is left. */
export const deleteSome = (writer: Connection, garbage: Garbage, pagesMax: number): boolean => {
  switch (garbage.kind) {
    case 'run':
      return deleteRun(writer, garbage.run, pagesMax)
    case 'rows':
      return deleteRows(writer, claimTableName(garbage.bucket), { to: garbage.to, pagesMax })
    case 'table': {
      const table = claimTableName(garbage.bucket)
      const to = Number.MAX_SAFE_INTEGER
      if (!deleteRows(writer, table, { to, pagesMax })) return false
      writer.forget(table)
      writer.db.exec(`DROP TABLE ${table}`)
      return true
    }
  }
}

/** Its row goes with the last page, so that pages never stand without one. */
function deleteRun(writer: Connection, run: number, pagesMax: number): boolean {
  const deleted = writer.rows(
    `DELETE FROM junctura_claim_pages WHERE id IN (
       SELECT id FROM junctura_claim_pages WHERE id >= ? AND id < ? ORDER BY id LIMIT ?
     ) RETURNING 1`,
    firstPageId(run),
    firstPageId(run + 1),
    pagesMax,
  )
  if (deleted.length === pagesMax) return false
  writer.run('DELETE FROM junctura_claim_runs WHERE run = ?', run)
  return true
}

/** A row holds the keys of one commit, be it one or thousands: what counts is their size. */
function deleteRows(
  writer: Connection,
  table: string,
  { to, pagesMax }: { readonly to: number; readonly pagesMax: number },
): boolean {
  const rows = writer.rows(
    `SELECT id, length(entries) FROM ${table} WHERE id <= ? ORDER BY id LIMIT ${ROWS_MAX}`,
    to,
  )
  let last = 0
  let count = 0
  let bytesLeft = pagesMax * PAGE_BYTES
  for (const row of rows) {
    if (bytesLeft <= 0) break
    last = integerAt(row, 0)
    bytesLeft -= integerAt(row, 1)
    count += 1
  }
  if (count > 0) writer.run(`DELETE FROM ${table} WHERE id <= ?`, last)
  return count === rows.length && count < ROWS_MAX
}

const ROWS_MAX = 2_048
