import type { Webhook } from '../contract/index.ts'
import type { Inbox, MessageStatus } from '../inbox/index.ts'
import { type ErrorCode, type Kernel, LIMITS, randomInteger } from '../kernel/index.ts'
import { type GaugeSeries, type HistogramSeries, type Metrics, METRICS } from '../observe/index.ts'
import type { Tracer } from '../observe/index.ts'
import type { CertificateBook, RefusalReason, SigningKey } from '../security/index.ts'
import type { ByteBudget, IngressResponse } from './ingress-request.ts'
import { problem, type ProblemOptions } from './problem.ts'

/** What the steps of the border share. */
export interface IngressContext {
  readonly kernel: Kernel
  readonly inbox: Pick<Inbox, 'check' | 'accept' | 'keepInvalid' | 'statusOf'>
  readonly keysOf: (webhook: Webhook) => readonly SigningKey[]
  /** Certificates that senders name; without it their requests are refused. */
  readonly certificates: CertificateBook | undefined
  readonly metrics: Metrics
  readonly tracer: Tracer | undefined
  readonly budget: ByteBudget
  readonly outcomeOf: OutcomeOf | undefined
  readonly onRefused: ((refusal: Refusal) => void) | undefined
}

/** What the consumers have made of a message: nothing yet, all of it, or somebody must look. */
export type MessageOutcome = 'pending' | 'delivered' | 'held'
export type OutcomeOf = (message: MessageStatus) => Promise<MessageOutcome>

/** A request that was answered with an error and not kept. */
export interface Refusal {
  /** Undefined when the request named no webhook. */
  readonly webhook: string | undefined
  readonly status: number
  readonly code: ErrorCode
  /** For operators; the sender is not told more than the code. */
  readonly reason: RefusedFor
  readonly detail?: RefusalDetail
  /** What was thrown, for reasons `store` and `internal`. Free text. */
  readonly problem?: string
  /** Our clock minus the signed time of a request that is genuine and refused for it. */
  readonly skewMs?: number
  readonly remoteAddress: string
  readonly atMs: number
}

/** Label values of the metric; permanent. */
export type RefusedFor =
  | 'size'
  | 'route'
  | 'method'
  | 'rate'
  | 'overload'
  | 'draining'
  | 'content-type'
  | 'encoding'
  | 'body'
  | 'event'
  | 'signature'
  | 'key'
  | 'in-flight'
  | 'store'
  | 'internal'

/** What stands behind a reason that has several causes. Label values of the metric; permanent. */
export type RefusalDetail = RefusalReason | 'too-slow' | 'incomplete'

/** What the border needs of one webhook at every request. */
export interface IngressDesk {
  readonly webhook: Webhook
  /** By which its messages are found again: itself, or any door of an events endpoint. */
  readonly messagesOf: Webhook
  /** The doors of an events endpoint, by contract; undefined for an ordinary webhook. */
  readonly doors: ReadonlyMap<string, Webhook> | undefined
  readonly latency: HistogramSeries
  readonly skew: GaugeSeries
  /** The declared maximum, or what fits into one record. */
  readonly bodyBytesMax: number
}

/** Room that envelope, receipt and data leave in a record beside the raw bytes, at least. */
const RECORD_OVERHEAD_BYTES = 65_536

export const openIngressDesk = (
  webhook: Webhook,
  metrics: Metrics,
  doors?: ReadonlyMap<string, Webhook>,
): IngressDesk => ({
  webhook,
  messagesOf: doors?.values().next().value ?? webhook,
  doors,
  latency: metrics.histogram(METRICS.ingressLatency).with({ webhook: webhook.name }),
  skew: metrics.gauge(METRICS.signatureSkew).with({ webhook: webhook.name }),
  bodyBytesMax: Math.min(webhook.bodyBytesMax, LIMITS.recordBytesMax - RECORD_OVERHEAD_BYTES),
})

/** Where a refusal happens. */
export interface RefusalPlace {
  readonly desk: IngressDesk | undefined
  readonly remoteAddress: string
}

export interface RefusalOptions extends ProblemOptions {
  readonly reason: RefusedFor
  /** Told to operators only, as is `skewMs`. */
  readonly detail?: RefusalDetail
  readonly skewMs?: number
}

/** Counts a refusal, tells who listens, and makes the answer. */
export const refuse = (
  context: IngressContext,
  place: RefusalPlace,
  answer: { readonly code: ErrorCode } & RefusalOptions,
): IngressResponse => {
  const response = problem(answer.code, answer)
  countRefusal(context, place, { ...answer, status: response.status })
  return response
}

export const countRefusal = (
  context: IngressContext,
  place: RefusalPlace,
  refusal: {
    readonly code: ErrorCode
    readonly status: number
    readonly reason: RefusedFor
    readonly detail?: RefusalDetail
    readonly problem?: string
    readonly skewMs?: number
  },
): void => {
  const webhook = place.desk?.webhook.name
  const { reason, status, code, detail, problem: text, skewMs } = refusal
  context.metrics
    .counter(METRICS.refused)
    .with({ webhook: webhook ?? 'none', reason, detail: detail ?? 'none' })
    .add()
  if (skewMs !== undefined) {
    context.metrics
      .gauge(METRICS.refusedSkew)
      .with({ webhook: webhook ?? 'none' })
      .set(skewMs / 1_000)
  }
  context.onRefused?.({
    webhook,
    status,
    code,
    reason,
    ...(detail !== undefined && { detail }),
    ...(text !== undefined && { problem: text }),
    ...(skewMs !== undefined && { skewMs }),
    remoteAddress: place.remoteAddress,
    atMs: context.kernel.clock.now(),
  })
}

/** Spread out, so that all who were sent away do not come back in the same second. */
export const retryAfterS = (context: IngressContext, minimum: number): number =>
  randomInteger(context.kernel.random, minimum, minimum * 3)
