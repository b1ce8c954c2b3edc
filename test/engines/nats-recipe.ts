import { execFile } from 'node:child_process'
import { chmodSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { fetchOnce, runFetch } from './fetch-once.ts'
import { portAt, type Place, type Recipe } from './recipe.ts'

const NATS_VERSION = '2.15.2'
/** The first Go that builds it, and the one that is fetched where the machine's own is older. */
const GO_MINOR_MIN = 26
const GO_VERSION = '1.26.0'

/** A single node with JetStream; a message is on the disk before it is acknowledged. */
export const natsRecipe: Recipe = {
  portCount: 2,
  stopSignal: 'SIGTERM',
  async layOut(place) {
    const lines = [
      'host: 127.0.0.1',
      `port: ${portAt(place, 0)}`,
      `http: "127.0.0.1:${portAt(place, 1)}"`,
      'jetstream {',
      `  store_dir: ${JSON.stringify(join(place.directory, 'data'))}`,
      `  sync_interval: ${place.settings['sync_interval'] ?? 'always'}`,
      '}',
      ...Object.entries(place.settings)
        .filter(([name]) => name !== 'sync_interval')
        .map(([name, value]) => `${name}: ${value}`),
    ]
    writeFileSync(configurationOf(place), `${lines.join('\n')}\n`)
    await buildServer()
  },
  command: async (place) => ({
    file: join(await buildServer(), 'nats-server'),
    args: ['-c', configurationOf(place)],
  }),
  // Its own view of its health: JetStream has recovered its streams and takes requests.
  answers: async (place) => {
    try {
      const answer = await fetch(`http://127.0.0.1:${portAt(place, 1)}/healthz`, {
        signal: AbortSignal.timeout(2_000),
      })
      return answer.ok
    } catch {
      return false
    }
  },
  url: (port) => `nats://127.0.0.1:${port}`,
}

const configurationOf = (place: Place): string => join(place.directory, 'nats.conf')

const buildServer = (): Promise<string> =>
  fetchOnce(`nats-server-${NATS_VERSION}-${process.platform}-${process.arch}`, async (folder) => {
    await runFetch({
      file: await findGo(folder),
      args: [
        'install',
        '-trimpath',
        '-ldflags=-s -w',
        `github.com/nats-io/nats-server/v2@v${NATS_VERSION}`,
      ],
      cwd: folder,
      env: { GOBIN: folder, CGO_ENABLED: '0' },
      what: `nats-server ${NATS_VERSION}, built from the Go module proxy`,
      fix: 'check that the module proxy can be reached: go env GOPROXY',
    })
  })

/**
 * A Go that is new enough. An older one still fetches modules, and Go's own toolchain is one: so
 * a Debian's Go brings the newer Go, with the checksums that Go keeps of every module.
 */
async function findGo(cwd: string): Promise<string> {
  const fix = `install Go (on Debian: apt-get install golang-go), any version from 1.16 on`
  const what = `Go ${GO_VERSION}, which builds nats-server`
  const version = await promisify(execFile)('go', ['version']).catch((cause: unknown) => {
    throw new Error(`could not bring ${what}: there is no program "go"; ${fix}`, { cause })
  })
  const [, major = '0', minor = '0'] = /go(\d+)\.(\d+)/.exec(version.stdout) ?? []
  if (Number(major) > 1 || Number(minor) >= GO_MINOR_MIN) return 'go'
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const arch = process.arch === 'x64' ? 'amd64' : process.arch
  const printed = await runFetch({
    file: 'go',
    args: [
      'mod',
      'download',
      '-json',
      `golang.org/toolchain@v0.0.1-go${GO_VERSION}.${platform}-${arch}`,
    ],
    cwd,
    what,
    fix,
  })
  const module: unknown = JSON.parse(printed)
  const folder = typeof module === 'object' && module !== null && 'Dir' in module ? module.Dir : ''
  if (typeof folder !== 'string' || folder === '') throw new Error(`no folder in ${printed}`)
  // Modules carry no permission to run.
  for (const tools of ['bin', join('pkg', 'tool', `${platform}_${arch}`)]) {
    for (const file of readdirSync(join(folder, tools))) chmodSync(join(folder, tools, file), 0o755)
  }
  return join(folder, 'bin', 'go')
}
