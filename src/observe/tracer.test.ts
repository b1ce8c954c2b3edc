import { AsyncLocalStorage } from 'node:async_hooks'
import * as api from '@opentelemetry/api'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createSeededRandom, JuncturaError, LIMITS } from '../kernel/index.ts'
import { loadOpenTelemetryTracer } from './open-telemetry-tracer.ts'
import type { SpanContext } from './trace-context.ts'
import { createContextTracer, type Tracer } from './tracer.ts'

const PARENT: SpanContext = {
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  spanId: '00f067aa0ba902b7',
  flags: 1,
  traceState: 'congo=t61rcWkgMzE',
}

const random = createSeededRandom(7)
const missing = Object.assign(new Error("Cannot find package '@opentelemetry/api' imported"), {
  code: 'ERR_MODULE_NOT_FOUND',
})

/** What both tracers that record nothing have to do. */
const carriesContexts = (tracer: Tracer): void => {
  const child = tracer.startSpan('handle', { parent: PARENT })
  const root = tracer.startSpan('handle')
  child.setAttribute('a', 1)
  child.recordError(new Error('x'))
  child.end()
  child.end()

  expect(child.context).toMatchObject({ traceId: PARENT.traceId, flags: 1 })
  expect(child.context.traceState).toBe(PARENT.traceState)
  expect(child.context.spanId).not.toBe(PARENT.spanId)
  expect(root.context.traceId).toMatch(/^(?!0+$)[0-9a-f]{32}$/)
  expect(root.context.spanId).toMatch(/^(?!0+$)[0-9a-f]{16}$/)
  expect(child.run(() => 42)).toBe(42)
}

describe('createContextTracer', () => {
  it('records nothing and carries every context on', () => {
    carriesContexts(createContextTracer(random))
  })
})

describe('loadOpenTelemetryTracer without OpenTelemetry', () => {
  it('only carries contexts on when the package is not installed', async () => {
    carriesContexts(await loadOpenTelemetryTracer({ random, load: () => Promise.reject(missing) }))
  })

  it('only carries contexts on when no SDK is registered', async () => {
    carriesContexts(await loadOpenTelemetryTracer({ random }))
  })

  it.each([
    new Error('Unexpected token'),
    Object.assign(new Error("Cannot find package 'left-pad'"), { code: 'ERR_MODULE_NOT_FOUND' }),
  ])('does not hide a package that is there and broken: %s', async (error) => {
    await expect(
      loadOpenTelemetryTracer({ random, load: () => Promise.reject(error) }),
    ).rejects.toBe(error)
  })
})

describe('loadOpenTelemetryTracer with an SDK', () => {
  const recorded: RecordedSpan[] = []
  const started = (name: string): RecordedSpan => {
    const span = recorded.find((one) => one.name === name)
    if (span === undefined) throw new Error(`no span ${name}`)
    return span
  }

  beforeEach(() => {
    recorded.length = 0
    api.trace.setGlobalTracerProvider(memoryProvider(recorded))
    api.context.setGlobalContextManager(memoryContexts())
  })

  afterEach(() => {
    api.trace.disable()
    api.context.disable()
  })

  it('hands spans over with kind, attributes and the remote parent', async () => {
    const tracer = await loadOpenTelemetryTracer({ random })
    const attributes = { 'junctura.consumer': 'finance', attempt: 2 }

    const span = tracer.startSpan('handle finance', {
      parent: PARENT,
      attributes,
      kind: 'consumer',
    })

    const own = started('handle finance')
    expect(own.kind).toBe(api.SpanKind.CONSUMER)
    expect(own.attributes).toEqual(attributes)
    expect(own.parent).toMatchObject({
      traceId: PARENT.traceId,
      spanId: PARENT.spanId,
      traceFlags: api.TraceFlags.SAMPLED,
      isRemote: true,
    })
    expect(span.context).toEqual({
      traceId: PARENT.traceId,
      spanId: own.spanContext().spanId,
      flags: 1,
      traceState: PARENT.traceState,
    })
  })

  it.each([
    ['internal', api.SpanKind.INTERNAL],
    ['server', api.SpanKind.SERVER],
    ['client', api.SpanKind.CLIENT],
    ['producer', api.SpanKind.PRODUCER],
    ['consumer', api.SpanKind.CONSUMER],
  ] as const)('names the kind %s as OpenTelemetry does', async (kind, number) => {
    const tracer = await loadOpenTelemetryTracer({ random })

    tracer.startSpan('x', { kind })

    expect(started('x').kind).toBe(number)
  })

  it('keeps the decision of a sampler that does not record', async () => {
    const tracer = await loadOpenTelemetryTracer({ random })

    const span = tracer.startSpan('unsampled', { parent: PARENT })

    expect(span.context).toMatchObject({ traceId: PARENT.traceId, flags: 0 })
    expect(span.context.spanId).not.toBe(PARENT.spanId)
  })

  it('records an error by its class, without what it quotes (F57)', async () => {
    const tracer = await loadOpenTelemetryTracer({ random })
    const span = tracer.startSpan('failing')

    span.recordError(new RangeError('no order 4711 of jane@example.org'))

    const own = started('failing')
    expect(own.exceptions).toEqual([{ name: 'RangeError', message: 'no order <n> of <email>' }])
    expect(own.status).toEqual({
      code: api.SpanStatusCode.ERROR,
      message: 'no order <n> of <email>',
    })
    expect(own.attributes['error.type']).toBe('RangeError')
  })

  it('records our own errors by their code, and what is thrown without being one by its type', async () => {
    const tracer = await loadOpenTelemetryTracer({ random })

    tracer
      .startSpan('ours')
      .recordError(new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'The store' } }))
    tracer.startSpan('text').recordError('boom')

    expect(started('ours').attributes['error.type']).toBe('JUNCTURA_CLOSED')
    expect(started('text').attributes['error.type']).toBe('string')
  })

  it('cuts long attributes', async () => {
    const tracer = await loadOpenTelemetryTracer({ random })
    const long = 'x'.repeat(10_000)

    const span = tracer.startSpan('long', { attributes: { early: long } })
    span.setAttribute('late', long)

    const { early, late } = started('long').attributes
    expect([early, late]).toEqual(Array(2).fill('x'.repeat(LIMITS.spanAttributeCharsMax)))
  })

  it('ends a span once', async () => {
    const tracer = await loadOpenTelemetryTracer({ random })
    const span = tracer.startSpan('once')

    span.end()
    span.end()

    expect(started('once').ends).toBe(1)
  })

  it('lets instrumented libraries nest in the handler, and nest itself in what is active', async () => {
    const tracer = await loadOpenTelemetryTracer({ random })
    const span = tracer.startSpan('handle', { parent: PARENT })

    await span.run(async () => {
      await Promise.resolve()
      api.trace.getTracer('pg').startSpan('query')
      tracer.startSpan('emit')
    })
    tracer.startSpan('outside')

    expect(started('query').parent?.spanId).toBe(span.context.spanId)
    expect(started('emit').parent?.spanId).toBe(span.context.spanId)
    expect(started('outside').parent).toBeUndefined()
  })
})

interface RecordedSpan extends api.Span {
  readonly name: string
  readonly kind: api.SpanKind | undefined
  readonly parent: api.SpanContext | undefined
  readonly attributes: Record<string, unknown>
  readonly exceptions: unknown[]
  status: api.SpanStatus | undefined
  ends: number
}

/** A provider that keeps its spans; a span named `unsampled` is not recorded. */
function memoryProvider(recorded: RecordedSpan[]): api.TracerProvider {
  let spans = 0
  const startSpan: api.Tracer['startSpan'] = (
    name,
    options = {},
    context = api.context.active(),
  ) => {
    const parent = api.trace.getSpanContext(context)
    spans += 1
    const isSampled = name !== 'unsampled'
    const own: api.SpanContext = {
      traceId: parent?.traceId ?? 'a'.repeat(32),
      spanId: spans.toString(16).padStart(16, '0'),
      traceFlags: isSampled ? api.TraceFlags.SAMPLED : api.TraceFlags.NONE,
      ...(parent?.traceState === undefined ? {} : { traceState: parent.traceState }),
    }
    if (!isSampled) return api.trace.wrapSpanContext(own)
    const span = recordedSpan(name, own, parent)
    Object.assign(span.attributes, options.attributes)
    recorded.push(Object.assign(span, { kind: options.kind }))
    return span
  }
  const tracer: api.Tracer = {
    startSpan,
    startActiveSpan: () => {
      throw new Error('is not used')
    },
  }
  return { getTracer: () => tracer }
}

function recordedSpan(
  name: string,
  own: api.SpanContext,
  parent: api.SpanContext | undefined,
): RecordedSpan {
  const span: RecordedSpan = {
    name,
    parent,
    kind: undefined,
    attributes: {},
    exceptions: [],
    status: undefined,
    ends: 0,
    spanContext: () => own,
    setAttribute: (key, value) => {
      span.attributes[key] = value
      return span
    },
    setAttributes: () => span,
    addEvent: () => span,
    addLink: () => span,
    addLinks: () => span,
    setStatus: (status) => {
      span.status = status
      return span
    },
    updateName: () => span,
    isRecording: () => true,
    recordException: (exception) => {
      span.exceptions.push(exception)
    },
    end: () => {
      span.ends += 1
    },
  }
  return span
}

function memoryContexts(): api.ContextManager {
  const storage = new AsyncLocalStorage<api.Context>()
  const manager: api.ContextManager = {
    active: () => storage.getStore() ?? api.ROOT_CONTEXT,
    with: (context, work, ...[thisArg, ...args]) =>
      storage.run(context, () => work.call(thisArg as ThisParameterType<typeof work>, ...args)),
    bind: (_context, target) => target,
    enable: () => manager,
    disable: () => manager,
  }
  return manager
}
