import { hash } from 'node:crypto'
import {
  type AnyContract,
  decodeRecord,
  DEFAULT_TENANT,
  type LogRecord,
  type OutboxSource,
  slotOf,
} from '../contract/index.ts'
import {
  contractKey,
  type ContractBook,
  factClaim,
  foreignAppend,
  foreignFault,
  type ForeignFault,
  type ForeignVerdict,
  type MessageOrigin,
} from '../inbox/index.ts'
import { fromBase64, isJuncturaError, LIMITS, messageOf, toBase64 } from '../kernel/index.ts'
import { parseTraceparent } from '../observe/index.ts'
import { parseJson } from '../schema/index.ts'
import type { InvalidRow } from '../store/index.ts'
import type { OutboxRow } from './outbox-reader.ts'

/** What becomes of one row of an outbox. */
export type RowVerdict = ForeignVerdict

export interface RowReading {
  readonly source: Pick<OutboxSource, 'name' | 'accepts'>
  readonly book: ContractBook
  readonly nowMs: number
}

/**
 * Makes a row a message. What `outbox(tx).emit` wrote was validated there and is taken as it is,
 * its data unread; a row of any other writer is checked like a request at the border.
 */
export const readRow = (row: OutboxRow, reading: RowReading): RowVerdict => {
  const contract = reading.source.accepts.find(({ name }) => name === row.type)
  if (!contract) {
    return foreignFault('contract', '/type', `The outbox does not accept ${shown(row.type)}.`)
  }
  if (contract.guarantee === 'at-most-once') {
    return foreignFault('contract', '/type', 'An at-most-once contract is in no log.')
  }
  return row.record
    ? takeRecord(row, row.record, { ...reading, contract })
    : build(row, { ...reading, contract })
}

type WithContract = RowReading & { readonly contract: AnyContract }

const shown = (text: string): string => JSON.stringify(text.slice(0, 100))

function takeRecord(row: OutboxRow, bytes: Uint8Array, reading: WithContract): RowVerdict {
  let record: LogRecord
  try {
    record = decodeRecord(bytes, row.seq)
  } catch (error) {
    const isOurs =
      isJuncturaError(error, 'JUNCTURA_RECORD_DAMAGED') ||
      isJuncturaError(error, 'JUNCTURA_RECORD_VERSION') ||
      error instanceof SyntaxError
    if (!isOurs) throw error
    return foreignFault('syntax', '/record', `It is no record: ${messageOf(error)}`)
  }
  const { envelope } = record.head
  if (envelope.type !== row.type || envelope.id !== row.id || !isText(envelope.partitionkey)) {
    return foreignFault('syntax', '/record', 'Its record is of another row.')
  }
  const { contract, nowMs } = reading
  const fact = row.fact ?? factOf(contract, record)
  const append = {
    channel: contract.channel,
    slot: slotOf(envelope.tenant, envelope.partitionkey),
    atMs: nowMs,
    bytes,
    record,
  }
  const claim = factClaim(contract, fact, nowMs)
  return { kind: 'append', append: claim ? { ...append, claim } : append }
}

const isText = (value: unknown): boolean => typeof value === 'string' && value !== ''

/** Emitted by code that knew of no fact yet. */
function factOf(contract: AnyContract, { data }: LogRecord): string | null {
  if (!contract.fact) return null
  const parsed = parseJson(data)
  const key = parsed.ok ? contractKey(contract.fact.paths, parsed.value) : undefined
  return key?.ok === true ? (key.key ?? null) : null
}

function build(row: OutboxRow, reading: WithContract): RowVerdict {
  const { contract, book, nowMs, source } = reading
  const foreign = {
    contract,
    version: row.version ?? contract.latest,
    data: Buffer.from(row.payload ?? '', 'utf8'),
    dataAt: '/payload',
    key: row.key ?? undefined,
    origin: originOf(row, source.name, nowMs),
  }
  return foreignAppend(foreign, { book, nowMs })
}

function originOf(row: OutboxRow, outbox: string, nowMs: number): MessageOrigin {
  const headers = headersOf(row)
  const trace =
    headers['traceparent'] === undefined ? undefined : parseTraceparent(headers['traceparent'])
  return {
    id: row.id,
    tenant: DEFAULT_TENANT,
    source: `/outbox/${outbox}`,
    receivedAtMs: row.atMs,
    appendedAtMs: nowMs,
    correlationId: headers['correlationid'],
    causationId: headers['causationid'],
    idempotencyKey: undefined,
    trace: trace && { ...trace, traceState: headers['tracestate'] ?? '' },
  }
}

/** Of the headers, those that an envelope has; what is no short text is left out. */
function headersOf({ headers }: OutboxRow): Readonly<Record<string, string>> {
  if (headers === null) return {}
  const parsed = parseJson(Buffer.from(headers, 'utf8'))
  if (!parsed.ok || typeof parsed.value !== 'object' || parsed.value === null) return {}
  return Object.fromEntries(
    Object.entries(parsed.value).filter(
      ([name, value]) =>
        !name.startsWith(PLACE) &&
        typeof value === 'string' &&
        value !== '' &&
        value.length <= LIMITS.traceStateCharsMax,
    ),
  )
}

/** The name under which what an outbox's rows did wrong is kept. */
export const outboxShelf = (name: string): string => `outbox/${name}`

/** The name of the outbox whose shelf it is; undefined for other shelves. */
export const outboxOfShelf = (shelf: string): string | undefined =>
  shelf.startsWith('outbox/') ? shelf.slice('outbox/'.length) : undefined

/** Columns of the row that a request has not, beside its headers. */
const PLACE = 'junctura-'

/** The row as the shelf keeps it, with the bytes that were in the table. */
export const shelve = (
  row: OutboxRow,
  fault: ForeignFault,
  { source, nowMs }: Pick<RowReading, 'source' | 'nowMs'>,
): InvalidRow => {
  const body = row.record ?? Buffer.from(row.payload ?? '', 'utf8')
  const pointers = fault.errors.map(({ pointer }) => pointer.replace(/\/\d+(?=\/|$)/g, '/*'))
  const fields = [...new Set(pointers)].toSorted()
  const shelf = outboxShelf(source.name)
  const identity = JSON.stringify([shelf, fault.reason, row.type, row.version, fields])
  const type = row.type.slice(0, TYPE_CHARS)
  const title = `${shelf}: ${type} is invalid (${fault.reason}) at ${fields.slice(0, 5).join(', ') || 'the document'}`
  return {
    // The same row has the same id, whoever moves it.
    id: `inv_${hash('sha256', `${shelf}\n${row.seq}\n${row.id}`, 'hex').slice(0, 32)}`,
    state: 'open',
    webhook: shelf,
    reason: fault.reason,
    cause: `cause_${hash('sha256', identity, 'hex').slice(0, 24)}`,
    causeTitle: title.slice(0, LIMITS.causeCharsMax),
    contract: type,
    version: row.version,
    receivedAtMs: row.atMs > 0 ? row.atMs : nowMs,
    mediaType: row.record ? RECORD_TYPE : 'application/json',
    headers: { ...headersOf(row), ...columnsOf(row) },
    body: toBase64(body),
    bodyBytes: body.length,
    errors: fault.errors.map(({ pointer, message }) => ({ pointer, message })),
    scheme: 'outbox',
    messageId: row.id.slice(0, LIMITS.messageIdCharsMax),
  }
}

function columnsOf({ seq, id, type, key, fact }: OutboxRow): Readonly<Record<string, string>> {
  return {
    [`${PLACE}seq`]: String(seq),
    // What is longer than the shelf shows is kept beside.
    ...(id.length > LIMITS.messageIdCharsMax && { [`${PLACE}id`]: id }),
    ...(type.length > TYPE_CHARS && { [`${PLACE}type`]: type }),
    ...(key !== null && { [`${PLACE}key`]: key }),
    ...(fact !== null && { [`${PLACE}fact`]: fact }),
  }
}

/** The row that was shelved; undefined when not all of it was kept, as by an earlier release. */
export const unshelve = (row: InvalidRow): OutboxRow | undefined => {
  const body = fromBase64(row.body)
  const said = (name: string): string | undefined => row.headers[PLACE + name]
  const seq = said('seq')
  if (seq === undefined || body.length !== row.bodyBytes) return undefined
  const isRecord = row.mediaType === RECORD_TYPE
  const headers = Object.entries(row.headers).filter(([name]) => !name.startsWith(PLACE))
  return {
    seq: Number(seq),
    atMs: row.receivedAtMs,
    id: said('id') ?? row.messageId ?? '',
    type: said('type') ?? row.contract,
    version: row.version,
    key: said('key') ?? null,
    fact: said('fact') ?? null,
    payload: isRecord ? null : Buffer.from(body).toString('utf8'),
    headers: JSON.stringify(Object.fromEntries(headers)),
    record: isRecord ? body : null,
  }
}

const RECORD_TYPE = 'application/octet-stream'
const TYPE_CHARS = 100
