import { isJuncturaError, LIMITS, messageOf, type Random } from '../kernel/index.ts'
import { normaliseMessage } from './cause.ts'
import type { SpanContext } from './trace-context.ts'
import {
  createContextTracer,
  type Span,
  type SpanKind,
  type SpanOptions,
  type Tracer,
} from './tracer.ts'

/** The part of `@opentelemetry/api` that we use. The package is an optional peer. */
export interface OpenTelemetryApi {
  readonly ROOT_CONTEXT: ApiContext
  readonly context: {
    active(): ApiContext
    with<T>(context: ApiContext, work: () => T): T
  }
  readonly trace: {
    getTracer(name: string): ApiTracer
    /** A stand-in until an SDK registers; it says so through a method of its own. */
    getTracerProvider(): object
    setSpan(context: ApiContext, span: ApiSpan): ApiContext
    setSpanContext(context: ApiContext, spanContext: ApiSpanContext): ApiContext
  }
  createTraceState(value: string): ApiTraceState
}

/** A value that only the API itself looks into. */
interface ApiContext {
  getValue(key: symbol): unknown
  setValue(key: symbol, value: unknown): ApiContext
  deleteValue(key: symbol): ApiContext
}

interface ApiTraceState {
  serialize(): string
}

interface ApiSpanContext {
  traceId: string
  spanId: string
  traceFlags: number
  isRemote?: boolean
  traceState?: ApiTraceState
}

interface ApiSpan {
  spanContext(): ApiSpanContext
  setAttribute(name: string, value: string | number | boolean): unknown
  recordException(exception: { name: string; message: string }): void
  setStatus(status: { code: number; message?: string }): unknown
  end(): void
}

interface ApiTracer {
  startSpan(
    name: string,
    options: { kind: number; attributes: Record<string, string | number | boolean> },
    context: ApiContext,
  ): ApiSpan
}

export interface OpenTelemetryOptions {
  readonly random: Pick<Random, 'bytes'>
  /** @default imports the package `@opentelemetry/api` */
  readonly load?: () => Promise<OpenTelemetryApi>
}

/**
 * A tracer that hands every span to OpenTelemetry when `@opentelemetry/api` is installed, with the
 * received context as remote parent; otherwise, and as long as no SDK is registered, the default
 * that only carries contexts on.
 */
export const loadOpenTelemetryTracer = async (options: OpenTelemetryOptions): Promise<Tracer> => {
  const { random, load = importApi } = options
  try {
    return createOpenTelemetryTracer(await load(), random)
  } catch (error) {
    if (!isMissingPackage(error)) throw error
    return createContextTracer(random)
  }
}

const importApi = (): Promise<OpenTelemetryApi> => import('@opentelemetry/api')

function isMissingPackage(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    error.code === 'ERR_MODULE_NOT_FOUND' &&
    error.message.includes('@opentelemetry/api')
  )
}

/** The numbers that the OpenTelemetry API gives to kinds and statuses. */
const KINDS: Readonly<Record<SpanKind, number>> = {
  internal: 0,
  server: 1,
  client: 2,
  producer: 3,
  consumer: 4,
}
const STATUS_ERROR = 2

function createOpenTelemetryTracer(api: OpenTelemetryApi, random: Pick<Random, 'bytes'>): Tracer {
  const tracer = api.trace.getTracer('junctura')
  const unrecorded = createContextTracer(random)
  let isRecording = false
  const records = (): boolean => (isRecording ||= hasSdk(api.trace.getTracerProvider()))
  return {
    get isRecording() {
      return records()
    },
    startSpan: (name, options = {}) => {
      // Asking the API for a span that goes nowhere costs more than our own part of it.
      if (!records()) return unrecorded.startSpan(name, options)
      const parent = parentContext(api, options.parent)
      const attributes: Record<string, string | number | boolean> = {}
      for (const [key, value] of Object.entries(options.attributes ?? {})) {
        attributes[key] = bounded(value)
      }
      const kind = KINDS[options.kind ?? 'internal']
      const apiSpan = tracer.startSpan(name, { kind, attributes }, parent)
      const context = recordedContext(apiSpan.spanContext(), options.parent)
      if (context === undefined) return unrecorded.startSpan(name, options)
      return bridgeSpan({ api, apiSpan, context, parent })
    },
  }
}

/** Whether an SDK stands behind the API's stand-in; one that cannot be asked is taken as one. */
function hasSdk(provider: object): boolean {
  if (!('getDelegateTracer' in provider)) return true
  const ask: unknown = provider.getDelegateTracer
  return typeof ask !== 'function' || Reflect.apply(ask, provider, ['junctura']) !== undefined
}

/** Without a parent of ours, what is active around us: a user's own instrumentation may be. */
function parentContext(api: OpenTelemetryApi, parent: SpanOptions['parent']): ApiContext {
  if (parent === undefined) return api.context.active()
  return api.trace.setSpanContext(api.ROOT_CONTEXT, {
    traceId: parent.traceId,
    spanId: parent.spanId,
    traceFlags: parent.flags,
    isRemote: true,
    ...(parent.traceState === '' ? {} : { traceState: api.createTraceState(parent.traceState) }),
  })
}

/** Our form of what was recorded; undefined when no SDK is registered and nothing was. */
function recordedContext(
  own: ApiSpanContext,
  parent: SpanContext | undefined,
): SpanContext | undefined {
  const isInvalid = /^0*$/.test(own.spanId) || /^0*$/.test(own.traceId)
  if (isInvalid || own.spanId === parent?.spanId) return undefined
  const traceState = own.traceState?.serialize() ?? ''
  return { traceId: own.traceId, spanId: own.spanId, flags: own.traceFlags & 0b11, traceState }
}

interface BridgedSpan {
  readonly api: OpenTelemetryApi
  readonly apiSpan: ApiSpan
  readonly context: SpanContext
  readonly parent: ApiContext
}

function bridgeSpan({ api, apiSpan, context, parent }: BridgedSpan): Span {
  let isEnded = false
  return {
    context,
    setAttribute: (name, value) => void apiSpan.setAttribute(name, bounded(value)),
    recordError: (error) => {
      const name = errorType(error)
      const message = normaliseMessage(messageOf(error))
      apiSpan.setAttribute('error.type', name)
      apiSpan.recordException({ name, message })
      apiSpan.setStatus({ code: STATUS_ERROR, message })
    },
    run: (work) => api.context.with(api.trace.setSpan(parent, apiSpan), work),
    end: () => {
      if (isEnded) return
      isEnded = true
      apiSpan.end()
    },
  }
}

function errorType(error: unknown): string {
  if (isJuncturaError(error)) return error.code
  return error instanceof Error ? error.name : typeof error
}

function bounded(value: string | number | boolean): string | number | boolean {
  return typeof value === 'string' ? value.slice(0, LIMITS.spanAttributeCharsMax) : value
}
