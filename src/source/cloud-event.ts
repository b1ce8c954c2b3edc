import {
  type CloudEvent,
  isJsonMediaType,
  readCloudEvent,
  readStructuredEvent,
} from '../contract/index.ts'
import { foreignFault, type ForeignFault } from '../inbox/index.ts'
import { parseJson, rawValueAt } from '../schema/index.ts'
import type { ReceivedMessage } from '../transport/index.ts'

/** What one message of a topic says as a CloudEvent, with its data as they were written. */
export interface TopicEvent {
  readonly event: CloudEvent
  readonly data: Uint8Array
  /** Where they are: empty in binary mode, `/data` or `/data_base64` in structured mode. */
  readonly dataAt: string
}

export type EventReading =
  | ({ readonly kind: 'event' } & TopicEvent)
  | { readonly kind: 'invalid'; readonly fault: ForeignFault }

/**
 * Reads a message as a CloudEvent, in the mode in which it came: structured where the content type
 * is `application/cloudevents+json`, else binary, where the attributes are headers. The drivers
 * have told the attributes by the prefix of their binding. Data have to be JSON.
 *
 * @see CloudEvents 1.0.2, bindings of Kafka, NATS and AMQP, section 3 "Message Mapping"
 */
export const readTopicEvent = (
  message: Pick<ReceivedMessage, 'attributes' | 'data'>,
): EventReading => {
  const { attributes, data } = message
  const contentType = attributes['datacontenttype'] ?? ''
  const mediaType = (contentType.split(';', 1)[0] ?? '').trim().toLowerCase()
  if (mediaType === `${STRUCTURED}+json`) return readStructured(data)
  if (mediaType.startsWith(STRUCTURED)) {
    const problem = `Of the structured modes only ${STRUCTURED}+json is read, one event a message.`
    return foreignFault('syntax', '/datacontenttype', problem)
  }
  const read = readCloudEvent(attributes)
  if (!read.ok) return foreignFault('syntax', '', read.problem)
  return ofJson({ event: read.event, data, dataAt: '' })
}

const STRUCTURED = 'application/cloudevents'

function readStructured(bytes: Uint8Array): EventReading {
  const parsed = parseJson(bytes)
  if (!parsed.ok) return foreignFault('syntax', '', parsed.detail)
  const read = readStructuredEvent(parsed.value)
  if (!read.ok) return foreignFault('syntax', '', read.problem)
  const { event, data } = read
  if (data.kind === 'bytes') return ofJson({ event, data: data.bytes, dataAt: '/data_base64' })
  // As it was written: a number beyond 2^53 must not be rounded on its way.
  const written = rawValueAt(parsed.text, ['data']) ?? ''
  return ofJson({ event, data: Buffer.from(written, 'utf8'), dataAt: '/data' })
}

function ofJson(read: TopicEvent): EventReading {
  const { datacontenttype } = read.event
  if (datacontenttype === undefined || isJsonMediaType(datacontenttype)) {
    return { kind: 'event', ...read }
  }
  return foreignFault('syntax', '/datacontenttype', 'Its data are not JSON, by their content type.')
}
