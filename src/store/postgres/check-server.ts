import { LIMITS } from '../../kernel/index.ts'
import type { StoreFinding, StoreNeeds } from '../store.ts'
import { integerAt, type Session, type SqlRow, textAt } from './session.ts'

/** Asks the live server about all that the promises of the store rest on. Changes nothing. */
export const checkServer = async (
  session: Session,
  { schema, needs }: { readonly schema: string; readonly needs: StoreNeeds },
): Promise<readonly StoreFinding[]> => {
  const settings = await readSettings(session)
  return [
    ...durabilityFindings(settings, needs),
    ...(await replicationFindings(session, settings, needs)),
    ...timeoutFindings(settings),
    ...(await rightFindings(session, schema, needs)),
    ...(await connectionFindings(session)),
  ]
}

/** Those settings alone that let a commit be lost which was acknowledged. */
export const checkDurability = async (session: Session): Promise<readonly StoreFinding[]> =>
  durabilityFindings(await readSettings(session), { durableContracts: [], hasTables: false })

type Settings = ReadonlyMap<string, string>

const VERSION_MIN = 150_000

/** What a process of the store opens at most: two that write, one that listens, and its readers. */
const CONNECTIONS = LIMITS.postgresReadersMax + 3

const readSettings = async (session: Session): Promise<Settings> => {
  const rows = await session.rows(
    `select name, case when unit = 'ms' then setting else current_setting(name) end
       from pg_settings where name = any($1::text[])`,
    SETTINGS,
  )
  return new Map(rows.map((row) => [textAt(row, 0), textAt(row, 1)]))
}

/** Those of a later release are not in `pg_settings` of an earlier one. */
const SETTINGS = [
  'server_version_num',
  'server_version',
  'fsync',
  'full_page_writes',
  'wal_level',
  'synchronous_commit',
  'synchronous_standby_names',
  'statement_timeout',
  'transaction_timeout',
  'idle_session_timeout',
]

const of = (settings: Settings, name: string): string => settings.get(name) ?? ''

const settingFinding = (
  severity: StoreFinding['severity'],
  setting: string,
  text: { readonly problem: string; readonly fix: string },
): StoreFinding => ({ severity, resource: `PostgreSQL setting ${setting}`, ...text })

function durabilityFindings(settings: Settings, needs: StoreNeeds): readonly StoreFinding[] {
  const findings: StoreFinding[] = []
  const say = (
    severity: StoreFinding['severity'],
    setting: string,
    problem: string,
    fix: string,
  ): void => void findings.push(settingFinding(severity, setting, { problem, fix }))
  if (Number(of(settings, 'server_version_num')) < VERSION_MIN) {
    const problem = `${of(settings, 'server_version')}: older than PostgreSQL 15, the oldest that is tested`
    say('error', 'server_version', problem, 'upgrade the server')
  }
  if (of(settings, 'fsync') !== 'on') {
    const problem = `off: what was acknowledged is lost with the power${promisedBy(needs)}`
    say('error', 'fsync', problem, 'set fsync = on')
  }
  if (of(settings, 'full_page_writes') !== 'on') {
    const problem = 'off: a page that was being written when the power failed stays torn'
    say('error', 'full_page_writes', problem, 'set full_page_writes = on')
  }
  return findings
}

/** `; promised for orders.placed, orders.paid and 3 more` */
function promisedBy({ durableContracts }: StoreNeeds): string {
  const [...named] = durableContracts.slice(0, NAMED)
  if (named.length === 0) return ''
  const more = durableContracts.length - named.length
  return `; it is promised for ${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

const NAMED = 5

async function replicationFindings(
  session: Session,
  settings: Settings,
  needs: StoreNeeds,
): Promise<readonly StoreFinding[]> {
  const [row] = await session.rows(
    `select (select count(*) from pg_stat_replication),
            (select count(*) from pg_replication_slots where slot_type = 'physical')`,
  )
  const replicas = integerAt(row, 0)
  const standbys = of(settings, 'synchronous_standby_names')
  const waits = of(settings, 'synchronous_commit')
  const expected = replicas > 0 || integerAt(row, 1) > 0
  if (standbys === '' && expected) {
    const problem =
      'replicas are asynchronous: when one is promoted, what was acknowledged in the last ' +
      `moments before is lost${promisedBy(needs)}`
    const fix = `set synchronous_standby_names, for example 'ANY 1 (*)' with two replicas`
    return [settingFinding('warning', 'synchronous_standby_names', { problem, fix })]
  }
  if (standbys === '' && of(settings, 'wal_level') === 'minimal') {
    const problem = 'minimal: no replica can follow, and no backup be put back to a point in time'
    const fix = 'set wal_level = replica'
    return [settingFinding('warning', 'wal_level', { problem, fix })]
  }
  if (standbys === '') return []
  const findings: StoreFinding[] = []
  if (waits === 'off' || waits === 'local') {
    const problem = `${waits}: the store's own commits wait for replicas all the same; statements outside of them do not`
    const fix = 'set synchronous_commit = on'
    findings.push(settingFinding('warning', 'synchronous_commit', { problem, fix }))
  }
  if (waits === 'remote_write') {
    const problem =
      'remote_write: a commit waits until a replica has heard of it, not until it is on its disk'
    const fix = 'set synchronous_commit = on'
    findings.push(settingFinding('warning', 'synchronous_commit', { problem, fix }))
  }
  if (replicas < 2) {
    const problem = `${replicas} replica(s) stream now: without any, every commit waits until one is back`
    const fix = `run two replicas, with synchronous_standby_names = 'ANY 1 (*)'`
    findings.push(settingFinding('warning', 'synchronous_standby_names', { problem, fix }))
  }
  return findings
}

/** The store sets its own for what it holds locks in; these end it in other places. */
function timeoutFindings(settings: Settings): readonly StoreFinding[] {
  const shortest = [
    ['statement_timeout', LIMITS.sqlStatementMs],
    ['transaction_timeout', LIMITS.sqlStatementMs + LIMITS.orderLockWaitMs],
    ['idle_session_timeout', Infinity],
  ] as const
  return shortest.flatMap(([setting, leastMs]) => {
    const ms = Number(settings.get(setting) ?? '0')
    if (ms === 0 || ms >= leastMs) return []
    const isListener = setting === 'idle_session_timeout'
    const problem = isListener
      ? `${ms} ms: the connection that listens is ended while nothing happens, and messages wait longer`
      : `${ms} ms: ends statements that the store gives ${LIMITS.sqlStatementMs} ms and more`
    const fix = `alter role … set ${setting} = 0 for the role of the store`
    return [settingFinding('warning', setting, { problem, fix })]
  })
}

async function rightFindings(
  session: Session,
  schema: string,
  { hasTables }: StoreNeeds,
): Promise<readonly StoreFinding[]> {
  const [row] = await session.rows(
    `select current_user::text,
            has_schema_privilege($1, 'create'),
            has_schema_privilege('public', 'create'),
            pg_has_role('pg_read_all_stats', 'usage'),
            (select count(*) from pg_class where relnamespace = $1::regnamespace
                and relkind = 'r' and not pg_has_role(relowner, 'usage'))`,
    schema,
  )
  const role = textAt(row, 0)
  const findings: StoreFinding[] = []
  const say = (severity: StoreFinding['severity'], problem: string, fix: string): void =>
    void findings.push({ severity, resource: `rights of role ${role}`, problem, fix })
  if (!isTrue(row, 1)) {
    const problem = `it may not create tables in schema ${schema}: the log cannot begin its next partition`
    say('error', problem, `grant create on schema ${schema} to ${role}`)
  }
  if (integerAt(row, 4) > 0) {
    const problem = `${integerAt(row, 4)} table(s) in schema ${schema} belong to another role: retention cannot drop them`
    say('error', problem, `alter table … owner to ${role}, for each table in ${schema}`)
  }
  if (hasTables && !isTrue(row, 2)) {
    const problem = 'it may not create tables in schema public, where those of the integration live'
    say('warning', problem, `grant create on schema public to ${role}, or make them beforehand`)
  }
  if (!isTrue(row, 3)) {
    const problem = 'it does not see the sessions of others: one that holds things up has no name'
    say('warning', problem, `grant pg_read_all_stats to ${role}`)
  }
  return findings
}

const isTrue = (row: SqlRow | undefined, column: number): boolean => row?.[column] === true

/** What is left for a process of this role, beside those that are connected now. */
async function connectionFindings(session: Session): Promise<readonly StoreFinding[]> {
  const [row] = await session.rows(
    `select current_setting('max_connections')::integer
              - current_setting('superuser_reserved_connections')::integer
              - coalesce(current_setting('reserved_connections', true)::integer, 0),
            (select sum(numbackends)::integer from pg_stat_database),
            (select rolconnlimit from pg_roles where rolname = current_user),
            (select count(*) from pg_stat_activity where usename = current_user),
            (select datconnlimit from pg_database where datname = current_database()),
            (select numbackends from pg_stat_database where datname = current_database())`,
  )
  const limits = [
    { name: 'max_connections', limit: integerAt(row, 0), used: integerAt(row, 1) },
    { name: 'connection limit of the role', limit: integerAt(row, 2), used: integerAt(row, 3) },
    { name: 'connection limit of the database', limit: integerAt(row, 4), used: integerAt(row, 5) },
  ]
  return limits.flatMap(({ name, limit, used }): readonly StoreFinding[] => {
    if (limit < 0) return []
    const resource = `PostgreSQL ${name}`
    const fix = `leave room for ${CONNECTIONS} connections of each process, and for one more process while it is replaced`
    if (limit < CONNECTIONS) {
      const problem = `${limit} in all: one process takes up to ${CONNECTIONS}`
      return [{ severity: 'error', resource, problem, fix }]
    }
    const free = limit - used
    if (free >= CONNECTIONS) return []
    const problem = `${Math.max(0, free)} of ${limit} are free now: another process takes up to ${CONNECTIONS}`
    return [{ severity: 'warning', resource, problem, fix }]
  })
}
