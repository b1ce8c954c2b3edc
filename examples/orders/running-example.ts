// The example as a process of its own, started the way a user starts it, and read from outside.
import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import type { RuntimeEvent } from 'junctura'

const REPOSITORY = resolve(import.meta.dirname, '../..')
const START_MS_MAX = 20_000
const STOP_MS_MAX = 15_000

export interface RunningExample {
  readonly pid: number
  readonly url: string
  readonly managementUrl: string
  /** What the engines in use give, in sentences. */
  readonly differences: readonly string[]
  /** A page of the management API. */
  get<T>(path: string): Promise<T>
  /** Calls back for every event until `signal` aborts. */
  follow(onEvent: (event: RuntimeEvent) => void, signal: AbortSignal): Promise<void>
  /** Resolves with the exit code when the process ends, whatever the reason. */
  readonly ended: Promise<number | null>
  /** Sends SIGTERM to the process and waits for its end; the answer is its exit code. */
  stop(): Promise<number | null>
}

export interface StartOptions {
  readonly dataDir: string
  /** 0 takes a free one. */
  readonly port: number
  readonly managementPort: number
  /** @default 'sqlite' */
  readonly store?: string
  /** @default 'embedded' */
  readonly transport?: string
}

/** Runs `junctura start` and resolves when its line of JSON says that it takes messages. */
export const startExample = async (options: StartOptions): Promise<RunningExample> => {
  const logPath = join(options.dataDir, 'start.log')
  const args = ['--port', String(options.port)]
  args.push('--management-port', String(options.managementPort))
  args.push('--data', options.dataDir, '--leave-with-parent')
  const { store = 'sqlite', transport = 'embedded' } = options
  args.push('--store', store, '--transport', transport)
  const command = join(REPOSITORY, 'bin', 'junctura.js')
  const file = join(import.meta.dirname, 'integration.ts')
  const child = spawn(process.execPath, [command, 'start', file, ...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    // Ctrl-C is for this process, which then stops the other one in order.
    detached: true,
  })
  child.stderr?.pipe(createWriteStream(logPath))
  const ended = new Promise<number | null>((done) => child.once('exit', (code) => done(code)))
  const ready = await Promise.race([
    firstLine(child),
    ended.then((code) => `it ended with ${code}`),
    delay(START_MS_MAX, 'it was not ready in time', { ref: false }),
  ])
  if (!ready.startsWith('{')) {
    child.kill('SIGTERM')
    throw new Error(`junctura start: ${ready}\n${readFileSync(logPath, 'utf8').slice(-4_000)}`)
  }
  return runningExample(child, JSON.parse(ready), ended)
}

interface ReadyLine {
  readonly url: string
  readonly managementUrl: string
  readonly transport: { readonly differences: readonly string[] }
}

function runningExample(
  child: ChildProcess,
  { url, managementUrl, transport }: ReadyLine,
  ended: Promise<number | null>,
): RunningExample {
  return {
    pid: child.pid ?? 0,
    url,
    managementUrl,
    differences: transport.differences,
    async get<T>(path: string): Promise<T> {
      const response = await fetch(managementUrl + path, { signal: AbortSignal.timeout(5_000) })
      if (!response.ok) throw new Error(`GET ${path}: ${response.status}`)
      const content: T = JSON.parse(await response.text())
      return content
    },
    ended,
    follow: (onEvent, signal) => follow(`${managementUrl}/api/v1/stream`, onEvent, signal),
    async stop() {
      child.kill('SIGTERM')
      const killer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX)
      const code = await ended
      clearTimeout(killer)
      return code
    },
  }
}

async function firstLine(child: ChildProcess): Promise<string> {
  if (!child.stdout) return 'it has no output'
  for await (const line of createInterface({ input: child.stdout })) {
    // Whatever comes later is read and dropped, so that the process never waits for a reader.
    child.stdout.resume()
    return line
  }
  return 'it ended before it was ready'
}

/** @see WHATWG HTML, "Server-sent events": each event ends with an empty line. */
async function follow(
  streamUrl: string,
  onEvent: (event: RuntimeEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const response = await fetch(streamUrl, { signal, headers: { accept: 'text/event-stream' } })
  let text = ''
  const decoder = new TextDecoder()
  try {
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk, { stream: true })
      const blocks = text.split('\n\n')
      text = blocks.pop() ?? ''
      for (const block of blocks) {
        // The stream's own notices have a name; what happens inside has none.
        const data = /^event:/m.test(block) ? undefined : /^data: ?(.*)$/m.exec(block)?.[1]
        if (data !== undefined) onEvent(JSON.parse(data))
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}
