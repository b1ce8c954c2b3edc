import {
  contractOfEvent,
  type AnyContract,
  type Draft,
  eventVersion,
  type Push,
} from '../contract/index.ts'
import { JuncturaError, LIMITS } from '../kernel/index.ts'
import {
  type EventReading,
  isFault,
  parseJson,
  readEvents,
  type ReceivedEvent,
} from '../schema/index.ts'
import { escapeControl } from '../security/index.ts'
import type { HttpReply } from './http-dial.ts'

export interface JudgeOptions {
  readonly nowMs: number
  /** Takes the personal data of the message out of a text. */
  readonly mask: (text: string) => string
}

/**
 * What a receiver made of a message: the events that it answered, ready to be emitted.
 *
 * @throws JUNCTURA_PUSH_REFUSED for 4xx other than 408, 425 and 429, and for events that cannot be
 *   taken: no later attempt mends it.
 * @throws JUNCTURA_PUSH_FAILED for everything else but 2xx, with `retryAfterMs` where it was asked.
 */
export const judgeReply = (
  push: Push,
  reply: HttpReply,
  { nowMs, mask }: JudgeOptions,
): readonly Draft[] => {
  const { status } = reply
  const { host } = new URL(push.url)
  if (status >= 200 && status < 300) return readDrafts(push, reply, host)
  const problem = `it answered HTTP ${status}${excerpt(reply, mask)}`
  if (status >= 400 && status < 500 && !TRY_AGAIN.has(status)) {
    throw new JuncturaError('JUNCTURA_PUSH_REFUSED', { details: { host, problem, status } })
  }
  const asked = retryAfterMs(reply.headers['retry-after'], nowMs)
  const details = {
    host,
    problem,
    status,
    ...(asked !== undefined && { retryAfterMs: Math.min(asked, push.retryAfterMsMax) }),
  }
  throw new JuncturaError('JUNCTURA_PUSH_FAILED', { details })
}

/** Request Timeout, Too Early, Too Many Requests. */
const TRY_AGAIN: ReadonlySet<number> = new Set([408, 425, 429])

/**
 * In quotes, so that answers that differ in a name or a number are still one cause. Masked before
 * it is cut: of a value that is cut in two, the first half would not be known again.
 */
function excerpt({ body }: HttpReply, mask: JudgeOptions['mask']): string {
  if (body.length === 0) return ''
  const text = mask(new TextDecoder().decode(body.subarray(0, LIMITS.maskTextCharsMax)))
  const line = escapeControl(text.slice(0, LIMITS.pushAnswerCharsMax)).replaceAll(/[“”]/g, '"')
  return `: “${line.slice(0, LIMITS.pushAnswerCharsMax)}”`
}

/** @see RFC 9110 section 10.2.3: seconds, or a date. */
export const retryAfterMs = (value: string | undefined, nowMs: number): number | undefined => {
  if (value === undefined) return undefined
  if (/^\d{1,9}$/.test(value.trim())) return Number(value) * 1_000
  const atMs = /^[A-Za-z]{3,9},? /.test(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs)
}

function readDrafts(push: Push, reply: HttpReply, host: string): readonly Draft[] {
  if (push.emits.length === 0 || reply.body.length === 0) return []
  const mediaType = (reply.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase()
  const isEvent = reply.headers['ce-specversion'] !== undefined
  if (mediaType === undefined || (!mediaType.startsWith('application/cloudevents') && !isEvent)) {
    return []
  }
  const refused = (problem: string): JuncturaError =>
    new JuncturaError('JUNCTURA_PUSH_REFUSED', { details: { host, problem } })
  if (reply.isCut)
    throw refused(`the events it answered are more than ${push.answerBytesMax} bytes`)
  const events = readEvents({
    mediaType,
    headers: Object.entries(reply.headers),
    raw: reply.body,
    eventsMax: LIMITS.emitsPerMessageMax,
  })
  if (events.mode === 'refused') throw refused('what it answered are no CloudEvents')
  const readings = events.mode === 'batch' ? events.readings : [events.reading]
  const contracts = new Map(push.emits.map((contract) => [contract.name, contract]))
  return readings.map((reading) => draftOf(reading, contracts, refused))
}

function draftOf(
  reading: EventReading,
  contracts: ReadonlyMap<string, AnyContract>,
  refused: (problem: string) => JuncturaError,
): Draft {
  if (isFault(reading)) throw refused('an event that it answered is no CloudEvent with JSON data')
  const { event } = reading
  const contract = contractOfEvent(event.type, contracts)
  if (!contract) throw refused('it answered an event of a type that `emits` does not name')
  if (eventVersion(event.attributes, contract) !== contract.latest) {
    throw refused(`it answered ${contract.name} in another version than ${contract.latest}`)
  }
  return { contract, data: dataOf(reading, refused) }
}

function dataOf(reading: ReceivedEvent, refused: (problem: string) => JuncturaError): unknown {
  if ('value' in reading) return reading.value
  const parsed = parseJson(reading.data)
  if (parsed.ok) return parsed.value
  throw refused('the data of an event that it answered is no JSON')
}
