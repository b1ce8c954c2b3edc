import type { Command } from 'commander'
import type { Page, ReplayView } from '../runtime/index.ts'
import {
  type ClientOptions,
  type CommandContext,
  openSession,
  operatorOf,
  parseCount,
  parseRate,
  type ReasonOptions,
  type Session,
  wholeRate,
  withClient,
  withPage,
  withReason,
} from './command-context.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { formatAge } from './human-time.ts'
import { runOperation } from './operation-output.ts'
import { planFilter, type PlanOptions, renderPlan } from './replay-plan-text.ts'
import { exitCodeOfReplay, renderReplay, replayPath, watchReplay } from './watch-replay.ts'
import type { Column } from './table.ts'

type ChangeOptions = ClientOptions & ReasonOptions
interface RunOptions extends ChangeOptions {
  readonly token?: string
  readonly watch?: boolean
}

/** Adds `replay plan|run|status|list|pause|resume|abort`. */
export const addReplayCommands = (program: Command, { io, finish }: CommandContext): void => {
  const replay = program.command('replay').description('Running again what has run before.')

  withReason(withClient(replay.command('plan')))
    .description('Freezes what a replay would take, and counts it; nothing runs.')
    .option('--from <what>', 'dead-letters (default) or messages of the log')
    .option('--consumer <name>', 'only for this consumer')
    .option('--cause <cause>', 'only of this group of dead letters')
    .option('--type <type>', 'only messages of this contract')
    .option('--key <key>', 'only of this key')
    .option('--since <time>', 'received at or after: 2h, or 2026-01-31T08:00:00Z')
    .option('--until <time>', 'received before')
    .option('--from-position <n>', 'log position, inclusive', parseCount(1, 2 ** 53 - 1))
    .option('--to-position <n>', 'log position, inclusive', parseCount(1, 2 ** 53 - 1))
    .option('--rate <rate>', 'at most so many, for example 200/s (default)', parseRate)
    .action(async (options: ChangeOptions & PlanOptions) => {
      finish(await plan(openSession(io, options), options))
    })

  withReason(withClient(replay.command('run <id>')))
    .description('Runs a plan.')
    .option('--token <token>', 'the token of the plan; needed where a consumer is guarded')
    .option('--watch', 'show progress until it ends')
    .action(async (id: string, options: RunOptions) => {
      finish(await run(openSession(io, options), id, options))
    })

  withClient(replay.command('status <id>'))
    .description('How far a replay is.')
    .option('--watch', 'show progress until it ends')
    .action(async (id: string, options: ClientOptions & { readonly watch?: boolean }) => {
      const session = openSession(io, options)
      if (options.watch === true) return finish(await watchReplay(session, id))
      const row = await session.client.get<ReplayView>(replayPath(id))
      session.out.result('replay', { item: row }, () => renderReplay(row, session))
      finish(exitCodeOfReplay(row))
    })

  withPage(withClient(replay.command('list')))
    .description('All replays.')
    .action(async (options: ClientOptions & { limit?: number; after?: string }) => {
      finish(await list(openSession(io, options), options))
    })

  for (const verb of ['pause', 'resume', 'abort'] as const) {
    withReason(withClient(replay.command(`${verb} <id>`)))
      .description(`${verb[0]?.toUpperCase()}${verb.slice(1)}s a replay.`)
      .action(async (id: string, options: ChangeOptions) => {
        const code = await runOperation(openSession(io, options), {
          name: `replay ${verb}`,
          command: { kind: `replay.${verb}`, id },
          options,
          tell: ({ state }) =>
            `${id} ${typeof state === 'string' ? `is ${state}` : `was asked to ${verb}`}`,
        })
        finish(code)
      })
  }
}

const plan = async (session: Session, options: ChangeOptions & PlanOptions): Promise<ExitCode> => {
  const { io, out, client } = session
  const operation = await client.operate(
    {
      kind: 'replay.plan',
      filter: planFilter(options, io.kernel.clock),
      ...(options.rate !== undefined && { ratePerSecond: wholeRate(options.rate) }),
    },
    operatorOf(io, options, 'replay plan'),
  )
  // The result of a plan is the replay it made.
  const row: ReplayView = JSON.parse(JSON.stringify(operation.result))
  out.result('replay-plan', { operationId: operation.operationId, item: row }, () =>
    renderPlan(row, out.paint),
  )
  return EXIT.ok
}

const run = async (session: Session, id: string, options: RunOptions): Promise<ExitCode> => {
  const command = {
    kind: 'replay.run',
    id,
    ...(options.token !== undefined && { token: options.token }),
  } as const
  if (options.watch !== true) {
    const tell = (): string => `${id} runs; junctura replay status ${id} --watch`
    return runOperation(session, { name: 'replay run', command, options, tell })
  }
  await session.client.operate(command, operatorOf(session.io, options, 'replay run'))
  return watchReplay(session, id)
}

const list = async (
  session: Session,
  { limit, after }: { readonly limit?: number; readonly after?: string },
): Promise<ExitCode> => {
  const { io, out, client } = session
  const page = await client.get<Page<ReplayView>>('/api/v1/replays', { limit, after })
  const columns: readonly Column<ReplayView>[] = [
    { title: 'ID', cell: (one) => one.id },
    { title: 'STATE', cell: (one) => one.state },
    { title: 'RELEASED', align: 'right', cell: (one) => `${one.released}/${one.total}` },
    { title: 'SKIPPED', align: 'right', cell: (one) => one.skipped },
    { title: 'FAILED', align: 'right', cell: (one) => one.failed },
    { title: 'MADE', cell: (one) => formatAge(io.kernel.clock, one.createdAtMs) },
    { title: 'BY', cell: (one) => one.actor },
    { title: 'WHY', shrinks: true, cell: (one) => one.reason },
  ]
  out.result('replays', page, () => {
    if (page.items.length === 0) return 'No replays.'
    const more = page.next === undefined ? '' : `\nMore: --after ${page.next}`
    return `${out.table(columns, page.items)}${more}`
  })
  return EXIT.ok
}
