import type { Random } from '../kernel/index.ts'
import { type SpanContext, startSpanContext } from './trace-context.ts'

export type SpanKind = 'internal' | 'server' | 'client' | 'producer' | 'consumer'

/** Names and figures, never payloads (F57); text is cut at 256 characters. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>

export interface SpanOptions {
  /** The span that this one follows, from this process or another; without it a new trace. */
  readonly parent?: SpanContext | undefined
  readonly attributes?: SpanAttributes
  /** @default 'internal' */
  readonly kind?: SpanKind
}

export interface Span {
  /** What to send on and to store with what this span emits. */
  readonly context: SpanContext
  setAttribute(name: string, value: string | number | boolean): void
  /** Marks the span as failed, with the class of the error and its normalised message. */
  recordError(error: unknown): void
  /** Runs `work` with this span active, so that instrumented libraries called by it nest here. */
  run<T>(work: () => T): T
  /** Idempotent. */
  end(): void
}

/** Where spans go. Every hop has one context, whether anybody records it or not. */
export interface Tracer {
  /** Whether somebody records spans now; without, only the contexts that travel on are needed. */
  readonly isRecording: boolean
  startSpan(name: string, options?: SpanOptions): Span
}

/** Records nothing and carries contexts on, so that a trace is never cut in two by us. */
export const createContextTracer = (random: Pick<Random, 'bytes'>): Tracer => ({
  isRecording: false,
  startSpan: (_name, options = {}) => ({
    context: startSpanContext(options.parent, random),
    setAttribute: nothing,
    recordError: nothing,
    run: atOnce,
    end: nothing,
  }),
})

const nothing = (): void => undefined
const atOnce = <T>(work: () => T): T => work()
