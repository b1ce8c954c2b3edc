import type { Command } from 'commander'
import type { Page, SagaRunSummary, SagaRunView, SagaSummary } from '../runtime/index.ts'
import {
  type ClientOptions,
  type CommandContext,
  openSession,
  type Session,
  withClient,
  withPage,
} from './command-context.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { formatAge } from './human-time.ts'
import type { Colour } from './paint.ts'
import { addSagaActs } from './saga-acts.ts'
import { type SagaFilterOptions, startedBeforeMs, withSagaFilter } from './saga-filter.ts'
import { addSagaPlanCommands } from './saga-plan-commands.ts'
import { renderRun } from './saga-timeline.ts'
import type { Column } from './table.ts'

interface ListOptions extends ClientOptions, SagaFilterOptions {
  readonly parked?: boolean
  readonly limit?: number
  readonly after?: string
}

/** Adds `sagas summary|list|show` and what is done to runs; `sagas` alone gives the summary. */
export const addSagaCommands = (program: Command, context: CommandContext): void => {
  const { io, finish } = context
  const sagas = program
    .command('sagas')
    .description('Processes over several systems: where each run stands, and what to do about it.')

  withClient(sagas.command('summary', { isDefault: true }))
    .description('Each saga with its live runs by state; exits with 1 when some need somebody.')
    .action(async (options: ClientOptions) => {
      finish(await summary(openSession(io, options)))
    })

  withSagaFilter(withPage(withClient(sagas.command('list'))))
    .description('Runs, newest first.')
    .option('--parked', 'runs that hold events which nobody will take')
    .action(async (options: ListOptions) => {
      finish(await list(openSession(io, options), options))
    })

  withClient(sagas.command('show <saga> <key>'))
    .description(
      'One run: its timeline, what it waits for, and what to do; exits with 1 when stuck.',
    )
    .action(async (saga: string, key: string, options: ClientOptions) => {
      finish(await show(openSession(io, options), saga, key))
    })

  addSagaActs(sagas, context)
  addSagaPlanCommands(sagas, context)
}

const summary = async ({ client, out, io }: Session): Promise<ExitCode> => {
  const { items } = await client.get<{ readonly items: readonly SagaSummary[] }>('/api/v1/sagas')
  const bad = (count: number): Colour | undefined => (count > 0 ? 'red' : undefined)
  const columns: readonly Column<SagaSummary>[] = [
    { title: 'SAGA', cell: (one) => one.name },
    { title: 'RUNNING', align: 'right', cell: ({ live }) => live.running },
    {
      title: 'PAUSED',
      align: 'right',
      colour: ({ live }) => bad(live.paused),
      cell: ({ live }) => live.paused,
    },
    { title: 'COMPENSATING', align: 'right', cell: ({ live }) => live.compensating },
    {
      title: 'STUCK',
      align: 'right',
      colour: ({ live }) => bad(live['compensation-stuck']),
      cell: ({ live }) => live['compensation-stuck'],
    },
    {
      title: 'OLDEST',
      align: 'right',
      cell: (one) => formatAge(io.kernel.clock, one.oldestStartedAtMs),
    },
    { title: 'OWNER', cell: (one) => one.owner },
    { title: 'STARTED BY', shrinks: true, cell: (one) => `${one.on}, version ${one.version}` },
  ]
  const isWell = items.every(({ live }) => live.paused + live['compensation-stuck'] === 0)
  out.result('sagas', { items }, () => {
    if (items.length === 0) return 'No sagas.'
    const next = isWell ? '' : '\nNext: junctura sagas list --state paused'
    return `${out.table(columns, items)}${next}`
  })
  return isWell ? EXIT.ok : EXIT.findings
}

const STATE_COLOURS: Readonly<Record<string, Colour>> = {
  running: 'green',
  completed: 'gray',
  paused: 'red',
  compensating: 'yellow',
  'compensation-stuck': 'red',
}

const list = async (session: Session, options: ListOptions): Promise<ExitCode> => {
  const { client, out, io } = session
  const { saga, state, owner, step, parked, limit, after } = options
  const page = await client.get<Page<SagaRunSummary>>('/api/v1/saga-runs', {
    saga,
    state,
    owner,
    step,
    startedBeforeMs: startedBeforeMs(io, options),
    parked: parked === true ? 'true' : undefined,
    limit,
    after,
  })
  const { clock } = io.kernel
  const columns: readonly Column<SagaRunSummary>[] = [
    { title: 'SAGA', cell: (one) => one.saga },
    { title: 'KEY', cell: (one) => one.key },
    { title: 'STATE', colour: (one) => STATE_COLOURS[one.state], cell: (one) => one.state },
    { title: 'STARTED', align: 'right', cell: (one) => formatAge(clock, one.startedAtMs) },
    {
      title: 'MOVED',
      align: 'right',
      colour: (one) => (one.isQuiet ? 'red' : undefined),
      cell: (one) => formatAge(clock, one.movedAtMs),
    },
    { title: 'OWNER', cell: (one) => one.waitsFor[0]?.owner ?? one.owner },
    { title: 'AT', shrinks: true, cell: standOf },
  ]
  out.result('saga-runs', page, () => {
    const more = page.next === undefined ? '' : `\nMore: --after ${JSON.stringify(page.next)}`
    if (page.items.length === 0) return `No such runs${more === '' ? '.' : ' here.'}${more}`
    return `${out.table(columns, page.items)}${more}\nNext: junctura sagas show SAGA KEY`
  })
  return EXIT.ok
}

/** `step-failed: stock.reserve#1 …`, or the steps that it waits for. */
const standOf = ({ problem, cause, parked, waitsFor }: SagaRunSummary): string => {
  if (problem) return `${problem.kind}: ${problem.message}`
  const events = parked === undefined ? [] : [`${parked} events nobody takes`]
  const why = cause ? [`${cause.kind}: ${cause.reason}`] : []
  return [...why, ...waitsFor.map(({ step }) => step), ...events].join(', ')
}

const show = async (session: Session, saga: string, key: string): Promise<ExitCode> => {
  const { client, out, io } = session
  const path = `/api/v1/saga-runs/${encodeURIComponent(saga)}`
  const run = await client.get<SagaRunView>(path, { key })
  out.result('saga-run', { item: run }, () => renderRun(run, { clock: io.kernel.clock, out }))
  const isStuck = run.state === 'paused' || run.state === 'compensation-stuck'
  return isStuck || run.isQuiet === true ? EXIT.findings : EXIT.ok
}
