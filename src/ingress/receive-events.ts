import { type CloudEvent, contractOfEvent, eventVersion, type Webhook } from '../contract/index.ts'
import { type BorderRequest, contractKey } from '../inbox/index.ts'
import { readTraceContext, type SpanContext } from '../observe/index.ts'
import { type EventFault, type EventReading, isFault, readEvents } from '../schema/index.ts'
import type { Verified } from '../security/index.ts'
import type { IngressResponse } from './ingress-request.ts'
import { problem } from './problem.ts'
import { type Crossing, receiveBody, turnAway } from './receive-body.ts'
import { acceptRequest, borderRequest, LABEL } from './receive-webhook.ts'
import { verifyRequest } from './verify-request.ts'

type Doors = ReadonlyMap<string, Webhook>

/**
 * The way of a request to an events endpoint: its body and its sender as of a webhook, then each
 * event as a message of the door of its contract. Each event of a batch stands by itself: those
 * that are valid are taken, and the answer says of each what became of it. Events of one key are
 * taken in the order of the batch.
 */
export const receiveEvents = (crossing: Crossing, doors: Doors): Promise<IngressResponse> =>
  receiveBody(crossing, async (mediaType, raw) => {
    const verified = await verifyRequest(crossing, raw)
    if ('status' in verified) return verified
    const { headers, desk } = crossing
    const eventsMax = desk.messagesOf.endpoint?.eventsMax ?? 1
    const events = readEvents({ mediaType, headers: headers.entries(), raw, eventsMax })
    const take = (reading: EventReading): Promise<IngressResponse> =>
      takeEvent(crossing, reading, { doors, verified })
    if (events.mode === 'refused') return refuseEvent(crossing, events.fault)
    if (events.mode === 'single') return take(events.reading)
    // What an endpoint answers to one event may be without a body, which a batch needs of each.
    const each = withPlainAnswers(crossing)
    const takeOne = (reading: EventReading): Promise<IngressResponse> =>
      takeEvent(each, reading, { doors, verified })
    return answerBatch(await takeInOrder(events.readings, { doors, take: takeOne }))
  })

const withPlainAnswers = (crossing: Crossing): Crossing => {
  const { desk } = crossing
  const verify = { ...desk.webhook.verify, answer: { accepted: 202, duplicate: 200 } }
  return { ...crossing, desk: { ...desk, webhook: { ...desk.webhook, verify } } }
}

const refuseEvent = (crossing: Crossing, { code, details }: EventFault): IngressResponse =>
  turnAway(crossing, code, {
    reason: code === 'JUNCTURA_CONTENT_TYPE' ? 'content-type' : 'event',
    details,
    close: false,
  })

async function takeEvent(
  crossing: Crossing,
  reading: EventReading,
  { doors, verified }: { readonly doors: Doors; readonly verified: Verified },
): Promise<IngressResponse> {
  if (isFault(reading)) return refuseEvent(crossing, reading)
  const { event, data } = reading
  const door = contractOfEvent(event.type, namesOf(doors))
  const webhook = door && doors.get(door.name)
  if (!webhook) {
    return turnAway(crossing, 'JUNCTURA_EVENT_TYPE_UNKNOWN', {
      reason: 'event',
      details: { taken: [...doors.keys()].join(', ') },
      close: false,
    })
  }
  const parts = { verified, mediaType: 'application/json', raw: data }
  return acceptRequest(crossing, eventRequest(borderRequest(crossing, parts), webhook, event))
}

const namesOf = (doors: Doors): ReadonlyMap<string, Webhook['accepts']> =>
  new Map([...doors].map(([name, { accepts }]) => [name, accepts]))

/** The same request for every content mode: what the event says, as headers of binary mode. */
function eventRequest(request: BorderRequest, webhook: Webhook, event: CloudEvent): BorderRequest {
  const { attributes } = event
  const { correlationid, causationid } = attributes
  const trace = traceOf(event)
  return {
    ...request,
    webhook,
    header: (name) => (name.startsWith('ce-') ? attributes[name.slice(3)] : request.header(name)),
    ...(correlationid !== undefined &&
      LABEL.test(correlationid) && { correlationId: correlationid }),
    ...(causationid !== undefined && LABEL.test(causationid) && { causationId: causationid }),
    ...(trace && { trace }),
  }
}

/** @see CloudEvents extension "Distributed Tracing": the trace in which the event was made. */
function traceOf({ attributes: { traceparent, tracestate } }: CloudEvent): SpanContext | undefined {
  if (traceparent === undefined) return undefined
  const state = tracestate === undefined ? [] : [['tracestate', tracestate] as const]
  return readTraceContext([['traceparent', traceparent], ...state])
}

/** Events of one key one after the other, all others at once: they share commits then. */
async function takeInOrder(
  readings: readonly EventReading[],
  parts: {
    readonly doors: Doors
    readonly take: (reading: EventReading) => Promise<IngressResponse>
  },
): Promise<readonly IngressResponse[]> {
  const lanes = lanesOf(readings, parts.doors)
  const taken = new Map<number, IngressResponse>()
  await Promise.all(
    lanes.map(async (lane) => {
      for (const index of lane) {
        const reading = readings[index]
        if (reading) taken.set(index, await parts.take(reading))
      }
    }),
  )
  return [...taken].toSorted(([left], [right]) => left - right).map(([, response]) => response)
}

/** Places in the batch, by key; one lane for all where a key cannot be told before it is lifted. */
function lanesOf(readings: readonly EventReading[], doors: Doors): readonly (readonly number[])[] {
  const lanes = new Map<string, number[]>()
  const contracts = namesOf(doors)
  for (const [index, reading] of readings.entries()) {
    const lane = isFault(reading) ? '' : laneOf(reading, contracts)
    if (lane === undefined) return [[...readings.keys()]]
    const name = lane === '' ? `#${index}` : lane
    const known = lanes.get(name)
    if (known) known.push(index)
    else lanes.set(name, [index])
  }
  return [...lanes.values()]
}

/** Empty where no order is kept, undefined where the key is not known yet. */
function laneOf(
  reading: Exclude<EventReading, EventFault>,
  contracts: ReadonlyMap<string, Webhook['accepts']>,
): string | undefined {
  const { attributes, type } = reading.event
  const contract = contractOfEvent(type, contracts)
  if (!contract || contract.key.length === 0) return ''
  if (!('value' in reading)) return undefined
  if (eventVersion(attributes, contract) !== contract.latest) return undefined
  const key = contractKey(contract.key, reading.value)
  return key.ok ? `${contract.channel}\n${key.key ?? ''}` : ''
}

interface Result {
  readonly index: number
  readonly status: string
  readonly id?: string | null
  readonly problem?: Readonly<Record<string, unknown>>
}

/** 202 when all are taken, 200 when all were taken before, 422 when at least one is refused. */
function answerBatch(responses: readonly IngressResponse[]): IngressResponse {
  const results = responses.map(resultOf)
  const count = (status: string): number => results.filter((one) => one.status === status).length
  const counts = { accepted: count('accepted'), duplicate: count('duplicate') }
  const refused = count('refused')
  if (refused > 0) {
    const details = { refused, events: results.length }
    return problem('JUNCTURA_BATCH_REFUSED', {
      details,
      members: { ...counts, refused, results },
    })
  }
  return {
    status: counts.accepted > 0 ? 202 : 200,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...counts, refused, results }),
    close: false,
  }
}

function resultOf(response: IngressResponse, index: number): Result {
  const document: { readonly id?: string | null; readonly status?: unknown } = JSON.parse(
    response.body,
  )
  if (response.status >= 400) return { index, status: 'refused', problem: { ...document } }
  return { index, status: String(document.status), id: document.id ?? null }
}
