/**
 * One fixed set of log-linear buckets for everything that is measured: within each power of ten
 * the steps are equal, so an estimate is never further off than a tenth of its value. From 10 µs
 * to 12 days for seconds; the same set serves counts of things. Fixed buckets can be added over
 * consumers, processes and time, which quantiles cannot.
 */
const STEPS_PER_DECADE: readonly number[] = [
  ...steps(10, 20, 1),
  ...steps(20, 50, 2.5),
  ...steps(50, 100, 5),
]

const SMALLEST_EXPONENT = -5
const LARGEST_EXPONENT = 6

function steps(from: number, to: number, by: number): number[] {
  const values: number[] = []
  for (let value = from; value < to; value += by) values.push(value)
  return values
}

/** Upper bounds, inclusive, ascending; one more bucket takes what is above the last. */
export const BUCKET_BOUNDS: Float64Array = Float64Array.from(allBounds())

function allBounds(): number[] {
  const bounds: number[] = []
  for (let exponent = SMALLEST_EXPONENT; exponent < LARGEST_EXPONENT; exponent++) {
    // Through text, so that a bound is the nearest double to its decimal and `le` reads cleanly.
    for (const step of STEPS_PER_DECADE) bounds.push(Number(`${step}e${exponent - 1}`))
  }
  bounds.push(Number(`1e${LARGEST_EXPONENT}`))
  return bounds
}

/** What a histogram held at one moment. Plain data, never changed. */
export interface HistogramSnapshot {
  /** One per bucket, not cumulative; the last is above every bound. */
  readonly counts: readonly number[]
  readonly count: number
  readonly sum: number
}

export const EMPTY_HISTOGRAM: HistogramSnapshot = {
  counts: Array.from({ length: BUCKET_BOUNDS.length + 1 }, () => 0),
  count: 0,
  sum: 0,
}

/** The index of the bucket that `value` belongs to. */
export const bucketOf = (value: number): number => {
  let low = 0
  let high = BUCKET_BOUNDS.length
  while (low < high) {
    const middle = (low + high) >>> 1
    // The search stays inside the array, so the bound is always there.
    if (value <= (BUCKET_BOUNDS[middle] ?? Infinity)) high = middle
    else low = middle + 1
  }
  return low
}

/** All of them together, as if one histogram had measured everything. */
export const mergeHistograms = (snapshots: Iterable<HistogramSnapshot>): HistogramSnapshot => {
  const counts = [...EMPTY_HISTOGRAM.counts]
  let count = 0
  let sum = 0
  for (const snapshot of snapshots) {
    snapshot.counts.forEach((inBucket, index) => (counts[index] = (counts[index] ?? 0) + inBucket))
    count += snapshot.count
    sum += snapshot.sum
  }
  return { counts, count, sum }
}

/** What was measured after `earlier` was taken. */
export const histogramSince = (
  later: HistogramSnapshot,
  earlier: HistogramSnapshot,
): HistogramSnapshot => ({
  counts: later.counts.map((inBucket, index) => inBucket - (earlier.counts[index] ?? 0)),
  count: later.count - earlier.count,
  sum: later.sum - earlier.sum,
})

/**
 * The value that the share `quantile` (0 to 1) of all measurements does not exceed, estimated
 * evenly inside its bucket; undefined when nothing was measured. What is above the last bound
 * counts as the last bound.
 */
export const quantileOf = (snapshot: HistogramSnapshot, quantile: number): number | undefined => {
  if (snapshot.count === 0) return undefined
  const rank = Math.min(1, Math.max(0, quantile)) * snapshot.count
  let below = 0
  for (const [index, inBucket] of snapshot.counts.entries()) {
    if (inBucket > 0 && below + inBucket >= rank) {
      const lower = BUCKET_BOUNDS[index - 1] ?? 0
      const upper = BUCKET_BOUNDS[index] ?? lower
      return lower + ((upper - lower) * (rank - below)) / inBucket
    }
    below += inBucket
  }
  return BUCKET_BOUNDS.at(-1)
}
