import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { JuncturaError } from '../../kernel/index.ts'
import { type Connection, openConnection } from './connection.ts'
import { isBusy } from './sqlite-errors.ts'

export interface StoreLock {
  /** Whether the process that held it last died since the machine was started. */
  readonly wasHeldSinceBoot: boolean
  /** Idempotent. */
  release(): void
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
  const connection = openConnection({ file: join(directory, 'junctura.lock'), busyMs: 0 })
  try {
    hold(connection)
  } catch (error) {
    connection.close()
    if (!isBusy(error)) throw error
    throw new JuncturaError('JUNCTURA_STORE_LOCKED', {
      details: { directory, pid: pidIn(pidFile) },
    })
  }
  const boot = bootId()
  const wasHeldSinceBoot = boot !== undefined && linesOf(pidFile)[1] === boot
  writeFileSync(pidFile, `${process.pid}\n${boot ?? ''}\n`)
  let held = true
  return {
    wasHeldSinceBoot,
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
