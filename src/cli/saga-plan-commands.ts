import { type Command, Option } from 'commander'
import { JuncturaError } from '../kernel/index.ts'
import type { SagaPlan, SagaPlanAct } from '../runtime/index.ts'
import { SAGA_STATES } from '../store/index.ts'
import {
  type ClientOptions,
  type CommandContext,
  openSession,
  operatorOf,
  type ReasonOptions,
  type Session,
  withClient,
  withReason,
} from './command-context.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { formatAge } from './human-time.ts'
import { runOperation } from './operation-output.ts'
import { type SagaFilterOptions, startedBeforeMs, withSagaFilter } from './saga-filter.ts'

type PlanOptions = ClientOptions & ReasonOptions & SagaFilterOptions
type RunOptions = ClientOptions & ReasonOptions & { readonly token: string }

const ACTS: readonly SagaPlanAct[] = ['cancel', 'terminate', 'pause', 'resume', 'retry-step']

/** Adds `sagas plan|run`: one act on many runs, counted before it is done. */
export const addSagaPlanCommands = (sagas: Command, { io, finish }: CommandContext): void => {
  withSagaFilter(withReason(withClient(sagas.command('plan <act>'))))
    .description(`Writes down which runs an act would take (${ACTS.join(', ')}); nothing is done.`)
    .action(async (act: string, options: PlanOptions) => {
      finish(await plan(openSession(io, options), act, options))
    })

  withReason(withClient(sagas.command('run <plan>')))
    .description('Does what was planned, to exactly the runs that were counted.')
    .addOption(new Option('--token <token>', 'the token of the plan').makeOptionMandatory())
    .action(async (id: string, options: RunOptions) => {
      const command = { kind: 'saga.run-plan', id, token: options.token } as const
      const tell = ({ asked, skipped }: Readonly<Record<string, unknown>>): string =>
        `${String(asked)} were asked, ${Array.isArray(skipped) ? skipped.length : 0} were skipped`
      const ask = { name: 'sagas run', command, options, tell }
      finish(await runOperation(openSession(io, options), ask))
    })
}

const plan = async (session: Session, name: string, options: PlanOptions): Promise<ExitCode> => {
  const { io, out, client } = session
  const act = ACTS.find((one) => one === name)
  if (!act) {
    throw new JuncturaError('JUNCTURA_USAGE', {
      details: {
        problem: `${JSON.stringify(name)} is no act`,
        fix: `use one of: ${ACTS.join(', ')}`,
      },
    })
  }
  const { saga, owner, step } = options
  const state = SAGA_STATES.find((one) => one === options.state)
  const before = startedBeforeMs(io, options)
  const filter = {
    ...(saga !== undefined && { saga }),
    ...(state !== undefined && { state }),
    ...(owner !== undefined && { owner }),
    ...(step !== undefined && { step }),
    ...(before !== undefined && { startedBeforeMs: before }),
  }
  const by = operatorOf(io, options, `sagas plan ${act}`)
  const operation = await client.operate({ kind: 'saga.plan', act, filter }, by)
  // The result of a plan is the plan.
  const made: SagaPlan = JSON.parse(JSON.stringify(operation.result))
  const { operationId } = operation
  out.result('saga-plan', { operationId, item: made }, () => {
    if (made.total === 0) return 'No run that has not ended matches; nothing would be done.'
    const states = Object.entries(made.byState).map(([one, count]) => `${count} ${one}`)
    const shown = made.runs.slice(0, SHOWN_MAX).map((one) => `  ${one.saga} ${one.key}`)
    const rest = made.total - shown.length
    return [
      `${act} takes ${made.total} run${made.total === 1 ? '' : 's'}: ${states.join(', ')}; the oldest began ${formatAge(io.kernel.clock, made.oldestStartedAtMs)}`,
      ...shown,
      ...(rest > 0 ? [`  and ${rest} more`] : []),
      ...(made.complete ? [] : ['More match than one plan takes; plan again after this one.']),
      `Next: junctura sagas run ${operationId} --token ${made.token}`,
    ].join('\n')
  })
  return EXIT.ok
}

const SHOWN_MAX = 20
