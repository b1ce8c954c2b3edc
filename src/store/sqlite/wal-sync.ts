import { closeSync, fdatasync, fsyncSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { JuncturaError, messageOf } from '../../kernel/index.ts'

/**
 * Makes what was committed durable. The engine writes each commit to the write-ahead log and
 * leaves it to us to sync that (`synchronous = NORMAL`): it would sync on the thread of the event
 * loop, which stands still for that long, while this one goes on reading requests. A commit counts,
 * and is told to anybody, only once `sync` has resolved.
 *
 * The file is opened for good: nobody else may replace it while the store is locked. (Closing it
 * would not drop the engine's locks, which are on the other two files.)
 */
export class WalSync {
  readonly #file: string
  #fd: number | undefined

  constructor(databaseFile: string) {
    this.#file = `${databaseFile}-wal`
  }

  /**
   * @throws JUNCTURA_STORE_UNKNOWN when the disk refuses: the kernel may have dropped what it could
   *   not write, so a second try that succeeds would say nothing (F21).
   */
  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      try {
        this.#fd ??= this.#open()
      } catch (error) {
        return reject(this.#unknown(error))
      }
      fdatasync(this.#fd, (error) => (error ? reject(this.#unknown(error)) : resolve()))
    })
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }

  #open(): number {
    const fd = openSync(this.#file, 'r+')
    syncDirectory(dirname(this.#file))
    return fd
  }

  #unknown(error: unknown): JuncturaError {
    const details = { file: this.#file, problem: `it could not be synced: ${messageOf(error)}` }
    return new JuncturaError('JUNCTURA_STORE_UNKNOWN', { cause: error, details })
  }
}

/** The name of a new file is durable only with its directory. Windows has no such thing. */
function syncDirectory(directory: string): void {
  if (process.platform === 'win32') return
  const fd = openSync(directory, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
