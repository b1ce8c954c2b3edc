import { resolve } from 'node:path'
import type { Command } from 'commander'
import { isJuncturaError, JuncturaError, messageOf } from '../kernel/index.ts'
import type { ContractCase, ContractTestOptions } from '../testing/index.ts'
import type { CliIo } from './cli-io.ts'
import {
  collect,
  type CommandContext,
  type JsonOption,
  parseCount,
  withJson,
} from './command-context.ts'
import { EXIT, type ExitCode, exitCodeOf } from './exit-codes.ts'
import { toFailure } from './failure.ts'
import { parseGiven } from './json-input.ts'
import { importModule, loadIntegration } from './load-integration.ts'
import { createOutput } from './output.ts'
import { type Progress, renderProgress } from './progress-bar.ts'
import { renderTestReport, reportTests, type TestedCase } from './test-report.ts'

interface TestOptions extends JsonOption {
  readonly only?: readonly string[]
  readonly seed?: number
  readonly example?: string
  readonly handlers?: string
}

/** Adds `test FILE`: the promises of a declaration, tried without starting it. */
export const addTestCommand = (program: Command, { io, finish }: CommandContext): void => {
  withJson(program.command('test <file>'))
    .description('Tries each promise of an integration, on virtual time and without a network.')
    .option('--only <name>', 'one webhook or consumer; may be given again', collect)
    .option('--seed <n>', 'of examples and delays (default: 1)', parseCount(0, 2 ** 31 - 1))
    .option('--example <file>', 'JSON: good data by name of a webhook, consumer or contract')
    .option('--handlers <file>', 'a module: stand-ins for handlers that need the outside')
    .action(async (file: string, options: TestOptions) => {
      finish(await test(io, file, options))
    })
}

const test = async (io: CliIo, file: string, options: TestOptions): Promise<ExitCode> => {
  const out = createOutput(io, options.json === true)
  const integration = await loadIntegration(file, io.cwd)
  // Only here, because the whole runtime comes with it.
  const { contractTests } = await import('../testing/index.ts')
  const seed = options.seed ?? 1
  const cases = contractTests(integration, { ...(await readOptions(io, options)), seed })
  const abort = new AbortController()
  const stopListening = io.onSignal(() => abort.abort())
  try {
    const tested = await runCases(io, cases, abort.signal)
    if (abort.signal.aborted) return EXIT.interrupted
    const report = reportTests(tested, { name: integration.name, seed })
    out.result('contract-tests', report, () =>
      renderTestReport(report, {
        paint: out.paint,
        ...(io.stdout.isTerminal && { columns: io.stdout.columns }),
      }),
    )
    if (report.crashed > 0) return EXIT.software
    return report.ok ? EXIT.ok : EXIT.findings
  } finally {
    stopListening()
  }
}

async function readOptions(io: CliIo, options: TestOptions): Promise<ContractTestOptions> {
  const { only, example, handlers } = options
  return {
    ...(only && { only }),
    ...(example !== undefined && { examples: await readExamples(io, example) }),
    ...(handlers !== undefined && { handlers: await loadHandlers(io, handlers) }),
  }
}

async function readExamples(io: CliIo, file: string): Promise<Readonly<Record<string, unknown>>> {
  const value = parseGiven(await io.kernel.files.read(resolve(io.cwd, file)))
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  throw usage(
    `--example ${file}: it is no object of examples`,
    'Write {"acme": {…}}, by name of a webhook, consumer or contract.',
  )
}

/** Functions that a module exports, or that its default export holds, by name of the consumer. */
async function loadHandlers(
  io: CliIo,
  file: string,
): Promise<NonNullable<ContractTestOptions['handlers']>> {
  const module = await importModule(resolve(io.cwd, file)).catch((cause: unknown) => {
    const problem = `--handlers ${file}: it cannot be loaded (${messageOf(cause)})`
    throw usage(problem, 'Run the file alone to see the whole error: node FILE')
  })
  const held: unknown = module['default']
  const named = typeof held === 'object' && held !== null ? { ...held } : module
  const handlers = Object.entries(named).flatMap(([name, value]) =>
    isHandler(value) ? [[name, value] as const] : [],
  )
  if (handlers.length > 0) return Object.fromEntries(handlers)
  throw usage(
    `--handlers ${file}: it exports no function`,
    'Write export const NAME = async (data, ctx) => { … }, by name of a consumer.',
  )
}

type Handler = NonNullable<ContractTestOptions['handlers']>[string]

const isHandler = (value: unknown): value is Handler => typeof value === 'function'

async function runCases(
  io: CliIo,
  cases: readonly ContractCase[],
  signal: AbortSignal,
): Promise<readonly TestedCase[]> {
  const tested: TestedCase[] = []
  const { clock } = io.kernel
  const startedMs = clock.monotonicMs()
  const uncaught: unknown[] = []
  const stopListening = io.onUncaught((_, error) => uncaught.push(error))
  try {
    for (const one of cases) {
      if (signal.aborted) break
      const result = await runCase(one)
      const [stray] = uncaught.splice(0)
      tested.push(stray === undefined ? result : crashed(one, stray))
      const elapsedMs = clock.monotonicMs() - startedMs
      showProgress(io, { done: tested.length, total: cases.length, elapsedMs })
    }
  } finally {
    stopListening()
  }
  return tested
}

/** One line that is drawn again, and gone at the end. */
function showProgress({ stderr }: CliIo, progress: Progress): void {
  if (!stderr.isTerminal) return
  const bar = progress.done < progress.total ? renderProgress(progress) : ''
  stderr.write(`\r${bar}\u001B[K`)
}

/** A promise that is not kept is a finding; a test that breaks is a crash, and others go on. */
async function runCase(one: ContractCase): Promise<TestedCase> {
  try {
    return { ...factsOf(one), ...(await one.run()) }
  } catch (error) {
    if (isJuncturaError(error, 'JUNCTURA_USAGE')) throw error
    if (exitCodeOf(error) === EXIT.software) return crashed(one, error)
    const { code, message: says, fix } = toFailure(error)
    return { ...factsOf(one), outcome: 'fails', says, code, fix }
  }
}

/** A defect, ours or in code of the integration that nobody awaits. */
function crashed(one: ContractCase, error: unknown): TestedCase {
  const { code, message: says, fix, stack } = toFailure(error)
  const told = stack === undefined ? {} : { stack }
  return { ...factsOf(one), outcome: 'crashed', says, code, fix, ...told }
}

const factsOf = ({ part, name, case: kind, title }: ContractCase) => ({
  part,
  name,
  case: kind,
  label: title.slice(title.indexOf(': ') + 2),
})

const usage = (problem: string, fix: string): JuncturaError =>
  new JuncturaError('JUNCTURA_USAGE', { details: { problem, fix } })
