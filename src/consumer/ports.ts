import type { Consumer, Draft, Envelope } from '../contract/index.ts'
import type { Kernel, SteadyClock } from '../kernel/index.ts'
import type { Append, Committer, DeadLetterRow, RowWrite, Store, Timers } from '../store/index.ts'
import type { Transport } from '../transport/index.ts'
import type { WorkItem } from './work-item.ts'

/** What a consumer needs from the runtime. */
export interface ConsumerPorts {
  readonly kernel: Kernel
  readonly steady: SteadyClock
  readonly store: Store
  readonly committer: Committer
  readonly transport: Transport
  readonly timers: Timers
  /** Lifts data to the version the consumer asked for; throws when it cannot be. */
  readonly readData: (consumer: Consumer, envelope: Envelope, data: Uint8Array) => unknown
  /** Turns what a handler emitted into appends, validated against its contract. */
  readonly prepareEmit: (draft: Draft, cause: EmitCause) => Append
  /** What is told with a dead letter to whoever waits for the message; commits with it. */
  readonly onGivenUp?: (consumer: Consumer, item: WorkItem, problem: string) => readonly Append[]
  /** Id of the message whose record stands there; undefined when retention has dropped it. */
  readonly messageIdAt: (position: number) => Promise<string | undefined>
  /** Rows that make an alert durable; they commit with what raised it. */
  readonly raiseAlert: (alert: ConsumerAlert) => readonly RowWrite[]
  /** Rows that resolve the alert of a cause; none when it is not open. */
  readonly resolveAlert: (cause: string) => readonly RowWrite[]
  /** Reads what other processes have raised and resolved. */
  readonly loadAlerts: () => Promise<void>
  /** How often the open alert of a cause was raised; 0 when there is none. */
  readonly openAlerts: (cause: string) => number
  /** Replaces personal data of the message in a text. */
  readonly maskText: (consumer: Consumer, text: string, data: unknown) => string
  readonly observer: ConsumerObserver
  /** Which start of the runtime this is. */
  readonly epoch: number
  readonly modelHash: string
}

/** The message whose handler emitted something. */
export interface EmitCause {
  readonly envelope: Envelope
  readonly consumer: string
  /** Counts the emits of one attempt, so that a repeated attempt gives the same ids. */
  readonly index: number
  readonly atMs: number
}

export interface ConsumerAlert {
  readonly kind: 'dead-letter' | 'consumer-stopped' | 'consumer-outage' | 'newer-version'
  readonly cause: string
  readonly title: string
  readonly consumer: Consumer
  readonly atMs: number
}

/** Told what happens; metrics, traces and the event stream hang on it. */
export interface ConsumerObserver {
  attempt(event: AttemptEvent): void
  /** The same as `attempt` and `finished` of one message that is done. */
  succeeded(event: SucceededEvent): void
  finished(event: FinishedEvent): void
  retryScheduled(event: {
    readonly consumer: string
    readonly messageId: string
    readonly dueAtMs: number
  }): void
  deadLettered(event: {
    readonly consumer: string
    readonly id: string
    readonly messageId: string
    readonly key: string
    readonly type: string
    readonly cause: string
    /** Set when it was a dead letter before and failed again: the cause it had. */
    readonly previousCause?: string
  }): void
  /** A dead letter was resolved by success, in the same commit. */
  letterResolved(letter: DeadLetterRow): void
  /** What became of a message that a replay brought. */
  replayed(event: ReplayedEvent): void
  dropped(event: { readonly consumer: string; readonly messageId: string }): void
  logged(event: {
    readonly consumer: string
    readonly messageId: string
    readonly message: string
    readonly fields: Readonly<Record<string, unknown>>
  }): void
  /** Whether anybody records spans. */
  readonly isTracing: boolean
  /** Wraps the run of a handler, for a trace span; `failed` is told a masked error. */
  span<T>(
    consumer: string,
    envelope: Envelope,
    run: (failed: (error: Error) => void) => Promise<T>,
  ): Promise<T>
}

export interface ReplayedEvent {
  readonly runId: string
  readonly consumer: string
  readonly position: number
  /** `retrying` comes before one of the others. */
  readonly outcome: 'done' | 'skipped' | 'retrying' | 'failed'
}

export interface AttemptEvent {
  readonly consumer: string
  readonly messageId: string
  readonly position: number
  readonly key: string
  readonly attempt: number
  readonly outcome: 'done' | 'failed' | 'timeout'
  readonly durationMs: number
  readonly error?: string
}

export interface SucceededEvent {
  readonly item: WorkItem
  readonly consumer: Consumer
  readonly attempt: number
  readonly startedMs: number
}

export interface FinishedEvent {
  readonly consumer: string
  readonly messageId: string
  readonly position: number
  readonly receivedAtMs: number
  readonly finishedAtMs: number
  readonly how: 'done' | 'filtered' | 'skipped' | 'expired'
}
