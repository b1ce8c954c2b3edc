import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, loadavg, tmpdir, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'

export const ROOT: string = dirname(import.meta.dirname)

/** How long and how often a suite measures. */
export interface Scale {
  readonly pairs: number
  readonly seconds: number
  readonly isQuick: boolean
}

/** One line of the table. A ratio is the median of the ratios of the pairs. */
export interface Row {
  readonly what: string
  readonly against: string
  readonly ours: string
  readonly theirs: string
  readonly ratio?: number
  /** What the project asks of itself: at least, and to reach. */
  readonly goal: string
  readonly holds: boolean
}

export interface SuiteResult {
  readonly rows: readonly Row[]
  /** Every single measurement, also the bad ones. */
  readonly rounds: unknown
}

export interface Suite {
  readonly name: string
  /** Programs beside Node, each with how to get it. */
  readonly needs?: Readonly<Record<string, string>>
  run(scale: Scale): Promise<SuiteResult>
}

const run = promisify(execFile)

export const script = (...path: readonly string[]): string => join(ROOT, 'bench', ...path)

/** Runs a script of this folder that prints one line of JSON. */
export const measure = <T>(name: string, ...args: readonly string[]): Promise<T> =>
  measureUnder([], name, ...args)

/** The same, run by another program, for example a tracer. */
export async function measureUnder<T>(
  launcher: readonly string[],
  name: string,
  ...args: readonly string[]
): Promise<T> {
  const limits = { timeout: 1_800_000, maxBuffer: 16_777_216 }
  const [file = process.execPath, ...rest] = [...launcher, process.execPath, script(name), ...args]
  const { stdout } = await run(file, rest, limits).catch((error: unknown) => {
    // A script that ends as of kill -9 has said before what it found.
    const isKilled = error instanceof Error && 'signal' in error && error.signal === 'SIGKILL'
    if (isKilled && 'stdout' in error && error.stdout !== '')
      return { stdout: String(error.stdout) }
    throw error
  })
  const result: T = JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
  return result
}

export interface Server {
  readonly url: string
  readonly managementUrl?: string
  readonly pid: number
  stop(): Promise<void>
}

/** Starts a server that prints one line of JSON with its URL. */
export async function startServer(args: readonly string[]): Promise<Server> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  const line = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', resolve)
    child.once('exit', (code) => reject(new Error(`${args[0] ?? ''} ended with ${code}`)))
  })
  const ready: Pick<Server, 'url' | 'managementUrl'> = JSON.parse(line)
  return {
    ...ready,
    pid: child.pid ?? 0,
    stop: () =>
      new Promise((resolve) => {
        child.once('close', () => resolve())
        child.kill('SIGTERM')
      }),
  }
}

/** The orders example on a directory of its own, which goes when it stops. */
export async function startOrders(): Promise<Server> {
  const directory = mkdtempSync(join(tmpdir(), 'junctura-bench-'))
  const example = join(ROOT, 'examples', 'orders', 'integration.ts')
  const ports = ['--port', '0', '--management-port', '0']
  const command = join(ROOT, 'bin', 'junctura.js')
  const server = await startServer([command, 'start', example, '--data', directory, ...ports])
  return {
    ...server,
    async stop() {
      await server.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

export const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0

/** One after the other, in turn, so that what else the machine does meets both alike. */
export async function inTurn<A, B>(
  pairs: number,
  ours: () => Promise<A>,
  theirs: () => Promise<B>,
): Promise<readonly { readonly ours: A; readonly theirs: B }[]> {
  const measured: { readonly ours: A; readonly theirs: B }[] = []
  for (let pair = 0; pair < pairs; pair++) {
    measured.push({ ours: await ours(), theirs: await theirs() })
  }
  return measured
}

/** In a folder of its own, which goes with all that was put there. */
export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'junctura-bench-'))
  try {
    return await work(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

export const perSecond = (count: number): string =>
  count >= 10_000 ? `${(count / 1_000).toFixed(1)} K/s` : `${Math.round(count)}/s`

export const milliseconds = (ms: number): string => `${ms.toFixed(ms < 10 ? 1 : 0)} ms`

export const machineFacts = async (): Promise<Readonly<Record<string, unknown>>> => {
  const { stdout } = await run('git', ['rev-parse', '--short', 'HEAD'], { cwd: ROOT })
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
    commit: stdout.trim(),
    loadBefore: loadavg()[0],
  }
}
