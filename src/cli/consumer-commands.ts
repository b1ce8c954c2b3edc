import type { Command } from 'commander'
import { formatDuration } from '../kernel/index.ts'
import type { ConsumerStatus } from '../runtime/index.ts'
import {
  type ClientOptions,
  type CommandContext,
  openSession,
  type ReasonOptions,
  type Session,
  withClient,
  withReason,
} from './command-context.ts'
import { confirm } from './confirm.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { runOperation } from './operation-output.ts'
import type { Column } from './table.ts'

type ChangeOptions = ClientOptions & ReasonOptions & { readonly yes?: boolean }

const CHANGES = [
  { verb: 'pause', done: 'is paused; what comes waits in the log', asks: false },
  { verb: 'resume', done: 'runs', asks: false },
  { verb: 'retire', done: 'is retired; the log is no longer kept for it', asks: true },
] as const

/** Adds `consumers list|pause|resume|retire`; `consumers` alone lists. */
export const addConsumerCommands = (program: Command, { io, finish }: CommandContext): void => {
  const consumers = program.command('consumers').description('Who reads the log, and how far.')

  withClient(consumers.command('list', { isDefault: true }))
    .description('Each consumer with its lag and its exceptions.')
    .action(async (options: ClientOptions) => {
      finish(await listConsumers(openSession(io, options)))
    })

  for (const { verb, done, asks } of CHANGES) {
    const command = withReason(withClient(consumers.command(`${verb} <name>`)))
    if (asks) command.option('--yes', 'do not ask')
    command
      .description(`${verb[0]?.toUpperCase()}${verb.slice(1)}s a consumer: it ${done}.`)
      .action(async (name: string, options: ChangeOptions) => {
        const question = `Retire ${name}? Its progress is forgotten.`
        if (asks && !(await confirm(io, question, options))) return finish(EXIT.findings)
        const code = await runOperation(openSession(io, options), {
          name: `consumers ${verb}`,
          command: { kind: `consumer.${verb}`, name },
          options,
          tell: () => `${name} ${done}`,
        })
        finish(code)
      })
  }
}

const listConsumers = async (session: Session): Promise<ExitCode> => {
  const { client, out } = session
  const { items } = await client.get<{ readonly items: readonly ConsumerStatus[] }>(
    '/api/v1/consumers',
  )
  const ms = (value: number | null): string => (value === null ? '-' : formatDuration(value))
  const columns: Column<ConsumerStatus>[] = [
    { title: 'CONSUMER', cell: (one) => one.name },
    { title: 'ON', cell: (one) => `${one.on}@${one.version}` },
    {
      title: 'MODE',
      colour: (one) => (WELL.has(one.mode) ? undefined : 'yellow'),
      cell: (one) => one.mode,
    },
    { title: 'DONE', align: 'right', cell: (one) => one.done },
    { title: 'LAG', align: 'right', cell: (one) => one.lag },
    { title: 'OLDEST', align: 'right', cell: (one) => ms(one.oldestPendingAgeMs) },
    { title: 'RETRYING', align: 'right', cell: (one) => one.retrying },
    { title: 'PARKED', align: 'right', cell: (one) => one.parked },
    {
      title: 'DEAD',
      align: 'right',
      colour: (one) => (one.deadLettersOpen > 0 ? 'red' : undefined),
      cell: (one) => one.deadLettersOpen,
    },
    { title: 'P50', align: 'right', cell: (one) => ms(one.latencyMsP50) },
    { title: 'P99', align: 'right', cell: (one) => ms(one.latencyMsP99) },
  ]
  const isShared = items.some(({ partitions }) => partitions.some(({ holder }) => holder !== null))
  if (isShared) columns.push({ title: 'RUNS IN', cell: whoRuns })
  out.result('consumers', { items }, () =>
    items.length === 0 ? 'No consumers.' : out.table(columns, items),
  )
  return EXIT.ok
}

const WELL: ReadonlySet<string> = new Set(['running', 'elsewhere'])

/** Each process, and how many partitions where it is not all of them. */
const whoRuns = ({ partitions }: ConsumerStatus): string => {
  const counts = new Map<string, number>()
  for (const { holder, managementUrl } of partitions) {
    const who = managementUrl ?? holder ?? 'nobody'
    counts.set(who, (counts.get(who) ?? 0) + 1)
  }
  if (counts.size === 1) return [...counts.keys()].join()
  return [...counts].map(([who, count]) => `${who} (${count})`).join(', ')
}
