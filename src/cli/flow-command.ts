import type { Command } from 'commander'
import { formatDuration, JuncturaError } from '../kernel/index.ts'
import type { ExpectationView, FlowView } from '../runtime/index.ts'
import {
  type ClientOptions,
  type CommandContext,
  openSession,
  type Session,
  withClient,
} from './command-context.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import type { Column } from './table.ts'

/** Adds `flow [name]`. */
export const addFlowCommand = (program: Command, { io, finish }: CommandContext): void => {
  withClient(program.command('flow [name]'))
    .description('Choreographed flows: what was expected, what came, and where instances stand.')
    .action(async (name: string | undefined, options: ClientOptions) => {
      finish(await showFlows(openSession(io, options), name))
    })
}

const showFlows = async ({ client, out }: Session, name?: string): Promise<ExitCode> => {
  const { items } = await client.get<{ readonly items: readonly FlowView[] }>('/api/v1/flows')
  const shown = name === undefined ? items : items.filter((one) => one.name === name)
  if (name !== undefined && shown.length === 0) {
    throw new JuncturaError('JUNCTURA_NOT_FOUND', { details: { what: 'flow', id: name } })
  }
  const columns: readonly Column<ExpectationView>[] = [
    { title: 'STEP', cell: stepOf },
    { title: 'BEGUN', align: 'right', cell: ({ totals }) => totals.opened },
    { title: 'MET', align: 'right', cell: ({ totals }) => totals.met },
    { title: 'LATE', align: 'right', cell: ({ totals }) => totals.late },
    { title: 'UNDONE', align: 'right', cell: ({ totals }) => totals.undone },
    { title: 'STANDS HERE', align: 'right', cell: ({ open }) => open },
    {
      title: 'MISSED',
      align: 'right',
      colour: ({ missed }) => (missed > 0 ? 'red' : undefined),
      cell: ({ missed }) => missed,
    },
    { title: 'UNEXPECTED', align: 'right', cell: ({ totals }) => totals.unexpected },
    { title: 'EXPECTATION', cell: ({ name: expectation }) => expectation },
  ]
  out.result('flows', { items: shown }, () => {
    if (shown.length === 0) return 'No flows.'
    return shown.map((one) => `${headOf(one)}\n${out.table(columns, one.steps)}`).join('\n\n')
  })
  return shown.every(({ missed }) => missed === 0) ? EXIT.ok : EXIT.findings
}

const headOf = ({ name, owner, coordination, path }: FlowView): string =>
  `${name} (${coordination}, owned by ${owner}): ${path.join(' → ')}`

/** `orders.placed → payments.captured within 15m by payments` */
const stepOf = ({ after, expect, withinMs, shouldAct }: ExpectationView): string => {
  const by = shouldAct.length === 0 ? '' : ` by ${shouldAct.join(', ')}`
  return `${after.join(' or ')} → ${expect.join(' or ')} within ${formatDuration(withinMs)}${by}`
}
