import type { ConsumerObserver, ReplayedEvent } from '../consumer/index.ts'
import type { Integration } from '../contract/index.ts'
import type { Kernel } from '../kernel/index.ts'
import { METRICS, type Metrics, parseTraceparent, type Tracer } from '../observe/index.ts'
import type { DeadLetterRow } from '../store/index.ts'
import type { AttemptHistory } from './attempt-history.ts'
import type { AttemptRecord, EventHub } from './events.ts'

export interface ObserverOptions {
  readonly kernel: Kernel
  readonly metrics: Metrics
  readonly events: EventHub
  readonly tracer: Tracer
  readonly integration: Integration
  readonly history: AttemptHistory
  /** `previousCause` is set when it was a dead letter before. */
  readonly onDeadLetter: (consumer: string, previousCause: string | undefined) => void
  readonly onReplayed: (event: ReplayedEvent) => void
  readonly onLetterResolved: (letter: DeadLetterRow) => void
}

/** Bridges what consumers tell to metrics, the event stream, traces and the log. */
export const createConsumerObserver = (options: ObserverOptions): ConsumerObserver => {
  const { kernel, metrics, events, tracer, integration, history } = options
  const series = new Map(
    integration.consumers.map(({ name }) => [name, consumerSeries(metrics, name)] as const),
  )
  const recorded: ConsumerObserver['span'] = async (consumer, envelope, run) => {
    const parent =
      envelope.traceparent === undefined ? undefined : parseTraceparent(envelope.traceparent)
    const span = tracer.startSpan(`consume ${consumer}`, {
      kind: 'consumer',
      parent,
      attributes: {
        'messaging.system': 'junctura',
        'messaging.destination.name': envelope.type,
        'messaging.message.id': envelope.id,
        'messaging.consumer.group.name': consumer,
      },
    })
    try {
      return await span.run(() => run((error) => span.recordError(error)))
    } finally {
      span.end()
    }
  }
  const tell = (record: AttemptRecord, own: ConsumerSeries | undefined, tookMs: number): void => {
    own?.outcomes[record.outcome].add()
    own?.handler.record(tookMs / 1_000)
    history.attempted(record)
    events.publish(record)
  }
  return {
    attempt({ consumer, messageId, position, key, attempt, outcome, error, ...event }) {
      const durationMs = hundredths(event.durationMs)
      const told = { consumer, messageId, position, key, attempt, outcome, durationMs }
      const record: AttemptRecord =
        error === undefined ? { kind: 'attempt', ...told } : { kind: 'attempt', ...told, error }
      tell(record, series.get(consumer), event.durationMs)
    },
    succeeded({ item, consumer, attempt, startedMs }) {
      const { clock } = kernel
      const own = series.get(consumer.name)
      const { envelope } = item.record.head
      const tookMs = clock.monotonicMs() - startedMs
      const record: AttemptRecord = {
        kind: 'attempt',
        consumer: consumer.name,
        messageId: envelope.id,
        position: item.position,
        key: envelope.partitionkey,
        attempt,
        outcome: 'done',
        durationMs: hundredths(tookMs),
      }
      tell(record, own, tookMs)
      own?.latency.record((clock.now() - item.atMs) / 1_000)
    },
    finished(event) {
      const own = series.get(event.consumer)
      if (event.how === 'done')
        own?.latency.record((event.finishedAtMs - event.receivedAtMs) / 1_000)
      if (event.how === 'expired') own?.expired.add()
    },
    retryScheduled(event) {
      series.get(event.consumer)?.retries.add()
      events.publish({ kind: 'retry', ...event })
    },
    deadLettered(event) {
      series.get(event.consumer)?.dead.add()
      options.onDeadLetter(event.consumer, event.previousCause)
      const { consumer, id, messageId, key, cause } = event
      events.publish({ kind: 'dead-letter', consumer, deadLetterId: id, messageId, key, cause })
    },
    letterResolved: options.onLetterResolved,
    replayed: options.onReplayed,
    dropped(event) {
      series.get(event.consumer)?.dropped.add()
    },
    logged(event) {
      const { consumer, messageId, message, fields } = event
      kernel.log.info({ ...fields, consumer, messageId }, message)
      events.publish({ kind: 'log', consumer, messageId, message })
    },
    get isTracing() {
      return tracer.isRecording
    },
    span: (consumer, envelope, run) =>
      tracer.isRecording ? recorded(consumer, envelope, run) : run(() => undefined),
  }
}
const hundredths = (ms: number): number => Math.round(ms * 100) / 100

type ConsumerSeries = ReturnType<typeof consumerSeries>

// The series of one consumer, bound once, so that an attempt costs a few additions.
const consumerSeries = (metrics: Metrics, consumer: string) => ({
  outcomes: {
    done: metrics.counter(METRICS.attempts).with({ consumer, outcome: 'done' }),
    failed: metrics.counter(METRICS.attempts).with({ consumer, outcome: 'failed' }),
    timeout: metrics.counter(METRICS.attempts).with({ consumer, outcome: 'timeout' }),
  },
  handler: metrics.histogram(METRICS.handlerDuration).with({ consumer }),
  latency: metrics.histogram(METRICS.endToEndLatency).with({ consumer }),
  retries: metrics.counter(METRICS.retriesScheduled).with({ consumer }),
  dead: metrics.counter(METRICS.deadLetters).with({ consumer, stage: 'handler' }),
  dropped: metrics.counter(METRICS.droppedAtMostOnce).with({ consumer }),
  expired: metrics.counter(METRICS.expired).with({ consumer }),
})
