import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { createSystemClock } from '../../src/kernel/index.ts'
import {
  describeFailure,
  PROFILES,
  SITUATION_NAMES,
  SITUATIONS,
  type SimulationReport,
} from '../../src/testing/index.ts'
import { isProfile, profileOf, runSeed } from './run-seed.ts'

/**
 * `npm run sim -- [--seed N] [--seeds COUNT] [--profile P] [--messages N] [--twice] [--trace]`
 *
 * One seed is replayed exactly; `--trace` prints every event of it. Many are shared between two
 * threads; from SEEDS_FOR_ALL on, a run that has not met every rare situation fails. `--twice` runs
 * each seed a second time and compares. A failure prints what to run again.
 */
const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    profile: { type: 'string' },
    messages: { type: 'string', default: '200' },
    twice: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
    threads: { type: 'string', default: '2' },
  },
})

/** So many seeds, of all profiles, meet every situation. */
const SEEDS_FOR_ALL = 500
const NEVER = { count: 0, seeds: 0, firstSeed: 0 }

const fail = (sentence: string): never => {
  console.error(sentence)
  process.exit(64)
}

const numberOf = (name: 'seed' | 'seeds' | 'messages' | 'threads'): number => {
  const number = Number(values[name])
  if (Number.isSafeInteger(number) && number >= 1) return number
  return fail(`--${name} ${values[name]}: write a whole number from 1 on`)
}

const { profile } = values
if (profile !== undefined && !isProfile(profile))
  fail(`--profile ${profile}: allowed are ${PROFILES.join(', ')}`)
const first = numberOf('seed')
const count = numberOf('seeds')
const options = {
  messages: numberOf('messages'),
  replays: values.twice,
  ...(isProfile(profile) && { profile }),
}
const clock = createSystemClock()
const startedMs = clock.monotonicMs()
const situations = new Map<string, { count: number; seeds: number; firstSeed: number }>()
const totals = { failed: 0, accepted: 0, effects: 0, deadLetters: 0 }

const note = ({ seed, report }: { seed: number; report: SimulationReport }): void => {
  totals.accepted += report.accepted
  totals.effects += report.effects
  totals.deadLetters += report.deadLetters
  for (const [name, times] of Object.entries(report.situations)) {
    if (times === 0) continue
    const known = situations.get(name) ?? { count: 0, seeds: 0, firstSeed: seed }
    const firstSeed = Math.min(known.firstSeed, seed)
    situations.set(name, { count: known.count + times, seeds: known.seeds + 1, firstSeed })
  }
  for (const failure of report.failures) {
    totals.failed += 1
    const name = profile ?? profileOf(failure.seed)
    const again = `--seed ${failure.seed} --profile ${name} --messages ${options.messages}`
    console.log(`${describeFailure(failure)}\nagain: npm run sim -- ${again}\n`)
  }
}

if (count === 1) {
  const onEvent = (line: string): void => console.log(line)
  const report = await runSeed(first, { ...options, ...(values.trace && { onEvent }) })
  note({ seed: first, report })
  console.log(JSON.stringify({ traceHash: report.traceHash, faults: report.faults }))
} else {
  const threads = Math.min(numberOf('threads'), count)
  await Promise.all(Array.from({ length: threads }, (_, thread) => runThread(thread, threads)))
}

function seedsOf(name: string): number {
  return situations.get(name)?.seeds ?? 0
}

/** Every so-manieth seed, in a thread of its own. */
function runThread(thread: number, threads: number): Promise<void> {
  const seeds = Array.from({ length: count }, (_, index) => first + index).filter(
    (seed) => seed % threads === thread,
  )
  const worker = new Worker(new URL('./seeds-worker.ts', import.meta.url), {
    workerData: { seeds, options },
    stdout: true,
  })
  createInterface({ input: worker.stdout }).on('line', (line) => note(JSON.parse(line)))
  return new Promise((resolve, reject) => {
    worker.on('error', reject)
    worker.on('exit', () => resolve())
  })
}

const seconds = (clock.monotonicMs() - startedMs) / 1_000
const { user, system } = process.cpuUsage()
const missed = SITUATION_NAMES.filter((name) => !situations.has(name))
const mustMeetAll = count >= SEEDS_FOR_ALL && profile === undefined && options.messages >= 200
if (count > 1) {
  for (const name of SITUATION_NAMES) {
    const { count: times, seeds, firstSeed } = situations.get(name) ?? NEVER
    const met = `${times}`.padStart(8) + `${seeds}`.padStart(6)
    console.log(`${met}  ${name}: ${SITUATIONS[name]}, first by seed ${firstSeed}`)
  }
  const rarest = SITUATION_NAMES.toSorted((a, b) => seedsOf(a) - seedsOf(b)).slice(0, 3)
  console.log(`rarest: ${rarest.map((name) => `${name} in ${seedsOf(name)} seeds`).join(', ')}`)
}
if (mustMeetAll && missed.length > 0) console.log(`never met: ${missed.join(', ')}`)
console.log(
  `${count} seeds, ${totals.failed} failed; ${totals.accepted} messages accepted, ` +
    `${totals.effects} effects, ${totals.deadLetters} dead letters; ${seconds.toFixed(1)} s, ` +
    `${Math.round((count * 60) / seconds)} seeds a minute, ` +
    `${Math.round((user + system) / 1_000 / count)} ms of CPU for each`,
)
process.exitCode = totals.failed > 0 || (mustMeetAll && missed.length > 0) ? 1 : 0
