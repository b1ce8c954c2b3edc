import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { build } from '../tools/build.ts'
import { machineFacts, ROOT, type Row, type Scale, script, type Suite } from './harness.ts'
import { backlog } from './suites/backlog.ts'
import { disk } from './suites/disk.ts'
import { expectations } from './suites/expectations.ts'
import { idle } from './suites/idle.ts'
import { outbox } from './suites/outbox.ts'
import { peers } from './suites/peers.ts'
import { postgres } from './suites/postgres.ts'
import { postgresPeers } from './suites/postgres-peers.ts'
import { processes } from './suites/processes.ts'
import { publish } from './suites/publish.ts'
import { record } from './suites/record.ts'
import { restart } from './suites/restart.ts'
import { transportRabbitmq } from './suites/transport-rabbitmq.ts'
import { transportKafka } from './suites/transport-kafka.ts'
import { transportNats } from './suites/transport-nats.ts'
import { webhook } from './suites/webhook.ts'

/**
 * `npm run bench -- [--quick] [--only NAME]`: each path beside its twin, in turn, in one run, with
 * the load generator of the network in a process of its own. Writes bench/results/NAME.json and the
 * table of all of them, whatever comes out; `--quick` tries everything once and writes nothing.
 */
const SUITES: readonly Suite[] = [
  webhook,
  publish,
  idle,
  expectations,
  backlog,
  restart,
  disk,
  postgres,
  postgresPeers,
  processes,
  outbox,
  peers,
  transportRabbitmq,
  transportKafka,
  transportNats,
  record,
]

const { values } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, only: { type: 'string', multiple: true } },
})
const scale: Scale = values.quick
  ? { pairs: 1, seconds: 1, isQuick: true }
  : { pairs: 5, seconds: 4, isQuick: false }
const chosen = SUITES.filter(({ name }) => values.only?.includes(name) ?? true)
if (chosen.length === 0) {
  throw new Error(`--only takes ${SUITES.map(({ name }) => name).join(', ')}`)
}
// Before anything is measured: what is missing should not cost the hour before it.
for (const { name, needs = {} } of chosen) {
  for (const [program, fix] of Object.entries(needs)) {
    if (spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0) continue
    throw new Error(`${name} needs ${program}, on Debian: ${fix}; or name other suites with --only`)
  }
}

interface Kept {
  readonly machine: Readonly<Record<string, unknown>>
  readonly scale: Scale
  readonly rows: readonly Row[]
  readonly rounds: unknown
}

const fileOf = (name: string): string => script('results', `${name}.json`)

const line = ({ what, against, ours, theirs, ratio, goal, holds }: Row): string =>
  `| ${[what, against, ours, theirs, ratio?.toFixed(2) ?? '', `${goal}: ${holds ? 'yes' : 'no'}`].join(' | ')} |`

/** The table of everything that was ever measured in full, each suite with its machine. */
function tableOf(results: readonly (readonly [string, Kept])[]): string {
  const parts = results.map(
    ([
      name,
      {
        machine,
        scale: { pairs, seconds },
        rows,
      },
    ]) => {
      const facts = `${String(machine['cpu'])}, ${String(machine['cores'])} cores shared with the load generator, Node ${String(machine['node'])}, commit ${String(machine['commit'])}, load before ${Number(machine['loadBefore']).toFixed(1)}; ${pairs} pairs in turn of ${seconds} s, medians.`
      const head = '| What | Against | Ours | Theirs | Ratio | Goal |\n|---|---|---|---|---|---|'
      return `## ${name}\n\n${facts}\n\n${head}\n${rows.map(line).join('\n')}\n`
    },
  )
  return `# What was measured

Made by \`npm run bench\`, losing figures included. The ratio is the median of the pairs' ratios, not of their sums.

${parts.join('\n')}`
}

const built = await build(ROOT)
if (!built.ok) throw new Error(built.problem)
const machine = await machineFacts()
const measured: [string, Kept][] = []
for (const suite of chosen) {
  console.log(`measuring ${suite.name} …`)
  const { rows, rounds } = await suite.run(scale)
  measured.push([suite.name, { machine, scale, rows, rounds }])
  for (const row of rows) console.log(line(row))
}
if (!scale.isQuick) {
  mkdirSync(script('results'), { recursive: true })
  for (const [name, kept] of measured) {
    writeFileSync(fileOf(name), `${JSON.stringify(kept, null, 2)}\n`)
  }
  const all = SUITES.filter(({ name }) => existsSync(fileOf(name))).map(({ name }) => {
    const kept: Kept = JSON.parse(readFileSync(fileOf(name), 'utf8'))
    return [name, kept] as const
  })
  writeFileSync(script('results', 'README.md'), tableOf(all))
}
