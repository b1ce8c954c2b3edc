import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { ReadyReport } from './serve-integration.ts'

export interface ServedProcessOptions {
  /** Program and arguments that run this command. */
  readonly self: readonly string[]
  /** Of `start`. */
  readonly args: readonly string[]
  readonly cwd: string
  readonly onReady: (ready: ReadyReport) => void
  /** One line of its log. */
  readonly onLog: (line: string) => void
  readonly onExit: (code: number | null) => void
}

/** `start` in a process of its own: changed sources are loaded anew, and a crash is survived. */
export interface ServedProcess {
  /** Asks it to drain; resolves when it has ended. */
  stop(): Promise<void>
}

export const startServedProcess = (options: ServedProcessOptions): ServedProcess => {
  const [program = process.execPath, ...before] = options.self
  const child = spawn(program, [...before, 'start', ...options.args, '--leave-with-parent'], {
    cwd: options.cwd,
    // The channel tells the child when this process is gone, however it went.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const ended = new Promise<void>((resolve) => {
    child.on('close', (code) => {
      options.onExit(code)
      resolve()
    })
    child.on('error', (error) => {
      options.onLog(`cannot run ${program}: ${error.message}`)
      options.onExit(null)
      resolve()
    })
  })
  readLines(child, options)
  return {
    stop() {
      child.kill('SIGTERM')
      return ended
    },
  }
}

function readLines(child: ChildProcess, options: ServedProcessOptions): void {
  if (child.stdout) {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const ready = readReady(line)
      if (ready) options.onReady(ready)
      // What a handler prints is of interest to whoever is writing it.
      else options.onLog(line)
    })
  }
  if (child.stderr) createInterface({ input: child.stderr }).on('line', options.onLog)
}

function readReady(line: string): ReadyReport | undefined {
  if (!line.startsWith('{"schemaVersion":1,"kind":"ready"')) return undefined
  const ready: ReadyReport = JSON.parse(line)
  return ready
}
