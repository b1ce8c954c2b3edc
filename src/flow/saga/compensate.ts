import {
  type Compensated,
  type Draft,
  type EffectContext,
  isCommand,
  type StepOutcome,
} from '../../contract/index.ts'
import { messageOf } from '../../kernel/index.ts'
import { Effects } from './effects.ts'
import { endRun } from './end-run.ts'
import type { Execution } from './execution.ts'
import { copyOf, findEntry, isOver, isUndo, type SagaEntry, undoOf } from './saga-run.ts'
import { timeoutOfCall, UNDO_RETRY } from './step-policy.ts'
import type { Turn } from './turn.ts'

/** What takes a step back: a message that asks for it, or an effect. */
export type Compensation =
  | {
      readonly kind: 'message'
      readonly input: unknown
      readonly make: (done: Compensated<unknown, unknown>) => Draft | undefined
    }
  | {
      readonly kind: 'effect'
      readonly timeoutMs: number
      readonly run: (
        done: Compensated<undefined, unknown>,
        effect: EffectContext,
      ) => Promise<unknown>
    }
  | { readonly kind: 'child'; readonly cancel: () => void }

/**
 * Takes back what was begun, the last first, one at a time. A step whose outcome is not known is
 * taken back as well. One that cannot be is left for a person, and the others go on; only when
 * every one was done is the run `compensated`.
 */
export const compensate = async ({ turn, compensations }: Execution): Promise<void> => {
  const { run } = turn
  const begun = run.entries.filter((entry) => !isUndo(entry) && entry.compensates === true)
  for (const entry of begun.toReversed()) {
    const undo = findEntry(run, undoOf(entry.step))
    // One that is under way is waited for, also when it turns out that nothing was to be undone.
    if (!undo && entry.state === 'declined' && run.cause?.step !== entry.step) continue
    if (undo && (isOver(undo) || undo.state === 'failed')) continue
    const compensation = compensations.get(entry.step)
    if (!compensation) {
      turn.pause({
        kind: 'mismatch',
        message: `${entry.step} is to be taken back, and the code does not say how any more`,
        fix: `run code that has the compensation of ${entry.step} for version ${run.version}; then resume it`,
      })
      return
    }
    try {
      if (!(await takeBackStep(turn, { entry, undo, compensation }))) return
    } catch (error) {
      if (turn.delivery.signal.aborted) throw error
      turn.pause({
        kind: 'code-failed',
        step: entry.step,
        message: `what takes ${entry.step} back threw ${messageOf(error)}`,
        fix: 'mend the function, start it, and resume the run',
      })
      return
    }
  }
  settle(turn)
}

interface Step {
  readonly entry: SagaEntry
  readonly undo: SagaEntry | undefined
  readonly compensation: Compensation
}

/** False while it waits. */
async function takeBackStep(turn: Turn, step: Step): Promise<boolean> {
  const { entry, compensation } = step
  if (compensation.kind === 'child') return cancelChild(turn, step)
  const isKnown = entry.state === 'done' || entry.state === 'declined'
  const outcome: StepOutcome = isKnown && entry.state === 'done' ? 'done' : known(entry)
  const output = entry.state === 'done' ? copyOf(entry.output) : undefined
  if (compensation.kind === 'effect') {
    const undo = step.undo ?? begin(turn, entry, { kind: 'run' })
    const done = { input: undefined, output, outcome }
    return runUndo(turn, undo, {
      timeoutMs: compensation.timeoutMs,
      effect: (effect) => compensation.run(done, effect),
    })
  }
  const undo = step.undo
  if (undo && undo.isDue !== true) return false
  const draft = compensation.make({ input: copyOf(compensation.input), output, outcome })
  return ask(turn, { entry, undo, draft })
}

const known = ({ state }: SagaEntry): StepOutcome => (state === 'declined' ? 'declined' : 'unknown')

function begin(
  turn: Turn,
  entry: SagaEntry,
  what: Pick<SagaEntry, 'kind'> & {
    readonly contract?: string
    readonly owner?: string | undefined
  },
): SagaEntry {
  const undo: SagaEntry = {
    step: undoOf(entry.step),
    kind: what.kind,
    state: 'open',
    startedAtMs: turn.nowMs,
  }
  if (what.contract !== undefined) undo.contract = what.contract
  if (what.owner !== undefined) undo.owner = what.owner
  turn.run.entries.push(undo)
  return undo
}

function ask(
  turn: Turn,
  {
    entry,
    undo: known,
    draft,
  }: {
    readonly entry: SagaEntry
    readonly undo: SagaEntry | undefined
    readonly draft: Draft | undefined
  },
): boolean {
  const contract = draft?.contract
  const named = contract && { contract: contract.name, owner: contract.owner?.name }
  const undo = known ?? begin(turn, entry, { kind: draft ? 'call' : 'pivot', ...named })
  if (!draft || !contract) {
    turn.arrive(undo, 'done')
    return true
  }
  if (!isCommand(contract)) {
    undo.kind = 'emit'
    turn.emit(draft, undo.step)
    turn.arrive(undo, 'done')
    return true
  }
  delete undo.isDue
  undo.sent = (undo.sent ?? 0) + 1
  turn.send(undo.input === undefined ? draft : { contract, data: undo.input }, undo)
  const timeoutMs = timeoutOfCall(turn, undo) ?? contract.answers.timeoutMs
  if (timeoutMs !== undefined) turn.setTimer(`timeout:${undo.step}`, turn.nowMs + timeoutMs)
  return false
}

async function runUndo(
  turn: Turn,
  undo: SagaEntry,
  job: {
    readonly timeoutMs: number
    readonly effect: (effect: EffectContext) => Promise<unknown>
  },
): Promise<boolean> {
  if (undo.state !== 'open') return false
  delete undo.isDue
  const effects = new Effects({ turn })
  effects.add({ ...job, entry: undo, mode: 'normal', retry: UNDO_RETRY })
  while (undo.state === 'open' && (await effects.advance()));
  // It is given up when it fails for good, and the others go on.
  return isOver(undo) || readState(undo) === 'failed'
}

const readState = ({ state }: SagaEntry): SagaEntry['state'] => state

function cancelChild(turn: Turn, { entry, undo, compensation }: Step): boolean {
  if (compensation.kind !== 'child') return true
  const one = undo ?? begin(turn, entry, { kind: 'child' })
  if (isOver(entry)) {
    turn.arrive(one, 'done')
    return true
  }
  if (!undo) compensation.cancel()
  return false
}

function settle(turn: Turn): void {
  const { run, saga } = turn
  const undos = run.entries.filter(isUndo)
  const stuck = undos.filter(({ state }) => state === 'failed')
  if (stuck.length > 0) {
    run.state = 'compensation-stuck'
    return
  }
  endRun(turn, undos.some(({ state }) => state === 'skipped') ? 'resolved' : 'compensated')
  const data = { state: run.state, reason: run.cause?.reason ?? saga.name }
  turn.tellParent({ outcome: 'declined', error: run.state, data })
}
