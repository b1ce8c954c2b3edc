import { isJuncturaError, type JuncturaError, LIMITS, type Timer } from '../../kernel/index.ts'
import type { BrokerMessage } from '../broker.ts'
import type { AmqpConfirmChannel } from './amqp-client.ts'
import { failureOf, problemOf, refused, REPLY, replyCodeOf, unavailable } from './amqp-failure.ts'
import { type AmqpLink, closeChannel, type LinkContext, within } from './amqp-link.ts'
import { toWireMessage } from './amqp-message.ts'

export interface ChannelPublisherOptions extends LinkContext {
  readonly link: AmqpLink
  readonly exchange: string
  readonly timeoutMs: number
}

/** What one call of `publish` waits for. */
interface Batch {
  readonly messages: readonly BrokerMessage[]
  /** Messages that were sent, from the first. */
  sent: number
  confirmed: number
  isOver: boolean
  readonly timer: Timer
  readonly resolve: () => void
  readonly reject: (error: JuncturaError) => void
}

/**
 * Publishes to one exchange, in the order of the calls, on an AMQP channel of its own: the server
 * closes a channel for one bad message, and that must not meet the messages of other exchanges.
 *
 * Messages go out without waiting for each other, up to a window of unconfirmed ones. While the
 * server takes nothing (blocked), nothing is sent, because what lies in the socket cannot be taken
 * back. When the channel ends, every batch that was begun fails as something that passes, and what
 * was not begun goes out on the next channel.
 */
export class ChannelPublisher {
  readonly #options: ChannelPublisherOptions
  readonly #batches = new Set<Batch>()
  /** In order; the first may be sent in part, and those that are over are passed by. */
  readonly #unsent: Batch[] = []
  readonly #running = new Set<Promise<void>>()
  #waiting = 0
  #channel: AmqpConfirmChannel | undefined
  #opening: Promise<void> | undefined
  #unconfirmed = 0
  #unconfirmedBytes = 0

  constructor(options: ChannelPublisherOptions) {
    this.#options = options
  }

  /**
   * @throws JUNCTURA_TRANSPORT_UNAVAILABLE when it is not confirmed in time.
   * @throws JUNCTURA_TRANSPORT_REFUSED when the server forbids it.
   */
  publish(messages: readonly BrokerMessage[]): Promise<void> {
    const running = this.#publish(messages)
    this.#running.add(running)
    const over = (): void => void this.#running.delete(running)
    running.then(over, over)
    return running
  }

  /** The link has changed: what waits for it goes on. */
  wake(): void {
    if (this.#unsent.length > 0) this.#pump()
  }

  /** Waits for what is being published; each batch has a time by which it is over. */
  async close(): Promise<void> {
    const { clock } = this.#options
    while (this.#running.size > 0) await Promise.allSettled(this.#running)
    if (this.#opening) await within(clock, LIMITS.rabbitmqCloseMs, this.#opening)
    const channel = this.#channel
    this.#channel = undefined
    if (channel) await closeChannel(channel, clock)
  }

  #publish(messages: readonly BrokerMessage[]): Promise<void> {
    const { clock, timeoutMs } = this.#options
    if (messages.length === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      if (this.#waiting + messages.length > LIMITS.rabbitmqWaitingMax) {
        return reject(unavailable(`${this.#waiting} messages of the channel wait already`))
      }
      const batch: Batch = {
        messages,
        sent: 0,
        confirmed: 0,
        isOver: false,
        timer: clock.setTimer(timeoutMs, () => this.#fail(batch, this.#lateness())),
        resolve,
        reject,
      }
      this.#waiting += messages.length
      this.#batches.add(batch)
      this.#unsent.push(batch)
      this.#pump()
    })
  }

  #pump(): void {
    for (;;) {
      const batch = this.#unsent[0]
      if (!batch || this.#options.link.blockedBy !== undefined) return
      const message = batch.isOver ? undefined : batch.messages[batch.sent]
      if (message === undefined) {
        this.#unsent.shift()
        continue
      }
      if (!this.#channel) return this.#open()
      if (this.#unconfirmed >= LIMITS.rabbitmqUnconfirmedMax) return
      if (this.#unconfirmedBytes >= LIMITS.rabbitmqUnconfirmedBytesMax) return
      this.#send(batch, message, this.#channel)
    }
  }

  #send(batch: Batch, message: BrokerMessage, channel: AmqpConfirmChannel): void {
    const { routingKey, content, options } = toWireMessage(message)
    const bytes = content.length
    try {
      channel.publish(this.#options.exchange, routingKey, content, options, (error) => {
        this.#unconfirmed -= 1
        this.#unconfirmedBytes -= bytes
        if (error === null) this.#confirmed(batch)
        // Any other error is the end of the channel, which tells its reason in a moment.
        else if (problemOf(error) === 'message nacked') this.#fail(batch, notTaken(error))
      })
      this.#unconfirmed += 1
      this.#unconfirmedBytes += bytes
      batch.sent += 1
    } catch (error) {
      if (error instanceof RangeError || error instanceof TypeError) {
        return this.#fail(batch, unwritable(message, error))
      }
      // The channel is ending and takes nothing more.
      if (this.#channel === channel) this.#channel = undefined
      this.#fail(batch, unavailable(problemOf(error), error))
    }
  }

  #confirmed(batch: Batch): void {
    batch.confirmed += 1
    if (batch.confirmed === batch.messages.length && this.#end(batch)) batch.resolve()
    this.wake()
  }

  #fail(batch: Batch, error: JuncturaError): void {
    if (this.#end(batch)) batch.reject(error)
  }

  /** False when it was over before. */
  #end(batch: Batch): boolean {
    if (batch.isOver) return false
    batch.isOver = true
    batch.timer.cancel()
    this.#waiting -= batch.messages.length
    this.#batches.delete(batch)
    return true
  }

  #open(): void {
    this.#opening ??= this.#openChannel()
      .catch((error: unknown) => {
        const problem = problemOf(error)
        // Also where the login was refused: a person corrects it, and then it is published.
        const failure = isPassing(error) ? error : unavailable(problem, error)
        for (const batch of this.#batches) this.#fail(batch, failure)
      })
      .finally(() => {
        this.#opening = undefined
        this.wake()
      })
  }

  async #openChannel(): Promise<void> {
    const model = await this.#options.link.connection()
    const channel = await model.createConfirmChannel()
    let reason: unknown
    channel.on('error', (error) => (reason = error))
    channel.on('close', () => this.#closed(channel, reason))
    this.#channel = channel
  }

  #closed(channel: AmqpConfirmChannel, reason: unknown): void {
    if (this.#channel === channel) this.#channel = undefined
    const failure = this.#closeFailure(reason)
    for (const batch of this.#batches) if (batch.sent > 0) this.#fail(batch, failure)
    this.wake()
  }

  #closeFailure(reason: unknown): JuncturaError {
    const { exchange } = this.#options
    if (reason === undefined) return unavailable('the connection broke before it was confirmed')
    // It is made again by `ensure`, and then takes what comes.
    if (replyCodeOf(reason) === REPLY.notFound) return unavailable(problemOf(reason), reason)
    return failureOf(`the exchange ${exchange}`, reason)
  }

  #lateness(): JuncturaError {
    const { link, timeoutMs } = this.#options
    return unavailable(link.blockedBy ?? `not confirmed within ${timeoutMs} ms`)
  }
}

const isPassing = (error: unknown): error is JuncturaError =>
  isJuncturaError(error, 'JUNCTURA_TRANSPORT_UNAVAILABLE')

const unwritable = ({ id }: BrokerMessage, error: Error): JuncturaError =>
  refused(
    {
      resource: `message ${id}`,
      problem: `the client cannot write it: ${error.message}`,
      fix: 'make its attributes shorter',
    },
    error,
  )

const notTaken = (error: unknown): JuncturaError =>
  unavailable(
    problemOf(error) === 'message nacked'
      ? 'a queue bound to it is full (x-overflow: reject-publish) or has too few replicas'
      : problemOf(error),
    error,
  )
