import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'

describe('the expectations example', () => {
  it('shows where the flow stopped, and that what comes late is taken', () => {
    const script = new URL('start.ts', import.meta.url).pathname
    const { status, stdout, stderr } = spawnSync(process.execPath, [script], { encoding: 'utf8' })

    expect([status, stderr.split('\n').filter((line) => line.includes('"error"'))]).toEqual([0, []])
    expect(stdout).toMatch(/begun 10 {2}met 8 {2}late 0 {2}missed now 2/)
    expect(stdout).toMatch(
      /missing: a-refused, capture should have acted\. capture gave up: .*refused/,
    )
    expect(stdout).toMatch(/begun 10 {2}met 8 {2}late 1 {2}missed now 1/)
  })
})
