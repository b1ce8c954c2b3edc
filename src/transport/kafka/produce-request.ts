import type { BrokerMessage } from '../broker.ts'
import { CODES, codesOf } from './kafka-error.ts'
import type { KafkaPackage } from './kafka-package.ts'
import { encodeRecordBatch } from './record-batch.ts'
import type { Wire } from './wire.ts'

/** Messages of one partition, and their number in it as the producer counts. */
export interface PartitionBatch {
  readonly topic: string
  readonly partition: number
  readonly messages: readonly BrokerMessage[]
  readonly firstSequence: number
}

/** The number that the cluster gave the producer, and how often the producer began anew. */
export interface ProducerIdentity {
  readonly id: bigint
  readonly epoch: number
}

export interface ProduceOptions {
  readonly kafka: KafkaPackage
  readonly identity: ProducerIdentity
  readonly atMs: number
  readonly timeoutMs: number
}

/**
 * Sends before it returns, and resolves when every in-sync replica has all of it, be it from an
 * earlier try.
 */
export const sendProduce = (
  wire: Wire,
  batches: readonly PartitionBatch[],
  options: ProduceOptions,
): Promise<void> => {
  const { api, parseResponse } = options.kafka.produceV9
  return wire
    .request<unknown>(options.timeoutMs, (connection, done) =>
      connection.send(
        api.key,
        api.version,
        () => encode(batches, options),
        parseResponse,
        true,
        true,
        done,
      ),
    )
    .then(
      () => undefined,
      (error: unknown) => {
        const codes = codesOf(error)
        const isThere = codes.length > 0 && codes.every(({ code }) => code === REPEATED)
        if (!isThere) throw error
      },
    )
}

const REPEATED: number = CODES.duplicateSequence
/** Confirmed by all replicas that are in sync. */
const ACKS_ALL = -1

function encode(batches: readonly PartitionBatch[], options: ProduceOptions) {
  const { kafka, identity, atMs, timeoutMs } = options
  const byTopic = new Map<string, PartitionBatch[]>()
  for (const batch of batches) {
    const others = byTopic.get(batch.topic)
    if (others) others.push(batch)
    else byTopic.set(batch.topic, [batch])
  }
  return kafka.Writer.create()
    .appendString(null)
    .appendInt16(ACKS_ALL)
    .appendInt32(timeoutMs)
    .appendArray([...byTopic], (topicWriter, [topic, partitions]) => {
      topicWriter.appendString(topic).appendArray(partitions, (writer, batch) => {
        const records = encodeRecordBatch(batch.messages, {
          atMs,
          producerId: identity.id,
          producerEpoch: identity.epoch,
          firstSequence: batch.firstSequence,
          crc32c: kafka.crc32c,
        })
        writer
          .appendInt32(batch.partition)
          .appendUnsignedVarInt(records.length + 1)
          .append(records)
      })
    })
    .appendTaggedFields()
}
