import { type Duration, durationMs, formatDuration, LIMITS } from '../kernel/index.ts'
import type { Consumer } from './consumer.ts'
import type { AnyContract, PayloadOf } from './contract.ts'
import { checkName, declarationError } from './declaration-error.ts'
import { callerLocation, type SourceLocation } from './source-location.ts'
import type { AlertRoute, System, Team } from './system.ts'
import { required } from './webhook.ts'

/** Messages of a contract, and which of them belong together. */
export interface Correlated {
  readonly contract: AnyContract
  /** What a message is about; undefined leaves it out. Without it, the partition key. */
  by?(data: unknown): string | number | undefined
}

/**
 * Says what messages of a contract are about, where that is not their partition key: a payment that
 * is keyed by its own id belongs to the order that it names. What gives `undefined` is left out, so
 * it also chooses: `(order) => (order.total > 0 ? order.orderId : undefined)`.
 *
 * The function is given the data as the version of the contract that was asked for. It must be
 * pure: it may run again after a crash.
 */
export const correlate = <C extends AnyContract>(
  contract: C,
  by: (data: PayloadOf<C>) => string | number | undefined,
): Correlated => ({
  contract,
  // The data given to it are read as this contract's.
  by,
})

/** A contract whose partition key says what its messages are about, or one that says it itself. */
export type Expected = AnyContract | Correlated

export interface ExpectationOptions {
  /** Who is told when it is not met. */
  readonly owner: Team
  readonly summary?: string
  /** What begins the wait, for what it is about: one contract or several. */
  readonly after: Expected | readonly Expected[]
  /** What has to come then: any of them ends the wait. */
  readonly expect: Expected | readonly Expected[]
  /** What ends the wait because there is nothing left to wait for, such as a cancellation. */
  readonly undoneBy?: Expected | readonly Expected[]
  /**
   * How long it may take, from when the first message was appended.
   *
   * @minimum 1s
   * @maximum 365d
   */
  readonly within: Duration
  /**
   * Who should act, as the alarm names them.
   *
   * @default the consumers of `after` in this integration
   */
  readonly by?: Consumer | System | Team | readonly (Consumer | System | Team)[]
  /** @default the owner's route */
  readonly alert?: AlertRoute
  /** @default 'critical' */
  readonly severity?: 'critical' | 'warning'
  /**
   * How long before `after` the expected message may come: two channels keep no order between
   * them.
   *
   * @default the same as `within`
   */
  readonly early?: Duration
  /**
   * How long nothing is judged after a start, or after the log could not be read for a while: what
   * stood still meanwhile is given that time to go on.
   *
   * @default `within`, at most 5m
   */
  readonly grace?: Duration
}

/** An expectation as the runtime reads it: every default filled in. */
export interface Expectation {
  readonly part: 'expectation'
  readonly name: string
  readonly owner: Team
  readonly summary?: string
  readonly after: readonly Correlated[]
  readonly expect: readonly Correlated[]
  readonly undoneBy: readonly Correlated[]
  readonly withinMs: number
  readonly earlyMs: number
  readonly graceMs: number
  /** Names of those who should act; empty for the consumers of `after`. */
  readonly by: readonly string[]
  readonly alert: AlertRoute
  readonly severity: 'critical' | 'warning'
  readonly at: SourceLocation
}

const GRACE_MS_DEFAULT = 300_000

/**
 * Declares that one message follows another: after `after`, for what it is about, one of `expect`
 * comes within `within`, or the owner is told, durably and once, with the key, what was seen last,
 * and who should have acted. What comes late resolves it.
 *
 * The log decides, in the order of its positions, and each message counts once: a crash, a restart
 * or a replay neither loses an alarm nor raises a second one. A deadline is judged when the log is
 * read up to it. The clock is a steady one, so a wall clock that jumps neither raises nor delays
 * an alarm. A new expectation begins with the next message.
 *
 * A message that says `after` again while its key waits changes nothing: the first deadline holds.
 * A contract may be both `after` and `expect`: a sign of life that has to come again.
 *
 * @throws JUNCTURA_DECLARATION when a field is unusable; it names the field and the fix.
 */
export const expectation = (name: string, options: ExpectationOptions): Expectation => {
  const what = `expectation ${JSON.stringify(name)}`
  checkName(name, 'expectation')
  const owner = required(options.owner, `${what}.owner`, "write owner: team('…')")
  const { summary } = options
  const range = (duration: Duration, field: string, minimumMs: number): number =>
    checkDuration(duration, `${what}.${field}`, minimumMs)
  const withinMs = range(
    required(options.within, `${what}.within`, "write within: '15m'"),
    'within',
    LIMITS.expectationMsMin,
  )
  return Object.freeze({
    part: 'expectation',
    name,
    owner,
    ...(summary !== undefined && { summary }),
    after: readAll(options.after, `${what}.after`),
    expect: readAll(options.expect, `${what}.expect`),
    undoneBy: options.undoneBy === undefined ? [] : readAll(options.undoneBy, `${what}.undoneBy`),
    withinMs,
    earlyMs: range(options.early ?? withinMs, 'early', 0),
    graceMs: range(options.grace ?? Math.min(withinMs, GRACE_MS_DEFAULT), 'grace', 0),
    by: options.by === undefined ? [] : [options.by].flat().map((one) => one.name),
    alert: options.alert ?? owner.oncall,
    severity: options.severity ?? 'critical',
    at: callerLocation(),
  })
}

/** Contracts that an expectation looks at, each once by name. */
export const contractsOf = (
  expectation: Pick<Expectation, 'after' | 'expect' | 'undoneBy'>,
): readonly AnyContract[] => {
  const all = [...expectation.after, ...expectation.expect, ...expectation.undoneBy]
  return [...new Map(all.map(({ contract }) => [contract.name, contract])).values()]
}

function checkDuration(duration: Duration, field: string, minimumMs: number): number {
  const ms = durationMs(duration, field)
  if (ms >= minimumMs && ms <= LIMITS.expectationMsMax) return ms
  throw declarationError(
    field,
    `${formatDuration(ms)} is out of range`,
    `allowed is ${formatDuration(minimumMs)} to ${formatDuration(LIMITS.expectationMsMax)}`,
  )
}

function readAll(given: Expected | readonly Expected[], field: string): readonly Correlated[] {
  const list = [given].flat()
  if (list.length === 0 || list.some((one) => typeof one !== 'object' || one === null)) {
    throw declarationError(field, 'it names no contract', 'give a contract, or correlate(…)')
  }
  const all = list.map((one) => readOne(one, field))
  const names = new Set(all.map(({ contract }) => contract.name))
  if (names.size === all.length) return Object.freeze(all)
  throw declarationError(field, 'it names one contract twice', 'name each contract once')
}

function readOne(one: Expected, field: string): Correlated {
  const correlated: Correlated = 'contract' in one ? one : { contract: one }
  const { contract, by } = correlated
  const { part, name, guarantee, key } = required(contract, field, 'give a contract')
  if (part !== 'contract') {
    throw declarationError(field, 'it is no contract', 'give a contract, or correlate(…)')
  }
  if (guarantee === 'at-most-once') {
    const fix = "write guarantee: 'at-least-once' on the contract"
    throw declarationError(field, `${name} is at-most-once, so it is in no log`, fix)
  }
  if (by === undefined && key.length === 0) {
    const fix = `write correlate(${name}, (data) => data.…)`
    throw declarationError(field, `${name} has no key, so nothing says what it is about`, fix)
  }
  return correlated
}
