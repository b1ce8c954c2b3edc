import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { signalQuietly } from './process-table.ts'

/**
 * A folder of things that were fetched or built, once for a user of this machine. `make` fills a
 * folder of its own, which takes its name only when it is whole; two that make it at the same time
 * both end with a whole one.
 */
export const fetchOnce = async (
  name: string,
  make: (folder: string) => Promise<void>,
): Promise<string> => {
  const base = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache')
  const cache = join(base, 'junctura', 'engines')
  const folder = join(cache, name)
  if (existsSync(folder)) return folder
  mkdirSync(cache, { recursive: true })
  const work = mkdtempSync(join(cache, '.fetch-'))
  try {
    await make(work)
    renameSync(work, folder)
  } catch (error) {
    if (!existsSync(folder)) throw error
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  return folder
}

export interface FetchCommand {
  readonly file: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
  /** What is fetched and what to do when it cannot be, for the message. */
  readonly what: string
  readonly fix: string
}

/** A network that hangs must fail with a sentence, not with the patience of the test run. */
const FETCH_MS_MAX = 900_000
const OUTPUT_CHARACTERS_MAX = 4_000

/** Runs a package client or a build to its end; what it printed to stdout. */
export const runFetch = (command: FetchCommand): Promise<string> =>
  new Promise((resolve, reject) => {
    const { file, args, cwd, env, what, fix } = command
    let output = ''
    let printed = ''
    let isLate = false
    const child = spawn(file, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own: when time is up, what the client started ends too.
      detached: true,
    })
    const timer = setTimeout(() => {
      isLate = true
      if (child.pid !== undefined) signalQuietly(-child.pid, 'SIGKILL')
    }, FETCH_MS_MAX)
    const fail = (why: string): void => {
      clearTimeout(timer)
      const tail = output.slice(-OUTPUT_CHARACTERS_MAX)
      reject(new Error(`could not bring ${what}: ${why}; ${fix}\n${tail}`))
    }
    child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString('utf8')))
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')))
    }
    child.once('error', (error) => fail(error.message))
    child.once('close', (status) => {
      clearTimeout(timer)
      if (status === 0) resolve(printed)
      else fail(isLate ? `not done in ${FETCH_MS_MAX / 1_000} s` : `${file} ended with ${status}`)
    })
  })
