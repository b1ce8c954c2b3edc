import { LIMITS } from '../../kernel/index.ts'
import type { SagaState } from '../../store/index.ts'
import { isOver, runIdOf } from './saga-run.ts'
import type { Turn } from './turn.ts'

/**
 * The end of a run: nothing of it waits any more. Events that came and were not taken are handled
 * late where the saga says how, and else stay on the run, where people see them.
 */
export const endRun = (turn: Turn, state: SagaState): void => {
  const { run, saga } = turn
  for (const entry of run.entries) if (!isOver(entry)) entry.state = 'dropped'
  turn.clearAllTimers()
  run.state = state
  run.endedAtMs = turn.nowMs
  run.forgetAtMs = turn.nowMs + saga.keepMs
  delete run.liveSaga
  delete run.isQuiet
  delete run.problemCause
  if (state !== 'terminated') {
    for (const event of run.inbox) if (saga.late.has(event.type)) startLate(turn, event)
    run.inbox = run.inbox.filter(({ type }) => !saga.late.has(type))
  }
  if (run.inbox.length > 0) run.parked = run.inbox.length
}

/** An event that came too late is a run of its own, with the function of `late`. */
export const startLate = (
  turn: Turn,
  { id, type, data }: { readonly id: string; readonly type: string; readonly data: unknown },
): void => {
  const { run, saga } = turn
  const { correlationId } = run
  const readable = `${run.key}~${id}`
  const isLong = Buffer.byteLength(readable) > LIMITS.keyBytesMax
  const key = isLong ? runIdOf(saga.name, run.key, id) : readable
  const record = { kind: 'start', key, id, type, data, correlationId, late: type }
  turn.post(saga.name, record, `late.${id}`)
}
