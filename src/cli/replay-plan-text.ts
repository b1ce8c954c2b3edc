import { type Clock, formatDuration, JuncturaError } from '../kernel/index.ts'
import type { ReplayFilter, ReplayPlan, ReplayView } from '../runtime/index.ts'
import { escapeControl } from '../security/index.ts'
import { parseMoment } from './human-time.ts'
import type { Paint } from './paint.ts'
import { renderFacts, renderTable } from './table.ts'

/** What the options of `replay plan` say. */
export interface PlanOptions {
  readonly from?: string
  readonly consumer?: string
  readonly cause?: string
  readonly type?: string
  readonly key?: string
  readonly since?: string
  readonly until?: string
  readonly fromPosition?: number
  readonly toPosition?: number
  readonly rate?: number
}

/** @throws JUNCTURA_USAGE when an option holds no usable value. */
export const planFilter = (options: PlanOptions, clock: Pick<Clock, 'now'>): ReplayFilter => {
  const { from, consumer, cause, type, key, since, until, fromPosition, toPosition } = options
  if (from !== undefined && from !== 'dead-letters' && from !== 'messages') {
    throw new JuncturaError('JUNCTURA_USAGE', {
      details: {
        problem: `--from: ${JSON.stringify(from)} is not a place to replay from`,
        fix: 'write --from dead-letters or --from messages',
      },
    })
  }
  return {
    ...(from !== undefined && { from }),
    ...(consumer !== undefined && { consumer }),
    ...(cause !== undefined && { cause }),
    ...(type !== undefined && { type }),
    ...(key !== undefined && { key }),
    ...(fromPosition !== undefined && { fromPosition }),
    ...(toPosition !== undefined && { toPosition }),
    ...(since !== undefined && { sinceMs: parseMoment(since, clock, '--since') }),
    ...(until !== undefined && { untilMs: parseMoment(until, clock, '--until') }),
  }
}

/** The plan as a person decides on it: how much, of what, how old, and what to beware of. */
export const renderPlan = (replay: ReplayView, paint: Paint): string => {
  const plan = planOf(replay)
  const lastsMs = (plan.total / replay.ratePerSecond) * 1_000
  const facts = renderFacts(
    [
      ['replay', replay.id],
      ['messages', plan.total],
      ['keys', plan.keys],
      ['done before', `${plan.alreadyDone} (not run again under replay: safe)`],
      ['past dedupe', plan.pastDedupeRetention],
      [
        'rate',
        `${replay.ratePerSecond}/s, about ${formatDuration(Math.ceil(lastsMs / 1_000) * 1_000)}`,
      ],
      ['token', replay.token],
    ],
    paint,
  )
  const causes = renderTable(
    [
      { title: 'COUNT', align: 'right', cell: (one) => one.count },
      { title: 'CAUSE', cell: (one) => one.cause },
      { title: 'WHAT', cell: (one) => one.title },
    ],
    plan.byCause,
    { paint },
  )
  const ages = renderTable(
    [
      { title: 'COUNT', align: 'right', cell: (one) => one.count },
      { title: 'OLDER THAN', cell: (one) => one.olderThan },
    ],
    plan.byAge,
    { paint },
  )
  const warnings = plan.warnings.map(
    (text) => `${paint('yellow', 'beware')} ${escapeControl(text)}`,
  )
  return [
    facts,
    ...(plan.byCause.length > 0 ? ['', causes] : []),
    ...(plan.byAge.length > 0 ? ['', ages] : []),
    ...(warnings.length > 0 ? ['', ...warnings] : []),
    '',
    `Run it: junctura replay run ${replay.id} --token ${replay.token} --watch`,
  ].join('\n')
}

const NO_PLAN: ReplayPlan = {
  total: 0,
  alreadyDone: 0,
  byCause: [],
  byAge: [],
  keys: 0,
  pastDedupeRetention: 0,
  warnings: [],
}

const planOf = (replay: ReplayView): ReplayPlan =>
  typeof replay.plan === 'object' && replay.plan !== null
    ? { ...NO_PLAN, ...replay.plan }
    : { ...NO_PLAN, total: replay.total }
