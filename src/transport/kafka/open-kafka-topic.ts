import type { ForeignTopic, ForeignTopicOptions } from '../foreign-topic.ts'
import { kafkaTopicOf } from './kafka-topic.ts'
import { openCluster } from './open-cluster.ts'

/**
 * Opens a topic that others write. Nothing is created there, no consumer group either; of
 * transactions only what was committed is read.
 *
 * @throws JUNCTURA_PEER_MISSING, JUNCTURA_DECLARATION, JUNCTURA_TRANSPORT_UNAVAILABLE,
 *   JUNCTURA_TRANSPORT_REFUSED.
 */
export const openKafkaTopic = async (
  options: ForeignTopicOptions & { readonly topic: string },
): Promise<ForeignTopic> => {
  const { clientName, requestTimeoutMs = 10_000, topic } = options
  const cluster = await openCluster({ ...options, clientId: clientName, requestTimeoutMs })
  return kafkaTopicOf(cluster, topic, false)
}
