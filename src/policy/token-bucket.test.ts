import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isJuncturaError, LIMITS } from '../kernel/index.ts'
import { fullBucket, resolveRateLimit, takeTokens, type TokenBucket } from './token-bucket.ts'

describe('resolveRateLimit', () => {
  it.each([
    ['a rate of nothing', { perSecond: 0 }, 'replay.rate.perSecond'],
    ['a negative rate', { perSecond: -1 }, 'replay.rate.perSecond'],
    ['a rate that is no number', { perSecond: Number.NaN }, 'replay.rate.perSecond'],
    ['an endless rate', { perSecond: Infinity }, 'replay.rate.perSecond'],
    ['a burst that lets nothing through', { perSecond: 5, burst: 0.5 }, 'replay.rate.burst'],
    ['a burst without end', { perSecond: 5, burst: LIMITS.rateBurstMax + 1 }, 'replay.rate.burst'],
  ])('refuses %s and names the field', (_, limit, field) => {
    const refuse = (): unknown => resolveRateLimit(limit, 'replay.rate')

    expect(refuse).toThrow(field)
    expect(refuse).toThrow(
      expect.toSatisfy((error) => isJuncturaError(error, 'JUNCTURA_POLICY_RANGE')),
    )
  })

  it('takes one second of the rate as the burst, and at least one', () => {
    expect(resolveRateLimit({ perSecond: 50 }, 'rate').burst).toBe(50)
    expect(resolveRateLimit({ perSecond: 0.1 }, 'rate').burst).toBe(1)
  })
})

describe('takeTokens', () => {
  const limit = resolveRateLimit({ perSecond: 10, burst: 3 }, 'rate')

  it('refuses what is above the burst and says how long to wait', () => {
    let bucket = fullBucket(limit, 0)
    for (let taken = 0; taken < 3; taken++) bucket = takeTokens(limit, bucket, at(0)).bucket

    expect(takeTokens(limit, bucket, at(0))).toMatchObject({ granted: false, waitMs: 100 })
    expect(takeTokens(limit, bucket, at(99)).granted).toBe(false)
    expect(takeTokens(limit, bucket, at(100)).granted).toBe(true)
  })

  it('never grants more tokens at once than the burst, and says so with an endless wait', () => {
    const refused = takeTokens(limit, fullBucket(limit, 0), { monotonicMs: 0, tokens: 4 })

    expect(refused).toMatchObject({ granted: false, waitMs: Infinity })
  })

  it('takes nothing when it refuses', () => {
    const bucket: TokenBucket = { tokens: 2, monotonicMs: 0 }

    const refused = takeTokens(limit, bucket, { monotonicMs: 0, tokens: 3 })

    expect(refused.bucket).toEqual(bucket)
  })

  it('does not save up more than the burst during a pause', () => {
    let bucket = fullBucket(limit, 0)
    let granted = 0
    for (let asked = 0; asked < 10; asked++) {
      const decision = takeTokens(limit, bucket, at(3_600_000))
      bucket = decision.bucket
      if (decision.granted) granted += 1
    }

    expect(granted).toBe(3)
  })

  it('counts time that runs backwards as no time, and does not give it twice (F35)', () => {
    const empty: TokenBucket = { tokens: 0, monotonicMs: 1_000 }

    const back = takeTokens(limit, empty, at(0))

    expect(back.granted).toBe(false)
    expect(takeTokens(limit, back.bucket, at(1_000)).granted).toBe(false)
    expect(takeTokens(limit, back.bucket, at(1_100)).granted).toBe(true)
  })

  it('holds the rate over any stretch, and grants whoever waited as told', () => {
    const gaps = fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 200 })
    const rates = fc.double({ min: 0.3, max: 200, noNaN: true })
    fc.assert(
      fc.property(gaps, rates, (pauses, perSecond) => {
        const any = resolveRateLimit({ perSecond, burst: 5 }, 'rate')
        let bucket = fullBucket(any, 0)
        let nowMs = 0
        let granted = 0
        for (const pauseMs of pauses) {
          nowMs += pauseMs
          const decision = takeTokens(any, bucket, at(nowMs))
          bucket = decision.bucket
          if (decision.granted) granted += 1
          else {
            const later = takeTokens(any, bucket, at(nowMs + decision.waitMs))
            expect(later.granted).toBe(true)
          }
        }
        expect(granted).toBeLessThanOrEqual(5 + (nowMs * perSecond) / 1_000 + 0.001)
      }),
    )
  })
})

function at(monotonicMs: number): { monotonicMs: number } {
  return { monotonicMs }
}
