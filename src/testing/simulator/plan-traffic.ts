import type { Integration, Webhook } from '../../contract/index.ts'
import { must, type Random, randomInteger } from '../../kernel/index.ts'
import { makeExample } from '../../schema/index.ts'
import type { SimulatedMessage } from './simulated-sender.ts'
import type { SituationBook } from './situations.ts'

/** Makes the body of one message of a partner. */
export type MakeBody = (webhook: Webhook, random: Random, index: number) => unknown

export interface TrafficOptions {
  readonly messages: number
  readonly random: Random
  readonly situations: SituationBook
  /** Whether everything comes at once. */
  readonly isBurst: boolean
  readonly bodyOf: (webhook: Webhook, random: Random, index: number) => Uint8Array
}

export interface Traffic {
  readonly messages: readonly SimulatedMessage[]
  /** Where some of it comes only while the log is being dropped: when that begins. */
  readonly lateFromMs: number | undefined
}

const TRAFFIC_MS_MAX = 60_000
const BURST_MS_MAX = 2_000
/** A log kept no longer than this loses its first part while a run goes on. */
const SHORT_RETENTION_MS = 3_600_000
const LULL_MS_MAX = 90_000

/**
 * What partners send and when: within a minute, or all at once; now and then some of it only after
 * the log has begun to be dropped.
 */
export const planTraffic = (integration: Integration, options: TrafficOptions): Traffic => {
  const { webhooks } = integration
  const { random, situations } = options
  const isBurst = options.isBurst || random.next() < 0.1
  const trafficMs = random.next() * (isBurst ? BURST_MS_MAX : TRAFFIC_MS_MAX)
  const hasLull = random.next() < 0.25
  // What comes late comes while the first parts of the log are being dropped.
  const lullMs = hasLull ? shortRetentionMs(integration) - random.next() * LULL_MS_MAX : 0
  let before: Webhook | undefined
  const messages = Array.from({ length: options.messages }, (_, index) => {
    const webhook = must(webhooks[randomInteger(random, 0, webhooks.length - 1)], 'one of them')
    // Partners do not know each other: now and then two of them use one id.
    const isShared = before !== undefined && before !== webhook && random.next() < 0.2
    before = isShared ? undefined : webhook
    if (isShared) situations.hit('same-id-other-source')
    const id = `sim-${isShared ? index - 1 : index}`
    const body = options.bodyOf(webhook, random, index)
    const isLate = lullMs > 0 && random.next() < 0.3
    const atMs = random.next() * trafficMs + (isLate ? trafficMs + lullMs : 0)
    return { webhook, id, body, atMs }
  })
  return { messages, lateFromMs: lullMs > 0 ? trafficMs + lullMs : undefined }
}

/** The body that the caller makes, or an example of the contract. */
export const encodeBody = (
  make: MakeBody | undefined,
  at: { readonly webhook: Webhook; readonly random: Random; readonly index: number },
): Uint8Array => {
  const { webhook, random, index } = at
  const schema = webhook.accepts.versions.get(webhook.accepts.latest)
  const value = make?.(webhook, random, index) ?? makeExample(schema ?? {}, random)
  return Buffer.from(JSON.stringify(value))
}

/** How long the log is kept, if a run can see the end of it. */
function shortRetentionMs({ contracts, webhooks }: Integration): number {
  const longestMs = Math.max(
    ...[...contracts.values()].map(({ retentionMs }) => retentionMs),
    ...webhooks.map(({ idempotency }) => idempotency.retentionMs),
  )
  return longestMs <= SHORT_RETENTION_MS ? longestMs : 0
}
