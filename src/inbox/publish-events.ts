import { type Draft, type Envelope, globalId } from '../contract/index.ts'
import { JuncturaError, LIMITS } from '../kernel/index.ts'
import { parseTraceparent, type SpanContext } from '../observe/index.ts'
import type { Append, Claim, CommitUnit } from '../store/index.ts'
import { dropKnownFacts, factClaim } from './fact-claims.ts'
import { commitError, type InboxContext } from './inbox-context.ts'
import { eventAppend, eventRecord, type MessageOrigin, traceOf } from './message-record.ts'
import type { RecordPort } from './record-port.ts'
import { isVolatile, type PreparedEvent, prepareEvent } from './prepare-event.ts'

export interface PublishOptions {
  readonly correlationId?: string
  readonly causationId?: string
  readonly trace?: SpanContext
}

export interface Published {
  /** Of the message, or of the one that carried its fact first. */
  readonly id: string
  /** True when the fact was in the log already; nothing was appended then. */
  readonly isDuplicate: boolean
}

const ROUNDS_MAX = 8

/**
 * Appends messages in one commit, all or none; what carries a known fact is left out. Resolves
 * once they are durable, in the order given. Those of contracts whose record is the transport are
 * published there, and when that fails some of them may be there.
 *
 * @throws JUNCTURA_EMIT_INVALID when one does not fit its contract; nothing is published.
 * @throws JUNCTURA_TRANSPORT_UNAVAILABLE, JUNCTURA_TRANSPORT_BUSY where it is the record.
 * @throws JUNCTURA_USAGE for more than LIMITS.publishManyMax at once.
 */
export const publishEvents = async (
  context: InboxContext,
  drafts: readonly Draft[],
  options: PublishOptions = {},
): Promise<readonly Published[]> => {
  if (drafts.length === 0) return []
  if (drafts.length > LIMITS.publishManyMax) {
    const problem = `${drafts.length} messages at once; at most ${LIMITS.publishManyMax}`
    throw new JuncturaError('JUNCTURA_USAGE', { details: { problem } })
  }
  const items = drafts.map((draft) => ({
    event: prepareEvent(draft, context.book),
    id: context.kernel.ids.next('msg'),
  }))
  const records = recordsFor(context, items)
  if (records) return publishRecords(context, records, { items, options })
  const twins = findTwins(items)
  const known = new Map<PreparedEvent, string>(twins)
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const fresh = known.size === 0 ? items : items.filter(({ event }) => !known.has(event))
    const outcome = await context.committer.submit(buildUnit(context, fresh, options))
    if (outcome.status === 'committed') {
      tellPublished(context, fresh)
      return items.map(({ event, id }) => toPublished(known.get(event), id))
    }
    if (outcome.status !== 'duplicate') throw commitError(outcome)
    const sorted = await dropKnownFacts(
      context,
      fresh.map(({ event }) => event),
    )
    for (const [event, id] of sorted.known) known.set(event, id)
  }
  throw new JuncturaError('JUNCTURA_STORE_FAILED', {
    details: { problem: 'keys are refused that the store does not hold' },
  })
}

/**
 * All of them are in the broker alone: nothing is claimed, and nothing waits for the store. What is
 * published together with others is moved by the store's log, which takes all or none.
 */
function recordsFor(context: InboxContext, items: readonly Item[]): RecordPort | undefined {
  const isAlone = items.every(
    ({ event: { contract, factKey } }) => contract.record === 'transport' && factKey === undefined,
  )
  return isAlone ? context.records : undefined
}

async function publishRecords(
  context: InboxContext,
  records: RecordPort,
  { items, options }: { readonly items: readonly Item[]; readonly options: PublishOptions },
): Promise<readonly Published[]> {
  const nowMs = context.kernel.clock.now()
  const byChannel = Map.groupBy(items, ({ event }) => event.contract.channel)
  const publications = [...byChannel].map(([channel, those]) => {
    const events = those.map(({ event, id }) =>
      eventRecord(originOf(context, options, { id, nowMs }), event),
    )
    return records.publish(channel, events)
  })
  await Promise.all(publications)
  tellPublished(context, items)
  return items.map(({ id }) => ({ id, isDuplicate: false }))
}

interface Item {
  readonly event: PreparedEvent
  readonly id: string
}

const toPublished = (firstId: string | undefined, id: string): Published =>
  firstId === undefined ? { id, isDuplicate: false } : { id: firstId, isDuplicate: true }

/** Within one call too, a fact is published once: the later one gets the id of the first. */
function findTwins(items: readonly Item[]): Map<PreparedEvent, string> {
  const first = new Map<string, string>()
  const twins = new Map<PreparedEvent, string>()
  for (const { event, id } of items) {
    if (event.factKey === undefined) continue
    const identity = `${event.contract.name}\n${event.factKey}`
    const earlier = first.get(identity)
    if (earlier === undefined) first.set(identity, id)
    else twins.set(event, earlier)
  }
  return twins
}

function buildUnit(
  context: InboxContext,
  items: readonly Item[],
  options: PublishOptions,
): CommitUnit {
  const nowMs = context.kernel.clock.now()
  const claims: Claim[] = []
  const appends: Append[] = []
  const volatile: Append[] = []
  for (const { event, id } of items) {
    const append = eventAppend(originOf(context, options, { id, nowMs }), event, FIRST)
    if (isVolatile(event)) {
      volatile.push(append)
      continue
    }
    const claim = factClaim(context, event, nowMs)
    if (claim) claims.push({ ...claim, append: appends.length })
    appends.push(append)
  }
  return { appends, claims, volatile }
}

const FIRST = { index: 0 } as const

function originOf(
  context: InboxContext,
  options: PublishOptions,
  { id, nowMs }: { readonly id: string; readonly nowMs: number },
): MessageOrigin {
  return {
    id,
    tenant: context.tenant,
    source: '/publish',
    receivedAtMs: nowMs,
    appendedAtMs: nowMs,
    correlationId: options.correlationId,
    causationId: options.causationId,
    idempotencyKey: undefined,
    trace: options.trace,
  }
}

function tellPublished(context: InboxContext, items: readonly Item[]): void {
  const atMs = context.kernel.clock.now()
  for (const { event, id } of items) {
    context.tell({ kind: 'published', id, type: event.contract.name, key: event.key, atMs })
  }
}

/** The message whose handler emitted something. */
export interface EmittedBy {
  readonly envelope: Envelope
  readonly consumer: string
  /** Counts the emits of one attempt, so that a repeated attempt gives the same ids. */
  readonly index: number
  readonly atMs: number
}

/**
 * What a handler emitted, as an append that commits with the handler's completion. The id follows
 * from the message, the consumer and the index. Its fact is claimed with it: the first one told
 * stays, whoever told it (M5).
 *
 * @throws JUNCTURA_EMIT_INVALID when it does not fit its contract.
 */
export const emitAppend = (context: InboxContext, draft: Draft, by: EmittedBy): Append => {
  const { envelope, consumer, index, atMs } = by
  const event = prepareEvent(draft, context.book)
  const origin: MessageOrigin = {
    id: `${globalId(envelope)}.${consumer}.${index}`,
    tenant: envelope.tenant,
    source: `/consumers/${consumer}`,
    receivedAtMs: atMs,
    appendedAtMs: atMs,
    correlationId: envelope.correlationid,
    causationId: envelope.id,
    idempotencyKey: undefined,
    trace: traceOf(envelope),
  }
  const append = eventAppend(origin, event, { index: 0 })
  const claim = factClaim(context, event, atMs)
  return claim ? { ...append, claim } : append
}

/** Where a message comes from that a part of the runtime writes, and who it is about. */
export interface AppendOrigin {
  readonly id: string
  /** Where it entered: `/schedules/nightly`. */
  readonly source: string
  /** @default the clock */
  readonly atMs?: number
  /** @default the id: nothing else caused it */
  readonly correlationId?: string
  readonly causationId?: string
  readonly idempotencyKey?: string
  readonly replyTo?: string
  readonly traceparent?: string
}

/**
 * A message of the runtime's own, as an append for a commit that it makes; its fact is claimed as
 * that of an emitted one.
 *
 * @throws JUNCTURA_EMIT_INVALID when it does not fit its contract.
 */
export const ownAppend = (context: InboxContext, draft: Draft, origin: AppendOrigin): Append => {
  const event = prepareEvent(draft, context.book)
  const { traceparent, atMs = context.kernel.clock.now() } = origin
  const append = eventAppend(
    {
      id: origin.id,
      tenant: context.tenant,
      source: origin.source,
      receivedAtMs: atMs,
      appendedAtMs: atMs,
      correlationId: origin.correlationId ?? origin.id,
      causationId: origin.causationId,
      idempotencyKey: origin.idempotencyKey,
      replyTo: origin.replyTo,
      trace: traceparent === undefined ? undefined : parseTraceparent(traceparent),
    },
    event,
    FIRST,
  )
  const claim = factClaim(context, event, atMs)
  return claim ? { ...append, claim } : append
}
