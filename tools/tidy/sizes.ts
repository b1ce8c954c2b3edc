import type { Finding } from './finding.ts'
import { type AstNode, childrenOf, isNode, type SourceModule, walk } from './source-module.ts'
import type { SourceTree } from './source-tree.ts'

const SIZE_LIMITS = {
  fileLines: 500,
  functionLines: 70,
  lineCharacters: 100,
  /** Three are wanted, then an options object; a fourth is for a private function. */
  parameters: 4,
  /** Three are wanted; the fourth is for a `try` around a loop that cannot be split. */
  nesting: 4,
} as const

const FUNCTION = /^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/
const BLOCK =
  /^(IfStatement|For(In|Of)?Statement|WhileStatement|DoWhileStatement|SwitchStatement|TryStatement)$/

export const checkSizes = (tree: SourceTree): readonly Finding[] =>
  tree.modules.flatMap((module) => [
    ...checkFile(module),
    ...checkLines(module),
    ...checkFunctions(module),
  ])

function checkFile(module: SourceModule): readonly Finding[] {
  // A final newline ends the last line; it does not start another.
  const count = module.lines.at(-1) === '' ? module.lines.length - 1 : module.lines.length
  if (count <= SIZE_LIMITS.fileLines) return []
  const message = `${count} lines; at most ${SIZE_LIMITS.fileLines}`
  return [{ path: module.path, line: 0, rule: 'file-length', message }]
}

/** Text that cannot be broken (an address, a string, a pattern, SQL) may be long. */
function checkLines(module: SourceModule): readonly Finding[] {
  const long = module.lines.flatMap((text, index) =>
    text.length > SIZE_LIMITS.lineCharacters && !text.includes('://') ? [index + 1] : [],
  )
  if (long.length === 0) return []
  const unbreakable = linesOfLiterals(module)
  return long
    .filter((line) => !unbreakable.has(line))
    .map((line) => ({
      path: module.path,
      line,
      rule: 'line-length' as const,
      message: `${module.lines[line - 1]?.length} characters; at most ${SIZE_LIMITS.lineCharacters}`,
    }))
}

function linesOfLiterals(module: SourceModule): ReadonlySet<number> {
  const lines = new Set<number>()
  walk(module.program, (node) => {
    const isText = typeof node['value'] === 'string' || 'regex' in node
    if (node.type !== 'TemplateLiteral' && !(node.type === 'Literal' && isText)) return
    if (node.end - node.start < 20) return
    for (let line = module.lineAt(node.start); line <= module.lineAt(node.end); line++) {
      lines.add(line)
    }
  })
  return lines
}

function checkFunctions(module: SourceModule): readonly Finding[] {
  const findings: Finding[] = []
  walk(module.program, (node, parents) => {
    if (!FUNCTION.test(node.type)) return
    const at = { path: module.path, line: module.lineAt(node.start) }
    const body = node['body']
    const lines = ownLines(node, module)
    if (lines > SIZE_LIMITS.functionLines && !isDescribe(parents.at(-1))) {
      const message = `a function of ${lines} lines; at most ${SIZE_LIMITS.functionLines}`
      findings.push({ ...at, rule: 'function-length', message })
    }
    const parameters = node['params']
    if (Array.isArray(parameters) && parameters.length > SIZE_LIMITS.parameters) {
      const message = `${parameters.length} parameters; at most ${SIZE_LIMITS.parameters}, then an options object`
      findings.push({ ...at, rule: 'parameters', message })
    }
    const depth = isNode(body) ? depthOf(body) : 0
    if (depth > SIZE_LIMITS.nesting) {
      const message = `blocks ${depth} deep; at most ${SIZE_LIMITS.nesting}`
      findings.push({ ...at, rule: 'nesting', message })
    }
  })
  return findings
}

/**
 * Lines of a function without those of the functions inside it, which are measured alone: what a
 * factory returns, or a list of tests, is a sequence of functions and not one long function.
 */
function ownLines(root: AstNode, module: SourceModule): number {
  const linesOf = (node: AstNode): number => module.lineAt(node.end) - module.lineAt(node.start)
  const innerLines = (node: AstNode): number =>
    childrenOf(node)
      .map((child) => (FUNCTION.test(child.type) ? linesOf(child) : innerLines(child)))
      .reduce((sum, count) => sum + count, 0)
  return linesOf(root) + 1 - innerLines(root)
}

/** The callback of a `describe` holds tests and tables of cases: a list, not a piece of logic. */
function isDescribe(call: AstNode | undefined): boolean {
  let at: unknown = call
  while (isNode(at) && at.type !== 'Identifier') at = at['callee'] ?? at['object'] ?? at['tag']
  return isNode(at) && at['name'] === 'describe'
}

/** Depth of control blocks; `else if` goes on at the same depth, an inner function counts anew. */
function depthOf(node: AstNode, isElseIf = false): number {
  if (FUNCTION.test(node.type)) return 0
  const own = BLOCK.test(node.type) && !isElseIf ? 1 : 0
  const inner = childrenOf(node).map((child) =>
    depthOf(child, node['alternate'] === child && child.type === 'IfStatement'),
  )
  return own + Math.max(0, ...inner)
}
