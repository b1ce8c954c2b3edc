import { describe, expect, it } from 'vitest'
import { createHealth, type Health } from './health-figures.ts'
import { METRICS } from './metric-names.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { renderOpenMetrics } from './render-open-metrics.ts'

interface Bench {
  readonly metrics: Metrics
  readonly health: Health
  pass(ms: number): void
}

const bench = (): Bench => {
  let nowMs = 1_000
  const clock = { now: () => nowMs, monotonicMs: () => nowMs }
  const metrics = createMetrics(clock)
  const health = createHealth({ metrics, clock, windowMs: 60_000 })
  return {
    metrics,
    health,
    pass: (ms) => {
      nowMs += ms
    },
  }
}

describe('createHealth', () => {
  it('knows no ratio when nothing happened', () => {
    expect(bench().health.figures()).toEqual({
      windowMs: 0,
      duplicateRatio: undefined,
      deadLetters: 0,
      contractMismatchRatio: undefined,
      latencyMsP50: undefined,
      latencyMsP95: undefined,
      latencyMsP99: undefined,
      correlationRatio: undefined,
    })
  })

  it('computes the five figures from the counters', () => {
    const { metrics, health, pass } = bench()
    metrics.counter(METRICS.accepted).with({ webhook: 'acme' }).add(6)
    metrics.counter(METRICS.duplicates).with({ webhook: 'acme', kind: 'repeat' }).add(1)
    metrics.counter(METRICS.duplicates).with({ webhook: 'other-shop', kind: 'mismatch' }).add(1)
    metrics.counter(METRICS.invalid).with({ webhook: 'acme', reason: 'schema' }).add(2)
    metrics.counter(METRICS.contractMismatches).with({ webhook: 'acme', reason: 'schema' }).add(2)
    metrics.counter(METRICS.appended).with({ channel: 'orders' }).add(8)
    metrics.counter(METRICS.correlated).with({ channel: 'orders' }).add(6)
    metrics.gauge(METRICS.deadLettersOpen).with({ consumer: 'finance', stage: 'handler' }).set(3)
    metrics.gauge(METRICS.deadLettersOpen).with({ consumer: 'warehouse', stage: 'handler' }).set(1)
    for (const consumer of ['finance', 'warehouse']) {
      const latency = metrics.histogram(METRICS.endToEndLatency).with({ consumer })
      for (let index = 0; index < 49; index++) latency.record(0.01)
      latency.record(2)
    }
    pass(5_000)

    const figures = health.figures()

    expect(figures).toMatchObject({
      windowMs: 5_000,
      duplicateRatio: 0.25,
      deadLetters: 4,
      contractMismatchRatio: 0.2,
      correlationRatio: 0.75,
    })
    expect(figures.latencyMsP50).toBeCloseTo(10, 0)
    expect(figures.latencyMsP95).toBeCloseTo(10, 0)
    expect(figures.latencyMsP99).toBeGreaterThan(1_800)
  })

  it('forgets what is older than the window', () => {
    const { metrics, health, pass } = bench()
    const accepted = metrics.counter(METRICS.accepted).with({ webhook: 'acme' })
    const repeats = metrics.counter(METRICS.duplicates).with({ webhook: 'acme', kind: 'repeat' })
    repeats.add(100)
    accepted.add(100)

    for (let step = 0; step < 30; step++) {
      pass(5_000)
      health.figures()
    }
    accepted.add(10)

    expect(health.figures()).toMatchObject({ duplicateRatio: 0 })
    expect(health.figures().windowMs).toBeGreaterThanOrEqual(60_000)
    expect(health.figures().windowMs).toBeLessThanOrEqual(70_000)
  })

  it('covers the time since the last answer when nobody asked for long, and says so', () => {
    const { metrics, health, pass } = bench()
    pass(3_600_000)
    metrics.counter(METRICS.accepted).with({ webhook: 'acme' }).add()

    expect(health.figures()).toMatchObject({ windowMs: 3_600_000, duplicateRatio: 0 })
  })

  it('publishes all five as gauges, also when idle', () => {
    const { metrics } = bench()

    const text = renderOpenMetrics(metrics.collect())

    expect(text).toContain('\njunctura_health_duplicate_ratio 0\n')
    expect(text).toContain('\njunctura_health_dead_letters 0\n')
    expect(text).toContain('\njunctura_health_contract_mismatch_ratio 0\n')
    expect(text).toContain('\njunctura_health_consumer_latency_seconds{percentile="p99"} 0\n')
    expect(text).toContain('\njunctura_health_correlation_coverage_ratio 1\n')
  })
})
