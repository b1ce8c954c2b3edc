import type { AlertRoute } from '../contract/index.ts'
import type { Alert } from '../observe/index.ts'
import type { SagaAnswer, SagaRunRow } from './saga-rows.ts'

/**
 * Every collection of the state: what one row says and by which fields it is found. Drivers read
 * this table and know nothing else of the platform; a new feature adds a collection here and no
 * code there. Index fields are strings or numbers of the row; rows without the field are not in
 * the index. A change of an index is a new name: drivers add what is missing and drop nothing.
 */
export const COLLECTIONS = {
  /** How far a consumer has come: key `consumer/channel/slots`. */
  progress: {},
  /** A key of a consumer that does not run freely: key `consumer LF key`. */
  lanes: { byConsumer: ['consumer', 'state', 'dueAtMs'] },
  /** A message that waits behind the head of a held lane: key `consumer LF key LF position`. */
  successors: { byLane: ['lane', 'position'] },
  /** A message that was running when the process died: key `consumer LF position`. */
  suspects: { byConsumer: ['consumer', 'position'] },
  deadLetters: {
    byState: ['state', 'diedAtMs'],
    byConsumer: ['consumer', 'state', 'diedAtMs'],
    byCause: ['cause', 'state', 'diedAtMs'],
    byMessage: ['messageId'],
  },
  invalid: {
    byState: ['state', 'receivedAtMs'],
    byCause: ['cause', 'state', 'receivedAtMs'],
    byWebhook: ['webhook', 'state', 'receivedAtMs'],
  },
  /** What a sender repeated: key `webhook LF messageId`. */
  repeats: { byWebhook: ['webhook', 'lastAtMs'] },
  alerts: { byState: ['state', 'lastAtMs'] },
  /** What a person did: key is the operation's id. */
  operations: { byTime: ['atMs'] },
  replays: { byState: ['state', 'createdAtMs'] },
  /** A replay's part of one partition, on a shared store: key `run LF partition`. */
  replayParts: { byState: ['state', 'createdAtMs'] },
  /** What one process asks of the worker that has a partition; gone once it is answered. */
  requests: { byState: ['state', 'atMs'] },
  /** What a guarded replay has run: key `run LF consumer LF position`. */
  replayed: {},
  /** A message that was discarded because its `ttl` had passed: key `consumer LF position`. */
  expired: { byTime: ['atMs'] },
  /** Results of `ctx.once`: key `consumer LF position LF name`. */
  onceResults: { byMessage: ['consumer', 'position'] },
  /** Durable timers of every feature. */
  timers: { byDue: ['dueAtMs'] },
  /**
   * Records that an exception still needs after their partition was dropped: key is its
   * `positionText`.
   */
  held: {},
  /**
   * Messages whose record is not the store, while an exception of a consumer needs them: key
   * `consumer LF position`.
   */
  copies: {},
  /**
   * How far the relay of an outbox has come: key `outbox` once it has begun, then the one row
   * `outbox SPACE generation`. Each commit writes the next generation and guards the one before, so
   * that of two relays one commits.
   */
  outboxCursors: {},
  /** How far the relay of a topic of others has come: keys as those of `outboxCursors`. */
  topicCursors: {},
  /** A key that waits, was missed, or came early: key `expectation LF key`, or a digest of it. */
  expectations: { byDue: ['expectation', 'state', 'dueAtMs'] },
  /** How far an expectation has read, its clock and its figures: key is its name. */
  expectationCursors: {},
  /** When a schedule is due next: key is its name. */
  schedules: {},
  /**
   * A run of a saga with its journal: key `saga LF key`. `liveSaga` and `parked` are there only
   * where they say something, so that ended runs cost no index.
   */
  sagaRuns: {
    bySaga: ['saga', 'state', 'startedAtMs'],
    live: ['liveSaga', 'version'],
    byProblem: ['problemCause'],
    byParked: ['parked'],
    byEnd: ['forgetAtMs'],
  },
  /** What a handler answered to a request: key `consumer LF idempotency key`. */
  commandAnswers: { byTime: ['expiresAtMs'] },
  /** Each model that was started: key is its hash. */
  models: {},
  /** Each start: key grows with time. */
  starts: {},
  /** Single values: format version, epoch, retired consumers. */
  meta: {},
} as const

export type CollectionName = keyof typeof COLLECTIONS

/** Fields of each index of a collection. */
export const indexesOf = (
  collection: CollectionName,
): Readonly<Record<string, readonly string[]>> => COLLECTIONS[collection]

export type Row<C extends CollectionName> = Rows[C]

interface Rows {
  progress: ProgressRow
  lanes: LaneRow
  successors: SuccessorRow
  suspects: SuspectRow
  deadLetters: DeadLetterRow
  invalid: InvalidRow
  repeats: RepeatRow
  alerts: AlertRow
  operations: OperationRow
  replays: ReplayRow
  replayParts: ReplayRow & { readonly partition: string }
  requests: RequestRow
  replayed: { readonly atMs: number }
  expired: { readonly consumer: string; readonly position: number; readonly atMs: number }
  onceResults: {
    readonly consumer: string
    readonly position: number
    readonly result: unknown
  }
  timers: TimerRow
  held: {
    readonly record: string
    readonly channel: string
    readonly slot: number
    readonly atMs: number
  }
  copies: Row<'held'> & { readonly consumer: string }
  outboxCursors: OutboxCursorRow
  topicCursors: TopicCursorRow
  expectations: ExpectationRow
  expectationCursors: ExpectationCursorRow
  schedules: ScheduleRow
  sagaRuns: SagaRunRow
  commandAnswers: {
    readonly consumer: string
    readonly answer: SagaAnswer
    readonly expiresAtMs: number
  }
  models: { readonly model: unknown; readonly firstAtMs: number }
  starts: {
    readonly atMs: number
    readonly modelHash: string
    readonly version: string
    readonly epoch: number
  }
  meta: { readonly value: unknown }
}

export interface ProgressRow {
  readonly consumer: string
  readonly channel: string
  /** Slots this row speaks for: `0-63`, or those of one partition. */
  readonly slots: string
  /** Everything at or below it is finished or has a row of its own. */
  readonly watermark: number
  /** Finished beyond the watermark: inclusive ranges, ascending. */
  readonly done: readonly (readonly [number, number])[]
  /** Handed to handlers, or about to be; after a crash what is not done up to here is suspect. */
  readonly claimedTo: number
  /** Which start of the runtime wrote it. */
  readonly epoch: number
  /** Where the record is not the store: what its reader must know to go on from the watermark. */
  readonly bookmark?: RecordBookmark
}

/** As the transport room understands it: a place in a topic that is the record of a channel. */
export interface RecordBookmark {
  /** Which topic of its name it is; empty where the engine cannot tell. */
  readonly incarnation: string
  /** From which offset on which shift counts, ascending. */
  readonly spans: readonly { readonly from: number; readonly shift: number }[]
  /** What came through the relays of stores, by store: what they repeat is left out. */
  readonly relayed: Readonly<Record<string, RelayedTo>>
}

/** How far a relay is known to have come: a repeat is not beyond, a zombie has an older turn. */
export interface RelayedTo {
  readonly turn: number
  readonly position: number
}

/** As the outbox room understands it. */
export interface OutboxCursorRow {
  readonly head: number
  readonly gaps: readonly {
    readonly from: number
    readonly to: number
    readonly fence: number | null
    readonly sinceMs: number
  }[]
}

/** As the source room understands it. */
export interface TopicCursorRow {
  /** What was read: a source that reads something else has another name. */
  readonly engine: string
  readonly resource: string
  /** Which topic of that name it is; empty where the engine cannot tell. */
  readonly incarnation: string
  /** How often the topic was replaced: a part of the ids of what has no id of its own. */
  readonly era: number
  /** The next offset of each partition, as text. */
  readonly next: Readonly<Record<string, string>>
  /** Offsets that were gone before they were read, since the beginning. */
  readonly lost: number
}

/** One key of an expectation. */
export interface ExpectationRow {
  readonly expectation: string
  /**
   * `open` waits until `dueAtMs`; `missed` was told. `early` came before what it answers, and
   * `undone` before what it undoes: they are kept until `dueAtMs`.
   */
  readonly state: 'open' | 'missed' | 'early' | 'undone'
  /** As it may be shown: personal data are masked. */
  readonly key: string
  /** On the clock of the expectation, which runs on from its cursor row. */
  readonly dueAtMs: number
  /** Of the message that made the row: what was seen last of the key. */
  readonly seenAtMs: number
  readonly messageId: string
  readonly type: string
  readonly position: number
  readonly correlationId: string
  readonly missedAtMs?: number
}

export interface ExpectationCursorRow {
  /** Everything up to it is taken in, over all its channels. */
  readonly position: number
  /** Its clock, and the wall time that it had then. */
  readonly clockMs: number
  readonly wallMs: number
  readonly sinceMs: number
  readonly totals: ExpectationTotals
}

/** Since the expectation was declared; each message counts once, also across crashes. */
export interface ExpectationTotals {
  readonly opened: number
  readonly met: number
  readonly late: number
  readonly undone: number
  /** Told as missing; those that came afterwards are `late` as well. */
  readonly missed: number
  /** The expected message, without what it should follow. */
  readonly unexpected: number
  /** What it is about could not be read. */
  readonly unreadable: number
}

export interface ScheduleRow {
  /** What it was computed from; another rule begins anew. */
  readonly rule: string
  /** Null when there is none any more. */
  readonly dueAtMs: number | null
  readonly lastDueAtMs?: number
  readonly lastFiredAtMs?: number
  readonly lastMessageId?: string
  readonly fired: number
  /** Left out by `skip`, or folded into the one that ran by `run-once`. */
  readonly missed: number
  /** Set while its last occurrence could not be emitted. */
  readonly lastError?: string
}

export interface LaneRow {
  readonly consumer: string
  readonly key: string
  /**
   * `retry` waits for `dueAtMs`; `parked` waits for a person, or for newer code; `replaying` waits
   * until a replay has done its part of the key; `draining` is released, and its successor rows are
   * being run.
   */
  readonly state: 'retry' | 'parked' | 'replaying' | 'draining'
  /** The message at the head. */
  readonly position: number
  readonly attempts: number
  /** Attempts that ran alone and took the process down. */
  readonly crashes: number
  readonly dueAtMs: number
  readonly firstFailedAtMs: number
  readonly lastError: string
  /** Set while an attempt runs, so that a crash in it is seen. */
  readonly runningEpoch?: number
  readonly deadLetter?: string
  /** Set when a replay released it. */
  readonly replay?: string
  /**
   * Version of a parked head that the code did not know. It waits for a start of code that does,
   * and not for a person.
   */
  readonly newerVersion?: number
}

export interface SuccessorRow {
  readonly consumer: string
  /** `consumer LF key`. */
  readonly lane: string
  readonly position: number
  /** Set when it is a dead letter that is tried again. */
  readonly deadLetter?: string
  /** Set when a replay brought it here. */
  readonly replay?: string
}

export interface SuspectRow {
  readonly consumer: string
  readonly position: number
  /** Attempts that ran alone and took the process down with them. */
  readonly attempts: number
}

export interface DeadLetterRow {
  readonly id: string
  /** `handler` gave up, or the webhook's `transform` made no event. */
  readonly stage: 'handler' | 'transform'
  readonly state: 'open' | 'resolved' | 'dropped'
  /** The consumer, or the webhook for stage `transform`. */
  readonly consumer: string
  readonly owner: string
  readonly messageId: string
  readonly position: number
  readonly channel: string
  readonly slot: number
  readonly key: string
  readonly type: string
  readonly contractVersion: number
  readonly correlationId: string
  readonly traceparent?: string
  readonly attempts: number
  /** How many of the attempts took the process down. */
  readonly crashes: number
  readonly cause: string
  readonly causeTitle: string
  readonly errorName: string
  /** Masked by the contract's personal-data fields. */
  readonly errorMessage: string
  readonly errorStack: string
  readonly receivedAtMs: number
  readonly firstFailedAtMs: number
  readonly lastFailedAtMs: number
  readonly diedAtMs: number
  readonly modelHash: string
  /** Whether its key waits behind it. */
  readonly parked: boolean
  readonly resolvedAtMs?: number
  readonly resolvedBy?: string
}

export interface InvalidRow {
  readonly id: string
  readonly state: 'open' | 'readmitted' | 'dropped'
  readonly webhook: string
  readonly reason: 'schema' | 'version' | 'conflict' | 'syntax' | 'contract'
  readonly cause: string
  readonly causeTitle: string
  readonly contract: string
  readonly version: number | null
  readonly receivedAtMs: number
  readonly mediaType: string
  readonly headers: Readonly<Record<string, string>>
  /** Base64 of the bytes that came. */
  readonly body: string
  readonly bodyBytes: number
  readonly errors: readonly { readonly pointer: string; readonly message: string }[]
  readonly scheme: string
  readonly signedAtMs?: number
  readonly conflictsWith?: string
  readonly messageId?: string
  readonly resolvedAtMs?: number
}

export interface RepeatRow {
  readonly webhook: string
  readonly messageId: string
  readonly position: number
  readonly firstAtMs: number
  readonly lastAtMs: number
  readonly repeats: number
  /** Repeats with other content, under `first-wins`. */
  readonly differences: number
}

/** An alert as observe decides it, with where its notifications go. */
export interface AlertRow extends Alert {
  readonly kind: string
  /** The route as declared; secrets by reference. */
  readonly target: AlertRoute
}

export interface OperationRow {
  readonly id: string
  readonly command: string
  readonly parameters: unknown
  readonly actor: string
  readonly reason: string
  readonly origin: string
  readonly atMs: number
  readonly state: 'started' | 'done' | 'refused' | 'failed'
  readonly result: unknown
  readonly finishedAtMs?: number
}

export interface ReplayRow {
  readonly id: string
  readonly state: 'planned' | 'running' | 'paused' | 'done' | 'aborted' | 'failed'
  readonly filter: unknown
  readonly plan: unknown
  readonly token: string
  readonly createdAtMs: number
  readonly startedAtMs?: number
  readonly finishedAtMs?: number
  readonly actor: string
  readonly reason: string
  readonly ratePerSecond: number
  /** On a shared store: partitions whose workers run it, each with a row of its own. */
  readonly parts?: readonly string[]
  /** Key of the last item handled. */
  readonly cursor: string
  readonly released: number
  readonly skipped: number
  readonly failed: number
  readonly total: number
}

export interface RequestRow {
  readonly partition: string
  readonly command: 'dead-letter.retry' | 'dead-letter.drop'
  readonly ids: readonly string[]
  readonly actor: string
  readonly atMs: number
  readonly state: 'asked' | 'answered'
  /** How many of `ids` it was done for, and why not for the others. */
  readonly done?: number
  readonly problem?: { readonly problem: string; readonly fix: string }
}

export interface TimerRow {
  /** Which part it wakes, for example `consumer/finance`. */
  readonly owner: string
  readonly reference: string
  readonly dueAtMs: number
}
