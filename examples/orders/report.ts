// The table at the end: what was sent, what was answered, what came of it.
import type { DeadLetterRow } from 'junctura'
import { CONSUMERS, type Verdict } from './verdict.ts'

export interface Report {
  readonly verdicts: readonly Verdict[]
  readonly deadLetters: readonly DeadLetterRow[]
  /** Updates that `warehouse` emitted, and how many of them the fourth consumer has counted. */
  readonly updates: { readonly emitted: number; readonly counted: number }
}

const HEADINGS = ['what Acme sent', 'sent', 'answers', ...CONSUMERS, 'held', ''] as const

export const renderReport = (report: Report): string => {
  const rows = [HEADINGS, ...report.verdicts.map(rowOf)]
  const widths = HEADINGS.map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0
        return isNumber(column) ? cell.padStart(width) : cell.padEnd(width)
      })
      .join('  ')
      .trimEnd()
  const [headings, ...lines] = rows.map(line)
  const rule = widths.map((width) => '-'.repeat(width)).join('  ')
  return [headings, rule, ...lines, '', ...notesOf(report)].join('\n')
}

export const isWell = ({ verdicts, updates }: Report): boolean =>
  verdicts.every(({ problems }) => problems.length === 0) && updates.emitted === updates.counted

/** How many were sent, and how many effects each consumer had. */
const isNumber = (column: number): boolean => column === 1 || (column >= 3 && column <= 6)

function rowOf(verdict: Verdict): readonly string[] {
  const answers = Object.entries(verdict.answers).map(([status, count]) => `${count}x${status}`)
  return [
    verdict.title,
    String(verdict.sent),
    answers.join(' '),
    ...CONSUMERS.map((consumer) => String(verdict.effects[consumer])),
    String(verdict.held.length),
    verdict.problems.length === 0 ? 'ok' : 'FAILED',
  ]
}

function notesOf({ verdicts, deadLetters, updates }: Report): readonly string[] {
  const failed = verdicts.flatMap(({ title, problems }) =>
    problems.slice(0, PROBLEMS_SHOWN).map((problem) => `FAILED  ${title}: ${problem}`),
  )
  const letters = deadLetters.map(
    ({ id, consumer, key, owner, errorMessage }) =>
      `Dead letter ${id}: ${consumer} gave up ${key}, ${owner} was told: ${errorMessage}.`,
  )
  const held = verdicts.flatMap((verdict) => verdict.held)
  const parked = held.filter(({ status }) => status === 'parked').length
  const { emitted, counted } = updates
  return [
    ...failed,
    ...letters,
    `Waiting behind dead letters, in order: ${parked}.`,
    `warehouse emitted ${emitted} updates, statistics counted ${counted}: ${emitted === counted ? 'ok' : 'FAILED'}.`,
  ]
}

const PROBLEMS_SHOWN = 5
