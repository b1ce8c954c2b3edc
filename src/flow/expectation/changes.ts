import type { Expectation } from '../../contract/index.ts'
import type {
  ExpectationRow,
  ExpectationTotals,
  KeyedRow,
  RowWrite,
  Store,
} from '../../store/index.ts'
import { describeMissed } from './describe-missed.ts'
import { expectationWrite, missedCause, unreadableCause } from './expectation-rows.ts'
import { follow, type FollowRule, type Moment } from './follow.ts'
import type { Look } from './look.ts'

/** What one pass changes, as one commit. */
export interface Change {
  readonly rows: readonly RowWrite[]
  readonly counted: Partial<Record<keyof ExpectationTotals, number>>
  /** By how much there are more keys that wait, and that were missed. */
  readonly open: number
  readonly missed: number
  /** The earliest deadline among the rows that it writes. */
  readonly nextDueMs?: number
}

export interface ChangePorts {
  readonly expectation: Expectation
  readonly actors: readonly string[]
  readonly rule: FollowRule
  readonly store: Pick<Store, 'row'>
  readonly raiseAlert: (alert: ExpectationAlert) => readonly RowWrite[]
}

export interface ExpectationAlert {
  readonly kind: 'expectation-missed' | 'expectation-unreadable' | 'expectation-stopped'
  readonly cause: string
  readonly title: string
  readonly count: number
  readonly severity: 'critical' | 'warning'
}

/** What messages change; of the rows of one key only the last is written. */
export const changeByLooks = async (
  ports: ChangePorts,
  looks: readonly Look[],
  moment: Moment,
): Promise<Change> => {
  const { store, rule } = ports
  const keys = [...new Set(looks.flatMap((one) => (one.kind === 'seen' ? [one.rowKey] : [])))]
  const read = await Promise.all(keys.map((key) => store.row('expectations', key)))
  const before = new Map(keys.map((key, index) => [key, read[index]]))
  const after = new Map(before)
  const counted: Partial<Record<keyof ExpectationTotals, number>> = {}
  const unreadable: string[] = []
  for (const look of looks) {
    if (look.kind === 'nothing') continue
    if (look.kind === 'unreadable') {
      unreadable.push(look.messageId)
      count(counted, 'unreadable', 1)
      continue
    }
    const followed = follow(after.get(look.rowKey), look.seen, { rule, moment })
    after.set(look.rowKey, followed.row)
    for (const one of followed.counted) count(counted, one, 1)
  }
  const rows: RowWrite[] = []
  let [open, missed, nextDueMs] = [0, 0, Number.POSITIVE_INFINITY]
  for (const [key, row] of after) {
    const was = before.get(key)
    if (row === was) continue
    rows.push(expectationWrite(key, row))
    open += Number(row?.state === 'open') - Number(was?.state === 'open')
    missed += Number(row?.state === 'missed') - Number(was?.state === 'missed')
    if (row) nextDueMs = Math.min(nextDueMs, row.dueAtMs)
  }
  if (unreadable.length > 0) rows.push(...raiseUnreadable(ports, unreadable))
  return { rows, counted, open, missed, nextDueMs }
}

/** What time changes: keys that are due are missed, and told; what came early is forgotten. */
export const changeByTime = (
  { expectation, actors, raiseAlert }: ChangePorts,
  by: {
    readonly due: readonly KeyedRow<'expectations'>[]
    readonly gone: readonly KeyedRow<'expectations'>[]
  },
  { wallMs }: Moment,
): Change => {
  const { due, gone } = by
  const missedRow = (row: ExpectationRow): ExpectationRow => ({
    ...row,
    state: 'missed',
    missedAtMs: wallMs,
  })
  const rows: RowWrite[] = due.map(({ key, row }) => expectationWrite(key, missedRow(row)))
  rows.push(...gone.map(({ key }) => expectationWrite(key, undefined)))
  if (due.length > 0) {
    const { name, severity } = expectation
    const missed = due.map(({ row }) => row)
    const title = describeMissed(expectation, actors, missed)
    const alert = { kind: 'expectation-missed', cause: missedCause(name), title } as const
    rows.push(...raiseAlert({ ...alert, count: due.length, severity }))
  }
  const unexpected = gone.filter(({ row }) => row.state === 'early').length
  const counted = { missed: due.length, unexpected }
  return { rows, counted, open: -due.length, missed: due.length }
}

/** Missed keys that somebody has dealt with. */
export const forgetKeys = (keys: readonly string[]): Change => ({
  rows: keys.map((key) => expectationWrite(key, undefined)),
  counted: {},
  open: 0,
  missed: -keys.length,
})

export const withCounted = (
  totals: ExpectationTotals,
  counted: Change['counted'],
): ExpectationTotals => {
  const sum = { ...totals }
  for (const name of TOTALS) count(sum, name, counted[name] ?? 0)
  return sum
}

const TOTALS = [
  'opened',
  'met',
  'late',
  'undone',
  'missed',
  'unexpected',
  'unreadable',
] as const satisfies readonly (keyof ExpectationTotals)[]

function count(
  counted: Partial<Record<keyof ExpectationTotals, number>>,
  name: keyof ExpectationTotals,
  by: number,
): void {
  counted[name] = (counted[name] ?? 0) + by
}

function raiseUnreadable(
  { expectation: { name }, raiseAlert }: ChangePorts,
  ids: readonly string[],
): readonly RowWrite[] {
  const title =
    `expectation ${name} cannot tell what ${ids[0]} is about, so nothing is expected of it; ` +
    'make its correlate(…) take such data'
  return raiseAlert({
    kind: 'expectation-unreadable',
    cause: unreadableCause(name),
    title,
    count: ids.length,
    severity: 'warning',
  })
}
