import {
  type Envelope,
  type LogRecord,
  type Receipt,
  sealRecord,
  slotOf,
} from '../contract/index.ts'
import { formatTraceparent, parseTraceparent, type SpanContext } from '../observe/index.ts'
import type { Append } from '../store/index.ts'
import type { PreparedEvent } from './prepare-event.ts'

/** What every record of one message shares. */
export interface MessageOrigin {
  readonly id: string
  readonly tenant: string
  /** Where it entered: `/webhooks/acme`, `/publish`. */
  readonly source: string
  readonly receivedAtMs: number
  readonly appendedAtMs: number
  readonly correlationId: string | undefined
  readonly causationId: string | undefined
  readonly idempotencyKey: string | undefined
  readonly replyTo?: string | undefined
  readonly trace: SpanContext | undefined
}

/** How a message crossed the border, kept with its first record. */
export interface BorderPart {
  readonly receipt: Receipt
  readonly raw?: Uint8Array
}

/**
 * The record of an event. The first event of a message has the message's own id and carries the
 * raw bytes, so that an ordinary message is one row; the others are `<id>-2`, `<id>-3` and so on.
 *
 * @throws JUNCTURA_RECORD_TOO_LARGE when it would exceed LIMITS.recordBytesMax.
 */
export const eventAppend = (
  origin: MessageOrigin,
  event: PreparedEvent,
  place: { readonly index: number; readonly border?: BorderPart | undefined },
): Append => {
  const id = place.index === 0 ? origin.id : `${origin.id}-${place.index + 1}`
  const causationId = place.index === 0 ? origin.causationId : origin.id
  const { channel, codec, name, latest } = event.contract
  const envelope = envelopeOf(origin, causationId, {
    id,
    type: name,
    mediaType: 'application/json',
    version: latest,
    key: event.key ?? id,
  })
  return append(origin, { channel, envelope, codec, data: event.text, border: place.border })
}

/** The same for a broker that is the record: it is not written as bytes of a log. */
export const eventRecord = (origin: MessageOrigin, event: PreparedEvent): RecordedEvent => {
  const { codec, name, latest } = event.contract
  const { id, causationId, tenant, appendedAtMs: atMs } = origin
  const key = event.key ?? id
  const subject = { id, type: name, mediaType: 'application/json', version: latest, key }
  const head = { envelope: envelopeOf(origin, causationId, subject), codec }
  return { slot: slotOf(tenant, key), atMs, record: { head, data: Buffer.from(event.text) } }
}

export interface RecordedEvent {
  readonly slot: number
  readonly atMs: number
  readonly record: LogRecord
}

/** The record of a message that made no event: its raw bytes and its receipt, nothing else. */
export const receiptAppend = (
  origin: MessageOrigin,
  border: BorderPart,
  contract: { readonly channel: string; readonly type: string },
): Append => {
  const { mediaType, version } = border.receipt
  const envelope = envelopeOf(origin, origin.causationId, {
    id: origin.id,
    type: contract.type,
    mediaType,
    version,
    key: origin.id,
  })
  const { channel } = contract
  return append(origin, { channel, envelope, codec: 'json', data: '', border })
}

interface EnvelopeSubject {
  readonly id: string
  readonly type: string
  readonly mediaType: string
  readonly version: number
  readonly key: string
}

/** Member by member: objects that are spread cost more than all the rest of an envelope. */
function envelopeOf(
  origin: MessageOrigin,
  causationId: string | undefined,
  subject: EnvelopeSubject,
): Envelope {
  const { trace, idempotencyKey, replyTo } = origin
  const envelope: Writable<Envelope> = {
    specversion: '1.0',
    id: subject.id,
    type: subject.type,
    source: origin.source,
    time: timeText(origin.receivedAtMs),
    datacontenttype: subject.mediaType,
    contractversion: subject.version,
    partitionkey: subject.key,
    correlationid: origin.correlationId ?? origin.id,
    tenant: origin.tenant,
  }
  if (causationId !== undefined) envelope.causationid = causationId
  if (idempotencyKey !== undefined) envelope.idempotencykey = idempotencyKey
  if (replyTo !== undefined) envelope.replyto = replyTo
  if (trace) envelope.traceparent = formatTraceparent(trace)
  if (trace && trace.traceState !== '') envelope.tracestate = trace.traceState
  return envelope
}

type Writable<T> = { -readonly [Name in keyof T]: T[Name] }

let lastTimeMs = Number.NaN
let lastTimeText = ''

/** Messages of one millisecond share the text: a date costs as much as the rest of an envelope. */
function timeText(timeMs: number): string {
  if (timeMs !== lastTimeMs) {
    lastTimeText = new Date(timeMs).toISOString()
    lastTimeMs = timeMs
  }
  return lastTimeText
}

function append(
  origin: MessageOrigin,
  parts: {
    readonly channel: string
    readonly envelope: Envelope
    readonly codec: string
    /** As written by the codec. */
    readonly data: string
    readonly border: BorderPart | undefined
  },
): Append {
  const { channel, envelope, codec, data, border } = parts
  const head = border ? { envelope, codec, receipt: border.receipt } : { envelope, codec }
  const raw = border?.raw
  const { bytes, record } = sealRecord(raw ? { head, data, raw } : { head, data })
  return {
    channel,
    slot: slotOf(origin.tenant, envelope.partitionkey),
    atMs: origin.appendedAtMs,
    bytes,
    record,
  }
}

/** The trace that an envelope carries. */
export const traceOf = (envelope: Envelope): SpanContext | undefined => {
  const context =
    envelope.traceparent === undefined ? undefined : parseTraceparent(envelope.traceparent)
  return context && { ...context, traceState: envelope.tracestate ?? '' }
}
