import {
  assert,
  type Duration,
  durationMs,
  formatDuration,
  JuncturaError,
  LIMITS,
  type Random,
} from '../kernel/index.ts'

/**
 * How often and how soon a failed attempt is tried again, as it is written in a declaration.
 * There is no global default: every consumer writes its own or names a preset.
 */
export interface RetryPolicy {
  /**
   * Attempts in all, the first one included.
   *
   * @minimum 1 (no retry)
   * @maximum 100
   */
  readonly attempts: number
  /**
   * The longest delay before the first retry. `0` asks for one retry at once; the curve then
   * starts at one second.
   *
   * @minimum 0
   * @maximum `max`
   */
  readonly first: Duration
  /**
   * By what each delay is longer than the one before; 1 keeps it constant.
   *
   * @default 2
   * @minimum 1
   * @maximum 10
   */
  readonly factor?: number
  /**
   * The cap of a single delay.
   *
   * @minimum 1 ms
   * @maximum 24 h, so that an operator notices within a day
   */
  readonly max: Duration
  /**
   * `full` draws each delay evenly between a floor of 50 ms and the curve, so that many failures
   * at once do not come back at once. `none` waits exactly as long as the curve says.
   *
   * @default 'full'
   */
  readonly jitter?: 'full' | 'none'
}

/** A retry policy with every value present and inside its bounds. Plain data of the Model. */
export interface ResolvedRetryPolicy {
  readonly attempts: number
  readonly firstDelayMs: number
  readonly factor: number
  readonly delayMsMax: number
  readonly jitter: 'full' | 'none'
}

/** Named policies. A consumer that uses one still names it, so nothing is inherited silently. */
export const retryPresets: Readonly<
  Record<'none' | 'quick' | 'database' | 'partner' | 'patient', RetryPolicy>
> = {
  /** One attempt. For what must not run twice without a person. */
  none: { attempts: 1, first: 0, max: '1s' },
  /** Gives up within 2 s. For what somebody waits for. */
  quick: { attempts: 4, first: '250ms', max: '2s' },
  /** One retry at once, then gives up within about a minute. For deadlocks and failovers. */
  database: { attempts: 8, first: 0, max: '1m' },
  /** Gives up after about 3.5 h. For another company's API and its deployments. */
  partner: { attempts: 10, first: '1s', factor: 4, max: '1h' },
  /** Gives up after about three days. For what survives a weekend outage. */
  patient: { attempts: 18, first: '10s', factor: 4, max: '6h' },
}

/** Under full jitter no retry comes sooner than this, so that none hits the same moment. */
const JITTER_FLOOR_MS = 50

/** Where the curve starts when `first` is 0; otherwise every later delay would be 0 as well. */
const CURVE_START_MS = 1_000

/**
 * Reads and checks a declared policy. `field` names the place, for example
 * `consumer "finance".retry`.
 *
 * @throws JUNCTURA_POLICY_RANGE when a value, or the sum of all delays, is out of bounds.
 * @throws JUNCTURA_DECLARATION when `first` or `max` is not a duration.
 */
export const resolveRetryPolicy = (policy: RetryPolicy, field: string): ResolvedRetryPolicy => {
  const resolved: ResolvedRetryPolicy = {
    attempts: policy.attempts,
    firstDelayMs: durationMs(policy.first, `${field}.first`),
    factor: policy.factor ?? 2,
    delayMsMax: durationMs(policy.max, `${field}.max`),
    jitter: policy.jitter ?? 'full',
  }
  checkAttempts(resolved, field)
  checkCurve(resolved, field)
  checkHorizon(resolved, field)
  return resolved
}

/**
 * The delay in whole milliseconds before the next attempt, or undefined when the attempts are used
 * up and the message becomes a dead letter. `attemptsDone` counts attempts that were started.
 *
 * @throws JUNCTURA_INVARIANT when `attemptsDone` is not a whole number from 1 on.
 */
export const nextDelayMs = (
  policy: ResolvedRetryPolicy,
  attemptsDone: number,
  random: Pick<Random, 'next'>,
): number | undefined => {
  assert(Number.isInteger(attemptsDone), 'attemptsDone is a whole number')
  assert(attemptsDone >= 1, 'a retry follows at least one attempt')
  if (attemptsDone >= policy.attempts) return undefined
  const curveMs = curveDelayMs(policy, attemptsDone)
  if (policy.jitter === 'none') return curveMs
  const floorMs = Math.min(curveMs, JITTER_FLOOR_MS)
  return floorMs + Math.round(random.next() * (curveMs - floorMs))
}

/**
 * The longest time in milliseconds that the delays of one message can add up to. What the handler
 * itself takes comes on top.
 */
export const retryHorizonMs = (policy: ResolvedRetryPolicy): number => {
  let horizonMs = 0
  for (let retry = 1; retry < policy.attempts; retry++) horizonMs += curveDelayMs(policy, retry)
  return horizonMs
}

/** One line for people: `6 attempts, delays up to 1s, 2s, 4s, 8s, 16s, given up within 31s`. */
export const describeRetryPolicy = (policy: ResolvedRetryPolicy): string => {
  if (policy.attempts === 1) return '1 attempt, no retry'
  const delays: string[] = []
  for (let retry = 1; retry < policy.attempts; retry++) {
    const delayMs = curveDelayMs(policy, retry)
    delays.push(delayMs === 0 ? 'at once' : formatDuration(delayMs))
    const left = policy.attempts - 1 - retry
    if (left > 0 && (delayMs >= policy.delayMsMax || delays.length === DELAYS_SHOWN)) {
      const last = formatDuration(curveDelayMs(policy, policy.attempts - 1))
      delays.push(`${left} more up to ${last}`)
      break
    }
  }
  const word = policy.jitter === 'full' ? 'delays up to' : 'delays of exactly'
  const horizon = formatDuration(retryHorizonMs(policy))
  return `${policy.attempts} attempts, ${word} ${delays.join(', ')}, given up within ${horizon}`
}

const DELAYS_SHOWN = 6

/** The delay before retry number `retry` (1 is the first) without jitter. */
function curveDelayMs(policy: ResolvedRetryPolicy, retry: number): number {
  const { firstDelayMs, factor, delayMsMax } = policy
  if (firstDelayMs > 0)
    return Math.min(delayMsMax, Math.round(firstDelayMs * factor ** (retry - 1)))
  if (retry === 1) return 0
  return Math.min(delayMsMax, Math.round(CURVE_START_MS * factor ** (retry - 2)))
}

function checkAttempts({ attempts }: ResolvedRetryPolicy, field: string): void {
  if (Number.isInteger(attempts) && attempts >= 1 && attempts <= LIMITS.attemptsMax) return
  throw outOfRange({
    field: `${field}.attempts`,
    value: attempts,
    allowed: `a whole number from 1 to ${LIMITS.attemptsMax}`,
    fix: 'Count the first attempt as 1; to wait longer, raise max instead.',
  })
}

function checkCurve(policy: ResolvedRetryPolicy, field: string): void {
  const { firstDelayMs, factor, delayMsMax, jitter } = policy
  if (!(delayMsMax >= 1 && delayMsMax <= LIMITS.retryDelayMsMax)) {
    const longest = formatDuration(LIMITS.retryDelayMsMax)
    throw outOfRange({
      field: `${field}.max`,
      value: formatDuration(delayMsMax),
      allowed: `1ms to ${longest}`,
      fix: `Cap a single delay at ${longest} or less, so that somebody notices within a day.`,
    })
  }
  if (firstDelayMs > delayMsMax) {
    throw outOfRange({
      field: `${field}.first`,
      value: formatDuration(firstDelayMs),
      allowed: `0 to max, which is ${formatDuration(delayMsMax)}`,
      fix: 'Lower first or raise max.',
    })
  }
  if (!(factor >= 1 && factor <= LIMITS.retryFactorMax)) {
    throw outOfRange({
      field: `${field}.factor`,
      value: factor,
      allowed: `1 to ${LIMITS.retryFactorMax}`,
      fix: 'Write 1 for constant delays, 2 to double each time.',
    })
  }
  if (!JITTERS.includes(jitter)) {
    throw outOfRange({
      field: `${field}.jitter`,
      value: JSON.stringify(jitter),
      allowed: "'full' or 'none'",
      fix: "Leave it out for 'full'.",
    })
  }
}

const JITTERS: readonly unknown[] = ['full', 'none']

function checkHorizon(policy: ResolvedRetryPolicy, field: string): void {
  const horizonMs = retryHorizonMs(policy)
  if (horizonMs <= LIMITS.retryHorizonMsMax) return
  let attempts = policy.attempts
  while (retryHorizonMs({ ...policy, attempts }) > LIMITS.retryHorizonMsMax) attempts -= 1
  throw outOfRange({
    field,
    value: `${formatDuration(horizonMs)} of delays in all`,
    allowed: `${formatDuration(LIMITS.retryHorizonMsMax)} at most`,
    fix: `Lower attempts from ${policy.attempts} to ${attempts}, or lower max.`,
  })
}

interface RangeDetails {
  readonly field: string
  readonly value: string | number
  readonly allowed: string
  readonly fix: string
}

function outOfRange(details: RangeDetails): JuncturaError {
  return new JuncturaError('JUNCTURA_POLICY_RANGE', { details: { ...details } })
}
