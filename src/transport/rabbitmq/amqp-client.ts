import type * as Amqp from 'amqplib'
import { JuncturaError, loadPeer } from '../../kernel/index.ts'

/** The part of the package `amqplib` that the driver uses. */
export type AmqpModule = Pick<typeof Amqp, 'connect'>

export type AmqpConnection = Amqp.ChannelModel
export type AmqpChannel = Amqp.Channel
export type AmqpConfirmChannel = Amqp.ConfirmChannel
export type AmqpMessage = Pick<Amqp.ConsumeMessage, 'content' | 'fields' | 'properties'>
export type AmqpPublishOptions = Amqp.Options.Publish

/**
 * The package is an optional peer: it is looked for when a RabbitMQ broker is created.
 *
 * @throws JUNCTURA_PEER_MISSING when it is not installed.
 */
export const loadAmqp = async (
  load: () => Promise<AmqpModule> = () => import('amqplib'),
): Promise<AmqpModule> => loadPeer({ package: 'amqplib', feature: 'the RabbitMQ broker' }, load)

/**
 * Ends the socket at once: what the other side does not answer must not hold the process. The error
 * makes the client give up everything that hangs on the connection, its timers as well; it emits
 * nothing where the connection was closed before.
 */
export const destroySocket = (model: AmqpConnection): void => {
  const { connection } = model
  if (!('stream' in connection)) return
  const { stream } = connection
  if (typeof stream !== 'object' || stream === null || !('destroy' in stream)) return
  if (typeof stream.destroy !== 'function') return
  stream.destroy(
    new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'The connection to RabbitMQ' } }),
  )
}
