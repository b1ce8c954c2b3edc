import type { Command } from 'commander'
import type { DeadLetterRow } from '../store/index.ts'
import type { DeadLetterGroup, DeadLetterView, OperationCommand, Page } from '../runtime/index.ts'
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
import { confirm } from './confirm.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { formatAge, formatTime } from './human-time.ts'
import { runOperation } from './operation-output.ts'
import { selectionOf } from './selection.ts'
import { type Column, renderFacts } from './table.ts'
import { renderPayload } from './payload-text.ts'

interface ListOptions extends ClientOptions {
  readonly consumer?: string
  readonly cause?: string
  readonly state?: DeadLetterRow['state']
  readonly limit?: number
  readonly after?: string
  readonly check?: boolean
}

interface ChangeOptions extends ClientOptions, ReasonOptions {
  readonly cause?: string
  readonly yes?: boolean
}

/** Adds `dlq groups|list|show|retry|drop`. */
export const addDeadLetterCommands = (program: Command, { io, finish }: CommandContext): void => {
  const dlq = program.command('dlq').description('What the handlers gave up on.')

  withClient(dlq.command('groups'))
    .description('Dead letters by cause, most first.')
    .option('--check', 'exit with 1 when there is any')
    .action(async (options: ListOptions) => {
      finish(await showGroups(openSession(io, options), options.check === true))
    })

  withPage(withClient(dlq.command('list')))
    .description('Dead letters, one a line.')
    .option('--consumer <name>', 'only of this consumer, or webhook of a transform')
    .option('--cause <cause>', 'only of this group')
    .option('--state <state>', 'open, resolved or dropped (default: open)')
    .option('--check', 'exit with 1 when there is any')
    .action(async (options: ListOptions) => {
      finish(await listLetters(openSession(io, options), options))
    })

  withClient(dlq.command('show <id>'))
    .description('One dead letter: its error, its attempts, its masked payload.')
    .action(async (id: string, options: ClientOptions) => {
      finish(await showLetter(openSession(io, options), id))
    })

  withReason(withClient(dlq.command('retry [ids...]')))
    .description('Runs dead letters again: those named, or all of one cause.')
    .option('--cause <cause>', 'all of this group')
    .action(async (ids: string[], options: ChangeOptions) => {
      const command = { kind: 'dead-letter.retry', ...selectionOf(ids, options.cause) } as const
      finish(await change(openSession(io, options), { name: 'dlq retry', command, options }))
    })

  withReason(withClient(dlq.command('drop [ids...]')))
    .description('Gives dead letters up for good; their keys go on without them.')
    .option('--cause <cause>', 'all of this group')
    .option('--yes', 'do not ask')
    .action(async (ids: string[], options: ChangeOptions) => {
      const command = { kind: 'dead-letter.drop', ...selectionOf(ids, options.cause) } as const
      const what = options.cause === undefined ? `${ids.length} dead letter(s)` : options.cause
      const sure = await confirm(io, `Drop ${what} for good?`, options)
      if (!sure) return finish(EXIT.findings)
      finish(await change(openSession(io, options), { name: 'dlq drop', command, options }))
    })
}

const change = (
  session: Session,
  ask: {
    readonly name: string
    readonly command: OperationCommand
    readonly options: ChangeOptions
  },
): Promise<ExitCode> => runOperation(session, ask)

/** Dead letters by cause. */
export const showGroups = async (session: Session, check: boolean): Promise<ExitCode> => {
  const { client, out, io } = session
  const { items } = await client.get<{ readonly items: readonly DeadLetterGroup[] }>(
    '/api/v1/dead-letters/groups',
  )
  const columns: readonly Column<DeadLetterGroup>[] = [
    { title: 'CAUSE', cell: (group) => group.cause },
    {
      title: 'COUNT',
      align: 'right',
      colour: () => 'red',
      cell: (group) => `${group.count}${group.more ? '+' : ''}`,
    },
    { title: 'KEYS', align: 'right', cell: (group) => group.keys },
    { title: 'CONSUMER', cell: (group) => group.consumer },
    { title: 'OWNER', cell: (group) => group.owner },
    { title: 'LAST', cell: (group) => formatAge(io.kernel.clock, group.lastAtMs) },
    { title: 'WHAT', shrinks: true, cell: (group) => group.title },
  ]
  out.result('dead-letter-groups', { items }, () =>
    items.length === 0 ? out.paint('green', 'No dead letters.') : out.table(columns, items),
  )
  return check && items.length > 0 ? EXIT.findings : EXIT.ok
}

const listLetters = async (session: Session, options: ListOptions): Promise<ExitCode> => {
  const { client, out, io } = session
  const { consumer, cause, state, limit, after } = options
  const page = await client.get<Page<DeadLetterRow>>('/api/v1/dead-letters', {
    consumer,
    cause,
    state,
    limit,
    after,
  })
  const columns: readonly Column<DeadLetterRow>[] = [
    { title: 'ID', cell: (letter) => letter.id },
    { title: 'CONSUMER', cell: (letter) => letter.consumer },
    { title: 'KEY', cell: (letter) => letter.key },
    { title: 'TRIES', align: 'right', cell: (letter) => letter.attempts },
    { title: 'DIED', cell: (letter) => formatAge(io.kernel.clock, letter.diedAtMs) },
    { title: 'CAUSE', cell: (letter) => letter.cause },
    { title: 'WHAT', shrinks: true, cell: (letter) => letter.causeTitle },
  ]
  out.result('dead-letters', page, () => {
    if (page.items.length === 0) return out.paint('green', 'No dead letters.')
    const more = page.next === undefined ? '' : `\nMore: --after ${page.next}`
    return `${out.table(columns, page.items)}${more}`
  })
  return options.check === true && page.items.length > 0 ? EXIT.findings : EXIT.ok
}

const showLetter = async (session: Session, id: string): Promise<ExitCode> => {
  const { client, out } = session
  const letter = await client.get<DeadLetterView>(`/api/v1/dead-letters/${encodeURIComponent(id)}`)
  out.result('dead-letter', { item: letter }, () => {
    const facts = renderFacts(
      [
        ['dead letter', letter.id],
        ['state', letter.state],
        ['stage', letter.stage],
        ['consumer', letter.consumer],
        ['owner', letter.owner],
        ['message', letter.messageId],
        ['contract', `${letter.type} version ${letter.contractVersion}`],
        ['key', letter.key],
        ['waiting', `${letter.successors} message(s) of the key behind it`],
        ['attempts', `${letter.attempts}, of them ${letter.crashes} crashed`],
        ['received', formatTime(letter.receivedAtMs)],
        ['died', formatTime(letter.diedAtMs)],
        ['cause', letter.cause],
        ['error', `${letter.errorName}: ${letter.errorMessage}`],
      ],
      out.paint,
    )
    const next = letter.state === 'open' ? `\n\njunctura dlq retry ${letter.id}` : ''
    return `${facts}\n\n${renderPayload(letter.payload)}${next}`
  })
  return EXIT.ok
}
