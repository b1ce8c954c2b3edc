export const SAGA_STATES = [
  'unstarted',
  'running',
  'paused',
  'compensating',
  'compensation-stuck',
  'completed',
  'compensated',
  'resolved',
  'terminated',
] as const

/**
 * Where a run stands. `unstarted` holds events that came before its start. `compensation-stuck`
 * needs a person; so does `paused`. Ended are `completed`, `compensated` (every compensation was
 * done), `resolved` (a person skipped one) and `terminated`.
 */
export type SagaState = (typeof SAGA_STATES)[number]

/** One run of a saga, as the flow room understands it. */
export interface SagaRunRow {
  readonly saga: string
  readonly key: string
  readonly id: string
  readonly state: SagaState
  /** The saga's name, while the run has not ended. */
  readonly liveSaga?: string
  readonly version: number
  readonly owner: string
  /** Forward, or taking back: once it is back it never goes forward again. */
  readonly phase: 'forward' | 'compensation'
  readonly startedAtMs: number
  readonly updatedAtMs: number
  /** When something last came for it, other than a look at its budget. @default updatedAtMs */
  readonly movedAtMs?: number
  readonly endedAtMs?: number
  /** When it may be forgotten: ended runs, and events that nothing was started for. */
  readonly forgetAtMs?: number
  /** Of the last record that was applied: what comes again does nothing. */
  readonly position: number
  /** Counts what has come, and what was given to the function. */
  readonly arrivals: number
  readonly deliveries: number
  readonly startId: string
  readonly inputType: string
  readonly input: unknown
  /** Set where the run handles an event that came too late: its type. */
  readonly late?: string
  readonly correlationId: string
  readonly traceparent?: string
  /** Where its end is told, when another saga started it. */
  readonly parent?: string
  /** The same of others that started it under the same key. */
  readonly parents?: readonly string[]
  readonly repeats: number
  /** Why it is taken back. */
  readonly cause?: SagaCause
  /** Why it does not go on. */
  readonly problem?: SagaProblem
  readonly problemCause?: string
  readonly output?: unknown
  readonly entries: readonly SagaEntryRow[]
  readonly inbox: readonly SagaEventRow[]
  /** How many events of `inbox` nobody will take any more. */
  readonly parked?: number
  /** Timers that are set. */
  readonly timers: readonly string[]
  readonly operations: readonly SagaOperationRow[]
  readonly isQuiet?: boolean
  readonly isWarned?: boolean
}

export interface SagaCause {
  readonly kind: 'declined' | 'failed' | 'cancelled' | 'budget'
  readonly reason: string
  readonly step?: string
}

export interface SagaProblem {
  readonly kind:
    | 'step-failed'
    | 'no-answer'
    | 'in-doubt'
    | 'code-failed'
    | 'mismatch'
    | 'strayed'
    | 'limit'
    | 'after-pivot'
    | 'person'
  readonly step?: string
  readonly message: string
  readonly fix: string
  readonly atMs: number
}

export interface SagaEntryRow {
  /** `name#occurrence`, or `undo:name#occurrence`. */
  readonly step: string
  readonly kind:
    | 'call'
    | 'run'
    | 'tx'
    | 'wait'
    | 'sleep'
    | 'first'
    | 'gather'
    | 'child'
    | 'emit'
    | 'pivot'
    | 'now'
    | 'id'
  readonly contract?: string
  /** Who answers for the step, where that is not the saga's owner. */
  readonly owner?: string
  readonly state:
    | 'open'
    | 'retrying'
    | 'in-doubt'
    | 'failed'
    | 'done'
    | 'declined'
    | 'dropped'
    | 'skipped'
  readonly startedAtMs: number
  readonly endedAtMs?: number
  /** When it ended, and when that was given to the function, both counted. */
  readonly arrived?: number
  readonly seq?: number
  readonly output?: unknown
  readonly error?: string
  /** Failed attempts, and requests that were sent. */
  readonly attempts?: number
  readonly sent?: number
  readonly dueAtMs?: number
  /** It is to be asked for again. */
  readonly isDue?: boolean
  readonly compensates?: boolean
  /** Of an effect that runs once: it may have begun. */
  readonly intentAtMs?: number
  /** What a person put in place of the input. */
  readonly input?: unknown
  readonly reason?: string
}

export interface SagaEventRow {
  readonly arrived: number
  readonly id: string
  readonly type: string
  readonly data: unknown
  readonly time: string
}

export interface SagaOperationRow {
  readonly id: string
  readonly command: string
  readonly actor: string
  readonly reason: string
  readonly atMs: number
  readonly outcome: string
}

/** What is told to whoever asked for a command, or started a saga. */
export type SagaAnswer =
  | { readonly outcome: 'output'; readonly data: unknown }
  | { readonly outcome: 'declined'; readonly error: string; readonly data: unknown }
  | { readonly outcome: 'failed'; readonly error: string }
