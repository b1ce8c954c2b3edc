import { BUCKET_BOUNDS, type HistogramSnapshot } from './histogram.ts'
import type { HistogramPoint, MetricFamily, NumberPoint } from './metrics.ts'

/** The media type to answer with. */
export const OPEN_METRICS_CONTENT_TYPE =
  'application/openmetrics-text; version=1.0.0; charset=utf-8'

/**
 * Writes metrics as OpenMetrics 1.0 text, ending in `# EOF`. Histograms show the bounds 1, 2 and 5
 * of each power of ten from 0.1 ms to a day; the finer buckets between stay inside the process.
 *
 * @see OpenMetrics 1.0, sections "Text Format" and "Canonical Numbers".
 */
export const renderOpenMetrics = (families: Iterable<MetricFamily>): string => {
  const lines: string[] = []
  for (const family of families) {
    const { name, type, unit, help } = family.definition
    lines.push(`# TYPE ${name} ${type}`)
    if (unit !== '') lines.push(`# UNIT ${name} ${unit}`)
    lines.push(`# HELP ${name} ${escapeText(help)}`)
    if (family.kind === 'histogram') {
      for (const point of family.points) pushHistogram(lines, name, point)
    } else if (type === 'counter') {
      for (const point of family.points) pushCounter(lines, name, point)
    } else {
      for (const point of family.points) {
        lines.push(`${name}${labelSet(point.labels)} ${numberText(point.value)}`)
      }
    }
  }
  lines.push('# EOF', '')
  return lines.join('\n')
}

function pushCounter(lines: string[], name: string, point: NumberPoint): void {
  const labels = labelSet(point.labels)
  lines.push(`${name}_total${labels} ${numberText(point.value)}`)
  lines.push(`${name}_created${labels} ${point.createdMs / 1_000}`)
}

function pushHistogram(lines: string[], name: string, point: HistogramPoint): void {
  const { histogram, createdMs } = point
  const own = labelPairs(point.labels)
  for (const { le, cumulative } of shownBuckets(histogram)) {
    lines.push(`${name}_bucket{${[...own, `le="${le}"`].join(',')}} ${cumulative}`)
  }
  const labels = labelSet(point.labels)
  lines.push(`${name}_count${labels} ${histogram.count}`)
  lines.push(`${name}_sum${labels} ${numberText(histogram.sum)}`)
  lines.push(`${name}_created${labels} ${createdMs / 1_000}`)
}

const SHOWN_FROM = 1e-4
const SHOWN_TO = 1e5

/** Which buckets are shown, with the canonical text of their bound; fixed, as rates need it. */
const SHOWN: ReadonlyMap<number, string> = new Map(
  [...BUCKET_BOUNDS.entries()]
    .filter(([, bound]) => bound >= SHOWN_FROM && bound <= SHOWN_TO)
    .filter(([, bound]) => ['1', '2', '5'].includes(bound.toExponential().replace(/e.*/, '')))
    .map(([index, bound]) => [index, Number.isInteger(bound) ? `${bound}.0` : `${bound}`]),
)

function shownBuckets(histogram: HistogramSnapshot): { le: string; cumulative: number }[] {
  const shown: { le: string; cumulative: number }[] = []
  let cumulative = 0
  histogram.counts.forEach((inBucket, index) => {
    cumulative += inBucket
    const le = SHOWN.get(index)
    if (le !== undefined) shown.push({ le, cumulative })
  })
  shown.push({ le: '+Inf', cumulative })
  return shown
}

function labelSet(labels: Readonly<Record<string, string>>): string {
  const pairs = labelPairs(labels)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function labelPairs(labels: Readonly<Record<string, string>>): string[] {
  return Object.entries(labels).map(([name, value]) => `${name}="${escapeText(value)}"`)
}

/** One line stays one line, whatever a name holds. */
function escapeText(text: string): string {
  return text.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`))
}

function numberText(value: number): string {
  if (value === Infinity) return '+Inf'
  if (value === -Infinity) return '-Inf'
  return `${value}`
}
