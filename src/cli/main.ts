import { CommanderError } from 'commander'
import { JuncturaError } from '../kernel/index.ts'
import type { CliIo } from './cli-io.ts'
import { EXIT, type ExitCode, exitCodeOf } from './exit-codes.ts'
import { createOutput } from './output.ts'
import { createProgram } from './program.ts'
import { createSystemIo } from './system-io.ts'

/**
 * Runs one command line and gives its exit code (docs/reference/cli.md lists them). Never throws:
 * what goes wrong is printed, under `--json` as one object on stdout.
 *
 * @param argv the words after the program's name
 */
export const main = async (argv: readonly string[], io?: CliIo): Promise<ExitCode> => {
  const world = io ?? createSystemIo()
  const json = argv.includes('--json')
  let code: ExitCode = EXIT.ok
  const program = createProgram({ io: world, finish: (given) => (code = given) }, json)
  try {
    await program.parseAsync([...argv], { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError) return usageExit(error, world, json)
    createOutput(world, json).failure(error)
    return exitCodeOf(error)
  }
}

/** Help that was asked for is no mistake; commander has printed everything else itself. */
function usageExit(error: CommanderError, io: CliIo, json: boolean): ExitCode {
  if (error.exitCode === 0) return EXIT.ok
  if (json) {
    const problem = error.message.replace(/^error: /, '')
    createOutput(io, true).failure(new JuncturaError('JUNCTURA_USAGE', { details: { problem } }))
  }
  return EXIT.usage
}
