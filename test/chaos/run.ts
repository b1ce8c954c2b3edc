import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { build } from '../../tools/build.ts'
import { runDrain } from './drain-under-load.ts'
import { runFullDisk, smallDisk } from './full-disk.ts'
import { runKillRounds } from './kill-rounds.ts'
import { runKillerMessage } from './killer-message.ts'
import { REPOSITORY } from './runtime-process.ts'
import type { Verdict } from './verdict.ts'

/**
 * `npm run chaos -- [--rounds N] [--seed N]`: real processes on loopback, killed, drained and put
 * on a full disk. Prints a table and writes docs/explanation/chaos-results.md.
 */
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '30' },
    seed: { type: 'string', default: '1' },
  },
})
const seed = Number(values.seed)
const rows: string[] = []
let isWhole = true

const folder = (): string => mkdtempSync(join(tmpdir(), 'junctura-chaos-'))

const note = (what: string, verdict: Verdict, recovery: string): void => {
  const { acknowledged, effects, lost, doubled, outOfOrder } = verdict
  isWhole &&= lost.length + doubled.length + outOfOrder.length === 0
  const figures = [acknowledged, effects, lost.length, doubled.length, outOfOrder.length]
  rows.push(`| ${what} | ${figures.join(' | ')} | ${recovery} |`)
  console.log(rows.at(-1))
}

const built = await build(REPOSITORY)
if (!built.ok) throw new Error(built.problem)

const rounds = Number(values.rounds)
const killed = await runKillRounds({
  dataDir: folder(),
  seed,
  rounds,
  loadMsMax: 1_500,
  connections: 12,
})
const median = killed.recoveryMs.toSorted((a, b) => a - b)[Math.floor(rounds / 2)] ?? 0
const worst = Math.max(...killed.recoveryMs)
note(
  `kill -9 under load, ${rounds} rounds`,
  killed.verdict,
  `${median} ms median, ${worst} ms worst`,
)

const drained = await runDrain({ dataDir: folder(), seed, loadMs: 3_000, connections: 12 })
const drainedIn = `drained in ${Math.round(drained.end.drainMs)} ms`
note('SIGTERM under load', drained.verdict, `${drainedIn}, ${drained.broken} connections broken`)

const mountPoint = folder()
const wrapper = smallDisk(mountPoint)
if (wrapper) {
  const full = await runFullDisk({ dataDir: mountPoint, wrapper, seed })
  note('disk full, then room again', full.verdict, `${full.recoveryMs} ms after there was room`)
}

const killer = await runKillerMessage({ dataDir: folder(), seed })
const harmed = killer.harmedNeighbours.length
isWhole &&= harmed === 0
const lives = `${killer.lives} starts, ${killer.deadLetters.length} set aside, ${harmed} neighbours harmed`
rows.push(`| messages that kill the process | - | - | - | - | - | ${lives} |`)
console.log(rows.at(-1))

const head = '| What | acknowledged | effects | lost | doubled | out of order | recovery |'
writeFileSync(
  join(REPOSITORY, 'docs', 'explanation', 'chaos-results.md'),
  `# What came of the attacks

Real processes on one machine (${cpus().length} cores, Node ${process.versions.node}), the orders
example on SQLite, a partner in another process that remembers every answer. Recovery is the time
from the start of the process to the line that says it takes messages. Regenerate with
\`npm run chaos\`; a selection runs in CI (\`test/chaos/chaos.test.ts\`).

${head}
|---|---|---|---|---|---|---|
${rows.join('\n')}
`,
)
rmSync(mountPoint, { recursive: true, force: true })
process.exitCode = isWhole ? 0 : 1
