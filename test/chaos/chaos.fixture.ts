import { globSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { build } from '../../tools/build.ts'
import { REPOSITORY } from './runtime-process.ts'

/** What runs is the built package, and never an old one. */
export const ensureBuilt = async (): Promise<void> => {
  const main = statSync(join(REPOSITORY, 'dist/cli/main.js'), { throwIfNoEntry: false })
  const sources = globSync('src/**/*.*', { cwd: REPOSITORY })
  const newestMs = Math.max(...sources.map((path) => statSync(join(REPOSITORY, path)).mtimeMs))
  if (main && main.mtimeMs > newestMs) return
  const built = await build(REPOSITORY)
  if (!built.ok) throw new Error(`the build failed:\n${built.problem}`)
}

/** A folder that is gone after the test. */
export const temporaryFolder = (): string => {
  const path = mkdtempSync(join(tmpdir(), 'junctura-chaos-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

export const SOUND = {
  lost: [],
  doubled: [],
  foreign: [],
  outOfOrder: [],
  innocentDead: [],
  updatesMissing: 0,
} as const
