import { assert, type Clock, LIMITS } from '../kernel/index.ts'
import { BUCKET_BOUNDS, bucketOf, type HistogramSnapshot } from './histogram.ts'

/** One public metric. The list is in metric-names.ts; names and labels are API. */
export interface MetricDefinition {
  /** Without `_total`, `_bucket` and so on; ends in the unit when there is one. */
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly unit: 'seconds' | 'bytes' | 'ratio' | ''
  readonly labels: readonly string[]
}

/** A value for each label of the definition, and for no other. */
export type MetricLabels<D extends MetricDefinition = MetricDefinition> = {
  readonly [Label in D['labels'][number]]: string
}

/**
 * Hands out the series of one metric. Ask once for a pair of labels and keep the answer: using it
 * is an addition to a number. Label values come from declarations, never from payloads (F57).
 * Past 2 000 series, every further one is the series whose labels are all `other` (F97).
 */
export interface Metric<D extends MetricDefinition, Series> {
  readonly definition: D
  with(labels: MetricLabels<D>): Series
}

export interface CounterSeries {
  /** Adds `amount`, 1 when left out. @throws JUNCTURA_INVARIANT when it is negative or NaN. */
  add(amount?: number): void
  readonly value: number
}

export interface GaugeSeries {
  set(value: number): void
  add(amount: number): void
  readonly value: number
}

export interface HistogramSeries {
  /**
   * Records one measurement, in the unit of the definition. Negative and NaN count as 0: a wall
   * clock that steps back makes a latency negative (F35), and the measurement must not be lost.
   */
  record(value: number): void
  snapshot(): HistogramSnapshot
}

/** One reading of an observed gauge. */
export interface GaugeReading<D extends MetricDefinition = MetricDefinition> {
  readonly labels: MetricLabels<D>
  readonly value: number
}

export interface NumberPoint {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
  readonly createdMs: number
}

export interface HistogramPoint {
  readonly labels: Readonly<Record<string, string>>
  readonly histogram: HistogramSnapshot
  readonly createdMs: number
}

export type MetricFamily =
  | {
      readonly kind: 'number'
      readonly definition: MetricDefinition
      readonly points: readonly NumberPoint[]
    }
  | {
      readonly kind: 'histogram'
      readonly definition: MetricDefinition
      readonly points: readonly HistogramPoint[]
    }

/**
 * All numbers of one process. Asking twice for a metric gives the same one.
 *
 * @throws JUNCTURA_INVARIANT when two definitions share a name.
 */
export interface Metrics {
  counter<D extends MetricDefinition>(definition: D): Metric<D, CounterSeries>
  gauge<D extends MetricDefinition>(definition: D): Metric<D, GaugeSeries>
  histogram<D extends MetricDefinition>(definition: D): Metric<D, HistogramSeries>
  /**
   * A gauge that is read when somebody looks. `read` must answer from memory, at once: looking at
   * metrics may not load the store (M37). Past 2 000 readings `other` holds the highest of the
   * rest. A `read` that throws leaves the metric out of that look and nothing else.
   */
  observe<D extends MetricDefinition>(definition: D, read: () => Iterable<GaugeReading<D>>): void
  /** Everything now, in the order of first use. */
  collect(): readonly MetricFamily[]
  /** The family of one definition now; without points when nothing was recorded. */
  read(definition: MetricDefinition): MetricFamily
}

/** The label value that stands for everything beyond the cap. */
const OTHER = 'other'

export const createMetrics = (clock: Pick<Clock, 'now'>): Metrics => {
  const families = new Map<string, Family>()
  const counters = new Map<string, SeriesTable<CounterSeries>>()
  const gauges = new Map<string, SeriesTable<GaugeSeries>>()
  const histograms = new Map<string, SeriesTable<HistogramSeries>>()

  const add = (definition: MetricDefinition, collect: () => MetricFamily): void => {
    assert(!families.has(definition.name), `metric ${definition.name} is defined once`)
    families.set(definition.name, { definition, collect })
  }
  const numbers = (
    definition: MetricDefinition,
    table: SeriesTable<{ readonly value: number }>,
  ): void =>
    add(definition, () => ({
      kind: 'number',
      definition,
      points: table.entries().map(({ series, ...rest }) => ({ ...rest, value: series.value })),
    }))

  return {
    counter: (definition) => {
      assert(definition.type === 'counter', `${definition.name} is a counter`)
      let table = counters.get(definition.name)
      if (table === undefined) {
        table = createSeriesTable(definition, clock, counterSeries)
        numbers(definition, table)
        counters.set(definition.name, table)
      }
      return bind(definition, table)
    },
    gauge: (definition) => {
      assert(definition.type === 'gauge', `${definition.name} is a gauge`)
      let table = gauges.get(definition.name)
      if (table === undefined) {
        table = createSeriesTable(definition, clock, gaugeSeries)
        numbers(definition, table)
        gauges.set(definition.name, table)
      }
      return bind(definition, table)
    },
    histogram: (definition) => {
      assert(definition.type === 'histogram', `${definition.name} is a histogram`)
      const known = histograms.get(definition.name)
      if (known !== undefined) return bind(definition, known)
      const table = createSeriesTable(definition, clock, histogramSeries)
      add(definition, () => ({
        kind: 'histogram',
        definition,
        points: table
          .entries()
          .map(({ series, ...rest }) => ({ ...rest, histogram: series.snapshot() })),
      }))
      histograms.set(definition.name, table)
      return bind(definition, table)
    },
    observe: (definition, read) => {
      assert(definition.type === 'gauge', `${definition.name} is a gauge`)
      const createdMs = clock.now()
      add(definition, () => ({
        kind: 'number',
        definition,
        points: readPoints(definition, read, createdMs),
      }))
    },
    collect: () => [...families.values()].map((family) => family.collect()),
    read: (definition) => families.get(definition.name)?.collect() ?? emptyFamily(definition),
  }
}

interface Family {
  readonly definition: MetricDefinition
  readonly collect: () => MetricFamily
}

interface SeriesTable<Series> {
  readonly definition: MetricDefinition
  with(labels: Labels): Series
  entries(): readonly SeriesEntry<Series>[]
}

interface SeriesEntry<Series> {
  readonly labels: Labels
  readonly createdMs: number
  readonly series: Series
}

type Labels = Readonly<Record<string, string>>

function bind<D extends MetricDefinition, Series>(
  definition: D,
  table: SeriesTable<Series>,
): Metric<D, Series> {
  assert(table.definition === definition, `metric ${definition.name} is defined once`)
  return { definition, with: (labels) => table.with(labels) }
}

function createSeriesTable<Series>(
  definition: MetricDefinition,
  clock: Pick<Clock, 'now'>,
  create: () => Series,
): SeriesTable<Series> {
  const entries = new Map<string, SeriesEntry<Series>>()
  const at = (labels: Labels): Series => {
    const key = seriesKey(definition, labels)
    const known = entries.get(key)
    if (known !== undefined) return known.series
    const isFull = entries.size >= LIMITS.metricSeriesMax
    if (isFull && key !== seriesKey(definition, otherLabels(definition))) {
      return at(otherLabels(definition))
    }
    const series = create()
    entries.set(key, { labels: ownLabels(definition, labels), createdMs: clock.now(), series })
    return series
  }
  return { definition, with: at, entries: () => [...entries.values()] }
}

/** Values in the order of the definition, so that the order in which a caller writes is nothing. */
function seriesKey(definition: MetricDefinition, labels: Labels): string {
  return definition.labels.map((label) => labelValue(labels[label])).join('\u0000')
}

function ownLabels(definition: MetricDefinition, labels: Labels): Labels {
  return Object.fromEntries(
    definition.labels.map((label) => [label, labelValue(labels[label])] as const),
  )
}

function labelValue(value: string | undefined): string {
  // Half a character at the cut would be invalid UTF-8 for the reader.
  return (value ?? '').slice(0, LIMITS.metricLabelCharsMax).replace(/[\uD800-\uDBFF]$/, '')
}

function otherLabels(definition: MetricDefinition): Labels {
  return Object.fromEntries(definition.labels.map((label) => [label, OTHER] as const))
}

function counterSeries(): CounterSeries {
  let value = 0
  return {
    add: (amount = 1) => {
      assert(amount >= 0, 'a counter only grows')
      value += amount
    },
    get value() {
      return value
    },
  }
}

function gaugeSeries(): GaugeSeries {
  let value = 0
  return {
    set: (next) => {
      value = next
    },
    add: (amount) => {
      value += amount
    },
    get value() {
      return value
    },
  }
}

function histogramSeries(): HistogramSeries {
  const counts = new Float64Array(BUCKET_BOUNDS.length + 1)
  let count = 0
  let sum = 0
  return {
    record: (value) => {
      const measured = value > 0 ? value : 0
      const bucket = bucketOf(measured)
      counts[bucket] = (counts[bucket] ?? 0) + 1
      count += 1
      sum += measured
    },
    snapshot: () => ({ counts: [...counts], count, sum }),
  }
}

function readPoints(
  definition: MetricDefinition,
  read: () => Iterable<GaugeReading>,
  createdMs: number,
): NumberPoint[] {
  const points = new Map<string, NumberPoint>()
  for (const { labels, value } of readAll(read)) {
    const isKnownOrFits =
      points.size < LIMITS.metricSeriesMax || points.has(seriesKey(definition, labels))
    const taken = isKnownOrFits ? ownLabels(definition, labels) : otherLabels(definition)
    const key = seriesKey(definition, taken)
    const before = isKnownOrFits ? undefined : points.get(key)?.value
    points.set(key, { labels: taken, value: Math.max(value, before ?? -Infinity), createdMs })
  }
  return [...points.values()]
}

function readAll(read: () => Iterable<GaugeReading>): readonly GaugeReading[] {
  try {
    return [...read()]
  } catch {
    // Whatever a reader throws: one broken gauge may not blind an operator to all the others.
    return []
  }
}

function emptyFamily(definition: MetricDefinition): MetricFamily {
  return definition.type === 'histogram'
    ? { kind: 'histogram', definition, points: [] }
    : { kind: 'number', definition, points: [] }
}
