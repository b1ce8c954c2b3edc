import { runCommand } from './run-command.ts'

/** What the tests use that no npm package brings: how to see it, and its Debian packages. */
const NEEDS: readonly { readonly seen: string; readonly packages: readonly string[] }[] = [
  // The page tests drive a real browser.
  { seen: 'command -v chromium', packages: ['chromium'] },
  // The chaos tests make system calls fail and clocks jump.
  { seen: 'command -v strace', packages: ['strace'] },
  { seen: 'command -v faketime', packages: ['faketime'] },
  // The JSON Schema test suite comes from a Python package.
  { seen: 'command -v pip3', packages: ['python3', 'python3-pip'] },
  // The engines of test/engines: two servers as Debian has them, Java and Maven for Kafka, and a
  // Go, of any version, for NATS.
  { seen: 'test -x /usr/lib/postgresql/15/bin/postgres', packages: ['postgresql-15'] },
  { seen: 'test -x /usr/lib/rabbitmq/bin/rabbitmq-server', packages: ['rabbitmq-server'] },
  { seen: 'command -v java', packages: ['default-jre-headless'] },
  { seen: 'command -v mvn', packages: ['maven'] },
  { seen: 'command -v go', packages: ['golang-go', 'ca-certificates'] },
]

const OUTPUT_CHARACTERS_MAX = 2_000

/**
 * Installs what is missing, where this can be done without asking: as root on a Debian. Elsewhere
 * it says what to install; the tests that need it fail and say so again. Then it fetches what the
 * engines need from the registries of other languages, so that no test waits for a build.
 */
export const provision = async (root: string): Promise<string> => {
  const said = await installPackages(root)
  const engines = await runCommand('node', ['test/engines/run.ts', 'fetch', 'all'], { cwd: root })
  const fetched = engines.status === 0 ? '' : `could not fetch every engine: ${tail(engines)}`
  return [said, fetched].filter((line) => line !== '').join('\n')
}

const installPackages = async (root: string): Promise<string> => {
  const missing: string[] = []
  for (const { seen, packages } of NEEDS) {
    const found = await runCommand('sh', ['-c', seen], { cwd: root })
    if (found.status !== 0) missing.push(...packages)
  }
  if (missing.length === 0) return ''
  const list = missing.join(' ')
  const apt = await runCommand('sh', ['-c', 'command -v apt-get'], { cwd: root })
  if (apt.status !== 0 || process.getuid?.() !== 0) return `install first: ${list}`
  const install = ['-c', INSTALL, 'sh', ...missing]
  const installed = await runCommand('sh', install, { cwd: root, env: INSTALL_ENVIRONMENT })
  return installed.status === 0 ? `installed ${list}` : `could not install all: ${tail(installed)}`
}

const INSTALL_ENVIRONMENT = { DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' }

/**
 * One package that this Debian does not have should not keep the others away: then each goes by
 * itself. The servers among them would be started as services, on their usual ports: a policy for
 * the time of the installation forbids it. All of it is bounded in time.
 */
const INSTALL = `
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\\nexit 101\\n' > $policy
  chmod 755 $policy
  trap 'rm -f $policy' EXIT
fi
bounded='-o Acquire::http::Timeout=60 -o Acquire::https::Timeout=60 -o Acquire::Retries=2'
bounded="$bounded -o DPkg::Lock::Timeout=120"
bring() {
  timeout --kill-after=30 900 apt-get $bounded install -y -qq --no-install-recommends "$@"
}
timeout --kill-after=30 300 apt-get $bounded update -qq
bring "$@" && exit 0
lost=''
for package in "$@"; do bring "$package" || lost="$lost $package"; done
[ -z "$lost" ] || { echo "these could not be installed:$lost"; exit 1; }
`

const tail = ({ output }: { readonly output: string }): string =>
  output.trim().slice(-OUTPUT_CHARACTERS_MAX)
