import { LIMITS } from '../../kernel/index.ts'
import type { Attributes, BrokerMessage, ReceivedMessage } from '../broker.ts'
import type { AmqpMessage, AmqpPublishOptions } from './amqp-client.ts'
import { refused } from './amqp-failure.ts'

/**
 * A message as AMQP 0-9-1 carries it: attributes as headers, the rest as properties.
 *
 * @see CloudEvents 1.0.2, AMQP Protocol Binding, section 3.1. It is written for AMQP 1.0, whose
 * application properties are the headers of 0-9-1: RabbitMQ itself maps one to the other.
 */
export interface WireMessage {
  readonly routingKey: string
  readonly content: Buffer
  readonly options: AmqpPublishOptions
}

/** Written; later drafts of the binding, and those who cannot write a colon, use the other. */
const PREFIX = 'cloudEvents:'
const OTHER_PREFIX = 'cloudEvents_'
/** The key of a message that has no attribute `partitionkey` to say it. */
const KEY_HEADER = 'junctura-key'
/** AMQP 0-9-1, "short string": a routing key, a content type, an id. */
const SHORT_BYTES_MAX = 255

export const toWireMessage = ({ id, key, attributes, data }: BrokerMessage): WireMessage => {
  const headers: Record<string, string> = {}
  let contentType: string | undefined
  for (const name in attributes) {
    const value = attributes[name]
    if (value === undefined) continue
    if (name === 'datacontenttype' && isShort(value)) contentType = value
    else headers[headerName(name)] = value
  }
  if (key !== '' && attributes['partitionkey'] !== key) headers[KEY_HEADER] = key
  const options: AmqpPublishOptions = { headers, persistent: true }
  if (contentType !== undefined) options.contentType = contentType
  // A longer id is in the attributes alone.
  if (isShort(id)) options.messageId = id
  return { routingKey: routingKeyOf(attributes['type'] ?? ''), content: asBuffer(data), options }
}

/**
 * Whether the broker would ever take it.
 *
 * @throws JUNCTURA_TRANSPORT_REFUSED when it is too large.
 */
export const checkSize = ({ id, key, attributes, data }: BrokerMessage, bytesMax: number): void => {
  const headerBytes = headerBytesOf(attributes, key)
  if (headerBytes > LIMITS.rabbitmqHeaderBytesMax) {
    throw refused({
      resource: `message ${id}`,
      problem: `its attributes take ${headerBytes} bytes of ${LIMITS.rabbitmqHeaderBytesMax}`,
      fix: 'put what is long into the data',
    })
  }
  const bytes = data.length + headerBytes
  if (bytes <= bytesMax) return
  throw refused({
    resource: `message ${id}`,
    problem: `it has ${bytes} bytes of ${bytesMax}`,
    fix: 'send less in one message, or keep the large part elsewhere and send its address',
  })
}

export const fromWireMessage = ({ content, fields, properties }: AmqpMessage): ReceivedMessage => {
  const attributes: Record<string, string> = {}
  const headers: Record<string, string> = {}
  const { contentType } = properties
  if (typeof contentType === 'string') attributes['datacontenttype'] = contentType
  let key = ''
  const sent: Readonly<Record<string, unknown>> = properties.headers ?? {}
  for (const name in sent) {
    const value = sent[name]
    const text = typeof value === 'string' ? value : asText(value)
    const attribute = attributeNames.get(name) ?? attributeName(name)
    if (attribute !== undefined) attributes[attribute] = text
    else if (name === KEY_HEADER) key = text
    else headers[name] = text
  }
  if (attributes['specversion'] === undefined) addProperties(headers, { fields, properties })
  return {
    partition: 0,
    offset: '',
    key: key === '' ? (attributes['partitionkey'] ?? '') : key,
    attributes,
    headers,
    data: content,
  }
}

/** What a writer that knows nothing of CloudEvents says of its message beside the headers. */
function addProperties(
  headers: Record<string, string>,
  { fields, properties }: Pick<AmqpMessage, 'fields' | 'properties'>,
): void {
  const said: Readonly<Record<string, unknown>> = {
    'amqp:exchange': fields.exchange,
    'amqp:routing-key': fields.routingKey,
    'amqp:content-encoding': properties.contentEncoding,
    'amqp:priority': properties.priority,
    'amqp:correlation-id': properties.correlationId,
    'amqp:reply-to': properties.replyTo,
    'amqp:expiration': properties.expiration,
    'amqp:message-id': properties.messageId,
    'amqp:timestamp': properties.timestamp,
    'amqp:type': properties.type,
    'amqp:user-id': properties.userId,
    'amqp:app-id': properties.appId,
  }
  for (const [name, value] of Object.entries(said)) {
    if (value !== undefined && value !== '') headers[name] = asText(value)
  }
}

/** Made once: a program has few names. Past the maximum they are made each time. */
const headerNames = new Map<string, string>()
const NAMES_MAX = 256

function headerName(attribute: string): string {
  const known = headerNames.get(attribute)
  if (known !== undefined) return known
  const name = PREFIX + attribute
  if (headerNames.size < NAMES_MAX) headerNames.set(attribute, name)
  return name
}

const attributeNames = new Map<string, string>()

function attributeName(header: string): string | undefined {
  if (!header.startsWith(PREFIX) && !header.startsWith(OTHER_PREFIX)) return undefined
  const name = header.slice(PREFIX.length)
  if (attributeNames.size < NAMES_MAX) attributeNames.set(header, name)
  return name
}

const isShort = (text: string): boolean =>
  text.length <= SHORT_BYTES_MAX && Buffer.byteLength(text) <= SHORT_BYTES_MAX

/** Others bind by it; a type that is too long for it is found by its beginning. */
function routingKeyOf(type: string): string {
  if (isShort(type)) return type
  let end = Math.min(type.length, SHORT_BYTES_MAX)
  while (Buffer.byteLength(type.slice(0, end)) > SHORT_BYTES_MAX) end -= 1
  return type.slice(0, end)
}

const asBuffer = (data: Uint8Array): Buffer =>
  Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength)

/** A header takes its name, its value, and a length of each. */
function headerBytesOf(attributes: Attributes, key: string): number {
  let chars = key.length
  let names = PREFIX.length
  for (const name in attributes) {
    chars += attributes[name]?.length ?? 0
    names += name.length + PREFIX.length + 6
  }
  // Counting bytes costs more than all the rest, and is hardly ever needed: UTF-8 takes no more
  // than three bytes for each code unit.
  if (chars * 3 + names <= LIMITS.rabbitmqHeaderBytesMax) return chars + names
  let bytes = names + Buffer.byteLength(key)
  for (const name in attributes) bytes += Buffer.byteLength(attributes[name] ?? '')
  return bytes
}

/** A value of a field table in its canonical text. */
export const asText = (value: unknown): string => {
  if (typeof value === 'string') return value
  if (value === null || value === undefined) return ''
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  // CloudEvents 1.0.2, section "Type System": bytes are base64.
  if (Buffer.isBuffer(value)) return value.toString('base64')
  if (typeof value !== 'object') return ''
  if (!('!' in value) || !('value' in value)) return JSON.stringify(value)
  if (value['!'] === 'timestamp' && typeof value.value === 'number') return timeText(value.value)
  if (value['!'] === 'decimal') return decimalText(value.value)
  return JSON.stringify(value.value)
}

/** Seconds; what is no time of the calendar stays a number. */
const timeText = (seconds: number): string => {
  const time = new Date(seconds * 1_000)
  return Number.isNaN(time.getTime()) ? String(seconds) : time.toISOString()
}

const decimalText = (value: unknown): string => {
  if (typeof value !== 'object' || value === null) return ''
  if (!('places' in value) || !('digits' in value)) return ''
  const { places, digits } = value
  if (typeof places !== 'number' || typeof digits !== 'number') return ''
  return places > 20 ? `${digits}e-${places}` : (digits / 10 ** places).toFixed(places)
}
