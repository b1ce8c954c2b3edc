import type { Command } from 'commander'
import type { ScheduleView } from '../runtime/index.ts'
import {
  type ClientOptions,
  type CommandContext,
  openSession,
  type Session,
  withClient,
} from './command-context.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { formatAge } from './human-time.ts'
import type { Column } from './table.ts'

/** Adds `schedules`. */
export const addSchedulesCommand = (program: Command, { io, finish }: CommandContext): void => {
  withClient(program.command('schedules'))
    .description('What is emitted at given times: when next, when last, what was missed.')
    .action(async (options: ClientOptions) => {
      finish(await showSchedules(openSession(io, options)))
    })
}

const showSchedules = async ({ client, out, io }: Session): Promise<ExitCode> => {
  const { items } = await client.get<{ readonly items: readonly ScheduleView[] }>(
    '/api/v1/schedules',
  )
  const columns: readonly Column<ScheduleView>[] = [
    { title: 'SCHEDULE', cell: (one) => one.name },
    { title: 'WHEN', cell: ({ cron, timezone }) => (cron ? `${cron} ${timezone}` : 'once') },
    {
      title: 'NEXT',
      cell: ({ nextAtMs }) => (nextAtMs === null ? 'never' : new Date(nextAtMs).toISOString()),
    },
    {
      title: 'LAST',
      align: 'right',
      cell: ({ lastFiredAtMs }) => formatAge(io.kernel.clock, lastFiredAtMs),
    },
    { title: 'FIRED', align: 'right', cell: (one) => one.fired },
    { title: 'MISSED', align: 'right', cell: (one) => one.missed },
    { title: 'EMITS', cell: (one) => one.emits },
    {
      title: 'ERROR',
      shrinks: true,
      colour: () => 'red',
      cell: ({ lastError }) => lastError ?? '',
    },
  ]
  out.result('schedules', { items }, () =>
    items.length === 0 ? 'No schedules.' : out.table(columns, items),
  )
  return items.every(({ lastError }) => lastError === undefined) ? EXIT.ok : EXIT.findings
}
