import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Finding } from './finding.ts'
import { type AstNode, isNode, isTestPath, walk } from './source-module.ts'
import type { SourceTree } from './source-tree.ts'

/** Escapes from the type checker in `src/`, tests aside. */
export interface EscapeCounts {
  readonly any: number
  readonly as: number
  readonly nonNull: number
}

const BUDGET_PATH = 'tools/tidy-budget.json'

export const countEscapes = (tree: SourceTree): EscapeCounts => {
  const counts = { any: 0, as: 0, nonNull: 0 }
  for (const module of tree.modules) {
    if (!module.path.startsWith('src/') || isTestPath(module.path)) continue
    walk(module.program, (node) => {
      if (node.type === 'TSAnyKeyword') counts.any++
      if (node.type === 'TSNonNullExpression') counts.nonNull++
      if (isCast(node)) counts.as++
    })
  }
  return counts
}

/** The counts may only fall: more than the budget is a finding. */
export const checkBudget = (tree: SourceTree): readonly Finding[] => {
  const counts = countEscapes(tree)
  const budget = readBudget(tree.root)
  return (['any', 'as', 'nonNull'] as const)
    .filter((kind) => counts[kind] > budget[kind])
    .map((kind) => ({
      path: BUDGET_PATH,
      line: 0,
      rule: 'any-as-bang-budget' as const,
      message: `${counts[kind]} uses of "${kind}" in src, the budget is ${budget[kind]}: parse or narrow instead`,
    }))
}

/** Lowers the budget to what the tree holds today; never raises it. */
export const settleBudget = (tree: SourceTree): EscapeCounts => {
  const counts = countEscapes(tree)
  const budget = readBudget(tree.root)
  const settled = {
    any: Math.min(counts.any, budget.any),
    as: Math.min(counts.as, budget.as),
    nonNull: Math.min(counts.nonNull, budget.nonNull),
  }
  writeFileSync(join(tree.root, BUDGET_PATH), `${JSON.stringify(settled, undefined, 2)}\n`)
  return settled
}

/** Without a file there is no allowance at all. */
function readBudget(root: string): EscapeCounts {
  const path = join(root, BUDGET_PATH)
  const none = { any: 0, as: 0, nonNull: 0 }
  return existsSync(path) ? { ...none, ...JSON.parse(readFileSync(path, 'utf8')) } : none
}

/** `as const` narrows and claims nothing, so it is free. */
function isCast(node: AstNode): boolean {
  if (node.type === 'TSTypeAssertion') return true
  if (node.type !== 'TSAsExpression') return false
  const target = node['typeAnnotation']
  const name = isNode(target) && isNode(target['typeName']) ? target['typeName']['name'] : undefined
  return name !== 'const'
}
