import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { JuncturaError } from '../../kernel/index.ts'
import { type Connection, openConnection } from './connection.ts'
import { isBusy, isUnreadable, storeErrorOf } from './sqlite-errors.ts'

export interface StoreLock {
  /** Idempotent. */
  release(): void
}

/**
 * Holds `<directory>/junctura.lock` for the life of the process: an exclusive lock of the operating
 * system, which ends with the process however it ends, so nothing has to be cleaned after kill -9.
 * The file stays empty; the number of the process that holds it stands beside it in `junctura.pid`.
 *
 * @throws JUNCTURA_STORE_LOCKED when another process, or another store of this one, holds it (F28).
 */
export const acquireStoreLock = (directory: string): StoreLock => {
  const pidFile = join(directory, 'junctura.pid')
  const file = join(directory, 'junctura.lock')
  let connection = openConnection({ file, busyMs: 0 })
  try {
    try {
      hold(connection)
    } catch (error) {
      if (!isUnreadable(error)) throw error
      // Whoever held it would have kept us from reading it, and nothing of value is in it.
      connection.close()
      truncateSync(file)
      connection = openConnection({ file, busyMs: 0 })
      hold(connection)
    }
  } catch (error) {
    connection.close()
    if (!isBusy(error)) throw storeErrorOf(error, file, 'write')
    throw new JuncturaError('JUNCTURA_STORE_LOCKED', {
      details: { directory, pid: pidIn(pidFile) },
    })
  }
  writeFileSync(pidFile, `${process.pid}\n`)
  let held = true
  return {
    release: () => {
      if (!held) return
      held = false
      rmSync(pidFile, { force: true })
      connection.close()
    },
  }
}

function hold({ db }: Connection): void {
  db.exec('PRAGMA journal_mode = DELETE; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
}

function pidIn(file: string): number | string {
  try {
    return Number(readFileSync(file, 'utf8'))
  } catch {
    // It may be starting or stopping at this moment; the lock is what counts.
    return 'unknown'
  }
}
