import type { Database, EffectContext, EffectMode, Verified } from '../../contract/index.ts'
import { JuncturaError, messageOf } from '../../kernel/index.ts'
import { nextDelayMs, type ResolvedRetryPolicy } from '../../policy/index.ts'
import { giveUpUndo } from './apply-record.ts'
import type { Execution } from './execution.ts'
import { asJson, isUndo, type SagaEntry } from './saga-run.ts'
import { closed, type Turn } from './turn.ts'

/** Something outside the journal that a step does. */
export interface EffectJob {
  readonly entry: SagaEntry
  readonly mode: EffectMode
  readonly timeoutMs: number
  readonly retry: ResolvedRetryPolicy
  readonly effect: (context: EffectContext) => Promise<unknown>
  readonly verify?: ((context: EffectContext) => Promise<Verified<unknown> | 'unknown'>) | undefined
}

export interface TxJob {
  readonly entry: SagaEntry
  readonly retry: ResolvedRetryPolicy
  readonly callback: (db: Database) => Promise<unknown>
}

interface Running {
  readonly controller: AbortController
  readonly over: Promise<void>
}

/**
 * The effects of one execution. Those that were begun together run side by side; before any begins,
 * the results of earlier ones are durable, so that a crash repeats at most what was running.
 */
export class Effects {
  readonly #turn: Turn
  #ready: EffectJob[] = []
  #transactions: TxJob[] = []
  readonly #running = new Map<string, Running>()

  constructor({ turn }: Pick<Execution, 'turn'>) {
    this.#turn = turn
  }

  add(job: EffectJob): void {
    if (job.entry.state === 'open') this.#ready.push(job)
  }

  addTx(job: TxJob): void {
    if (job.entry.state === 'open') this.#transactions.push(job)
  }

  /** False when there is nothing to do; else something has ended, or was put off. */
  async advance(): Promise<boolean> {
    for (const job of this.#transactions.splice(0)) {
      if (job.entry.state === 'open') await this.#transact(job)
    }
    const ready = this.#ready.splice(0).filter(({ entry }) => entry.state === 'open')
    const begun = this.#running.size + ready.length
    if (begun === 0) return this.#ended.splice(0).length > 0
    await this.#prepare(ready)
    for (const job of ready) this.#start(job)
    const { signal } = this.#turn.delivery
    const stopped = new Promise<void>((resolve) =>
      signal.addEventListener('abort', () => resolve(), { once: true }),
    )
    await Promise.race([...[...this.#running.values()].map(({ over }) => over), stopped])
    this.#ended.length = 0
    if (signal.aborted) await this.stop()
    return true
  }

  /**
   * Waits for what is under way, and begins nothing: no step is taken back, or begun anew, while it
   * still runs. Its deadline bounds that.
   */
  async drain(): Promise<void> {
    this.#ready = []
    while (this.#running.size > 0) await this.advance()
  }

  /** Of a run that has ended well: nobody waits for these. */
  abortAll(): void {
    for (const step of this.#running.keys()) this.abort(step)
  }

  readonly #ended: string[] = []

  abort(step: string): void {
    this.#running.get(step)?.controller.abort(closed())
    this.#running.delete(step)
  }

  /** A person has asked for something else: the effects fail, and what was asked is looked at. */
  interrupt(): void {
    const details = { consumer: this.#turn.saga.name, reason: 'a person asked for an end' }
    for (const { controller } of this.#running.values()) {
      controller.abort(new JuncturaError('JUNCTURA_ATTEMPT_OVER', { details }))
    }
  }

  /** The lane is taken away: nothing of this turn is written. */
  async stop(): Promise<never> {
    for (const { controller } of this.#running.values()) controller.abort(closed())
    await Promise.resolve()
    throw closed()
  }

  async #prepare(ready: readonly EffectJob[]): Promise<void> {
    const turn = this.#turn
    let mustFlush = turn.hasResult || turn.hasAppends
    for (const { entry, mode } of ready) {
      if (mode !== 'once' || entry.intentAtMs !== undefined) continue
      entry.intentAtMs = turn.nowMs
      this.#intended.add(entry.step)
      mustFlush = true
    }
    if (ready.length > 0 && mustFlush) await turn.flush()
  }

  /** Of this execution: what has another intent may have run before a crash. */
  readonly #intended = new Set<string>()

  #start(job: EffectJob): void {
    const { entry, timeoutMs } = job
    const controller = new AbortController()
    const { clock } = this.#turn.ports.kernel
    const timer = clock.setTimer(timeoutMs, () => {
      const details = { consumer: this.#turn.saga.name, reason: `${timeoutMs} ms have passed` }
      controller.abort(new JuncturaError('JUNCTURA_ATTEMPT_OVER', { details }))
    })
    const context: EffectContext = {
      idempotencyKey: `${this.#turn.run.id}.${entry.step}`,
      attempt: (entry.attempts ?? 0) + 1,
      signal: controller.signal,
    }
    const inDoubt = job.mode === 'once' && !this.#intended.has(entry.step)
    const aborted = new Promise<never>((_, reject) =>
      controller.signal.addEventListener('abort', () => reject(controller.signal.reason), {
        once: true,
      }),
    )
    aborted.catch(() => undefined)
    const run = async (): Promise<unknown> =>
      inDoubt ? this.#verify(job, context) : this.#done(job, await job.effect(context))
    const over = Promise.race([run(), aborted])
      .then(
        () => undefined,
        (error: unknown) => {
          // A result that comes after its deadline, or of a step that was dropped, is nobody's.
          if (this.#running.get(entry.step)?.controller === controller) this.#failed(job, error)
        },
      )
      .finally(() => {
        timer.cancel()
        if (this.#running.get(entry.step)?.controller === controller) {
          this.#running.delete(entry.step)
        }
      })
    this.#running.set(entry.step, { controller, over })
  }

  #done({ entry, mode }: EffectJob, output: unknown): void {
    if (!this.#running.has(entry.step) || entry.state !== 'open') return
    entry.output = asJson(output)
    this.#turn.arrive(entry, 'done')
    if (mode !== 'idempotent') this.#turn.hasResult = true
  }

  async #verify(job: EffectJob, context: EffectContext): Promise<void> {
    const { entry } = job
    const verdict = job.verify ? await job.verify(context) : 'unknown'
    if (verdict === 'unknown') {
      entry.state = 'in-doubt'
      this.#turn.pause({
        kind: 'in-doubt',
        step: entry.step,
        message: `${entry.step} had begun when the process died, and nobody knows whether it ran`,
        fix: 'find out: skip it with what it gave, or retry it when it did not run',
      })
    } else if (verdict.happened) this.#done(job, verdict.output)
    else {
      delete entry.intentAtMs
      this.#ready.push(job)
    }
  }

  #failed(
    { entry, mode, retry }: Pick<EffectJob, 'entry' | 'mode' | 'retry'>,
    error: unknown,
  ): void {
    const turn = this.#turn
    entry.attempts = (entry.attempts ?? 0) + 1
    entry.error = turn.mask(messageOf(error))
    if (turn.run.phase === 'compensation' && !isUndo(entry)) {
      // It is taken back, whether or not it had its effect.
      entry.state = 'failed'
      return
    }
    const delayMs = nextDelayMs(retry, entry.attempts, turn.ports.kernel.random)
    if (delayMs === undefined) return giveUp(turn, entry)
    if (mode === 'once') delete entry.intentAtMs
    entry.state = 'retrying'
    entry.dueAtMs = turn.nowMs + delayMs
    turn.setTimer(`retry:${entry.step}`, entry.dueAtMs)
  }

  async #transact({ entry, retry, callback }: TxJob): Promise<void> {
    const turn = this.#turn
    const { arrivals } = turn.run
    try {
      await turn.flush(async (db) => {
        entry.output = asJson(await callback(db))
        turn.arrive(entry, 'done')
      })
      this.#ended.push(entry.step)
    } catch (error) {
      turn.run.arrivals = arrivals
      entry.state = 'open'
      delete entry.output
      delete entry.arrived
      delete entry.endedAtMs
      if (isOfStore(error)) throw error
      this.#ended.push(entry.step)
      this.#failed({ entry, mode: 'normal', retry }, error)
    }
  }
}

/** Nothing more is tried: a person is needed. */
function giveUp(turn: Turn, entry: SagaEntry): void {
  const message = entry.error ?? 'it failed'
  if (isUndo(entry)) return giveUpUndo(turn, entry, message)
  entry.state = 'failed'
  turn.pause({
    kind: 'step-failed',
    step: entry.step,
    message: `${entry.step} failed for good: ${message}`,
    fix: 'mend the cause, then retry the step; or skip it with what it should have given; or cancel',
  })
}

const isOfStore = (error: unknown): boolean =>
  error instanceof JuncturaError &&
  (error.code.startsWith('JUNCTURA_STORE_') || error.code === 'JUNCTURA_CLOSED')
