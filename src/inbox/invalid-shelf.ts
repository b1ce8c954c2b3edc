import { hash } from 'node:crypto'
import type { Clock, Ids } from '../kernel/index.ts'
import { LIMITS, toBase64 } from '../kernel/index.ts'
import { type CounterSeries, type Metrics, METRICS } from '../observe/index.ts'
import type { Committer, InvalidRow, RowWrite, Store } from '../store/index.ts'
import type { BorderEvent, RaiseBorderAlert } from './border-events.ts'
import type { BodyError } from './check-body.ts'
import type { BorderRequest } from './verified-request.ts'
import { keepHeaders, type WebhookDesk } from './webhook-desk.ts'

/** A verified request that cannot be taken as it is. */
export interface InvalidRequest {
  readonly request: BorderRequest
  readonly reason: InvalidRow['reason']
  readonly version: number | null
  readonly errors: readonly BodyError[]
  /** Id of the message that holds the key, for reason `conflict`. */
  readonly conflictsWith?: string | undefined
}

export interface KeptInvalid {
  /** Undefined when the shelf is full: the request was counted and not kept. */
  readonly id: string | undefined
}

/**
 * Keeps what the border refused, so that it can go through again after a mend.
 *
 * A sender that repeats the same bad request has one row, whose id follows from the bytes. Each
 * webhook may have `invalidOpenMax` open rows and add `invalidPerDayMax` rows and
 * `invalidBytesPerDayMax` bytes a day. When one of them is reached, what is there stays (the oldest
 * shows best how it began), what comes is counted and not kept, and the owner is told once a day.
 * The sender's answer is the same either way.
 */
export interface InvalidShelf {
  /** @throws what the committer throws; the sender is then asked to send again. */
  keep(invalid: InvalidRequest): Promise<KeptInvalid>
  /** Requests that were counted and not kept since the start. */
  lostCount(webhook: string): number
}

export interface InvalidShelfOptions {
  readonly clock: Clock
  readonly ids: Ids
  readonly store: Store
  readonly committer: Committer
  readonly metrics: Metrics
  readonly deskNamed: (name: string) => WebhookDesk | undefined
  readonly raiseAlert: RaiseBorderAlert
  readonly tell: (event: BorderEvent) => void
}

/** What one webhook has used of its shelf. */
interface Quota {
  day: number
  keptToday: number
  bytesToday: number
  open: number
  countedAtMs: number
  toldDay: number
  lost: number
}

const DAY_MS = 86_400_000
/** The open rows are counted anew after this, because operators resolve them meanwhile. */
const RECOUNT_MS = 60_000

export const createInvalidShelf = (options: InvalidShelfOptions): InvalidShelf => {
  const quotas = new Map<string, Quota>()
  return {
    keep: (invalid) => keep(options, quotas, invalid),
    lostCount: (webhook) => quotas.get(webhook)?.lost ?? 0,
  }
}

async function keep(
  options: InvalidShelfOptions,
  quotas: Map<string, Quota>,
  invalid: InvalidRequest,
): Promise<KeptInvalid> {
  const { request } = invalid
  const webhook = request.webhook.name
  const nowMs = options.clock.now()
  count(options.metrics, invalid)
  const id = invalidId(invalid)
  const known = await options.store.row('invalid', id)
  const alert = alertInvalid(options, invalid, nowMs)
  if (known?.state === 'open') {
    if (alert.length > 0) await options.committer.submit({ rows: alert })
    tell(options, invalid, { id, nowMs })
    return { id }
  }
  const quota = await readQuota(options, quotas, { webhook, nowMs })
  if (isFull(quota, request.raw.length)) {
    await turnAway(options, invalid, { quota, nowMs, alert })
    return { id: undefined }
  }
  quota.keptToday++
  quota.open++
  quota.bytesToday += request.raw.length
  const row = invalidRow(options, invalid, id)
  await options.committer.submit({ rows: [{ collection: 'invalid', key: id, row }, ...alert] })
  tell(options, invalid, { id, nowMs })
  return { id }
}

/** A conflict is told once, by who found it, with its key. */
function tell(
  options: InvalidShelfOptions,
  { request, reason }: InvalidRequest,
  { id, nowMs }: { readonly id: string | undefined; readonly nowMs: number },
): void {
  if (reason === 'conflict') return
  const webhook = request.webhook.name
  options.tell({ kind: 'invalid', webhook, reason, invalidId: id, atMs: nowMs })
}

function count(metrics: Metrics, { request, reason }: InvalidRequest): void {
  const labels = { webhook: request.webhook.name, reason }
  seriesOf(metrics, 'invalid', labels).add()
  if (reason === 'schema' || reason === 'version') {
    seriesOf(metrics, 'contractMismatches', labels).add()
  }
}

const seriesOf = (
  metrics: Metrics,
  name: 'invalid' | 'contractMismatches',
  labels: { readonly webhook: string; readonly reason: string },
): CounterSeries => metrics.counter(METRICS[name]).with(labels)

/** The same request has the same id, in every process. */
function invalidId({ request, reason }: InvalidRequest): string {
  const content = hash('sha256', request.raw, 'hex')
  // Two events may have the same data.
  const key = request.webhook.endpoint ? [request.header('ce-source'), request.header('ce-id')] : []
  const identity = JSON.stringify([request.webhook.name, reason, content, ...key])
  return `inv_${hash('sha256', identity, 'hex').slice(0, 32)}`
}

async function readQuota(
  { store }: InvalidShelfOptions,
  quotas: Map<string, Quota>,
  { webhook, nowMs }: { readonly webhook: string; readonly nowMs: number },
): Promise<Quota> {
  const day = Math.floor(nowMs / DAY_MS)
  const fresh = { keptToday: 0, bytesToday: 0, open: 0, countedAtMs: -Infinity, lost: 0 }
  const quota = quotas.get(webhook) ?? { day, toldDay: -1, ...fresh }
  quotas.set(webhook, quota)
  if (quota.day !== day) {
    quota.day = day
    quota.keptToday = 0
    quota.bytesToday = 0
  }
  if (Math.abs(nowMs - quota.countedAtMs) >= RECOUNT_MS) {
    quota.countedAtMs = nowMs
    const where = [webhook, 'open']
    quota.open = await store.count({ collection: 'invalid', index: 'byWebhook', where })
  }
  return quota
}

const isFull = (quota: Quota, bytes: number): boolean =>
  quota.open >= LIMITS.invalidOpenMax ||
  quota.keptToday >= LIMITS.invalidPerDayMax ||
  quota.bytesToday + bytes > LIMITS.invalidBytesPerDayMax

async function turnAway(
  options: InvalidShelfOptions,
  invalid: InvalidRequest,
  state: { readonly quota: Quota; readonly nowMs: number; readonly alert: readonly RowWrite[] },
): Promise<void> {
  const { quota, nowMs } = state
  const { request } = invalid
  const webhook = request.webhook.name
  quota.lost++
  const rows = [...state.alert]
  if (quota.toldDay !== quota.day) {
    quota.toldDay = quota.day
    const title = `Invalid requests of ${webhook} are counted and no longer kept: its shelf is full`
    rows.push(...raise(options, request, { kind: 'shelf-full', title, nowMs }))
  }
  if (rows.length > 0) await options.committer.submit({ rows })
  tell(options, invalid, { id: undefined, nowMs })
}

function alertInvalid(
  options: InvalidShelfOptions,
  invalid: InvalidRequest,
  nowMs: number,
): readonly RowWrite[] {
  const { request, reason } = invalid
  const kind = reason === 'conflict' ? 'conflict' : 'contract-mismatch'
  return raise(options, request, { kind, title: causeTitle(invalid), nowMs })
}

function raise(
  options: InvalidShelfOptions,
  request: BorderRequest,
  alert: {
    readonly kind: 'conflict' | 'contract-mismatch' | 'shelf-full'
    readonly title: string
    readonly nowMs: number
  },
): readonly RowWrite[] {
  const { webhook } = request
  return options.raiseAlert({
    kind: alert.kind,
    cause: `${alert.kind}:${webhook.name}`,
    title: alert.title,
    webhook: webhook.name,
    owner: webhook.owner ?? webhook.accepts.owner,
    severity: 'warning',
    atMs: alert.nowMs,
  })
}

function invalidRow(options: InvalidShelfOptions, invalid: InvalidRequest, id: string): InvalidRow {
  const { request, reason, version, errors, conflictsWith } = invalid
  const { webhook } = request
  const desk = options.deskNamed(webhook.name)
  return {
    id,
    state: 'open',
    webhook: webhook.name,
    reason,
    cause: causeKey(invalid),
    causeTitle: causeTitle(invalid),
    contract: webhook.accepts.name,
    version,
    receivedAtMs: request.receivedAtMs,
    mediaType: request.mediaType,
    headers: desk ? keepHeaders(desk, request.header) : {},
    body: toBase64(request.raw),
    bodyBytes: request.raw.length,
    errors: errors.map(({ pointer, message }) => ({ pointer, message })),
    scheme: request.scheme,
    ...(request.signedAtMs !== undefined && { signedAtMs: request.signedAtMs }),
    ...(conflictsWith !== undefined && { conflictsWith }),
    messageId: options.ids.next('msg'),
  }
}

/** One cause is one webhook, reason, version and set of fields at fault. */
function causeKey({ request, reason, version, errors }: InvalidRequest): string {
  const fields = [...new Set(errors.map(faultOf))].toSorted()
  const identity = JSON.stringify([request.webhook.name, reason, version, fields])
  return `cause_${hash('sha256', identity, 'hex').slice(0, 24)}`
}

const faultOf = ({ pointer, message }: BodyError): string =>
  `${withoutIndexes(pointer)} ${message.replace(/\d+/g, '#')}`

/** `/lines/7/price` and `/lines/8/price` are one fault. */
const withoutIndexes = (pointer: string): string => pointer.replace(/\/\d+(?=\/|$)/g, '/*')

function causeTitle({ request, reason, version, errors }: InvalidRequest): string {
  const { name, accepts } = request.webhook
  if (reason === 'conflict') return `${name}: a used idempotency key came with other content`
  if (reason === 'syntax') return `${name}: bodies that are no readable JSON`
  if (reason === 'version') return `${name}: version ${version ?? 'missing'} of ${accepts.name}`
  const fields = [...new Set(errors.map(({ pointer }) => withoutIndexes(pointer)))]
  const shown = fields.slice(0, 5).join(', ') || 'the document'
  return `${name}: ${accepts.name} version ${version} is invalid at ${shown}`.slice(
    0,
    LIMITS.causeCharsMax,
  )
}
