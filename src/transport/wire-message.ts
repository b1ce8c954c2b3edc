import { type Envelope, type LogRecord, slotOf } from '../contract/index.ts'
import type { Attributes, BrokerMessage, ReceivedMessage } from './broker.ts'
import { placeOfSlot } from './record-place.ts'
import type { Delivered } from './transport.ts'

/**
 * A record of the log as a message of a broker and back: the envelope as CloudEvents attributes, in
 * binary content mode, so that programs in any language read it. Extensions beside those of the
 * envelope say where the record stands:
 *
 * - `logstore`: identity of the store, so that two systems on one broker never mix;
 * - `logposition`: position of the record;
 * - `logprevious`: no message of the channel stands between this position and that one, by which a
 *   reader notices what the broker lost;
 * - `logturn`: where the broker is the record, which run of the relay published it;
 * - `logtime`: when it was appended, in milliseconds since the epoch;
 * - `datacodec`, `datakeyid`: how the data is written, where that is not plain JSON.
 *
 * @see CloudEvents 1.0.2, sections "Context Attributes" and "Extension Context Attributes"
 */
export interface PlacedRecord extends Delivered {
  readonly previous: number
}

export const toBrokerMessage = (
  placed: PlacedRecord,
  { store, partitions, turn }: WireOptions,
): BrokerMessage => {
  const { position, slot, previous, atMs, record } = placed
  const attributes: Record<string, string> = {
    logstore: store,
    logposition: String(position),
    logprevious: String(previous),
    logtime: String(atMs),
  }
  if (turn === undefined) return messageOf(record, attributes, slot % partitions)
  attributes['logturn'] = String(turn)
  return messageOf(record, attributes, placeOfSlot(slot, partitions))
}

export interface WireOptions {
  readonly store: string
  readonly partitions: number
  /** Of the relay, where the broker is the record: a later one has a higher number. */
  readonly turn?: number
}

/** A record that is in no store but in the broker alone, at the time that its envelope has. */
export const toRecordMessage = (
  { slot, record }: Pick<Delivered, 'slot' | 'record'>,
  partitions: number,
): BrokerMessage => messageOf(record, {}, placeOfSlot(slot, partitions))

function messageOf(
  record: LogRecord,
  attributes: Record<string, string>,
  partition: number,
): BrokerMessage {
  const { envelope, codec, encryptionKeyId } = record.head
  for (const name of ENVELOPE) {
    const value = envelope[name]
    if (value !== undefined) attributes[name] = String(value)
  }
  if (codec !== 'json') attributes['datacodec'] = codec
  if (encryptionKeyId !== undefined) attributes['datakeyid'] = encryptionKeyId
  return {
    partition,
    key: envelope.partitionkey,
    id: envelope.id,
    attributes,
    data: record.data,
  }
}

/** Undefined for a message that was not written for this store: another wrote into the channel. */
export const fromBrokerMessage = (
  { attributes, data }: Pick<ReceivedMessage, 'attributes' | 'data'>,
  store: string,
): PlacedRecord | undefined => {
  if (attributes['logstore'] !== store) return undefined
  const position = wholeNumber(attributes['logposition'])
  const previous = wholeNumber(attributes['logprevious'])
  const atMs = wholeNumber(attributes['logtime'])
  const envelope = readEnvelope(attributes)
  if (position === undefined || previous === undefined || atMs === undefined) return undefined
  if (envelope === undefined || previous >= position) return undefined
  const record: LogRecord = { head: headOf(attributes, envelope), data }
  return {
    position,
    previous,
    slot: slotOf(envelope.tenant, envelope.partitionkey),
    atMs,
    record,
  }
}

/** A message of a channel whose record is the broker, and what a relay says of it. */
export interface RecordedMessage extends Omit<Delivered, 'position'> {
  readonly relay?: { readonly store: string; readonly turn: number; readonly position: number }
}

/** Undefined for one that no contract of ours can have made. */
export const fromRecordMessage = ({
  attributes,
  data,
}: Pick<ReceivedMessage, 'attributes' | 'data'>): RecordedMessage | undefined => {
  const envelope = readEnvelope(attributes)
  if (!envelope) return undefined
  const atMs = wholeNumber(attributes['logtime']) ?? timeOf(envelope.time)
  if (Number.isNaN(atMs)) return undefined
  const position = wholeNumber(attributes['logposition'])
  const turn = wholeNumber(attributes['logturn'])
  const store = attributes['logstore']
  const isRelayed = position !== undefined && turn !== undefined && store !== undefined
  return {
    slot: slotOf(envelope.tenant, envelope.partitionkey),
    atMs,
    record: { head: headOf(attributes, envelope), data },
    ...(isRelayed && { relay: { store, turn, position } }),
  }
}

let lastText = ''
let lastMs = Number.NaN

/** Messages of one millisecond come together, and a date costs as much as all else of them. */
function timeOf(text: string): number {
  if (text !== lastText) {
    lastText = text
    lastMs = Date.parse(text)
  }
  return lastMs
}

function headOf(attributes: Attributes, envelope: Envelope): LogRecord['head'] {
  const encryptionKeyId = attributes['datakeyid']
  const codec = attributes['datacodec'] ?? 'json'
  return { codec, envelope, ...(encryptionKeyId !== undefined && { encryptionKeyId }) }
}

function readEnvelope(attributes: Attributes): Envelope | undefined {
  const contractversion = wholeNumber(attributes['contractversion'])
  if (attributes['specversion'] !== '1.0' || contractversion === undefined) return undefined
  const text: Partial<Record<(typeof REQUIRED)[number], string>> = {}
  for (const name of REQUIRED) {
    const value = attributes[name]
    if (value === undefined) return undefined
    text[name] = value
  }
  const required = text as Record<(typeof REQUIRED)[number], string>
  return {
    specversion: '1.0',
    id: required.id,
    type: required.type,
    source: required.source,
    time: required.time,
    datacontenttype: required.datacontenttype,
    contractversion,
    partitionkey: required.partitionkey,
    correlationid: required.correlationid,
    ...optional(attributes, 'causationid'),
    ...optional(attributes, 'idempotencykey'),
    ...optional(attributes, 'replyto'),
    tenant: required.tenant,
    ...optional(attributes, 'traceparent'),
    ...optional(attributes, 'tracestate'),
  }
}

/** In the order in which they are written. */
const ENVELOPE = [
  'specversion',
  'id',
  'type',
  'source',
  'time',
  'datacontenttype',
  'contractversion',
  'partitionkey',
  'correlationid',
  'causationid',
  'idempotencykey',
  'tenant',
  'traceparent',
  'tracestate',
] as const satisfies readonly (keyof Envelope)[]

const REQUIRED = [
  'id',
  'type',
  'source',
  'time',
  'datacontenttype',
  'partitionkey',
  'correlationid',
  'tenant',
] as const

const optional = <Name extends string>(
  attributes: Attributes,
  name: Name,
): { readonly [N in Name]?: string } => {
  const value = attributes[name]
  return value === undefined ? {} : ({ [name]: value } as { readonly [N in Name]: string })
}

const wholeNumber = (text: string | undefined): number | undefined => {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : undefined
}
