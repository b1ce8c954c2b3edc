import type { KeySource, Webhook } from '../contract/index.ts'
import { type CounterSeries, type Metrics, METRICS } from '../observe/index.ts'
import { bodyScope, webhookChannel, webhookScope } from './message-keys.ts'
import type { ReadHeader } from './verified-request.ts'

/** What the inbox needs of one webhook at every message, worked out once. */
export interface WebhookDesk {
  readonly webhook: Webhook
  readonly scope: string
  readonly bodyScope: string
  /** Log of the messages that made no event. */
  readonly channel: string
  readonly ownerName: string
  /** Headers kept with a receipt: what the scheme and the keys read, and nothing else. */
  readonly keptHeaders: readonly string[]
  readonly accepted: CounterSeries
  readonly repeated: CounterSeries
  readonly mismatched: CounterSeries
  readonly failedTransforms: CounterSeries
}

export const openDesk = (webhook: Webhook, tenant: string, metrics: Metrics): WebhookDesk => {
  const { name } = webhook
  const duplicates = metrics.counter(METRICS.duplicates)
  return {
    webhook,
    scope: webhookScope(tenant, name),
    bodyScope: bodyScope(tenant, name),
    channel: webhookChannel(name),
    ownerName: (webhook.owner ?? webhook.accepts.owner)?.name ?? 'nobody',
    keptHeaders: namesOfHeaders(webhook),
    accepted: metrics.counter(METRICS.accepted).with({ webhook: name }),
    repeated: duplicates.with({ webhook: name, kind: 'repeat' }),
    mismatched: duplicates.with({ webhook: name, kind: 'mismatch' }),
    failedTransforms: metrics
      .counter(METRICS.deadLetters)
      .with({ consumer: name, stage: 'transform' }),
  }
}

function namesOfHeaders(webhook: Webhook): readonly string[] {
  const { verify, idempotency, version } = webhook
  const ofScheme =
    verify.kind === 'signed'
      ? verify.headers.flatMap(({ signature, more = [], timestamp, id }) => [
          signature,
          ...more,
          timestamp,
          id,
        ])
      : []
  const ofEvent = webhook.endpoint ? EVENT_HEADERS : []
  const names = [...ofScheme, ...ofEvent, nameOf(idempotency.key), nameOf(version)]
  return [...new Set(names.filter((name) => name !== undefined))].filter(
    (name) => !SECRET.has(name),
  )
}

/** What an event says of itself, as headers of binary mode, however it came. */
const EVENT_HEADERS = [
  'specversion',
  'id',
  'source',
  'type',
  'subject',
  'time',
  'dataschema',
  'contractversion',
  'correlationid',
  'causationid',
  'partitionkey',
].map((name) => `ce-${name}`)

const nameOf = (source: KeySource | undefined): string | undefined =>
  source?.from === 'header' ? source.name : undefined

/** A scheme that reads one of these would have its credential kept for ever. */
const SECRET: ReadonlySet<string> = new Set(['authorization', 'proxy-authorization', 'cookie'])

export const keepHeaders = (desk: WebhookDesk, header: ReadHeader): Record<string, string> => {
  const kept: Record<string, string> = {}
  for (const name of desk.keptHeaders) {
    const value = header(name)
    if (value !== undefined) kept[name] = typeof value === 'string' ? value : value.join(', ')
  }
  return kept
}
