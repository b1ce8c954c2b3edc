import type { ExpectationRow, ExpectationTotals } from '../../store/index.ts'

/** A message that an expectation looks at, as it is taken in. */
export interface Seen {
  /** As it may be shown. */
  readonly key: string
  readonly messageId: string
  readonly type: string
  readonly position: number
  readonly correlationId: string
  readonly atMs: number
  readonly begins: boolean
  /** What it does to a key that waits. */
  readonly ends: 'met' | 'undone' | undefined
}

export interface FollowRule {
  readonly expectation: string
  readonly withinMs: number
  readonly earlyMs: number
  /** The least that is left when a message is taken in late. */
  readonly graceMs: number
}

export interface Moment {
  /** The expectation's clock. */
  readonly clockMs: number
  readonly wallMs: number
}

export interface Followed {
  readonly row: ExpectationRow | undefined
  readonly counted: readonly (keyof ExpectationTotals)[]
}

/**
 * What one message makes of the row of its key.
 *
 * No row → `open` by what begins → gone by what ends. `open` → `missed` at its deadline, which is
 * not decided here → gone by what ends, late. No row → `early` by what ends → gone by what begins,
 * if that is not too far behind it.
 *
 * Decides by the times of the messages and of the expectation's clock alone, so that it is the same
 * whenever the log is read.
 */
export const follow = (
  row: ExpectationRow | undefined,
  seen: Seen,
  at: { readonly rule: FollowRule; readonly moment: Moment },
): Followed => {
  const { rule, moment } = at
  if (!seen.begins) return seen.ends ? end(row, seen, seen.ends, at) : { row, counted: [] }
  if (!seen.ends) return begin(row, seen, at)
  // A sign of life: it ends one wait and begins the next, and never comes early.
  const ended = row && waits(row) ? end(row, seen, seen.ends, at) : NOTHING
  const begun = open(seen, rule, moment)
  return { row: begun.row, counted: [...ended.counted, ...begun.counted] }
}

const NOTHING: Followed = { row: undefined, counted: [] }

/** Whether something is still to come for it. */
const waits = ({ state }: ExpectationRow): boolean => state === 'open' || state === 'missed'

type At = { readonly rule: FollowRule; readonly moment: Moment }

function begin(row: ExpectationRow | undefined, seen: Seen, { rule, moment }: At): Followed {
  if (row && waits(row)) return { row, counted: [] }
  if (row && row.seenAtMs >= seen.atMs - rule.earlyMs) {
    return { row: undefined, counted: ['opened', row.state === 'undone' ? 'undone' : 'met'] }
  }
  const opened = open(seen, rule, moment)
  if (row?.state !== 'early') return opened
  return { ...opened, counted: ['unexpected', ...opened.counted] }
}

function open(seen: Seen, rule: FollowRule, { clockMs, wallMs }: Moment): Followed {
  const { withinMs, graceMs } = rule
  // What stood in the log while nobody read it had nobody to answer it either.
  const ageMs = Math.min(Math.max(0, wallMs - seen.atMs), withinMs)
  const dueAtMs = clockMs + Math.max(withinMs - ageMs, Math.min(withinMs, graceMs))
  return { row: { ...rowOf(rule, seen), state: 'open', dueAtMs }, counted: ['opened'] }
}

function end(
  row: ExpectationRow | undefined,
  seen: Seen,
  how: 'met' | 'undone',
  { rule, moment }: At,
): Followed {
  if (row && waits(row)) {
    const isLate = row.state === 'missed' || seen.atMs - row.seenAtMs > rule.withinMs
    return { row: undefined, counted: [how === 'undone' || !isLate ? how : 'late'] }
  }
  if (rule.earlyMs === 0) return { row, counted: how === 'met' ? ['unexpected'] : [] }
  const early: ExpectationRow = {
    ...rowOf(rule, seen),
    state: how === 'undone' ? 'undone' : 'early',
    dueAtMs: moment.clockMs + rule.earlyMs + rule.graceMs,
  }
  return { row: early, counted: row?.state === 'early' ? ['unexpected'] : [] }
}

const rowOf = (
  { expectation }: FollowRule,
  { key, messageId, type, position, correlationId, atMs }: Seen,
): Omit<ExpectationRow, 'state' | 'dueAtMs'> => ({
  expectation,
  key,
  seenAtMs: atMs,
  messageId,
  type,
  position,
  correlationId,
})
