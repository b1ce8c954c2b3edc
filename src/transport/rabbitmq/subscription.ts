import { type JuncturaError, LIMITS, sleep } from '../../kernel/index.ts'
import type { AmqpChannel, AmqpConnection } from './amqp-client.ts'
import { problemOf } from './amqp-failure.ts'
import { type AmqpLink, closeChannel, inTime, type LinkContext, pauseMs } from './amqp-link.ts'

export interface SubscriptionOptions extends LinkContext {
  readonly link: AmqpLink
  /** What is subscribed, for the log. */
  readonly resource: string
  readonly timeoutMs: number
  /** Declares what it needs and begins to consume, on a fresh channel each time. */
  readonly open: (channel: AmqpChannel) => Promise<void>
  /** What went wrong, for the caller of the first try. */
  readonly failureOf: (error: unknown) => JuncturaError
}

interface OpenChannel {
  /** Resolves with the reason when the channel has ended. */
  readonly ended: Promise<unknown>
  readonly openedAtMs: number
}

/**
 * A consumer on an AMQP channel of its own, made again whenever the channel ends: with the
 * connection, with its queue, or because the server objects to something.
 */
export class Subscription {
  readonly #options: SubscriptionOptions
  readonly #stop = new AbortController()
  #channel: AmqpChannel | undefined
  #loop: Promise<void> = Promise.resolve()

  private constructor(options: SubscriptionOptions) {
    this.#options = options
  }

  /** @throws what the first try fails with; later ones are repeated. */
  static async start(options: SubscriptionOptions): Promise<Subscription> {
    const subscription = new Subscription(options)
    try {
      const opened = await subscription.#open(await options.link.connection())
      subscription.#loop = subscription.#keep(opened)
    } catch (error) {
      throw options.failureOf(error)
    }
    return subscription
  }

  /** Idempotent. The server takes back what was not acknowledged. */
  async close(): Promise<void> {
    this.#stop.abort()
    const channel = this.#channel
    this.#channel = undefined
    if (channel) await closeChannel(channel, this.#options.clock)
    await this.#loop
  }

  async #keep(first: OpenChannel): Promise<void> {
    const { clock, random, log, resource, link } = this.#options
    const { signal } = this.#stop
    let opened: OpenChannel | undefined = first
    for (let tries = 0; !signal.aborted && !link.isClosed;) {
      if (opened) {
        const reason = await untilAborted(opened.ended, signal)
        if (signal.aborted) return
        if (reason !== undefined) log.warn({ resource, problem: problemOf(reason) }, ENDED)
        // One that held for a while is no sign of something that ends it each time.
        if (clock.monotonicMs() - opened.openedAtMs > LIMITS.rabbitmqPauseMsMax) tries = 0
      }
      await sleep(clock, pauseMs(tries++, random), signal)
      opened = await this.#openAgain()
    }
  }

  async #openAgain(): Promise<OpenChannel | undefined> {
    const { link, log, resource } = this.#options
    const model = await link.untilConnected(this.#stop.signal)
    if (!model) return undefined
    try {
      return await this.#open(model)
    } catch (error) {
      log.warn({ resource, problem: problemOf(error) }, NOT_BEGUN)
      return undefined
    }
  }

  async #open(model: AmqpConnection): Promise<OpenChannel> {
    const { clock, timeoutMs, open } = this.#options
    const channel = await inTime(clock, timeoutMs, model.createChannel())
    let reason: unknown
    channel.on('error', (error) => (reason = error))
    const ended = new Promise<unknown>((resolve) => channel.on('close', () => resolve(reason)))
    this.#channel = channel
    try {
      await inTime(clock, timeoutMs, open(channel))
    } catch (error) {
      await closeChannel(channel, clock)
      throw error
    }
    if (this.#stop.signal.aborted) await closeChannel(channel, clock)
    return { ended, openedAtMs: clock.monotonicMs() }
  }
}

const ENDED = 'a RabbitMQ consumer ended; subscribing again'
const NOT_BEGUN = 'RabbitMQ did not let us subscribe; trying again'

const untilAborted = (work: Promise<unknown>, signal: AbortSignal): Promise<unknown> =>
  new Promise((resolve) => {
    const stop = (): void => resolve(undefined)
    signal.addEventListener('abort', stop, { once: true })
    void work.then((value) => {
      signal.removeEventListener('abort', stop)
      resolve(value)
    })
  })
