import { JuncturaError, LIMITS } from '../kernel/index.ts'

/** A rate limit: so many a second in the long run, and so many at once after a pause. */
export interface RateLimit {
  /**
   * @minimum above 0; 0.1 is one every ten seconds
   * @maximum 1_000_000
   */
  readonly perSecond: number
  /**
   * @default `perSecond`, at least 1
   * @minimum 1
   * @maximum 1_000_000
   */
  readonly burst?: number
}

export interface ResolvedRateLimit {
  readonly perSecond: number
  readonly burst: number
}

/** What a bucket remembers: the tokens that were left, and when. Plain data. */
export interface TokenBucket {
  readonly tokens: number
  readonly monotonicMs: number
}

export interface TokenDecision {
  readonly granted: boolean
  /** 0 when granted; otherwise asking again after this many milliseconds is granted. */
  readonly waitMs: number
  /** The bucket to keep for the next decision, also after a refusal. */
  readonly bucket: TokenBucket
}

export interface TokenRequest {
  /** From `Clock.monotonicMs`: a wall clock that jumps may not open the gate (F35). */
  readonly monotonicMs: number
  /**
   * @default 1
   * @maximum the burst; more is never granted
   */
  readonly tokens?: number
}

/**
 * Checks a declared rate limit; `field` names the place.
 *
 * @throws JUNCTURA_POLICY_RANGE when out of bounds.
 */
export const resolveRateLimit = (limit: RateLimit, field: string): ResolvedRateLimit => {
  const { perSecond } = limit
  if (!(perSecond > 0 && perSecond <= LIMITS.ratePerSecondMax)) {
    const allowed = `above 0, to ${LIMITS.ratePerSecondMax}`
    const fix = 'Write how many a second are let through, such as 50, or 0.1 for one in 10 s.'
    const details = { field: `${field}.perSecond`, value: perSecond, allowed, fix }
    throw new JuncturaError('JUNCTURA_POLICY_RANGE', { details })
  }
  const burst = limit.burst ?? Math.max(1, perSecond)
  if (!(burst >= 1 && burst <= LIMITS.rateBurstMax)) {
    const allowed = `1 to ${LIMITS.rateBurstMax}`
    const fix = 'Write how many may come at once, or leave it out.'
    const details = { field: `${field}.burst`, value: burst, allowed, fix }
    throw new JuncturaError('JUNCTURA_POLICY_RANGE', { details })
  }
  return { perSecond, burst }
}

/** A bucket that nobody has taken from. */
export const fullBucket = (limit: ResolvedRateLimit, monotonicMs: number): TokenBucket => ({
  tokens: limit.burst,
  monotonicMs,
})

/**
 * Takes tokens, all or none. Over any stretch of time no more than the burst plus the rate times
 * its length is granted. Time that runs backwards counts as no time.
 */
export const takeTokens = (
  limit: ResolvedRateLimit,
  bucket: TokenBucket,
  request: TokenRequest,
): TokenDecision => {
  const wanted = request.tokens ?? 1
  const elapsedMs = Math.max(0, request.monotonicMs - bucket.monotonicMs)
  const refilled = bucket.tokens + (elapsedMs * limit.perSecond) / 1_000
  const tokens = Math.min(limit.burst, refilled)
  const monotonicMs = bucket.monotonicMs + elapsedMs
  if (tokens + ROUNDING >= wanted) {
    const left = Math.max(0, tokens - wanted)
    return { granted: true, waitMs: 0, bucket: { tokens: left, monotonicMs } }
  }
  const waitMs =
    wanted > limit.burst ? Infinity : Math.ceil(((wanted - tokens) * 1_000) / limit.perSecond)
  return { granted: false, waitMs, bucket: { tokens, monotonicMs } }
}

/** Forgives what binary fractions lose, so that who waits `waitMs` is not sent away once more. */
const ROUNDING = 1e-6
