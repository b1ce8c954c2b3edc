import type { AlertRoute, AnyContract, AnySaga, Database, Draft } from '../../contract/index.ts'
import type { Kernel, SteadyClock } from '../../kernel/index.ts'
import type {
  Append,
  Committer,
  RowWrite,
  SagaEntryRow,
  SagaRunRow,
  Store,
  Timers,
} from '../../store/index.ts'

/** What the engine needs from the runtime. */
export interface SagaPorts {
  readonly kernel: Kernel
  readonly steady: SteadyClock
  readonly store: Pick<Store, 'row' | 'scan' | 'count'>
  readonly committer: Pick<Committer, 'submit' | 'mode'>
  readonly timers: Pick<Timers, 'scheduled'>
  /** A message of ours, checked against its contract. @throws JUNCTURA_EMIT_INVALID */
  readonly append: (draft: Draft, origin: SagaOrigin) => Append
  /** Rows that make an alert durable; they commit with what raised it. */
  readonly raiseAlert: (alert: SagaAlert) => readonly RowWrite[]
  /** Replaces personal data of a saga's input in a text. */
  readonly maskText: (saga: AnySaga, text: string, input: unknown) => string
  readonly resolveAlert: (cause: string) => readonly RowWrite[]
  /** Why a step of this kind may never end: told with an alert. @default nothing is known */
  readonly hintOf?: (kind: SagaEntryRow['kind'], contract: string) => string | undefined
  /** Told what a turn has changed, once it is durable; must be quick. @default nobody */
  readonly onTurn?: (saga: AnySaga, before: SagaRunRow | undefined, after: SagaRunRow) => void
  /** Runs the function again at each step it awaits: for tests. @default false */
  readonly alwaysSuspend?: boolean
}

/** Where a message of a saga comes from. */
export interface SagaOrigin {
  readonly id: string
  readonly source: string
  readonly correlationId: string
  readonly causationId?: string
  readonly idempotencyKey?: string
  readonly replyTo?: string
  readonly traceparent?: string
}

export interface SagaAlert {
  readonly cause: string
  readonly title: string
  readonly owner: AnyContract['owner']
  readonly target: AlertRoute
  readonly severity: 'critical' | 'warning'
  readonly atMs: number
}

/** What a turn writes: one commit. */
export interface SagaWrites {
  readonly rows: readonly RowWrite[]
  readonly appends: readonly Append[]
}

/** The record that a turn is about, and the lane that holds it meanwhile. */
export interface SagaDelivery {
  readonly position: number
  readonly messageId: string
  readonly traceparent?: string
  /** Aborts when the attempt is over: whatever is not committed by then never is. */
  readonly signal: AbortSignal
  /** Completes the record with what the turn wrote last. */
  complete(writes: SagaWrites): Promise<void>
}

export type SagaTx = (db: Database) => Promise<unknown>
