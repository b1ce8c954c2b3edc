// The table of docs/explanation/chaos-results.md, of which a run may renew only some lines.
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import type { AttackLine } from './attack.ts'
import { REPOSITORY } from './runtime-process.ts'

const PAGE = join(REPOSITORY, 'docs', 'explanation', 'chaos-results.md')

export const tableLine = ({ what, figures, recovery }: AttackLine): string => {
  const numbers = figures
    ? [figures.acknowledged, figures.effects, figures.lost, figures.doubled, figures.outOfOrder]
    : ['-', '-', '-', '-', '-']
  return `| ${[what, ...numbers, recovery].join(' | ')} |`
}

/** Writes these lines; those of attacks that did not run stay where they are. */
export const writePage = (lines: readonly AttackLine[], isWholeRun: boolean): void => {
  const kept = isWholeRun ? [] : readFileSync(PAGE, 'utf8').split('\n').filter(isResult)
  const renewed = new Map(lines.map((line) => [line.what, tableLine(line)]))
  const table = kept.map((old) => {
    const what = firstCell(old)
    const line = renewed.get(what) ?? old
    renewed.delete(what)
    return line
  })
  writeFileSync(PAGE, pageOf([...table, ...renewed.values()]))
}

const isResult = (line: string): boolean => /^\| (?!What \|)/.test(line)

const firstCell = (line: string): string => /^\| (.*?) \|/.exec(line)?.[1] ?? ''

const pageOf = (table: readonly string[]): string => `# What came of the attacks

Real processes on one machine (${cpus().length} cores, Node ${process.versions.node}), on SQLite, with a partner in
another process that remembers every answer and sends again what was not answered. After each attack
the partner's memory is held against the database file: what was acknowledged, what came of it, what
is missing, what is there twice, and what stands in the wrong order for its key. Recovery is the
time from the start of the next process to the line that says it takes messages.

Regenerate with \`npm run chaos\`, which takes about an hour, or some lines of it with
\`npm run chaos -- --only NAME,NAME\`; \`--soak\` soaks for ten minutes instead of one. A smaller
selection runs in CI (\`test/chaos/*.test.ts\`). The runs need Linux, \`strace\`, \`faketime\`
and the right to mount a small disk.

| What | acknowledged | effects | lost | doubled | out of order | recovery |
|---|---|---|---|---|---|---|
${table.join('\n')}
`
