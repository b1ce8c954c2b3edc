import type {
  AlertRow,
  DeadLetterRow,
  ExpectationTotals,
  InvalidRow,
  OperationRow,
  RepeatRow,
  ReplayRow,
} from '../store/index.ts'

/** A page of rows, and the key to ask for the next one. */
export interface Page<T> {
  readonly items: readonly T[]
  readonly next?: string
}

export interface PageQuery {
  /** @default 50 @maximum 500 */
  readonly limit?: number
  readonly after?: string
}

export interface Overview {
  readonly name: string
  readonly version: string
  readonly modelHash: string
  readonly startedAtMs: number
  readonly nowMs: number
  readonly status: 'ok' | 'degraded' | 'down'
  /** Why it is not `ok`, one sentence each. */
  readonly reasons: readonly string[]
  /** MISSION A8: the five health figures. */
  readonly health: {
    readonly duplicateRate: number
    readonly deadLetters: number
    readonly contractMismatchRate: number
    /** Received to done, over all consumers, in milliseconds. */
    readonly consumerLatencyMsP50: number | null
    readonly consumerLatencyMsP99: number | null
    readonly correlationCoverage: number
  }
  readonly accepted: number
  readonly duplicates: number
  readonly refused: number
  readonly invalidOpen: number
  readonly deadLettersOpen: number
  readonly alertsOpen: number
  readonly ingressLatencyMsP50: number | null
  readonly ingressLatencyMsP99: number | null
  readonly consumers: readonly ConsumerStatus[]
  readonly webhooks: readonly WebhookStatus[]
  readonly store: {
    readonly engine: string
    readonly durability: string
    /** Smallest thing within which the engine keeps order: `key`, `slot` or `partition` (M9). */
    readonly unitOfOrder: string
    readonly headPosition: number
    readonly sizeBytes: number | null
  }
  readonly transport: BrokerStatus & {
    /** Brokers that are given everything as well. */
    readonly bridges: readonly BrokerStatus[]
  }
}

export interface BrokerStatus {
  readonly name: string
  /** `embedded`, or that of a broker. */
  readonly engine: string
  /** Null where there is no broker, and in a process that does not use it. */
  readonly connected: boolean | null
  /** Positions of the log that the slowest relay has before it; null where there is no broker. */
  readonly unpublished: number | null
  /** Null until the broker was reached. */
  readonly durability: string | null
  readonly unitOfOrder: string | null
  /** Who publishes each channel to it, where several processes share the store. */
  readonly publishers: readonly PublisherStatus[]
}

export interface PublisherStatus {
  readonly channel: string
  /** Null while nobody does. */
  readonly holder: string | null
  readonly managementUrl: string | null
}

export interface ConsumerStatus {
  readonly name: string
  readonly owner: string
  readonly on: string
  readonly version: number
  /**
   * `recovering`, `running`, `outage`, `paused`, `stopped` or `closed`; `elsewhere` when another
   * process runs it, `standing-by` when none does. Then `lag` counts other channels too, and what
   * only memory knows is 0 or null. Of several partitions, what needs somebody most.
   */
  readonly mode: string
  readonly watermark: number
  /** Messages of its contract's channel behind the head, at most; exact when small. */
  readonly lag: number
  readonly oldestPendingAgeMs: number | null
  readonly inFlight: number
  readonly retrying: number
  readonly parked: number
  readonly deadLettersOpen: number
  readonly done: number
  readonly latencyMsP50: number | null
  readonly latencyMsP99: number | null
  /** One where `partitions` is not declared. */
  readonly partitions: readonly ConsumerPartitionStatus[]
}

/** Who runs one partition of a consumer. */
export interface ConsumerPartitionStatus {
  /** Slots of its keys: `0-63` for all. */
  readonly slots: string
  /** As of a consumer. */
  readonly mode: string
  readonly watermark: number
  /** The process that runs it; null where the store has one process, or nobody runs it. */
  readonly holder: string | null
  readonly managementUrl: string | null
}

/** An outbox, and how far its relay is. */
export interface OutboxView {
  readonly name: string
  readonly database: 'postgres' | 'sqlite'
  readonly accepts: readonly string[]
  /** `starting`, `running`, `away` (its database cannot be read) or `stopped`. */
  readonly state: string
  /** Since this process started. */
  readonly moved: number
  readonly invalid: number
  /** Highest number moved. */
  readonly head: number
  /** Ranges of numbers below it whose transactions have not ended. */
  readonly gaps: number
  readonly oldestGapAtMs: number | undefined
  readonly lastMovedAtMs: number | undefined
  /** Why it is not moved; undefined while it is. */
  readonly lastError: string | undefined
  /** Committed rows that are not moved yet; absent while the database is away. */
  readonly waiting?: number
  /** There are more than were counted. */
  readonly waitingIsMore?: boolean
  /** When the oldest of them was written. */
  readonly oldestAtMs?: number
}

/** An expectation and what became of its keys. */
export interface ExpectationView {
  readonly name: string
  readonly owner: string
  readonly summary?: string
  readonly after: readonly string[]
  readonly expect: readonly string[]
  readonly undoneBy: readonly string[]
  readonly withinMs: number
  /** Who should act when the first has come. */
  readonly shouldAct: readonly string[]
  /** `standing-by` where another process watches; `stopped` is told by an alert. */
  readonly state: 'standing-by' | 'running' | 'stopped' | 'closed'
  /** Positions of the log that are still to be taken in. */
  readonly lag: number
  readonly open: number
  readonly missed: number
  /** The earliest deadline that passed. */
  readonly oldestMissedAtMs?: number
  /** Set while a grace runs: nothing is judged before. */
  readonly heldUntilMs?: number
  readonly totals: ExpectationTotals
}

export interface ExpectationKeyQuery extends PageQuery {
  /** @default 'missed' */
  readonly state?: 'open' | 'missed' | 'early' | 'undone'
  /** The row of this key alone, whatever its state. */
  readonly key?: string
}

/** One key of an expectation. */
export interface ExpectationKeyView {
  /** Personal data are masked. */
  readonly key: string
  readonly state: 'open' | 'missed' | 'early' | 'undone'
  readonly dueAtMs: number
  readonly missedAtMs?: number
  readonly lastSeen: { readonly messageId: string; readonly type: string; readonly atMs: number }
  readonly correlationId: string
  readonly shouldAct: readonly string[]
  /** Open ones of what was last seen: a consumer that gave up on it did not act. */
  readonly deadLetters?: readonly {
    readonly id: string
    readonly consumer: string
    readonly cause: string
  }[]
}

/** A schedule, and when it is due. */
export interface ScheduleView {
  readonly name: string
  readonly owner: string
  readonly summary?: string
  /** Absent for one that is due once. */
  readonly cron?: string
  readonly timezone?: string
  readonly emits: string
  readonly whenMissed: 'run-once' | 'skip'
  /** Null when there is no time any more. */
  readonly nextAtMs: number | null
  readonly lastDueAtMs?: number
  readonly lastFiredAtMs?: number
  readonly lastMessageId?: string
  /** Set while its last time could not be emitted. */
  readonly lastError?: string
  readonly fired: number
  /** Times that were left out, or folded into a later one. */
  readonly missed: number
}

/** A choreographed flow: its steps with what came of them. */
export interface FlowView {
  readonly name: string
  readonly owner: string
  readonly summary?: string
  readonly coordination: 'choreography'
  readonly path: readonly string[]
  /** Instances that wait at a step, and that were missed at one. */
  readonly open: number
  readonly missed: number
  readonly steps: readonly ExpectationView[]
}

/** A topic of others, and how far its relay is. */
export interface TopicView {
  readonly name: string
  readonly engine: 'kafka' | 'nats' | 'rabbitmq'
  /** Name of the topic, stream or queue. */
  readonly resource: string
  readonly accepts: readonly string[]
  /**
   * `starting`, `running`, `away` (it cannot be read), `standing-by` (another process moves it) or
   * `stopped`.
   */
  readonly state: string
  /** Since this process started. */
  readonly moved: number
  readonly invalid: number
  /** Known already, by their fact or, in a queue, by their id. */
  readonly repeats: number
  /** Offsets that were gone before they were moved, since the first start. */
  readonly lost: number
  /** The next offset of each partition; empty for a queue. */
  readonly next: Readonly<Record<string, string>>
  /** Offsets, or messages of a queue, that are not moved yet; undefined while it is away. */
  readonly lag: number | undefined
  readonly lastMovedAtMs: number | undefined
  /** What a message there survives, and the settings that say so; undefined until it was asked. */
  readonly durability: string | undefined
  /** Why it is not moved; undefined while it is. */
  readonly lastError: string | undefined
}

export interface WebhookStatus {
  readonly name: string
  readonly path: string
  readonly from: string
  readonly accepted: number
  readonly duplicates: number
  readonly refused: number
  readonly mismatches: number
  /** What the partner keeps repeating. */
  readonly repeats: {
    readonly ids: number
    readonly longest?: RepeatRow
  }
}

export type MessageStatus =
  | 'pending'
  | 'done'
  | 'retrying'
  | 'parked'
  | 'dead'
  | 'dropped'
  /** Its `ttl` had passed when a consumer came to it. */
  | 'expired'
  | 'duplicate'
  | 'no-consumer'

export interface MessageQuery extends PageQuery {
  readonly id?: string
  readonly correlation?: string
  readonly key?: string
  readonly type?: string
  readonly status?: MessageStatus
}

export interface MessagePage extends Page<MessageSummary> {
  /** How much of the log the search has read, newest first. */
  readonly searched: {
    readonly records: number
    readonly fromPosition: number
    readonly toPosition: number
    /** Whether nothing older could match. */
    readonly complete: boolean
  }
}

export interface MessageSummary {
  readonly id: string
  readonly type: string
  readonly version: number
  readonly key: string
  readonly position: number
  readonly correlationId: string
  readonly source: string
  readonly receivedAtMs: number
  readonly status: MessageStatus
}

export interface MessageView extends MessageSummary {
  readonly envelope: unknown
  /** Masked by the contract's personal-data fields. */
  readonly payload: unknown
  /** What the border did, step by step. */
  readonly border: readonly { readonly step: string; readonly outcome: string }[]
  readonly consumers: readonly MessageConsumerView[]
  /** Messages with the same correlation that this one caused or came from. */
  readonly related: readonly MessageSummary[]
  readonly repeats?: RepeatRow
}

export interface MessageConsumerView {
  readonly consumer: string
  readonly status: MessageStatus
  readonly attempts: readonly {
    readonly attempt: number
    readonly atMs: number
    readonly outcome: string
    readonly durationMs: number
    readonly error?: string
  }[]
  readonly deadLetter?: string
  readonly nextAttemptAtMs?: number
  readonly lastError?: string
}

export interface DeadLetterQuery extends PageQuery {
  readonly consumer?: string
  readonly cause?: string
  /** @default 'open' */
  readonly state?: DeadLetterRow['state']
}

export interface DeadLetterGroup {
  readonly cause: string
  readonly title: string
  readonly consumer: string
  readonly type: string
  readonly contractVersion: number
  readonly stage: string
  readonly owner: string
  readonly count: number
  readonly keys: number
  readonly firstAtMs: number
  readonly lastAtMs: number
  readonly sample: string
  /** Whether more exist than were counted. */
  readonly more: boolean
}

export interface DeadLetterView extends DeadLetterRow {
  readonly payload: unknown
  /** Messages of the same key that wait behind it. */
  readonly successors: number
}

export interface InvalidQuery extends PageQuery {
  readonly webhook?: string
  readonly cause?: string
  /** @default 'open' */
  readonly state?: InvalidRow['state']
}

export interface InvalidGroup {
  readonly cause: string
  readonly title: string
  readonly webhook: string
  readonly reason: string
  readonly version: number | null
  readonly count: number
  readonly firstAtMs: number
  readonly lastAtMs: number
  readonly sample: string
  readonly more: boolean
}

/** What is kept of a refused request, its payload masked. */
export type InvalidView = Omit<InvalidRow, 'body'> & { readonly payload: unknown }

export type AlertView = AlertRow
export type ReplayView = ReplayRow & {
  /** Of one that runs and is asked for alone: the parked keys that it waits for, at most 20. */
  readonly waitsFor?: readonly ReplayWait[]
}

/** Why a replay is still running: a person has to deal with what is before its messages. */
export interface ReplayWait {
  readonly consumer: string
  readonly key: string
  readonly sinceMs: number
  readonly because: string
  /** Id of what to try again or to drop; null for what waits for newer code. */
  readonly deadLetter: string | null
}

export type OperationView = OperationRow
