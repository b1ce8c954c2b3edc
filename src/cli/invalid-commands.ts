import type { Command } from 'commander'
import type { InvalidGroup, InvalidView, Page } from '../runtime/index.ts'
import {
  type ClientOptions,
  type CommandContext,
  openSession,
  parseRate,
  type ReasonOptions,
  type Session,
  wholeRate,
  withClient,
  withPage,
  withReason,
} from './command-context.ts'
import { confirm } from './confirm.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { formatAge, formatTime } from './human-time.ts'
import { runOperation } from './operation-output.ts'
import { selectionOf } from './selection.ts'
import { type Column, renderFacts } from './table.ts'
import { renderPayload } from './payload-text.ts'

interface ListOptions extends ClientOptions {
  readonly webhook?: string
  readonly cause?: string
  readonly state?: string
  readonly limit?: number
  readonly after?: string
  readonly check?: boolean
}

interface ChangeOptions extends ClientOptions, ReasonOptions {
  readonly cause?: string
  readonly webhook?: string
  readonly plan?: boolean
  readonly rate?: number
  readonly yes?: boolean
}

/** Adds `invalid groups|list|show|readmit|drop`. */
export const addInvalidCommands = (program: Command, { io, finish }: CommandContext): void => {
  const invalid = program
    .command('invalid')
    .description('Genuine requests that the border could not take.')

  withClient(invalid.command('groups'))
    .description('By cause, most first.')
    .option('--check', 'exit with 1 when there is any')
    .action(async (options: ListOptions) => {
      finish(await showGroups(openSession(io, options), options.check === true))
    })

  withPage(withClient(invalid.command('list')))
    .description('One a line.')
    .option('--webhook <name>', 'only of this webhook')
    .option('--cause <cause>', 'only of this group')
    .option('--state <state>', 'open, readmitted or dropped (default: open)')
    .option('--check', 'exit with 1 when there is any')
    .action(async (options: ListOptions) => {
      finish(await listInvalid(openSession(io, options), options))
    })

  withClient(invalid.command('show <id>'))
    .description('One of them: the fields at fault, its masked payload.')
    .action(async (id: string, options: ClientOptions) => {
      finish(await showInvalid(openSession(io, options), id))
    })

  withReason(withClient(invalid.command('readmit [ids...]')))
    .description(
      'Sends them through the border again, after the contract has learned to take them.',
    )
    .option('--cause <cause>', 'all of this group')
    .option('--webhook <name>', 'all of this webhook')
    .option('--plan', 'only say what would come of it: check each by the contract of today')
    .option('--rate <rate>', 'at most so many, for example 100/s (default)', parseRate)
    .action(async (ids: string[], options: ChangeOptions) => {
      const command = {
        kind: 'invalid.readmit',
        ...(options.webhook !== undefined && ids.length === 0 && options.cause === undefined
          ? { webhook: options.webhook }
          : selectionOf(ids, options.cause)),
        ...(options.plan === true && { planOnly: true }),
        ...(options.rate !== undefined && { ratePerSecond: wholeRate(options.rate) }),
      } as const
      finish(
        await runOperation(openSession(io, options), {
          name: 'invalid readmit',
          command,
          options,
          ...(options.plan === true && { tell: tellPlan }),
        }),
      )
    })

  withReason(withClient(invalid.command('drop [ids...]')))
    .description('Gives them up for good.')
    .option('--cause <cause>', 'all of this group')
    .option('--yes', 'do not ask')
    .action(async (ids: string[], options: ChangeOptions) => {
      const command = { kind: 'invalid.drop', ...selectionOf(ids, options.cause) } as const
      const what = options.cause === undefined ? `${ids.length} request(s)` : options.cause
      const sure = await confirm(io, `Drop ${what} for good?`, options)
      if (!sure) return finish(EXIT.findings)
      finish(
        await runOperation(openSession(io, options), { name: 'invalid drop', command, options }),
      )
    })
}

/** Sentences of what a plan says; the reasons of what stays, one a line. */
const tellPlan = (result: Readonly<Record<string, unknown>>): string => {
  const count = (name: string): number => Number(result[name] ?? 0)
  const reasons: readonly unknown[] = Array.isArray(result['stayInvalidBecause'])
    ? result['stayInvalidBecause']
    : []
  const lines = reasons.map((reason) => {
    const { count: many, detail, sample }: Readonly<Record<string, unknown>> = { ...Object(reason) }
    return `  ${String(many)} × ${String(detail)} (such as ${String(sample)})`
  })
  const planned =
    `${count('planned')} planned: ${count('wouldAdmit')} would be admitted, ` +
    `${count('wouldBeDuplicates')} are duplicates, ${count('wouldStayInvalid')} stay invalid`
  return [planned, ...lines].join('\n')
}

const showGroups = async (session: Session, check: boolean): Promise<ExitCode> => {
  const { client, out, io } = session
  const { items } = await client.get<{ readonly items: readonly InvalidGroup[] }>(
    '/api/v1/invalid/groups',
  )
  const columns: readonly Column<InvalidGroup>[] = [
    { title: 'CAUSE', cell: (group) => group.cause },
    {
      title: 'COUNT',
      align: 'right',
      colour: () => 'red',
      cell: (group) => `${group.count}${group.more ? '+' : ''}`,
    },
    { title: 'WEBHOOK', cell: (group) => group.webhook },
    { title: 'REASON', cell: (group) => group.reason },
    { title: 'VERSION', align: 'right', cell: (group) => group.version },
    { title: 'LAST', cell: (group) => formatAge(io.kernel.clock, group.lastAtMs) },
    { title: 'WHAT', shrinks: true, cell: (group) => group.title },
  ]
  out.result('invalid-groups', { items }, () =>
    items.length === 0 ? out.paint('green', 'Nothing invalid.') : out.table(columns, items),
  )
  return check && items.length > 0 ? EXIT.findings : EXIT.ok
}

const listInvalid = async (session: Session, options: ListOptions): Promise<ExitCode> => {
  const { client, out, io } = session
  const { webhook, cause, state, limit, after } = options
  const query = { webhook, cause, state, limit, after }
  const page = await client.get<Page<InvalidView>>('/api/v1/invalid', query)
  const columns: readonly Column<InvalidView>[] = [
    { title: 'ID', cell: (row) => row.id },
    { title: 'WEBHOOK', cell: (row) => row.webhook },
    { title: 'REASON', cell: (row) => row.reason },
    { title: 'RECEIVED', cell: (row) => formatAge(io.kernel.clock, row.receivedAtMs) },
    { title: 'BYTES', align: 'right', cell: (row) => row.bodyBytes },
    { title: 'CAUSE', cell: (row) => row.cause },
    { title: 'WHAT', shrinks: true, cell: (row) => row.causeTitle },
  ]
  out.result('invalid-list', page, () => {
    if (page.items.length === 0) return out.paint('green', 'Nothing invalid.')
    const more = page.next === undefined ? '' : `\nMore: --after ${page.next}`
    return `${out.table(columns, page.items)}${more}`
  })
  return options.check === true && page.items.length > 0 ? EXIT.findings : EXIT.ok
}

const showInvalid = async (session: Session, id: string): Promise<ExitCode> => {
  const { client, out } = session
  const row = await client.get<InvalidView>(`/api/v1/invalid/${encodeURIComponent(id)}`)
  out.result('invalid', { item: row }, () => {
    const facts = renderFacts(
      [
        ['invalid', row.id],
        ['state', row.state],
        ['webhook', row.webhook],
        ['contract', `${row.contract} version ${row.version ?? 'unknown'}`],
        ['reason', row.reason],
        ['received', formatTime(row.receivedAtMs)],
        ['conflicts with', row.conflictsWith],
        ['cause', row.cause],
      ],
      out.paint,
    )
    const errors = row.errors.map((error) => `  ${error.pointer || '(whole)'}: ${error.message}`)
    return [facts, ...errors, '', renderPayload(row.payload)].join('\n')
  })
  return EXIT.ok
}
