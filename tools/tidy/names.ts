import { posix } from 'node:path'
import type { Finding } from './finding.ts'
import { isNode, type SourceModule } from './source-module.ts'
import type { SourceTree } from './source-tree.ts'

const FILE_NAME = /^[a-z0-9]+(-[a-z0-9]+)*(\.(int|sim|config|fixture))?(\.test)?\.ts$/
/** Words that say nothing about what is inside, so that anything ends up there. */
const EMPTY_WORDS = /(^|[-.])(utils?|common|helpers?|managers?|services?|misc|impl|stuff)([-.]|$)/
const EMPTY_SUFFIX = /[a-z0-9](Manager|Helper|Service|Impl|Utils?)$/
/** A config file and an integration are found by their default export; nothing else has one. */
const MAY_DEFAULT = /(\.config|(^|[/-])integration[^/]*|\.fixture)\.ts$/

export const checkNames = (tree: SourceTree): readonly Finding[] =>
  tree.modules.flatMap((module) => [
    ...checkFileName(module.path),
    ...checkDefaultExport(module),
    ...checkExportedNames(module),
  ])

function checkFileName(path: string): readonly Finding[] {
  const name = posix.basename(path)
  if (!FILE_NAME.test(name)) {
    const message = 'file names are kebab-case, after their main export'
    return [{ path, line: 0, rule: 'file-name', message }]
  }
  const word = EMPTY_WORDS.exec(name)?.[2]
  if (word === undefined) return []
  return [{ path, line: 0, rule: 'name-word', message: `"${word}" does not say what is inside` }]
}

function checkDefaultExport(module: SourceModule): readonly Finding[] {
  if (MAY_DEFAULT.test(module.path)) return []
  return statementsOf(module)
    .filter((statement) => statement.type === 'ExportDefaultDeclaration')
    .map((statement) => ({
      path: module.path,
      line: module.lineAt(statement.start),
      rule: 'default-export' as const,
      message: 'export by name: one thing has one name everywhere',
    }))
}

function checkExportedNames(module: SourceModule): readonly Finding[] {
  return statementsOf(module)
    .filter((statement) => statement.type === 'ExportNamedDeclaration')
    .flatMap((statement) => declaredNames(statement['declaration']))
    .filter((name) => EMPTY_SUFFIX.test(name))
    .map((name) => ({
      path: module.path,
      line: 0,
      rule: 'name-word' as const,
      message: `${name}: name it after what it does or holds`,
    }))
}

function declaredNames(declaration: unknown): readonly string[] {
  if (!isNode(declaration)) return []
  const list = declaration['declarations']
  const holders = Array.isArray(list) ? list : [declaration]
  return holders.flatMap((holder) =>
    isNode(holder) && isNode(holder['id']) ? [String(holder['id']['name'])] : [],
  )
}

function statementsOf(module: SourceModule) {
  const body = module.program['body']
  return Array.isArray(body) ? body.filter(isNode) : []
}
