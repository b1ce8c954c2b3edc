import { type Duration, durationMs, LIMITS } from '../kernel/index.ts'
import {
  type OutagePolicy,
  type ResolvedOutagePolicy,
  type ResolvedRetryPolicy,
  resolveOutagePolicy,
  resolveRetryPolicy,
  type RetryPolicy,
} from '../policy/index.ts'
import type { AnswerCommand } from './command-handler.ts'
import type { AnyContract, Draft, PayloadOf } from './contract.ts'
import { checkName } from './declaration-error.ts'
import type { Envelope } from './envelope.ts'
import { type Push, type PushOptions, resolvePush } from './push.ts'
import { callerLocation, type SourceLocation } from './source-location.ts'
import type { AlertRoute, Team } from './system.ts'
import type { Route } from './route.ts'
import { checkRange, required } from './webhook.ts'

/**
 * Statements inside `ctx.tx`: the same methods and `$1` parameters on every store. A callback may
 * await only these.
 */
export interface Database {
  /** Runs one statement. */
  run(sql: string, ...parameters: readonly SqlValue[]): Promise<{ readonly changes: number }>
  /** All rows of one query. */
  all<Row = Record<string, SqlValue>>(
    sql: string,
    ...parameters: readonly SqlValue[]
  ): Promise<Row[]>
  /** The first row, or undefined. */
  get<Row = Record<string, SqlValue>>(
    sql: string,
    ...parameters: readonly SqlValue[]
  ): Promise<Row | undefined>
}

export type SqlValue = string | number | bigint | boolean | null | Uint8Array

/** The message a handler is given, besides its data. */
export interface ConsumedMessage {
  readonly id: string
  readonly type: string
  /** Version the data was written in; the handler sees it lifted to the one it asked for. */
  readonly version: number
  readonly key: string
  readonly time: string
  readonly position: number
  readonly correlationId: string
  readonly envelope: Envelope
}

/** A message that a handler emits. What it says is final once `ctx.tx` has resolved. */
export interface EmittedMessage {
  /** Of the message, or of the one that told its fact first. */
  readonly id: string
  /**
   * True when its fact was told already, so that nothing is appended; undefined until the commit
   * has decided. Without an identity of its own a message is never a duplicate.
   */
  readonly isDuplicate: boolean | undefined
}

/** What a handler may do. */
export interface ConsumerContext {
  readonly message: ConsumedMessage
  /** 1 for the first attempt. */
  readonly attempt: number
  readonly attemptsMax: number
  /** Aborts at the deadline of the attempt and when the runtime stops. */
  readonly signal: AbortSignal
  /** Set when a replay brought the message here. */
  readonly replay?: { readonly runId: string; readonly startedAtMs: number }
  /**
   * Completes the message: the callback's statements, what was emitted and the progress commit
   * together, or not at all. At most once per attempt; after it, the handler cannot fail the
   * message any more. Callbacks run one at a time and may await only `db`.
   *
   * @throws JUNCTURA_TX_TWICE on a second call in one attempt.
   * @throws JUNCTURA_TX_LEFT when the callback awaited something else; nothing is written.
   * @throws JUNCTURA_ATTEMPT_OVER when the attempt's deadline has passed; nothing is written.
   */
  tx<T>(callback: (db: Database) => Promise<T>): Promise<T>
  /**
   * Runs `effect` and keeps its result; a later attempt of the same message gets the kept result.
   * At-least-once: a crash between the effect and the keeping runs it again. The result is JSON.
   */
  once<T>(name: string, effect: () => Promise<T>): Promise<T>
  /**
   * Emits a message when this one completes, in the same commit. Where its contract names a fact,
   * the fact is claimed in that commit too, and one that the log has already is left out, alone.
   */
  emit(draft: Draft): EmittedMessage
  /** A line in the log, joined to the message; also shown in its trace. */
  log(message: string, fields?: Readonly<Record<string, unknown>>): void
}

export type ReplayRule = 'safe' | 'guarded' | 'never'

/**
 * How the handler keeps one message from having two effects: `transaction` through `ctx.tx`,
 * `once` through `ctx.once`, `natural` because doing it again changes nothing.
 */
export type ConsumerIdempotency = 'transaction' | 'once' | 'natural'

export interface ConsumerPolicy {
  readonly owner: Team
  readonly summary?: string
  /** Where a new consumer begins. @default 'now' */
  readonly from?: 'now' | 'earliest' | { readonly position: number }
  /** Former names, so that a renamed consumer keeps its progress. */
  readonly was?: string | readonly string[]
  readonly idempotency: ConsumerIdempotency
  readonly retry: RetryPolicy
  /** Errors that no retry can mend: classes, or names of errors. */
  readonly permanent?: readonly (ErrorClass | string)[]
  /** Deadline of one attempt. @default '30s' @maximum '1h' */
  readonly timeout?: Duration
  readonly deadLetter: { readonly owner?: Team; readonly alert: AlertRoute }
  /** What the key does after a dead letter: hold its successors, or go on without it. */
  readonly afterDeadLetter: 'park' | 'skip'
  readonly replay: ReplayRule
  /** `key` keeps the order of each key; `none` handles messages as they come. @default 'key' */
  readonly ordering?: 'key' | 'none'
  /** Keys handled at once, of each partition. @default 16 @maximum 1024 */
  readonly concurrency?: number
  /**
   * Into how many parts its keys are divided, so that as many workers can share it; a key is always
   * in the same one, so its order is kept. On a store for one process it has no effect. It may
   * change from one start to the next: JUNCTURA_PARTITIONS_CHANGED says when not.
   *
   * @default 1
   * @minimum 1
   * @maximum 64
   */
  readonly partitions?: number
  /**
   * What happens when everything fails, because something that the handler needs is down: after
   * `after` different messages in a row, one message is tried at a time, `probe` after the last
   * failure, until one succeeds. The rest waits in its order without using up attempts.
   *
   * @default each message goes on through its own retries
   */
  readonly outage?: OutagePolicy
}

// The parameters of a constructor are contravariant; `never` accepts every class.
export type ErrorClass = abstract new (...args: never) => Error

export interface ConsumerOptions<C extends AnyContract> extends ConsumerPolicy {
  readonly on: C
  /** Messages for which this is false are finished without the handler. */
  readonly filter?: (data: PayloadOf<C>) => boolean
  readonly handle: (data: PayloadOf<C>, ctx: ConsumerContext) => Promise<void>
}

/** One message of a batch. */
export interface BatchItem<Data> {
  readonly data: Data
  readonly message: ConsumedMessage
}

/** A consumer whose handler is a program behind a URL, in whatever language. */
export interface PushConsumerOptions<C extends AnyContract> extends ConsumerPolicy {
  readonly on: C
  readonly filter?: (data: PayloadOf<C>) => boolean
  readonly push: PushOptions
}

export interface BatchConsumerOptions<C extends AnyContract> extends ConsumerPolicy {
  readonly on: C
  readonly filter?: (data: PayloadOf<C>) => boolean
  /** Takes up to `max` messages at once, or what has come within `maxAge`. */
  readonly batch: { readonly max: number; readonly maxAge: Duration }
  readonly handleBatch: (
    items: readonly BatchItem<PayloadOf<C>>[],
    ctx: Omit<ConsumerContext, 'message' | 'once'>,
  ) => Promise<void>
}

/** A consumer as the runtime reads it: every default filled in. */
export interface Consumer {
  readonly part: 'consumer'
  readonly name: string
  readonly owner?: Team
  readonly summary?: string
  readonly on: AnyContract
  readonly from: 'now' | 'earliest' | { readonly position: number }
  readonly was: readonly string[]
  readonly idempotency?: ConsumerIdempotency
  readonly retry?: ResolvedRetryPolicy
  readonly permanent: readonly (ErrorClass | string)[]
  readonly timeoutMs: number
  readonly deadLetter?: { readonly owner?: Team; readonly alert?: AlertRoute }
  readonly afterDeadLetter?: 'park' | 'skip'
  readonly replay?: ReplayRule
  readonly ordering: 'key' | 'none'
  readonly concurrency: number
  readonly partitions: number
  readonly outage?: ResolvedOutagePolicy
  readonly batch?: { readonly max: number; readonly maxAgeMs: number }
  /** Set where its messages are sent to a URL: the runtime does it in place of `handle`. */
  readonly push?: Push
  /** Set where it passes messages on by a pattern: what it emits, and what it keeps meanwhile. */
  readonly route?: Route
  /** Set where it does a command and answers: the runtime calls it in place of `handle`. */
  readonly answer?: AnswerCommand
  readonly filter?: (data: unknown) => boolean
  readonly handle: (data: unknown, ctx: ConsumerContext) => Promise<void>
  readonly handleBatch?: (
    items: readonly BatchItem<unknown>[],
    ctx: Omit<ConsumerContext, 'message' | 'once'>,
  ) => Promise<void>
  readonly at: SourceLocation
}

/**
 * Declares a consumer: a durable cursor with a name over one contract. Delivery is at-least-once,
 * in order for each key, also across retries, delays and dead letters; effects through `ctx.tx`
 * are exactly once.
 *
 * Missing policies are found at start, all together, with the line and what to write.
 *
 * @throws JUNCTURA_DECLARATION when a field is unusable; it names the field and the fix.
 */
export function consumer<C extends AnyContract>(
  name: string,
  // One signature, so that a wrong option is named in a sentence of its own.
  options: ConsumerOptions<C> | BatchConsumerOptions<C> | PushConsumerOptions<C>,
): Consumer
export function consumer(
  name: string,
  options:
    | ConsumerOptions<AnyContract>
    | BatchConsumerOptions<AnyContract>
    | PushConsumerOptions<AnyContract>,
): Consumer {
  const what = `consumer ${JSON.stringify(name)}`
  checkName(name, 'consumer')
  const { owner, summary, idempotency, deadLetter, afterDeadLetter, replay, filter } = options
  const batch = 'batch' in options ? readBatch(options.batch, what) : undefined
  const timeoutMs = checkRange(
    durationMs(options.timeout ?? '30s', `${what}.timeout`),
    `${what}.timeout`,
    { minimum: 1, maximum: 3_600_000 },
  )
  const push = 'push' in options ? resolvePush(options.push, `${what}.push`, timeoutMs) : undefined
  return Object.freeze({
    part: 'consumer',
    name,
    ...(owner && { owner }),
    ...(summary !== undefined && { summary }),
    on: required(options.on, `${what}.on`, 'give the contract it consumes'),
    from: options.from ?? 'now',
    was: options.was === undefined ? [] : [options.was].flat(),
    ...(idempotency && { idempotency }),
    ...(options.retry && { retry: resolveRetryPolicy(options.retry, `${what}.retry`) }),
    permanent: options.permanent ?? [],
    timeoutMs,
    ...(deadLetter && { deadLetter }),
    ...(afterDeadLetter && { afterDeadLetter }),
    ...(replay && { replay }),
    ordering: options.ordering ?? 'key',
    concurrency: checkRange(options.concurrency ?? 16, `${what}.concurrency`, {
      minimum: 1,
      maximum: LIMITS.concurrencyMax,
    }),
    partitions: checkRange(options.partitions ?? 1, `${what}.partitions`, {
      minimum: 1,
      maximum: LIMITS.partitionsMax,
    }),
    ...(options.outage && { outage: resolveOutagePolicy(options.outage, `${what}.outage`) }),
    ...(batch && { batch }),
    ...(push && { push }),
    ...(filter && { filter }),
    handle: 'handle' in options ? options.handle : noSingleHandler,
    ...('handleBatch' in options && {
      handleBatch: required(
        options.handleBatch,
        `${what}.handleBatch`,
        'write handleBatch: async (items, ctx) => …',
      ),
    }),
    at: callerLocation(),
  })
}

function readBatch(
  batch: { readonly max: number; readonly maxAge: Duration },
  what: string,
): { readonly max: number; readonly maxAgeMs: number } {
  return {
    max: checkRange(batch.max, `${what}.batch.max`, { minimum: 1, maximum: 1_000 }),
    maxAgeMs: checkRange(durationMs(batch.maxAge, `${what}.batch.maxAge`), `${what}.batch.maxAge`, {
      minimum: 0,
      maximum: 60_000,
    }),
  }
}

const noSingleHandler = (): Promise<void> => Promise.resolve()
