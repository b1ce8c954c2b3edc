import type { Command } from 'commander'
import type { AlertView, Page } from '../runtime/index.ts'
import {
  type ClientOptions,
  type CommandContext,
  openSession,
  type ReasonOptions,
  type Session,
  withClient,
  withPage,
  withReason,
} from './command-context.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { formatAge } from './human-time.ts'
import { runOperation } from './operation-output.ts'
import type { Column } from './table.ts'

interface ListOptions extends ClientOptions {
  readonly state?: string
  readonly limit?: number
  readonly after?: string
  readonly check?: boolean
}

/** Adds `alerts list|ack`; `alerts` alone lists. */
export const addAlertCommands = (program: Command, { io, finish }: CommandContext): void => {
  const alerts = program.command('alerts').description('What owners were told about.')

  withPage(withClient(alerts.command('list', { isDefault: true })))
    .description('Alerts, newest last.')
    .option('--state <state>', 'open, acknowledged or resolved (default: all)')
    .option('--check', 'exit with 1 when one is open')
    .action(async (options: ListOptions) => {
      finish(await listAlerts(openSession(io, options), options))
    })

  withReason(withClient(alerts.command('ack <id>')))
    .description('Takes note of an alert; it notifies again only when it grows.')
    .action(async (id: string, options: ClientOptions & ReasonOptions) => {
      const command = { kind: 'alert.acknowledge', id } as const
      const ask = { name: 'alerts ack', command, options, tell: () => `${id} is acknowledged` }
      finish(await runOperation(openSession(io, options), ask))
    })
}

const listAlerts = async (session: Session, options: ListOptions): Promise<ExitCode> => {
  const { client, out, io } = session
  const { state, limit, after } = options
  const page = await client.get<Page<AlertView>>('/api/v1/alerts', { state, limit, after })
  const columns: readonly Column<AlertView>[] = [
    { title: 'ID', cell: (alert) => alert.id },
    {
      title: 'STATE',
      colour: (alert) => (alert.state === 'open' ? 'red' : undefined),
      cell: (alert) => alert.state,
    },
    { title: 'COUNT', align: 'right', cell: (alert) => alert.count },
    { title: 'OWNER', cell: (alert) => alert.owner },
    { title: 'LAST', cell: (alert) => formatAge(io.kernel.clock, alert.lastAtMs) },
    { title: 'WHAT', shrinks: true, cell: (alert) => alert.title },
  ]
  out.result('alerts', page, () => {
    if (page.items.length === 0) return out.paint('green', 'No alerts.')
    const more = page.next === undefined ? '' : `\nMore: --after ${page.next}`
    return `${out.table(columns, page.items)}${more}`
  })
  const open = page.items.some((alert) => alert.state === 'open')
  return options.check === true && open ? EXIT.findings : EXIT.ok
}
