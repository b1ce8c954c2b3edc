import { chmodSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
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
  fetch: async () => void (await buildServer()),
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
    const go = await findGo(folder)
    const package_ = `github.com/nats-io/nats-server/v2@v${NATS_VERSION}`
    await runFetch({
      file: go.file,
      args: ['install', '-trimpath', '-ldflags=-s -w', package_],
      cwd: folder,
      env: { ...go.env, GOBIN: folder, CGO_ENABLED: '0' },
      what: `nats-server ${NATS_VERSION}, built from Go modules`,
      fix: 'check that the module proxy can be reached: go env GOPROXY',
    })
  })

interface Go {
  readonly file: string
  readonly env: Readonly<Record<string, string>>
}

/**
 * A Go that is new enough. An older one still fetches modules, and Go's own toolchain is one: so
 * a Debian's Go brings the newer Go, with the checksums that Go keeps of every module.
 */
async function findGo(cwd: string): Promise<Go> {
  const what = `Go ${GO_VERSION}, which builds nats-server`
  const fix = `install Go (on Debian: apt-get install golang-go), any version from 1.16 on`
  const version = await runFetch({ file: 'go', args: ['version'], cwd, what, fix })
  const [, major = '0', minor = '0'] = /go(\d+)\.(\d+)/.exec(version) ?? []
  if (Number(major) > 1 || Number(minor) >= GO_MINOR_MIN) return { file: 'go', env: {} }
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const target = `${platform}_${process.arch === 'x64' ? 'amd64' : process.arch}`
  const toolchain = `golang.org/toolchain@v0.0.1-go${GO_VERSION}.${target.replace('_', '-')}`
  const args = ['mod', 'download', '-json', toolchain]
  const folder = folderOf(await runFetch({ file: 'go', args, cwd, what, fix }))
  // Modules carry no permission to run.
  for (const tools of ['bin', join('pkg', 'tool', target)]) {
    for (const file of readdirSync(join(folder, tools))) chmodSync(join(folder, tools, file), 0o755)
  }
  // What the machine says about its own Go does not hold for this one.
  return { file: join(folder, 'bin', 'go'), env: { GOROOT: '', GOTOOLCHAIN: 'local' } }
}

function folderOf(printed: string): string {
  const module: unknown = JSON.parse(printed)
  const folder = typeof module === 'object' && module !== null && 'Dir' in module ? module.Dir : ''
  if (typeof folder !== 'string' || folder === '') throw new Error(`no folder in ${printed}`)
  return folder
}
