import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type MetricDefinition, METRICS } from '../../src/observe/index.ts'
import { METRIC_NOTES } from './metric-notes.ts'
import { GENERATED, tableCell, withoutNumbers } from './page-text.ts'

/** One section for each metric, under the name that a scraper sees. */
export const renderMetricPage = (
  definitions: readonly MetricDefinition[],
  unrecorded: ReadonlySet<string>,
): string => {
  const lines = [
    '# Metrics',
    '',
    GENERATED,
    '',
    ...INTRODUCTION,
    '',
    '| Metric | Type | What it says |',
    '|---|---|---|',
    ...definitions.map(
      ({ name, type, help }) =>
        `| [${name}](#${name}) | ${type} | ${tableCell(withoutNumbers(help))} |`,
    ),
    '',
    ...definitions.flatMap((definition) =>
      renderMetric(definition, unrecorded.has(definition.name)),
    ),
  ]
  return `${lines.join('\n').trimEnd()}\n`
}

const INTRODUCTION = [
  '`GET /metrics` of the management listener answers OpenMetrics 1.0 text. Names, types, labels and',
  'units are API: they change only with a major version. Label values are names from your declarations',
  'and the fixed words below, never anything out of a message. What to watch, and at which value to',
  'call somebody: [monitor and alert](../how-to/monitor-and-alert.md).',
  '',
  '- A **counter** `x` is exposed as `x_total` and starts at 0 with the process.',
  '- A **histogram** `x` is exposed as `x_bucket`, `x_count` and `x_sum`; the bounds shown are 1, 2 and 5',
  '  of each power of ten from 0.1 ms to a day.',
  '- A metric has at most 2 000 series; what comes beyond is counted under the label value `other`.',
]

function renderMetric(definition: MetricDefinition, isUnrecorded: boolean): readonly string[] {
  const { name, type, help, unit, labels } = definition
  const note = METRIC_NOTES[name]
  const facts = [
    type,
    unit === '' ? 'no unit' : `in ${unit === 'ratio' ? 'shares from 0 to 1' : unit}`,
    labels.length === 0
      ? 'no labels'
      : `labels: ${labels.map((label) => `\`${label}\``).join(', ')}`,
  ]
  return [
    `## ${name}`,
    '',
    withoutNumbers(help),
    '',
    facts.join(' · '),
    '',
    ...(note === undefined ? [] : [note.trim(), '']),
    ...(isUnrecorded ? ['Named, and not recorded in this release.', ''] : []),
  ]
}

/** Metrics that have a name and that no code records: the page must not promise them. */
export const readUnrecorded = (root: string): ReadonlySet<string> => {
  const text = globSync('src/**/*.ts', { cwd: root })
    .filter((path) => !/\.test\.ts$|metric-names\.ts$/.test(path))
    .map((path) => readFileSync(join(root, path), 'utf8'))
    .join('\n')
  const isUsed = (key: string): boolean =>
    new RegExp(`METRICS\\.${key}\\b`).test(text) ||
    // Looked up by its key, where one function serves several.
    (text.includes('METRICS[name]') && text.includes(`'${key}'`))
  const entries: readonly (readonly [string, MetricDefinition])[] = Object.entries(METRICS)
  return new Set(entries.filter(([key]) => !isUsed(key)).map(([, { name }]) => name))
}
