import { dirname } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runCommand } from '../tools/run-command.ts'

const ROOT = dirname(import.meta.dirname)

describe('npm run bench', () => {
  it('measures each path beside its twin, and every request is answered as it should be', async () => {
    const { status, output } = await runCommand('node', ['bench/run.ts', '--quick'], { cwd: ROOT })

    expect(output).toMatch(/^\| Signed webhook in.* \| \d+ \| \d+ \| \d\.\d\d \|$/m)
    expect(output).toMatch(/^\| publish.* \| \d+ \| \d+ \| \d\.\d\d \|$/m)
    expect(output).toMatch(/; 0 of \d+ failed\./)
    expect(status).toBe(0)
  })
})
