import type { Clock } from '../kernel/index.ts'
import {
  EMPTY_HISTOGRAM,
  type HistogramSnapshot,
  histogramSince,
  mergeHistograms,
  quantileOf,
} from './histogram.ts'
import { METRICS } from './metric-names.ts'
import type { MetricDefinition, Metrics } from './metrics.ts'

/**
 * The five figures that say whether a boundary is well. All but the dead letters are about a
 * recent window; `windowMs` says how much time the answer covers. Undefined: nothing happened.
 */
export interface HealthFigures {
  readonly windowMs: number
  /** Repeats among valid requests, 0 to 1. */
  readonly duplicateRatio: number | undefined
  /** Dead letters that nobody has dealt with yet. */
  readonly deadLetters: number
  /** Broken contracts among verified requests, 0 to 1. */
  readonly contractMismatchRatio: number | undefined
  /** Receipt to done over all consumers, in milliseconds. */
  readonly latencyMsP50: number | undefined
  readonly latencyMsP95: number | undefined
  readonly latencyMsP99: number | undefined
  /** Envelopes with a correlation id that their origin gave, 0 to 1. */
  readonly correlationRatio: number | undefined
}

export interface HealthOptions {
  readonly metrics: Metrics
  readonly clock: Pick<Clock, 'monotonicMs'>
  /** @default 900_000 (15 min) */
  readonly windowMs?: number
}

export interface Health {
  figures(): HealthFigures
}

const WINDOW_MS = 900_000
/** Samples per window; the window is right to within one of these parts. */
const SAMPLES = 15

/**
 * Computes the health figures from the counters and publishes them as gauges. It has no timer: it
 * samples when asked. When nobody asked for longer than the window, the next answer covers the
 * time since the last one and says so. The gauges read 0 (coverage 1) when nothing happened.
 */
export const createHealth = (options: HealthOptions): Health => {
  const { metrics, clock, windowMs = WINDOW_MS } = options
  const samples: Sample[] = [takeSample(metrics, clock.monotonicMs())]

  const figures = (): HealthFigures => {
    const now = takeSample(metrics, clock.monotonicMs())
    // The oldest sample that is no younger than the window, or else the oldest there is.
    while (samples[1] !== undefined && now.monotonicMs - samples[1].monotonicMs >= windowMs) {
      samples.shift()
    }
    const base = samples[0] ?? now
    const newest = samples.at(-1) ?? now
    if (now.monotonicMs - newest.monotonicMs >= windowMs / SAMPLES) samples.push(now)
    return figuresBetween(base, now, totalOf(metrics, METRICS.deadLettersOpen))
  }

  publish(metrics, figures)
  return { figures }
}

function publish(metrics: Metrics, figures: () => HealthFigures): void {
  const single = (value: number | undefined, idle = 0) => [{ labels: {}, value: value ?? idle }]
  metrics.observe(METRICS.duplicateRate, () => single(figures().duplicateRatio))
  metrics.observe(METRICS.deadLetterVolume, () => single(figures().deadLetters))
  metrics.observe(METRICS.contractMismatchRate, () => single(figures().contractMismatchRatio))
  metrics.observe(METRICS.consumerLatency, () => {
    const { latencyMsP50, latencyMsP95, latencyMsP99 } = figures()
    return [
      { labels: { percentile: 'p50' }, value: (latencyMsP50 ?? 0) / 1_000 },
      { labels: { percentile: 'p95' }, value: (latencyMsP95 ?? 0) / 1_000 },
      { labels: { percentile: 'p99' }, value: (latencyMsP99 ?? 0) / 1_000 },
    ]
  })
  metrics.observe(METRICS.correlationCoverage, () => single(figures().correlationRatio, 1))
}

interface Sample {
  readonly monotonicMs: number
  readonly accepted: number
  readonly duplicates: number
  readonly invalid: number
  readonly mismatches: number
  readonly appended: number
  readonly correlated: number
  readonly latency: HistogramSnapshot
}

function takeSample(metrics: Metrics, monotonicMs: number): Sample {
  return {
    monotonicMs,
    accepted: totalOf(metrics, METRICS.accepted),
    duplicates: totalOf(metrics, METRICS.duplicates),
    invalid: totalOf(metrics, METRICS.invalid),
    mismatches: totalOf(metrics, METRICS.contractMismatches),
    appended: totalOf(metrics, METRICS.appended),
    correlated: totalOf(metrics, METRICS.correlated),
    latency: histogramOf(metrics, METRICS.endToEndLatency),
  }
}

function figuresBetween(base: Sample, now: Sample, deadLetters: number): HealthFigures {
  const accepted = now.accepted - base.accepted
  const duplicates = now.duplicates - base.duplicates
  const verified = accepted + duplicates + (now.invalid - base.invalid)
  const latency = histogramSince(now.latency, base.latency)
  return {
    windowMs: now.monotonicMs - base.monotonicMs,
    duplicateRatio: ratio(duplicates, accepted + duplicates),
    deadLetters,
    contractMismatchRatio: ratio(now.mismatches - base.mismatches, verified),
    latencyMsP50: milliseconds(quantileOf(latency, 0.5)),
    latencyMsP95: milliseconds(quantileOf(latency, 0.95)),
    latencyMsP99: milliseconds(quantileOf(latency, 0.99)),
    correlationRatio: ratio(now.correlated - base.correlated, now.appended - base.appended),
  }
}

const ratio = (part: number, whole: number): number | undefined =>
  whole === 0 ? undefined : part / whole

const milliseconds = (seconds: number | undefined): number | undefined =>
  seconds === undefined ? undefined : seconds * 1_000

/** The sum over all series of a counter or gauge. */
const totalOf = (metrics: Metrics, definition: MetricDefinition): number => {
  const family = metrics.read(definition)
  if (family.kind === 'histogram') return 0
  return family.points.reduce((total, point) => total + point.value, 0)
}

/** All series of a histogram in one; empty when nothing was recorded. */
export const histogramOf = (metrics: Metrics, definition: MetricDefinition): HistogramSnapshot => {
  const family = metrics.read(definition)
  if (family.kind === 'number') return EMPTY_HISTOGRAM
  return mergeHistograms(family.points.map((point) => point.histogram))
}
