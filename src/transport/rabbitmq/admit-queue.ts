import { LIMITS, type Logger } from '../../kernel/index.ts'
import { failureOf, refused } from './amqp-failure.ts'
import { readQueueArguments } from './queue-arguments.ts'
import { isThere, majorVersionOf, type UseChannel } from './topology.ts'

/**
 * Looks at a queue before it is read, as far as AMQP can know it.
 *
 * @throws JUNCTURA_TRANSPORT_REFUSED when it is not there, or cannot be read without losing what it
 * holds.
 */
export const admitQueue = async (
  queue: string,
  log: Logger,
  useChannel: UseChannel,
): Promise<void> => {
  const resource = `the queue ${queue}`
  const isMissing = !(await isThere(queue, useChannel).catch((error: unknown) => {
    throw failureOf(resource, error)
  }))
  if (isMissing) {
    const fix = 'create the queue and bind it to an exchange, or correct its name'
    throw refused({ resource, problem: 'it is not there', fix })
  }
  const { known, problem } = await readQueueArguments(queue, useChannel)
  refuseQueue(queue, known)
  if (problem !== undefined) return log.warn({ queue, problem }, UNKNOWN)
  const major = await useChannel(async (channel) => majorVersionOf(channel))
  const isLimited = known.get('x-queue-type') === 'quorum' && !known.has('x-delivery-limit')
  if (major >= 4 && isLimited) log.warn({ queue }, LIMITED)
}

/** @throws JUNCTURA_TRANSPORT_REFUSED when a queue loses or does not bring what it holds. */
export const refuseQueue = (queue: string, known: ReadonlyMap<string, string>): void => {
  const resource = `the queue ${queue}`
  if (known.get('x-queue-type') === 'stream') {
    const problem = 'it is a stream, which keeps no place for its readers over AMQP 0-9-1'
    throw refused({ resource, problem, fix: 'bind a quorum queue beside it and read that' })
  }
  const limit = Number(known.get('x-delivery-limit') ?? Infinity)
  if (limit < 0 || limit >= LIMITS.rabbitmqDeliveriesMin) return
  const problem = `its x-delivery-limit is ${limit}: what crashes and broken connections bring back more often is dropped or dead-lettered by the server, before our policy is asked`
  const fix = `declare it without x-delivery-limit (RabbitMQ 4: with -1), or with ${LIMITS.rabbitmqDeliveriesMin} or more`
  throw refused({ resource, problem, fix })
}

const UNKNOWN = 'AMQP does not say how this queue was declared: see that it has no delivery limit'
const LIMITED = 'RabbitMQ 4 drops what was delivered 20 times, where no policy says otherwise'
