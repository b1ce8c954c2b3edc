import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Integration, isIntegration } from '../contract/index.ts'
import { isJuncturaError, JuncturaError, messageOf } from '../kernel/index.ts'

/**
 * Runs the user's module and takes the integration that it exports: the default export, or the only
 * export that is one. TypeScript runs by type stripping, without a build.
 *
 * @throws JUNCTURA_ENTRY_UNUSABLE when there is no such file, it throws, or it exports none or
 * several; JUNCTURA_DECLARATION when a declaration in it is wrong.
 */
export const loadIntegration = async (file: string, cwd: string): Promise<Integration> => {
  const path = resolve(cwd, file)
  if (!existsSync(path)) throw unusable(path, 'there is no such file', 'check the path')
  let module: Readonly<Record<string, unknown>>
  try {
    module = await importModule(path)
  } catch (cause) {
    if (isJuncturaError(cause)) throw cause
    throw new JuncturaError('JUNCTURA_ENTRY_UNUSABLE', {
      details: { file: path, problem: problemOf(cause), fix: fixFor(cause) },
      cause,
    })
  }
  const main = module['default']
  if (isIntegration(main)) return main
  const found = [...new Set(Object.values(module).filter(isIntegration))]
  if (found.length === 1 && found[0]) return found[0]
  if (found.length === 0) throw unusable(path, 'nothing that it exports is one')
  const names = Object.keys(module).filter((name) => isIntegration(module[name]))
  throw unusable(
    path,
    `it exports several: ${names.join(', ')}`,
    'export the one that should run as default',
  )
}

/** Runs a module of the user's and gives what it exports. */
export const importModule = async (path: string): Promise<Readonly<Record<string, unknown>>> =>
  import(pathToFileURL(path).href)

/**
 * The integration of a project: `junctura.integration` of its package.json, or `integration.ts` in
 * the folder or its `src`.
 */
export const findIntegrationFile = (cwd: string): string | undefined => {
  const named = readProject(join(cwd, 'package.json'))
  if (named !== undefined) return named
  return CANDIDATES.find((candidate) => existsSync(join(cwd, candidate)))
}

const CANDIDATES = ['integration.ts', 'integration.js', 'src/integration.ts', 'src/integration.js']

function readProject(path: string): string | undefined {
  if (!existsSync(path)) return undefined
  let manifest: unknown
  try {
    manifest = JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    // A broken package.json is npm's to tell.
    return undefined
  }
  const own = memberOf(manifest, 'junctura')
  const file = memberOf(own, 'integration')
  return typeof file === 'string' ? file : undefined
}

const memberOf = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined

const unusable = (file: string, problem: string, fix?: string): JuncturaError =>
  new JuncturaError('JUNCTURA_ENTRY_UNUSABLE', {
    details: { file, problem, ...(fix !== undefined && { fix }) },
  })

/** The message, and the line of the user's own code that the stack names. */
function problemOf(cause: unknown): string {
  const stack = cause instanceof Error ? (cause.stack ?? '') : ''
  const line = stack
    .split('\n')
    .find((each) => /^\s+at .*file:/.test(each) && !each.includes('node_modules'))
  const place = /\(?(file:[^)]+)\)?$/.exec(line?.trim() ?? '')?.[1]
  const where = place === undefined ? '' : ` (${place.replace(/^file:\/\//, '')})`
  return `it threw while it was loaded: ${messageOf(cause)}${where}`
}

function fixFor(cause: unknown): string {
  const code: unknown = cause instanceof Error && 'code' in cause ? cause.code : undefined
  if (code === 'ERR_MODULE_NOT_FOUND') {
    return 'Install what it imports; write relative imports with their extension: ./x.ts'
  }
  if (code === 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX' || code === 'ERR_INVALID_TYPESCRIPT_SYNTAX') {
    return 'Node strips types and nothing else: no enums, namespaces or parameter properties.'
  }
  return 'Run the file alone to see the whole error: node FILE'
}
