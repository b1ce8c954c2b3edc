import { hash } from 'node:crypto'
import { fromBase64, LIMITS, toBase64 } from '../kernel/index.ts'
import type { InvalidRow } from '../store/index.ts'
import type { ReceivedMessage } from '../transport/index.ts'
import type { MessageReading, MessageVerdict } from './read-message.ts'

/** The name under which what is no message of a topic is kept. */
export const topicShelf = (name: string): string => `topic/${name}`

/** The name of the topic whose shelf it is; undefined for other shelves. */
export const topicOfShelf = (shelf: string): string | undefined =>
  shelf.startsWith('topic/') ? shelf.slice('topic/'.length) : undefined

type Invalid = Extract<MessageVerdict, { kind: 'invalid' }>

/** Beside its headers the row says where the message was, and under which key. */
const PLACE = 'junctura-'
const ATTRIBUTE = 'ce-'

/**
 * The message as the shelf keeps it: bytes, headers and place. Of one that is larger than
 * `topicInvalidBytesMax` the beginning is kept, and the topic has the rest at that place.
 */
export const shelveMessage = (
  message: ReceivedMessage,
  verdict: Invalid,
  { source, nowMs, era }: MessageReading,
): InvalidRow => {
  const { fault } = verdict
  const shelf = topicShelf(source.name)
  const pointers = fault.errors.map(({ pointer }) => pointer.replace(/\/\d+(?=\/|$)/g, '/*'))
  const fields = [...new Set(pointers)].toSorted()
  const type = verdict.type.slice(0, 100)
  const identity = JSON.stringify([shelf, fault.reason, type, verdict.version, fields])
  const what = type === '' ? 'a message' : type
  const title = `${shelf}: ${what} is invalid (${fault.reason}) at ${fields.slice(0, 5).join(', ') || 'the document'}`
  const headers = headersOf(message, { resource: source.resource, era })
  const room = Math.max(0, LIMITS.topicInvalidBytesMax - bytesOf(headers))
  const isCut = message.data.length > room
  const errors = fault.errors.map(({ pointer, message: text }) => ({ pointer, message: text }))
  return {
    id: invalidId(shelf, message, { era, id: verdict.id }),
    state: 'open',
    webhook: shelf,
    reason: fault.reason,
    cause: `cause_${hash('sha256', identity, 'hex').slice(0, 24)}`,
    causeTitle: title.slice(0, LIMITS.causeCharsMax),
    contract: type,
    version: verdict.version,
    receivedAtMs: nowMs,
    mediaType: message.attributes['datacontenttype']?.slice(0, 200) ?? '',
    headers,
    body: toBase64(isCut ? message.data.subarray(0, room) : message.data),
    bodyBytes: message.data.length,
    errors: isCut ? [...errors, { pointer: '', message: CUT }] : errors,
    scheme: 'topic',
    messageId: verdict.id.slice(0, LIMITS.messageIdCharsMax),
  }
}

const CUT = 'It is larger than what is kept of an invalid message: this is its beginning.'

/**
 * The same message has the same id, whoever moves it. One without a place goes by what its writer
 * says of it and its bytes: two events whose data are alike are two. One that says no id has a new
 * one each time, so it may be kept twice and is never taken for another.
 */
function invalidId(
  shelf: string,
  { partition, offset, attributes, data }: ReceivedMessage,
  { era, id }: { readonly era: number; readonly id: string },
): string {
  const said = [attributes['source'] ?? '', attributes['type'] ?? '', id, hash('sha256', data)]
  const place = offset === '' ? JSON.stringify(said) : `${era}\n${partition}\n${offset}`
  return `inv_${hash('sha256', `${shelf}\n${place}`, 'hex').slice(0, 32)}`
}

function headersOf(
  message: ReceivedMessage,
  { resource, era }: { readonly resource: string; readonly era: number },
): Readonly<Record<string, string>> {
  const { partition, offset, key } = message
  const headers: Record<string, string> = { [`${PLACE}topic`]: resource }
  if (offset !== '') {
    headers[`${PLACE}partition`] = String(partition)
    headers[`${PLACE}offset`] = offset
    headers[`${PLACE}era`] = String(era)
  }
  if (key !== '') headers[`${PLACE}record-key`] = key
  let left = LIMITS.topicInvalidBytesMax / 2
  const put = (name: string, value: string): void => {
    left -= name.length + value.length
    if (left >= 0) headers[name] = value
    else headers[`${PLACE}cut`] = 'headers'
  }
  for (const [name, value] of Object.entries(message.attributes)) put(ATTRIBUTE + name, value)
  for (const [name, value] of Object.entries(message.headers)) {
    if (!name.startsWith(ATTRIBUTE) && !name.startsWith(PLACE)) put(name, value)
  }
  return headers
}

const bytesOf = (headers: Readonly<Record<string, string>>): number =>
  Object.entries(headers).reduce((sum, [name, value]) => sum + name.length + value.length, 0)

/** The message that was shelved, and the era it is of; undefined when not all of it was kept. */
export const unshelve = (
  row: InvalidRow,
): { readonly message: ReceivedMessage; readonly era: number } | undefined => {
  const data = fromBase64(row.body)
  const isCut = row.headers[`${PLACE}cut`] !== undefined
  if (isCut || data.length !== row.bodyBytes) return undefined
  const attributes: Record<string, string> = {}
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(row.headers)) {
    if (name.startsWith(ATTRIBUTE)) attributes[name.slice(ATTRIBUTE.length)] = value
    else if (!name.startsWith(PLACE)) headers[name] = value
  }
  const said = (name: string): string | undefined => row.headers[PLACE + name]
  const message = {
    partition: Number(said('partition') ?? '0'),
    offset: said('offset') ?? '',
    key: said('record-key') ?? '',
    attributes,
    headers,
    data,
  }
  return { message, era: Number(said('era') ?? '0') }
}
