import { unknownCommit } from './postgres-errors.ts'
import { type Session, type SqlRow, textAt } from './session.ts'
import type { StoreFate } from './writer.ts'

/**
 * The history that a server writes. A replica that is promoted, and a backup that is put back,
 * begin a new one, which may lack the end of the old: then nothing that this process remembers of
 * the store can be relied on, also where the positions look as they did. A pooler hides the change
 * of server from its clients, so it is asked for with each look at the log.
 */
export interface ServerLine {
  /** Of the server that this process has opened its store on; empty where no server can tell. */
  readonly name: string
  readonly timeline: string
  /** An expression of microseconds that gives the history that is written now. */
  readonly sql: string
  /** @throws JUNCTURA_STORE_UNKNOWN when it is not the one that the store was opened on. */
  check(now: unknown): void
}

export interface ServerLineOptions {
  readonly fate: StoreFate
  /** Called once, when the server has another history. */
  readonly onMoved: () => void
}

export const createServerLine = (
  { name, timeline }: LineName,
  { fate, onMoved }: ServerLineOptions,
): ServerLine => {
  let isMoved = false
  return {
    name,
    timeline,
    sql: timeline === '' ? `''::text` : TIMELINE,
    check(now) {
      if (now === timeline) return
      const problem = `the server wrote timeline ${timeline} and writes ${String(now)} now: a replica was promoted or a backup put back`
      const error = fate.lose(unknownCommit(problem))
      if (!isMoved) onMoved()
      isMoved = true
      throw error
    },
  }
}

export interface LineName {
  readonly name: string
  readonly timeline: string
}

/** Some hosted servers keep their log elsewhere and refuse: they fail over on one history. */
export const readLine = async (session: Session): Promise<LineName> => {
  const timeline = await textOrNothing(session, `select ${TIMELINE}`)
  const system = await textOrNothing(
    session,
    'select system_identifier::text from pg_control_system()',
  )
  return { name: `${system}/${timeline}`, timeline }
}

/** The first part of a log file's name; a server that only replays has none and says so. */
const TIMELINE = 'left(pg_walfile_name(pg_current_wal_lsn()), 8)'

const textOrNothing = async (session: Session, sql: string): Promise<string> => {
  let row: SqlRow | undefined
  try {
    ;[row] = await session.rows(sql)
  } catch (error) {
    if (isRefusal(error)) return ''
    throw error
  }
  return textAt(row, 0)
}

/** Not allowed, not there, or not made for this server; one that is in recovery is no refusal. */
const isRefusal = (error: unknown): boolean =>
  error instanceof Error &&
  'code' in error &&
  (error.code === '42501' || error.code === '42883' || error.code === '0A000')
