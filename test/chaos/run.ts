import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { build } from '../../tools/build.ts'
import type { AttackLine } from './attack.ts'
import { ATTACKS } from './attacks.ts'
import { tableLine, writePage } from './results-page.ts'
import { REPOSITORY } from './runtime-process.ts'

/**
 * `npm run chaos -- [--only NAME,NAME] [--rounds N] [--seed N] [--soak]`: real processes on
 * loopback under every attack. Prints a table and writes docs/explanation/chaos-results.md.
 */
const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    rounds: { type: 'string', default: '30' },
    seed: { type: 'string', default: '1' },
    soak: { type: 'boolean', default: false },
  },
})

const built = await build(REPOSITORY)
if (!built.ok) throw new Error(built.problem)

const names = values.only?.split(',') ?? Object.keys(ATTACKS)
const scratch = mkdtempSync(join(tmpdir(), 'junctura-chaos-'))
const lines: AttackLine[] = []
const faults: string[] = []

for (const name of names) {
  const attack = ATTACKS[name]
  if (!attack) throw new Error(`no attack is called ${name}: ${Object.keys(ATTACKS).join(', ')}`)
  const found = await attack({
    newFolder: () => mkdtempSync(join(scratch, `${name}-`)),
    seed: Number(values.seed),
    rounds: Number(values.rounds),
    isLongSoak: values.soak,
  })
  for (const line of found) {
    console.log(tableLine(line))
    for (const fault of line.faults) console.log(`  ${fault}`)
    faults.push(...line.faults)
  }
  lines.push(...found)
  // After each one, so that a run that is cut short leaves what it found.
  if (values.only !== undefined) writePage(lines, false)
}

if (values.only === undefined) writePage(lines, true)
rmSync(scratch, { recursive: true, force: true })
console.log(faults.length === 0 ? 'everything held' : `${faults.length} faults`)
process.exitCode = faults.length === 0 ? 0 : 1
