import type { AnySaga } from '../contract/index.ts'
import { type SagaAct, sagaContract, type SagaEngine, runKey } from '../flow/index.ts'
import type { Inbox } from '../inbox/index.ts'
import { JuncturaError, LIMITS } from '../kernel/index.ts'
import { createMasker, type Masker } from '../security/index.ts'
import type { KeyedRow, SagaRunRow, SagaState } from '../store/index.ts'
import type { OperationCommand, Operator } from './commands.ts'
import { refused } from './operations.ts'
import { eachRow, pageOf } from './paging.ts'
import type { Foundations } from './pipeline.ts'
import type { Page, PageQuery } from './views.ts'

export interface SagaQuery extends PageQuery {
  readonly saga?: string
  readonly state?: SagaState
  /** Runs that hold events which nobody will take. */
  readonly isParked?: boolean
}

/** What people see of sagas, and what they do to a run. */
export interface SagaDesk {
  list(query: SagaQuery): Promise<Page<SagaRunRow>>
  find(saga: string, key: string): Promise<SagaRunRow | undefined>
  /**
   * Puts what a person asked for into the run's lane, where it is done in order and once; what came
   * of it is in `operations` of the run.
   */
  operate(command: SagaCommand, by: Operator): Promise<unknown>
}

export type SagaCommand = Extract<OperationCommand, { readonly kind: `saga.${string}` }>

export const createSagaDesk = (
  parts: Foundations & { readonly inbox: Inbox; readonly sagas: SagaEngine },
): SagaDesk => {
  const { store, committer, integration, inbox, sagas, kernel, masks } = parts
  const read = (saga: string, key: string): Promise<SagaRunRow | undefined> =>
    store.row('sagaRuns', runKey(saga, key))

  /** What people see: personal data is masked as the contracts say. */
  const masked = (run: SagaRunRow): SagaRunRow => {
    const saga = integration.sagas.find(({ name }) => name === run.saga)
    const personal = maskOf(saga)
    return {
      ...run,
      input: masks.of(run.inputType).value(run.input),
      ...(run.output !== undefined && { output: personal.value(run.output) }),
      inbox: run.inbox.map((event) => ({ ...event, data: masks.of(event.type).value(event.data) })),
      entries: run.entries.map((entry) =>
        entry.output === undefined && entry.input === undefined
          ? entry
          : {
              ...entry,
              ...(entry.output !== undefined && { output: personal.value(entry.output) }),
              ...(entry.input !== undefined && { input: personal.value(entry.input) }),
            },
      ),
    }
  }

  /** Where no index has all that is asked for. */
  const sifted = async (query: SagaQuery): Promise<Page<SagaRunRow>> => {
    const { saga, state, isParked, after } = query
    const scan = {
      collection: 'sagaRuns',
      reverse: true,
      ...(isParked === true && { index: 'byParked' }),
      ...(after !== undefined && { after }),
    } as const
    const limit = Math.min(LIMITS.pageRowsMax, Math.max(1, query.limit ?? 50))
    const found: KeyedRow<'sagaRuns'>[] = []
    for await (const keyed of eachRow(store, scan)) {
      if (saga !== undefined && keyed.row.saga !== saga) continue
      if (state !== undefined && keyed.row.state !== state) continue
      found.push(keyed)
      if (found.length > limit) break
    }
    const shown = found.slice(0, limit)
    const last = shown.at(-1)
    const items = shown.map(({ row }) => masked(row))
    return found.length > limit && last ? { items, next: last.key } : { items }
  }

  const maskers = new Map<string, Masker>()
  /** What steps gave has no contract of its own: everything that is personal anywhere is masked. */
  const maskOf = (saga: AnySaga | undefined): Masker => {
    const name = saga?.name ?? ''
    const known = maskers.get(name)
    if (known) return known
    const used = saga ? [saga.on, ...saga.uses.filter((one) => one.part === 'contract')] : []
    const pii = used.flatMap((one) => one.pii.flatMap((path) => [path, `data.${path}`]))
    const masker = createMasker([...new Set(pii)])
    maskers.set(name, masker)
    return masker
  }

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

  return {
    async find(saga, key) {
      const run = await read(saga, key)
      return run && masked(run)
    },
    list(query) {
      const { saga, state, isParked } = query
      const view = ({ row }: KeyedRow<'sagaRuns'>): SagaRunRow => masked(row)
      if (isParked === true || (saga === undefined && state !== undefined)) return sifted(query)
      const all = [...(saga === undefined ? [] : [saga]), ...(state === undefined ? [] : [state])]
      const scan =
        saga === undefined
          ? ({ collection: 'sagaRuns', reverse: true } as const)
          : ({ collection: 'sagaRuns', index: 'bySaga', where: all, reverse: true } as const)
      return pageOf(store, scan, { query, view })
    },
    async operate(command, by) {
      const saga = sagaNamed(command.saga)
      const { key } = command
      const id = by.operationId ?? kernel.ids.next('op')
      if (command.kind === 'saga.signal') {
        const { type, data } = command
        const contract = saga.uses.find((one) => one.part === 'contract' && one.name === type)
        if (contract?.part !== 'contract' || contract.kind !== 'event') {
          throw refused(`saga ${saga.name} waits for no ${type}`, 'name an event of its `uses`')
        }
        // Checked as if it had been published.
        inbox.ownAppend({ contract, data }, { id, source: '/operations', correlationId: id })
        const time = new Date(kernel.clock.now()).toISOString()
        await post(saga, { kind: 'event', key, id, type, data, time })
        return { saga: saga.name, key }
      }
      const run = await read(saga.name, key)
      if (!run) {
        throw new JuncturaError('JUNCTURA_NOT_FOUND', {
          details: { what: `run of saga ${saga.name}`, id: key },
        })
      }
      if (run.endedAtMs !== undefined) {
        throw refused(`${saga.name} ${key} is ${run.state}`, 'it has ended; nothing can be changed')
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
    },
  }
}

const ACTS: Readonly<Record<Exclude<SagaCommand['kind'], 'saga.signal'>, SagaAct>> = {
  'saga.cancel': 'cancel',
  'saga.terminate': 'terminate',
  'saga.pause': 'pause',
  'saga.resume': 'resume',
  'saga.retry-step': 'retry-step',
  'saga.skip-step': 'skip-step',
  'saga.edit-step': 'edit-step',
}
