import type { SagaRun } from './saga-run.ts'
import type { Turn } from './turn.ts'

/** From here on nothing goes forward; what was asked for and not answered is taken back, too. */
export const takeBack = (turn: Turn, cause: NonNullable<SagaRun['cause']>): void => {
  const { run } = turn
  run.phase = 'compensation'
  run.cause = { ...cause, reason: turn.mask(cause.reason) }
  run.state = 'compensating'
  delete run.problem
  delete run.problemCause
  const quiet = run.timers.includes('watch') && turn.saga.budget.quietMs !== undefined
  for (const timer of run.timers) if (timer !== 'watch' || !quiet) turn.clearTimer(timer)
}
