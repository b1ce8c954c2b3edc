import { type Duration, durationMs, LIMITS } from '../kernel/index.ts'
import { type ResolvedRetryPolicy, resolveRetryPolicy, type RetryPolicy } from '../policy/index.ts'
import {
  type AnyContract,
  type Contract,
  type ContractOptions,
  declareContract,
  type Draft,
  type KeyPath,
  type LatestOf,
  type PayloadMap,
  type PayloadOf,
  type SchemaMap,
  withContractMethods,
} from './contract.ts'
import { declarationError } from './declaration-error.ts'
import {
  type InferSchema,
  type JsonSchema,
  type SchemaInput,
  toJsonSchema,
} from './schema-input.ts'
import { checkRange } from './webhook.ts'

declare const ANSWERS: unique symbol

/**
 * How much is known of a step that is compensated: `done` has its output; `declined` was refused
 * with a declared error; of `unknown` nobody can say whether it had its effect.
 */
export type StepOutcome = 'done' | 'declined' | 'unknown'

/** What a compensation is given. Without an output the outcome is not known: it must cope. */
export interface Compensated<Input, Output> {
  readonly input: Input
  readonly output: Output | undefined
  readonly outcome: StepOutcome
}

/** What a command promises besides its input, as the runtime reads it. */
export interface CommandAnswers {
  readonly output?: JsonSchema
  readonly errors: ReadonlyMap<string, JsonSchema>
  /** After this a caller that has no answer asks again, or pauses. */
  readonly timeoutMs?: number
  /** How often a caller asks again that got no answer, or an undeclared error. */
  readonly retry?: ResolvedRetryPolicy
  /** Paths of the input that name one request; without, each call of a saga is one. */
  readonly idempotencyPaths: readonly string[]
  /** How long an answer is remembered, so that a repeat gets it without a second effect. */
  readonly answerRetentionMs: number
  readonly compensate?: (done: Compensated<unknown, unknown>) => Draft | undefined
}

export interface AnyCommand extends AnyContract {
  readonly kind: 'command'
  readonly answers: CommandAnswers
  readonly [ANSWERS]?: unknown
}

/** A command whose answers are typed. */
export interface Command<
  Name extends string,
  Payloads extends object,
  Asked extends keyof Payloads,
  Output,
  Errors extends object,
> extends Omit<Contract<Name, Payloads, Asked>, 'kind' | 'version'> {
  readonly kind: 'command'
  readonly answers: CommandAnswers
  readonly [ANSWERS]?: { readonly output: Output; readonly errors: Errors }
  /** The same command as one that asks for version `version`; older input is lifted to it. */
  version<V extends keyof Payloads & number>(version: V): Command<Name, Payloads, V, Output, Errors>
}

/** What a command is asked with: the latest version of its input. */
export type InputOf<C extends AnyCommand> = C extends { of(data: infer Input): Draft }
  ? Input
  : unknown

/** What a command answers when it is done. */
export type OutputOf<C extends AnyCommand> = C extends {
  readonly [ANSWERS]?: { readonly output: infer Output }
}
  ? Output
  : unknown

/** The declared errors of a command: their data by name. */
export type ErrorsOf<C extends AnyCommand> = C extends {
  readonly [ANSWERS]?: { readonly errors: infer Errors }
}
  ? Errors
  : Record<string, unknown>

/** A declared error, as a union over the names. */
export type DeclinedOf<C extends AnyCommand> = {
  readonly [Name in keyof ErrorsOf<C> & string]: {
    readonly error: Name
    readonly data: ErrorsOf<C>[Name]
  }
}[keyof ErrorsOf<C> & string]

type ErrorSchemas = Readonly<Record<string, SchemaInput>>
/** Without declared errors. */
type NoErrors = Readonly<Record<string, never>>
type ErrorPayloads<E extends ErrorSchemas> = string extends keyof E
  ? object
  : { readonly [Name in keyof E]: InferSchema<E[Name]> }

interface AnswerOptions<Input, S extends SchemaMap, O extends SchemaInput, E extends ErrorSchemas> {
  /** Schema of the answer. Without one, a handler answers that it is done. */
  readonly output?: O
  /** Refusals of the business: a caller that gets one compensates, and never retries. */
  readonly errors?: E
  /**
   * Two requests with one key are one: the second is given the answer of the first.
   *
   * @default each call of a saga is one request, remembered for 7 days
   */
  readonly idempotency?: {
    readonly key?: KeyPath<S> | readonly KeyPath<S>[]
    /** @default '7d' */
    readonly retention?: Duration
  }
  /**
   * How long a caller waits for an answer before it asks again, or pauses.
   *
   * @default it waits: a handler that gives up answers that, too
   * @minimum 1ms
   * @maximum 365d
   */
  readonly timeout?: Duration
  /**
   * How often a caller asks again, without an answer or after an undeclared error.
   *
   * @default never
   */
  readonly retry?: RetryPolicy
  /** The command that takes it back, said once by who owns it. */
  readonly compensate?: (done: Compensated<Input, InferSchema<O>>) => Draft | undefined
}

// One that expires, or is in a broker alone, could not be answered.
type Shared<S extends SchemaMap> = Omit<
  ContractOptions<S>,
  'idempotency' | 'versions' | 'guarantee' | 'ttl' | 'record'
>

/** A command whose input has one version. */
export type CommandOptions<
  I extends SchemaInput,
  O extends SchemaInput,
  E extends ErrorSchemas,
> = Shared<{ readonly 1: I }> &
  AnswerOptions<InferSchema<I>, { readonly 1: I }, O, E> & { readonly input: I }

/** A command whose input has several. */
export type VersionedCommandOptions<
  S extends SchemaMap,
  O extends SchemaInput,
  E extends ErrorSchemas,
> = Shared<S> &
  AnswerOptions<PayloadMap<S>[LatestOf<PayloadMap<S>> & keyof PayloadMap<S>], S, O, E> & {
    readonly versions: S
  }

// What is left out is not `unknown`: a command without errors declines nothing.
type Nothing = { readonly type: 'null' }
type OutputFor<O extends SchemaInput> = [O] extends [Nothing] ? undefined : InferSchema<O>

/**
 * Declares a command: something asked of one owner, who answers with an output or a declared error.
 * A `commandHandler` does it; a saga asks for it with `s.call`.
 *
 * @throws JUNCTURA_DECLARATION when a field is unusable; it names the field and the fix.
 */
export function command<
  const Name extends string,
  const I extends SchemaInput,
  const O extends SchemaInput = Nothing,
  const E extends ErrorSchemas = NoErrors,
>(
  name: Name,
  options: CommandOptions<I, O, E>,
): Command<Name, { readonly 1: InferSchema<I> }, 1, OutputFor<O>, ErrorPayloads<E>>
export function command<
  const Name extends string,
  const S extends SchemaMap,
  const O extends SchemaInput = Nothing,
  const E extends ErrorSchemas = NoErrors,
>(
  name: Name,
  options: VersionedCommandOptions<S, O, E>,
): Command<
  Name,
  PayloadMap<S>,
  LatestOf<PayloadMap<S>> & keyof PayloadMap<S>,
  OutputFor<O>,
  ErrorPayloads<E>
>
export function command(
  name: string,
  options: Shared<SchemaMap> &
    Omit<AnswerOptions<unknown, SchemaMap, SchemaInput, ErrorSchemas>, 'compensate'> & {
      readonly input?: SchemaInput
      readonly versions?: SchemaMap
      readonly compensate?: CommandAnswers['compensate']
    },
): AnyCommand {
  const what = `command ${JSON.stringify(name)}`
  const { input, versions, output, errors, idempotency, timeout, retry, compensate, ...shared } =
    options
  const inputs = versions ?? (input && { 1: input })
  if (!inputs) throw declarationError(`${what}.input`, 'it is missing', 'write input: schema')
  const contract = declareContract('command', name, { ...shared, versions: inputs })
  const answers: CommandAnswers = {
    ...(output && { output: toJsonSchema(output, `${what}.output`) }),
    errors: new Map(
      Object.entries(errors ?? {}).map(([error, schema]) => [
        error,
        toJsonSchema(schema, `${what}.errors.${error}`),
      ]),
    ),
    ...(timeout !== undefined && { timeoutMs: readTimeout(timeout, `${what}.timeout`) }),
    ...(retry && { retry: resolveRetryPolicy(retry, `${what}.retry`) }),
    idempotencyPaths: idempotency?.key === undefined ? [] : [idempotency.key].flat(),
    answerRetentionMs: durationMs(idempotency?.retention ?? '7d', `${what}.idempotency.retention`),
    ...(compensate && { compensate }),
  }
  const full: AnyCommand = { ...contract, kind: 'command', answers }
  return withContractMethods(full)
}

/** Whether a contract is a command. */
export const isCommand = (contract: AnyContract): contract is AnyCommand =>
  contract.kind === 'command' && 'answers' in contract

const readTimeout = (timeout: Duration, field: string): number =>
  checkRange(durationMs(timeout, field), field, { minimum: 1, maximum: LIMITS.ttlMsMax })

/** What a caller of a command is given back; `null` in place of an output that is not declared. */
export type CommandResult<C extends AnyCommand> =
  | { readonly ok: true; readonly output: OutputOf<C> }
  | ({ readonly ok: false } & DeclinedOf<C>)

/** What a handler of this command is given. */
export type CommandInput<C extends AnyCommand> = PayloadOf<C>
