import type { Command } from 'commander'
import { formatDuration, JuncturaError } from '../kernel/index.ts'
import type { MessageConsumerView, MessagePage, MessageView } from '../runtime/index.ts'
import { escapeControl } from '../security/index.ts'
import {
  type ClientOptions,
  type CommandContext,
  openSession,
  type Session,
  withClient,
} from './command-context.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { formatTime } from './human-time.ts'
import type { Colour, Paint } from './paint.ts'
import { renderPayload } from './payload-text.ts'
import { renderFacts } from './table.ts'

/** Adds `trace ID`: where one message came from and what became of it. */
export const addTraceCommand = (program: Command, { io, finish }: CommandContext): void => {
  withClient(program.command('trace <id>'))
    .description('One message: border steps, consumers, attempts. Also by correlation id.')
    .action(async (id: string, options: ClientOptions) => {
      finish(await trace(openSession(io, options), id))
    })
}

const trace = async (session: Session, id: string): Promise<ExitCode> => {
  const { client, out } = session
  const message = await findMessage(session, id)
  if (!message) {
    throw new JuncturaError('JUNCTURA_NOT_FOUND', {
      details: { what: 'message', id, fix: `Look for it: junctura tail, or ${client.url}` },
    })
  }
  out.result('trace', { item: message }, () => renderMessage(message, out.paint))
  return EXIT.ok
}

/** By its own id, else the first one of the correlation that the id names. */
async function findMessage(session: Session, id: string): Promise<MessageView | undefined> {
  const { client } = session
  const path = (one: string): string => `/api/v1/messages/${encodeURIComponent(one)}`
  const direct = await client.find<MessageView>(path(id))
  if (direct) return direct
  const page = await client.get<MessagePage>('/api/v1/messages', { correlation: id, limit: 500 })
  const first = page.items.at(-1)
  return first && client.find<MessageView>(path(first.id))
}

function renderMessage(message: MessageView, paint: Paint): string {
  const head = renderFacts(
    [
      ['message', message.id],
      ['contract', `${message.type} version ${message.version}`],
      ['key', message.key],
      ['from', message.source],
      ['received', formatTime(message.receivedAtMs)],
      ['position', message.position],
      ['correlation', message.correlationId],
      ['status', message.status],
      ['repeats', message.repeats?.repeats],
    ],
    paint,
  )
  const border = message.border.map(
    ({ step, outcome }) => `  ${step.padEnd(12)} ${escapeControl(outcome)}`,
  )
  const consumers = message.consumers.flatMap((one) => renderConsumer(one, paint))
  const related = message.related.map(
    (one) => `  ${one.id} ${escapeControl(`${one.type} key=${one.key} ${one.status}`)}`,
  )
  return [
    head,
    ...section('border', border, paint),
    ...section('consumers', consumers, paint),
    ...section('same correlation', related, paint),
    ...section('payload (masked)', [renderPayload(message.payload)], paint),
  ].join('\n')
}

const section = (title: string, lines: readonly string[], paint: Paint): readonly string[] =>
  lines.length === 0 ? [] : ['', paint('bold', title), ...lines]

const STATUS_COLOURS: Readonly<Record<string, Colour>> = {
  done: 'green',
  pending: 'gray',
  retrying: 'yellow',
  parked: 'yellow',
  dead: 'red',
  dropped: 'red',
}

function renderConsumer(one: MessageConsumerView, paint: Paint): readonly string[] {
  const status = paint(STATUS_COLOURS[one.status] ?? 'gray', one.status)
  const dead = one.deadLetter === undefined ? '' : ` ${one.deadLetter}`
  const next =
    one.nextAttemptAtMs === undefined ? '' : ` next try ${formatTime(one.nextAttemptAtMs)}`
  const attempts = one.attempts.map((each) => {
    const error = each.error === undefined ? '' : ` ${escapeControl(each.error)}`
    const took = formatDuration(each.durationMs)
    return `    ${each.attempt}. ${formatTime(each.atMs)} ${each.outcome} in ${took}${error}`
  })
  return [`  ${escapeControl(one.consumer).padEnd(20)} ${status}${dead}${next}`, ...attempts]
}
