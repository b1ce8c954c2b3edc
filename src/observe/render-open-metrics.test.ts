import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { METRICS } from './metric-names.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { OPEN_METRICS_CONTENT_TYPE, renderOpenMetrics } from './render-open-metrics.ts'

const clock = { now: () => 1_700_000_000_123 }

const render = (record: (metrics: Metrics) => void): string => {
  const metrics = createMetrics(clock)
  record(metrics)
  return renderOpenMetrics(metrics.collect())
}

describe('renderOpenMetrics', () => {
  it('is a whole document when there is nothing to tell', () => {
    expect(render(() => undefined)).toBe('# EOF\n')
  })

  it('names its media type as OpenMetrics 1.0 does', () => {
    expect(OPEN_METRICS_CONTENT_TYPE).toBe(
      'application/openmetrics-text; version=1.0.0; charset=utf-8',
    )
  })

  it('writes counters with _total and _created', () => {
    const text = render((metrics) => {
      metrics.counter(METRICS.accepted).with({ webhook: 'acme' }).add(3)
    })

    expect(text).toBe(
      [
        '# TYPE junctura_ingress_accepted counter',
        '# HELP junctura_ingress_accepted Requests answered 202: verified, valid, new and durable.',
        'junctura_ingress_accepted_total{webhook="acme"} 3',
        'junctura_ingress_accepted_created{webhook="acme"} 1700000000.123',
        '# EOF',
        '',
      ].join('\n'),
    )
  })

  it('writes a unit, and gauges without labels as they are', () => {
    const text = render((metrics) => {
      metrics.gauge(METRICS.residentMemory).with({}).set(1.5)
    })

    expect(text).toContain('# UNIT junctura_resident_memory_bytes bytes\n')
    expect(text).toContain('\njunctura_resident_memory_bytes 1.5\n')
  })

  it.each([
    [Infinity, '+Inf'],
    [-Infinity, '-Inf'],
    [Number.NaN, 'NaN'],
    [1e21, '1e+21'],
    [-0.5, '-0.5'],
  ])('writes the number %d as %s', (value, text) => {
    const lines = render((metrics) => metrics.gauge(METRICS.ingressInFlight).with({}).set(value))

    expect(lines).toContain(`junctura_ingress_in_flight ${text}\n`)
  })

  it('writes bounds as canonical numbers, from 0.1 ms to a day and beyond', () => {
    const text = render((metrics) => {
      metrics.histogram(METRICS.commitDuration).with({}).record(0.0015)
    })

    const bounds = [...text.matchAll(/le="([^"]+)"/g)].map((match) => match[1])
    expect(bounds).toHaveLength(29)
    expect(bounds.slice(0, 5)).toEqual(['0.0001', '0.0002', '0.0005', '0.001', '0.002'])
    expect(bounds).toContain('1.0')
    expect(bounds.slice(-3)).toEqual(['50000.0', '100000.0', '+Inf'])
    expect(text).toContain('_bucket{le="0.001"} 0\n')
    expect(text).toContain('_bucket{le="0.002"} 1\n')
    expect(text).toContain('_bucket{le="+Inf"} 1\n')
  })

  it('lets no name of a webhook break out of its quotes or its line', () => {
    const text = render((metrics) => {
      metrics.counter(METRICS.accepted).with({ webhook: 'a"} 1\n# EOF\n\\' }).add()
    })

    expect(text).toContain('{webhook="a\\"} 1\\n# EOF\\n\\\\"} 1')
    expect(text.split('\n').filter((line) => line === '# EOF')).toHaveLength(1)
  })

  it('can be read back, whatever the labels and values are', () => {
    const labels = fc.string({ unit: 'grapheme', maxLength: 20 })
    const counts = fc.array(fc.tuple(labels, fc.integer({ min: 0, max: 1e9 })), { maxLength: 10 })
    const latencies = fc.array(fc.tuple(labels, fc.double({ min: 0, max: 1e7, noNaN: true })), {
      maxLength: 20,
    })
    fc.assert(
      fc.property(counts, latencies, (added, measured) => {
        const metrics = createMetrics(clock)
        const accepted = metrics.counter(METRICS.accepted)
        for (const [webhook, amount] of added) accepted.with({ webhook }).add(amount)
        const latency = metrics.histogram(METRICS.ingressLatency)
        for (const [webhook, seconds] of measured) latency.with({ webhook }).record(seconds)

        const families = parseOpenMetrics(renderOpenMetrics(metrics.collect()))

        for (const [webhook] of added) {
          const sample = families
            .get(METRICS.accepted.name)
            ?.samples.find(
              (one) => one.suffix === '_total' && one.labels.get('webhook') === webhook,
            )
          expect(sample?.value).toBe(accepted.with({ webhook }).value)
        }
        for (const [webhook] of measured) checkHistogram(families, webhook, measured)
      }),
      { numRuns: 25 },
    )
  })
})

function checkHistogram(
  families: ReadonlyMap<string, ParsedFamily>,
  webhook: string,
  measured: readonly (readonly [string, number])[],
): void {
  const samples = families
    .get(METRICS.ingressLatency.name)
    ?.samples.filter((sample) => sample.labels.get('webhook') === webhook)
  const buckets = samples?.filter((sample) => sample.suffix === '_bucket') ?? []
  const own = measured.filter(([name]) => name === webhook).map(([, seconds]) => seconds)
  for (const bucket of buckets) {
    const bound = Number(bucket.labels.get('le')?.replace('+Inf', 'Infinity'))
    expect(bucket.value).toBe(own.filter((seconds) => seconds <= bound).length)
  }
  expect(buckets.at(-1)?.labels.get('le')).toBe('+Inf')
  expect(samples?.find((sample) => sample.suffix === '_count')?.value).toBe(own.length)
  const sum = samples?.find((sample) => sample.suffix === '_sum')?.value
  expect(sum).toBeCloseTo(
    own.reduce((total, seconds) => total + seconds, 0),
    3,
  )
}

interface ParsedSample {
  readonly suffix: string
  readonly labels: ReadonlyMap<string, string>
  readonly value: number
}

interface ParsedFamily {
  readonly type: string
  readonly samples: ParsedSample[]
}

const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: ['_total', '_created'],
  gauge: [''],
  histogram: ['_bucket', '_count', '_sum', '_created'],
}

/** A strict reader of the part of the text format that has no timestamps and no exemplars. */
function parseOpenMetrics(text: string): Map<string, ParsedFamily> {
  const lines = text.split('\n')
  expect(lines.pop()).toBe('')
  expect(lines.pop()).toBe('# EOF')
  const families = new Map<string, ParsedFamily>()
  const seen = new Set<string>()
  let name = ''
  for (const line of lines) {
    const meta = /^# (TYPE|UNIT|HELP) ([a-z_:][a-z0-9_:]*) (.+)$/is.exec(line)
    if (meta !== null) {
      const [, keyword, metaName = '', rest = ''] = meta
      if (keyword === 'TYPE') {
        expect(families.has(metaName)).toBe(false)
        families.set(metaName, { type: rest, samples: [] })
        name = metaName
      }
      // All lines of a family stand together.
      expect(metaName).toBe(name)
      continue
    }
    const sample = /^([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? (\S+)$/is.exec(line)
    expect(sample, `not a sample: ${line}`).not.toBeNull()
    const [, sampleName = '', labelText = '', valueText = ''] = sample ?? []
    const family = families.get(name)
    expect(sampleName.startsWith(name)).toBe(true)
    const suffix = sampleName.slice(name.length)
    expect(SUFFIXES[family?.type ?? '']).toContain(suffix)
    expect(seen.has(`${sampleName}{${labelText}}`)).toBe(false)
    seen.add(`${sampleName}{${labelText}}`)
    const value = Number(valueText.replace('+Inf', 'Infinity'))
    family?.samples.push({ suffix, labels: parseLabels(labelText), value })
  }
  return families
}

function parseLabels(text: string): Map<string, string> {
  const labels = new Map<string, string>()
  const label = /([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/gy
  let end = 0
  for (const match of text.matchAll(label)) {
    const [whole, name = '', value = ''] = match
    expect(labels.has(name)).toBe(false)
    labels.set(
      name,
      value.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped)),
    )
    end = match.index + whole.length
  }
  expect(end).toBe(text.length)
  return labels
}
