import type { CloudEventAttributes } from './cloud-event.ts'

/**
 * Attributes as the headers of an HTTP message in binary content mode. The media type of the data
 * is `content-type`; every other attribute has a header of its own.
 *
 * @see CloudEvents 1.0.2, HTTP Protocol Binding, section 3.1
 */
export const toCloudEventHeaders = (
  attributes: CloudEventAttributes,
): Readonly<Record<string, string>> => {
  const headers: Record<string, string> = {}
  for (const name in attributes) {
    const value = attributes[name]
    if (value === undefined) continue
    if (name === 'datacontenttype') headers['content-type'] = value
    else headers[`ce-${name}`] = encodeHeaderValue(value)
  }
  return headers
}

export type AttributesReading =
  | { readonly ok: true; readonly attributes: CloudEventAttributes }
  | { readonly ok: false; readonly problem: string }

/**
 * The attributes in the headers of an HTTP message. Each may come once: of two values nobody knows
 * which one is meant.
 */
export const fromCloudEventHeaders = (
  headers: Iterable<readonly [name: string, value: string]>,
): AttributesReading => {
  const attributes: Record<string, string> = {}
  for (const [written, value] of headers) {
    const lower = written.toLowerCase()
    const isContentType = lower === 'content-type'
    if (!isContentType && !lower.startsWith('ce-')) continue
    const name = isContentType ? 'datacontenttype' : lower.slice(3)
    if (name === 'datacontenttype' && !isContentType) {
      return {
        ok: false,
        problem: 'The media type belongs into content-type, not into a ce- header.',
      }
    }
    if (Object.hasOwn(attributes, name)) {
      return { ok: false, problem: `The header ${printable(lower)} came more than once.` }
    }
    const decoded = isContentType ? value : decodeHeaderValue(value)
    if (decoded === undefined) {
      return {
        ok: false,
        problem: `The header ${printable(lower)} is not UTF-8 once it is decoded.`,
      }
    }
    attributes[name] = decoded
  }
  return { ok: true, attributes }
}

const printable = (name: string): string => name.slice(0, 64)

/** Everything but space, `"`, `%` and what is not printable ASCII stays as it is. */
const PLAIN = /^[!#$&-~]*$/

/** @see CloudEvents 1.0.2, HTTP Protocol Binding, section 3.1.3.2 */
export const encodeHeaderValue = (value: string): string => {
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

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * One round: quotes are taken off first, then escapes are read. A percent sign that begins no
 * escape stays. Undefined for what is no UTF-8 then, such as an overlong form.
 */
export const decodeHeaderValue = (raw: string): string | undefined => {
  const value = raw.startsWith('"') && raw.endsWith('"') && raw.length > 1 ? unquote(raw) : raw
  if (PRINTABLE.test(value) && !value.includes('%')) return value
  if (!BYTES.test(value)) return undefined
  try {
    // Headers come as one character per byte; a sender that left bytes as they are is read too.
    const bytes = Buffer.from(value.replaceAll(/%([0-9A-Fa-f]{2})/g, escapeToByte), 'latin1')
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

const PRINTABLE = /^[ -~]*$/
// oxlint-disable-next-line no-control-regex -- Every byte is meant.
const BYTES = /^[\0-\u00ff]*$/

const escapeToByte = (_: string, hex: string): string =>
  String.fromCharCode(Number.parseInt(hex, 16))

const unquote = (quoted: string): string => quoted.slice(1, -1).replaceAll(/\\(.)/g, '$1')
