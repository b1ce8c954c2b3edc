import { LIMITS } from '../../kernel/index.ts'
import { endRun } from './end-run.ts'
import type { SagaOperateRecord } from './saga-record.ts'
import { findEntry, hasPivoted, isEnded, isOver, isUndo, type SagaEntry } from './saga-run.ts'
import { takeBack } from './take-back.ts'
import type { Turn } from './turn.ts'

/**
 * Does what a person asked for, once for each id, and writes it on the run: who, what, why, and
 * what came of it.
 */
export const applyOperation = (turn: Turn, record: SagaOperateRecord): void => {
  const { run, nowMs } = turn
  const { act, id, actor, reason } = record
  if (run.operations.some((one) => one.id === id)) return
  const outcome = isEnded(run) ? `refused: it is ${run.state}` : perform(turn, record)
  const command = record.step === undefined ? act : `${act} ${record.step}`
  run.operations.push({ id, command, actor, reason, atMs: nowMs, outcome })
  if (run.operations.length > LIMITS.sagaOperationsMax) run.operations.shift()
}

function perform(turn: Turn, record: SagaOperateRecord): string {
  const { run } = turn
  // Its start is still to come, and must find the key free.
  if (run.state === 'unstarted') return 'refused: it has not started'
  switch (record.act) {
    case 'cancel':
      return cancel(turn, record)
    case 'terminate':
      end(turn, record)
      return 'terminated; nothing is compensated'
    case 'pause':
      if (run.state === 'paused') return 'it was paused'
      turn.pause({ kind: 'person', message: `paused: ${record.reason}`, fix: 'resume it' })
      return 'paused'
    case 'resume':
      return resume(turn)
    case 'retry-step':
    case 'skip-step':
    case 'edit-step':
      return actOnStep(turn, record)
  }
}

function cancel(turn: Turn, record: SagaOperateRecord): string {
  const { run } = turn
  if (run.phase === 'compensation') return 'it is being compensated'
  if (hasPivoted(run)) return 'refused: it has passed its pivot, and goes forward only'
  takeBack(turn, { kind: 'cancelled', reason: `${record.actor}: ${record.reason}` })
  return 'cancelled; it is compensated'
}

function end(turn: Turn, record: SagaOperateRecord): void {
  turn.mended()
  endRun(turn, 'terminated')
  const data = { state: 'terminated', reason: record.reason }
  turn.tellParent({ outcome: 'declined', error: 'terminated', data })
}

/** What failed is tried anew. */
function resume(turn: Turn): string {
  const { run } = turn
  if (run.state !== 'paused') return `refused: it is ${run.state}`
  const step = run.problem?.step === undefined ? undefined : findEntry(run, run.problem.step)
  if (step?.state === 'in-doubt') {
    return `refused: of ${step.step} it is in doubt whether it ran; retry it or skip it`
  }
  for (const one of run.entries) {
    if (one.state === 'failed' && isUndo(one) === (run.phase === 'compensation')) again(one)
  }
  turn.mended()
  return 'resumed'
}

/** What a step of this kind cannot do. */
function problemOf(act: string, { step, kind }: SagaEntry): string | undefined {
  if (kind === 'first' || kind === 'gather') return `${step} is of other steps; act on those`
  if (act === 'retry-step' && !ASKED.has(kind)) {
    return `${step} is a ${kind}, and is not asked for; skip it`
  }
  return act === 'edit-step' && kind !== 'call' ? `${step} is no call; it has no input` : undefined
}

const ASKED: ReadonlySet<string> = new Set(['call', 'run', 'tx'])

function again(entry: NonNullable<ReturnType<typeof findEntry>>): void {
  entry.state = 'open'
  entry.isDue = true
  entry.attempts = 0
  delete entry.intentAtMs
  delete entry.arrived
}

function actOnStep(turn: Turn, record: SagaOperateRecord): string {
  const { run, nowMs } = turn
  const entry = record.step === undefined ? undefined : findEntry(run, record.step)
  if (!entry) return `refused: it has no step ${record.step ?? ''}`
  if (isOver(entry) && !(isUndo(entry) && entry.state === 'declined')) {
    return `refused: ${entry.step} is ${entry.state}`
  }
  if (run.phase === 'compensation' && !isUndo(entry)) {
    return 'refused: it is being compensated, and only compensations can be acted on'
  }
  const unable = problemOf(record.act, entry)
  if (unable !== undefined) return `refused: ${unable}`
  turn.clearTimersOf(entry.step)
  if (record.act === 'skip-step') {
    turn.arrive(entry, isUndo(entry) ? 'skipped' : 'done')
    entry.output = record.value
    entry.reason = `skipped by ${record.actor}: ${record.reason}`
  } else {
    if (record.act === 'edit-step') entry.input = record.value
    again(entry)
    entry.reason = `${record.act} by ${record.actor} at ${new Date(nowMs).toISOString()}: ${record.reason}`
  }
  const isCause = run.problem?.step === entry.step
  if (isCause || run.state === 'compensation-stuck') turn.mended()
  if (run.state === 'compensation-stuck') run.state = 'compensating'
  return `${record.act} done`
}
