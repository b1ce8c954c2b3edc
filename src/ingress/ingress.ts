import type { Webhook } from '../contract/index.ts'
import { ERROR_CODES, isJuncturaError, type Kernel, LIMITS, messageOf } from '../kernel/index.ts'
import { createMetrics, type Metrics, METRICS } from '../observe/index.ts'
import { readTraceContext, type SpanContext, type Tracer } from '../observe/index.ts'
import { type RateLimit, resolveRateLimit } from '../policy/index.ts'
import { createCertificateBook, type FetchCertificate, hasHandshake } from '../security/index.ts'
import type { Committer } from '../store/index.ts'
import { answerSubscription } from './answer-handshake.ts'
import { answerStatus } from './answer-status.ts'
import { answerDescription } from './describe-error.ts'
import { createRouteFinder, type Route } from './find-route.ts'
import {
  countRefusal,
  type IngressContext,
  type IngressDesk,
  openIngressDesk,
  refuse,
  retryAfterS,
} from './ingress-context.ts'
import { createByteBudget, type IngressRequest, type IngressResponse } from './ingress-request.ts'
import { problemOfError } from './problem.ts'
import { createListenerAddress, type ListenerAddress } from './listener-address.ts'
import { createRateGate, type RateGate } from './rate-gate.ts'
import { openFronts } from './open-fronts.ts'
import { receiveEvents } from './receive-events.ts'
import { receiveWebhook } from './receive-webhook.ts'
import { readHeaders, type RequestHeaders } from './request-headers.ts'

export interface IngressOptions {
  readonly kernel: Kernel
  readonly webhooks: readonly Webhook[]
  readonly inbox: IngressContext['inbox']
  readonly committer: Pick<Committer, 'waiting' | 'mode'>
  /** Asked for each request, so that secrets can be rotated while running. */
  readonly keysOf: IngressContext['keysOf']
  /** @default metrics that nobody reads */
  readonly metrics?: Metrics
  /** Records a span per request and step. @default none; a trace that comes in is carried on */
  readonly tracer?: Tracer
  /**
   * Requests per connection address, decided before the signature: set it where strangers reach
   * the listener and partners have addresses of their own.
   *
   * @default none
   */
  readonly ratePerAddress?: RateLimit
  /** Proxies whose `X-Forwarded-For` is believed. @default none */
  readonly trustedProxies?: readonly string[]
  /** What the consumers made of a message, for a sender that asks. @default `stored` */
  readonly outcomeOf?: IngressContext['outcomeOf']
  readonly onRefused?: IngressContext['onRefused']
  /** Gets the certificate that a sender names. @default none: such requests are refused */
  readonly fetchCertificate?: FetchCertificate
}

/**
 * The public border: a function from request to response. It knows no socket, so a test, a
 * simulator or another server can drive it.
 */
export interface Ingress {
  /** Never rejects: whatever goes wrong is an answer. */
  handle(request: IngressRequest): Promise<IngressResponse>
  /**
   * From now on every request is answered 503 with `Retry-After`; resolves when those that were
   * being answered have their answer. Idempotent.
   */
  drain(): Promise<void>
  /** Requests being answered now. */
  readonly inFlight: number
  /** Bytes of bodies held now. */
  readonly bytesInFlight: number
}

export const createIngress = (options: IngressOptions): Ingress => new Border(options)

/** Owns what all requests share: the count in flight, the byte budget and the rate gate. */
class Border implements Ingress {
  readonly #context: IngressContext
  readonly #committer: IngressOptions['committer']
  readonly #findRoute: (target: string) => Route | undefined
  readonly #desks: ReadonlyMap<string, IngressDesk>
  readonly #gate: RateGate | undefined
  readonly #addressOf: ListenerAddress | undefined
  #inFlight = 0
  #isDraining = false
  #whenEmpty: (() => void)[] = []

  constructor(options: IngressOptions) {
    const { kernel, ratePerAddress } = options
    const fronts = openFronts(options.webhooks)
    const metrics = options.metrics ?? createMetrics(kernel.clock)
    this.#committer = options.committer
    this.#findRoute = createRouteFinder(fronts.map(({ webhook }) => webhook))
    this.#desks = new Map(
      fronts.map(({ webhook, doors }) => [webhook.name, openIngressDesk(webhook, metrics, doors)]),
    )
    this.#gate =
      ratePerAddress && createRateGate(resolveRateLimit(ratePerAddress, 'ratePerAddress'))
    const { trustedProxies = [] } = options
    this.#addressOf =
      trustedProxies.length > 0
        ? createListenerAddress(trustedProxies, 'trustedProxies')
        : undefined
    const { fetchCertificate: fetch } = options
    this.#context = {
      kernel,
      certificates: fetch && createCertificateBook({ fetch, clock: kernel.clock }),
      inbox: options.inbox,
      keysOf: (hook) => options.keysOf(this.#desks.get(hook.name)?.messagesOf ?? hook),
      metrics,
      tracer: options.tracer,
      budget: createByteBudget(LIMITS.bodiesInFlightBytesMax),
      outcomeOf: options.outcomeOf,
      onRefused: options.onRefused,
    }
    metrics.observe(METRICS.ingressInFlight, () => [{ labels: {}, value: this.#inFlight }])
  }

  get inFlight(): number {
    return this.#inFlight
  }

  get bytesInFlight(): number {
    return this.#context.budget.held
  }

  drain(): Promise<void> {
    this.#isDraining = true
    if (this.#inFlight === 0) return Promise.resolve()
    return new Promise((resolve) => this.#whenEmpty.push(resolve))
  }

  async handle(received: IngressRequest): Promise<IngressResponse> {
    const { clock } = this.#context.kernel
    const startedMs = clock.monotonicMs()
    const headers = readHeaders(received.rawHeaders)
    let request = received
    this.#inFlight++
    let desk: IngressDesk | undefined
    try {
      const oversized = this.#refuseSize(request, headers)
      if (oversized) return oversized
      // Only now: a header that is too large is not read.
      if (this.#addressOf) {
        const forwardedFor = headers.lookup('x-forwarded-for')
        const remoteAddress = this.#addressOf(received.remoteAddress, forwardedFor)
        request = { ...received, remoteAddress }
      }
      const route = this.#findRoute(request.target)
      desk = route && this.#desks.get(route.webhook.name)
      if (!route || !desk) {
        const description = answerDescription(request)
        if (description) return description
        return this.#refuse(request, undefined, { code: 'JUNCTURA_ROUTE_UNKNOWN', reason: 'route' })
      }
      const refused = this.#refuseMethod(request, desk, route) ?? this.#refuseLoad(request, desk)
      if (refused) return refused
      return await this.#cross({ request, headers, desk, route })
    } catch (error) {
      return this.#failed(request, desk, error)
    } finally {
      this.#inFlight--
      if (this.#isDraining && this.#inFlight === 0) {
        for (const resolve of this.#whenEmpty.splice(0)) resolve()
      }
      desk?.latency.record((clock.monotonicMs() - startedMs) / 1_000)
    }
  }

  async #cross(parts: {
    readonly request: IngressRequest
    readonly headers: RequestHeaders
    readonly desk: IngressDesk
    readonly route: Route
  }): Promise<IngressResponse> {
    const { request, headers, desk, route } = parts
    const context = this.#context
    const receivedAtMs = context.kernel.clock.now()
    const parent = readParent(headers)
    const span = context.tracer?.startSpan(`${request.method} ${desk.webhook.path}`, {
      kind: 'server',
      parent,
      attributes: { 'junctura.webhook': desk.webhook.name },
    })
    const trace = span?.context ?? parent
    const crossing = { context, desk, request, headers, receivedAtMs, trace }
    try {
      const response =
        route.kind === 'message'
          ? await answerStatus(crossing, route.id)
          : request.method !== 'POST'
            ? await answerSubscription(crossing)
            : desk.doors
              ? await receiveEvents(crossing, desk.doors)
              : await receiveWebhook(crossing)
      span?.setAttribute('http.response.status_code', response.status)
      return response
    } catch (error) {
      span?.recordError(error)
      throw error
    } finally {
      span?.end()
    }
  }

  #refuse(
    request: IngressRequest,
    desk: IngressDesk | undefined,
    answer: Parameters<typeof refuse>[2],
  ): IngressResponse {
    const place = { desk, remoteAddress: request.remoteAddress }
    // Refused before the body was read: the connection cannot go on with another request.
    return refuse(this.#context, place, { close: true, ...answer })
  }

  #refuseSize(request: IngressRequest, headers: RequestHeaders): IngressResponse | undefined {
    if (request.target.length > LIMITS.urlBytesMax) {
      const details = { maximum: LIMITS.urlBytesMax }
      const answer = { code: 'JUNCTURA_URL_TOO_LONG', reason: 'size', details } as const
      return this.#refuse(request, undefined, answer)
    }
    if (headers.count > LIMITS.headersMax || headers.bytes > LIMITS.headerBytesMax) {
      const answer = { code: 'JUNCTURA_HEADERS_TOO_LARGE', reason: 'size' } as const
      return this.#refuse(request, undefined, answer)
    }
    return undefined
  }

  #refuseMethod(
    request: IngressRequest,
    desk: IngressDesk,
    route: Route,
  ): IngressResponse | undefined {
    const method = route.kind === 'message' ? 'GET' : 'POST'
    if (request.method === method) return undefined
    const { verify } = desk.webhook
    if (route.kind === 'webhook' && hasHandshake(verify, request.method)) return undefined
    const allow = `${method}, OPTIONS`
    if (request.method === 'OPTIONS')
      return { status: 204, headers: { allow }, body: '', close: true }
    return this.#refuse(request, desk, {
      code: 'JUNCTURA_METHOD_NOT_ALLOWED',
      reason: 'method',
      headers: { allow },
    })
  }

  #refuseLoad(request: IngressRequest, desk: IngressDesk): IngressResponse | undefined {
    const { kernel, budget } = this.#context
    if (this.#isDraining) return this.#unavailable(request, desk, 'JUNCTURA_CLOSED')
    const waitMs = this.#gate?.wait(request.remoteAddress, kernel.clock.monotonicMs()) ?? 0
    if (waitMs > 0) {
      const seconds = Math.max(1, Math.ceil(waitMs / 1_000))
      return this.#refuse(request, desk, {
        code: 'JUNCTURA_RATE_LIMITED',
        reason: 'rate',
        retryAfterS: seconds,
      })
    }
    const isFull =
      this.#inFlight > LIMITS.requestsInFlightMax ||
      this.#committer.waiting >= LIMITS.acceptQueueMax ||
      budget.held >= LIMITS.bodiesInFlightBytesMax
    if (isFull) return this.#unavailable(request, desk, 'JUNCTURA_OVERLOADED')
    if (this.#committer.mode === 'open') return undefined
    return this.#unavailable(request, desk, 'JUNCTURA_STORE_UNKNOWN')
  }

  #unavailable(
    request: IngressRequest,
    desk: IngressDesk,
    code: keyof typeof UNAVAILABLE_REASONS,
  ): IngressResponse {
    const response = problemOfError(code, retryAfterS(this.#context, 1))
    const place = { desk, remoteAddress: request.remoteAddress }
    const reason = UNAVAILABLE_REASONS[code]
    countRefusal(this.#context, place, { code, status: response.status, reason })
    return { ...response, close: true }
  }

  /** Whatever was thrown: nothing was stored, and the sender is told whether to try again. */
  #failed(request: IngressRequest, desk: IngressDesk | undefined, error: unknown): IngressResponse {
    const isKnown = isJuncturaError(error) && ERROR_CODES[error.code].status !== 500
    const code = isKnown ? error.code : 'JUNCTURA_INTERNAL'
    const response = problemOfError(code, retryAfterS(this.#context, 2))
    const reason = response.status === 503 ? 'store' : 'internal'
    const place = { desk, remoteAddress: request.remoteAddress }
    const text = messageOf(error)
    countRefusal(this.#context, place, { code, status: response.status, reason, problem: text })
    if (!isKnown) {
      const { log } = this.#context.kernel
      log.error({ webhook: desk?.webhook.name, problem: text }, 'a request could not be handled')
    }
    return response
  }
}

const UNAVAILABLE_REASONS = {
  JUNCTURA_OVERLOADED: 'overload',
  JUNCTURA_STORE_UNKNOWN: 'store',
  JUNCTURA_CLOSED: 'draining',
} as const

/** Most requests carry no trace, and looking must not cost them anything. */
const readParent = (headers: RequestHeaders): SpanContext | undefined =>
  headers.lookup('traceparent') === undefined ? undefined : readTraceContext(headers.entries())
