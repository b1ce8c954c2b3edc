import { decodeRecord } from '../../contract/index.ts'
import { isJuncturaError, LIMITS } from '../../kernel/index.ts'
import type { StoreProblem } from '../store.ts'
import { checkDurability } from './check-server.ts'
import type { LogView } from './known-layout.ts'
import type { LogTables } from './log-tables.ts'
import { integerAt, type Session, textAt } from './session.ts'
import { collectionNames, type StateTables } from './state-tables.ts'

export interface CheckParts {
  readonly session: Session
  readonly schema: string
  readonly log: LogTables
  readonly state: StateTables
  readonly view: LogView
}

/** Reads every record and every row, and the settings that the promise of the store rests on. */
export const checkStore = async (parts: CheckParts): Promise<readonly StoreProblem[]> => [
  ...(await checkDurability(parts.session)),
  ...(await longTransactions(parts.session)),
  ...(await checkLog(parts)),
  ...(await checkState(parts)),
]

/** What an acknowledged commit survives on this server, for the sessions that the store opens. */
export const durabilityOf = async (
  session: Session,
): Promise<'process' | 'fsync' | 'replicated'> => {
  const [row] = await session.rows(
    `select current_setting('fsync'), current_setting('synchronous_standby_names'),
            current_setting('synchronous_commit')`,
  )
  if (textAt(row, 0) !== 'on') return 'process'
  const replicated = textAt(row, 1) !== '' && textAt(row, 2) !== 'local' && textAt(row, 2) !== 'off'
  return replicated ? 'replicated' : 'fsync'
}

/**
 * A transaction that stays open keeps old versions of rows in every table of its database. Nothing
 * here waits for it, but what is updated often gets slower with each minute. A role sees those of
 * others only with `pg_monitor`.
 */
export const longTransactions = async (session: Session): Promise<readonly StoreProblem[]> => {
  const [row] = await session.rows(
    `select pid, application_name, round(extract(epoch from clock_timestamp() - xact_start) / 60)::integer
       from pg_stat_activity
      where datname = current_database() and backend_type = 'client backend'
        and xact_start < clock_timestamp() - $1 * interval '1 millisecond'
      order by xact_start limit 1`,
    LIMITS.longTransactionMs,
  )
  if (row === undefined) return []
  const name = textAt(row, 1)
  const who = name === '' ? '' : ` (${name})`
  return [
    {
      resource: 'long transaction',
      problem: `session ${integerAt(row, 0)}${who} has had a transaction open for ${integerAt(row, 2)} minutes`,
      fix: 'End it, or set idle_in_transaction_session_timeout for whoever opens such.',
    },
  ]
}

async function checkLog({ session, log, view }: CheckParts): Promise<readonly StoreProblem[]> {
  const problems: StoreProblem[] = []
  for (let before = view.head + 1; ;) {
    const query = { beforePosition: before, limit: CHECKED_RECORDS }
    const records = await log.backwards(session, view, query)
    for (const { position, bytes } of records) {
      before = position
      const problem = damageOf(bytes, position)
      if (problem === undefined) continue
      const fix = 'restore the database from a backup, or have the sender send it again'
      problems.push({ resource: `record at position ${position}`, problem, fix })
    }
    if (records.length < CHECKED_RECORDS) return problems
  }
}

/** Few at a time: records may be large, and all of a page are in memory at once. */
const CHECKED_RECORDS = Math.floor(LIMITS.sqlBytesMax / LIMITS.recordBytesMax) * 16

function damageOf(bytes: Uint8Array, position: number): string | undefined {
  try {
    decodeRecord(bytes, position)
    return undefined
  } catch (error) {
    if (isJuncturaError(error)) return error.message
    throw error
  }
}

async function checkState({ session, schema, state }: CheckParts): Promise<StoreProblem[]> {
  const problems: StoreProblem[] = []
  for (const collection of collectionNames()) {
    for (const key of await state.damagedKeys(session, collection)) {
      problems.push({
        resource: `row ${JSON.stringify(key)} of ${collection} in schema ${schema}`,
        problem: 'its checksum does not match',
        fix: 'restore the database from a backup',
      })
    }
  }
  return problems
}
