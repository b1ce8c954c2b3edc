import { foreignFault, type ForeignFault } from '../inbox/index.ts'
import { LIMITS } from '../kernel/index.ts'
import { parseJson, rawValueAt } from '../schema/index.ts'
import type { ReceivedMessage } from '../transport/index.ts'

/** What one message of a topic says as a CloudEvent. */
export interface CloudEvent {
  readonly id: string
  readonly source: string
  readonly type: string
  /** Undefined where there is none, or none that is a time. */
  readonly timeMs: number | undefined
  /** Where they are: empty in binary mode, `/data` or `/data_base64` in structured mode. */
  readonly dataAt: string
  readonly data: Uint8Array
  /** Every attribute, extensions too, as text. */
  readonly attributes: Readonly<Record<string, string>>
}

export type EventReading =
  | { readonly kind: 'event'; readonly event: CloudEvent }
  | { readonly kind: 'invalid'; readonly fault: ForeignFault; readonly type?: string | undefined }

/**
 * Reads a message as a CloudEvent, in the mode in which it came: structured where the content type
 * is `application/cloudevents+json`, else binary, where the attributes are headers. The drivers
 * have told the attributes by the prefix of their binding. Data have to be JSON.
 *
 * @see CloudEvents 1.0.2, section 3.1 "Required attributes"; bindings of Kafka, NATS and AMQP,
 *   sections 3.1 "Binary" and 3.2 "Structured Content Mode"
 */
export const readCloudEvent = (
  message: Pick<ReceivedMessage, 'attributes' | 'data'>,
): EventReading => {
  const mediaType = mediaTypeOf(message.attributes['datacontenttype'])
  if (!mediaType.startsWith(STRUCTURED)) {
    return finish(message.attributes, { data: message.data, dataAt: '' })
  }
  if (mediaType === `${STRUCTURED}+json`) return readStructured(message.data)
  const what = mediaType.startsWith(`${STRUCTURED}-batch`) ? 'a batch' : 'of another format'
  return foreignFault('syntax', '/datacontenttype', `The CloudEvent is ${what} than one in JSON.`)
}

const STRUCTURED = 'application/cloudevents'

/** Without parameters, in lower case; empty where there is none. */
const mediaTypeOf = (contentType = ''): string =>
  (contentType.split(';', 1)[0] ?? '').trim().toLowerCase()

const isJson = (mediaType: string): boolean =>
  mediaType === '' || /^(?:application|text)\/(?:[^/]+\+)?json$/.test(mediaType)

function readStructured(bytes: Uint8Array): EventReading {
  const parsed = parseJson(bytes)
  if (!parsed.ok) return foreignFault('syntax', '', parsed.detail)
  const { value, text } = parsed
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return foreignFault('syntax', '', 'A CloudEvent in JSON is an object.')
  }
  const attributes: Record<string, string> = {}
  for (const [name, member] of Object.entries(value)) {
    if (name === 'data' || name === 'data_base64') continue
    // An attribute is a string, a number or a boolean; null is as if it were not there.
    if (member === null || typeof member === 'object') continue
    attributes[name] = String(member)
  }
  const base64: unknown = Reflect.get(value, 'data_base64')
  if (typeof base64 === 'string') {
    return finish(attributes, { data: Buffer.from(base64, 'base64'), dataAt: '/data_base64' })
  }
  // As it was written: a number beyond 2^53 must not be rounded on its way.
  const data = Buffer.from(rawValueAt(text, ['data']) ?? '', 'utf8')
  return finish(attributes, { data, dataAt: '/data' })
}

const REQUIRED = ['id', 'source', 'type'] as const

function finish(
  attributes: Readonly<Record<string, string>>,
  { data, dataAt }: Pick<CloudEvent, 'data' | 'dataAt'>,
): EventReading {
  const { id = '', source = '', type = '', specversion, time } = attributes
  const invalid = (pointer: string, problem: string): EventReading => ({
    ...foreignFault('syntax', pointer, problem),
    ...(type !== '' && { type }),
  })
  if (specversion === undefined) {
    return invalid('/specversion', 'It is no CloudEvent: it has no attribute specversion.')
  }
  if (specversion !== '1.0') return invalid('/specversion', 'Its specversion is not 1.0.')
  const missing = REQUIRED.find((name) => (attributes[name] ?? '') === '')
  if (missing !== undefined) return invalid(`/${missing}`, `The attribute ${missing} is missing.`)
  if (source.length > LIMITS.eventSourceCharsMax) {
    const problem = `The source has more than ${LIMITS.eventSourceCharsMax} characters.`
    return invalid('/source', problem)
  }
  if (!isJson(mediaTypeOf(attributes['datacontenttype']))) {
    return invalid('/datacontenttype', 'Its data are not JSON, by their content type.')
  }
  const timeMs = timeOf(time)
  return { kind: 'event', event: { id, source, type, timeMs, data, dataAt, attributes } }
}

/** RFC 3339, which needs a date, a time and an offset. */
const TIME = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/

function timeOf(time: string | undefined): number | undefined {
  if (time === undefined || !TIME.test(time)) return undefined
  const timeMs = Date.parse(time)
  return Number.isNaN(timeMs) || timeMs < 0 ? undefined : timeMs
}
