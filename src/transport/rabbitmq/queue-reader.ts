import { LIMITS, sleep } from '../../kernel/index.ts'
import type { ReadOptions, Reading } from '../broker.ts'
import type { AmqpChannel, AmqpMessage } from './amqp-client.ts'
import { failureOf, problemOf } from './amqp-failure.ts'
import { closeChannel, pauseMs } from './amqp-link.ts'
import { fromWireMessage } from './amqp-message.ts'
import { Subscription, type SubscriptionOptions } from './subscription.ts'

export interface QueueReaderOptions extends Omit<
  SubscriptionOptions,
  'open' | 'failureOf' | 'resource'
> {
  readonly queue: string
  readonly read: ReadOptions
  /** Refuses a queue that cannot be read. */
  readonly admit: () => Promise<void>
}

/** What has come on one AMQP channel and is not acknowledged; gone with the channel. */
interface Delivered {
  readonly channel: AmqpChannel
  messages: AmqpMessage[]
  bytes: number
}

/**
 * Reads a queue in batches, one after the other. What could not be handled is given again from
 * memory, at growing intervals: the server counts no delivery for it, so its delivery limit stays
 * for what it is meant for, and nothing overtakes. Only what the channel takes with it comes again
 * from the server, at its old place.
 */
export const startQueueReader = async (options: QueueReaderOptions): Promise<Reading> => {
  const reader = new QueueReader(options)
  await reader.start()
  return reader
}

class QueueReader implements Reading {
  readonly #options: QueueReaderOptions
  readonly #batchMax: number
  readonly #stop = new AbortController()
  #subscription: Subscription | undefined
  #prefetch: number
  #delivered: Delivered | undefined
  #wake: () => void = () => undefined
  #work: Promise<void> = Promise.resolve()

  constructor(options: QueueReaderOptions) {
    this.#options = options
    this.#batchMax = Math.max(1, options.read.batchMax ?? BATCH_MAX)
    // One batch is handled while the next one is on its way.
    this.#prefetch = Math.min(PREFETCH_MAX, this.#batchMax * 2)
  }

  async start(): Promise<void> {
    const { queue, admit } = this.#options
    await admit()
    this.#subscription = await Subscription.start({
      ...this.#options,
      resource: `the queue ${queue}`,
      open: (channel) => this.#consume(channel),
      failureOf: (error) => failureOf(`the queue ${queue}`, error),
    })
    this.#work = this.#run()
  }

  async close(): Promise<void> {
    this.#stop.abort()
    this.#wake()
    await this.#work
    await this.#subscription?.close()
  }

  async #consume(channel: AmqpChannel): Promise<void> {
    const delivered: Delivered = { channel, messages: [], bytes: 0 }
    this.#delivered = delivered
    channel.on('close', () => {
      if (this.#delivered === delivered) this.#delivered = undefined
    })
    await channel.prefetch(this.#prefetch)
    await channel.consume(this.#options.queue, (message) => this.#arrived(delivered, message))
  }

  #arrived(delivered: Delivered, message: AmqpMessage | null): void {
    if (delivered !== this.#delivered) return
    // The server ends a consumer whose queue is deleted; another channel tries until it is back.
    if (message === null) return this.#renew(delivered)
    delivered.messages.push(message)
    delivered.bytes += message.content.length
    if (delivered.bytes > LIMITS.rabbitmqReadBytesMax && this.#prefetch > 1)
      this.#fetchLess(delivered)
    this.#wake()
  }

  /** Messages are larger than was thought: a prefetch counts messages and cannot be changed. */
  #fetchLess(delivered: Delivered): void {
    const { messages } = delivered
    this.#prefetch = Math.max(1, Math.min(this.#prefetch, messages.length) >> 1)
    const { log, queue } = this.#options
    log.warn({ queue, prefetch: this.#prefetch }, 'its messages are large: fetching fewer at once')
    this.#renew(delivered)
  }

  /** On another channel; what was not acknowledged comes again. */
  #renew({ channel }: Delivered): void {
    this.#delivered = undefined
    void closeChannel(channel, this.#options.clock)
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const delivered = this.#delivered
      if (delivered === undefined || delivered.messages.length === 0) {
        await new Promise<void>((resolve) => (this.#wake = resolve))
        continue
      }
      // What has arrived with it is still being taken apart: fewer, larger batches cost less.
      if (delivered.messages.length < this.#batchMax) await this.#options.clock.yield()
      if (this.#delivered !== delivered || this.#stop.signal.aborted) continue
      await this.#handle(delivered, delivered.messages.splice(0, this.#batchMax))
    }
  }

  async #handle(delivered: Delivered, batch: readonly AmqpMessage[]): Promise<void> {
    const { read, clock, random, log, queue } = this.#options
    const messages = batch.map(fromWireMessage)
    for (let tries = 0; ; tries++) {
      try {
        await read.onBatch(messages)
        break
      } catch (error) {
        if (tries === 0) log.warn({ queue, problem: problemOf(error) }, NOT_HANDLED)
        await sleep(clock, pauseMs(tries, random), this.#stop.signal)
        // The server gives them again, to us on the next channel or to another reader.
        if (this.#stop.signal.aborted || this.#delivered !== delivered) return
      }
    }
    for (const { content } of batch) delivered.bytes -= content.length
    const last = batch.at(-1)
    if (last === undefined || this.#delivered !== delivered) return
    try {
      delivered.channel.ack(last, true)
    } catch (error) {
      // The channel is ending: they come again, as for every reader whose acknowledgement is lost.
      log.debug({ queue, problem: problemOf(error) }, 'a batch could not be acknowledged')
    }
  }
}

const BATCH_MAX = 500
/** AMQP 0-9-1, method `basic.qos`: a number of 16 bits. */
const PREFETCH_MAX = 65_535
const NOT_HANDLED = 'a batch could not be handled; it is given again'
