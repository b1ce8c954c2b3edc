import { isJuncturaError } from '../../kernel/index.ts'
import type { BrokerChannel, BrokerProblem } from '../broker.ts'
import { refuseQueue } from './admit-queue.ts'
import { problemOf, REPLY, replyCodeOf } from './amqp-failure.ts'
import { declareLiveQueue } from './queue-follower.ts'
import { readQueueArguments } from './queue-arguments.ts'
import { isThere, type Topology, type UseChannel, versionOf } from './topology.ts'

export interface CheckOptions {
  readonly channels: readonly BrokerChannel[]
  readonly url: string
  readonly topology: Topology
  readonly blockedBy: string | undefined
  readonly useChannel: UseChannel
}

/**
 * What can be found out over AMQP without publishing: the version, the rights by doing what needs
 * them and undoing it, and how queues were declared. Policies, the number of replicas and limits of
 * the server are not told over AMQP; the page on RabbitMQ names the commands that show them.
 */
export const checkBroker = async (options: CheckOptions): Promise<readonly BrokerProblem[]> => {
  const { channels, useChannel, blockedBy } = options
  const version = await useChannel(async (channel) => versionOf(channel))
  const problems = [...checkVersion(version), ...checkUrl(options.url)]
  if (blockedBy !== undefined) {
    problems.push({
      severity: 'error',
      resource: 'the server',
      problem: blockedBy,
      fix: 'free memory or disk: `rabbitmq-diagnostics alarms` says which is short',
    })
  }
  for (const channel of channels) problems.push(...(await checkChannel(channel, options)))
  return problems
}

function checkVersion(version: string): readonly BrokerProblem[] {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const resource = `RabbitMQ ${version}`
  if (major < 3 || (major === 3 && minor < 10)) {
    const problem = 'its quorum queues know no time to live; 3.10 is the oldest that was tested'
    return [{ severity: 'error', resource, problem, fix: 'use RabbitMQ 3.10 or later' }]
  }
  if (major === 3) return []
  const problem = 'it was not tested with this release'
  return [{ severity: 'warning', resource, problem, fix: 'try it before you rely on it' }]
}

function checkUrl(url: string): readonly BrokerProblem[] {
  const { protocol, hostname } = new URL(url)
  if (protocol === 'amqps:' || LOOPBACK.test(hostname)) return []
  return [
    {
      severity: 'warning',
      resource: 'the connection',
      problem: 'password and messages cross the network in plain text',
      fix: 'use an amqps:// URL, or a network that nobody else reads',
    },
  ]
}

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/

async function checkChannel(
  { channel, retentionMs }: BrokerChannel,
  { topology, useChannel }: CheckOptions,
): Promise<readonly BrokerProblem[]> {
  const exchange = topology.exchangeOf(channel)
  const resource = `the exchange ${exchange}`
  const missing = await problemWith(() => useChannel((one) => one.checkExchange(exchange)))
  if (missing) {
    const fix =
      missing.code === REPLY.notFound ? 'start the runtime, which makes it' : 'grant the rights'
    return [{ severity: 'error', resource, problem: missing.problem, fix }]
  }
  const problems: BrokerProblem[] = []
  for (const { what, act } of RIGHTS) {
    const failed = await problemWith(() => useChannel((one) => act(one, exchange)))
    if (!failed) continue
    problems.push({
      severity: 'error',
      resource,
      problem: `${what}: ${failed.problem}`,
      fix: GRANT,
    })
  }
  for (const queue of topology.queuesOf(channel)) {
    problems.push(...(await checkQueue({ queue, retentionMs }, useChannel)))
  }
  return problems
}

const GRANT =
  'grant it: rabbitmqctl set_permissions -p VHOST USER CONFIGURE WRITE READ, as the page on RabbitMQ lists'

/** Each does nothing in the end: it ends a binding that nobody has, or what it began. */
const RIGHTS: readonly {
  readonly what: string
  readonly act: (
    channel: Parameters<typeof declareLiveQueue>[0],
    exchange: string,
  ) => Promise<unknown>
}[] = [
  {
    what: 'this user may not publish to it',
    act: (channel, exchange) => channel.unbindExchange(exchange, exchange, 'junctura-check'),
  },
  {
    what: 'this user may not follow it',
    act: async (channel, exchange) => {
      await channel.deleteQueue(await declareLiveQueue(channel, exchange))
    },
  },
]

interface Failed {
  readonly problem: string
  readonly code: number | undefined
}

/** @throws what has nothing to do with what was asked, as a broken connection. */
async function problemWith(act: () => Promise<unknown>): Promise<Failed | undefined> {
  try {
    await act()
    return undefined
  } catch (error) {
    const code = replyCodeOf(error)
    if (isJuncturaError(error) || code === undefined) throw error
    return { problem: problemOf(error), code }
  }
}

async function checkQueue(
  { queue, retentionMs }: { readonly queue: string; readonly retentionMs: number },
  useChannel: UseChannel,
): Promise<readonly BrokerProblem[]> {
  const resource = `the queue ${queue}`
  if (!(await isThere(queue, useChannel))) {
    const fix = 'start the runtime, which makes it'
    return [{ severity: 'error', resource, problem: 'it is not there', fix }]
  }
  const { known, problem } = await readQueueArguments(queue, useChannel)
  if (problem !== undefined) {
    const fix = 'look at it with rabbitmqctl list_queues name durable type arguments policy'
    return [{ severity: 'warning', resource, problem: `AMQP does not say all: ${problem}`, fix }]
  }
  const problems = [...findingsOf(known, retentionMs)].map((one) => ({ resource, ...one }))
  const refusal = refusalOf(queue, known)
  return refusal ? [...problems, refusal] : problems
}

function refusalOf(queue: string, known: ReadonlyMap<string, string>): BrokerProblem | undefined {
  try {
    refuseQueue(queue, known)
    return undefined
  } catch (error) {
    if (!isJuncturaError(error, 'JUNCTURA_TRANSPORT_REFUSED')) throw error
    const { resource, problem, fix } = error.details
    return {
      severity: 'warning',
      resource: String(resource),
      problem: String(problem),
      fix: String(fix),
    }
  }
}

interface Finding {
  readonly severity: BrokerProblem['severity']
  readonly problem: string
  readonly fix: string
}

const AGAIN = 'delete the queue when it is empty; then it is made again as it should be'

/** What a queue was declared with that does not keep every message until it is read or too old. */
function* findingsOf(
  known: ReadonlyMap<string, string>,
  retentionMs: number,
): Generator<Finding, void> {
  if (known.get('durable') === 'false') {
    yield { severity: 'error', problem: 'it does not survive a restart of the server', fix: AGAIN }
  }
  if (known.get('x-queue-type') === 'classic') {
    const problem = 'it is a classic queue, which is on one machine only'
    yield { severity: 'warning', problem, fix: AGAIN }
  }
  if (known.has('x-expires')) {
    const problem = `it is deleted with all it holds when nobody reads for ${known.get('x-expires')} ms`
    yield { severity: 'error', problem, fix: AGAIN }
  }
  if (known.has('x-max-length') || known.has('x-max-length-bytes')) {
    const refuses = known.get('x-overflow')?.startsWith('reject-publish') === true
    const problem = refuses
      ? 'when it is full, nothing of the whole channel can be published'
      : 'when it is full, it drops what was not read'
    yield { severity: 'error', problem, fix: AGAIN }
  }
  const ttlMs = Number(known.get('x-message-ttl') ?? Infinity)
  if (ttlMs < retentionMs) {
    const problem = `it drops what nobody read for ${ttlMs} ms; the contract keeps it ${retentionMs} ms`
    yield { severity: 'error', problem, fix: AGAIN }
  }
  if (ttlMs === Infinity) {
    const problem = 'it keeps everything until it is read, and fills the disk when nobody does'
    const fix = 'watch its length, or set message-ttl by a policy'
    yield { severity: 'warning', problem, fix }
  }
}
