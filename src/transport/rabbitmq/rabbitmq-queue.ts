import { JuncturaError } from '../../kernel/index.ts'
import type { BrokerProblem } from '../broker.ts'
import type {
  ForeignTopic,
  ForeignTopicOptions,
  TopicDescription,
  TopicReading,
  TopicReadOptions,
  TopicState,
} from '../foreign-topic.ts'
import { admitQueue } from './admit-queue.ts'
import { loadAmqp } from './amqp-client.ts'
import { failureOf, refused, REPLY, replyCodeOf, unavailable } from './amqp-failure.ts'
import { AmqpLink, type LinkContext } from './amqp-link.ts'
import { readTarget } from './connect-target.ts'
import { readQueueArguments } from './queue-arguments.ts'
import { startQueueReader } from './queue-reader.ts'
import type { UseChannel } from './topology.ts'
import { channelUser } from './use-channel.ts'

export interface RabbitmqQueueOptions extends ForeignTopicOptions {
  readonly queue: string
}

/**
 * Opens a queue that others write, on one connection. Of several that read a queue none has the
 * order of its keys: while another does, `inspect` says so and nothing is begun.
 *
 * @throws JUNCTURA_PEER_MISSING, JUNCTURA_DECLARATION.
 */
export const openRabbitmqQueue = async (options: RabbitmqQueueOptions): Promise<ForeignTopic> => {
  const target = readTarget(options.url)
  const amqp = await loadAmqp()
  const { clock, random, log, clientName, onState } = options
  const context = { clock, random, log }
  const link: AmqpLink = new AmqpLink({
    ...context,
    connect: () => target.connect(amqp, clientName),
    mask: target.mask,
    onChange: () => onState?.({ connected: link.isConnected }),
  })
  return new RabbitmqQueue(options, link, context)
}

class RabbitmqQueue implements ForeignTopic {
  readonly reading = 'ack'
  readonly #queue: string
  readonly #link: AmqpLink
  readonly #context: LinkContext
  readonly #timeoutMs: number
  readonly #useChannel: UseChannel
  readonly #readings = new Set<TopicReading>()
  #closing: Promise<void> | undefined

  constructor(options: RabbitmqQueueOptions, link: AmqpLink, context: LinkContext) {
    const { queue, requestTimeoutMs = 10_000 } = options
    this.#queue = queue
    this.#link = link
    this.#context = context
    this.#timeoutMs = requestTimeoutMs
    this.#useChannel = channelUser(link, { ...context, timeoutMs: requestTimeoutMs })
  }

  /** The server tells neither what passed the queue nor when it was made: only what waits. */
  async inspect(): Promise<TopicState> {
    this.#assertOpen()
    const queue = this.#queue
    const found = await this.#useChannel((channel) => channel.checkQueue(queue)).catch(
      (error: unknown) => {
        if (replyCodeOf(error) !== REPLY.notFound) throw failureOf(`the queue ${queue}`, error)
        const fix = 'create the queue and bind it to an exchange, or correct its name'
        throw refused({ resource: `the queue ${queue}`, problem: 'it is not there', fix })
      },
    )
    if (found.consumerCount > this.#readings.size) {
      // A quorum queue takes exclusive consumers and shares among them all the same.
      throw unavailable(`another consumer reads the queue ${queue}: end it, or bind a queue for us`)
    }
    return { incarnation: '', partitions: {}, waiting: found.messageCount }
  }

  async describe(): Promise<TopicDescription> {
    this.#assertOpen()
    const { known, problem } = await readQueueArguments(this.#queue, this.#useChannel)
    return describeQueue(this.#queue, known, problem)
  }

  async read({ batchMax, onBatch }: TopicReadOptions): Promise<TopicReading> {
    this.#assertOpen()
    const queue = this.#queue
    const reading = await startQueueReader({
      ...this.#context,
      link: this.#link,
      timeoutMs: this.#timeoutMs,
      queue,
      read: { from: {}, onBatch, ...(batchMax !== undefined && { batchMax }) },
      admit: () => admitQueue(queue, this.#context.log, this.#useChannel),
    })
    const topicReading: TopicReading = {
      places: () => ({}),
      close: async () => {
        await reading.close()
        this.#readings.delete(topicReading)
      },
    }
    this.#readings.add(topicReading)
    return topicReading
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    for (const reading of this.#readings) await reading.close()
    await this.#link.close()
  }

  #assertOpen(): void {
    if (!this.#closing) return
    throw new JuncturaError('JUNCTURA_CLOSED', { details: { what: `The queue ${this.#queue}` } })
  }
}

/** What a queue was declared with means for what waits in it. Policies are not told over AMQP. */
export const describeQueue = (
  queue: string,
  known: ReadonlyMap<string, string>,
  unknown: string | undefined,
): TopicDescription => {
  const resource = `the queue ${queue}`
  if (unknown !== undefined) {
    const problem = `how it was declared cannot be found out: ${unknown}`
    const fix =
      'grant the right to configure it, or look: rabbitmqctl list_queues name type durable'
    const problems = [{ severity: 'warning', resource, problem, fix } as const]
    return { survives: 'accepted', settings: 'its settings are not known', problems }
  }
  const type = known.get('x-queue-type') ?? 'classic'
  const isDurable = (known.get('durable') ?? 'true') === 'true'
  const problems: BrokerProblem[] = []
  const warn = (problem: string, fix: string): void => {
    problems.push({ severity: 'warning', resource, problem, fix })
  }
  if (!isDurable) {
    warn('it is not durable: what waits in it ends with the server', 'declare a quorum queue')
  } else if (type === 'classic') {
    const fix = "declare a quorum queue: x-queue-type 'quorum'"
    warn('it is a classic queue: what waits in it is lost with its one machine', fix)
  }
  const bounds = ['x-message-ttl', 'x-max-length', 'x-max-length-bytes', 'x-expires']
    .filter((name) => known.has(name))
    .map((name) => `${name} ${known.get(name)}`)
  if (bounds.length > 0) {
    const fix = 'take the bounds out, or be sure that nobody is away for so long'
    warn(`the server drops messages by itself: ${bounds.join(', ')}`, fix)
  }
  const survives = !isDurable ? 'accepted' : type === 'quorum' ? 'fsync' : 'process'
  const settings = [`${type} queue`, isDurable ? 'durable' : 'not durable', ...bounds].join(', ')
  return { survives, settings, problems }
}
