import { escapeControl } from '../security/index.ts'
import type { Colour, Paint } from './paint.ts'

export interface Column<Row> {
  readonly title: string
  readonly align?: 'left' | 'right'
  /** The only column that gives up width when the terminal is narrow. */
  readonly shrinks?: boolean
  readonly colour?: (row: Row) => Colour | undefined
  readonly cell: (row: Row) => string | number | null | undefined
}

export interface TableLook {
  readonly paint: Paint
  /** Width to fit into; without it, rows are as long as they are. */
  readonly columns?: number
}

const GAP = '  '
const SHRUNK_CHARS_MIN = 12

/**
 * A table for people: titles, rows, columns as wide as their content. Cells hold what others sent,
 * so control characters are escaped before anything reaches a terminal (F56).
 */
export const renderTable = <Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  look: TableLook,
): string => {
  const cells = rows.map((row) => columns.map((column) => cellText(column.cell(row))))
  const widths = fitWidths(columns, cells, look.columns)
  const titles = columns.map((column, index) =>
    look.paint('gray', pad(column.title, widths[index] ?? 0, column.align)),
  )
  const lines = rows.map((row, rowIndex) =>
    columns
      .map((column, index) => {
        const text = pad(cells[rowIndex]?.[index] ?? '', widths[index] ?? 0, column.align)
        const colour = column.colour?.(row)
        return colour === undefined ? text : look.paint(colour, text)
      })
      .join(GAP),
  )
  return [titles.join(GAP), ...lines].map((line) => line.trimEnd()).join('\n')
}

/** Two columns of names and values, for one thing shown alone. */
export const renderFacts = (
  facts: readonly (readonly [name: string, value: unknown])[],
  paint: Paint,
): string => {
  const known = facts.filter(([, value]) => value !== undefined && value !== null)
  const width = Math.max(0, ...known.map(([name]) => name.length))
  return known
    .map(([name, value]) => `${paint('gray', name.padEnd(width))}${GAP}${cellText(String(value))}`)
    .join('\n')
}

const cellText = (value: string | number | null | undefined): string =>
  value === null || value === undefined ? '-' : escapeControl(String(value))

function fitWidths<Row>(
  columns: readonly Column<Row>[],
  cells: readonly (readonly string[])[],
  available: number | undefined,
): readonly number[] {
  const widths = columns.map((column, index) =>
    Math.max(column.title.length, ...cells.map((row) => row[index]?.length ?? 0)),
  )
  const total = widths.reduce((sum, width) => sum + width, 0) + GAP.length * (columns.length - 1)
  const shrinking = columns.findIndex((column) => column.shrinks === true)
  if (available === undefined || total <= available || shrinking < 0) return widths
  return widths.map((width, index) =>
    index === shrinking ? Math.max(SHRUNK_CHARS_MIN, width - (total - available)) : width,
  )
}

function pad(text: string, width: number, align: 'left' | 'right' = 'left'): string {
  const shown = text.length > width ? `${text.slice(0, Math.max(0, width - 1))}…` : text
  return align === 'right' ? shown.padStart(width) : shown.padEnd(width)
}
