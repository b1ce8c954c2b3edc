import { isJuncturaError } from '../../kernel/index.ts'
import { problemOf, replyCodeOf, unavailable } from './amqp-failure.ts'
import { type AmqpLink, closeChannel, inTime, type LinkContext } from './amqp-link.ts'
import type { UseChannel } from './topology.ts'

/** Uses channels of a link, each for one question and no longer than `timeoutMs`. */
export const channelUser = (
  link: AmqpLink,
  { clock, log, timeoutMs }: Pick<LinkContext, 'clock' | 'log'> & { readonly timeoutMs: number },
): UseChannel => {
  return async (use) => {
    const model = await link.connection()
    const channel = await inTime(clock, timeoutMs, model.createChannel()).catch(rethrow)
    channel.on('error', (error) => log.debug({ problem: problemOf(error) }, 'a channel was closed'))
    try {
      return await inTime(clock, timeoutMs, use(channel)).catch(rethrow)
    } finally {
      await closeChannel(channel, clock)
    }
  }
}

/** What has no code of the server is the end of the connection, in one of its many words. */
const rethrow = (error: unknown): never => {
  if (isJuncturaError(error) || replyCodeOf(error) !== undefined) throw error
  throw unavailable(problemOf(error), error)
}
