import type { Command } from 'commander'
import { formatDuration } from '../kernel/index.ts'
import type { TopicView } from '../runtime/index.ts'
import {
  type ClientOptions,
  type CommandContext,
  openSession,
  type Session,
  withClient,
} from './command-context.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import type { Column } from './table.ts'

/** Adds `topics`. */
export const addTopicCommands = (program: Command, { io, finish }: CommandContext): void => {
  withClient(program.command('topics'))
    .description(
      'Topics that other systems write: how far they are moved, what waits, what is lost.',
    )
    .action(async (options: ClientOptions) => {
      finish(await showTopics(openSession(io, options)))
    })
}

const showTopics = async ({ client, out, io }: Session): Promise<ExitCode> => {
  const { items } = await client.get<{ readonly items: readonly TopicView[] }>('/api/v1/topics')
  const nowMs = io.kernel.clock.now()
  const age = (atMs: number | undefined): string =>
    atMs === undefined
      ? '-'
      : formatDuration(Math.max(0, Math.round((nowMs - atMs) / 1_000)) * 1_000)
  const columns: readonly Column<TopicView>[] = [
    { title: 'TOPIC', cell: (one) => one.name },
    { title: 'FROM', cell: (one) => `${one.engine} ${one.resource}` },
    {
      title: 'STATE',
      colour: (one) => (isWell(one) ? undefined : 'red'),
      cell: (one) => one.state,
    },
    { title: 'MOVED', align: 'right', cell: (one) => one.moved },
    { title: 'LAG', align: 'right', cell: (one) => one.lag ?? '-' },
    { title: 'INVALID', align: 'right', cell: (one) => one.invalid },
    { title: 'REPEATS', align: 'right', cell: (one) => one.repeats },
    {
      title: 'LOST',
      align: 'right',
      colour: (one) => (one.lost === 0 ? undefined : 'red'),
      cell: (one) => one.lost,
    },
    { title: 'LAST MOVED', align: 'right', cell: (one) => age(one.lastMovedAtMs) },
    { title: 'KEPT THERE', cell: (one) => one.durability ?? '-' },
    { title: 'ERROR', cell: (one) => one.lastError ?? '' },
  ]
  out.result('topics', { items }, () =>
    items.length === 0 ? 'No topics.' : out.table(columns, items),
  )
  return items.every(isWell) ? EXIT.ok : EXIT.findings
}

const isWell = ({ state }: TopicView): boolean => state === 'running' || state === 'standing-by'
