import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readSourceModule, type SourceModule } from './source-module.ts'

/** Everything the rules look at, read once. */
export interface SourceTree {
  readonly root: string
  /** All text files of the project, relative, with forward slashes. */
  readonly files: readonly string[]
  readonly modules: readonly SourceModule[]
  readonly optionalPeers: readonly string[]
  readonly dependencies: readonly string[]
}

const SKIPPED_FOLDERS: ReadonlySet<string> = new Set(['node_modules', 'dist', 'coverage', 'vendor'])
/** The folders with a dot that are ours; tools keep their own things in the others. */
const DOT_FOLDERS: ReadonlySet<string> = new Set(['.ci', '.github'])
const TEXT = /\.(ts|js|mjs|cjs|md|json|jsonc|ya?ml|sql|html|css|sh)$|^\.ci\/run$|^LICENSE$/

export const readSourceTree = (root: string): SourceTree => {
  const files = listFiles(root, '').filter((path) => TEXT.test(path))
  const sources = files.filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))
  const manifest = readManifest(root)
  return {
    root,
    files,
    modules: sources.map((path) => readSourceModule(root, path)),
    optionalPeers: Object.keys(manifest.peerDependenciesMeta ?? {}),
    dependencies: Object.keys(manifest.dependencies ?? {}),
  }
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependenciesMeta?: Readonly<Record<string, unknown>>
}

function readManifest(root: string): Manifest {
  const path = join(root, 'package.json')
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {}
}

function listFiles(root: string, folder: string): readonly string[] {
  const found: string[] = []
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (entry.isFile()) found.push(path)
    else if (entry.isDirectory() && !isSkipped(entry.name)) found.push(...listFiles(root, path))
  }
  return found.sort()
}

const isSkipped = (folder: string): boolean =>
  SKIPPED_FOLDERS.has(folder) || (folder.startsWith('.') && !DOT_FOLDERS.has(folder))
