import { dirname } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runCommand } from '../tools/run-command.ts'

const ROOT = dirname(import.meta.dirname)

describe('node bench/dedupe-keys.ts', () => {
  it('measures a full store beside an empty one, and the start, expiry and memory', async () => {
    const { status, output } = await runCommand('node', ['bench/dedupe-keys.ts', '--quick'], {
      cwd: ROOT,
    })

    expect(output).toMatch(/^\| Fresh keys per second \| \d+ \| \d+ \| \d\.\d\d \|/m)
    expect(output).toMatch(/^\| Ready after kill -9, ms \| \d+ \| \d+ \|/m)
    // A tenth or more of what was filled in over six days, and not all of it.
    expect(output).toMatch(/^Expiry of [2-9]\d000 keys: \d+ ms in steps/m)
    expect(status).toBe(0)
  })
})
