import {
  type AnyContract,
  type CloudEvent,
  cloudEventKey,
  contractOfEvent,
  DEFAULT_TENANT,
  eventVersion,
  type TopicJsonFormat,
  type TopicSource,
} from '../contract/index.ts'
import {
  type ContractBook,
  foreignAppend,
  foreignFault,
  type ForeignEvent,
  type ForeignFault,
  type MessageOrigin,
  readKey,
} from '../inbox/index.ts'
import { LIMITS } from '../kernel/index.ts'
import { parseTraceparent } from '../observe/index.ts'
import { parseJson } from '../schema/index.ts'
import type { Append, ClaimedKey } from '../store/index.ts'
import type { ReceivedMessage } from '../transport/index.ts'
import { readTopicEvent } from './cloud-event.ts'

export interface MessageReading {
  readonly source: TopicSource
  readonly book: ContractBook
  readonly nowMs: number
  /** How often the topic was replaced, of the cursor that the message is read under. */
  readonly era: number
  /** An id for what has none and no place either. */
  readonly newId: () => string
}

/** What becomes of one message of a topic. */
export type MessageVerdict = { readonly id: string } & (
  | { readonly kind: 'append'; readonly append: Append }
  | {
      readonly kind: 'invalid'
      readonly fault: ForeignFault
      /** As the writer called it; empty where it did not. */
      readonly type: string
      readonly version: number | null
    }
)

/** Makes a message of a topic one of the log, or says why it is none. */
export const readMessage = (message: ReceivedMessage, reading: MessageReading): MessageVerdict => {
  const { source } = reading
  const place = placeId(message, reading)
  return source.format === 'cloudevents'
    ? readEvent(message, place, reading)
    : readData(message, source.format, { place, reading })
}

/**
 * The identity of a message that has none of its own: source, partition and offset, and which topic
 * of that name it was in. Undefined where the engine has no offsets.
 */
const placeId = (
  { partition, offset }: ReceivedMessage,
  { source, era }: MessageReading,
): string | undefined =>
  offset === '' ? undefined : `${source.name}${era > 0 ? `~${era}` : ''}:${partition}:${offset}`

function readEvent(
  message: ReceivedMessage,
  place: string | undefined,
  reading: MessageReading,
): MessageVerdict {
  const { source, nowMs } = reading
  const read = readTopicEvent(message)
  if (read.kind === 'invalid') {
    const id = place ?? message.headers[MESSAGE_ID] ?? reading.newId()
    return { ...read, id, type: message.attributes['type'] ?? '', version: null }
  }
  const { event, data, dataAt } = read
  const { id, type, attributes } = event
  const contract = contractOfEvent(type, source.types)
  if (!contract) {
    const shown = JSON.stringify(type.slice(0, 100))
    const problem = `The topic does not accept the type ${shown}.`
    return { ...foreignFault('contract', '/type', problem), id, type, version: null }
  }
  const version = versionOf(event, contract)
  const timeMs = Date.parse(event.time ?? '')
  const origin = originOf(attributes, {
    id,
    source: event.source,
    receivedAtMs: timeMs >= 0 && timeMs <= TIME_MS_MAX ? timeMs : nowMs,
    appendedAtMs: nowMs,
  })
  const key = attributes['partitionkey'] ?? (message.key === '' ? undefined : message.key)
  const claim = place === undefined ? repeatClaim(cloudEventKey(event), contract, reading) : {}
  const foreign = { contract, version, data, dataAt, key, origin, ...claim }
  return verdictOf(foreign, type, reading)
}

/** An hour before the end of the year 9999 is after it, elsewhere; RFC 3339 has four digits. */
const TIME_MS_MAX = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

/** What the event says; where it says nothing, the version that the declaration names. */
function versionOf({ attributes }: CloudEvent, contract: AnyContract): number {
  const said = eventVersion(attributes, contract)
  if (said !== undefined) return said
  return attributes['contractversion'] === undefined ? contract.asked : -1
}

/** What RabbitMQ's driver calls the property that identifies a message. */
const MESSAGE_ID = 'amqp:message-id'

function readData(
  message: ReceivedMessage,
  { json: contract, id: idSource }: TopicJsonFormat,
  { place, reading }: { readonly place: string | undefined; readonly reading: MessageReading },
): MessageVerdict {
  const { source, nowMs } = reading
  const { data, headers } = message
  const sent = idSource && readId(message, idSource)
  const known = sent?.kind === 'found' ? sent.key : (headers[MESSAGE_ID] ?? undefined)
  const id = (sent?.kind === 'found' ? sent.key : undefined) ?? place ?? known ?? reading.newId()
  const type = contract.name
  const version = contract.asked
  if (sent && sent.kind !== 'found') {
    const pointer = idSource.from === 'body' ? `/${idSource.paths.join(',')}` : '/id'
    return { ...foreignFault(sent.reason, pointer, sent.problem), id, type, version }
  }
  const origin = originOf(lowerCased(headers), {
    id,
    source: `/topics/${source.name}`,
    receivedAtMs: nowMs,
    appendedAtMs: nowMs,
  })
  const key = message.key === '' ? undefined : message.key
  const isKnown = place === undefined && known !== undefined
  const claim = isKnown ? repeatClaim(known, contract, reading) : {}
  return verdictOf({ contract, version, data, dataAt: '', key, origin, ...claim }, type, reading)
}

type IdReading =
  | { readonly kind: 'found'; readonly key: string }
  | { readonly kind: 'none'; readonly reason: ForeignFault['reason']; readonly problem: string }

function readId(
  { data, headers }: ReceivedMessage,
  source: NonNullable<TopicJsonFormat['id']>,
): IdReading {
  const lower = source.from === 'header' ? lowerCased(headers) : {}
  const parsed = source.from === 'body' ? parseJson(data) : { ok: true as const, text: '' }
  if (!parsed.ok) return { kind: 'none', reason: 'syntax', problem: parsed.detail }
  const read = readKey(source, (name) => lower[name], parsed.text)
  if (read.kind === 'found') return read
  const problem = read.kind === 'missing' ? 'It has no id where one is declared.' : read.problem
  return { kind: 'none', reason: 'schema', problem }
}

const lowerCased = (headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))

/** What a queue brings again is known by its id: it has no offset to know it by. */
function repeatClaim(
  key: string,
  contract: AnyContract,
  { source, nowMs }: MessageReading,
): { readonly claim: ClaimedKey } {
  const expiresAtMs = nowMs + Math.min(LIMITS.queueDedupeMs, contract.retentionMs)
  return { claim: { scope: `${DEFAULT_TENANT}/topic/${source.name}`, key, expiresAtMs } }
}

function verdictOf(foreign: ForeignEvent, type: string, reading: MessageReading): MessageVerdict {
  const verdict = foreignAppend(foreign, reading)
  const { id } = foreign.origin
  return verdict.kind === 'append'
    ? { ...verdict, id }
    : { ...verdict, id, type, version: foreign.version < 0 ? null : foreign.version }
}

/** Extensions that an envelope has are taken over; one that is too long is left out. */
function originOf(
  attributes: Readonly<Record<string, string>>,
  known: Pick<MessageOrigin, 'id' | 'source' | 'receivedAtMs' | 'appendedAtMs'>,
): MessageOrigin {
  const short = (name: string): string | undefined => {
    const text = attributes[name]
    const isUsable = text !== undefined && text !== '' && text.length <= LIMITS.traceStateCharsMax
    return isUsable ? text : undefined
  }
  const traceparent = short('traceparent')
  const trace = traceparent === undefined ? undefined : parseTraceparent(traceparent)
  return {
    ...known,
    tenant: DEFAULT_TENANT,
    correlationId: short('correlationid'),
    causationId: short('causationid'),
    idempotencyKey: undefined,
    trace: trace && { ...trace, traceState: short('tracestate') ?? '' },
  }
}
