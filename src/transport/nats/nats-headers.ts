import type { Msg } from '@nats-io/transport-node'
import type { Attributes, BrokerMessage } from '../broker.ts'
import { refused } from './nats-errors.ts'

/**
 * Headers as the NATS binding of CloudEvents has them: each attribute, the content type too, is a
 * header `ce-<name>` whose value is percent-encoded where it is not plain text. They are written
 * and read here and not by the client, which takes several times as long for it.
 *
 * @see CloudEvents 1.0.3, NATS Protocol Binding, section 3.1 "Binary Content Mode"
 */
export const encodeHeaders = (message: BrokerMessage): string => {
  const { attributes, key } = message
  let text = `NATS/1.0\r\nNats-Msg-Id: ${encodeValue(dedupeIdOf(message))}\r\n`
  for (const name in attributes) {
    const value = attributes[name]
    if (value !== undefined) text += headerNameOf(name) + encodeValue(value) + '\r\n'
  }
  if (attributes['partitionkey'] !== key) text += `${KEY_HEADER}: ${encodeValue(key)}\r\n`
  return text
}

/** Where the key is when the attribute `partitionkey` does not say it. */
const KEY_HEADER = 'junctura-key'

/**
 * By what the server drops repeats. Two senders may give one id to two messages, so the id is not
 * enough: of records of the log the position says which it is, of others the source does.
 */
function dedupeIdOf({ id, attributes }: BrokerMessage): string {
  return `${id} ${attributes['logposition'] ?? attributes['source'] ?? ''}`
}

const headerNames = new Map<string, string>()
/** Names come from declarations; more than this are made anew each time. */
const HEADER_NAMES_MAX = 1_024

function headerNameOf(name: string): string {
  const known = headerNames.get(name)
  if (known !== undefined) return known
  if (!/^[a-z0-9]+$/.test(name)) {
    const fix = 'CloudEvents allows a-z and 0-9'
    throw refused({ resource: `the attribute ${name}`, problem: 'no header can be called so', fix })
  }
  const header = `ce-${name}: `
  if (headerNames.size < HEADER_NAMES_MAX) headerNames.set(name, header)
  return header
}

/** Everything but space, `"`, `%` and what is not printable ASCII stays as it is. */
const PLAIN = /^[!#$&-~]*$/

const encodeValue = (value: string): string => {
  if (PLAIN.test(value)) return value
  let encoded = ''
  for (const byte of Buffer.from(value, 'utf8')) {
    const isPlain = byte > 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x25
    encoded += isPlain
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return encoded
}

export interface ReadHeaders {
  readonly key: string
  readonly attributes: Attributes
  readonly headers: Attributes
}

/** The headers of any message, ours or of another program. */
export const readHeaders = (message: Msg): ReadHeaders => {
  const attributes: Record<string, string> = {}
  const headers: Record<string, string> = {}
  let key: string | undefined
  let contentType: string | undefined
  const put = (name: string, raw: string): void => {
    const lower = name.toLowerCase()
    const isAttribute = lower.startsWith('ce-')
    const value = isAttribute || lower === KEY_HEADER ? decodeValue(raw) : undefined
    if (value === undefined) {
      // Not of CloudEvents, or not well formed: it stays as it came.
      if (lower === 'content-type') contentType = raw
      else headers[name] = raw
    } else if (isAttribute) {
      attributes[lower.slice(3)] = value
    } else {
      key = value
    }
  }
  const text = headerTextOf(message)
  if (text !== undefined) eachLine(text, put)
  else for (const [name, values] of message.headers ?? []) put(name, values.at(-1) ?? '')
  if (contentType !== undefined) attributes['datacontenttype'] ??= contentType
  return { key: key ?? attributes['partitionkey'] ?? '', attributes, headers }
}

/**
 * The headers as they are on the wire: right before the data, in the same memory. Undefined where
 * the client does not keep them so.
 */
function headerTextOf(message: Msg): string | undefined {
  const { data, subject, reply } = message
  const size = 'size' in message && typeof message.size === 'function' ? message.size() : undefined
  if (typeof size !== 'number') return undefined
  const length = size - subject.length - (reply?.length ?? 0) - data.length
  if (length < BEGIN.length || length > data.byteOffset) return undefined
  const text = Buffer.from(data.buffer, data.byteOffset - length, length).toString('utf8')
  return text.startsWith(BEGIN) && text.endsWith('\r\n\r\n') ? text : undefined
}

const BEGIN = 'NATS/1.0'

function eachLine(text: string, put: (name: string, value: string) => void): void {
  let at = text.indexOf('\r\n') + 2
  for (;;) {
    const end = text.indexOf('\r\n', at)
    if (end <= at) return
    const colon = text.indexOf(':', at)
    if (colon > at && colon < end) put(text.slice(at, colon), text.slice(colon + 1, end).trim())
    at = end + 2
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Undefined for what is no UTF-8 once it is decoded. */
function decodeValue(raw: string): string | undefined {
  const value = raw.startsWith('"') && raw.endsWith('"') && raw.length > 1 ? unquote(raw) : raw
  if (!value.includes('%')) return value
  try {
    return value.replaceAll(/(?:%[0-9A-Fa-f]{2})+/g, (run) =>
      utf8.decode(Buffer.from(run.replaceAll('%', ''), 'hex')),
    )
  } catch {
    return undefined
  }
}

const unquote = (quoted: string): string => quoted.slice(1, -1).replaceAll(/\\(.)/g, '$1')
