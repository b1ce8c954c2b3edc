import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseSync, visitorKeys } from 'oxc-parser'

/** A node of the syntax tree, read structurally: each rule looks at a few fields of a few types. */
export interface AstNode {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [field: string]: unknown
}

export interface ModuleLink {
  readonly specifier: string
  /** `import('x')`, which loads at the moment it is reached. */
  readonly dynamic: boolean
  /** Erased by the compiler: nothing is loaded. */
  readonly typeOnly: boolean
  readonly names: readonly string[]
  readonly line: number
}

interface SourceComment {
  readonly text: string
  readonly start: number
  readonly end: number
  readonly line: number
}

export interface SourceModule {
  /** Relative to the root, with forward slashes. */
  readonly path: string
  readonly lines: readonly string[]
  readonly program: AstNode
  readonly comments: readonly SourceComment[]
  readonly links: readonly ModuleLink[]
  readonly problems: readonly string[]
  lineAt(offset: number): number
}

export const readSourceModule = (root: string, path: string): SourceModule => {
  const text = readFileSync(join(root, path), 'utf8')
  const parsed = parseSync(path, text)
  const lineAt = lineFinder(text)
  return {
    path,
    lines: text.split('\n'),
    program: parsed.program as unknown as AstNode,
    comments: parsed.comments.map((comment) => ({
      text: comment.value,
      start: comment.start,
      end: comment.end,
      line: lineAt(comment.start),
    })),
    links: readLinks(parsed.module, text, lineAt),
    problems: parsed.errors.map((error) => error.message),
    lineAt,
  }
}

/** Tests, and what only tests import. */
export const isTestPath = (path: string): boolean => /\.(?:test|fixture)\.ts$/.test(path)

export const childrenOf = (node: AstNode): readonly AstNode[] => {
  const keys = visitorKeys[node.type] ?? []
  return keys.flatMap((key) => node[key]).filter(isNode)
}

/** Visits `node` and everything in it, parents first. `parents` is nearest last. */
export const walk = (
  node: AstNode,
  visit: (node: AstNode, parents: readonly AstNode[]) => void,
  parents: readonly AstNode[] = [],
): void => {
  visit(node, parents)
  const inner = [...parents, node]
  for (const child of childrenOf(node)) walk(child, visit, inner)
}

export const isNode = (value: unknown): value is AstNode =>
  typeof value === 'object' && value !== null && 'type' in value && 'start' in value

/** `a.b.c` as written, or undefined for anything else than names joined by dots. */
export const dottedName = (node: unknown): string | undefined => {
  if (!isNode(node)) return undefined
  if (node.type === 'Identifier') return String(node['name'])
  if (node.type !== 'MemberExpression') return undefined
  const object = dottedName(node['object'])
  const property = node['property']
  if (object === undefined || !isNode(property)) return undefined
  if (property.type === 'Identifier' && node['computed'] !== true) {
    return `${object}.${String(property['name'])}`
  }
  return property.type === 'Literal' ? `${object}.${String(property['value'])}` : undefined
}

type ParsedModule = ReturnType<typeof parseSync>['module']

function readLinks(
  module: ParsedModule,
  text: string,
  lineAt: (offset: number) => number,
): readonly ModuleLink[] {
  const imports = module.staticImports.map((item) => ({
    specifier: item.moduleRequest.value,
    dynamic: false,
    typeOnly: item.entries.length > 0 && item.entries.every((entry) => entry.isType),
    names: item.entries.map((entry) => entry.importName.name ?? '*'),
    line: lineAt(item.start),
  }))
  const reExports = module.staticExports.flatMap((item) =>
    item.entries
      .filter((entry) => entry.moduleRequest !== null)
      .map((entry) => ({
        specifier: entry.moduleRequest?.value ?? '',
        dynamic: false,
        typeOnly: entry.isType,
        names: [entry.importName.name ?? '*'],
        line: lineAt(item.start),
      })),
  )
  const dynamic = module.dynamicImports.map((item) => ({
    specifier: text.slice(item.moduleRequest.start, item.moduleRequest.end).replace(/['"`]/g, ''),
    dynamic: true,
    typeOnly: false,
    names: ['*'],
    line: lineAt(item.start),
  }))
  return [...imports, ...reExports, ...dynamic]
}

function lineFinder(text: string): (offset: number) => number {
  const starts = [0]
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return (offset) => {
    let low = 0
    let high = starts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((starts[middle] ?? 0) <= offset) low = middle
      else high = middle - 1
    }
    return low + 1
  }
}
