import type { Command } from 'commander'
import type { OperationView, Page } from '../runtime/index.ts'
import {
  type ClientOptions,
  type CommandContext,
  openSession,
  type Session,
  withClient,
  withPage,
} from './command-context.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { formatTime } from './human-time.ts'
import type { Column } from './table.ts'

interface ListOptions extends ClientOptions {
  readonly limit?: number
  readonly after?: string
}

/** Adds `operations`: what people did, and why. */
export const addOperationsCommand = (program: Command, { io, finish }: CommandContext): void => {
  withPage(withClient(program.command('operations')))
    .description('What people did to the running integration: who, when, why, what came of it.')
    .action(async (options: ListOptions) => {
      finish(await listOperations(openSession(io, options), options))
    })
}

const listOperations = async (session: Session, options: ListOptions): Promise<ExitCode> => {
  const { client, out } = session
  const { limit, after } = options
  const page = await client.get<Page<OperationView>>('/api/v1/operations', { limit, after })
  const columns: readonly Column<OperationView>[] = [
    { title: 'WHEN', cell: (one) => formatTime(one.atMs) },
    { title: 'WHAT', cell: (one) => one.command },
    {
      title: 'STATE',
      colour: (one) => (one.state === 'done' ? undefined : 'yellow'),
      cell: (one) => one.state,
    },
    { title: 'WHO', cell: (one) => one.actor },
    { title: 'ID', cell: (one) => one.id },
    { title: 'WHY', shrinks: true, cell: (one) => one.reason },
  ]
  out.result('operations', page, () => {
    if (page.items.length === 0) return 'No operations.'
    const more = page.next === undefined ? '' : `\nMore: --after ${page.next}`
    return `${out.table(columns, page.items)}${more}`
  })
  return EXIT.ok
}
