import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createSeededRandom, isJuncturaError, LIMITS } from '../kernel/index.ts'
import {
  describeRetryPolicy,
  nextDelayMs,
  resolveRetryPolicy,
  retryHorizonMs,
  type RetryPolicy,
  retryPresets,
} from './retry-policy.ts'

const VALID: RetryPolicy = { attempts: 6, first: '1s', factor: 2, max: '1m' }
const lowest = { next: () => 0 }
const highest = { next: () => 1 - 2 ** -47 }

const refusal = (policy: RetryPolicy): { field: string; fix: string; message: string } => {
  try {
    resolveRetryPolicy(policy, 'consumer "finance".retry')
  } catch (error) {
    if (!isJuncturaError(error, 'JUNCTURA_POLICY_RANGE')) throw error
    const { field, fix } = error.details
    return { field: String(field), fix: String(fix), message: error.message }
  }
  throw new Error('was accepted')
}

describe('resolveRetryPolicy', () => {
  it.each([
    ['no attempt', { attempts: 0 }, '.attempts'],
    ['half an attempt', { attempts: 1.5 }, '.attempts'],
    ['more attempts than anyone waits for', { attempts: LIMITS.attemptsMax + 1 }, '.attempts'],
    ['attempts that are not a number', { attempts: Number.NaN }, '.attempts'],
    ['a first delay above the cap', { first: '2m' }, '.first'],
    ['a cap of nothing', { first: 0, max: 0 }, '.max'],
    ['a cap above a day (M21)', { max: '25h' }, '.max'],
    ['a shrinking curve', { factor: 0.5 }, '.factor'],
    ['a factor above the maximum', { factor: LIMITS.retryFactorMax + 0.1 }, '.factor'],
    ['a factor that is not a number', { factor: Number.NaN }, '.factor'],
  ] as const)('refuses %s, naming field, range and fix', (_, change, field) => {
    const { message, ...named } = refusal({ ...VALID, ...change })

    expect(named.field).toBe(`consumer "finance".retry${field}`)
    expect(named.fix).not.toBe('')
    expect(message).toContain('allowed is')
  })

  it('refuses a jitter that is none of the two, from untyped code', () => {
    const policy: object = { ...VALID, jitter: 'equal' }

    expect(refusal(policy as RetryPolicy).field).toMatch(/\.jitter$/)
  })

  it('refuses a horizon above two weeks and says how many attempts fit (M21)', () => {
    const policy: RetryPolicy = { attempts: 100, first: '1h', factor: 2, max: '24h' }

    const { field, fix } = refusal(policy)

    expect(field).toBe('consumer "finance".retry')
    const attempts = Number(/to (\d+)/.exec(fix)?.[1])
    expect(() => resolveRetryPolicy({ ...policy, attempts }, 'x')).not.toThrow()
    expect(() => resolveRetryPolicy({ ...policy, attempts: attempts + 1 }, 'x')).toThrow()
  })

  it('refuses a delay that is not a duration with the field in the message', () => {
    const policy: object = { ...VALID, first: 'soon' }

    expect(() => resolveRetryPolicy(policy as RetryPolicy, 'retry')).toThrow(/retry\.first/)
  })

  it('fills in factor 2 and full jitter, and no other default', () => {
    expect(resolveRetryPolicy({ attempts: 3, first: '1s', max: '1m' }, 'retry')).toEqual({
      attempts: 3,
      firstDelayMs: 1_000,
      factor: 2,
      delayMsMax: 60_000,
      jitter: 'full',
    })
  })

  it.each(Object.entries(retryPresets))('accepts the preset %s', (_, preset) => {
    expect(() => resolveRetryPolicy(preset, 'preset')).not.toThrow()
  })
})

describe('nextDelayMs', () => {
  const exact = resolveRetryPolicy({ ...VALID, jitter: 'none' }, 'retry')
  const full = resolveRetryPolicy(VALID, 'retry')

  it('gives up after the last attempt, and stays given up', () => {
    expect(nextDelayMs(full, 5, highest)).toBeDefined()
    expect(nextDelayMs(full, 6, highest)).toBeUndefined()
    expect(nextDelayMs(full, 7, highest)).toBeUndefined()
  })

  it('stops on an attempt count that cannot be', () => {
    expect(() => nextDelayMs(full, 0, lowest)).toThrow(/invariant/)
    expect(() => nextDelayMs(full, 1.5, lowest)).toThrow(/invariant/)
  })

  it('follows the curve up to the cap without jitter', () => {
    const policy = resolveRetryPolicy({ ...VALID, attempts: 9, jitter: 'none' }, 'retry')

    const delays = [1, 2, 3, 4, 5, 6, 7, 8].map((done) => nextDelayMs(policy, done, lowest))

    expect(delays).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
  })

  it('stays finite where the curve overflows', () => {
    const policy = resolveRetryPolicy({ attempts: 100, first: 1, factor: 10, max: '1m' }, 'retry')

    expect(nextDelayMs(policy, 99, highest)).toBe(60_000)
  })

  it('is never immediate under jitter unless asked', () => {
    expect(nextDelayMs(full, 1, lowest)).toBe(50)
    expect(nextDelayMs(full, 1, highest)).toBe(1_000)
  })

  it('keeps a curve below the floor as it is', () => {
    const policy = resolveRetryPolicy({ attempts: 3, first: '5ms', max: '20ms' }, 'retry')

    expect(nextDelayMs(policy, 1, lowest)).toBe(5)
  })

  it('retries once at once when asked, then climbs from a second', () => {
    const policy = resolveRetryPolicy({ ...VALID, first: 0, jitter: 'none' }, 'retry')

    const delays = [1, 2, 3, 4].map((done) => nextDelayMs(policy, done, lowest))

    expect(delays).toEqual([0, 1_000, 2_000, 4_000])
  })

  it('spreads a thousand failures of one moment over the whole range (M21)', () => {
    const random = createSeededRandom(21)

    const delays = Array.from({ length: 1_000 }, () => nextDelayMs(full, 4, random) ?? -1)

    const tenths = new Set(delays.map((delay) => Math.floor(delay / 800)))
    expect(tenths.size).toBeGreaterThanOrEqual(10)
    expect(Math.max(...delays)).toBeLessThanOrEqual(8_000)
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(50)
  })

  it('never waits longer than the horizon says, whatever chance does (M21)', () => {
    const policies = fc.record({
      attempts: fc.integer({ min: 1, max: 12 }),
      first: fc.integer({ min: 0, max: 5_000 }),
      factor: fc.double({ min: 1, max: 10, noNaN: true }),
      max: fc.integer({ min: 5_000, max: 3_600_000 }),
      jitter: fc.constantFrom('full' as const, 'none' as const),
    })
    fc.assert(
      fc.property(policies, fc.integer({ min: 0 }), (declared, seed) => {
        const policy = resolveRetryPolicy(declared, 'retry')
        const random = createSeededRandom(seed)
        let waitedMs = 0
        let attempts = 1
        for (;;) {
          const delayMs = nextDelayMs(policy, attempts, random)
          if (delayMs === undefined) break
          expect(Number.isInteger(delayMs)).toBe(true)
          expect(delayMs).toBeLessThanOrEqual(declared.max)
          waitedMs += delayMs
          attempts += 1
        }
        expect(attempts).toBe(declared.attempts)
        expect(waitedMs).toBeLessThanOrEqual(retryHorizonMs(policy))
      }),
    )
  })

  it('adds up to the horizon exactly without jitter', () => {
    const delays = [1, 2, 3, 4, 5].map((done) => nextDelayMs(exact, done, lowest) ?? 0)

    expect(delays.reduce((sum, delay) => sum + delay, 0)).toBe(retryHorizonMs(exact))
    expect(retryHorizonMs(exact)).toBe(31_000)
  })
})

describe('describeRetryPolicy', () => {
  it.each<[RetryPolicy, string]>([
    [{ attempts: 1, first: '1s', max: '1s' }, '1 attempt, no retry'],
    [VALID, '6 attempts, delays up to 1s, 2s, 4s, 8s, 16s, given up within 31s'],
    [
      { attempts: 4, first: 0, max: '1s', jitter: 'none' },
      '4 attempts, delays of exactly at once, 1s, 1 more up to 1s, given up within 2s',
    ],
    [
      { attempts: 30, first: '1s', max: '1h' },
      '30 attempts, delays up to 1s, 2s, 4s, 8s, 16s, 32s, 23 more up to 1h, given up within 18.14h',
    ],
  ])('writes %o as a sentence', (policy, sentence) => {
    expect(describeRetryPolicy(resolveRetryPolicy(policy, 'retry'))).toBe(sentence)
  })
})
