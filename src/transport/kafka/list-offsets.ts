import type { Cluster } from './cluster.ts'
import { codesOf, isRefused, toPortError, unavailable } from './kafka-error.ts'
import type { KafkaPackage } from './kafka-package.ts'

/**
 * First or next offset of each partition of a topic, as their leaders say. Leaders that move, and
 * partitions that were just made, are asked again for as long as a request may take.
 */
export const listOffsets = async (
  cluster: Cluster,
  topic: string,
  which: 'start' | 'end',
): Promise<ReadonlyMap<number, bigint>> => {
  const { clock, requestTimeoutMs } = cluster.options
  const endMs = clock.monotonicMs() + requestTimeoutMs
  for (let tries = 0; ; tries++) {
    try {
      return await askLeaders(cluster, topic, which)
    } catch (error) {
      const mayPass = codesOf(error).length > 0 && !isRefused(toPortError(error, topic))
      if (!mayPass || cluster.isClosed || clock.monotonicMs() > endMs) throw error
      await cluster.pause(Math.min(tries, 2))
    }
  }
}

async function askLeaders(
  cluster: Cluster,
  topic: string,
  which: 'start' | 'end',
): Promise<ReadonlyMap<number, bigint>> {
  const { kafka, requestTimeoutMs } = cluster.options
  const { partitions } = await cluster.topic(topic)
  const byLeader = new Map<number, number[]>()
  for (const { index, leader } of partitions) {
    if (leader < 0) throw unavailable(`partition ${index} of ${topic} has no leader`)
    byLeader.set(leader, [...(byLeader.get(leader) ?? []), index])
  }
  const found = new Map<number, bigint>()
  for (const [leader, indexes] of byLeader) {
    const wire = await cluster.connect(leader, cluster.signal)
    try {
      const asked = indexes.map((partitionIndex) => ({
        partitionIndex,
        currentLeaderEpoch: -1,
        timestamp: which === 'start' ? EARLIEST : LATEST,
      }))
      const { topics } = await wire.request<Offsets>(requestTimeoutMs, (connection, done) =>
        kafka.listOffsetsV7.api(
          connection,
          CLIENT,
          READ_UNCOMMITTED,
          [{ name: topic, partitions: asked }],
          done,
        ),
      )
      for (const { partitionIndex, offset } of topics[0]?.partitions ?? []) {
        found.set(partitionIndex, offset)
      }
    } finally {
      wire.destroy()
    }
  }
  return found
}

type Offsets = ReturnType<KafkaPackage['listOffsetsV7']['parseResponse']>

const EARLIEST = -2n
const LATEST = -1n
/** Not a replica. */
const CLIENT = -1
const READ_UNCOMMITTED = 0
