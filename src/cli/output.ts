import type { CliIo } from './cli-io.ts'
import { renderFailure, toFailure } from './failure.ts'
import { createPaint, type Paint } from './paint.ts'
import { type Column, renderTable } from './table.ts'

/** Version of everything that `--json` prints; schemas/cli-output.schema.json describes it. */
const OUTPUT_VERSION = 1

/** How a command speaks: its result on stdout, everything about the way there on stderr. */
export interface Output {
  readonly json: boolean
  /** For text on stdout. */
  readonly paint: Paint
  /** The result: one JSON object under `--json`, otherwise what `text` gives. */
  result(kind: string, body: object, text: () => string): void
  /** One line on stdout of a command whose result is a stream; not under `--json`. */
  line(text: string): void
  /** A notice on stderr, for people only. */
  note(text: string): void
  table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string
  /** What went wrong: on stdout under `--json`, so that a program reads one stream. */
  failure(thrown: unknown): void
}

export const createOutput = (
  io: Pick<CliIo, 'stdout' | 'stderr' | 'kernel'>,
  json: boolean,
): Output => {
  const paint = json ? (_: unknown, text: string) => text : createPaint(io.stdout, io.kernel.env)
  const notePaint = createPaint(io.stderr, io.kernel.env)
  const printJson = (kind: string, body: object): void =>
    io.stdout.write(`${JSON.stringify({ schemaVersion: OUTPUT_VERSION, kind, ...body })}\n`)
  return {
    json,
    paint,
    result(kind, body, text) {
      if (json) return printJson(kind, body)
      const shown = text()
      if (shown !== '') io.stdout.write(`${shown}\n`)
    },
    line(text) {
      if (!json) io.stdout.write(`${text}\n`)
    },
    note(text) {
      if (!json) io.stderr.write(`${text}\n`)
    },
    table: (columns, rows) =>
      renderTable(columns, rows, {
        paint,
        ...(io.stdout.isTerminal && { columns: io.stdout.columns }),
      }),
    failure(thrown) {
      const failure = toFailure(thrown)
      if (json) printJson('error', failure)
      else io.stderr.write(`${renderFailure(failure, notePaint)}\n`)
    },
  }
}
