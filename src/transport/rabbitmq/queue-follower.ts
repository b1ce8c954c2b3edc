import { LIMITS } from '../../kernel/index.ts'
import type { FollowListener, Reading, ReceivedMessage } from '../broker.ts'
import type { AmqpChannel, AmqpMessage } from './amqp-client.ts'
import { failureOf, problemOf, REPLY, replyCodeOf, unavailable } from './amqp-failure.ts'
import { closeChannel } from './amqp-link.ts'
import { fromWireMessage } from './amqp-message.ts'
import { Subscription, type SubscriptionOptions } from './subscription.ts'

export interface FollowerOptions extends Omit<
  SubscriptionOptions,
  'open' | 'failureOf' | 'resource'
> {
  readonly exchange: string
  readonly listener: FollowListener
}

/**
 * Gives what is published from now on. The queue belongs to this connection, is in memory and goes
 * with it. It holds so much and drops the oldest: a process that does not keep up costs the broker
 * no more than that, and finds by the positions what it missed.
 */
export const startFollower = async (options: FollowerOptions): Promise<Reading> => {
  const { exchange, listener } = options
  let pending: ReceivedMessage[] = []
  let isClosed = false

  /** After the client has taken apart everything that had arrived: so they come in batches. */
  const give = (): void => {
    const messages = pending
    pending = []
    if (!isClosed && messages.length > 0) listener(messages)
  }
  const arrived = (channel: AmqpChannel, message: AmqpMessage | null): void => {
    // The server ends a consumer whose queue is deleted; another channel begins with another one.
    if (message === null) return void closeChannel(channel, options.clock)
    if (pending.length === 0) queueMicrotask(give)
    pending.push(fromWireMessage(message))
  }
  const subscription = await Subscription.start({
    ...options,
    resource: `the live queue of ${exchange}`,
    open: async (channel) => {
      const queue = await declareLiveQueue(channel, exchange)
      await channel.consume(queue, (message) => arrived(channel, message), { noAck: true })
    },
    failureOf: (error) =>
      // `ensure` makes it, also after the broker has lost everything.
      replyCodeOf(error) === REPLY.notFound
        ? unavailable(problemOf(error), error)
        : failureOf(`the live queue of ${exchange}`, error),
  })
  return {
    async close() {
      isClosed = true
      await subscription.close()
    },
  }
}

/** @returns its name, which the server chooses. */
export const declareLiveQueue = async (channel: AmqpChannel, exchange: string): Promise<string> => {
  const { queue } = await channel.assertQueue('', {
    exclusive: true,
    autoDelete: true,
    durable: false,
    maxLength: LIMITS.rabbitmqFollowMessagesMax,
    overflow: 'drop-head',
    arguments: { 'x-max-length-bytes': LIMITS.rabbitmqFollowBytesMax },
  })
  await channel.bindQueue(queue, exchange, '#')
  return queue
}
