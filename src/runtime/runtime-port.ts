import type { Draft, Integration, Model } from '../contract/index.ts'
import type { Ingress } from '../ingress/index.ts'
import type { Kernel } from '../kernel/index.ts'
import type { Metrics } from '../observe/index.ts'
import type { OperationCommand, OperationResult, Operator } from './commands.ts'
import type { EventHub } from './events.ts'
import type { Role } from './roles.ts'
import type {
  AlertView,
  ConsumerStatus,
  ExpectationKeyQuery,
  ExpectationKeyView,
  ExpectationView,
  FlowView,
  DeadLetterGroup,
  DeadLetterQuery,
  DeadLetterView,
  InvalidGroup,
  InvalidQuery,
  InvalidView,
  MessagePage,
  MessageQuery,
  MessageView,
  OperationView,
  OutboxView,
  TopicView,
  Overview,
  Page,
  PageQuery,
  ReplayView,
  ScheduleView,
} from './views.ts'
import type { SagaQuery } from './saga-desk.ts'
import type { SagaRunView, SagaSummary } from './saga-views.ts'
import type { DeadLetterRow } from '../store/index.ts'

/**
 * A running integration. The management API, the commands and the page use this and nothing else.
 */
export interface Runtime extends AsyncDisposable {
  readonly integration: Integration
  readonly model: Model
  readonly kernel: Kernel
  readonly metrics: Metrics
  readonly events: EventHub
  readonly startedAtMs: number
  /** What this process does. */
  readonly roles: readonly Role[]

  /** Serves one request of the public listener. */
  readonly ingress: Ingress

  /** Secrets that stand in for unset variables: to be printed, never used in production. */
  readonly developmentSecrets: readonly { readonly source: string; readonly value: string }[]

  /** Appends a message of our own; resolves with its id once it is durable. */
  publish(draft: Draft): Promise<string>
  /** Many in one commit, in order. */
  publishMany(drafts: readonly Draft[]): Promise<readonly string[]>

  /** Live: the process runs. */
  isAlive(): boolean
  /** Ready: it takes messages; false while starting, draining, or when the store refuses. */
  readiness(): { readonly ready: boolean; readonly reasons: readonly string[] }
  overview(): Promise<Overview>
  /** What the store and the transport in use give, in sentences: printed at start. */
  differences(): readonly string[]
  consumers(): Promise<readonly ConsumerStatus[]>
  /** The outboxes and how far their relays are; asks each database once. */
  outboxes(): Promise<readonly OutboxView[]>
  /** The topics of others and how far their relays are, as last seen. */
  topics(): Promise<readonly TopicView[]>
  /** Each expectation: how many keys wait, how many were missed. */
  expectations(): Promise<readonly ExpectationView[]>
  /** Keys of one expectation, the earliest deadline first; undefined when it is not declared. */
  expectationKeys(
    name: string,
    query: ExpectationKeyQuery,
  ): Promise<Page<ExpectationKeyView> | undefined>
  /** Choreographed flows: what was expected against what came. */
  flows(): Promise<readonly FlowView[]>
  /** What is emitted at given times: when next, when last. */
  schedules(): Promise<readonly ScheduleView[]>

  messages(query: MessageQuery): Promise<MessagePage>
  message(id: string): Promise<MessageView | undefined>
  deadLetters(query: DeadLetterQuery): Promise<Page<DeadLetterRow>>
  deadLetterGroups(): Promise<readonly DeadLetterGroup[]>
  deadLetter(id: string): Promise<DeadLetterView | undefined>
  invalid(query: InvalidQuery): Promise<Page<InvalidView>>
  invalidGroups(): Promise<readonly InvalidGroup[]>
  invalidOne(id: string): Promise<InvalidView | undefined>
  alerts(query: PageQuery & { readonly state?: AlertView['state'] }): Promise<Page<AlertView>>
  replays(query: PageQuery): Promise<Page<ReplayView>>
  replay(id: string): Promise<ReplayView | undefined>
  /** Each saga with its live runs by state; refreshes the metric of them. */
  sagaSummaries(): Promise<readonly SagaSummary[]>
  /** Runs of sagas, newest first; a page may be short and still have a `next`. */
  sagas(query: SagaQuery): Promise<Page<SagaRunView>>
  /** One run with its journal. */
  sagaRun(saga: string, key: string): Promise<SagaRunView | undefined>
  operations(query: PageQuery): Promise<Page<OperationView>>

  /**
   * Does what a person asked for, journaled and at most once per operation id.
   *
   * @throws JUNCTURA_OPERATION_REFUSED when it is not allowed as it stands; it says why.
   * @throws JUNCTURA_STORE_… when the record of it cannot be written; then nothing is done.
   */
  operate(command: OperationCommand, by: Operator): Promise<OperationResult>

  /**
   * Says where the management API of this process is, so that the others on its store can name it
   * for what only the process with the consumers can do.
   */
  announce(managementUrl: string): Promise<void>

  /** Resolves when every consumer is idle: for tests and for `--once`. */
  idle(): Promise<void>
  /**
   * Stops taking and finishes what is in flight; the store stays open, so that everything can
   * still be read until `close`. In order: readiness is off at once, while everything is still
   * taken; `closeIntake` runs; then the border answers 503 and `publish` and `operate` are refused
   * with JUNCTURA_CLOSED; requests being answered, replays and handlers end within `graceMs`.
   * Idempotent, and never rejects: what does not end in time is redelivered at the next start.
   */
  drain(options?: DrainOptions): Promise<void>
  /**
   * Stops in order: what `drain` does unless it was asked for before, last progress, store.
   * Unfinished work is redelivered at the next start.
   *
   * @default 10_000
   */
  close(graceMs?: number): Promise<void>
}

export interface DrainOptions {
  /**
   * Closes the caller's own listeners. Waited for before anything is refused, so that no sender
   * that is still connected is turned away; when it fails, that is logged and the drain goes on.
   *
   * @default nothing
   */
  readonly closeIntake?: () => Promise<void>
  /**
   * How long requests, and then handlers, may take to finish, in milliseconds, each.
   *
   * @default 10_000
   * @minimum 0
   */
  readonly graceMs?: number
}
