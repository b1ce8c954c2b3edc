import type { SagaState } from '../store/index.ts'

/**
 * Everything a person may do to a running integration. All of it goes through one journaled,
 * idempotent `operate`: who, what, when, where, why and what came of it are written before and
 * after; what cannot be written is refused.
 */
export type OperationCommand =
  | {
      readonly kind: 'dead-letter.retry'
      readonly ids?: readonly string[]
      readonly cause?: string
    }
  | { readonly kind: 'dead-letter.drop'; readonly ids?: readonly string[]; readonly cause?: string }
  | { readonly kind: 'replay.plan'; readonly filter: ReplayFilter; readonly ratePerSecond?: number }
  | { readonly kind: 'replay.run'; readonly id: string; readonly token?: string }
  | { readonly kind: 'replay.pause' | 'replay.resume' | 'replay.abort'; readonly id: string }
  | {
      readonly kind: 'invalid.readmit'
      readonly ids?: readonly string[]
      readonly cause?: string
      readonly webhook?: string
      /** Only count what would be admitted. */
      readonly planOnly?: boolean
      /** @default 100 */
      readonly ratePerSecond?: number
    }
  | { readonly kind: 'invalid.drop'; readonly ids?: readonly string[]; readonly cause?: string }
  | { readonly kind: 'alert.acknowledge'; readonly id: string }
  /** Takes missed keys of an expectation as dealt with: one, or all of them. */
  | { readonly kind: 'expectation.settle'; readonly name: string; readonly key?: string }
  | {
      readonly kind: 'consumer.pause' | 'consumer.resume' | 'consumer.retire'
      readonly name: string
    }
  | {
      /** `cancel` takes the run back, `terminate` does not. */
      readonly kind: 'saga.cancel' | 'saga.terminate' | 'saga.pause' | 'saga.resume'
      readonly saga: string
      readonly key: string
    }
  | {
      readonly kind: 'saga.retry-step'
      readonly saga: string
      readonly key: string
      readonly step: string
    }
  | {
      /** Says what a step gave, in its place; or what it is asked with from now on. */
      readonly kind: 'saga.skip-step' | 'saga.edit-step'
      readonly saga: string
      readonly key: string
      readonly step: string
      readonly value?: unknown
    }
  | {
      /** Starts a run as its trigger would, for this saga alone. */
      readonly kind: 'saga.start'
      readonly saga: string
      readonly data: unknown
    }
  | {
      /** Writes down the runs that a filter takes now; `saga.run-plan` does it to exactly those. */
      readonly kind: 'saga.plan'
      readonly act: SagaPlanAct
      readonly filter: SagaFilter
    }
  /** `id` is the operation id of the plan. */
  | { readonly kind: 'saga.run-plan'; readonly id: string; readonly token: string }
  | {
      /** An event for one run only. */
      readonly kind: 'saga.signal'
      readonly saga: string
      readonly key: string
      readonly type: string
      readonly data: unknown
    }

/** What can be done to many runs at once; `retry-step` is about the `step` of the filter. */
export type SagaPlanAct = 'cancel' | 'terminate' | 'pause' | 'resume' | 'retry-step'

/** Which runs; what is not given does not matter. */
export interface SagaFilter {
  readonly saga?: string
  readonly state?: SagaState
  /** Name of the team that has the saga. */
  readonly owner?: string
  /** Runs that stand at this step: `name`, or `name#2`. */
  readonly step?: string
  /** Started before, epoch milliseconds. */
  readonly startedBeforeMs?: number
}

/** What a replay takes; frozen when the plan is made. */
export interface ReplayFilter {
  /**
   * `dead-letters` runs what gave up; `messages` goes over the log again. @default 'dead-letters'
   */
  readonly from?: 'dead-letters' | 'messages'
  readonly consumer?: string
  readonly cause?: string
  readonly type?: string
  readonly key?: string
  /** Positions of the log, inclusive; for `messages`. */
  readonly fromPosition?: number
  readonly toPosition?: number
  /** Received at or after, and before; epoch milliseconds. */
  readonly sinceMs?: number
  readonly untilMs?: number
}

/** What a plan says before anything runs. */
export interface ReplayPlan {
  readonly total: number
  /** Done before, and so not run again under `replay: safe`. */
  readonly alreadyDone: number
  readonly byCause: readonly {
    readonly cause: string
    readonly title: string
    readonly count: number
  }[]
  readonly byAge: readonly { readonly olderThan: string; readonly count: number }[]
  readonly keys: number
  /** Messages so old that a repeat from outside would not be recognised any more. */
  readonly pastDedupeRetention: number
  readonly warnings: readonly string[]
}

export interface Operator {
  /** Who: a user name, a token's name, `cli:alice`. */
  readonly actor: string
  readonly reason: string
  /** Where it came from: `cli`, `api`, an address. */
  readonly origin: string
  /** The same id runs once; a repeat gets the first result. */
  readonly operationId?: string
}

export interface OperationResult {
  readonly operationId: string
  readonly state: 'done' | 'refused' | 'failed'
  /** True when this id had run before and its result is given again. */
  readonly repeated: boolean
  readonly result: unknown
}
