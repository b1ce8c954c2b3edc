import type { AnySaga } from '../contract/index.ts'
import { METRICS, type Metrics } from '../observe/index.ts'
import type { SagaEntryRow, SagaRunRow } from '../store/index.ts'

/** Counts what a turn of a run has changed, by comparing the run before it with the run after. */
export const createSagaMetrics = (
  metrics: Metrics,
): ((saga: AnySaga, before: SagaRunRow | undefined, after: SagaRunRow) => void) => {
  const started = metrics.counter(METRICS.sagasStarted)
  const ended = metrics.counter(METRICS.sagasEnded)
  const stuck = metrics.counter(METRICS.sagasStuck)
  const durations = metrics.histogram(METRICS.sagaStepDuration)
  const compensations = metrics.counter(METRICS.sagaCompensations)
  return (declared, before, after) => {
    const saga = declared.name
    const owner = declared.owner.name
    const isNew = before === undefined || before.state === 'unstarted'
    if (isNew && after.state !== 'unstarted') started.with({ saga, owner }).add(1)
    if (after.endedAtMs !== undefined && before?.endedAtMs === undefined) {
      ended.with({ saga, owner, outcome: after.state }).add(1)
    }
    const reason = whyStuck(after)
    if (reason !== undefined && reason !== (before && whyStuck(before))) {
      stuck.with({ saga, owner, reason }).add(1)
    }
    // Journals only grow: an entry keeps its place.
    for (const [place, entry] of after.entries.entries()) {
      const was = before?.entries[place]?.state
      if (was === entry.state) continue
      const step = stepOf(entry)
      if (entry.step.startsWith('undo:') && UNDONE.has(entry.state)) {
        compensations.with({ saga, step, outcome: entry.state }).add(1)
      }
      if (entry.endedAtMs === undefined || !TIMED.has(entry.kind)) continue
      const labels = { saga, step, owner: entry.owner ?? owner }
      durations.with(labels).record((entry.endedAtMs - entry.startedAtMs) / 1_000)
    }
  }
}

/** For a label what is declared: the name of an effect is made by code, of anything (F57). */
const stepOf = ({ contract, kind }: SagaEntryRow): string => contract ?? kind

const UNDONE: ReadonlySet<SagaEntryRow['state']> = new Set(['done', 'skipped', 'failed'])

/** Those that take time; the others end where they begin. */
const TIMED: ReadonlySet<SagaEntryRow['kind']> = new Set([
  'call',
  'run',
  'tx',
  'wait',
  'child',
  'gather',
  'first',
])

const whyStuck = ({ state, problem, isQuiet }: SagaRunRow): string | undefined => {
  if (state === 'compensation-stuck') return state
  if (problem) return problem.kind === 'person' ? undefined : problem.kind
  return isQuiet === true ? 'quiet' : undefined
}
