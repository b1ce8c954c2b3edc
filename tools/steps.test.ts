import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runCommand } from './run-command.ts'
import { addCounts, judgeRun, readCounts, summary } from './steps.ts'

const NONE = { passed: 0, failed: 0, skipped: 0 }

describe('a run of the tests', () => {
  it('failed when the runner died, though no test failed', () => {
    expect(judgeRun(1, { ...NONE, passed: 9 })).toEqual({
      ok: false,
      counts: { passed: 9, failed: 1, skipped: 0 },
    })
  })

  it('failed when it found no test', () => {
    expect(judgeRun(0, NONE).counts.failed).toBe(1)
  })

  it('counts nothing when its report is missing or is no report', () => {
    const folder = mkdtempSync(join(tmpdir(), 'junctura-steps-'))
    writeFileSync(join(folder, 'cut.json'), '{"numPassedTests":')

    const counts = [readCounts(join(folder, 'none.json')), readCounts(join(folder, 'cut.json'))]
    rmSync(folder, { recursive: true })

    expect(counts).toEqual([NONE, NONE])
  })

  it('succeeded when every test passed', () => {
    expect(judgeRun(0, { ...NONE, passed: 3 })).toEqual({
      ok: true,
      counts: { passed: 3, failed: 0, skipped: 0 },
    })
  })
})

it('ends in one line that names what was skipped only when something was', () => {
  const counts = addCounts({ passed: 1, failed: 2, skipped: 0 }, { ...NONE, passed: 3 })

  expect(summary(counts)).toBe('4 passed, 2 failed')
  expect(summary({ ...counts, skipped: 5 })).toBe('4 passed, 2 failed, 5 skipped')
})

describe('a program of a step', () => {
  it('fails the step when it cannot be started', async () => {
    const { status, output } = await runCommand('no-such-program', [], { cwd: tmpdir() })

    expect(status).toBe(1)
    expect(output).toContain('no-such-program')
  })

  it('fails the step when a signal ends it', async () => {
    const kill = "process.kill(process.pid, 'SIGKILL')"
    const { status } = await runCommand(process.execPath, ['-e', kill], { cwd: tmpdir() })

    expect(status).toBe(1)
  })
})
