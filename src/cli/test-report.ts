import { escapeControl } from '../security/index.ts'
import type { Colour, Paint } from './paint.ts'

/** What came of one promise. */
export interface TestedCase {
  readonly part: 'webhook' | 'consumer'
  readonly name: string
  readonly case: string
  readonly label: string
  readonly outcome: 'holds' | 'told' | 'not-tried' | 'fails' | 'crashed'
  readonly says: string
  readonly code?: string
  readonly fix?: string
  readonly stack?: string
}

export interface TestReport {
  readonly name: string
  readonly seed: number
  /** Something was tried, and nothing failed. */
  readonly ok: boolean
  readonly holds: number
  readonly told: number
  readonly notTried: number
  readonly fails: number
  readonly crashed: number
  readonly cases: readonly TestedCase[]
}

export const reportTests = (
  cases: readonly TestedCase[],
  { name, seed }: { readonly name: string; readonly seed: number },
): TestReport => {
  const count = (outcome: TestedCase['outcome']): number =>
    cases.filter((one) => one.outcome === outcome).length
  const [fails, crashed] = [count('fails'), count('crashed')]
  return {
    name,
    seed,
    // A run that looked at nothing has shown nothing.
    ok: cases.length > 0 && fails + crashed === 0,
    holds: count('holds'),
    told: count('told'),
    notTried: count('not-tried'),
    fails,
    crashed,
    cases,
  }
}

const WORDS: Readonly<Record<TestedCase['outcome'], readonly [string, Colour]>> = {
  holds: ['ok', 'green'],
  told: ['note', 'gray'],
  'not-tried': ['-', 'yellow'],
  fails: ['FAIL', 'red'],
  crashed: ['CRASH', 'red'],
}
const WORD_WIDTH = 5
const GAP = '  '
const SENTENCE_CHARS_MIN = 30

interface Look {
  readonly paint: Paint
  /** Width to fit into; without it, lines are as long as they are. */
  readonly columns?: number
}

/** A table for each webhook and consumer, and one line for all. */
export const renderTestReport = (report: TestReport, look: Look): string => {
  const { paint } = look
  if (report.cases.length === 0) {
    return paint('red', `${report.name} declares no webhook and no consumer: nothing was tried.`)
  }
  const parts = Map.groupBy(report.cases, ({ part, name }) => `${part} ${name}`)
  const width = Math.max(...report.cases.map(({ label }) => label.length))
  const tables = [...parts].map(([title, cases]) =>
    [
      paint('bold', escapeControl(title)),
      ...cases.flatMap((one) => renderCase(one, width, look)),
    ].join('\n'),
  )
  return [...tables, summary(report, paint)].join('\n\n')
}

function renderCase(one: TestedCase, width: number, { paint, columns }: Look): readonly string[] {
  const [word, colour] = WORDS[one.outcome]
  const indent = GAP.length + WORD_WIDTH + GAP.length + width + GAP.length
  const room =
    columns === undefined
      ? Number.POSITIVE_INFINITY
      : Math.max(SENTENCE_CHARS_MIN, columns - indent)
  const fix = one.fix === undefined ? [] : wrap(`fix: ${escapeControl(one.fix)}`, room)
  const [first = '', ...more] = [...wrap(escapeControl(one.says), room), ...fix]
  const head = `${GAP}${paint(colour, word.padEnd(WORD_WIDTH))}${GAP}${one.label.padEnd(width)}`
  const stack = one.stack === undefined ? [] : one.stack.split('\n').map(escapeControl)
  return [
    `${head}${GAP}${first}`,
    ...more.map((line) => `${' '.repeat(indent)}${line}`),
    ...stack.map((line) => `${GAP}${line}`),
  ]
}

/** Sentences are for reading: they go on in the next line, and none is cut. */
function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}

function summary(report: TestReport, paint: Paint): string {
  const { holds, told, notTried, fails, crashed, seed } = report
  const counts = [
    `${holds} hold`,
    ...(told > 0 ? [`${told} noted`] : []),
    ...(notTried > 0 ? [`${notTried} not tried`] : []),
    ...(fails > 0 ? [`${fails} fail`] : []),
    ...(crashed > 0 ? [`${crashed} crashed`] : []),
  ].join(', ')
  return `${paint(report.ok ? 'green' : 'red', counts)} ${paint('gray', `(seed ${seed})`)}`
}
