import { type Duration, durationMs, LIMITS } from '../kernel/index.ts'
import { isCommand } from './command.ts'
import type { AnyContract, PayloadOf } from './contract.ts'
import { checkName, declarationError } from './declaration-error.ts'
import type { SagaContext, SagaEvent } from './saga-context.ts'
import { callerLocation, type SourceLocation } from './source-location.ts'
import type { AlertRoute, Team } from './system.ts'
import { checkRange, required } from './webhook.ts'

declare const RUN: unique symbol

/** A saga as the runtime reads it: every default filled in. */
export interface AnySaga {
  readonly part: 'saga'
  readonly name: string
  /** Pinned when a run starts. */
  readonly version: number
  /** Versions of runs that this code can go on with; its own is one of them. */
  readonly supports: readonly number[]
  readonly owner: Team
  readonly alert: AlertRoute
  readonly summary?: string
  readonly on: AnyContract
  readonly uses: readonly (AnyContract | AnySaga)[]
  /** What it tells with `s.emit`. */
  readonly emits: readonly AnyContract[]
  readonly budget: ResolvedSagaBudget
  /** Where a new saga begins to listen. */
  readonly from: 'now' | 'earliest'
  readonly keepMs: number
  readonly concurrency: number
  readonly partitions: number
  /** Names the run that an event belongs to, where that is not the key of its contract. */
  readonly correlate: ReadonlyMap<string, (data: unknown) => string>
  readonly late: ReadonlyMap<string, RunSaga>
  readonly run: RunSaga
  readonly at: SourceLocation
  readonly [RUN]?: unknown
}

/** The function of a saga, as the engine calls it. */
export type RunSaga = (s: SagaContext<AnyContract | AnySaga>, input: unknown) => Promise<unknown>

export interface ResolvedSagaBudget {
  readonly totalMs?: number
  readonly quietMs?: number
  readonly steps: number
}

export interface Saga<Name extends string, Input, Output, Uses = Used> extends AnySaga {
  readonly name: Name
  readonly [RUN]?: { readonly input: Input; readonly output: Output; readonly uses: Uses }
}

export type SagaInputOf<S extends AnySaga> = S extends {
  readonly [RUN]?: { readonly input: infer Input }
}
  ? Input
  : unknown

export type SagaOutputOf<S extends AnySaga> = S extends {
  readonly [RUN]?: { readonly output: infer Output }
}
  ? Output
  : unknown

/** What a saga asks for and waits for. */
export type SagaUsesOf<S extends AnySaga> = S extends {
  readonly [RUN]?: { readonly uses: infer Uses }
}
  ? Uses
  : Used

type Used = AnyContract | AnySaga
type EventNames<Uses> = Uses extends AnyContract
  ? Uses extends { readonly kind: 'command' }
    ? never
    : Uses['name']
  : never
type EventNamed<Uses, Name> = Extract<Uses, { readonly part: 'contract'; readonly name: Name }>

export interface SagaOptions<On extends AnyContract, Uses extends Used> {
  /** Counts up with each change that running sagas cannot go on with. */
  readonly version: number
  /** Older versions that this code still runs, told apart by `s.version`. @default none */
  readonly supports?: readonly number[]
  readonly owner: Team
  /** @default that of the owner */
  readonly alert?: AlertRoute
  readonly summary?: string
  /** Starts a run for its key. A second start of one key is the same run. */
  readonly on: On
  /** Everything that the saga asks for and waits for. */
  readonly uses: readonly Uses[]
  /** What it tells with `s.emit`. @default none */
  readonly emits?: readonly AnyContract[]
  readonly budget?: {
    /** After this a run that goes forward fails, and is compensated. @default none */
    readonly total?: Duration
    /** A run that has not moved for so long is an alert. @default none */
    readonly quiet?: Duration
    /** @default 1000 @maximum 1000 */
    readonly steps?: number
  }
  /** @default 'now' */
  readonly from?: 'now' | 'earliest'
  /** How long an ended run stays visible, and keeps its key from starting again. @default '30d' */
  readonly keep?: Duration
  /** Runs at work at once, of each partition. @default 256 @maximum 1024 */
  readonly concurrency?: number
  /** @default 1 @maximum 64 */
  readonly partitions?: number
  /** By the name of an event: which run it is for. @default the key of the event's contract */
  readonly correlate?: {
    readonly [Name in EventNames<Uses>]?: (data: PayloadOf<EventNamed<Uses, Name>>) => string
  }
  /** By the name of an event: what is done about one that comes after the end. @default parked */
  readonly late?: {
    readonly [Name in EventNames<Uses>]?: (
      s: SagaContext<Uses>,
      event: SagaEvent<EventNamed<Uses, Name>>,
    ) => Promise<unknown>
  }
}

/** The same where it is read. */
type AnySagaOptions = Omit<SagaOptions<AnyContract, Used>, 'correlate' | 'late'> & {
  readonly correlate?: object
  readonly late?: object
}

/**
 * Declares a saga: a function that is run to its end, or taken back, whatever fails on the way.
 * What each step did is in a journal in the store; see `SagaContext` for what the function may do.
 *
 * @throws JUNCTURA_DECLARATION when a field is unusable; it names the field and the fix.
 */
export function saga<const Name extends string, On extends AnyContract, Uses extends Used, Output>(
  name: Name,
  options: SagaOptions<On, Uses>,
  run: (s: SagaContext<Uses>, input: PayloadOf<On>) => Promise<Output>,
): Saga<Name, PayloadOf<On>, Output, Uses>
export function saga(name: string, options: AnySagaOptions, run: RunSaga): AnySaga {
  checkName(name, 'saga')
  const what = `saga "${name}"`
  const version = checkRange(options.version, `${what}.version`, { minimum: 1, maximum: 1e6 })
  const owner = required(options.owner, `${what}.owner`, "write owner: team('…')")
  const { summary, budget = {} } = options
  const uses = required(options.uses, `${what}.uses`, 'list what it asks for and waits for')
  refuseUnusable(what, uses)
  if (uses.some((one) => one.part === 'contract' && one.name === options.on?.name)) {
    const problem = `${options.on.name} starts it, and cannot be waited for as well`
    throw declarationError(`${what}.uses`, problem, 'take it out, or wait for another event')
  }
  const declared: AnySaga = {
    part: 'saga',
    name,
    version,
    supports: [...new Set([...(options.supports ?? []), version])],
    owner,
    alert: options.alert ?? owner.oncall,
    ...(summary !== undefined && { summary }),
    on: required(options.on, `${what}.on`, 'give the contract that starts it'),
    uses,
    emits: options.emits ?? [],
    budget: {
      ...(budget.total !== undefined && { totalMs: span(budget.total, `${what}.budget.total`) }),
      ...(budget.quiet !== undefined && { quietMs: span(budget.quiet, `${what}.budget.quiet`) }),
      steps: checkRange(budget.steps ?? LIMITS.sagaStepsMax, `${what}.budget.steps`, {
        minimum: 1,
        maximum: LIMITS.sagaStepsMax,
      }),
    },
    from: options.from ?? 'now',
    keepMs: durationMs(options.keep ?? '30d', `${what}.keep`),
    concurrency: checkRange(options.concurrency ?? 256, `${what}.concurrency`, {
      minimum: 1,
      maximum: LIMITS.concurrencyMax,
    }),
    partitions: checkRange(options.partitions ?? 1, `${what}.partitions`, {
      minimum: 1,
      maximum: LIMITS.partitionsMax,
    }),
    correlate: byName(options.correlate, isCorrelation),
    late: byName(options.late, isRun),
    run,
    at: callerLocation(),
  }
  return Object.freeze(declared)
}

/** By name; the mapped types of the options tie each function to its event. */
function byName<T>(
  functions: object | undefined,
  isOne: (value: unknown) => value is T,
): Map<string, T> {
  const named = new Map<string, T>()
  const entries: readonly (readonly [string, unknown])[] = Object.entries(functions ?? {})
  for (const [name, one] of entries) if (isOne(one)) named.set(name, one)
  return named
}

const isCorrelation = (value: unknown): value is (data: unknown) => string =>
  typeof value === 'function'

const isRun = (value: unknown): value is RunSaga => typeof value === 'function'

const span = (duration: Duration, field: string): number =>
  checkRange(durationMs(duration, field), field, { minimum: 1, maximum: LIMITS.ttlMsMax })

function refuseUnusable(what: string, uses: readonly Used[]): void {
  const seen = new Set<string>()
  for (const used of uses) {
    const field = `${what}.uses`
    if (seen.has(used.name))
      throw declarationError(field, `${used.name} is in it twice`, 'name it once')
    seen.add(used.name)
    if (used.part === 'contract' && used.kind === 'command' && !isCommand(used)) {
      throw declarationError(field, `${used.name} has no answers`, "declare it with command('…')")
    }
    const isVolatile = used.part === 'contract' && used.guarantee === 'at-most-once'
    if (!isVolatile) continue
    const fix = "write guarantee: 'at-least-once', or take it out"
    throw declarationError(field, `${used.name} is at-most-once and may be lost`, fix)
  }
}

/** The channel that everything of a saga's runs goes through, in order for each run. */
export const sagaChannel = (name: string): string => `saga.${name}`
