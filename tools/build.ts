import { copyFileSync, globSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { runCommand } from './run-command.ts'

/**
 * Builds `dist/` from `src/`: one .js and one .d.ts per .ts file, other files copied 1:1.
 *
 * The result is made in a folder of its own and swapped in when it is whole, so that a failed
 * build, or a process that runs from `dist/` meanwhile, never meets half of one.
 */
export const build = async (root: string): Promise<BuildResult> => {
  const next = join(root, `.dist-${process.pid}`)
  try {
    const compiler = await runCommand('tsc', ['-p', 'tsconfig.build.json', '--outDir', next], {
      cwd: root,
    })
    if (compiler.status !== 0) return { ok: false, files: 0, problem: compiler.output }
    for (const path of assetPaths(root)) {
      mkdirSync(dirname(join(next, path)), { recursive: true })
      copyFileSync(join(root, 'src', path), join(next, path))
    }
    const files = globSync('**/*.{js,sql,html,json,css}', { cwd: next }).length
    if (files === 0) return { ok: false, files, problem: 'The compiler wrote no file.' }
    swapIn(next, join(root, 'dist'))
    return { ok: true, files, problem: '' }
  } finally {
    rmSync(next, { recursive: true, force: true })
  }
}

export interface BuildResult {
  readonly ok: boolean
  readonly files: number
  readonly problem: string
}

/** What the compiler leaves behind: SQL, pages and their scripts, schemas; below `src/`. */
function assetPaths(root: string): readonly string[] {
  return globSync('**/*.{sql,html,css,js,json,svg}', { cwd: join(root, 'src') })
}

function swapIn(next: string, target: string): void {
  const old = `${next}-old`
  try {
    renameSync(target, old)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  }
  renameSync(next, target)
  rmSync(old, { recursive: true, force: true })
}

if (import.meta.main) {
  const result = await build(dirname(import.meta.dirname))
  if (result.ok) process.stdout.write(`build: ${result.files} files in dist/\n`)
  else process.stderr.write(`${result.problem}\nbuild: failed, dist/ is unchanged\n`)
  process.exitCode = result.ok ? 0 : 1
}
