import {
  type Envelope,
  encodeRecord,
  type LogRecord,
  type Receipt,
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
  const envelope: Envelope = {
    specversion: '1.0',
    id,
    type: event.contract.name,
    source: origin.source,
    time: new Date(origin.receivedAtMs).toISOString(),
    datacontenttype: 'application/json',
    contractversion: event.contract.latest,
    partitionkey: event.key ?? id,
    ...shared(origin, causationId),
  }
  const { channel, codec } = event.contract
  return append(origin, { channel, envelope, codec, data: event.data, border: place.border })
}

/** The record of a message that made no event: its raw bytes and its receipt, nothing else. */
export const receiptAppend = (
  origin: MessageOrigin,
  border: BorderPart,
  contract: { readonly channel: string; readonly type: string },
): Append => {
  const envelope: Envelope = {
    specversion: '1.0',
    id: origin.id,
    type: contract.type,
    source: origin.source,
    time: new Date(origin.receivedAtMs).toISOString(),
    datacontenttype: border.receipt.mediaType,
    contractversion: border.receipt.version,
    partitionkey: origin.id,
    ...shared(origin, origin.causationId),
  }
  const { channel } = contract
  return append(origin, { channel, envelope, codec: 'json', data: NO_DATA, border })
}

const NO_DATA = new Uint8Array(0)

function shared(
  origin: MessageOrigin,
  causationId: string | undefined,
): Pick<Envelope, 'correlationid' | 'tenant'> & Partial<Envelope> {
  const { trace, idempotencyKey } = origin
  return {
    correlationid: origin.correlationId ?? origin.id,
    ...(causationId !== undefined && { causationid: causationId }),
    ...(idempotencyKey !== undefined && { idempotencykey: idempotencyKey }),
    tenant: origin.tenant,
    ...(trace && { traceparent: formatTraceparent(trace) }),
    ...(trace && trace.traceState !== '' && { tracestate: trace.traceState }),
  }
}

function append(
  origin: MessageOrigin,
  parts: {
    readonly channel: string
    readonly envelope: Envelope
    readonly codec: string
    readonly data: Uint8Array
    readonly border: BorderPart | undefined
  },
): Append {
  const { channel, envelope, codec, data, border } = parts
  const record: LogRecord = {
    head: { envelope, codec, ...(border && { receipt: border.receipt }) },
    data,
    ...(border?.raw && { raw: border.raw }),
  }
  return {
    channel,
    slot: slotOf(origin.tenant, envelope.partitionkey),
    atMs: origin.appendedAtMs,
    bytes: encodeRecord(record),
    record,
  }
}

/** The trace that an envelope carries. */
export const traceOf = (envelope: Envelope): SpanContext | undefined => {
  const context =
    envelope.traceparent === undefined ? undefined : parseTraceparent(envelope.traceparent)
  return context && { ...context, traceState: envelope.tracestate ?? '' }
}
