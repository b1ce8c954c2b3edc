import type { AnySaga } from '../contract/index.ts'
import { runKey, type SagaAct, sagaContract, type SagaEngine } from '../flow/index.ts'
import type { Inbox } from '../inbox/index.ts'
import { JuncturaError, LIMITS, must } from '../kernel/index.ts'
import { METRICS } from '../observe/index.ts'
import type { OperationRow, SagaRunRow, ScanQuery } from '../store/index.ts'
import type { OperationCommand, Operator, SagaFilter } from './commands.ts'
import { refused } from './operations.ts'
import { eachRow } from './paging.ts'
import type { Foundations } from './pipeline.ts'
import { createSagaMasks } from './saga-masks.ts'
import { planSagas, runSagaPlan, type SagaPlanPorts, standsAt } from './saga-plans.ts'
import {
  describeRun,
  SAGA_LIVE_STATES,
  type SagaLiveState,
  type SagaRunView,
  type SagaSummary,
  unbroughtOf,
} from './saga-views.ts'
import type { Page, PageQuery } from './views.ts'

export interface SagaQuery extends PageQuery, SagaFilter {
  /** Runs that hold events which nobody will take. */
  readonly isParked?: boolean
}

/** What people see of sagas, and what they do to a run. */
export interface SagaDesk {
  /** Each saga with its live runs by state. */
  summaries(): Promise<readonly SagaSummary[]>
  /**
   * Newest first where no index orders otherwise. A page may have fewer runs than asked for, or
   * none, and a `next`: a filter reads so many rows at a time and no more.
   */
  list(query: SagaQuery): Promise<Page<SagaRunView>>
  find(saga: string, key: string): Promise<SagaRunView | undefined>
  /** An operation without the personal data that it was given for a saga. */
  masked(row: OperationRow): OperationRow
  /**
   * Puts what a person asked for into the run's lane, where it is done in order and once; what came
   * of it is in `operations` of the run.
   */
  operate(command: SagaCommand, by: Operator): Promise<unknown>
}

export type SagaCommand = Extract<OperationCommand, { readonly kind: `saga.${string}` }>

type OnRun = Exclude<SagaCommand, { readonly kind: 'saga.start' | 'saga.plan' | 'saga.run-plan' }>
type OnStart = Extract<SagaCommand, { readonly kind: 'saga.start' }>

/** Rows that one page of a filter reads at most. */
const SEARCH_ROWS_MAX = 5_000

export const createSagaDesk = (
  parts: Foundations & { readonly inbox: Inbox; readonly sagas: SagaEngine },
): SagaDesk => {
  const { store, committer, integration, inbox, sagas, kernel, metrics } = parts
  const masks = createSagaMasks(integration, parts.masks)
  const read = (saga: string, key: string): Promise<SagaRunRow | undefined> =>
    store.row('sagaRuns', runKey(saga, key))
  const view = (row: SagaRunRow): SagaRunView => ({
    ...masks.run(row),
    ...describeRun(row, integration),
  })

  const sagaNamed = (name: string): AnySaga => {
    const saga = integration.sagas.find((one) => one.name === name)
    if (saga) return saga
    throw new JuncturaError('JUNCTURA_NOT_FOUND', { details: { what: 'saga', id: name } })
  }

  const post = async (
    saga: AnySaga,
    record: { readonly id: string; readonly key: string; readonly [member: string]: unknown },
  ): Promise<void> => {
    const run = await read(saga.name, record.key)
    const append = inbox.ownAppend(
      { contract: sagaContract(saga.name), data: record },
      {
        id: `${record.id}.${saga.name}`,
        source: `/sagas/${saga.name}/operations`,
        correlationId: run?.correlationId ?? record.id,
      },
    )
    const outcome = await committer.submit({ appends: [append], isInternal: true })
    if (outcome.status === 'failed') throw outcome.error
  }

  const start = async ({ saga: name, data }: OnStart, id: string): Promise<unknown> => {
    const saga = sagaNamed(name)
    const { on } = saga
    // Checked as if it had been published.
    const append = inbox.ownAppend(
      { contract: on, data },
      { id, source: '/operations', correlationId: id },
    )
    const { envelope } = must(append.record, 'what is appended here has its record').head
    const key = saga.correlate.get(on.name)?.(data) ?? envelope.partitionkey
    const run = await read(name, key)
    // The same operation, cut off before its record was written, has begun it already.
    if (run && run.state !== 'unstarted' && run.startId !== id) {
      throw refused(`${name} ${key} is ${run.state}`, 'a key runs once until its run is forgotten')
    }
    await post(saga, { kind: 'start', key, id, type: on.name, data, correlationId: id })
    return { saga: name, key }
  }

  const signal = async (
    { saga: name, key, type, data }: Extract<OnRun, { readonly kind: 'saga.signal' }>,
    id: string,
  ): Promise<unknown> => {
    const saga = sagaNamed(name)
    const contract = saga.uses.find((one) => one.part === 'contract' && one.name === type)
    if (contract?.part !== 'contract' || contract.kind !== 'event') {
      throw refused(`saga ${name} waits for no ${type}`, 'name an event of its `uses`')
    }
    // Checked as if it had been published.
    inbox.ownAppend({ contract, data }, { id, source: '/operations', correlationId: id })
    const time = new Date(kernel.clock.now()).toISOString()
    await post(saga, { kind: 'event', key, id, type, data, time })
    return { saga: name, key }
  }

  const onRun = async (command: OnRun, by: Operator): Promise<unknown> => {
    const saga = sagaNamed(command.saga)
    const { key } = command
    const id = by.operationId ?? kernel.ids.next('op')
    if (command.kind === 'saga.signal') return signal(command, id)
    const run = await read(saga.name, key)
    if (!run) {
      throw new JuncturaError('JUNCTURA_NOT_FOUND', {
        details: { what: `run of saga ${saga.name}`, id: key },
      })
    }
    if (run.endedAtMs !== undefined) {
      throw refused(`${saga.name} ${key} is ${run.state}`, 'it has ended; nothing can be changed')
    }
    if ('step' in command && !run.entries.some(({ step }) => step === command.step)) {
      const open = run.entries.filter(({ endedAtMs }) => endedAtMs === undefined)
      const names = open.map(({ step }) => step).join(', ') || 'none is open'
      throw refused(`${saga.name} ${key} has no step ${command.step}`, `use one of: ${names}`)
    }
    const act = ACTS[command.kind]
    const record = {
      kind: 'operate',
      key,
      act,
      id,
      actor: by.actor,
      reason: by.reason,
      ...('step' in command && { step: command.step }),
      ...('value' in command && { value: command.value }),
    }
    await post(saga, record)
    if (act === 'cancel' || act === 'terminate') sagas.interrupt(saga.name, key)
    return { saga: saga.name, key, act }
  }

  const plans: SagaPlanPorts = {
    kernel,
    store,
    find: read,
    perform: onRun,
    async *matching(filter) {
      checkFilter(filter)
      for await (const { row } of eachRow(store, scanOf(filter))) if (fits(row, filter)) yield row
    },
  }

  const checkFilter = ({ saga, owner }: SagaFilter): void => {
    if (saga !== undefined) sagaNamed(saga)
    const owners = new Set(integration.sagas.map((one) => one.owner.name))
    if (owner === undefined || owners.has(owner)) return
    throw refused(`${owner} owns no saga`, `use one of: ${[...owners].join(', ') || 'none'}`)
  }

  const summaryOf = async (saga: AnySaga): Promise<SagaSummary> => {
    const live: Record<SagaLiveState, number> = {
      unstarted: 0,
      running: 0,
      paused: 0,
      compensating: 0,
      'compensation-stuck': 0,
    }
    const bySaga = { collection: 'sagaRuns', index: 'bySaga' } as const
    for (const state of SAGA_LIVE_STATES) {
      live[state] = await store.count({ ...bySaga, where: [saga.name, state] })
    }
    const [oldest] = await store.scan({ ...bySaga, where: [saga.name, 'running'], limit: 1 })
    return {
      name: saga.name,
      owner: saga.owner.name,
      ...(saga.summary !== undefined && { summary: saga.summary }),
      version: saga.version,
      supports: saga.supports,
      on: saga.on.name,
      live,
      ...(oldest && { oldestStartedAtMs: oldest.row.startedAtMs }),
      unbrought: unbroughtOf(saga, integration),
    }
  }

  let counted: readonly SagaSummary[] = []
  metrics.observe(METRICS.sagaRuns, () =>
    counted.flatMap(({ name, owner, live }) =>
      SAGA_LIVE_STATES.map((state) => ({
        labels: { saga: name, owner, state },
        value: live[state],
      })),
    ),
  )

  return {
    async summaries() {
      counted = await Promise.all(integration.sagas.map(summaryOf))
      return counted
    },
    async find(saga, key) {
      const run = await read(saga, key)
      return run && view(run)
    },
    masked: (row) => masks.operation(row),
    async list(query) {
      const limit = Math.min(LIMITS.pageRowsMax, Math.max(1, query.limit ?? 50))
      const items: SagaRunView[] = []
      const { after } = query
      const from = { ...scanOf(query), ...(after !== undefined && { after }) }
      let seen = 0
      let last: string | undefined
      for await (const { key, row } of eachRow(store, from)) {
        // One more is known to be there, so that a last page has no `next`.
        if (items.length >= limit || seen >= SEARCH_ROWS_MAX) {
          return { items, ...(last !== undefined && { next: last }) }
        }
        seen += 1
        last = key
        if (fits(row, query)) items.push(view(row))
      }
      return { items }
    },
    async operate(command, by) {
      const id = by.operationId ?? kernel.ids.next('op')
      if (command.kind === 'saga.start') return start(command, id)
      if (command.kind === 'saga.plan') return planSagas(plans, command)
      if (command.kind === 'saga.run-plan') return runSagaPlan(plans, command, by)
      return onRun(command, { ...by, operationId: id })
    },
  }
}

type Scan = Omit<ScanQuery<'sagaRuns'>, 'limit' | 'after'>

/** The narrowest index; the rest of the filter is held against each row. */
const scanOf = ({ saga, state, isParked }: SagaQuery): Scan => {
  const all = { collection: 'sagaRuns', reverse: true } as const
  if (isParked === true) return { ...all, index: 'byParked' }
  if (saga === undefined) return all
  return { ...all, index: 'bySaga', where: state === undefined ? [saga] : [saga, state] }
}

const fits = (run: SagaRunRow, query: SagaQuery): boolean =>
  (query.saga ?? run.saga) === run.saga &&
  (query.state ?? run.state) === run.state &&
  (query.owner ?? run.owner) === run.owner &&
  run.startedAtMs < (query.startedBeforeMs ?? Number.POSITIVE_INFINITY) &&
  (query.step === undefined || !standsAt(run, query.step).next().done)

const ACTS: Readonly<Record<Exclude<OnRun['kind'], 'saga.signal'>, SagaAct>> = {
  'saga.cancel': 'cancel',
  'saga.terminate': 'terminate',
  'saga.pause': 'pause',
  'saga.resume': 'resume',
  'saga.retry-step': 'retry-step',
  'saga.skip-step': 'skip-step',
  'saga.edit-step': 'edit-step',
}
