import { globSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from './run-command.ts'

export interface StepResult {
  readonly ok: boolean
  readonly output: string
  /** What the step counted; a step that counts nothing is one check. */
  readonly counts: Counts
}

export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

export interface Step {
  readonly name: string
  /** Long: shows its own output while it runs. */
  readonly streams?: boolean
  run(root: string): Promise<StepResult>
}

/** What stands before a commit, fast checks first, each independent of the one before it. */
export const VERIFY_STEPS: readonly Step[] = [
  command('format', 'oxfmt', ['--check']),
  command('tidy', 'node', ['tools/tidy.ts']),
  command('lint', 'oxlint', ['--type-aware']),
  command('types', 'tsc', ['--noEmit']),
  tests('unit', false),
  tests('broker', false),
  command('build', 'node', ['tools/build.ts']),
  { name: 'package', run: checkTarball },
  command('api report', 'node', ['tools/api-report.ts', '--check']),
  command('reference pages', 'node', ['tools/docs.ts', '--check']),
  command('unused code', 'knip', ['--no-progress']),
]

/** What needs real servers, processes and packages, and more time. */
export const INTEGRATION_STEPS: readonly Step[] = [tests('int', true)]

/** Runs one step, says how it went and how long it took; its output only when it failed. */
export const runStep = async (root: string, step: Step): Promise<StepResult> => {
  process.stdout.write(`- ${step.name} ...${step.streams ? '\n' : ''}`)
  const startMs = performance.now()
  const result = await step.run(root)
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
  process.stdout.write(` ${result.ok ? 'ok' : 'FAILED'} (${seconds} s, ${countsText(result)})\n`)
  if (!result.ok && !step.streams) process.stdout.write(`${lastPart(result.output)}\n`)
  return result
}

export const addCounts = (left: Counts, right: Counts): Counts => ({
  passed: left.passed + right.passed,
  failed: left.failed + right.failed,
  skipped: left.skipped + right.skipped,
})

export const summary = (counts: Counts): string => {
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''
  return `${counts.passed} passed, ${counts.failed} failed${skipped}`
}

const OUTPUT_CHARACTERS_MAX = 20_000

const lastPart = (output: string): string =>
  output.length <= OUTPUT_CHARACTERS_MAX ? output : `[...]\n${output.slice(-OUTPUT_CHARACTERS_MAX)}`

function countsText({ counts }: StepResult): string {
  return counts.passed + counts.failed > 1 ? summary(counts) : 'one check'
}

function command(name: string, program: string, args: readonly string[]): Step {
  return {
    name,
    run: async (root) => oneCheck(await runCommand(program, args, { cwd: root })),
  }
}

function oneCheck({ status, output }: { status: number; output: string }): StepResult {
  const ok = status === 0
  return { ok, output, counts: { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 } }
}

/** One project of the test runner; what it counted is read from its own report. */
function tests(project: string, streams: boolean): Step {
  return {
    name: `${project} tests`,
    streams,
    async run(root) {
      const report = join('.tmp', `vitest-${project}.json`)
      rmSync(join(root, report), { force: true })
      const args = ['run', '--project', project, '--reporter=default', '--reporter=json']
      const { status, output } = await runCommand('vitest', [...args, `--outputFile=${report}`], {
        cwd: root,
        stream: streams,
        env: { NO_COLOR: '1' },
      })
      return { output, ...judgeRun(status, readCounts(join(root, report))) }
    },
  }
}

/** A run that died, or that found no test, failed without a failed test: that counts as one. */
export const judgeRun = (status: number, counts: Counts): Omit<StepResult, 'output'> => {
  const ok = status === 0 && counts.failed === 0 && counts.passed > 0
  return { ok, counts: { ...counts, failed: ok ? 0 : Math.max(1, counts.failed) } }
}

export const readCounts = (path: string): Counts => {
  try {
    const report = JSON.parse(readFileSync(path, 'utf8'))
    return {
      passed: Number(report.numPassedTests),
      failed: Number(report.numFailedTests),
      skipped: Number(report.numPendingTests) + Number(report.numTodoTests),
    }
  } catch {
    return { passed: 0, failed: 0, skipped: 0 } // The runner died before it wrote its report.
  }
}

/** Checks what users would download, not the folder it is made from. */
async function checkTarball(root: string): Promise<StepResult> {
  const folder = join(root, '.tmp', 'package')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const pack = await runCommand(
    'npm',
    ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder],
    { cwd: root },
  )
  const [tarball] = globSync('*.tgz', { cwd: folder })
  if (pack.status !== 0 || tarball === undefined) return oneCheck({ ...pack, status: 1 })
  const path = join(folder, tarball)
  const lint = await runCommand('publint', ['run', path, '--strict'], { cwd: root })
  const types = await runCommand('attw', [path, '--profile', 'esm-only'], { cwd: root })
  return oneCheck({
    status: lint.status === 0 && types.status === 0 ? 0 : 1,
    output: lint.output + types.output,
  })
}
