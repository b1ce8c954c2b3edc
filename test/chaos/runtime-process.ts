// The runtime as a process of its own, started the way an operator starts it. Each one is ended by
// the id it was started with, and none outlives the process that started it.
import { type ChildProcess, spawn } from 'node:child_process'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'

export const REPOSITORY: string = resolve(import.meta.dirname, '../..')
export const ORDERS: string = join(REPOSITORY, 'examples', 'orders', 'integration.ts')
/** Same tables as the orders example, retries within milliseconds, orders that are rough. */
export const ROUGH_ORDERS: string = join(import.meta.dirname, 'rough-orders.fixture.ts')
const COMMAND = join(REPOSITORY, 'bin', 'junctura.js')
const READY_MS_MAX = 30_000
const LOG_CHARACTERS_KEPT = 20_000

export interface StartOptions {
  readonly dataDir: string
  /** @default the orders example */
  readonly integration?: string
  /** A program that becomes the runtime, with its arguments; the command follows them. */
  readonly wrapper?: readonly string[]
  /** More options of the command. */
  readonly more?: readonly string[]
  /** @default 30_000 */
  readonly readyMsMax?: number
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface RuntimeProcess {
  readonly pid: number
  readonly url: string
  readonly managementUrl: string
  /** From the start of the process to the line that says it takes messages. */
  readonly startMs: number
  readonly ended: Promise<Ended>
  /** What it wrote to stderr, the last part of it. */
  log(): string
  /** A page of the management API. */
  get<T>(path: string): Promise<T>
  /** kill -9. */
  kill(): Promise<void>
  /** SIGTERM; resolves when the process has ended. */
  terminate(): Promise<Ended & { readonly drainMs: number }>
}

/** Starts the runtime; rejects with what it said when it ends, or takes too long, before. */
export const startRuntime = async (options: StartOptions): Promise<RuntimeProcess> => {
  const starting = spawnRuntime(options)
  const line = await Promise.race([
    starting.firstLine,
    starting.ended.then(() => undefined),
    delay(options.readyMsMax ?? READY_MS_MAX, undefined, { ref: false }),
  ])
  const startMs = performance.now() - starting.startedMs
  if (line === undefined) {
    starting.child.kill('SIGKILL')
    throw new Error(`the runtime did not start:\n${starting.log()}`)
  }
  const ready: ReadyLine = JSON.parse(line)
  const { child, ended, log } = starting
  return {
    ...ready,
    startMs,
    ended,
    log,
    async get<T>(path: string): Promise<T> {
      const signal = AbortSignal.timeout(20_000)
      const response = await fetch(ready.managementUrl + path, { signal })
      if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`)
      const content: T = JSON.parse(await response.text())
      return content
    },
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
    async terminate() {
      const fromMs = performance.now()
      child.kill('SIGTERM')
      const end = await ended
      return { ...end, drainMs: performance.now() - fromMs }
    },
  }
}

/** Starts it and kills it after `afterMs`, ready or not. */
export const killWhileStarting = async (options: StartOptions, afterMs: number): Promise<void> => {
  const { child, ended } = spawnRuntime(options)
  await Promise.race([ended, delay(afterMs)])
  child.kill('SIGKILL')
  await ended
}

/** Runs a command line that is expected to end by itself. */
export const runCommandLine = async (
  args: readonly string[],
  wrapper: readonly string[] = [],
): Promise<{ readonly code: number | null; readonly output: string }> => {
  const [program = '', ...line] = [...wrapper, process.execPath, COMMAND, ...args]
  const child = track(spawn(program, line, { stdio: 'pipe' }))
  let output = ''
  const keep = (chunk: Buffer): void => void (output += chunk.toString('utf8'))
  child.stdout?.on('data', keep)
  child.stderr?.on('data', keep)
  const killer = setTimeout(() => child.kill('SIGKILL'), READY_MS_MAX)
  const { code } = await endOf(child)
  clearTimeout(killer)
  return { code, output }
}

/** Arguments of `start` on free ports. */
export const startArguments = ({
  dataDir,
  integration = ORDERS,
  more = [],
}: StartOptions): string[] => [
  'start',
  integration,
  '--data',
  dataDir,
  '--port',
  '0',
  '--management-port',
  '0',
  '--host',
  '127.0.0.1',
  ...more,
]

interface ReadyLine {
  readonly pid: number
  readonly url: string
  readonly managementUrl: string
}

interface Starting {
  readonly child: ChildProcess
  readonly startedMs: number
  readonly firstLine: Promise<string>
  readonly ended: Promise<Ended>
  log(): string
}

function spawnRuntime(options: StartOptions): Starting {
  const [program, ...args] = [
    ...(options.wrapper ?? []),
    process.execPath,
    COMMAND,
    ...startArguments(options),
    // Its parent may itself be killed: then the channel closes, and it leaves.
    '--leave-with-parent',
  ]
  const startedMs = performance.now()
  const child = track(
    spawn(program ?? '', args, {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: true,
      env: { ...process.env, ...options.env },
    }),
  )
  let text = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    text = (text + chunk.toString('utf8')).slice(-LOG_CHARACTERS_KEPT)
  })
  const firstLine = new Promise<string>((done) => {
    if (child.stdout) createInterface({ input: child.stdout }).once('line', done)
  })
  return { child, startedMs, firstLine, ended: endOf(child), log: () => text }
}

const living = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of living) child.kill('SIGKILL')
})

function track(child: ChildProcess): ChildProcess {
  living.add(child)
  child.once('exit', () => living.delete(child))
  return child
}

const endOf = (child: ChildProcess): Promise<Ended> =>
  new Promise((done) => {
    child.once('close', (code, signal) => done({ code, signal }))
    child.once('error', () => done({ code: null, signal: null }))
  })
