import type { Finding } from './finding.ts'
import { dottedName, isTestPath, type SourceModule, walk } from './source-module.ts'
import type { SourceTree } from './source-tree.ts'

const SKIP = /^(it|test|describe|suite)\.(skip|skipIf|todo|fails|runIf)$|^x(it|test|describe)$/
const ONLY = /^(it|test|describe|suite)\.only$/
const MOCK = /^vi\.(mock|doMock|hoisted|useFakeTimers|stubGlobal)$/
const REASON = /\bskip(ped|s)?\b.*:\s*\S{3,}|\bruns only\b.*\S{3,}/i
const MARK = /\b(TODO|FIXME|XXX|HACK)\b(?!\(#\d+\))/

export const checkTestManners = (tree: SourceTree): readonly Finding[] =>
  tree.modules.flatMap((module) => [
    ...checkMarks(module),
    ...checkSkips(module),
    ...checkMocks(module),
  ])

/** A mark without an issue is forgotten; one with a number can be found and closed. */
function checkMarks(module: SourceModule): readonly Finding[] {
  return module.comments.flatMap((comment) => {
    const mark = MARK.exec(comment.text)?.[1]
    if (mark === undefined) return []
    const message = `${mark} without an issue: write TODO(#123)`
    return [{ path: module.path, line: comment.line, rule: 'todo-number' as const, message }]
  })
}

/** A test that does not run proves nothing, so it says why: `// Skipped: reason` just above. */
function checkSkips(module: SourceModule): readonly Finding[] {
  if (!isTestPath(module.path)) return []
  const findings: Finding[] = []
  walk(module.program, (node) => {
    if (node.type !== 'MemberExpression' && node.type !== 'Identifier') return
    const name = dottedName(node) ?? ''
    const line = module.lineAt(node.start)
    const at = { path: module.path, line, rule: 'skipped-test' as const }
    if (ONLY.test(name)) findings.push({ ...at, message: `${name} hides every other test` })
    if (SKIP.test(name) && !hasReason(module, line)) {
      findings.push({ ...at, message: `${name}: write "// Skipped: reason" on the line above` })
    }
  })
  return findings
}

/** A mock agrees with the test that made it. Stand-ins exist at ports, and pass the same suite. */
function checkMocks(module: SourceModule): readonly Finding[] {
  const findings: Finding[] = []
  walk(module.program, (node) => {
    const name = node.type === 'MemberExpression' ? (dottedName(node) ?? '') : ''
    if (!MOCK.test(name)) return
    const message = `${name}: hand in a virtual clock, or a memory driver that passes the suite`
    findings.push({ path: module.path, line: module.lineAt(node.start), rule: 'mock', message })
  })
  return findings
}

const hasReason = (module: SourceModule, line: number): boolean =>
  module.comments.some((comment) => {
    const distance = line - comment.line
    return distance >= 0 && distance <= 3 && REASON.test(comment.text)
  })
