import { dirname } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runCommand } from '../tools/run-command.ts'

const ROOT = dirname(import.meta.dirname)

describe('npm run bench', () => {
  it('measures each path beside its twin, and every request is answered as it should be', async () => {
    // The others need programs of Debian, or take longer.
    const suites = ['webhook', 'publish', 'idle', 'restart'].flatMap((name) => ['--only', name])
    const command = ['bench/run.ts', '--quick', ...suites]
    const { status, output } = await runCommand('node', command, { cwd: ROOT })

    expect(output).toMatch(/^\| Signed webhook in.*, 0 failed \|.*\| \d\.\d\d \| ≥ 0\.65: \w+ \|$/m)
    expect(output).toMatch(/^\| `publish`.*\| \d\.\d\d \| ≥ 0\.30: \w+ \|$/m)
    expect(output).toMatch(/^\| Ten consumers.*\| \d\.\d\d \| ≥ 0\.6: \w+ \|$/m)
    expect(output).toMatch(/^\| Idle.* MB, .* \|$/m)
    expect(output).toMatch(
      /^\| Ready after kill -9.* 20000 live keys.*\| \d\.\d\d \| ≤ 8 s: \w+ \|$/m,
    )
    expect(status).toBe(0)
  })
})
