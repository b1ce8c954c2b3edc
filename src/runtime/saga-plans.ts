import { type Kernel, isJuncturaError, LIMITS, messageOf } from '../kernel/index.ts'
import type { SagaRunRow, Store } from '../store/index.ts'
import type { Operator, SagaFilter, SagaPlanAct } from './commands.ts'
import { refused } from './operations.ts'

/** The runs that a filter took when it was asked: what is done is done to exactly those. */
export interface SagaPlan {
  readonly token: string
  readonly act: SagaPlanAct
  readonly filter: SagaFilter
  readonly total: number
  /** False when more runs match than one plan may take; they need another one. */
  readonly complete: boolean
  readonly byState: Readonly<Record<string, number>>
  readonly oldestStartedAtMs?: number
  readonly runs: readonly SagaPlanRun[]
}

interface SagaPlanRun {
  readonly saga: string
  readonly key: string
  readonly id: string
}

/** What came of a plan. */
export interface SagaPlanResult {
  /** Runs that were asked; what became of each is in its `operations`. */
  readonly asked: number
  /** Runs that ended meanwhile, or are other runs of the same key by now. */
  readonly skipped: readonly { readonly saga: string; readonly key: string; readonly why: string }[]
}

type Bulk = Exclude<SagaPlanAct, 'retry-step'>
export type SagaRunCommand =
  | { readonly kind: `saga.${Bulk}`; readonly saga: string; readonly key: string }
  | {
      readonly kind: 'saga.retry-step'
      readonly saga: string
      readonly key: string
      readonly step: string
    }

export interface SagaPlanPorts {
  readonly kernel: Kernel
  readonly store: Pick<Store, 'row'>
  matching(filter: SagaFilter): AsyncIterable<SagaRunRow>
  find(saga: string, key: string): Promise<SagaRunRow | undefined>
  perform(command: SagaRunCommand, by: Operator): Promise<unknown>
}

/** Writes down what a filter takes; the result is kept with the operation that asked. */
export const planSagas = async (
  { kernel, matching }: SagaPlanPorts,
  { act, filter }: { readonly act: SagaPlanAct; readonly filter: SagaFilter },
): Promise<SagaPlan> => {
  if (Object.keys(filter).length === 0) {
    throw refused('the filter takes every run', 'name a saga, a state, an owner or a step')
  }
  if (act === 'retry-step' && filter.step === undefined) {
    throw refused('retry-step needs the step', 'give it in the filter')
  }
  const runs: SagaPlanRun[] = []
  const byState: Record<string, number> = {}
  let oldest = Number.POSITIVE_INFINITY
  let complete = true
  for await (const run of matching(filter)) {
    // What has ended cannot be changed.
    if (run.endedAtMs !== undefined || run.state === 'unstarted') continue
    if (runs.length >= LIMITS.operationIdsMax) {
      complete = false
      break
    }
    runs.push({ saga: run.saga, key: run.key, id: run.id })
    byState[run.state] = (byState[run.state] ?? 0) + 1
    oldest = Math.min(oldest, run.startedAtMs)
  }
  return {
    token: kernel.ids.next('token'),
    act,
    filter,
    total: runs.length,
    complete,
    byState,
    ...(runs.length > 0 && { oldestStartedAtMs: oldest }),
    runs,
  }
}

/**
 * Does what was planned, to the runs that were shown. The operation on each run has an id of the
 * plan, so a plan that is run again, also after a crash in the middle, does nothing twice.
 */
export const runSagaPlan = async (
  ports: SagaPlanPorts,
  { id, token }: { readonly id: string; readonly token: string },
  by: Operator,
): Promise<SagaPlanResult> => {
  const row = await ports.store.row('operations', id)
  const plan = row?.command === 'saga.plan' && row.state === 'done' ? row.result : undefined
  if (!isPlan(plan)) throw refused(`there is no plan ${id}`, 'make one with saga.plan')
  if (plan.token !== token) {
    throw refused('the token is not that of the plan', 'look at the plan and pass its token')
  }
  const skipped: SagaPlanResult['skipped'][number][] = []
  let asked = 0
  const one = async ({ saga, key, id: runId }: SagaPlanRun): Promise<void> => {
    const why = await refusalOf(
      ports,
      { plan, saga, key, runId },
      { ...by, operationId: `${id}.do` },
    )
    if (why === undefined) asked += 1
    else skipped.push({ saga, key, why })
  }
  for (let at = 0; at < plan.runs.length; at += AT_ONCE) {
    await Promise.all(plan.runs.slice(at, at + AT_ONCE).map(one))
  }
  return { asked, skipped }
}

/** Written in one group commit. */
const AT_ONCE = 50

const refusalOf = async (
  ports: SagaPlanPorts,
  of: {
    readonly plan: SagaPlan
    readonly saga: string
    readonly key: string
    readonly runId: string
  },
  by: Operator,
): Promise<string | undefined> => {
  const { plan, saga, key, runId } = of
  const run = await ports.find(saga, key)
  if (run?.id !== runId) return 'it is another run by now'
  // With the id of the run, which is its own for ever: each is told once.
  const own = { ...by, operationId: `${by.operationId}.${runId}` }
  const { act, filter } = plan
  try {
    if (act === 'retry-step') {
      for (const step of stepsOf(run, filter.step)) {
        await ports.perform({ kind: 'saga.retry-step', saga, key, step }, own)
      }
    } else await ports.perform({ kind: `saga.${act}`, saga, key }, own)
    return undefined
  } catch (error) {
    if (isJuncturaError(error, 'JUNCTURA_OPERATION_REFUSED')) return messageOf(error)
    throw error
  }
}

/** The first step of that name that the run stands at. */
const stepsOf = (run: SagaRunRow, step: string | undefined): readonly string[] =>
  step === undefined ? [] : [...standsAt(run, step)].slice(0, 1)

/** Steps of a run that are not over, by their name with or without occurrence. */
export function* standsAt({ entries }: SagaRunRow, wanted: string): Generator<string> {
  for (const { step, state } of entries) {
    const isOver = state === 'done' || state === 'declined' || state === 'dropped'
    if (isOver || state === 'skipped') continue
    if (step === wanted || step.replace(/#\d+$/, '') === wanted) yield step
  }
}

const isPlan = (value: unknown): value is SagaPlan =>
  typeof value === 'object' && value !== null && 'token' in value && 'runs' in value
