import { copyFileSync, existsSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import {
  assert,
  type Clock,
  isJuncturaError,
  JuncturaError,
  messageOf,
  type Random,
  silentLogger,
} from '../../kernel/index.ts'
import { type Connection, openConnection, setUpWriter } from './connection.ts'
import { checkFormat, countOpen, createTables, storeSecret } from './format.ts'
import { mendHeader } from './header.ts'
import { type Height, HighMark, storeIdOf } from './high-mark.ts'
import { transaction } from './log-writer.ts'
import { salvageClaims, salvageLog, salvageState, salvageUserTables } from './repair-parts.ts'
import type { LostRange } from './salvage.ts'
import { storeErrorOf } from './sqlite-errors.ts'
import { damagedFilesBeside } from './store-check.ts'
import { acquireStoreLock } from './store-lock.ts'
import { checkWal } from './wal-check.ts'

export interface SqliteRepairOptions {
  readonly directory: string
  readonly clock: Clock
  readonly random: Random
}

/** What a repair kept, and what it could not. */
export interface RepairReport {
  readonly file: string
  /** The damaged file, kept under this name. */
  readonly damagedFile: string
  readonly records: number
  /** Positions of the log that are gone, both ends included. */
  readonly lostPositions: readonly LostRange[]
  readonly rows: number
  /** Everything else that could not be read, one sentence each. */
  readonly lost: readonly string[]
}

/** Filled while the parts are salvaged. */
export interface Repair {
  readonly source: Connection
  readonly target: Connection
  readonly nowMs: number
  records: number
  rows: number
  /** Highest position that anything speaks of. */
  highest: number
  readonly lostPositions: LostRange[]
  readonly lost: string[]
}

/**
 * Copies what can be read into a new file and puts the damaged one aside under another name; run it
 * while nothing else uses the directory. New positions begin far above what is known, so that none
 * is given twice. May be run again after it was cut short.
 *
 * @throws JUNCTURA_STORE_LOCKED when a process uses the directory.
 * @throws JUNCTURA_STORE_DAMAGED when not even the list of tables is readable; nothing is changed.
 * @throws JUNCTURA_STORE_FORMAT when a newer release wrote the store.
 */
export const repairSqliteStore = async (options: SqliteRepairOptions): Promise<RepairReport> => {
  const { directory } = options
  const lock = acquireStoreLock(directory)
  const file = join(directory, 'junctura.db')
  const copy = `${file}.salvage`
  const fresh = `${file}.repaired`
  const connections: Connection[] = []
  try {
    const original = originalOf(directory, file)
    for (const name of [copy, fresh]) removeDatabase(name)
    copyDatabase(original, copy)
    const lost: string[] = []
    checkWalOf(original, lock.wasHeldSinceBoot, lost)
    const source = openDamaged(copy, file)
    connections.push(source)
    const target = openConnection({ file: fresh })
    connections.push(target)
    const mark = new HighMark({ directory, clock: options.clock, log: silentLogger })
    const marked = mark.read()
    const repair = fill({ options, source, target, lost, marked })
    const height = heightOf(repair, marked?.opens ?? 0)
    foldLog(target)
    for (const connection of connections) connection.close()
    const damagedFile = putInPlace({ original, file, fresh })
    mark.write(height)
    mark.close()
    removeDatabase(copy)
    const { records, rows, lostPositions } = repair
    lock.release()
    return { file, damagedFile, records, lostPositions, rows, lost }
  } catch (error) {
    for (const connection of connections) connection.close()
    lock.abandon()
    throw storeErrorOf(error, file, 'write')
  }
}

/** The store, or the one that an unfinished repair has put aside. */
function originalOf(directory: string, file: string): string {
  if (existsSync(file)) return file
  const aside = damagedFilesBeside(file).filter((name) => /\.damaged-\d+$/.test(name))
  const newest = aside.sort().at(-1)
  if (newest !== undefined) return join(directory, newest)
  throw new JuncturaError('JUNCTURA_STORE_DAMAGED', {
    details: { file, problem: 'there is no store in this directory' },
  })
}

/** The engine writes to what it opens, so the original is only ever copied. */
function copyDatabase(from: string, to: string): void {
  copyFileSync(from, to)
  if (existsSync(`${from}-wal`)) copyFileSync(`${from}-wal`, `${to}-wal`)
}

function removeDatabase(file: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(`${file}${suffix}`, { force: true })
}

/** The original: only beside it stands the engine's index, which tells how far the log went. */
function checkWalOf(original: string, trustsIndex: boolean, lost: string[]): void {
  try {
    checkWal(original, { trustsIndex })
  } catch (error) {
    lost.push(`commits behind the damaged place of the write-ahead log: ${messageOf(error)}`)
  }
}

function openDamaged(copy: string, file: string): Connection {
  const source = openConnection({ file: copy })
  try {
    source.rows('SELECT name FROM sqlite_schema')
    checkFormat(source, copy)
    return source
  } catch (error) {
    source.close()
    if (isJuncturaError(error, 'JUNCTURA_STORE_FORMAT')) throw error
    // What the first bytes of our files say is known, but for what can be counted.
    mendHeader(copy)
    const mended = openConnection({ file: copy })
    try {
      mended.rows('SELECT name FROM sqlite_schema')
    } catch (cause) {
      mended.close()
      const problem = 'not even its list of tables is readable: only a backup can replace it'
      throw new JuncturaError('JUNCTURA_STORE_DAMAGED', { cause, details: { file, problem } })
    }
    return mended
  }
}

interface FillOptions {
  readonly options: SqliteRepairOptions
  readonly source: Connection
  readonly target: Connection
  readonly lost: string[]
  readonly marked: Height | undefined
}

function fill({ options, source, target, lost, marked }: FillOptions): Repair {
  const nowMs = options.clock.now()
  setUpWriter(target)
  const repair: Repair = {
    source,
    target,
    nowMs,
    records: 0,
    rows: 0,
    highest: marked?.position ?? 0,
    lostPositions: [],
    lost,
  }
  const secret = secretOf(source)
  if (secret === undefined) {
    lost.push('all idempotency keys: the secret they are kept under is not readable')
  }
  transaction(target, () => createTables(target, secret ?? options.random.bytes(32)))
  if (secret !== undefined) transaction(target, () => salvageClaims(repair))
  salvageState(repair)
  salvageUserTables(repair)
  salvageLog(repair)
  const [check] = target.rows('PRAGMA quick_check')
  assert(check?.[0] === 'ok', 'a repaired file passes its check')
  return repair
}

/** Of the repaired store, which its next start finds at or above its mark. */
function heightOf({ target, highest }: Repair, opens: number): Height {
  transaction(target, () => countOpen(target, opens))
  return { store: storeIdOf(storeSecret(target)), opens, position: highest }
}

function secretOf(source: Connection): Uint8Array | undefined {
  try {
    return storeSecret(source)
  } catch {
    // Whatever is wrong with it, without it the keys say nothing.
    return undefined
  }
}

/**
 * Only the file itself is put in place, so all of it has to be in there. Closing would fold the
 * write-ahead log in as well, but says nothing when the disk refuses that.
 */
function foldLog(target: Connection): void {
  const [busy, frames] = target.first('PRAGMA wal_checkpoint(TRUNCATE)') ?? []
  assert(busy === 0, 'nobody else reads the file that a repair writes')
  assert(frames === 0, 'the write-ahead log of a repaired file is folded into it')
}

interface Swap {
  readonly original: string
  readonly file: string
  readonly fresh: string
}

/**
 * The order matters when this is cut short: once the database has its other name, a start refuses
 * until a repair has been finished, and no old write-ahead log may ever stand beside the new file.
 */
function putInPlace({ original, file, fresh }: Swap): string {
  let damagedFile = original
  if (original === file) {
    const number = damagedFilesBeside(file).filter((name) => /\d$/.test(name)).length + 1
    damagedFile = `${file}.damaged-${number}`
    renameSync(file, damagedFile)
  }
  if (existsSync(`${file}-wal`)) renameSync(`${file}-wal`, `${damagedFile}-wal`)
  rmSync(`${file}-shm`, { force: true })
  renameSync(fresh, file)
  return damagedFile
}
