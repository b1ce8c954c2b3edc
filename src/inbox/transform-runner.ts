import { Script } from 'node:vm'
import { type Clock, gather, JuncturaError, LIMITS } from '../kernel/index.ts'

/** One transform of one message. */
export interface TransformJob {
  readonly timeoutMs: number
  /**
   * Lifts the data and runs the transform. `again` is true when an earlier run was cut off for a
   * neighbour's fault: the data may be half changed then and must be read anew.
   */
  run(again: boolean): unknown
}

export type TransformOutcome =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: unknown }

/**
 * Runs user code that must be pure and quick, so that none of it can stop the process: a transform
 * that never returns is cut off at its deadline, one that returns a promise is waited for until
 * then. One exception cannot be helped in one process: code that loops for ever after its own
 * `await` is outside the guard, and shows as lag of the event loop.
 *
 * The guard of `node:vm` starts a thread, which costs 100 to 400 µs, so jobs share it: those of one
 * turn of the event loop, or those that came while a commit was under way and would wait for its
 * end anyway.
 * When it strikes, the job that was running is blamed if its own time was up; a neighbour that
 * only came too late in the batch is run again with a deadline of its own.
 */
export interface TransformRunner {
  run(job: TransformJob): Promise<TransformOutcome>
}

interface Waiting {
  readonly job: TransformJob
  readonly settle: (outcome: TransformOutcome) => void
}

/** Whether a commit is under way, and its end. */
export interface CommitTurn {
  whenFree(): Promise<void> | undefined
}

/** Lets the guarded script reach the batch; a symbol, so that no user code meets it by name. */
const BATCH = Symbol.for('junctura.transform-batch')

export const createTransformRunner = (clock: Clock, turn?: CommitTurn): TransformRunner => {
  const script = new Script("globalThis[Symbol.for('junctura.transform-batch')]()")
  let queue: Waiting[] = []
  const runQueue = async (): Promise<void> => {
    const free = turn?.whenFree()
    if (free) await free
    else await gather(clock, { size: () => queue.length, enough: LIMITS.commitUnitsMax })
    const batch = queue
    queue = []
    for (const group of groupByDeadline(batch)) runGroup(group, script, clock)
  }
  return {
    run: (job) =>
      new Promise((settle) => {
        if (queue.push({ job, settle }) === 1) void runQueue()
      }),
  }
}

/** Webhooks with other deadlines do not share a guard, which has only one. */
function groupByDeadline(batch: readonly Waiting[]): readonly (readonly Waiting[])[] {
  const first = batch[0]?.job.timeoutMs
  if (batch.every(({ job }) => job.timeoutMs === first)) return [batch]
  const groups = new Map<number, Waiting[]>()
  for (const waiting of batch) {
    const group = groups.get(waiting.job.timeoutMs)
    if (group) group.push(waiting)
    else groups.set(waiting.job.timeoutMs, [waiting])
  }
  return [...groups.values()]
}

function runGroup(group: readonly Waiting[], script: Script, clock: Clock): void {
  let index = 0
  let again = false
  while (index < group.length) {
    const start = index
    let startedMs = 0
    const runRest = (): void => {
      for (; index < group.length; index++, again = false) {
        const waiting = group[index]
        startedMs = clock.monotonicMs()
        if (waiting) runOne(waiting, again, clock)
      }
    }
    if (clock.isSimulated === true) return runRest()
    if (guarded(runRest, script, group[start]?.job.timeoutMs ?? 1)) return
    const cut = group[index]
    if (!cut) return
    const { timeoutMs } = cut.job
    if (index > start && clock.monotonicMs() - startedMs < timeoutMs) {
      again = true
      continue
    }
    cut.settle({ ok: false, error: timeoutError(timeoutMs) })
    index++
    again = false
  }
}

/** False when the guard struck. */
function guarded(run: () => void, script: Script, timeoutMs: number): boolean {
  Object.defineProperty(globalThis, BATCH, { value: run, configurable: true })
  try {
    script.runInThisContext({ timeout: timeoutMs })
    return true
  } catch (error) {
    if (error instanceof Error && Reflect.get(error, 'code') === 'ERR_SCRIPT_EXECUTION_TIMEOUT') {
      return false
    }
    throw error
  } finally {
    Reflect.deleteProperty(globalThis, BATCH)
  }
}

function runOne({ job, settle }: Waiting, again: boolean, clock: Clock): void {
  let value: unknown
  try {
    value = job.run(again)
  } catch (error) {
    // Whatever user code throws belongs to its message.
    return settle({ ok: false, error })
  }
  if (!isPromiseLike(value)) return settle({ ok: true, value })
  const timer = clock.setTimer(job.timeoutMs, () =>
    settle({ ok: false, error: timeoutError(job.timeoutMs) }),
  )
  value.then(
    (result) => {
      timer.cancel()
      settle({ ok: true, value: result })
    },
    (error: unknown) => {
      timer.cancel()
      settle({ ok: false, error })
    },
  )
}

const isPromiseLike = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && typeof Reflect.get(value, 'then') === 'function'

const timeoutError = (timeoutMs: number): JuncturaError =>
  new JuncturaError('JUNCTURA_TRANSFORM_TIMEOUT', { details: { timeoutMs } })
