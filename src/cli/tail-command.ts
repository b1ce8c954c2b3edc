import type { Command } from 'commander'
import type { RuntimeEvent } from '../runtime/index.ts'
import {
  type ClientOptions,
  collect,
  type CommandContext,
  openSession,
  parseCount,
  type Session,
  withClient,
} from './command-context.ts'
import { renderEvent } from './event-line.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { followEvents } from './follow-events.ts'

interface TailOptions extends ClientOptions {
  readonly kind?: readonly string[]
  readonly consumer?: readonly string[]
  readonly webhook?: readonly string[]
  readonly key?: string
  readonly after?: number
  readonly last?: number
  readonly limit?: number
}

/** Adds `tail`: what happens, as it happens. */
export const addTailCommand = (program: Command, { io, finish }: CommandContext): void => {
  withClient(program.command('tail'))
    .description('What happens, as it happens; with --json one object a line.')
    .option('--kind <kind>', 'only these: accepted, duplicate, attempt, dead-letter …', collect)
    .option('--consumer <name>', 'only of this consumer; may be given again', collect)
    .option('--webhook <name>', 'only of this webhook; may be given again', collect)
    .option('--key <key>', 'only of this key')
    .option('--after <id>', 'go on after this event', parseCount(0, Number.MAX_SAFE_INTEGER))
    .option('--last <n>', 'begin with so many past events', parseCount(1, 10_000))
    .option('--limit <n>', 'stop after so many', parseCount(1, 1_000_000_000))
    .action(async (options: TailOptions) => {
      finish(await tail(openSession(io, options), options))
    })
}

const tail = async (session: Session, options: TailOptions): Promise<ExitCode> => {
  const { io, out, client } = session
  const abort = new AbortController()
  const stopListening = io.onSignal(() => abort.abort())
  let left = options.limit ?? Number.POSITIVE_INFINITY
  try {
    await followEvents(io, client, {
      signal: abort.signal,
      ...(options.after !== undefined && { afterId: options.after }),
      ...(options.last !== undefined && { newest: options.last }),
      onMissed: (count) => out.note(`… ${count} events are gone and were not seen`),
      onBreak: () => out.note('… the stream broke off; trying again'),
      onEvent: (event) => {
        if (left <= 0 || !isWanted(event, options)) return
        out.result('event', { event }, () => renderEvent(event, out.paint))
        left -= 1
        if (left <= 0 || io.stdout.isBroken) abort.abort()
      },
    })
  } finally {
    stopListening()
  }
  return left <= 0 || io.stdout.isBroken ? EXIT.ok : EXIT.interrupted
}

function isWanted(event: RuntimeEvent, options: TailOptions): boolean {
  if (options.kind && !options.kind.includes(event.kind)) return false
  if (options.consumer && !options.consumer.includes('consumer' in event ? event.consumer : '')) {
    return false
  }
  if (options.webhook && !options.webhook.includes('webhook' in event ? event.webhook : '')) {
    return false
  }
  return options.key === undefined || ('key' in event && event.key === options.key)
}
