// Idempotency keys at scale: fresh keys with ten million live ones against an empty store, in turn;
// the longest pause, the expiry of one bucket, the start after a crash, memory.
// node bench/dedupe-keys.ts [--quick] writes results/dedupe-keys.{json,md}, whatever comes out.
import { execFile, execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { createSystemClock, createSystemRandom } from '../src/kernel/index.ts'
import { createSqliteStore, type Store, type Unit } from '../src/store/index.ts'

const DAY_MS = 86_400_000
const START_MS = Date.UTC(2026, 0, 1)
const RETENTION_MS = 7 * DAY_MS
/** Keys of the last six days are live together when the store has been filled. */
const FILL_MS = 6 * DAY_MS
const RECORD = Buffer.alloc(100)
const MIB = 2 ** 20
const WARM_LOOKUPS = 300_000

const clock = {
  ...createSystemClock(),
  atMs: START_MS + FILL_MS,
  now: () => clock.atMs,
}

const openStore = (directory: string, ceilingMiB: number): Promise<Store> =>
  createSqliteStore({
    directory,
    clock,
    random: createSystemRandom(),
    dedupeBytesMax: ceilingMiB * MIB,
  })

const unitOf = (key: string): Unit => ({
  appends: [{ channel: 'keys', slot: 0, atMs: clock.atMs, bytes: RECORD }],
  claims: [{ scope: 'bench', key, expiresAtMs: clock.atMs + RETENTION_MS, append: 0 }],
})

const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0

const summary = (durations: readonly number[]): Pauses => {
  const sorted = durations.toSorted((left, right) => left - right)
  return {
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    p999: percentile(sorted, 0.999),
    max: sorted.at(-1) ?? 0,
  }
}

interface Pauses {
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

interface Fresh {
  readonly readyMs: number
  readonly perSecond: number
  readonly cpuUsPerKey: number
  readonly commitMs: Pauses
  readonly duplicatesPerSecond: number
  readonly typedArrayMiB: number
}

interface Filled {
  readonly commitMs: Pauses
  readonly typedArrayMiBMax: number
  readonly perSecond: number
}

interface Expired {
  readonly callMs: number
  readonly pauseMs: number
  readonly keys: number
}

/** A store with keys spread over six days, left behind as kill -9 leaves it. */
async function fill(directory: string, keys: number, ceilingMiB: number): Promise<Filled> {
  const store = await openStore(directory, ceilingMiB)
  const durations: number[] = []
  let typedArrayMiBMax = 0
  const startedMs = performance.now()
  for (let first = 0; first < keys; first += 1_000) {
    clock.atMs = START_MS + Math.floor((first / keys) * FILL_MS)
    const units = Array.from({ length: 1_000 }, (_, index) => unitOf(`key ${first + index}`))
    const fromMs = performance.now()
    await store.commit(units)
    durations.push(performance.now() - fromMs)
    if (first % 100_000 === 0) typedArrayMiBMax = Math.max(typedArrayMiBMax, typedArrayMiB())
    await clock.yield()
  }
  const perSecond = keys / ((performance.now() - startedMs) / 1_000)
  return { commitMs: summary(durations), typedArrayMiBMax, perSecond: Math.round(perSecond) }
}

/** Typed arrays, which is what the index is made of; the rest of the process is left out. */
function typedArrayMiB(): number {
  return process.memoryUsage().arrayBuffers / MIB
}

async function fresh(directory: string, seconds: number, ceilingMiB: number): Promise<Fresh> {
  const openedMs = performance.now()
  const store = await openStore(directory, ceilingMiB)
  const readyMs = performance.now() - openedMs
  globalThis.gc?.()
  const held = typedArrayMiB()
  const run = `${process.pid} ${performance.timeOrigin}`
  const commitKeys = async (durationMs: number, keyOf: (number: number) => string) => {
    const durations: number[] = []
    const cpu = process.cpuUsage()
    const fromMs = performance.now()
    let keys = 0
    while (performance.now() - fromMs < durationMs) {
      const units = Array.from({ length: 100 }, () => unitOf(keyOf(keys++)))
      const startedMs = performance.now()
      await store.commit(units)
      durations.push(performance.now() - startedMs)
      await clock.yield()
    }
    const perSecond = Math.round(keys / ((performance.now() - fromMs) / 1_000))
    const used = process.cpuUsage(cpu)
    return {
      perSecond,
      cpuUsPerKey: (used.user + used.system) / keys,
      commitMs: summary(durations),
    }
  }
  // As warm as a process that has run for a while: the engine compiles what is called often.
  for (let number = 0; number < WARM_LOOKUPS; number++) {
    await store.claimedPosition('bench', `warm ${run} ${number}`)
  }
  await commitKeys(500, (number) => `warm ${run} ${number}`)
  const measured = await commitKeys(seconds * 1_000, (number) => `fresh ${run} ${number}`)
  const repeats = await commitKeys(seconds * 250, (number) => `key ${(number * 7_919) % 5_000}`)
  return {
    readyMs,
    ...measured,
    duplicatesPerSecond: repeats.perSecond,
    typedArrayMiB: held,
  }
}

/** The oldest tenth or so of the keys expires. */
async function expire(directory: string, ceilingMiB: number, keys: number): Promise<Expired> {
  const store = await openStore(directory, ceilingMiB)
  const isLive = async (number: number): Promise<boolean> =>
    (await store.claimedPosition('bench', `key ${number}`)) !== undefined
  let live = 0
  clock.atMs = START_MS + RETENTION_MS + Math.floor(FILL_MS / 5)
  let pauseMs = 0
  let isOver = false
  let lastMs = performance.now()
  const watch = (): void => {
    pauseMs = Math.max(pauseMs, performance.now() - lastMs)
    lastMs = performance.now()
    if (!isOver) setImmediate(watch)
  }
  setImmediate(watch)
  await clock.yield()
  pauseMs = 0
  const fromMs = performance.now()
  await store.expireClaims(clock.atMs)
  const callMs = performance.now() - fromMs
  isOver = true
  await clock.yield()
  for (let sample = 0; sample < 1_000; sample++) {
    if (await isLive(Math.floor((sample / 1_000) * keys))) live += 1
  }
  await store.close()
  return { callMs, pauseMs, keys: Math.round((1 - live / 1_000) * keys) }
}

const [mode, directory = '', ...numbers] = process.argv.slice(2)
const [first = 0, second = 0] = numbers.map(Number)
if (mode === 'fill') report(await fill(directory, first, second))
else if (mode === 'fresh') report(await fresh(directory, first, second))
else if (mode === 'expire') report(await expire(directory, first, second))
else await main(mode === '--quick')

/** The process ends here as kill -9 ends it. */
function report(result: object): void {
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.kill(process.pid, 'SIGKILL'))
}

async function child<T>(...args: readonly (string | number)[]): Promise<T> {
  const flags = ['--no-warnings', '--expose-gc', import.meta.filename, ...args.map(String)]
  const options = { timeout: 1_800_000 }
  const { stdout } = await promisify(execFile)(process.execPath, flags, options).catch(
    (error: unknown) => {
      // Killed by itself, after it had said what it found.
      if (error instanceof Error && 'stdout' in error) return { stdout: String(error.stdout) }
      throw error
    },
  )
  const result: T = JSON.parse(stdout)
  return result
}

async function main(isQuick: boolean): Promise<void> {
  const keys = isQuick ? 200_000 : 10_000_000
  const pairs = isQuick ? 1 : 5
  const seconds = isQuick ? 1 : 4
  const ceilingMiB = isQuick ? 8 : 128
  const lowMiB = isQuick ? 4 : 16
  const root = mkdtempSync(join(tmpdir(), 'junctura-bench-'))
  try {
    const full = join(root, 'full')
    const filled = await child<Filled>('fill', full, keys, ceilingMiB)
    console.log(`filled at ${filled.perSecond}/s`)
    const fileMiB = Math.round(statSync(join(full, 'junctura.db')).size / MIB)
    const rounds: { full: Fresh; empty: Fresh }[] = []
    const low: { full: Fresh; empty: Fresh }[] = []
    const measure = async (into: typeof rounds, name: string, mib: number): Promise<void> => {
      const live = await child<Fresh>('fresh', full, seconds, mib)
      const empty = await child<Fresh>('fresh', join(root, name), seconds, mib)
      into.push({ full: live, empty })
      console.log(`${mib} MiB: fresh ${live.perSecond}/s, empty store ${empty.perSecond}/s`)
    }
    for (let pair = 0; pair < pairs; pair++) await measure(rounds, `empty-${pair}`, ceilingMiB)
    for (let pair = 0; pair < pairs; pair += 2) await measure(low, `low-${pair}`, lowMiB)
    const expired = await child<Expired>('expire', full, ceilingMiB, keys)
    const table = tableOf({ keys, ceilingMiB, lowMiB, fileMiB, filled, rounds, low, expired })
    console.log(table)
    if (isQuick) return
    const results = join(dirname(import.meta.filename), 'results')
    mkdirSync(results, { recursive: true })
    const all = { machine: machine(), keys, pairs, seconds, ceilingMiB, lowMiB, fileMiB }
    const json = JSON.stringify({ ...all, filled, rounds, low, expired }, null, 2)
    writeFileSync(join(results, 'dedupe-keys.json'), `${json}\n`)
    writeFileSync(join(results, 'dedupe-keys.md'), table)
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

interface Measured {
  readonly keys: number
  readonly ceilingMiB: number
  readonly lowMiB: number
  readonly fileMiB: number
  readonly filled: Filled
  readonly rounds: readonly { full: Fresh; empty: Fresh }[]
  /** With too little memory for the filters. */
  readonly low: readonly { full: Fresh; empty: Fresh }[]
  readonly expired: Expired
}

function machine(): Record<string, unknown> {
  return {
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
    loadBefore: loadavg()[0],
    commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: import.meta.dirname })
      .toString()
      .trim(),
  }
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((left, right) => left - right)[Math.floor(numbers.length / 2)] ?? 0
}

function tableOf(measured: Measured): string {
  const { keys, ceilingMiB, lowMiB, fileMiB, filled, rounds, low, expired } = measured
  const { cpu, cores, node, commit } = machine()
  const row = (name: string, pick: (one: Fresh) => number, digits = 0): string => {
    const cells = [rounds, low].flatMap((pairs) => [
      median(pairs.map(({ full }) => pick(full))).toFixed(digits),
      median(pairs.map(({ empty }) => pick(empty))).toFixed(digits),
      median(pairs.map(({ full, empty }) => pick(full) / pick(empty))).toFixed(2),
    ])
    return `| ${name} | ${cells.join(' | ')} |`
  }
  return `# Idempotency keys at scale

${String(cpu)}, ${String(cores)} cores, Node ${String(node)}, commit ${String(commit)}; ${keys} live keys in a
file of ${fileMiB} MiB, durable commits of 100 keys with a record of 100 bytes each; ${rounds.length} rounds in turn,
medians; load of the machine at the end: ${(loadavg()[0] ?? 0).toFixed(1)}. Memory for keys: ${ceilingMiB} MiB, and ${lowMiB} MiB, which is too little for the filters.

| What | ${ceilingMiB} MiB | empty | ratio | ${lowMiB} MiB | empty | ratio |
|---|---|---|---|---|---|---|
${row('Fresh keys per second', (one) => one.perSecond)}
${row('CPU per fresh key, µs', (one) => one.cpuUsPerKey, 1)}
${row('Commit p50, ms', (one) => one.commitMs.p50, 2)}
${row('Commit p99, ms', (one) => one.commitMs.p99, 2)}
${row('Longest commit, ms', (one) => one.commitMs.max, 1)}
${row('Repeats per second (of 5 000 keys)', (one) => one.duplicatesPerSecond)}
${row('Ready after kill -9, ms', (one) => one.readyMs)}
${row('Typed arrays after start, MiB', (one) => one.typedArrayMiB, 1)}

Filling in commits of 1 000 keys: ${filled.perSecond}/s; commit ${filled.commitMs.p50.toFixed(1)} ms p50, ${filled.commitMs.p99.toFixed(1)} ms p99,
${filled.commitMs.p999.toFixed(1)} ms p99.9, ${filled.commitMs.max.toFixed(1)} ms longest; at most ${filled.typedArrayMiBMax.toFixed(0)} MiB of typed arrays.

Expiry of ${expired.keys} keys: ${expired.callMs.toFixed(0)} ms in steps, the loop held for ${expired.pauseMs.toFixed(1)} ms at most.

Regenerate with \`node bench/dedupe-keys.ts\`.
`
}
