import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { VENDOR_SCHEMES } from '../src/contract/index.ts'
import { ERROR_CODES, LIMITS } from '../src/kernel/index.ts'
import { metricDefinitions } from '../src/observe/index.ts'
import { renderErrorPage } from './docs/error-page.ts'
import { renderLimitPage } from './docs/limit-page.ts'
import { readUnrecorded, renderMetricPage } from './docs/metric-page.ts'
import { renderSchemePage } from './docs/scheme-page.ts'

/** A reference page whose truth is in the code. Written by this tool, never by hand. */
export interface GeneratedPage {
  readonly path: string
  render(root: string): string
}

export const GENERATED_PAGES: readonly GeneratedPage[] = [
  { path: 'docs/reference/errors.md', render: () => renderErrorPage(ERROR_CODES) },
  {
    path: 'docs/reference/limits.md',
    render: (root) =>
      renderLimitPage(LIMITS, readFileSync(join(root, 'src/kernel/limits.ts'), 'utf8')),
  },
  {
    path: 'docs/reference/metrics.md',
    render: (root) => renderMetricPage(metricDefinitions(), readUnrecorded(root)),
  },
  { path: 'docs/reference/schemes.md', render: () => renderSchemePage(VENDOR_SCHEMES) },
]

/** The pages that differ from the code, each with what to do. */
export const stalePages = (root: string): readonly string[] =>
  GENERATED_PAGES.filter(({ path, render }) => readIfThere(join(root, path)) !== render(root)).map(
    ({ path }) => `${path} differs from the code: run node tools/docs.ts`,
  )

const readIfThere = (path: string): string => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // A page that is missing differs from what it should be, which is all that is asked.
    return ''
  }
}

if (import.meta.main) {
  const root = dirname(import.meta.dirname)
  const isCheck = process.argv.includes('--check')
  if (!isCheck) {
    for (const { path, render } of GENERATED_PAGES) writeFileSync(join(root, path), render(root))
  }
  const stale = stalePages(root)
  for (const problem of stale) process.stderr.write(`${problem}\n`)
  process.stdout.write(`docs: ${GENERATED_PAGES.length} generated pages, ${stale.length} stale\n`)
  process.exitCode = stale.length === 0 ? 0 : 1
}
