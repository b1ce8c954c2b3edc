import { LIMITS } from '../kernel/index.ts'
import type { AnyContract } from './contract.ts'

/** Context attributes by name, each in its canonical string form. */
export type CloudEventAttributes = Readonly<Record<string, string>>

/**
 * An event that another program wrote, without its data: what its attributes say, checked. Every
 * transport gives it: the headers of a broker, those of an HTTP request, a JSON document.
 *
 * @see CloudEvents 1.0.2, section "Context Attributes"
 */
export interface CloudEvent {
  readonly id: string
  readonly source: string
  readonly type: string
  readonly subject?: string
  /** RFC 3339, as it was written. */
  readonly time?: string
  readonly datacontenttype?: string
  readonly dataschema?: string
  /** All of them, those above and the extensions. */
  readonly attributes: CloudEventAttributes
}

/** Data as an event brings it: a JSON value, bytes of any media type, or none. */
export type CloudEventData =
  | { readonly kind: 'json'; readonly value: unknown }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'none' }

/** The problem is a sentence for whoever wrote the event; it repeats no value of it. */
export type Unreadable = { readonly ok: false; readonly problem: string }

export type CloudEventReading = { readonly ok: true; readonly event: CloudEvent } | Unreadable

/**
 * The event that attributes describe: the required ones are there, each is of its type, and
 * together they are no larger than the headers of a request may be.
 *
 * @see CloudEvents 1.0.2, sections "Naming Conventions", "Type System", "REQUIRED Attributes"
 */
export const readCloudEvent = (attributes: CloudEventAttributes): CloudEventReading => {
  let characters = 0
  let count = 0
  for (const name in attributes) {
    const value = attributes[name]
    if (value === undefined) continue
    if (!NAME.test(name)) return unreadable('The name of an attribute is not of a-z and 0-9')
    if (!isText(value)) return unreadable(`The attribute ${name} has characters that are no text`)
    count++
    characters += name.length + value.length
  }
  if (count > LIMITS.headersMax || characters > LIMITS.headerBytesMax) {
    return unreadable(
      `The event has more than ${LIMITS.headersMax} attributes or ${LIMITS.headerBytesMax} characters in them`,
    )
  }
  if (attributes['specversion'] !== '1.0') {
    return unreadable('The attribute specversion is missing or not "1.0"')
  }
  const problem = CHECKS.find(({ name, isGood, isRequired }) => {
    const value = attributes[name]
    return value === undefined ? isRequired === true : !isGood(value)
  })
  if (problem) {
    return unreadable(`The attribute ${problem.name} is missing or not ${problem.is}`)
  }
  return { ok: true, event: eventOf(attributes) }
}

const NAME = /^[a-z0-9]{1,64}$/

const unreadable = (problem: string): Unreadable => ({ ok: false, problem: `${problem}.` })

/** What the type String allows: no control characters, no noncharacters, no half of a pair. */
const isText = (value: string): boolean =>
  ASCII.test(value) || !/[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/u.test(value)

const ASCII = /^[ -~]*$/

const isFilled = (value: string): boolean => value !== ''

/** The characters of RFC 3986; a percent sign begins an escape. */
const isUriReference = (value: string): boolean =>
  /^(?:[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+$/.test(value)

const isUri = (value: string): boolean =>
  isUriReference(value) && /^[A-Za-z][A-Za-z0-9+.-]*:/.test(value)

const TIME =
  /^(\d{4})-(\d\d)-(\d\d)[Tt]([01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d{1,20})?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/

/** RFC 3339, section 5.6; the day is one that its month has. */
const isTime = (value: string): boolean => {
  const [, year, month, day] = TIME.exec(value) ?? []
  if (day === undefined) return false
  const date = new Date(`${year}-${month}-${day}T00:00:00Z`)
  return date.getUTCDate() === Number(day)
}

const isMediaType = (value: string): boolean =>
  /^[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+\s*(?:;.*)?$/.test(value)

const CHECKS: readonly {
  readonly name: string
  readonly is: string
  readonly isGood: (value: string) => boolean
  readonly isRequired?: true
}[] = [
  { name: 'id', is: 'a text', isGood: isFilled, isRequired: true },
  { name: 'source', is: 'a URI reference', isGood: isUriReference, isRequired: true },
  { name: 'type', is: 'a text', isGood: isFilled, isRequired: true },
  { name: 'subject', is: 'a text', isGood: isFilled },
  { name: 'time', is: 'a time of RFC 3339', isGood: isTime },
  { name: 'datacontenttype', is: 'a media type', isGood: isMediaType },
  { name: 'dataschema', is: 'a URI', isGood: isUri },
]

const TEXTS: ReadonlySet<string> = new Set(['specversion', ...CHECKS.map(({ name }) => name)])

function eventOf(attributes: CloudEventAttributes): CloudEvent {
  const { subject, time, datacontenttype, dataschema } = attributes
  return {
    id: attributes['id'] ?? '',
    source: attributes['source'] ?? '',
    type: attributes['type'] ?? '',
    ...(subject !== undefined && { subject }),
    ...(time !== undefined && { time }),
    ...(datacontenttype !== undefined && { datacontenttype }),
    ...(dataschema !== undefined && { dataschema }),
    attributes,
  }
}

export type StructuredReading =
  | { readonly ok: true; readonly event: CloudEvent; readonly data: CloudEventData }
  | Unreadable

/**
 * The event that a parsed document of the JSON event format describes. Without `datacontenttype`,
 * a `data` member is JSON, and the event says so then.
 *
 * @see CloudEvents 1.0.2, JSON Event Format, sections 2.2 and 3.1.2
 */
export const readStructuredEvent = (document: unknown): StructuredReading => {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    return unreadable('The event is not a JSON object')
  }
  const attributes: Record<string, string> = {}
  for (const [name, value] of Object.entries(document)) {
    if (name === 'data' || name === 'data_base64' || value === null) continue
    if (!NAME.test(name)) return unreadable('The name of an attribute is not of a-z and 0-9')
    const text = attributeText(name, value)
    if (text === undefined) {
      const is = TEXTS.has(name) ? 'a text' : 'a text, a boolean or a 32-bit integer'
      return unreadable(`The attribute ${name} is not ${is}`)
    }
    attributes[name] = text
  }
  const data = readData(document, attributes['datacontenttype'])
  if (typeof data === 'string') return unreadable(data)
  if (data.kind === 'json') attributes['datacontenttype'] ??= 'application/json'
  const reading = readCloudEvent(attributes)
  return reading.ok ? { ...reading, data } : reading
}

/** Attributes that must be texts come as texts: the number 1 is not the id "1". */
function attributeText(name: string, value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (TEXTS.has(name)) return undefined
  if (typeof value === 'boolean') return String(value)
  const isInteger = typeof value === 'number' && Number.isInteger(value)
  return isInteger && value >= -2_147_483_648 && value <= 2_147_483_647 ? String(value) : undefined
}

function readData(document: object, contentType: string | undefined): CloudEventData | string {
  const hasData = Object.hasOwn(document, 'data')
  const base64: unknown = Object.hasOwn(document, 'data_base64')
    ? Reflect.get(document, 'data_base64')
    : undefined
  if (base64 !== undefined && base64 !== null) {
    if (hasData) return 'The event has both data and data_base64'
    if (typeof base64 !== 'string' || !BASE64.test(base64)) return 'data_base64 is not base64'
    return { kind: 'bytes', bytes: Buffer.from(base64, 'base64') }
  }
  if (!hasData) return { kind: 'none' }
  const value: unknown = Reflect.get(document, 'data')
  if (contentType === undefined || isJsonMediaType(contentType)) return { kind: 'json', value }
  if (typeof value !== 'string') return 'data is not a text, though datacontenttype is not JSON'
  return { kind: 'bytes', bytes: Buffer.from(value, 'utf8') }
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** `application/json`, or anything that ends in `+json`, whatever its parameters. */
export const isJsonMediaType = (mediaType: string): boolean =>
  /^[^/;\s]+\/(?:[^/;\s]*\+)?json\s*(?:;|$)/i.test(mediaType)

/**
 * What says that two events are one: source and id together. A source has no space, so two
 * different pairs never make one key.
 */
export const cloudEventKey = ({ source, id }: Pick<CloudEvent, 'source' | 'id'>): string =>
  `${source} ${id}`

/** The contract's name and the version that a type names; `orders.placed.v2` names both. */
export const readEventType = (
  type: string,
): { readonly name: string; readonly version?: number } => {
  const versioned = /^(.+)\.v([1-9]\d{0,8})$/.exec(type)
  const [, name, version] = versioned ?? []
  return name === undefined ? { name: type } : { name, version: Number(version) }
}

/** The contract of an event; a name that itself ends in `.v2` is found as it is written. */
export const contractOfEvent = <C extends Pick<AnyContract, 'name'>>(
  type: string,
  contracts: ReadonlyMap<string, C>,
): C | undefined => contracts.get(type) ?? contracts.get(readEventType(type).name)

/**
 * The version of its contract that an event's data is written in: by the extension
 * `contractversion`, as Junctura writes it; by a `dataschema` that ends in the contract's name and
 * a version (`…/orders.placed/2`, `…/orders.placed#v2`); by the type (`orders.placed.v2`); else the
 * contract's only one. Undefined when nothing says it, or two of them say different things.
 *
 * A `dataschema` that does not name the contract is somebody else's identifier and says nothing.
 */
export const eventVersion = (
  attributes: CloudEventAttributes,
  contract: Pick<AnyContract, 'name' | 'versions'>,
): number | undefined => {
  const said = new Set<number>()
  const { contractversion, dataschema, type = '' } = attributes
  if (contractversion !== undefined)
    said.add(VERSION.test(contractversion) ? Number(contractversion) : 0)
  const bySchema = dataschema === undefined ? undefined : schemaVersion(dataschema, contract.name)
  if (bySchema !== undefined) said.add(bySchema)
  const { name, version } = readEventType(type)
  if (version !== undefined && name === contract.name) said.add(version)
  const [first] =
    said.size > 0 ? said : contract.versions.size === 1 ? contract.versions.keys() : []
  return said.size > 1 || first === 0 ? undefined : first
}

const VERSION = /^[1-9]\d{0,8}$/

function schemaVersion(dataschema: string, name: string): number | undefined {
  const at = dataschema.lastIndexOf(name)
  if (at < 0 || !/[/:#=]$/.test(dataschema.slice(0, at))) return undefined
  const [, version] = /^[/#.:]v?([1-9]\d{0,8})$/.exec(dataschema.slice(at + name.length)) ?? []
  return version === undefined ? undefined : Number(version)
}
