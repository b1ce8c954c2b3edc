import type { AnySaga } from '../../contract/index.ts'
import { JuncturaError, LIMITS, messageOf, sleep } from '../../kernel/index.ts'
import { clearTimerRow, type SagaRunRow } from '../../store/index.ts'
import { applyRecord, newRun } from './apply-record.ts'
import { compensate } from './compensate.ts'
import { Execution } from './execution.ts'
import type { SagaDelivery, SagaPorts } from './saga-ports.ts'
import { readSagaRecord, sagaContract } from './saga-record.ts'
import { isEnded, openRun, runIdOf, runKey, type SagaRun } from './saga-run.ts'
import { readTimerReference, timerOwnerOfSaga, Turn } from './turn.ts'

/**
 * Durable sagas. How it fits together:
 *
 * A saga is a consumer whose state is a journal. The runtime makes one internal consumer of it,
 * over a channel of the saga's own, keyed by the run; small ones forward the trigger and the
 * events in `uses` to that channel, and commands carry where their answer goes: the same channel.
 * A timer that fires and a person's command are records there, too. So lanes (one thing at a time,
 * in order, for each run), partitions, leases and fencing, group commit, suspects, retries of the
 * store, dead letters and retention are those of consumers, and "timeout and answer at the same
 * instant" is decided by the order of the log.
 *
 * At a record, `handle` loads the run, one row with its journal, writes down what the record says
 * (`applyRecord`), runs the function against the journal until it waits or ends (`Execution`),
 * takes it back where that is what is left (`compensate`), and completes the record: the row, what
 * was sent, timers, alerts and the consumer's progress are one commit. Between records nothing of
 * a run is in memory. Only before an effect outside begins, results of earlier effects are made
 * durable in a commit of their own.
 */
export interface SagaEngine {
  /** One record of the saga's channel; rejects when nothing of it is durable. */
  handle(saga: AnySaga, data: unknown, delivery: SagaDelivery): Promise<void>
  /** A durable timer is due: it becomes a record. Never rejects; a start finds what was cut off. */
  wake(saga: AnySaga, reference: string): void
  /** @throws JUNCTURA_SAGA_VERSION when live runs of a version have no code. */
  checkVersions(sagas: readonly AnySaga[]): Promise<void>
  /** Aborts the effects of one run that are under way here: a cancel need not wait for them. */
  interrupt(saga: string, key: string): void
  close(): void
}

const RETRY_MS = 500

export const createSagaEngine = (ports: SagaPorts): SagaEngine => new Engine(ports)

class Engine implements SagaEngine {
  readonly #ports: SagaPorts
  readonly #stop = new AbortController()
  /**
   * The turn of each run that is under way: what an attempt that is over still writes comes first.
   */
  readonly #turns = new Map<string, Promise<void>>()
  readonly #executions = new Map<string, Execution>()
  readonly #due: { readonly saga: AnySaga; readonly reference: string }[] = []
  #firing = 0

  constructor(ports: SagaPorts) {
    this.#ports = ports
  }

  async handle(saga: AnySaga, data: unknown, delivery: SagaDelivery): Promise<void> {
    const record = readSagaRecord(data)
    const id = runKey(saga.name, record.key)
    const before = this.#turns.get(id)
    const turn = this.#turn(saga, record, delivery, before)
    const quiet = turn.catch(() => undefined)
    this.#turns.set(id, quiet)
    try {
      await turn
    } finally {
      if (this.#turns.get(id) === quiet) this.#turns.delete(id)
    }
  }

  async #turn(
    saga: AnySaga,
    record: ReturnType<typeof readSagaRecord>,
    delivery: SagaDelivery,
    before: Promise<void> | undefined,
  ): Promise<void> {
    await before
    const row = await this.#ports.store.row('sagaRuns', runKey(saga.name, record.key))
    if (!row && record.kind !== 'start' && record.kind !== 'event') {
      // Of a run that was forgotten: nobody waits for it, and nothing is kept of it.
      return delivery.complete({ rows: [], appends: [] })
    }
    const turn = new Turn({
      ports: this.#ports,
      saga,
      delivery,
      run: row ? openRun(row) : newRun(saga, record.key, this.#ports.steady.now()),
    })
    const causes = new Set([turn.run.problemCause])
    applyRecord(turn, record)
    // What is told by the record may be over by the end of the turn.
    causes.add(turn.run.problemCause)
    await this.#drive(turn)
    causes.delete(turn.run.problemCause)
    for (const cause of causes) if (cause !== undefined) await this.#resolve(turn, cause)
    await turn.complete()
    this.#ports.onTurn?.(saga, row, turn.run)
  }

  async #drive(turn: Turn): Promise<void> {
    const { saga } = turn
    while (mayRun(turn.run)) {
      if (!saga.supports.includes(turn.run.version)) {
        turn.pause({
          kind: 'mismatch',
          message: `it was started with version ${turn.run.version}, and this code runs ${saga.supports.join(', ')}`,
          fix: 'start code that has this version, then resume it',
        })
        return
      }
      const execution = new Execution(turn)
      const id = runKey(saga.name, turn.run.key)
      this.#executions.set(id, execution)
      try {
        if ((await execution.run()) === 'again') {
          turn.run = reread(turn.run)
          continue
        }
        if (turn.run.state === 'compensating') await compensate(execution)
        return
      } finally {
        this.#executions.delete(id)
      }
    }
  }

  /** The last run that had this problem goes on: nobody needs to come any more. */
  async #resolve(turn: Turn, cause: string): Promise<void> {
    const { store } = this.#ports
    const stored = await store.row('sagaRuns', runKey(turn.saga.name, turn.run.key))
    const own = stored?.problemCause === cause ? 1 : 0
    const all = await store.count({ collection: 'sagaRuns', index: 'byProblem', where: [cause] })
    if (all <= own) turn.resolve(cause)
  }

  wake(saga: AnySaga, reference: string): void {
    this.#due.push({ saga, reference })
    this.#fireNext()
  }

  #fireNext(): void {
    while (this.#firing < LIMITS.sagaTimersAtOnceMax) {
      const due = this.#due.shift()
      if (!due || this.#stop.signal.aborted) return
      this.#firing += 1
      void this.#fire(due.saga, due.reference).finally(() => {
        this.#firing -= 1
        this.#fireNext()
      })
    }
  }

  /** The timer goes and the record comes in one commit, wherever else it is due as well. */
  async #fire(saga: AnySaga, reference: string): Promise<void> {
    const { committer, kernel } = this.#ports
    const { key, timer } = readTimerReference(reference)
    const owner = timerOwnerOfSaga(saga.name)
    const { signal } = this.#stop
    while (!signal.aborted && committer.mode === 'open') {
      try {
        const gone = clearTimerRow(owner, reference)
        const append = this.#ports.append(
          { contract: sagaContract(saga.name), data: { kind: 'timer', key, timer } },
          {
            id: kernel.ids.next('msg'),
            source: `/sagas/${saga.name}/timers`,
            correlationId: runIdOf(saga.name, key, timer),
          },
        )
        const outcome = await committer.submit({
          guards: [{ collection: 'timers', key: gone.key, is: 'present' }],
          rows: [gone],
          appends: [append],
          isInternal: true,
        })
        if (outcome.status !== 'failed') return
        throw outcome.error
      } catch (error) {
        const fields = { saga: saga.name, problem: messageOf(error) }
        kernel.log.warn(fields, 'a timer of a saga could not be told yet; trying again')
        await sleep(kernel.clock, RETRY_MS, signal)
      }
    }
  }

  async checkVersions(sagas: readonly AnySaga[]): Promise<void> {
    const { store } = this.#ports
    for (const saga of sagas) {
      const live = { collection: 'sagaRuns', index: 'live' } as const
      const all = await store.count({ ...live, where: [saga.name] })
      let known = 0
      for (const version of saga.supports) {
        known += await store.count({ ...live, where: [saga.name, version] })
      }
      if (known === all) continue
      const versions = new Set<number>()
      for (const { row } of await store.scan({
        ...live,
        where: [saga.name],
        limit: LIMITS.pageRowsMax,
      })) {
        if (!saga.supports.includes(row.version)) versions.add(row.version)
      }
      throw new JuncturaError('JUNCTURA_SAGA_VERSION', {
        details: {
          saga: saga.name,
          count: all - known,
          versions: [...versions].join(', ') || 'others',
          supports: saga.supports.join(', '),
        },
      })
    }
  }

  interrupt(saga: string, key: string): void {
    this.#executions.get(runKey(saga, key))?.effects.interrupt()
  }

  close(): void {
    this.#stop.abort()
  }
}

const mayRun = (run: SagaRun): boolean =>
  !isEnded(run) && (run.state === 'running' || run.state === 'compensating')

/** As a start would read it: nothing that is only in memory goes on. */
const reread = (run: SagaRun): SagaRun => {
  const row: SagaRunRow = structuredClone(run)
  return openRun(row)
}
