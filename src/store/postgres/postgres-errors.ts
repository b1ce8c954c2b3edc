import { isJuncturaError, JuncturaError, messageOf } from '../../kernel/index.ts'

/**
 * The engine's error as ours, for anything that failed before the commit was asked for.
 *
 * @see https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export const storeErrorOf = (error: unknown, schema: string): JuncturaError => {
  if (isJuncturaError(error)) return error
  const problem = messageOf(error)
  const state = sqlStateOf(error)
  if (state === '53100') {
    return new JuncturaError('JUNCTURA_STORE_FULL', { cause: error, details: { problem } })
  }
  if (state === 'XX001' || state === 'XX002') {
    const details = { file: `schema ${schema}`, problem }
    return new JuncturaError('JUNCTURA_STORE_DAMAGED', { cause: error, details })
  }
  return new JuncturaError('JUNCTURA_STORE_FAILED', { cause: error, details: { problem } })
}

/** What a commit says when its answer never came. */
export const unknownCommit = (error: unknown): JuncturaError =>
  new JuncturaError('JUNCTURA_STORE_UNKNOWN', {
    cause: error,
    details: { problem: messageOf(error) },
  })

/** Two transactions stood in each other's way; the same may succeed when it is run again. */
export const isConflict = (error: unknown): boolean => {
  const state = sqlStateOf(error)
  return state === '40001' || state === '40P01'
}

/**
 * Whether a statement failed because of the server, the connection or the disk, and not because of
 * what was asked: then the whole transaction is lost, not only one unit of it.
 */
export const isEngineFailure = (error: unknown): boolean => {
  const state = sqlStateOf(error)
  if (state === undefined) return !isJuncturaError(error)
  return /^(08|53|57P|58|XX|F0)/.test(state)
}

/** Whether the server has said so; otherwise what became of the statement is not known. */
export const isAnswer = (error: unknown): boolean =>
  isJuncturaError(error) || sqlStateOf(error) !== undefined

/**
 * Whether `EXPECTED` of the writer says so, or a table was made by a release that does not number
 * records by itself.
 */
export const isUnexpected = (error: unknown): boolean => {
  const state = sqlStateOf(error)
  return state === '22012' || state === '23502'
}

export const isUndefinedTable = (error: unknown): boolean => sqlStateOf(error) === '42P01'

/** The five characters of an answer of the server; undefined for an error of the connection. */
const sqlStateOf = (error: unknown): string | undefined => {
  // Node's own errors have a code too, and EPIPE is as long: only the server gives a severity.
  if (!(error instanceof Error) || !('severity' in error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
