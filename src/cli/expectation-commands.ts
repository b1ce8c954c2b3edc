import type { Command } from 'commander'
import { formatDuration } from '../kernel/index.ts'
import type { ExpectationKeyView, ExpectationView, Page } from '../runtime/index.ts'
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

interface KeysOptions extends ClientOptions {
  readonly state?: string
  readonly key?: string
  readonly limit?: number
  readonly after?: string
}

type SettleOptions = ClientOptions & ReasonOptions & { readonly key?: string }

/** Adds `expectations list|keys|settle`; `expectations` alone lists. */
export const addExpectationCommands = (program: Command, { io, finish }: CommandContext): void => {
  const expectations = program
    .command('expectations')
    .description('What has to follow what: what waits, what did not come, who should act.')

  withClient(expectations.command('list', { isDefault: true }))
    .description(
      'Each expectation with what became of its keys; exits with 1 when some are missed.',
    )
    .action(async (options: ClientOptions) => {
      finish(await listExpectations(openSession(io, options)))
    })

  withPage(withClient(expectations.command('keys <name>')))
    .description('Keys of one expectation, the earliest deadline first.')
    .option('--state <state>', 'missed, open, early or undone (default: missed)')
    .option('--key <key>', 'this key alone, whatever its state')
    .action(async (name: string, options: KeysOptions) => {
      finish(await listKeys(openSession(io, options), name, options))
    })

  withReason(withClient(expectations.command('settle <name>')))
    .description('Takes missed keys as dealt with, so that its alarm is resolved.')
    .option('--key <key>', 'only this key (default: all that are missed)')
    .action(async (name: string, options: SettleOptions) => {
      const { key } = options
      const command = {
        kind: 'expectation.settle',
        name,
        ...(key !== undefined && { key }),
      } as const
      const ask = { name: 'expectations settle', command, options }
      finish(await runOperation(openSession(io, options), ask))
    })
}

const listExpectations = async ({ client, out, io }: Session): Promise<ExitCode> => {
  const { items } = await client.get<{ readonly items: readonly ExpectationView[] }>(
    '/api/v1/expectations',
  )
  const columns: readonly Column<ExpectationView>[] = [
    { title: 'EXPECTATION', cell: (one) => one.name },
    {
      title: 'MISSED',
      align: 'right',
      colour: (one) => (one.missed > 0 ? 'red' : undefined),
      cell: (one) => one.missed,
    },
    {
      title: 'SINCE',
      align: 'right',
      cell: (one) => formatAge(io.kernel.clock, one.oldestMissedAtMs),
    },
    { title: 'OPEN', align: 'right', cell: (one) => one.open },
    { title: 'MET', align: 'right', cell: (one) => one.totals.met },
    { title: 'LATE', align: 'right', cell: (one) => one.totals.late },
    { title: 'UNDONE', align: 'right', cell: (one) => one.totals.undone },
    {
      title: 'STATE',
      colour: (one) => (one.state === 'stopped' ? 'red' : undefined),
      cell: (one) => (one.heldUntilMs === undefined ? one.state : `${one.state} (grace)`),
    },
    { title: 'LAG', align: 'right', cell: (one) => one.lag },
    { title: 'OWNER', cell: (one) => one.owner },
    { title: 'WHAT', shrinks: true, cell: sentenceOf },
  ]
  out.result('expectations', { items }, () =>
    items.length === 0 ? 'No expectations.' : out.table(columns, items),
  )
  return items.every(isWell) ? EXIT.ok : EXIT.findings
}

const isWell = ({ missed, state }: ExpectationView): boolean => missed === 0 && state !== 'stopped'

/** `payments.captured within 15m of orders.placed by payments` */
const sentenceOf = ({ after, expect, withinMs, shouldAct }: ExpectationView): string => {
  const by = shouldAct.length === 0 ? '' : ` by ${shouldAct.join(', ')}`
  return `${expect.join(' or ')} within ${formatDuration(withinMs)} of ${after.join(' or ')}${by}`
}

const listKeys = async (
  { client, out, io }: Session,
  name: string,
  { state, key, limit, after }: KeysOptions,
): Promise<ExitCode> => {
  const page = await client.get<Page<ExpectationKeyView>>(
    `/api/v1/expectations/${encodeURIComponent(name)}`,
    { state, key, limit, after },
  )
  const { clock } = io.kernel
  const columns: readonly Column<ExpectationKeyView>[] = [
    { title: 'KEY', cell: (one) => one.key },
    {
      title: 'STATE',
      colour: (one) => (one.state === 'missed' ? 'red' : undefined),
      cell: (one) => one.state,
    },
    { title: 'DUE', cell: (one) => new Date(one.dueAtMs).toISOString() },
    { title: 'LAST SEEN', cell: (one) => one.lastSeen.type },
    { title: 'AGE', align: 'right', cell: (one) => formatAge(clock, one.lastSeen.atMs) },
    { title: 'MESSAGE', cell: (one) => one.lastSeen.messageId },
    { title: 'SHOULD ACT', cell: (one) => one.shouldAct.join(', ') || '-' },
    { title: 'WHY', shrinks: true, cell: whyOf },
  ]
  out.result('expectation-keys', { expectation: name, ...page }, () => {
    if (page.items.length === 0)
      return `No ${state ?? (key === undefined ? 'missed' : 'such')} keys.`
    const more = page.next === undefined ? '' : `\nMore: --after ${page.next}`
    const next = '\nNext: junctura trace MESSAGE; junctura expectations settle NAME --key KEY'
    return `${out.table(columns, page.items)}${more}${next}`
  })
  return EXIT.ok
}

const whyOf = ({ deadLetters = [] }: ExpectationKeyView): string =>
  deadLetters.map(({ consumer, id, cause }) => `${consumer} gave up (${id}): ${cause}`).join('; ')
