import type { Consumer } from '../contract/index.ts'
import { causeOf } from '../observe/index.ts'
import type { DeadLetterRow } from '../store/index.ts'
import type { Failure } from './failure.ts'
import type { WorkItem } from './work-item.ts'

export interface DeadLetterOptions {
  readonly id: string
  readonly consumer: Consumer
  readonly item: WorkItem
  readonly failure: Failure
  /** Including the one that failed now. */
  readonly attempts: number
  readonly crashes: number
  readonly nowMs: number
  readonly modelHash: string
}

/** Everything an operator needs to act on it, without the payload (M23). */
export const buildDeadLetter = (options: DeadLetterOptions): DeadLetterRow => {
  const { consumer, item, failure, nowMs } = options
  const { envelope } = item.record.head
  const cause = causeOf({
    errorName: failure.name,
    message: failure.message,
    consumer: consumer.name,
    contract: envelope.type,
    version: envelope.contractversion,
    stage: 'handler',
  })
  return {
    id: options.id,
    stage: 'handler',
    state: 'open',
    consumer: consumer.name,
    owner: (consumer.deadLetter?.owner ?? consumer.owner)?.name ?? '',
    messageId: envelope.id,
    position: item.position,
    channel: consumer.on.channel,
    slot: item.slot,
    key: envelope.partitionkey,
    type: envelope.type,
    contractVersion: envelope.contractversion,
    correlationId: envelope.correlationid,
    ...(envelope.traceparent !== undefined && { traceparent: envelope.traceparent }),
    attempts: options.attempts,
    crashes: options.crashes,
    cause: cause.fingerprint,
    causeTitle: cause.label,
    errorName: failure.name,
    errorMessage: failure.message,
    errorStack: failure.stack,
    receivedAtMs: item.atMs,
    firstFailedAtMs: item.firstFailedAtMs ?? nowMs,
    lastFailedAtMs: nowMs,
    diedAtMs: nowMs,
    modelHash: options.modelHash,
    parked: consumer.afterDeadLetter === 'park' && consumer.ordering === 'key',
  }
}
