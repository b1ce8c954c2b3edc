import { type FSWatcher, readdirSync, watch } from 'node:fs'
import { extname, join } from 'node:path'
import type { Clock, Timer } from '../kernel/index.ts'

export interface WatchOptions {
  readonly folder: string
  readonly clock: Clock
  /** Called once for changes that come together, as an editor or git makes them. */
  readonly onChange: (path: string) => void
}

const QUIET_MS = 120
/** More folders than a project has; each costs a handle of the system. */
const FOLDERS_MAX = 2_000
const SKIPPED: ReadonlySet<string> = new Set(['node_modules', 'dist', 'coverage'])
const SOURCES: ReadonlySet<string> = new Set([
  '.ts',
  '.mts',
  '.js',
  '.mjs',
  '.cjs',
  '.json',
  '.sql',
])

/**
 * Watches the sources in a folder and below. Not with `recursive`, which on Linux would open every
 * folder of node_modules.
 */
export const watchFolder = (options: WatchOptions): { close(): void } => {
  const watchers = new Map<string, FSWatcher>()
  let quiet: Timer | undefined
  const scan = (): void => {
    for (const folder of foldersBelow(options.folder)) {
      if (!watchers.has(folder)) watchers.set(folder, watchOne(folder))
    }
  }
  const watchOne = (folder: string): FSWatcher => {
    const watcher = watch(folder, (_event, name) => {
      const path = join(folder, name ?? '')
      // A name without an extension may be a new folder.
      if (extname(path) === '') return scan()
      if (!SOURCES.has(extname(path))) return
      quiet?.cancel()
      quiet = options.clock.setTimer(QUIET_MS, () => options.onChange(path))
    })
    // A folder that was removed ends its own watch.
    watcher.on('error', () => {
      watcher.close()
      watchers.delete(folder)
    })
    return watcher
  }
  scan()
  return {
    close() {
      quiet?.cancel()
      for (const watcher of watchers.values()) watcher.close()
      watchers.clear()
    },
  }
}

/** The folder and those below that may hold sources, up to a maximum. */
export const foldersBelow = (root: string): readonly string[] => {
  const found = [root]
  for (let index = 0; index < found.length && found.length < FOLDERS_MAX; index++) {
    const folder = found[index] ?? root
    for (const entry of readFolder(folder)) {
      if (!entry.isDirectory() || entry.name.startsWith('.') || SKIPPED.has(entry.name)) continue
      found.push(join(folder, entry.name))
    }
  }
  return found.slice(0, FOLDERS_MAX)
}

function readFolder(folder: string) {
  try {
    return readdirSync(folder, { withFileTypes: true })
  } catch {
    // Removed between two looks, or not ours to read: nothing there to watch.
    return []
  }
}
