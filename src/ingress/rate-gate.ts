import { LIMITS } from '../kernel/index.ts'
import {
  fullBucket,
  type ResolvedRateLimit,
  takeTokens,
  type TokenBucket,
} from '../policy/index.ts'

/**
 * A rate per address of the connection, decided before anything costly. Remembers at most
 * LIMITS.rateAddressesMax addresses and forgets the one that was silent the longest; who is
 * forgotten starts with a full bucket.
 */
export interface RateGate {
  /** 0 when let through, otherwise after how many milliseconds it will be. */
  wait(address: string, monotonicMs: number): number
}

export const createRateGate = (limit: ResolvedRateLimit): RateGate => {
  const buckets = new Map<string, TokenBucket>()
  return {
    wait(address, monotonicMs) {
      const bucket = buckets.get(address) ?? fullBucket(limit, monotonicMs)
      const decision = takeTokens(limit, bucket, { monotonicMs })
      // Deleted and set again, so that the order of the map is the order of the last request.
      buckets.delete(address)
      buckets.set(address, decision.bucket)
      if (buckets.size > LIMITS.rateAddressesMax) {
        const oldest = buckets.keys().next()
        if (!oldest.done) buckets.delete(oldest.value)
      }
      return decision.waitMs
    },
  }
}
