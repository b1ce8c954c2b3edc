import { type AnySaga, type Integration, isCommand } from '../contract/index.ts'
import type { SagaEntryRow, SagaRunRow, SagaState } from '../store/index.ts'
import type { OperationCommand } from './commands.ts'

/** A saga with its runs that have not ended. */
export interface SagaSummary {
  readonly name: string
  readonly owner: string
  readonly summary?: string
  readonly version: number
  readonly supports: readonly number[]
  /** The contract that starts it. */
  readonly on: string
  /** Runs by state; ended ones are not counted, they may be millions. */
  readonly live: Readonly<Record<SagaLiveState, number>>
  /** Of the oldest run that goes forward. */
  readonly oldestStartedAtMs?: number
  /** Events in it that nothing declared here can bring, as far as can be told. */
  readonly unbrought: readonly string[]
}

export const SAGA_LIVE_STATES: readonly SagaLiveState[] = [
  'unstarted',
  'running',
  'paused',
  'compensating',
  'compensation-stuck',
]

export type SagaLiveState = Exclude<
  SagaState,
  'completed' | 'compensated' | 'resolved' | 'terminated'
>

/** What a run waits for. */
export interface SagaWaitView {
  readonly step: string
  readonly kind: SagaEntryRow['kind']
  readonly state: SagaEntryRow['state']
  readonly contract?: string
  /** The team that answers for it. */
  readonly owner: string
  readonly sinceMs: number
  /** When it wakes or is tried again. */
  readonly untilMs?: number
  readonly error?: string
  /** Why it may never come. */
  readonly hint?: string
}

/** What somebody may do about a run, and when that is right. */
export interface SagaNextView {
  readonly command: OperationCommand['kind']
  readonly step?: string
  readonly when: string
}

/** A run with its journal, what it waits for, and what to do about it. */
export interface SagaRunView extends SagaRunRow {
  readonly waitsFor: readonly SagaWaitView[]
  readonly next: readonly SagaNextView[]
}

/** A run without its journal. */
export interface SagaRunSummary extends Pick<
  SagaRunRow,
  | 'saga'
  | 'key'
  | 'id'
  | 'state'
  | 'version'
  | 'owner'
  | 'phase'
  | 'startedAtMs'
  | 'endedAtMs'
  | 'cause'
  | 'problem'
  | 'parked'
> {
  /** When something last came for it. */
  readonly movedAtMs: number
  /** It has not moved for its `quiet`. */
  readonly isQuiet: boolean
  readonly steps: number
  readonly waitsFor: readonly SagaWaitView[]
}

export const summarizeRun = (run: SagaRunView): SagaRunSummary => {
  const { saga, key, id, state, version, owner, phase, startedAtMs, updatedAtMs } = run
  const { movedAtMs = updatedAtMs, endedAtMs, cause, problem, parked, waitsFor } = run
  return {
    saga,
    key,
    id,
    state,
    version,
    owner,
    phase,
    startedAtMs,
    movedAtMs,
    ...(endedAtMs !== undefined && { endedAtMs }),
    ...(cause && { cause }),
    ...(problem && { problem }),
    ...(parked !== undefined && { parked }),
    isQuiet: run.isQuiet === true,
    steps: run.entries.length,
    waitsFor,
  }
}

/** Where a run stands, from its journal alone. */
export const describeRun = (
  run: SagaRunRow,
  integration: Integration,
): Pick<SagaRunView, 'waitsFor' | 'next'> => {
  if (run.endedAtMs !== undefined) return { waitsFor: [], next: [] }
  const open = run.entries.filter(
    (entry) =>
      !OVER.has(entry.state) &&
      !COMPOSITES.has(entry.kind) &&
      isUndo(entry) === (run.phase === 'compensation'),
  )
  const waitsFor = open.map((entry) => waitOf(entry, { run, integration }))
  return { waitsFor, next: nextOf(run) }
}

const OVER: ReadonlySet<SagaEntryRow['state']> = new Set(['done', 'declined', 'dropped', 'skipped'])

/** Their parts are told instead. */
const COMPOSITES: ReadonlySet<SagaEntryRow['kind']> = new Set(['first', 'gather'])

const isUndo = ({ step }: SagaEntryRow): boolean => step.startsWith('undo:')

function waitOf(
  { step, kind, state, contract, owner, startedAtMs, dueAtMs, error }: SagaEntryRow,
  { run, integration }: { readonly run: SagaRunRow; readonly integration: Integration },
): SagaWaitView {
  const hint = contract === undefined ? undefined : hintOf(kind, contract, integration)
  return {
    step,
    kind,
    state,
    ...(contract !== undefined && { contract }),
    owner: owner ?? run.owner,
    sinceMs: startedAtMs,
    ...(dueAtMs !== undefined && { untilMs: dueAtMs }),
    ...(error !== undefined && { error }),
    ...(hint !== undefined && { hint }),
  }
}

/** Why a step may never end, as far as the declarations say. */
export function hintOf(
  kind: SagaEntryRow['kind'],
  contract: string,
  integration: Integration,
): string | undefined {
  if (kind === 'call') {
    const isHandled = integration.consumers.some(({ on }) => on.name === contract)
    return isHandled ? undefined : `no consumer of this integration handles ${contract}`
  }
  if (kind !== 'wait' || broughtHere(integration).has(contract)) return undefined
  return `nothing declared here brings ${contract}; only a handler or a program can`
}

const brought = new WeakMap<Integration, ReadonlySet<string>>()

/** What is declared to come: a handler and a program may emit anything, and say so nowhere. */
function broughtHere(integration: Integration): ReadonlySet<string> {
  const known = brought.get(integration)
  if (known) return known
  const { webhooks, topics, outboxes, schedules, sagas, consumers } = integration
  const all = [
    ...webhooks.map(({ accepts }) => accepts),
    ...topics.flatMap(({ accepts }) => accepts),
    ...outboxes.flatMap(({ accepts }) => accepts),
    ...schedules.map(({ emits }) => emits),
    ...sagas.flatMap(({ emits }) => emits),
    ...consumers.flatMap(({ push, route }) => [...(push?.emits ?? []), ...(route?.emits ?? [])]),
  ]
  const names = new Set(all.map(({ name }) => name))
  brought.set(integration, names)
  return names
}

/** Events of a saga that nothing declared here brings. */
export const unbroughtOf = (saga: AnySaga, integration: Integration): readonly string[] =>
  [
    saga.on,
    ...saga.uses.flatMap((one) => (one.part === 'contract' && !isCommand(one) ? [one] : [])),
  ]
    .map(({ name }) => name)
    .filter((name) => !broughtHere(integration).has(name))

/** What may be done, the likeliest first. */
function nextOf(run: SagaRunRow): readonly SagaNextView[] {
  const cancel = { command: 'saga.cancel', when: 'to take it back' } as const
  const terminate = { command: 'saga.terminate', when: 'to end it as it is' } as const
  const backOut = run.phase === 'forward' ? [cancel, terminate] : [terminate]
  switch (run.state) {
    case 'paused':
      return [...nextOfPaused(run), ...backOut]
    case 'compensation-stuck':
      return [
        ...run.entries
          .filter((entry) => isUndo(entry) && entry.state === 'failed')
          .flatMap(({ step }) => [
            { command: 'saga.retry-step', step, when: 'once its cause is mended' } as const,
            { command: 'saga.skip-step', step, when: 'when it was taken back by hand' } as const,
          ]),
        terminate,
      ]
    case 'running':
      return [
        ...(run.entries.some(({ kind, state }) => kind === 'wait' && state === 'open')
          ? [{ command: 'saga.signal', when: 'to give it the event it waits for' } as const]
          : []),
        ...backOut,
      ]
    case 'unstarted':
    case 'compensating':
    case 'completed':
    case 'compensated':
    case 'resolved':
    case 'terminated':
      return []
  }
}

function nextOfPaused({ problem }: SagaRunRow): readonly SagaNextView[] {
  const step = problem?.step
  if (step === undefined) {
    return [{ command: 'saga.resume', when: problem?.fix ?? 'to go on' }]
  }
  const retry = { command: 'saga.retry-step', step } as const
  const skip = { command: 'saga.skip-step', step } as const
  if (problem?.kind === 'in-doubt') {
    return [
      { ...skip, when: 'when it ran: with what it gave' },
      { ...retry, when: 'when it did not run' },
    ]
  }
  return [
    { ...retry, when: 'once its cause is mended' },
    { command: 'saga.edit-step', step, when: 'to ask with another input' },
    { ...skip, when: 'when it was done by hand: with what it should have given' },
  ]
}
