import type { Command } from 'commander'
import { ERROR_CODES, type ErrorCode, JuncturaError } from '../kernel/index.ts'
import type { CliIo } from './cli-io.ts'
import { type CommandContext, type JsonOption, withJson } from './command-context.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { isErrorCode, pageOf } from './failure.ts'
import { createOutput } from './output.ts'
import { renderFacts } from './table.ts'

/** Adds `explain CODE`. */
export const addExplainCommand = (program: Command, { io, finish }: CommandContext): void => {
  withJson(program.command('explain <code>'))
    .description('What an error code means and what to do.')
    .action((code: string, options: JsonOption) => finish(explain(io, code, options)))
}

const explain = (io: CliIo, given: string, options: JsonOption): ExitCode => {
  const out = createOutput(io, options.json === true)
  const code = findCode(given)
  const { status, retryable, message, advice } = ERROR_CODES[code]
  const page = pageOf(code)
  out.result('explanation', { code, status, retryable, message, advice, page }, () =>
    renderFacts(
      [
        ['code', code],
        ['says', message],
        ['fix', advice],
        ['HTTP status', status],
        ['retryable', retryable ? 'yes, unchanged' : 'no, change something first'],
        ['page', page],
      ],
      out.paint,
    ),
  )
  return EXIT.ok
}

/** In any case, and without the prefix that all codes share. */
function findCode(given: string): ErrorCode {
  const upper = given.toUpperCase().replaceAll('-', '_')
  const code = upper.startsWith('JUNCTURA_') ? upper : `JUNCTURA_${upper}`
  if (isErrorCode(code)) return code
  const word = upper.split('_').at(-1) ?? upper
  const near = Object.keys(ERROR_CODES).filter((each) => each.includes(word))
  throw new JuncturaError('JUNCTURA_USAGE', {
    details: {
      problem: `There is no error code ${JSON.stringify(given)}.`,
      fix: near.length > 0 ? `Did you mean ${near.slice(0, 3).join(', ')}?` : 'Copy it as printed.',
    },
  })
}
