import { hash } from 'node:crypto'
import {
  type ConsumedMessage,
  type Envelope,
  globalId,
  type Push,
  toCloudEventHeaders,
} from '../contract/index.ts'
import { LIMITS } from '../kernel/index.ts'
import { type SigningKey, signRequest } from '../security/index.ts'

export interface PushRequestInput {
  readonly push: Push
  readonly consumer: string
  readonly message: ConsumedMessage
  /** The data as JSON, in the version that the consumer asked for. */
  readonly data: Uint8Array
  readonly version: number
  readonly attempt: number
  readonly replayRunId: string | undefined
  readonly keys: readonly SigningKey[]
  readonly nowMs: number
}

export interface PushRequest {
  readonly headers: Readonly<Record<string, string>>
  /** The very bytes that are signed. */
  readonly body: Uint8Array
}

/**
 * One attempt to hand a message to a receiver: a CloudEvent, with the id that is the same on every
 * attempt, and a signature of its own time.
 *
 * @see CloudEvents 1.0.2, HTTP Protocol Binding; Standard Webhooks 1.0.0
 */
export const makePushRequest = (input: PushRequestInput): PushRequest => {
  const { push, consumer, message, attempt, replayRunId } = input
  const attributes = attributesOf(message.envelope, input.version)
  const id = globalId(message.envelope)
  const { headers, body } =
    push.mode === 'binary'
      ? { headers: toCloudEventHeaders(attributes), body: input.data }
      : structured(attributes, input.data)
  return {
    body,
    headers: {
      ...headers,
      'user-agent': 'junctura',
      // A string of RFC 8941, as the draft "The Idempotency-Key HTTP Header Field" has it.
      'idempotency-key': JSON.stringify(id),
      'junctura-consumer': consumer,
      'junctura-attempt': String(attempt),
      ...(replayRunId !== undefined && { 'junctura-replay': replayRunId }),
      ...signature(input, id, body),
    },
  }
}

function attributesOf(envelope: Envelope, version: number): Record<string, string> {
  const attributes: Record<string, string> = {}
  for (const [name, value] of Object.entries(envelope)) {
    if (value !== undefined) attributes[name] = String(value)
  }
  attributes['contractversion'] = String(version)
  return attributes
}

function structured(attributes: Readonly<Record<string, string>>, data: Uint8Array): PushRequest {
  const head = JSON.stringify(attributes).slice(0, -1)
  const parts = [Buffer.from(`${head},"data":`), data, Buffer.from('}')]
  return {
    headers: { 'content-type': 'application/cloudevents+json; charset=UTF-8' },
    body: Buffer.concat(parts),
  }
}

function signature(
  { push, keys, nowMs }: PushRequestInput,
  id: string,
  body: Uint8Array,
): Readonly<Record<string, string>> {
  if (!push.verify) return {}
  return signRequest({
    scheme: push.verify,
    keys,
    messageId: webhookId(id),
    timestampMs: nowMs,
    body,
  })
}

/** A dot would be taken for the end of the id, and a chain of emits makes a long one (W11). */
export const webhookId = (id: string): string => {
  const plain = id.replaceAll('.', '_')
  return plain.length <= LIMITS.messageIdCharsMax ? plain : `sha256_${hash('sha256', id, 'hex')}`
}
