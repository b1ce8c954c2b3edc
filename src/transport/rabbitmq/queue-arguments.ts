import { LIMITS } from '../../kernel/index.ts'
import type { AmqpChannel } from './amqp-client.ts'
import { problemOf, REPLY, replyCodeOf } from './amqp-failure.ts'

/** What a queue was declared with: `x-queue-type`, `durable` and the like, as text. */
export interface QueueArguments {
  readonly known: ReadonlyMap<string, string>
  /** Why not all could be found out. */
  readonly problem?: string
}

/**
 * Finds out how a queue was declared. AMQP has no way to ask; but who declares a queue otherwise
 * than it is gets told the difference, one at a time. So it is declared in a way that no queue can
 * have (a negative time to live), and corrected by each answer until the rest is the same.
 *
 * It can neither change nor make anything: what is there is never like that, and what is not there
 * cannot be made like that. The user needs the right to configure the queue. Policies stay unseen.
 */
export const readQueueArguments = async (
  queue: string,
  useChannel: <T>(use: (channel: AmqpChannel) => Promise<T>) => Promise<T>,
): Promise<QueueArguments> => {
  const known = new Map<string, string>()
  const asked: Record<string, unknown> = { ...IMPOSSIBLE }
  let durable = true
  let autoDelete = false
  for (let rounds = 0; rounds < LIMITS.rabbitmqArgumentsMax; rounds++) {
    const error: unknown = await useChannel((channel) =>
      channel.assertQueue(queue, { durable, autoDelete, arguments: asked }).catch(asIs),
    )
    const answer = replyCodeOf(error) === REPLY.preconditionFailed ? readAnswer(error) : undefined
    if (answer === undefined) return { known, problem: problemOf(error) }
    const { name, value } = answer
    if (value !== undefined) known.set(name, value)
    if (name === LAST) return { known: withMatches(known, asked) }
    if (name === 'durable') durable = value === 'true'
    else if (name === 'auto_delete') autoDelete = value === 'true'
    else if (value === undefined) delete asked[name]
    else asked[name] = answer.isText ? value : Number(value)
  }
  return { known, problem: 'it has too many arguments' }
}

/** No limit is a text; a classic queue has none and is not compared by it. */
const UNKNOWN = 'unknown'
/** The server compares it last of all that is asked about a quorum queue. */
const LAST = 'x-message-ttl'
const IMPOSSIBLE: Readonly<Record<string, unknown>> = {
  'x-queue-type': 'quorum',
  'x-delivery-limit': UNKNOWN,
  [LAST]: -1,
}

/** What was asked for and not objected to is so; a queue without a type is a classic one. */
function withMatches(
  known: ReadonlyMap<string, string>,
  asked: Readonly<Record<string, unknown>>,
): ReadonlyMap<string, string> {
  const all = new Map([['x-queue-type', 'classic'], ...known])
  for (const [name, value] of Object.entries(asked)) {
    if (name !== LAST && value !== UNKNOWN) all.set(name, String(value))
  }
  return all
}

const asIs = (error: unknown): unknown => error

interface Answer {
  readonly name: string
  /** Undefined where the queue does not have the argument. */
  readonly value: string | undefined
  readonly isText: boolean
}

function readAnswer(error: unknown): Answer | undefined {
  const said = /inequivalent arg '([^']+)' for queue .*: received .*but current is (.*)$/s.exec(
    problemOf(error),
  )
  if (!said) return undefined
  const [, name = '', current = ''] = said
  if (current === 'none') return { name, value: undefined, isText: false }
  const [, value, type] = /^(?:the value )?'(.*?)'(?: of type '(\w+)')?$/s.exec(current) ?? []
  if (value === undefined) return undefined
  const isText = type === 'longstr' || !/^-?\d+$/.test(value)
  return { name, value, isText }
}
