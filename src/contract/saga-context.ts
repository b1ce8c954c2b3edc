import type { Duration } from '../kernel/index.ts'
import type { RetryPolicy } from '../policy/index.ts'
import type { AnyCommand, CommandResult, Compensated, InputOf, OutputOf } from './command.ts'
import type { Database } from './consumer.ts'
import type { AnyContract, Draft, PayloadOf } from './contract.ts'
import type { AnySaga, SagaInputOf, SagaOutputOf } from './saga.ts'

declare const STEP: unique symbol

/**
 * A step that has begun. It is a promise; what it gives is journaled, so that it is the same each
 * time the function runs again.
 */
export interface SagaStep<T> extends Promise<T> {
  readonly [STEP]?: T
}

type Steps = Readonly<Record<string, SagaStep<unknown>>>
type ValueOf<S> = S extends SagaStep<infer T> ? T : never

/** Which step came first, and what it gave. */
export type FirstOf<S extends Steps> = {
  readonly [Tag in keyof S & string]: { readonly tag: Tag; readonly value: ValueOf<S[Tag]> }
}[keyof S & string]

/** What became of one step of a gather; `missing` had not ended when the time was over. */
export type Gathered<T> =
  | { readonly status: 'done'; readonly value: T }
  | { readonly status: 'declined'; readonly error: string; readonly data: unknown }
  | { readonly status: 'missing' }

export type GatheredOf<S extends Steps> = {
  readonly [Tag in keyof S]: Gathered<ValueOf<S[Tag]>>
}

/** What `s.wait` gives. */
export interface SagaEvent<C extends AnyContract> {
  readonly id: string
  readonly type: string
  readonly data: PayloadOf<C>
  readonly time: string
}

interface StepOptions {
  /** Names the step in the journal. @default the name of the contract */
  readonly name?: string
}

export interface SagaCallOptions<C extends AnyCommand> extends StepOptions {
  /**
   * The command that takes this call back; `null` for none.
   *
   * @default that of the command's owner
   */
  readonly compensate?: ((done: Compensated<InputOf<C>, OutputOf<C>>) => Draft | undefined) | null
}

/** What an effect is told of its attempt. */
export interface EffectContext {
  /** The same on every attempt: hand it on to whoever can recognise a repeat. */
  readonly idempotencyKey: string
  readonly attempt: number
  /** Aborts at the deadline of the attempt and when the runtime stops. */
  readonly signal: AbortSignal
}

/**
 * What a crash between an effect and its journal entry does: `idempotent` effects and `normal` ones
 * run again with the same key; of `once` it is in doubt whether it ran, and `verify` or a person
 * says so. Results of `idempotent` effects are journaled with the next thing that has to be.
 */
export type EffectMode = 'idempotent' | 'normal' | 'once'

/** Says what became of an effect that was in doubt. */
export type Verified<T> =
  | { readonly happened: true; readonly output: T }
  | { readonly happened: false }

export interface SagaRunOptions<T> {
  /** @default 'normal' */
  readonly effect?: EffectMode
  /** Of `once`: asked after a crash; without it a person is. */
  readonly verify?: (effect: EffectContext) => Promise<Verified<T> | 'unknown'>
  /** Deadline of one attempt. @default '30s' @maximum '1h' */
  readonly timeout?: Duration
  /** @default five attempts within about a minute; 'once' has one */
  readonly retry?: RetryPolicy
  /** Takes the effect back; of an effect whose outcome is unknown it is told no output. */
  readonly compensate?: (done: Compensated<undefined, T>, effect: EffectContext) => Promise<unknown>
}

/** How a child saga ended. */
export type ChildResult<S extends AnySaga> =
  | { readonly ok: true; readonly output: SagaOutputOf<S> }
  | { readonly ok: false; readonly state: string; readonly reason: string }

type CommandIn<Uses> = Extract<Uses, AnyCommand>
type SagaIn<Uses> = Extract<Uses, AnySaga>
type EventIn<Uses> = Exclude<Extract<Uses, AnyContract>, AnyCommand>

/**
 * What the function of a saga may do. It runs again from the start whenever something has come, and
 * each step gives what the journal says, so between two steps it may only compute: time, chance and
 * everything outside come from a step. It may await nothing but steps.
 *
 * A step is known by its name and how often that name was used before. Steps that are begun without
 * being awaited run side by side.
 */
export interface SagaContext<Uses> {
  /** The correlation key of this run. */
  readonly key: string
  readonly runId: string
  /** Version that this run was started with. */
  readonly version: number
  readonly correlationId: string

  /**
   * Asks for a command and waits for its answer. A declared error ends the saga in compensation,
   * unless it is caught; ask with `try` to handle it.
   */
  call<C extends CommandIn<Uses>>(
    command: C,
    input: InputOf<C>,
    options?: SagaCallOptions<C>,
  ): SagaStep<OutputOf<C>>
  /** The same, giving declared errors as a result. */
  try<C extends CommandIn<Uses>>(
    command: C,
    input: InputOf<C>,
    options?: SagaCallOptions<C>,
  ): SagaStep<CommandResult<C>>
  /** Runs an effect outside; its result is JSON and is durable before the next effect begins. */
  run<T>(
    name: string,
    effect: (context: EffectContext) => Promise<T>,
    options?: SagaRunOptions<T>,
  ): SagaStep<T>
  /** Statements on the user's own tables, in one commit with the journal: exactly once. */
  tx<T>(name: string, callback: (db: Database) => Promise<T>): SagaStep<T>
  /** The next event of this kind, also one that came before; in the order they came. */
  wait<C extends EventIn<Uses>>(event: C, options?: StepOptions): SagaStep<SagaEvent<C>>
  /** Wakes once, on time, also after restarts. */
  sleep(duration: Duration, options?: StepOptions): SagaStep<void>
  /** Of several steps the first that ends; the others are dropped in the same commit. */
  first<S extends Steps>(steps: S, options?: StepOptions): SagaStep<FirstOf<S>>
  /**
   * What of several steps has ended within a time. Fewer than `atLeast` that are done fail the
   * saga.
   *
   * @default all of them, without an end
   */
  gather<S extends Steps>(
    steps: S,
    options?: StepOptions & { readonly atLeast?: number; readonly within?: Duration },
  ): SagaStep<GatheredOf<S>>
  /** Runs another saga under a key of its own, and waits for its end. */
  child<S extends SagaIn<Uses>>(
    saga: S,
    input: SagaInputOf<S>,
    options?: StepOptions & { readonly key?: string },
  ): SagaStep<ChildResult<S>>
  /** Emits a message, once. */
  emit(draft: Draft, options?: StepOptions): void
  /** Ends the saga in compensation. After `pivot` it pauses instead. */
  fail(reason: string): never
  /** The point of no return: nothing is compensated any more, and the saga goes on to its end. */
  pivot(): void
  /** Time and chance, journaled. */
  now(): number
  id(): string
}
