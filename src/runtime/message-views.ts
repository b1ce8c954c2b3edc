import {
  type ConsumerRunner,
  copyKey,
  expiredKey,
  laneKey,
  laneOf,
  successorKey,
} from '../consumer/index.ts'
import {
  type AnyContract,
  decodeRecord,
  type Integration,
  type LogRecord,
} from '../contract/index.ts'
import { type Kernel, LIMITS } from '../kernel/index.ts'
import { createMasker, type Masker } from '../security/index.ts'
import { type DeadLetterRow, positionText, type Store, type StoredRecord } from '../store/index.ts'
import type { Delivered } from '../transport/index.ts'
import { type ConsumerPlace, consumerPlaces } from './consumer-places.ts'
import type { AttemptHistory } from './attempt-history.ts'
import type {
  MessageConsumerView,
  MessagePage,
  MessageQuery,
  MessageStatus,
  MessageSummary,
  MessageView,
} from './views.ts'

export interface MessageViewsOptions {
  readonly store: Store
  readonly kernel: Kernel
  readonly integration: Integration
  readonly runners: ReadonlyMap<string, ConsumerRunner>
  readonly history: AttemptHistory
}

export interface MessageViews {
  search(query: MessageQuery): Promise<MessagePage>
  find(id: string): Promise<MessageView | undefined>
  /** The masked payload of the message at a position. */
  payloadAt(position: number, consumer?: string): Promise<unknown>
  /** What became of a message, for its sender. */
  outcomeOf(position: number): Promise<MessageStatus>
}

/** A record looked for by its id, and how much was read to find it or not. */
interface LookBack {
  readonly before: number
  readonly oldestMs?: number
  readonly recordsMax: number
}

interface Located {
  readonly stored: StoredRecord | undefined
  readonly records: number
  readonly fromPosition: number
  readonly isComplete: boolean
}

/** Records that one search reads, newest first; the answer says how far it came. */
const SEARCH_RECORDS_MAX = 20_000
const SEARCH_PAGE = 250
const LOCATE_RECORDS_MAX = 100_000
/** Ids carry their time to the millisecond; commits may be a little later. */
const COMMIT_DELAY_MS = 60_000

export const createMessageViews = (options: MessageViewsOptions): MessageViews => {
  const { store, integration, runners, history } = options
  const maskers = new Map<string, Masker>()

  const maskerOf = (type: string): Masker => {
    let masker = maskers.get(type)
    if (!masker) {
      masker = createMasker(integration.contracts.get(type)?.pii ?? [])
      maskers.set(type, masker)
    }
    return masker
  }

  const consumersOf = async (
    delivered: Delivered,
    channel: string,
  ): Promise<readonly ConsumerPlace[]> =>
    (await consumerPlaces({ runners, integration, store })).filter(
      (place) =>
        place.consumer.on.channel === channel &&
        // Where the broker is the record, what the store has is on its way there.
        place.consumer.on.record !== 'transport' &&
        place.isMine(delivered),
    )

  const consumerView = async (
    runner: ConsumerPlace,
    delivered: Delivered,
    letters: readonly DeadLetterRow[],
  ): Promise<MessageConsumerView> => {
    const consumer = runner.consumer.name
    const { position } = delivered
    const attempts = history.of(consumer, delivered.record.head.envelope.id)
    const own = letters.filter((row) => row.consumer === consumer && row.position === position)
    const letter = own.find((row) => row.state === 'open') ?? own.at(-1)
    const base = { consumer, attempts, ...(letter && { deadLetter: letter.id }) }
    const lane = laneOf(runner.consumer, delivered)
    const held = await store.row('lanes', laneKey(consumer, lane))
    const isFinished = runner.progress.isFinished(position)
    if (held?.state === 'retry' && held.position === position) {
      const { lastError, dueAtMs: nextAttemptAtMs } = held
      return { ...base, status: 'retrying', nextAttemptAtMs, lastError }
    }
    if (held?.newerVersion !== undefined && held.position === position)
      return { ...base, status: 'parked', lastError: held.lastError }
    if (isFinished && (await store.row('expired', expiredKey(consumer, position))))
      return { ...base, status: 'expired' }
    if (letter && letter.state !== 'resolved') {
      const status = letter.state === 'dropped' ? 'dropped' : 'dead'
      return { ...base, status, lastError: `${letter.errorName}: ${letter.errorMessage}` }
    }
    if (held && (await store.row('successors', successorKey(consumer, lane, position))))
      return { ...base, status: 'parked' }
    return { ...base, status: isFinished ? 'done' : 'pending' }
  }

  const statusOf = async (
    stored: StoredRecord,
    record: LogRecord,
  ): Promise<{
    readonly status: MessageStatus
    readonly consumers: readonly MessageConsumerView[]
  }> => {
    const { envelope, receipt } = record.head
    const page = await store.scan({
      collection: 'deadLetters',
      index: 'byMessage',
      where: [envelope.id],
      limit: 100,
    })
    const letters = page.map(({ row }) => row)
    const transform = letters.find((row) => row.stage === 'transform')
    if (transform && transform.state !== 'resolved') {
      return { status: transform.state === 'dropped' ? 'dropped' : 'dead', consumers: [] }
    }
    if (receipt?.duplicateOf !== undefined) return { status: 'duplicate', consumers: [] }
    const delivered = { ...stored, record }
    const consumers: MessageConsumerView[] = []
    for (const runner of await consumersOf(delivered, stored.channel)) {
      consumers.push(await consumerView(runner, delivered, letters))
    }
    return { status: worstOf(consumers.map((one) => one.status)), consumers }
  }

  const summarise = async (stored: StoredRecord): Promise<MessageSummary> => {
    const record = decodeRecord(stored.bytes, stored.position)
    const { status } = await statusOf(stored, record)
    return { ...summaryOf(stored, record), status }
  }

  const search = async (query: MessageQuery): Promise<MessagePage> => {
    const limit = Math.min(LIMITS.pageRowsMax, Math.max(1, query.limit ?? 50))
    if (query.id !== undefined) return searchById(query.id)
    const head = await store.headPosition()
    let before = query.after === undefined ? head + 1 : Number(query.after)
    const toPosition = Math.max(0, before - 1)
    const items: MessageSummary[] = []
    let records = 0
    for (;;) {
      const page = await store.readLogBackwards({ beforePosition: before, limit: SEARCH_PAGE })
      for (const stored of page) {
        before = stored.position
        records += 1
        const record = decodeRecord(stored.bytes, stored.position)
        if (!matches(query, record)) continue
        const summary = await summarise(stored)
        if (query.status === undefined || summary.status === query.status) items.push(summary)
        if (items.length >= limit) break
      }
      const complete = page.length < SEARCH_PAGE && items.length < limit
      if (complete || items.length >= limit || records >= SEARCH_RECORDS_MAX) {
        const searched = { records, fromPosition: complete ? 1 : before, toPosition, complete }
        return complete ? { items, searched } : { items, next: String(before), searched }
      }
      await options.kernel.clock.yield()
    }
  }

  const searchById = async (id: string): Promise<MessagePage> => {
    const { stored, records, fromPosition, isComplete } = await locate(id)
    const items = stored ? [await summarise(stored)] : []
    const toPosition = await store.headPosition()
    return { items, searched: { records, fromPosition, toPosition, complete: isComplete } }
  }

  /**
   * Finds a message by the time in its id: positions grow with time, so a few reads suffice. Where
   * the wall clock has jumped they do not, and the newest ones are looked through (F35).
   */
  const locate = async (id: string): Promise<Located> => {
    const known = history.positionOf(id)
    if (known !== undefined) {
      const stored = await store.recordAt(known)
      if (stored && idAt(stored) === id) {
        return { stored, records: 1, fromPosition: known, isComplete: true }
      }
    }
    const head = await store.headPosition()
    const createdMs = timeOfId(id)
    // What a handler emitted has the id, and so the time, of the message that it handled.
    if (createdMs !== undefined && !id.includes('.')) {
      const before = (await positionAfter(store, createdMs + COMMIT_DELAY_MS)) + 1
      const oldestMs = createdMs - COMMIT_DELAY_MS
      const located = await lookBack(id, { before, oldestMs, recordsMax: LOCATE_RECORDS_MAX })
      if (located.stored) return located
      return lookBack(id, { before: head + 1, recordsMax: LIMITS.locateRecordsMax })
    }
    return lookBack(id, { before: head + 1, recordsMax: LOCATE_RECORDS_MAX })
  }

  /** Reads towards older records, up to the first one from before a time. */
  const lookBack = async (id: string, span: LookBack): Promise<Located> => {
    const { oldestMs, recordsMax } = span
    let { before } = span
    let records = 0
    while (records < recordsMax) {
      const page = await store.readLogBackwards({ beforePosition: before, limit: SEARCH_PAGE })
      for (const stored of page) {
        records += 1
        before = stored.position
        const place = { records, fromPosition: before, isComplete: true }
        if (idAt(stored) === id) return { stored, ...place }
        if (oldestMs !== undefined && stored.atMs < oldestMs) return { stored: undefined, ...place }
      }
      if (page.length < SEARCH_PAGE) {
        return { stored: undefined, records, fromPosition: 1, isComplete: true }
      }
      await options.kernel.clock.yield()
    }
    return { stored: undefined, records, fromPosition: before, isComplete: false }
  }

  const find = async (id: string): Promise<MessageView | undefined> => {
    const { stored } = await locate(id)
    if (!stored) return undefined
    const record = decodeRecord(stored.bytes, stored.position)
    const { status, consumers } = await statusOf(stored, record)
    const { envelope, receipt } = record.head
    const repeats = receipt && (await store.row('repeats', `${receipt.webhook}\n${envelope.id}`))
    return {
      ...summaryOf(stored, record),
      status,
      envelope,
      payload: maskedPayload(record, maskerOf, integration),
      border: borderSteps(record),
      consumers,
      related: await relatedTo(stored, record),
      ...(repeats && { repeats }),
    }
  }

  const relatedTo = async (
    stored: StoredRecord,
    record: LogRecord,
  ): Promise<readonly MessageSummary[]> => {
    const related: MessageSummary[] = []
    const { id, correlationid } = record.head.envelope
    const near = await store.readLogBackwards({
      beforePosition: stored.position + SEARCH_PAGE * 4,
      limit: SEARCH_PAGE * 8,
    })
    for (const other of near) {
      const envelope = decodeRecord(other.bytes, other.position).head.envelope
      if (envelope.id === id || envelope.correlationid !== correlationid) continue
      related.push(await summarise(other))
      if (related.length >= 50) break
    }
    return related
  }

  return {
    search,
    find,
    async payloadAt(position, consumer) {
      const copy = consumer && (await store.row('copies', copyKey(consumer, position)))
      const isElsewhere = isRecorded(integration, consumer)
      const stored = isElsewhere ? undefined : await store.recordAt(position)
      const held =
        copy ??
        (stored || isElsewhere ? undefined : await store.row('held', positionText(position)))
      const bytes = stored?.bytes ?? (held && Buffer.from(held.record, 'base64'))
      return bytes ? maskedPayload(decodeRecord(bytes, position), maskerOf, integration) : null
    },
    async outcomeOf(position) {
      const stored = await store.recordAt(position)
      if (!stored) return 'done'
      return (await statusOf(stored, decodeRecord(stored.bytes, position))).status
    },
  }
}

/** Whether the positions of a consumer are not those of the store. */
const isRecorded = ({ consumers }: Integration, name: string | undefined): boolean =>
  consumers.some((consumer) => consumer.name === name && consumer.on.record === 'transport')

const summaryOf = (stored: StoredRecord, record: LogRecord): Omit<MessageSummary, 'status'> => {
  const { envelope } = record.head
  return {
    id: envelope.id,
    type: envelope.type,
    version: envelope.contractversion,
    key: envelope.partitionkey,
    position: stored.position,
    correlationId: envelope.correlationid,
    source: envelope.source,
    receivedAtMs: stored.atMs,
  }
}

const matches = (query: MessageQuery, record: LogRecord): boolean => {
  const { envelope } = record.head
  return (
    (query.correlation === undefined || envelope.correlationid === query.correlation) &&
    (query.key === undefined || envelope.partitionkey === query.key) &&
    (query.type === undefined || envelope.type === query.type)
  )
}

/** From the one that most needs somebody to the one that needs nobody. */
const URGENCY: readonly MessageStatus[] = [
  'dead',
  'retrying',
  'parked',
  'pending',
  'dropped',
  'expired',
  'done',
]

const worstOf = (statuses: readonly MessageStatus[]): MessageStatus =>
  URGENCY.find((status) => statuses.includes(status)) ?? 'no-consumer'

const idAt = (stored: StoredRecord): string =>
  decodeRecord(stored.bytes, stored.position).head.envelope.id

/** The creation time inside an id of ours. */
const timeOfId = (id: string): number | undefined => {
  const match = /^[a-z]+_([0-9a-f]{12})7/.exec(id)
  return match?.[1] === undefined ? undefined : Number.parseInt(match[1], 16)
}

/** The last position whose record is not later than `atMs`, by halving. */
async function positionAfter(store: Store, atMs: number): Promise<number> {
  let low = 0
  let high = await store.headPosition()
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    const [stored] = await store.readLogBackwards({ beforePosition: middle + 1, limit: 1 })
    if (!stored || stored.atMs <= atMs) low = middle
    else high = Math.min(middle - 1, stored.position - 1)
  }
  return low
}

function maskedPayload(
  record: LogRecord,
  maskerOf: (type: string) => Masker,
  integration: Integration,
): unknown {
  const { envelope, receipt } = record.head
  const isReceiptOnly = record.data.length === 0
  const bytes = isReceiptOnly ? record.raw : record.data
  if (!bytes) return null
  const contract: AnyContract | undefined = isReceiptOnly
    ? integration.webhooks.find((hook) => hook.name === receipt?.webhook)?.accepts
    : integration.contracts.get(envelope.type)
  try {
    return maskerOf(contract?.name ?? envelope.type).value(
      JSON.parse(Buffer.from(bytes).toString('utf8')),
    )
  } catch {
    // Not JSON, or masking gave up: showing nothing is safe.
    return null
  }
}

function borderSteps(record: LogRecord): MessageView['border'] {
  const { receipt } = record.head
  if (!receipt) return []
  const skew =
    receipt.signedAtMs === undefined
      ? ''
      : `, signed ${Math.round((receipt.receivedAtMs - receipt.signedAtMs) / 1_000)} s before`
  const key = receipt.keyIndex === undefined ? '' : `, secret ${receipt.keyIndex + 1}`
  return [
    { step: 'verify', outcome: `${receipt.scheme}${key}${skew}` },
    { step: 'validate', outcome: `version ${receipt.version}` },
    {
      step: 'dedupe',
      outcome:
        receipt.duplicateOf === undefined ? 'first seen' : `same fact as ${receipt.duplicateOf}`,
    },
    {
      step: 'transform',
      outcome: receipt.transformError === undefined ? 'done' : `failed: ${receipt.transformError}`,
    },
    { step: 'store', outcome: 'durable' },
  ]
}
