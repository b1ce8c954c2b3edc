import type { AnySaga } from '../../contract/index.ts'
import { formatDuration, JuncturaError, LIMITS } from '../../kernel/index.ts'
import { nextDelayMs } from '../../policy/index.ts'
import { applyOperation } from './apply-operation.ts'
import { startLate } from './end-run.ts'
import type { SagaRecord } from './saga-record.ts'
import {
  findEntry,
  hasPivoted,
  isEnded,
  isOver,
  isUndo,
  openRun,
  runIdOf,
  type SagaEntry,
  type SagaRun,
} from './saga-run.ts'
import { retryOfCall } from './step-policy.ts'
import { takeBack } from './take-back.ts'
import type { Turn } from './turn.ts'

/** A run of which nothing is known but its key. */
export const newRun = (saga: AnySaga, key: string, nowMs: number): SagaRun =>
  openRun({
    saga: saga.name,
    key,
    id: '',
    state: 'unstarted',
    version: saga.version,
    owner: saga.owner.name,
    phase: 'forward',
    startedAtMs: nowMs,
    updatedAtMs: nowMs,
    position: 0,
    arrivals: 0,
    deliveries: 0,
    startId: '',
    inputType: '',
    input: null,
    correlationId: '',
    repeats: 0,
    entries: [],
    inbox: [],
    timers: [],
    operations: [],
  })

/**
 * Writes down what a record says; the function of the saga runs afterwards. A record that comes
 * again, for example after a crash, has been applied and does nothing.
 */
export const applyRecord = (turn: Turn, record: SagaRecord): void => {
  const { run, delivery } = turn
  if (run.position >= delivery.position) return
  run.position = delivery.position
  if (record.kind !== 'timer' || record.timer !== 'watch') moved(turn)
  switch (record.kind) {
    case 'start':
      return start(turn, record)
    case 'event':
      return receive(turn, record)
    case 'answer':
      return answer(turn, record)
    case 'timer':
      return fire(turn, record.timer)
    case 'operate':
      return applyOperation(turn, record)
  }
}

/** It goes on: whoever was told that it does not need not come. */
function moved({ run, nowMs, saga }: Turn): void {
  run.movedAtMs = nowMs
  delete run.isQuiet
  if (run.problemCause === quietCause(saga)) delete run.problemCause
}

const quietCause = (saga: AnySaga): string => `saga/${saga.name}/quiet`

type Of<Kind extends SagaRecord['kind']> = Extract<SagaRecord, { readonly kind: Kind }>

function start(turn: Turn, record: Of<'start'>): void {
  const { run, saga, nowMs, delivery } = turn
  if (run.state !== 'unstarted') {
    // The same run: whoever starts it again waits for its end.
    run.repeats += 1
    if (record.parent !== undefined) turn.joinParent(record.parent)
    return
  }
  Object.assign(run, {
    id: runIdOf(saga.name, run.key, record.id),
    state: 'running',
    liveSaga: saga.name,
    version: saga.version,
    startedAtMs: nowMs,
    startId: record.id,
    inputType: record.type,
    input: record.data,
    correlationId: record.correlationId,
  } satisfies Partial<SagaRun>)
  delete run.parked
  delete run.forgetAtMs
  if (delivery.traceparent !== undefined) run.traceparent = delivery.traceparent
  if (record.parent !== undefined) run.parent = record.parent
  if (record.late !== undefined) run.late = record.late
  watch(turn)
}

/** One timer for both budgets. */
function watch(turn: Turn): void {
  const { run, nowMs } = turn
  const { totalMs, quietMs } = turn.saga.budget
  const dues: number[] = []
  const endMs = run.startedAtMs + (totalMs ?? 0)
  // Told once: one that is used up beyond the pivot must not wake it again and again.
  if (totalMs !== undefined && run.phase === 'forward' && endMs > nowMs) dues.push(endMs)
  const sinceMs = run.isQuiet === true ? nowMs : movedAtMs(run)
  if (quietMs !== undefined) dues.push(Math.max(sinceMs + quietMs, nowMs + 1))
  if (dues.length > 0) turn.setTimer('watch', Math.min(...dues))
}

function receive(turn: Turn, record: Of<'event'>): void {
  const { run, saga } = turn
  const isKnown =
    run.inbox.some(({ id }) => id === record.id) ||
    run.entries.some(({ kind, output }) => kind === 'wait' && eventId(output) === record.id)
  if (isKnown) {
    run.repeats += 1
    return
  }
  if (isEnded(run) && run.state !== 'terminated' && saga.late.has(record.type)) {
    return startLate(turn, record)
  }
  if (run.inbox.length >= LIMITS.sagaInboxMax) {
    throw new JuncturaError('JUNCTURA_SAGA_INBOX_FULL', {
      details: { saga: saga.name, key: run.key, maximum: LIMITS.sagaInboxMax },
    })
  }
  run.arrivals += 1
  const { id, type, data, time } = record
  run.inbox.push({ arrived: run.arrivals, id, type, data, time })
  if (run.state === 'unstarted') run.forgetAtMs = turn.nowMs + saga.keepMs
  if (isEnded(run) || run.state === 'unstarted') run.parked = run.inbox.length
}

const eventId = (output: unknown): unknown =>
  typeof output === 'object' && output !== null && 'id' in output ? output.id : undefined

/** The answer to a command, or the end of a child. */
function answer(turn: Turn, record: Of<'answer'>): void {
  const { run } = turn
  const entry = findEntry(run, record.step)
  const isAwaited = entry && ['open', 'retrying', 'failed'].includes(entry.state)
  const isOfOther = record.run !== undefined && record.run !== run.id
  if (!entry || !isAwaited || isEnded(run) || isOfOther) {
    // Nobody waits for it any more; it is counted, and seen on the run.
    run.repeats += 1
    return
  }
  turn.clearTimersOf(entry.step)
  delete entry.dueAtMs
  if (record.outcome === 'failed') return failed(turn, entry, record.error)
  if (run.problem?.step === entry.step) turn.mended()
  if (run.state === 'compensation-stuck') run.state = 'compensating'
  if (record.outcome === 'declined') {
    turn.arrive(entry, 'declined')
    entry.error = record.error
    entry.output = record.data
    if (isUndo(entry)) giveUpUndo(turn, entry, `declined: ${record.error}`)
    return
  }
  turn.arrive(entry, 'done')
  entry.output = record.data
  delete entry.error
}

/** An undeclared error, or no answer in time: again, or a person is needed. */
const failed = (turn: Turn, entry: SagaEntry, message: string): void => {
  const { run } = turn
  entry.attempts = (entry.attempts ?? 0) + 1
  entry.error = turn.mask(message)
  const delayMs = nextDelayMs(retryOfCall(turn, entry), entry.attempts, turn.ports.kernel.random)
  if (delayMs !== undefined) {
    entry.state = 'retrying'
    entry.dueAtMs = turn.nowMs + delayMs
    turn.setTimer(`retry:${entry.step}`, entry.dueAtMs)
    return
  }
  if (isUndo(entry)) return giveUpUndo(turn, entry, message)
  entry.state = 'failed'
  if (run.phase === 'compensation') return
  turn.pause(
    {
      kind: message === NO_ANSWER ? 'no-answer' : 'step-failed',
      step: entry.step,
      message: `${entry.step} failed for good: ${message}`,
      fix: 'mend the cause, then retry the step; or skip it with what it should have given; or cancel',
    },
    turn.ownerOf(entry.contract),
  )
}

const NO_ANSWER = 'no answer in time'

/** The others go on; the run can never be called compensated unless somebody sees to this one. */
export const giveUpUndo = (turn: Turn, entry: SagaEntry, message: string): void => {
  entry.state = 'failed'
  entry.error = turn.mask(message)
  const { saga, run } = turn
  const what = `compensation-stuck/${entry.step.replace(/#\d+$/, '')}`
  // With the run's end, or when a person sees to the step, its owner need not come any more.
  run.problemCause ??= `saga/${saga.name}/${what}`
  turn.raise(what, {
    title: `${saga.name} ${run.key} cannot take back ${entry.step.slice(5)}: ${message}`,
    owner: turn.ownerOf(entry.contract),
  })
}

function fire(turn: Turn, timer: string): void {
  const { run } = turn
  if (!run.timers.includes(timer)) return
  turn.timerFired(timer)
  if (isEnded(run)) return
  if (timer === 'watch') return look(turn)
  const colon = timer.indexOf(':')
  const entry = findEntry(run, timer.slice(colon + 1))
  if (!entry) return
  switch (timer.slice(0, colon)) {
    case 'sleep':
      if (entry.state === 'open') turn.arrive(entry, 'done')
      return
    case 'gather':
      if (entry.state === 'open') entry.reason = 'time'
      return
    case 'retry':
      if (entry.state !== 'retrying') return
      entry.state = 'open'
      entry.isDue = true
      delete entry.dueAtMs
      return
    case 'timeout':
      if (entry.state === 'open') failed(turn, entry, NO_ANSWER)
  }
}

const movedAtMs = (run: SagaRun): number => run.movedAtMs ?? run.updatedAtMs

/** What it stands at, for whoever is woken by an alert. */
const describeWaits = ({ run, ports }: Turn): string => {
  const open = run.entries.filter((entry) => !isOver(entry) && !isComposite(entry))
  const steps = open.slice(0, WAITS_TOLD_MAX).map(({ step, kind, contract }) => {
    if (contract === undefined) return step
    const hint = ports.hintOf?.(kind, contract)
    return `${step} (${kind} ${contract}${hint === undefined ? '' : `: ${hint}`})`
  })
  return steps.length === 0 ? 'no step of it is open' : `it is at ${steps.join(', ')}`
}

const WAITS_TOLD_MAX = 5

const isComposite = ({ kind }: SagaEntry): boolean => kind === 'first' || kind === 'gather'

/** Whether a budget is used up. */
function look(turn: Turn): void {
  const { run, saga, nowMs } = turn
  const { totalMs, quietMs } = saga.budget
  turn.isLook = true
  const isOver = totalMs !== undefined && nowMs >= run.startedAtMs + totalMs
  if (isOver && run.phase === 'forward' && run.cause === undefined) {
    const message = `its budget of ${formatDuration(totalMs)} is used up`
    const hasToGoOn = hasPivoted(run)
    if (!hasToGoOn) {
      turn.isLook = false
      takeBack(turn, { kind: 'budget', reason: message })
      moved(turn)
    }
    const cause = `saga/${saga.name}/budget`
    if (run.problem === undefined && run.problemCause !== cause) {
      run.problemCause = cause
      const then = hasToGoOn
        ? `it goes forward only, and ${describeWaits(turn)}`
        : 'it is taken back'
      turn.raise('budget', { title: `${saga.name} ${run.key}: ${message}; ${then}` })
    }
  }
  const isQuiet = quietMs !== undefined && nowMs >= movedAtMs(run) + quietMs
  if (isQuiet && run.isQuiet !== true) {
    run.isQuiet = true
    // Of one that is paused, its owner was told why.
    if (run.problemCause === undefined && run.problem === undefined) {
      run.problemCause = quietCause(saga)
      const forLong = formatDuration(nowMs - movedAtMs(run))
      turn.raise('quiet', {
        title: `${saga.name} ${run.key} has not moved for ${forLong}; ${describeWaits(turn)}`,
      })
    }
  }
  const isSpent = isOver && quietMs === undefined
  if (!isSpent) watch(turn)
}
