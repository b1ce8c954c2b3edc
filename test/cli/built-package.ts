import { spawn } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const ROOT = new URL('../..', import.meta.url).pathname

/** The package as it is installed, built beside the checkout, and projects that depend on it. */
export interface BuiltPackage {
  /** A new folder in which `junctura` is installed. */
  project(name: string, files?: Readonly<Record<string, string>>): string
  /** Starts the command in a folder. */
  start(
    cwd: string,
    args: readonly string[],
    env?: Readonly<Record<string, string>>,
  ): RunningCommand
  /** Runs the command to its end. */
  run(cwd: string, args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ended>
  remove(): void
}

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface RunningCommand {
  readonly pid: number
  out(): string
  err(): string
  kill(signal: NodeJS.Signals): void
  /** Resolves when the text on stdout or stderr matches; rejects when the process ends before. */
  until(stream: 'out' | 'err', pattern: RegExp): Promise<RegExpExecArray>
  readonly ended: Promise<Ended>
}

export const buildPackage = async (): Promise<BuiltPackage> => {
  const folder = mkdtempSync(join(tmpdir(), 'junctura-package-'))
  const home = join(folder, 'package')
  mkdirSync(home)
  const compiled = await runProgram(
    [join(ROOT, 'node_modules/.bin/tsc'), '-p', 'tsconfig.build.json', '--outDir', `${home}/dist`],
    { cwd: ROOT },
  )
  if (!existsSync(join(home, 'dist/cli/main.js'))) process.stderr.write(compiled.out)
  for (const path of globSync('**/*.{sql,html,css,json,svg,js}', { cwd: join(ROOT, 'src') })) {
    mkdirSync(dirname(join(home, 'dist', path)), { recursive: true })
    copyFileSync(join(ROOT, 'src', path), join(home, 'dist', path))
  }
  for (const name of ['bin', 'schemas', 'package.json']) {
    cpSync(join(ROOT, name), join(home, name), { recursive: true })
  }
  symlinkSync(join(ROOT, 'node_modules'), join(home, 'node_modules'))
  const bin = join(home, 'bin/junctura.js')
  const started = new Set<RunningCommand>()
  const start: BuiltPackage['start'] = (cwd, args, env = {}) => {
    const command = startProgram([process.execPath, bin, ...args], { cwd, env })
    started.add(command)
    void command.ended.finally(() => started.delete(command))
    return command
  }
  return {
    project(name, files = {}) {
      const cwd = join(folder, name)
      mkdirSync(join(cwd, 'node_modules'), { recursive: true })
      symlinkSync(home, join(cwd, 'node_modules/junctura'))
      for (const [path, text] of Object.entries(files)) writeFileSync(join(cwd, path), text)
      return cwd
    },
    start,
    run: (cwd, args, env) => start(cwd, args, env).ended,
    remove() {
      for (const command of started) command.kill('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Runs a program to its end. */
export const runProgram = (
  words: readonly string[],
  options: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> },
): Promise<Ended> => startProgram(words, options).ended

/** Starts a program; whoever calls it ends it. */
export function startProgram(
  [program = '', ...args]: readonly string[],
  options: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> },
): RunningCommand {
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { ...process.env, NO_COLOR: '1', JUNCTURA_TOKEN: '', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const text = { out: '', err: '' }
  const waiters = new Set<() => void>()
  const take = (name: 'out' | 'err') => (chunk: Buffer) => {
    text[name] += chunk.toString()
    for (const check of waiters) check()
  }
  child.stdout.on('data', take('out'))
  child.stderr.on('data', take('err'))
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code) => {
      resolve({ code, ...text })
      for (const check of waiters) check()
    })
  })
  return {
    pid: child.pid ?? 0,
    out: () => text.out,
    err: () => text.err,
    kill: (signal) => void child.kill(signal),
    ended,
    until: (stream, pattern) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          const match = pattern.exec(text[stream])
          if (match) {
            waiters.delete(check)
            resolve(match)
          } else if (child.exitCode !== null || child.signalCode !== null) {
            waiters.delete(check)
            reject(new Error(`it ended before ${pattern}: ${text.out}\n${text.err}`))
          }
        }
        waiters.add(check)
        check()
      }),
  }
}
