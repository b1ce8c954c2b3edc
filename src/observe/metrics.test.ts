import { describe, expect, it } from 'vitest'
import { LIMITS } from '../kernel/index.ts'
import { METRICS, metricDefinitions } from './metric-names.ts'
import { createMetrics, type MetricDefinition } from './metrics.ts'

const clock = { now: () => 1_700_000_000_000 }

const byReason = {
  name: 'test_refused',
  type: 'counter',
  help: 'Refused.',
  unit: '',
  labels: ['webhook', 'reason'],
} as const

const depth = { name: 'test_depth', type: 'gauge', help: 'x', unit: '', labels: ['queue'] } as const

describe('createMetrics', () => {
  it('stops on a counter that would shrink', () => {
    const series = createMetrics(clock).counter(METRICS.accepted).with({ webhook: 'acme' })

    expect(() => series.add(-1)).toThrow(/only grows/)
    expect(() => series.add(Number.NaN)).toThrow(/only grows/)
    expect(series.value).toBe(0)
  })

  it('stops on two definitions with one name', () => {
    const metrics = createMetrics(clock)
    metrics.counter(byReason)
    metrics.observe(depth, () => [])

    expect(() => metrics.counter({ ...byReason, help: 'Else.' })).toThrow(/defined once/)
    expect(() => metrics.gauge(depth)).toThrow(/defined once/)
    expect(() => metrics.observe(depth, () => [])).toThrow(/defined once/)
  })

  it('stops on a metric used as another type than it is', () => {
    const metrics = createMetrics(clock)

    expect(() => metrics.gauge(METRICS.accepted)).toThrow(/is a gauge/)
    expect(() => metrics.counter(METRICS.lag)).toThrow(/is a counter/)
    expect(() => metrics.histogram(METRICS.lag)).toThrow(/is a histogram/)
    expect(() => metrics.observe(METRICS.accepted, () => [])).toThrow(/is a gauge/)
  })

  it('counts everything past the cap of series under other, and loses nothing (F97)', () => {
    const metrics = createMetrics(clock)
    const refused = metrics.counter(byReason)
    const extra = 50

    for (let index = 0; index < LIMITS.metricSeriesMax + extra; index++) {
      refused.with({ webhook: `tenant-${index}`, reason: 'signature' }).add()
    }

    const family = metrics.read(byReason)
    expect(family.points.length).toBe(LIMITS.metricSeriesMax + 1)
    expect(refused.with({ webhook: 'other', reason: 'other' }).value).toBe(extra)
    expect(refused.with({ webhook: 'tenant-0', reason: 'signature' }).value).toBe(1)
  })

  it('caps the readings of an observed gauge and keeps the highest of the rest (F97)', () => {
    const metrics = createMetrics(clock)
    const readings = Array.from({ length: LIMITS.metricSeriesMax + 3 }, (_, index) => ({
      labels: { queue: `q${index}` },
      value: index === LIMITS.metricSeriesMax + 1 ? 9_999 : 1,
    }))
    metrics.observe(depth, () => readings)

    const family = metrics.read(depth)

    expect(family.points.length).toBe(LIMITS.metricSeriesMax + 1)
    expect(family.points.at(-1)).toMatchObject({ labels: { queue: 'other' }, value: 9_999 })
  })

  it('goes on when the reader of one gauge throws', () => {
    const metrics = createMetrics(clock)
    metrics.observe(depth, () => {
      throw new Error('store is closed')
    })
    metrics.counter(byReason).with({ webhook: 'acme', reason: 'size' }).add()

    const [broken, whole] = metrics.collect()

    expect(broken?.points).toEqual([])
    expect(whole?.points.length).toBe(1)
  })

  it('cuts label values, and not in the middle of a character', () => {
    const metrics = createMetrics(clock)
    const long = `${'x'.repeat(LIMITS.metricLabelCharsMax - 1)}😀`

    metrics.counter(METRICS.accepted).with({ webhook: long }).add()

    const [point] = metrics.read(METRICS.accepted).points
    expect(point?.labels['webhook']).toBe('x'.repeat(LIMITS.metricLabelCharsMax - 1))
  })

  it('gives the same series for the same labels, in whatever order they are written', () => {
    const metrics = createMetrics(clock)

    metrics.counter(byReason).with({ webhook: 'acme', reason: 'size' }).add()
    metrics.counter(byReason).with({ reason: 'size', webhook: 'acme' }).add(2)

    expect(metrics.read(byReason).points).toEqual([
      { labels: { webhook: 'acme', reason: 'size' }, value: 3, createdMs: clock.now() },
    ])
  })

  it('does not confuse labels whose values run into each other', () => {
    const refused = createMetrics(clock).counter(byReason)

    refused.with({ webhook: 'a', reason: 'bc' }).add()

    expect(refused.with({ webhook: 'ab', reason: 'c' }).value).toBe(0)
  })

  it('sets and moves a gauge', () => {
    const series = createMetrics(clock).gauge(METRICS.inFlight).with({ consumer: 'finance' })

    series.set(5)
    series.add(2)
    series.add(-3)

    expect(series.value).toBe(4)
  })

  it('counts a latency that a backwards clock made negative as 0 (F35)', () => {
    const metrics = createMetrics(clock)
    const series = metrics.histogram(METRICS.endToEndLatency).with({ consumer: 'finance' })

    for (const value of [-3_600, Number.NaN, 0.5]) series.record(value)

    expect(series.snapshot()).toMatchObject({ count: 3, sum: 0.5 })
    expect(series.snapshot().counts[0]).toBe(2)
  })

  it('gives a snapshot that later measurements do not change', () => {
    const series = createMetrics(clock).histogram(METRICS.commitDuration).with({})
    series.record(1)

    const before = series.snapshot()
    series.record(1)

    expect(before.count).toBe(1)
    expect(before.counts.reduce((sum, count) => sum + count, 0)).toBe(1)
  })

  it('reads a metric that nobody used as empty', () => {
    const metrics = createMetrics(clock)

    expect(metrics.read(METRICS.accepted)).toMatchObject({ kind: 'number', points: [] })
    expect(metrics.read(METRICS.ingressLatency)).toMatchObject({ kind: 'histogram', points: [] })
    expect(metrics.collect()).toEqual([])
  })
})

describe('METRICS', () => {
  const definitions = metricDefinitions()
  const named = definitions.map((definition): [string, MetricDefinition] => [
    definition.name,
    definition,
  ])

  it.each(named)('%s keeps the naming rules', (name, definition) => {
    expect(name).toMatch(/^junctura_[a-z][a-z0-9_]*[a-z0-9]$/)
    // OpenMetrics appends or reserves these.
    expect(name).not.toMatch(/_(total|created|bucket|count|sum|info)$/)
    if (definition.unit !== '') expect(name.endsWith(`_${definition.unit}`)).toBe(true)
    expect(definition.help).toMatch(/^[A-Z].*\.$/)
    for (const label of definition.labels) expect(label).toMatch(/^(?!le$|quantile$)[a-z_]+$/)
    expect(new Set(definition.labels).size).toBe(definition.labels.length)
  })

  it('has no name twice, also not by what OpenMetrics appends', () => {
    const names = definitions.flatMap(({ name, type }) => {
      if (type === 'counter') return [name, `${name}_total`, `${name}_created`]
      if (type === 'gauge') return [name]
      return ['', '_bucket', '_count', '_sum', '_created'].map((suffix) => name + suffix)
    })

    expect(new Set(names).size).toBe(names.length)
  })

  it('measures the age of what waits, lag, retries and dead letters per consumer (M37)', () => {
    const { oldestPendingAge, lag, retriesScheduled, deadLetters } = METRICS
    for (const { labels } of [oldestPendingAge, lag, retriesScheduled, deadLetters]) {
      expect(labels).toContain('consumer')
    }
  })

  it('has a name for none of the things that could be personal (F57)', () => {
    const labels = new Set(definitions.flatMap((definition) => definition.labels))

    expect([...labels].sort()).toEqual([
      'broker',
      'channel',
      'consumer',
      'detail',
      'expectation',
      'kind',
      'model',
      'outbox',
      'outcome',
      'owner',
      'percentile',
      'reason',
      'replay',
      'saga',
      'schedule',
      'severity',
      'stage',
      'state',
      'step',
      'topic',
      'version',
      'webhook',
    ])
  })
})
