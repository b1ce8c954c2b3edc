import type { TopicSource } from '../contract/index.ts'
import type { Kernel } from '../kernel/index.ts'
import { resolveSecretText } from '../security/index.ts'
import {
  type ForeignTopic,
  openKafkaTopic,
  openNatsTopic,
  openRabbitmqQueue,
} from '../transport/index.ts'

/**
 * Opens the topic of a source. Its secret is read each time, so that a rotated one is taken up
 * without a restart.
 *
 * @throws JUNCTURA_SECRET_MISSING, JUNCTURA_PEER_MISSING, JUNCTURA_DECLARATION for the URL, and
 *   what the driver throws.
 */
export const openTopic = async (
  { name, topic }: Pick<TopicSource, 'name' | 'topic'>,
  kernel: Kernel,
): Promise<ForeignTopic> => {
  const { clock, random, log } = kernel
  const options = { clock, random, log, clientName: `junctura-topic-${name}` }
  if ('kafka' in topic) {
    const url = await resolveSecretText(kernel, topic.kafka)
    return openKafkaTopic({ ...options, url, topic: topic.topic })
  }
  if ('nats' in topic) {
    const url = await resolveSecretText(kernel, topic.nats)
    const { stream, subjects } = topic
    return openNatsTopic({ ...options, url, stream, subjects })
  }
  const url = await resolveSecretText(kernel, topic.rabbitmq)
  return openRabbitmqQueue({ ...options, url, queue: topic.queue })
}
