import { resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { formatDuration } from '../kernel/index.ts'
import { createJsonLogger } from '../observe/index.ts'
import type { OutboxView, TopicView } from '../runtime/index.ts'
import type { CliIo } from './cli-io.ts'
import {
  type ClientOptions,
  type CommandContext,
  type JsonOption,
  openSession,
  type Session,
  withClient,
  withJson,
} from './command-context.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { loadIntegration } from './load-integration.ts'
import { createOutput } from './output.ts'
import { readStoreChoice } from './store-choice.ts'
import type { Column } from './table.ts'

interface SqlOptions extends JsonOption {
  readonly dialect: 'postgres' | 'sqlite'
  readonly schema: string
}

interface RelayOptions extends JsonOption {
  readonly data: string
  readonly store: string
  readonly once?: boolean
}

/** Adds `outbox sql|status|relay`. */
export const addOutboxCommands = (program: Command, { io, finish }: CommandContext): void => {
  const outbox = program
    .command('outbox')
    .description('Messages that services emit in the transactions of their own databases.')

  withJson(outbox.command('sql'))
    .description('The statements that make the outbox and inbox tables, for a migration of yours.')
    .addOption(
      new Option('--dialect <dialect>', 'of your database')
        .choices(['postgres', 'sqlite'])
        .default('postgres'),
    )
    .option('--schema <name>', 'of the tables; PostgreSQL only', 'public')
    .action(async (options: SqlOptions) => {
      const { outboxSql } = await import('../outbox/index.ts')
      const sql = outboxSql({ dialect: options.dialect, schema: options.schema })
      const { dialect, schema } = options
      const out = createOutput(io, options.json === true)
      out.result('outbox-sql', { dialect, schema, sql }, () => sql.trimEnd())
      finish(EXIT.ok)
    })

  withClient(outbox.command('status'))
    .description('Each outbox of a running integration: how far its relay is, what waits.')
    .action(async (options: ClientOptions) => {
      finish(await showStatus(openSession(io, options)))
    })

  withJson(outbox.command('relay <file>'))
    .description('Moves the outboxes, and topics of others, into the store, and runs nothing else.')
    .option('--data <dir>', 'where everything durable lives', '.junctura')
    .option('--store <store>', 'sqlite, memory, postgres or postgres://…', 'sqlite')
    .option('--once', 'ends when everything is moved that was committed before')
    .action(async (file: string, options: RelayOptions) => {
      finish(await relay(io, file, options))
    })
}

const showStatus = async (session: Session): Promise<ExitCode> => {
  const { client, out, io } = session
  const { items } = await client.get<{ readonly items: readonly OutboxView[] }>('/api/v1/outboxes')
  const nowMs = io.kernel.clock.now()
  const age = (atMs: number | undefined): string =>
    atMs === undefined
      ? '-'
      : formatDuration(Math.max(0, Math.round((nowMs - atMs) / 1_000)) * 1_000)
  const columns: readonly Column<OutboxView>[] = [
    { title: 'OUTBOX', cell: (one) => one.name },
    { title: 'DATABASE', cell: (one) => one.database },
    {
      title: 'STATE',
      colour: (one) => (one.state === 'running' ? undefined : 'red'),
      cell: (one) => one.state,
    },
    { title: 'MOVED', align: 'right', cell: (one) => one.moved },
    { title: 'WAITING', align: 'right', cell: waitingOf },
    { title: 'OLDEST', align: 'right', cell: (one) => age(one.oldestAtMs) },
    { title: 'INVALID', align: 'right', cell: (one) => one.invalid },
    { title: 'GAPS', align: 'right', cell: (one) => one.gaps },
    { title: 'LAST MOVED', align: 'right', cell: (one) => age(one.lastMovedAtMs) },
    { title: 'ERROR', cell: (one) => one.lastError ?? '' },
  ]
  out.result('outboxes', { items }, () =>
    items.length === 0 ? 'No outboxes.' : out.table(columns, items),
  )
  return items.every(({ state }) => state === 'running') ? EXIT.ok : EXIT.findings
}

const waitingOf = ({ waiting, waitingIsMore }: OutboxView): string =>
  waiting === undefined ? '-' : `${waiting}${waitingIsMore === true ? '+' : ''}`

const relay = async (io: CliIo, file: string, options: RelayOptions): Promise<ExitCode> => {
  const out = createOutput(io, options.json === true)
  const write = (line: string): void => io.stderr.write(`${line}\n`)
  const log = createJsonLogger({ clock: io.kernel.clock, write })
  let stop: (code: ExitCode) => void = () => undefined
  const asked = new Promise<ExitCode>((settle) => (stop = settle))
  const forget = io.onSignal(() => stop(EXIT.ok))
  try {
    const integration = await loadIntegration(file, io.cwd)
    const { runRelays } = await import('../runtime/index.ts')
    const running = await runRelays(integration, {
      kernel: { ...io.kernel, log },
      store: readStoreChoice(options.store, resolve(io.cwd, options.data), io.kernel.env),
      onFatal: () => stop(EXIT.software),
    })
    const code = options.once === true ? await moveOnce(running) : await asked
    const items = await running.views()
    const topics = running.topics()
    await running.close()
    const all = [...items, ...topics]
    const moved = all.reduce((sum, one) => sum + one.moved, 0)
    const invalid = all.reduce((sum, one) => sum + one.invalid, 0)
    out.result('outbox-relay', { moved, invalid, items, topics }, () =>
      all
        .map((one) => `${one.name}: ${one.moved} moved, ${one.invalid} invalid${errorOf(one)}`)
        .join('\n'),
    )
    return code
  } finally {
    forget()
  }
}

const errorOf = ({ lastError }: OutboxView | TopicView): string =>
  lastError === undefined ? '' : `; ${lastError}`

/** One that is away has not been moved, and whoever waits for the end must know. */
async function moveOnce(running: {
  idle(): Promise<void>
  views(): Promise<readonly OutboxView[]>
  topics(): readonly TopicView[]
}): Promise<ExitCode> {
  await running.idle()
  const items = [...(await running.views()), ...running.topics()]
  return items.some(({ state }) => state === 'away') ? EXIT.findings : EXIT.ok
}
