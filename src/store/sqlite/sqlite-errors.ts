import { type ErrorCode, isJuncturaError, JuncturaError, messageOf } from '../../kernel/index.ts'

/**
 * Where the engine failed: once `commit` was sent, the outcome may be unknown. While the store is
 * opened all statements are ours, so one that fits no table says that the schema is damaged.
 */
export type StorePhase = 'open' | 'read' | 'write' | 'commit'

/**
 * The engine's error as ours.
 *
 * A failed fsync is never retried: the kernel may have dropped the pages it could not write, so a
 * second fsync that succeeds says nothing about them (F21).
 */
export const storeErrorOf = (error: unknown, file: string, phase: StorePhase): JuncturaError => {
  // What we wrote has the types we read: while the store is opened, others are damage.
  const isDamage = phase === 'open' && isJuncturaError(error, 'JUNCTURA_INVARIANT')
  if (isJuncturaError(error) && !isDamage) return error
  const options = { cause: error, details: { file, problem: messageOf(error) } }
  if (isDamage) return new JuncturaError('JUNCTURA_STORE_DAMAGED', options)
  return new JuncturaError(codeOf(resultCodeOf(error), phase), options)
}

function codeOf(resultCode: number | undefined, phase: StorePhase): ErrorCode {
  if (resultCode === SQLITE_FULL) return 'JUNCTURA_STORE_FULL'
  if (DAMAGE.has(resultCode ?? 0)) return 'JUNCTURA_STORE_DAMAGED'
  if (resultCode === SQLITE_ERROR && phase === 'open') return 'JUNCTURA_STORE_DAMAGED'
  if (resultCode === SQLITE_IOERR && phase === 'commit') return 'JUNCTURA_STORE_UNKNOWN'
  return 'JUNCTURA_STORE_FAILED'
}

/** Whether the error came from the engine or the disk, and not from what was asked of it. */
export const isEngineFailure = (error: unknown): boolean => {
  const code = resultCodeOf(error)
  return code !== undefined && !CALLERS_FAULTS.has(code)
}

export const isBusy = (error: unknown): boolean => resultCodeOf(error) === SQLITE_BUSY

export const isFull = (error: unknown): boolean => resultCodeOf(error) === SQLITE_FULL

/** Whether the engine can make nothing of the file. */
export const isUnreadable = (error: unknown): boolean => DAMAGE.has(resultCodeOf(error) ?? 0)

/** @see https://www.sqlite.org/rescode.html */
const SQLITE_ERROR = 1
const SQLITE_BUSY = 5
const SQLITE_IOERR = 10
const SQLITE_CORRUPT = 11
const SQLITE_FULL = 13
const SQLITE_TOOBIG = 18
const SQLITE_CONSTRAINT = 19
const SQLITE_MISMATCH = 20
const SQLITE_RANGE = 25
const SQLITE_NOTADB = 26

const DAMAGE: ReadonlySet<number> = new Set([SQLITE_CORRUPT, SQLITE_NOTADB])

const CALLERS_FAULTS: ReadonlySet<number> = new Set([
  SQLITE_ERROR,
  SQLITE_TOOBIG,
  SQLITE_CONSTRAINT,
  SQLITE_MISMATCH,
  SQLITE_RANGE,
])

/** The primary result code; the engine gives the extended one, which holds it in its low byte. */
function resultCodeOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined
  return typeof error.errcode === 'number' ? error.errcode & 0xff : undefined
}
