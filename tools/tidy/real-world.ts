import type { Finding } from './finding.ts'
import {
  type AstNode,
  dottedName,
  isNode,
  isTestPath,
  type SourceModule,
  walk,
} from './source-module.ts'
import type { SourceTree } from './source-tree.ts'

/** The few files that may touch the machine's time, chance, environment and network. */
const ADAPTERS =
  /(^|[-/])(listener|dialer|driver)[^/]*\.ts$|^src\/kernel\/(system-|random\.ts|kernel\.ts)|^src\/testing\/virtual-clock\.ts$/
/** Where a test meets real processes and servers, real time is the subject. */
const REAL_TESTS = /\.int\.test\.ts$/
const VIRTUAL = /^(src|test\/simulation)\//
/** Who may print: the commands, and the log of a process that was given none. */
const PRINTERS = /^src\/(cli\/|observe\/system-log\.ts$)/

/** A test that holds a bound on time needs a real watch; the code it tries never does. */
const STOPWATCH = 'process.hrtime'

/** Each name with what to take instead. */
const BANNED: Readonly<Record<string, string>> = {
  'Date.now': 'the Clock of the kernel',
  'performance.now': 'monotonicMs of the Clock',
  'process.hrtime': 'monotonicMs of the Clock',
  setTimeout: 'setTimer of the Clock',
  setInterval: 'setTimer of the Clock',
  setImmediate: 'yield of the Clock',
  'AbortSignal.timeout': 'setTimer of the Clock',
  'Math.random': 'the Random of the kernel',
  'crypto.randomUUID': 'the Ids of the kernel',
  'crypto.randomBytes': 'the Random of the kernel',
  'crypto.randomInt': 'the Random of the kernel',
  'crypto.getRandomValues': 'the Random of the kernel',
  'process.env': 'env of the kernel',
  fetch: 'a dialer',
}
const BANNED_IMPORTS: ReadonlySet<string> = new Set([
  'randomUUID',
  'randomBytes',
  'randomInt',
  'randomFill',
  'randomFillSync',
  'getRandomValues',
  'webcrypto',
])

/** Time, chance, environment and network are inputs: one virtual clock has to drive every room. */
export const checkRealWorld = (tree: SourceTree): readonly Finding[] =>
  tree.modules
    .filter(({ path }) => VIRTUAL.test(path) && !ADAPTERS.test(path) && !REAL_TESTS.test(path))
    .flatMap((module) => [...checkNames(module), ...checkImports(module)])

/** A library never prints, and never throws an error that has no code. */
export const checkLibraryManners = (tree: SourceTree): readonly Finding[] =>
  tree.modules
    .filter(({ path }) => path.startsWith('src/') && !isTestPath(path))
    .flatMap(checkManners)

function checkNames(module: SourceModule): readonly Finding[] {
  const own = declaredNames(module.program)
  const findings: Finding[] = []
  walk(module.program, (node, parents) => {
    const found = bannedUse(node, parents, own)
    if (found === undefined || (found === STOPWATCH && isTestPath(module.path))) return
    findings.push({
      path: module.path,
      line: module.lineAt(node.start),
      rule: 'real-world',
      message: `${found} is not allowed here: take ${BANNED[found] ?? 'the Clock of the kernel'}`,
    })
  })
  return findings
}

function bannedUse(
  node: AstNode,
  parents: readonly AstNode[],
  own: ReadonlySet<string>,
): string | undefined {
  const argumentList = node['arguments']
  if (node.type === 'NewExpression' && dottedName(node['callee']) === 'Date') {
    return Array.isArray(argumentList) && argumentList.length === 0 ? 'new Date()' : undefined
  }
  if (node.type === 'CallExpression' && dottedName(node['callee']) === 'Date') return 'Date()'
  if (node.type !== 'Identifier' && node.type !== 'MemberExpression') return undefined
  const name = dottedName(node)?.replace(/^globalThis\./, '')
  if (name === undefined || !(name in BANNED)) return undefined
  if (own.has(name.split('.')[0] ?? '')) return undefined
  return node.type === 'MemberExpression' || isReference(node, parents) ? name : undefined
}

/** False for `{ fetch: 1 }`, `port.fetch` and the like, where the word is only a label. */
function isReference(node: AstNode, parents: readonly AstNode[]): boolean {
  const parent = parents.at(-1)
  if (parent === undefined) return true
  if (parent.type === 'MemberExpression') return parent['object'] === node
  if (parent.type === 'Property') return parent['value'] === node
  return !/^(TS|MethodDefinition|PropertyDefinition)/.test(parent.type)
}

/** Names that the module declares itself: a parameter called `fetch` is the injected one. */
function declaredNames(program: AstNode): ReadonlySet<string> {
  const names = new Set<string>()
  const collect = (pattern: unknown): void => {
    if (!isNode(pattern)) return
    if (pattern.type === 'Identifier') names.add(String(pattern['name']))
    else if (pattern.type === 'ObjectPattern') listOf(pattern['properties']).forEach(collect)
    else if (pattern.type === 'ArrayPattern') listOf(pattern['elements']).forEach(collect)
    else collect(pattern['value'] ?? pattern['left'] ?? pattern['argument'])
  }
  walk(program, (node) => {
    if (node.type === 'VariableDeclarator' && dottedName(node['init']) !== 'globalThis') {
      collect(node['id'])
    }
    if (/Function/.test(node.type)) listOf(node['params']).forEach(collect)
    if (node.type === 'FunctionDeclaration') collect(node['id'])
    if (node.type === 'ImportSpecifier') collect(node['local'])
  })
  return names
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

function checkImports(module: SourceModule): readonly Finding[] {
  return module.links
    .filter((link) => /^(node:)?crypto$/.test(link.specifier) && !link.typeOnly)
    .flatMap((link) =>
      link.names
        .filter((name) => BANNED_IMPORTS.has(name))
        .map((name) => ({
          path: module.path,
          line: link.line,
          rule: 'real-world' as const,
          message: `${name} is not allowed here: take the Random or the Ids of the kernel`,
        })),
    )
}

function checkManners(module: SourceModule): readonly Finding[] {
  const findings: Finding[] = []
  walk(module.program, (node) => {
    const at = { path: module.path, line: module.lineAt(node.start) }
    const name = node.type === 'MemberExpression' ? (dottedName(node) ?? '') : ''
    if (
      /^(console\.\w+|process\.(stdout|stderr|exit))$/.test(name) &&
      !PRINTERS.test(module.path)
    ) {
      findings.push({ ...at, rule: 'console', message: `${name}: only src/cli prints or exits` })
    }
    const thrown = node.type === 'ThrowStatement' ? node['argument'] : undefined
    if (!isNode(thrown)) return
    const bare = thrown.type === 'NewExpression' ? dottedName(thrown['callee']) : thrown.type
    if (/^(Error|TypeError|RangeError|SyntaxError|Literal|TemplateLiteral)$/.test(bare ?? '')) {
      const message = 'throw a JuncturaError with a code from src/kernel/error-codes.ts'
      findings.push({ ...at, rule: 'bare-error', message })
    }
  })
  return findings
}
