import {
  type CloudEvent,
  type CloudEventData,
  fromCloudEventHeaders,
  isJsonMediaType,
  readCloudEvent,
  readStructuredEvent,
} from '../contract/index.ts'
import type { ErrorCode } from '../kernel/index.ts'
import { parseJson } from './parse-json.ts'
import { rawItemsOf, rawValueAt } from './raw-scalar-at.ts'

/** One event as it came, its data as the bytes that were sent. */
export interface ReceivedEvent {
  readonly event: CloudEvent
  readonly data: Uint8Array
  /** The data parsed, where it came inside JSON. */
  readonly value?: unknown
}

/** Why something is no event that can be taken. */
export interface EventFault {
  readonly code: Extract<
    ErrorCode,
    | 'JUNCTURA_EVENT_INVALID'
    | 'JUNCTURA_BODY_SYNTAX'
    | 'JUNCTURA_CONTENT_TYPE'
    | 'JUNCTURA_BATCH_TOO_LARGE'
  >
  readonly details: Readonly<Record<string, string | number>>
}

export type EventReading = ReceivedEvent | EventFault

export type EventsReading =
  | { readonly mode: 'single'; readonly reading: EventReading }
  | { readonly mode: 'batch'; readonly readings: readonly EventReading[] }
  | { readonly mode: 'refused'; readonly fault: EventFault }

export interface EventsBody {
  /** Lower case, without parameters. */
  readonly mediaType: string
  readonly headers: Iterable<readonly [name: string, value: string]>
  readonly raw: Uint8Array
  readonly eventsMax: number
}

/**
 * The events of a request or an answer, in whichever content mode it is; the media type says which.
 * What is in a JSON document keeps its text, so that a number beyond 2^53 is stored as it was sent
 * (F49).
 *
 * @see CloudEvents 1.0.2, HTTP Protocol Binding, section 3
 */
export const readEvents = (body: EventsBody): EventsReading => {
  const { mediaType, raw } = body
  if (!mediaType.startsWith('application/cloudevents')) {
    return { mode: 'single', reading: readBinary(body) }
  }
  const parsed = parseJson(raw)
  if (!parsed.ok) return { mode: 'refused', fault: syntax(parsed.detail) }
  const { value, text } = parsed
  if (mediaType === 'application/cloudevents+json') {
    return { mode: 'single', reading: readStructured(value, text) }
  }
  if (!Array.isArray(value)) {
    return { mode: 'refused', fault: invalid('The batch is not a JSON array.') }
  }
  if (value.length > body.eventsMax) {
    const details = { events: value.length, maximum: body.eventsMax }
    return { mode: 'refused', fault: { code: 'JUNCTURA_BATCH_TOO_LARGE', details } }
  }
  const items = rawItemsOf(text)
  const readings = value.map((item: unknown, index) => readStructured(item, items[index] ?? ''))
  return { mode: 'batch', readings }
}

function readBinary({ headers, raw }: EventsBody): EventReading {
  const read = fromCloudEventHeaders(headers)
  if (!read.ok) return invalid(read.problem)
  const reading = readCloudEvent(read.attributes)
  return reading.ok ? { event: reading.event, data: raw } : invalid(reading.problem)
}

function readStructured(document: unknown, text: string): EventReading {
  const reading = readStructuredEvent(document)
  if (!reading.ok) return invalid(reading.problem)
  const { event, data } = reading
  if (data.kind !== 'none' && !isJson(event, data)) {
    return { code: 'JUNCTURA_CONTENT_TYPE', details: { taken: 'application/json, as data' } }
  }
  if (data.kind === 'bytes') return { event, data: data.bytes }
  // Without data there is nothing that could be JSON, and the border says so.
  if (data.kind === 'none') return { event, data: new Uint8Array() }
  const source = rawValueAt(text, ['data']) ?? ''
  return { event, data: Buffer.from(source, 'utf8'), value: data.value }
}

const isJson = ({ datacontenttype }: CloudEvent, data: CloudEventData): boolean =>
  data.kind === 'json' || (datacontenttype !== undefined && isJsonMediaType(datacontenttype))

export const isFault = (reading: EventReading): reading is EventFault => 'code' in reading

const invalid = (problem: string): EventFault => ({
  code: 'JUNCTURA_EVENT_INVALID',
  details: { problem },
})

const syntax = (problem: string): EventFault => ({
  code: 'JUNCTURA_BODY_SYNTAX',
  details: { problem },
})
