import { dirname } from 'node:path'
import { checkBudget, settleBudget } from './tidy/budget.ts'
import type { Finding } from './tidy/finding.ts'
import { checkNames } from './tidy/names.ts'
import { checkPages, pagePaths } from './tidy/pages.ts'
import { checkLibraryManners, checkRealWorld } from './tidy/real-world.ts'
import { checkRooms } from './tidy/rooms.ts'
import { checkSizes } from './tidy/sizes.ts'
import { readSourceTree, type SourceTree } from './tidy/source-tree.ts'
import { checkTestManners } from './tidy/test-manners.ts'
import { checkVendors } from './tidy/vendors.ts'
import { checkWords } from './tidy/words.ts'

const CHECKS: readonly ((tree: SourceTree) => readonly Finding[])[] = [
  checkParse,
  checkRooms,
  checkVendors,
  checkRealWorld,
  checkLibraryManners,
  checkSizes,
  checkNames,
  checkTestManners,
  checkBudget,
  checkPages,
  checkWords,
]

export interface TidyReport {
  readonly modules: number
  readonly pages: number
  readonly findings: readonly Finding[]
}

/** Holds a tree against the house rules. `modules` is 0 when there was nothing to read. */
export const tidy = (root: string): TidyReport => {
  const tree = readSourceTree(root)
  return {
    modules: tree.modules.filter(({ path }) => path.startsWith('src/')).length,
    pages: pagePaths(tree).length,
    findings: CHECKS.flatMap((check) => check(tree)),
  }
}

/** A check that looked at nothing would pass for ever, so that counts as a failure. */
export const passes = (report: TidyReport): boolean =>
  report.modules > 0 && report.findings.length === 0

export const describeReport = (report: TidyReport): string => {
  const lines = report.findings.map(
    ({ path, line, rule, message }) => `${path}${line > 0 ? `:${line}` : ''} ${rule}: ${message}`,
  )
  lines.push(
    `tidy read ${report.modules} modules of src and ${report.pages} pages: ${report.findings.length} finding(s)`,
  )
  if (report.modules === 0) lines.push('tidy looked at nothing: is this the right folder?')
  return lines.join('\n')
}

function checkParse(tree: SourceTree): readonly Finding[] {
  return tree.modules.flatMap((module) =>
    module.problems.map((message) => ({
      path: module.path,
      line: 0,
      rule: 'parse' as const,
      message,
    })),
  )
}

if (import.meta.main) {
  const root = dirname(import.meta.dirname)
  if (process.argv.includes('--settle')) settleBudget(readSourceTree(root))
  const report = tidy(root)
  process.stdout.write(`${describeReport(report)}\n`)
  process.exitCode = passes(report) ? 0 : 1
}
