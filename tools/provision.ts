import { runCommand } from './run-command.ts'

/** What the tests use that no npm package brings: a program to look for, and its Debian package. */
const NEEDS: readonly { readonly program: string; readonly packages: readonly string[] }[] = [
  // The page tests drive a real browser.
  { program: 'chromium', packages: ['chromium'] },
  // The tests of failing disks make single calls of the system fail.
  { program: 'strace', packages: ['strace'] },
  // The JSON Schema test suite comes from a Python package.
  { program: 'pip3', packages: ['python3', 'python3-pip'] },
]

/**
 * Installs what is missing, where this can be done without asking: as root on a Debian. Elsewhere
 * it says what to install; the tests that need it fail and say so again.
 */
export const provision = async (root: string): Promise<string> => {
  const missing: string[] = []
  for (const { program, packages } of NEEDS) {
    const found = await runCommand('sh', ['-c', `command -v ${program}`], { cwd: root })
    if (found.status !== 0) missing.push(...packages)
  }
  if (missing.length === 0) return ''
  const list = missing.join(' ')
  const apt = await runCommand('sh', ['-c', 'command -v apt-get'], { cwd: root })
  if (apt.status !== 0 || process.getuid?.() !== 0) return `install first: ${list}`
  const command = `apt-get update -qq && apt-get install -y -qq --no-install-recommends ${list}`
  const environment = `DEBIAN_FRONTEND=noninteractive; export DEBIAN_FRONTEND; ${command}`
  const installed = await runCommand('sh', ['-c', environment], { cwd: root })
  return installed.status === 0 ? `installed ${list}` : `could not install ${list}`
}
