import type { Msg } from '@nats-io/transport-node'
import { encodeHeaderValue } from '../../contract/index.ts'
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
  let text = `NATS/1.0\r\nNats-Msg-Id: ${encodeHeaderValue(dedupeIdOf(message))}\r\n`
  for (const name in attributes) {
    const value = attributes[name]
    if (value !== undefined) text += headerNameOf(name) + encodeHeaderValue(value) + '\r\n'
  }
  if (attributes['partitionkey'] !== key) text += `${KEY_HEADER}: ${encodeHeaderValue(key)}\r\n`
  return text
}

/** Where the key is when the attribute `partitionkey` does not say it. */
const KEY_HEADER = 'junctura-key'

/**
 * By what the server drops repeats. Two senders may give one id to two messages, so the id is not
 * enough: of records of the log the position says which it is, of others the source does.
 *
 * Where the stream is the record, another run of the relay sends another message: whoever reads
 * leaves out what a run sends that was replaced, so the server must not keep that in the place of
 * the repeat which counts.
 */
function dedupeIdOf({ id, attributes }: BrokerMessage): string {
  const { logposition, logturn, source } = attributes
  const place = logposition ?? source ?? ''
  return logturn === undefined ? `${id} ${place}` : `${id} ${place} ${logturn}`
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

export interface ReadHeaders {
  readonly key: string
  readonly attributes: Attributes
  readonly headers: Attributes
}

/** The headers of any message, ours or of another program. */
export const readHeaders = (message: Msg): ReadHeaders => {
  const found: Found = { attributes: {}, headers: {} }
  const text = headerTextOf(message)
  if (text !== undefined) eachLine(text, found)
  else {
    for (const [name, values] of message.headers ?? [])
      put(found, lineOf(name), values.at(-1) ?? '')
  }
  const { attributes, headers, key, contentType } = found
  if (contentType !== undefined) attributes['datacontenttype'] ??= contentType
  return { key: key ?? attributes['partitionkey'] ?? '', attributes, headers }
}

interface Found {
  readonly attributes: Record<string, string>
  readonly headers: Record<string, string>
  key?: string
  contentType?: string
}

/** What stands before the value of a header, and what it means. */
interface Line {
  /** The name as it was written, with the colon. */
  readonly begin: string
  readonly kind: 'attribute' | 'key' | 'content-type' | 'other'
  readonly name: string
}

function lineOf(written: string): Line {
  const begin = `${written}:`
  const lower = written.toLowerCase()
  if (lower.startsWith('ce-')) return { begin, kind: 'attribute', name: lower.slice(3) }
  if (lower === KEY_HEADER) return { begin, kind: 'key', name: lower }
  if (lower === 'content-type') return { begin, kind: 'content-type', name: lower }
  return { begin, kind: 'other', name: written }
}

function put(found: Found, { kind, name, begin }: Line, raw: string): void {
  const value = kind === 'attribute' || kind === 'key' ? decodeValue(raw) : undefined
  if (value === undefined) {
    // Not of CloudEvents, or not well formed: it stays as it came.
    if (kind === 'content-type') found.contentType = raw
    else found.headers[begin.slice(0, -1)] = raw
  } else if (kind === 'attribute') {
    found.attributes[name] = value
  } else {
    found.key = value
  }
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

/**
 * The names of the message before. One program writes the same headers in the same order, so its
 * next message has the same name in the same place, and only the values have to be taken.
 */
const shape: Line[] = []
const SHAPE_MAX = 64

function eachLine(text: string, found: Found): void {
  let at = text.indexOf('\r\n') + 2
  for (let index = 0; ; index++) {
    const end = text.indexOf('\r\n', at)
    if (end <= at) return
    let line = shape[index]
    if (line === undefined || !text.startsWith(line.begin, at)) {
      const colon = text.indexOf(':', at)
      line = lineOf(text.slice(at, colon < 0 ? end : Math.min(colon, end)))
      if (index < SHAPE_MAX) shape[index] = line
    }
    put(found, line, trimmed(text, at + line.begin.length, end))
    at = end + 2
  }
}

const SPACE = 0x20

/** In the usual case there is one space, and it is before the value. */
function trimmed(text: string, from: number, end: number): string {
  const at = text.charCodeAt(from) === SPACE ? from + 1 : from
  const isBare = text.charCodeAt(at) > SPACE && text.charCodeAt(end - 1) > SPACE
  return isBare ? text.slice(at, end) : text.slice(from, end).trim()
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
