import type { ErrorCode, ErrorCodeEntry } from '../../src/kernel/index.ts'
import { ERROR_NOTES } from './error-notes.ts'
import { GENERATED, tableCell } from './page-text.ts'

type ErrorTable = Readonly<Record<ErrorCode, ErrorCodeEntry>>

/** One section for each code; its heading is the anchor that commands and answers point to. */
export const renderErrorPage = (table: ErrorTable): string => {
  const entries = Object.entries(table).toSorted(([left], [right]) => (left < right ? -1 : 1))
  const lines = [
    '# Errors',
    '',
    GENERATED,
    '',
    ...INTRODUCTION,
    '',
    '| Code | HTTP status | Same thing again |',
    '|---|---|---|',
    ...entries.map(
      ([code, { status, retryable }]) =>
        `| [${code}](#${code.toLowerCase()}) | ${status} | ${retryable ? 'may succeed' : 'will not'} |`,
    ),
    '',
    ...entries.flatMap(([code, entry]) => renderEntry(code, entry)),
    ...SYSTEM_ERRORS,
  ]
  return `${lines.join('\n').trimEnd()}\n`
}

const INTRODUCTION = [
  'Every error has a code. A code is permanent: write programs against it. Messages may improve.',
  '`junctura explain CODE` prints the same in a terminal.',
  '',
  '- **HTTP status** is how a listener answers with it. Errors that never reach HTTP have one too;',
  '  it says whose fault it is (4xx the caller, 5xx ours or the machine).',
  '- **Same thing again** says whether the very same request or start may succeed later without a change.',
  '- In a message, `{name}` stands for a detail of that name.',
  '',
  'A problem document (RFC 9457) carries the code twice: as `code`, and in `type` as `/errors/CODE`.',
  'The public one answers it for the codes that a sender can get, the management one for all. This page says more.',
]

function renderEntry(code: string, entry: ErrorCodeEntry): readonly string[] {
  const note = Object.hasOwn(ERROR_NOTES, code) ? Reflect.get(ERROR_NOTES, code) : undefined
  return [
    `## ${code}`,
    '',
    `> ${entry.message.replaceAll('\n', ' ')}`,
    '',
    `HTTP status ${entry.status} · the same thing again ${entry.retryable ? 'may succeed later' : 'will not succeed'}`,
    '',
    `**What to do.** ${entry.advice}`,
    '',
    ...(typeof note === 'string' ? [note.trim(), ''] : []),
  ]
}

/** What the commands print for errors of the operating system. */
const SYSTEM_ERRORS = [
  '## Errors of the system',
  '',
  'A command shows an error of the operating system under its own name.',
  '',
  '| Name | Meaning | What to do |',
  '|---|---|---|',
  ...[
    [
      'EADDRINUSE',
      'The port is taken.',
      'Stop what listens there, or choose another: `--port 0` takes a free one.',
    ],
    [
      'EADDRNOTAVAIL',
      'The address is not of this machine.',
      'Choose another one: `--host`, `--management-host`.',
    ],
    [
      'EACCES, EPERM',
      'This user may not.',
      'Give this user the right to the file or port, or choose another place.',
    ],
    [
      'ENOENT',
      'There is no such file or folder.',
      'Check the path; it is read from the current folder.',
    ],
    ['ENOSPC', 'The disk is full.', 'Free disk space.'],
  ].map((cells) => `| ${cells.map((cell) => tableCell(cell)).join(' | ')} |`),
]
