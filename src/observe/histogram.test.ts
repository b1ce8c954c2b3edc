import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  BUCKET_BOUNDS,
  bucketOf,
  EMPTY_HISTOGRAM,
  type HistogramSnapshot,
  histogramSince,
  mergeHistograms,
  quantileOf,
} from './histogram.ts'

const measure = (values: readonly number[]): HistogramSnapshot => {
  const counts = [...EMPTY_HISTOGRAM.counts]
  for (const value of values) counts[bucketOf(value)] = (counts[bucketOf(value)] ?? 0) + 1
  return { counts, count: values.length, sum: values.reduce((sum, value) => sum + value, 0) }
}

const latency = fc.double({ min: 1e-5, max: 1e6, noNaN: true })

describe('the buckets', () => {
  it('have growing bounds, each at most a tenth above the one before', () => {
    for (let index = 1; index < BUCKET_BOUNDS.length; index++) {
      const growth = (BUCKET_BOUNDS[index] ?? 0) / (BUCKET_BOUNDS[index - 1] ?? 1)
      expect(growth).toBeGreaterThan(1)
      expect(growth).toBeLessThanOrEqual(1.125 + 1e-9)
    }
  })

  it('contain the decimal bounds that people ask about', () => {
    for (const bound of [1e-4, 0.001, 0.002, 0.005, 0.01, 0.1, 0.25, 0.5, 1, 2, 5, 10, 60, 3_500]) {
      expect(BUCKET_BOUNDS).toContain(bound)
    }
  })

  it('take a value that is exactly a bound into the lower bucket', () => {
    for (const [index, bound] of BUCKET_BOUNDS.entries()) expect(bucketOf(bound)).toBe(index)
  })

  it('have a place for everything', () => {
    expect(bucketOf(0)).toBe(0)
    expect(bucketOf(1e9)).toBe(BUCKET_BOUNDS.length)
    fc.assert(
      fc.property(latency, (value) => {
        const index = bucketOf(value)
        expect(value).toBeLessThanOrEqual(BUCKET_BOUNDS[index] ?? Infinity)
        expect(value).toBeGreaterThan(BUCKET_BOUNDS[index - 1] ?? 0)
      }),
    )
  })
})

describe('quantileOf', () => {
  it('knows nothing when nothing was measured', () => {
    expect(quantileOf(EMPTY_HISTOGRAM, 0.5)).toBeUndefined()
  })

  it('gives the last bound for what is above all of them', () => {
    expect(quantileOf(measure([1e8]), 0.99)).toBe(1e6)
  })

  it('takes a share outside 0 to 1 as the nearest of the two', () => {
    const snapshot = measure([1, 2, 3])

    expect(quantileOf(snapshot, 7)).toBe(quantileOf(snapshot, 1))
    expect(quantileOf(snapshot, -1)).toBe(quantileOf(snapshot, 0))
  })

  it('is within one bucket of the exact answer', () => {
    const shares = fc.constantFrom(0.5, 0.95, 0.99, 1)
    fc.assert(
      fc.property(fc.array(latency, { minLength: 1, maxLength: 300 }), shares, (values, share) => {
        const sorted = [...values].sort((left, right) => left - right)
        const exact = sorted[Math.max(0, Math.ceil(share * values.length) - 1)] ?? 0

        const estimate = quantileOf(measure(values), share) ?? -1

        expect(estimate).toBeGreaterThanOrEqual(exact / 1.13)
        expect(estimate).toBeLessThanOrEqual(exact * 1.13)
      }),
    )
  })

  it('never falls when the share grows', () => {
    const snapshot = measure([0.001, 0.002, 0.002, 0.5, 0.7, 3, 3, 3, 90])

    const quantiles = [0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1].map(
      (share) => quantileOf(snapshot, share) ?? -1,
    )

    expect(quantiles).toEqual([...quantiles].sort((left, right) => left - right))
  })
})

describe('adding and taking away', () => {
  it('merges as if one histogram had measured everything', () => {
    fc.assert(
      fc.property(fc.array(latency), fc.array(latency), (left, right) => {
        const merged = mergeHistograms([measure(left), measure(right)])

        expect(merged.counts).toEqual(measure([...left, ...right]).counts)
        expect(merged.count).toBe(left.length + right.length)
      }),
    )
  })

  it('tells what was measured since', () => {
    const before = measure([1, 2])
    const after = measure([1, 2, 40])

    const since = histogramSince(after, before)

    expect(since).toMatchObject({ count: 1, sum: 40 })
    expect(since.counts[bucketOf(40)]).toBe(1)
  })
})
