import type { AnySaga } from '../../contract/index.ts'
import type { AlertView, Runtime } from '../../runtime/index.ts'
import type { SagaEntryRow, SagaRunRow } from '../../store/index.ts'
import type { EffectRun } from './saga-scenario.ts'
import type { StubDesk, StubRequest } from './stub-desk.ts'

/** A command that was asked of another system. */
export interface SentCommand {
  readonly type: string
  /** Of the journal: `name#occurrence`; of a compensation the step that it takes back. */
  readonly step: string
  readonly input: unknown
  /** Since the start of the scenario. */
  readonly atMs: number
}

export interface EmittedEvent {
  readonly type: string
  readonly key: string
  /** Personal data is masked as the contract says. */
  readonly data: unknown
}

export interface SagaAlert {
  readonly cause: string
  readonly title: string
  readonly owner: string
  readonly isOpen: boolean
}

/** What became of one run through a scenario. */
export interface SagaTestResult {
  /** Where the run stands; `not-started` when nothing started it. */
  readonly outcome: SagaRunRow['state'] | 'not-started'
  readonly output: unknown
  /** Why it is taken back: a declared error, `s.fail`, a budget, a person. */
  readonly cause: SagaRunRow['cause'] | undefined
  /** Why it does not go on. */
  readonly problem: SagaRunRow['problem'] | undefined
  /** The journal, in the order in which steps began. */
  readonly steps: readonly SagaEntryRow[]
  /** Everything in the order of time, one line each; to be printed. */
  readonly timeline: readonly string[]
  /** Commands of the way forward, each once, in the order in which they were sent. */
  readonly commands: readonly SentCommand[]
  /** Commands that take back, in the order in which they were sent. */
  readonly compensations: readonly SentCommand[]
  /** Runs of the effects of `s.run`: a crash may repeat one, with the same key. */
  readonly effects: readonly EffectRun[]
  /** What the saga told with `s.emit`, in the order of the log. */
  readonly emitted: readonly EmittedEvent[]
  /** Alerts of sagas, also those that are resolved. */
  readonly alerts: readonly SagaAlert[]
  /** When the scenario began: virtual wall time, as in `steps` and `run`. */
  readonly startedAtMs: number
  /** The run as the management API shows it. */
  readonly run: SagaRunRow | undefined
}

export interface ViewParts {
  readonly saga: AnySaga
  readonly desk: StubDesk
  readonly startedAtMs: number
  readonly effects: readonly EffectRun[]
}

const UNDO = 'undo:'

export const viewSaga = async (runtime: Runtime, parts: ViewParts): Promise<SagaTestResult> => {
  const { saga, desk, startedAtMs, effects } = parts
  const { items } = await runtime.sagas({ saga: saga.name, limit: 500 })
  const newest = items.filter(({ state }) => state !== 'unstarted').at(-1)
  const run = newest && (await runtime.sagaRun(saga.name, newest.key))
  const requests = desk.requests()
  const sent = (request: StubRequest): SentCommand => ({
    type: request.command,
    step: request.step.replace(UNDO, ''),
    input: request.input,
    atMs: request.atMs - startedAtMs,
  })
  const isUndo = ({ step }: StubRequest): boolean => step.startsWith(UNDO)
  return {
    outcome: run?.state ?? 'not-started',
    output: run?.output,
    cause: run?.cause,
    problem: run?.problem,
    steps: run?.entries ?? [],
    timeline: run ? timelineOf(run, startedAtMs) : [],
    commands: requests.filter((one) => !isUndo(one)).map(sent),
    compensations: requests.filter(isUndo).map(sent),
    effects,
    emitted: await emittedBy(runtime, saga),
    alerts: await alertsOf(runtime),
    startedAtMs,
    run,
  }
}

async function emittedBy(runtime: Runtime, saga: AnySaga): Promise<readonly EmittedEvent[]> {
  const source = `/sagas/${saga.name}`
  const found: (EmittedEvent & { readonly position: number })[] = []
  for (const { name } of saga.emits) {
    const { items } = await runtime.messages({ type: name, limit: 500 })
    for (const item of items) {
      if (item.source !== source) continue
      const message = await runtime.message(item.id)
      const { type, key, position } = item
      found.push({ type, key, data: message?.payload, position })
    }
  }
  return found
    .toSorted((a, b) => a.position - b.position)
    .map(({ type, key, data }) => ({ type, key, data }))
}

async function alertsOf(runtime: Runtime): Promise<readonly SagaAlert[]> {
  const states: readonly AlertView['state'][] = ['open', 'resolved']
  const pages = await Promise.all(states.map((state) => runtime.alerts({ state, limit: 100 })))
  return pages
    .flatMap(({ items }) => items)
    .filter(({ kind }) => kind === 'saga')
    .map(({ cause, title, owner, state }) => ({
      cause,
      title,
      owner: owner ?? '',
      isOpen: state === 'open',
    }))
    .toSorted((a, b) => (a.cause < b.cause ? -1 : 1))
}

function timelineOf(run: SagaRunRow, startedAtMs: number): readonly string[] {
  const lines: (readonly [number, string])[] = [[run.startedAtMs, `started by ${run.inputType}`]]
  for (const entry of run.entries) {
    lines.push([entry.startedAtMs, `${entry.step} begins`])
    if (entry.endedAtMs === undefined) {
      if (entry.state !== 'open') lines.push([entry.startedAtMs, `${entry.step} ${stateOf(entry)}`])
    } else lines.push([entry.endedAtMs, `${entry.step} ${stateOf(entry)}`])
  }
  const { problem, endedAtMs } = run
  if (problem) lines.push([problem.atMs, `${run.state}: ${problem.message}`])
  const why = run.cause ? ` (${run.cause.kind}: ${run.cause.reason})` : ''
  if (endedAtMs !== undefined) lines.push([endedAtMs, `${run.state}${why}`])
  else if (!problem) lines.push([run.updatedAtMs, `${run.state}${why}`])
  return lines
    .toSorted(([a], [b]) => a - b)
    .map(([atMs, line]) => `${offset(atMs - startedAtMs)}  ${line}`)
}

const stateOf = ({ state, error }: SagaEntryRow): string =>
  error === undefined ? state : `${state}: ${error}`

/** `+0:15:00.250` */
function offset(ms: number): string {
  const pad = (value: number, digits: number): string => String(value).padStart(digits, '0')
  const seconds = Math.floor(ms / 1_000)
  const hours = Math.floor(seconds / 3_600)
  return `+${hours}:${pad(Math.floor(seconds / 60) % 60, 2)}:${pad(seconds % 60, 2)}.${pad(ms % 1_000, 3)}`
}
