import { JuncturaError } from '../kernel/index.ts'
import type { CliIo } from './cli-io.ts'

/**
 * Asks before something is thrown away. Where nobody can be asked, `--yes` must have been given.
 *
 * @returns false when the person says no
 * @throws JUNCTURA_USAGE when there is no terminal and no `--yes`
 */
export const confirm = async (
  io: Pick<CliIo, 'stdin' | 'stderr'>,
  question: string,
  options: { readonly yes?: boolean; readonly json?: boolean },
): Promise<boolean> => {
  if (options.yes === true) return true
  if (!io.stdin.isTerminal || options.json === true) {
    throw new JuncturaError('JUNCTURA_USAGE', {
      details: {
        problem: `${question} There is nobody to ask.`,
        fix: 'Give --yes to do it without a question.',
      },
    })
  }
  const answer = await io.stdin.ask(`${question} [y/N] `)
  return /^y(es)?$/i.test(answer.trim())
}
