import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseSync } from 'oxc-parser'
import { type AstNode, isNode, walk } from './tidy/source-module.ts'

export interface Declaration {
  readonly name: string
  /** The name it has at the door; undefined when it is only reached through a type. */
  readonly exportedAs: string | undefined
  /** As in the .d.ts file, with its docstring. */
  readonly text: string
}

/**
 * Follows the exports of a .d.ts file to the declarations behind them, and from those to every
 * type of ours that they mention. Sorted by name, so that moving a file changes nothing.
 */
export const readPublicDeclarations = (entry: string): readonly Declaration[] => {
  const files = new Map<string, TypeFile>()
  const open = (path: string): TypeFile => {
    const file = files.get(path) ?? readTypeFile(path)
    files.set(path, file)
    return file
  }
  const found = new Map<string, Declaration>()
  const pending: Target[] = exportsOf(entry, open)
  for (let target = pending.shift(); target; target = pending.shift()) {
    const { path, name, exportedAs } = target
    const declared = open(path).declarations.get(name)
    const key = `${path}#${name}`
    if (declared === undefined || (found.has(key) && exportedAs === undefined)) continue
    found.set(key, {
      name,
      exportedAs: exportedAs ?? found.get(key)?.exportedAs,
      text: declared.text,
    })
    for (const word of declared.mentions) {
      const mention = resolveName(path, word, open)
      if (mention !== undefined && !found.has(`${mention.path}#${mention.name}`)) {
        pending.push({ ...mention, exportedAs: undefined })
      }
    }
  }
  const order = (item: Declaration): string => item.exportedAs ?? item.name
  return [...found.values()].sort((left, right) =>
    order(left) === order(right)
      ? compare(left.text, right.text)
      : compare(order(left), order(right)),
  )
}

interface Target {
  readonly path: string
  readonly name: string
  readonly exportedAs: string | undefined
}

interface TypeFile {
  readonly declarations: ReadonlyMap<string, { text: string; mentions: ReadonlySet<string> }>
  /** Local name to where it comes from. */
  readonly imports: ReadonlyMap<string, { path: string; name: string }>
  /** Exported name to the local name, or to another file. */
  readonly exports: ReadonlyMap<string, { path?: string; name: string }>
  readonly stars: readonly string[]
}

type Open = (path: string) => TypeFile

const compare = (left: string, right: string): number => (left < right ? -1 : left > right ? 1 : 0)

/** All names a file exports, with the place of their declaration. */
function exportsOf(path: string, open: Open, seen: ReadonlySet<string> = new Set()): Target[] {
  if (seen.has(path)) return []
  const inside = new Set([...seen, path])
  const named = [...open(path).exports].flatMap(([exportedAs, { path: from, name }]) => {
    const target =
      from === undefined ? resolveName(path, name, open) : resolveExport(from, name, open)
    return target === undefined ? [] : [{ ...target, exportedAs }]
  })
  return [...named, ...open(path).stars.flatMap((star) => exportsOf(star, open, inside))]
}

/** Where an exported name is declared, through any number of doors. */
function resolveExport(
  path: string,
  name: string,
  open: Open,
): Omit<Target, 'exportedAs'> | undefined {
  const found = exportsOf(path, open).find((target) => target.exportedAs === name)
  return found && { path: found.path, name: found.name }
}

/** Where a name used in a file is declared: there, or where it was imported from. */
function resolveName(
  path: string,
  name: string,
  open: Open,
): Omit<Target, 'exportedAs'> | undefined {
  const file = open(path)
  if (file.declarations.has(name)) return { path, name }
  const source = file.imports.get(name)
  return source && resolveExport(source.path, source.name, open)
}

function readTypeFile(path: string): TypeFile {
  const text = readFileSync(path, 'utf8')
  const { program, comments } = parseSync(path, text)
  const declarations = new Map<string, { text: string; mentions: Set<string> }>()
  const imports = new Map<string, { path: string; name: string }>()
  const exports = new Map<string, { path?: string; name: string }>()
  const stars: string[] = []
  const docBefore = (start: number): string => {
    const doc = comments.findLast((item) => item.end <= start)
    if (doc === undefined || text.slice(doc.end, start).trim() !== '') return ''
    return doc.value.startsWith('*') ? `/*${doc.value}*/\n` : ''
  }
  const declare = (statement: AstNode, isExported: boolean): void => {
    const body = isExported ? statement['declaration'] : statement
    for (const name of declaredNames(body)) {
      const before = declarations.get(name)
      const own = docBefore(statement.start) + text.slice(statement.start, statement.end)
      const mentions = new Set([...(before?.mentions ?? []), ...wordsIn(statement)])
      declarations.set(name, { text: before ? `${before.text}\n${own}` : own, mentions })
      if (isExported) exports.set(name, { name })
    }
  }
  for (const statement of listOf((program as unknown as AstNode)['body'])) {
    const source = sourcePath(path, statement)
    if (statement.type === 'ImportDeclaration') {
      if (source === undefined) continue
      for (const item of listOf(statement['specifiers'])) {
        imports.set(wordOf(item['local']), { path: source, name: wordOf(item['imported']) })
      }
    } else if (statement.type === 'ExportAllDeclaration') {
      if (source !== undefined) stars.push(source)
    } else if (statement.type === 'ExportNamedDeclaration' && !statement['declaration']) {
      for (const item of listOf(statement['specifiers'])) {
        const from = source === undefined ? {} : { path: source }
        exports.set(wordOf(item['exported']), { ...from, name: wordOf(item['local']) })
      }
    } else declare(statement, statement.type === 'ExportNamedDeclaration')
  }
  return { declarations, imports, exports, stars }
}

const listOf = (value: unknown): readonly AstNode[] =>
  Array.isArray(value) ? value.filter(isNode) : []

const wordOf = (node: unknown): string =>
  isNode(node) ? String(node['name'] ?? node['value']) : ''

/** The .d.ts file that a relative import means; packages are not ours and are not followed. */
function sourcePath(from: string, statement: AstNode): string | undefined {
  const specifier = wordOf(statement['source'])
  if (!specifier.startsWith('.')) return undefined
  const path = join(dirname(from), specifier.replace(/\.(ts|js)$/, '.d.ts'))
  return existsSync(path) ? path : undefined
}

function declaredNames(declaration: unknown): readonly string[] {
  if (!isNode(declaration)) return []
  const list = declaration['declarations']
  const holders = Array.isArray(list) ? list.filter(isNode) : [declaration]
  return holders.map((holder) => wordOf(holder['id'])).filter((name) => name !== '')
}

/** Every name used in a statement; those that mean nothing of ours resolve to nothing. */
function wordsIn(statement: AstNode): ReadonlySet<string> {
  const words = new Set<string>()
  walk(statement, (node) => {
    if (node.type === 'Identifier') words.add(String(node['name']))
  })
  return words
}
