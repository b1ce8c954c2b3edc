import { type HistogramSnapshot, METRICS, type Metrics, quantileOf } from '../observe/index.ts'

/** Sum of the points of a counter whose labels include the given ones. */
export function counterOf(
  metrics: Metrics,
  name: string,
  labels: Readonly<Record<string, string>>,
): number {
  const definition = Object.values(METRICS).find((one) => one.name === name)
  const family = definition && metrics.read(definition)
  if (family?.kind !== 'number') return 0
  return family.points
    .filter((point) => Object.entries(labels).every(([key, value]) => point.labels[key] === value))
    .reduce((total, point) => total + point.value, 0)
}

export function snapshotOf(
  metrics: Metrics,
  name: string,
  consumer: string,
): HistogramSnapshot | undefined {
  const definition = Object.values(METRICS).find((one) => one.name === name)
  const family = definition && metrics.read(definition)
  if (family?.kind !== 'histogram') return undefined
  return family.points.find((point) => point.labels['consumer'] === consumer)?.histogram
}

export const quantileMs = (
  snapshot: HistogramSnapshot | undefined,
  quantile: number,
): number | null => {
  const seconds = snapshot && quantileOf(snapshot, quantile)
  return seconds === undefined ? null : Math.round(seconds * 100_000) / 100
}
