import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { JuncturaError } from '../../kernel/index.ts'
import { type Connection, openConnection } from './connection.ts'
import { isBusy, isUnreadable, storeErrorOf } from './sqlite-errors.ts'

export interface StoreLock {
  /** Whether the process that held it last died since the machine was started. */
  readonly wasHeldSinceBoot: boolean
  /** The store is open: from now on its files are those of this process. */
  opened(): void
  /** After the store was closed as it should be. Idempotent. */
  release(): void
  /** After it could not be opened: who looks next finds what this one found. Idempotent. */
  abandon(): void
}

/**
 * Holds `<directory>/junctura.lock` for the life of the process: an exclusive lock of the operating
 * system, which ends with the process however it ends, so nothing has to be cleaned after kill -9.
 * The file stays empty; the number of the process that holds it, and the id of the machine's boot,
 * stand beside it in `junctura.pid`.
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
  const boot = bootId() ?? ''
  const [, bootBefore = ''] = linesOf(pidFile)
  const write = (ofBoot: string): void => writeFileSync(pidFile, `${process.pid}\n${ofBoot}\n`)
  // Until the store is open, its files are still those of the process before.
  write(bootBefore)
  let held = true
  const end = (before: () => void): void => {
    if (!held) return
    held = false
    before()
    connection.close()
  }
  return {
    wasHeldSinceBoot: boot !== '' && bootBefore === boot,
    opened: () => write(boot),
    release: () => end(() => rmSync(pidFile, { force: true })),
    abandon: () => end(() => undefined),
  }
}

function hold({ db }: Connection): void {
  db.exec('PRAGMA journal_mode = DELETE; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
}

function pidIn(file: string): number | string {
  const [pid = ''] = linesOf(file)
  // It may be starting or stopping at this moment; the lock is what counts.
  return pid === '' ? 'unknown' : Number(pid)
}

function linesOf(file: string): readonly string[] {
  try {
    return readFileSync(file, 'utf8').split('\n')
  } catch {
    return []
  }
}

/** Changes with every start of the machine; undefined where the system does not tell it. */
function bootId(): string | undefined {
  const [id] = linesOf('/proc/sys/kernel/random/boot_id')
  return id === '' ? undefined : id
}
