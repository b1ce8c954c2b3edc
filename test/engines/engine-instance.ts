import { spawn } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findFreePorts } from './free-ports.ts'
import { kafkaRecipe } from './kafka-recipe.ts'
import { natsRecipe } from './nats-recipe.ts'
import { postgres15Recipe, postgres18Recipe } from './postgres-recipe.ts'
import { familyOf, findProcess, type ProcessEntry, signalQuietly } from './process-table.ts'
import { rabbitmqRecipe } from './rabbitmq-recipe.ts'
import type { Place, Recipe } from './recipe.ts'

export type EngineName = 'postgres15' | 'postgres18' | 'nats' | 'kafka' | 'rabbitmq'

/** Every engine that can be brought up, by its name. */
const RECIPES: Readonly<Record<EngineName, Recipe>> = {
  postgres15: postgres15Recipe,
  postgres18: postgres18Recipe,
  nats: natsRecipe,
  kafka: kafkaRecipe,
  rabbitmq: rabbitmqRecipe,
}

export const isEngineName = (name: string): name is EngineName => Object.hasOwn(RECIPES, name)

export const ENGINE_NAMES: readonly EngineName[] = Object.keys(RECIPES).filter(isEngineName)

export interface EngineOptions {
  /** Settings in the server's own words, for example `max_connections: '20'` of PostgreSQL. */
  readonly settings?: Readonly<Record<string, string>>
  /** Where clients reach it, when that is not its own port. */
  readonly advertisedPort?: number
}

/** What another process needs in order to go on with an engine. */
export interface EngineState extends Place {
  readonly name: EngineName
  /** The process that leads the server; not there while it is down. */
  readonly leader?: { readonly pid: number; readonly born: string }
}

/** Brings what an engine needs to this machine, once; else each says so when it is started. */
export const fetchEngine = (name: EngineName): Promise<void> => RECIPES[name].fetch()

/** Lays out a new server on free ports. It does not run yet. */
export const createEngine = async (
  name: EngineName,
  options: EngineOptions,
): Promise<EngineInstance> => {
  const engine = await placeEngine(name, options)
  try {
    await engine.layOut()
  } catch (error) {
    await engine.remove()
    throw error
  }
  return engine
}

/** A folder and ports for a server whose data the caller brings. */
export const placeEngine = async (
  name: EngineName,
  options: EngineOptions,
): Promise<EngineInstance> => {
  await RECIPES[name].fetch()
  const directory = mkdtempSync(join(tmpdir(), `junctura-${name}-`))
  const { uid, gid } = RECIPES[name].user?.() ?? {}
  chmodSync(directory, 0o755)
  if (uid !== undefined) chownSync(directory, uid, gid ?? uid)
  const ports = await findFreePorts(RECIPES[name].portCount)
  const { settings = {}, ...others } = options
  return new EngineInstance({ name, directory, ports, settings, ...others })
}

const START_MS_MAX = 120_000
const STOP_MS_MAX = 60_000
const POLL_MS = 25
/** After a crash, the old server's shared memory may be held for a moment more. */
const STARTS_MAX = 3
const LOG_FILE = 'server.log'
/** In the server's folder: the pid of the process that leads it, and those that are frozen. */
export const LEADER_FILE: string = 'leader.pid'
export const FROZEN_FILE: string = 'frozen.pids'

/** A server as a folder, ports and a process, which any process of the same user may take over. */
export class EngineInstance {
  #state: EngineState
  readonly #recipe: Recipe

  constructor(state: EngineState) {
    this.#state = state
    this.#recipe = RECIPES[state.name]
  }

  get state(): EngineState {
    return this.#state
  }

  get url(): string {
    const { advertisedPort, ports } = this.#state
    return this.#recipe.url(advertisedPort ?? ports[0] ?? 0)
  }

  isRunning(): boolean {
    return this.#family().length > 0
  }

  async layOut(): Promise<void> {
    await this.#recipe.layOut(this.#state)
  }

  /** Returns when it serves clients; one that is frozen goes on. Idempotent. */
  async start(): Promise<void> {
    const until = performance.now() + START_MS_MAX
    if (this.isRunning()) {
      this.resume()
      if (await this.#serves(until)) return
    }
    for (let starts = 0; starts < STARTS_MAX && performance.now() < until; starts += 1) {
      await this.kill()
      await this.#launch()
      if (await this.#serves(until)) return
    }
    await this.kill()
    throw new Error(`${this.#state.name} did not start:\n${this.#logTail()}`)
  }

  async kill(): Promise<void> {
    // Frozen first, so that it starts no other while the list is read.
    const { leader } = this.#state
    if (leader !== undefined && this.#leads()) signalQuietly(leader.pid, 'SIGSTOP')
    await waitUntil(STOP_MS_MAX, () => {
      const family = this.#family()
      for (const { pid } of family) signalQuietly(pid, 'SIGKILL')
      return family.length === 0
    })
    this.#forget()
  }

  pause(): void {
    const pids = this.#family().map(({ pid }) => pid)
    writeFileSync(join(this.#state.directory, FROZEN_FILE), pids.join(' '))
    for (const pid of pids) signalQuietly(pid, 'SIGSTOP')
  }

  resume(): void {
    for (const { pid } of this.#family().toReversed()) signalQuietly(pid, 'SIGCONT')
    rmSync(join(this.#state.directory, FROZEN_FILE), { force: true })
  }

  async restart(): Promise<void> {
    this.resume()
    const { leader } = this.#state
    if (leader !== undefined && this.isRunning()) {
      signalQuietly(leader.pid, this.#recipe.stopSignal)
      await waitUntil(STOP_MS_MAX, () => !this.#leads())
    }
    await this.kill()
    await this.start()
  }

  async wipe(): Promise<void> {
    const { directory } = this.#state
    await this.kill()
    for (const name of readdirSync(directory)) {
      rmSync(join(directory, name), { recursive: true, force: true })
    }
    await this.layOut()
    await this.start()
  }

  /** Its data is lost: there is nothing to end in good order. Idempotent. */
  async remove(): Promise<void> {
    await this.kill()
    rmSync(this.#state.directory, { recursive: true, force: true, maxRetries: 5 })
  }

  async #launch(): Promise<void> {
    const { directory } = this.#state
    const { file, args, env } = await this.#recipe.command(this.#state)
    const log = openSync(join(directory, LOG_FILE), 'a')
    const child = spawn(file, args, {
      ...this.#recipe.user?.(),
      cwd: directory,
      env: { ...process.env, ...env },
      stdio: ['ignore', log, log],
      // A session of its own: it outlives a command that only brings it up.
      detached: true,
    })
    closeSync(log)
    child.unref()
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', () => resolve())
      child.once('error', reject)
    })
    const leader = child.pid === undefined ? undefined : findProcess(child.pid)
    if (leader === undefined) return
    this.#state = { ...this.#state, leader: { pid: leader.pid, born: leader.born } }
    writeFileSync(join(directory, LEADER_FILE), String(leader.pid))
  }

  async #serves(until: number): Promise<boolean> {
    while (performance.now() < until && this.#leads()) {
      if (await this.#recipe.answers(this.#state)) return true
      await pauseFor(POLL_MS)
    }
    return false
  }

  /** Every process of the server; none where its pid was given to somebody else. */
  #family(): readonly ProcessEntry[] {
    const { leader } = this.#state
    if (leader === undefined) return []
    const family = familyOf(leader.pid)
    const found = family.find(({ pid }) => pid === leader.pid)
    return found === undefined || found.born === leader.born ? family : []
  }

  #leads(): boolean {
    const { leader } = this.#state
    return leader !== undefined && findProcess(leader.pid)?.born === leader.born
  }

  #forget(): void {
    const { leader: _, ...state } = this.#state
    this.#state = state
    for (const name of [LEADER_FILE, FROZEN_FILE]) {
      rmSync(join(state.directory, name), { force: true })
    }
  }

  #logTail(): string {
    try {
      return readFileSync(join(this.#state.directory, LOG_FILE), 'utf8').slice(-4_000)
    } catch {
      return '(it wrote no log)'
    }
  }
}

async function waitUntil(msMax: number, isSo: () => boolean): Promise<void> {
  const until = performance.now() + msMax
  while (!isSo() && performance.now() < until) await pauseFor(POLL_MS)
}

const pauseFor = (ms: number): Promise<void> =>
  new Promise((resolve) => void setTimeout(resolve, ms))
