import { LIMITS } from '../../kernel/index.ts'
import type { BrokerMessage } from '../broker.ts'
import { refused } from './kafka-error.ts'
import type { PartitionBatch } from './produce-request.ts'
import { recordBytesOf } from './record-batch.ts'

/** One call of `publish`, until every piece of it is confirmed or it is given up. */
export interface Job {
  readonly topic: string
  readonly dueMs: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
  /** Pieces that are not confirmed. */
  open: number
  isOver: boolean
}

/** What of a job goes into one request. */
export interface Piece {
  readonly job: Job
  readonly messages: readonly BrokerMessage[]
  readonly bytes: number
}

/** What is sent at once. */
export interface Round {
  readonly pieces: readonly Piece[]
  /** Undefined until its batches have their numbers. */
  batches?: readonly PartitionBatch[]
}

/**
 * Cuts a job into pieces that fit into a request.
 *
 * @throws JUNCTURA_TRANSPORT_REFUSED when a message is larger than the topics take.
 */
export const cutJob = (
  job: Job,
  messages: readonly BrokerMessage[],
  messageBytesMax: number,
): readonly Piece[] => {
  const pieces: Piece[] = []
  let part: BrokerMessage[] = []
  let bytes = 0
  for (const message of messages) {
    const size = recordBytesOf(message)
    if (size > messageBytesMax) {
      const problem = `it has ${size} bytes with its headers, and ${messageBytesMax} are allowed`
      throw refused(`message ${message.id}`, problem, 'raise messageBytesMax, or send less')
    }
    if (bytes + size > LIMITS.kafkaRequestBytesMax && part.length > 0) {
      pieces.push({ job, messages: part, bytes })
      part = []
      bytes = 0
    }
    part.push(message)
    bytes += size
  }
  if (part.length > 0) pieces.push({ job, messages: part, bytes })
  return pieces
}

/** One batch for each partition, in the order of the pieces. */
export const batchesOf = (
  pieces: readonly Piece[],
  number: (topic: string, partition: number, count: number) => number,
): readonly PartitionBatch[] => {
  const byTopic = new Map<string, Map<number, BrokerMessage[]>>()
  for (const { job, messages } of pieces) {
    let partitions = byTopic.get(job.topic)
    if (!partitions) byTopic.set(job.topic, (partitions = new Map()))
    for (const message of messages) {
      const others = partitions.get(message.partition)
      if (others) others.push(message)
      else partitions.set(message.partition, [message])
    }
  }
  return [...byTopic].flatMap(([topic, partitions]) =>
    [...partitions].map(([partition, messages]) => ({
      topic,
      partition,
      messages,
      firstSequence: number(topic, partition, messages.length),
    })),
  )
}
