import { type AnyContract, type AnySaga, type Draft, type Team } from '../../contract/index.ts'
import { JuncturaError } from '../../kernel/index.ts'
import {
  type Append,
  clearTimerRow,
  type RowWrite,
  type SagaAnswer,
  setTimerRow,
  type SagaProblem,
  type TimerRow,
} from '../../store/index.ts'
import type { SagaDelivery, SagaPorts, SagaTx, SagaWrites } from './saga-ports.ts'
import { readReplyTo, replyToText, sagaContract } from './saga-record.ts'
import { isEnded, rowOf, runKey, type SagaEntry, type SagaRun } from './saga-run.ts'

export const timerOwnerOfSaga = (saga: string): string => `saga/${saga}`

const timerReference = (key: string, timer: string): string => `${key}\n${timer}`

/** `kind:step`, where the step may have a colon of its own. */
const stepOfTimer = (timer: string): string => timer.slice(timer.indexOf(':') + 1)

/** The run and the timer that a reference names. */
export const readTimerReference = (
  reference: string,
): { readonly key: string; readonly timer: string } => {
  const at = reference.lastIndexOf('\n')
  return { key: reference.slice(0, at), timer: reference.slice(at + 1) }
}

/**
 * One record of one run, from its delivery to its commit. Everything that changes is collected here
 * and written together: the journal, what is sent, timers and alerts. What must be durable before
 * an effect outside begins is written by `flush`.
 */
export class Turn {
  readonly ports: SagaPorts
  readonly saga: AnySaga
  readonly delivery: SagaDelivery
  run: SagaRun
  /** An effect has a result that is not durable yet. */
  hasResult = false
  /** Nothing has moved: somebody only looked whether it does. */
  isLook = false
  #appends: Append[] = []
  #rows: RowWrite[] = []
  #timers = new Map<string, number | undefined>()
  #scheduled: TimerRow[] = []

  constructor(parts: {
    readonly ports: SagaPorts
    readonly saga: AnySaga
    readonly delivery: SagaDelivery
    readonly run: SagaRun
  }) {
    this.ports = parts.ports
    this.saga = parts.saga
    this.delivery = parts.delivery
    this.run = parts.run
  }

  get nowMs(): number {
    return this.ports.steady.now()
  }

  get hasAppends(): boolean {
    return this.#appends.length > 0
  }

  arrive(entry: SagaEntry, state: SagaEntry['state']): void {
    entry.state = state
    this.run.arrivals += 1
    entry.arrived = this.run.arrivals
    entry.endedAtMs = this.nowMs
  }

  setTimer(timer: string, dueAtMs: number): void {
    this.#timers.set(timer, dueAtMs)
    if (!this.run.timers.includes(timer)) this.run.timers.push(timer)
  }

  clearTimer(timer: string): void {
    if (!this.run.timers.includes(timer)) return
    this.run.timers = this.run.timers.filter((one) => one !== timer)
    this.#timers.set(timer, undefined)
  }

  clearTimersOf(step: string): void {
    for (const timer of this.run.timers) if (stepOfTimer(timer) === step) this.clearTimer(timer)
  }

  clearAllTimers(): void {
    for (const timer of this.run.timers) this.clearTimer(timer)
  }

  /** The store has let go of it already: it fired. */
  timerFired(timer: string): void {
    this.run.timers = this.run.timers.filter((one) => one !== timer)
  }

  /** @throws JUNCTURA_EMIT_INVALID */
  send(draft: Draft, entry: { readonly step: string; readonly sent?: number }): void {
    const { run } = this
    const sent = entry.sent ?? 1
    const once = `${run.id}.${entry.step}`
    this.#append(draft, {
      id: sent > 1 ? `${once}.${sent}` : once,
      idempotencyKey: once,
      replyTo: replyToText({ saga: run.saga, key: run.key, step: entry.step, run: run.id }),
    })
  }

  emit(draft: Draft, step: string): void {
    this.#append(draft, { id: `${this.run.id}.${step}` })
  }

  /** Into the channel of a saga, this one's or another's. */
  post(saga: string, data: unknown, id: string): void {
    this.#append({ contract: sagaContract(saga), data }, { id: `${this.run.id}.${id}` })
  }

  /** Tells whoever started this run how it ended. */
  tellParent(answer: SagaAnswer): void {
    const { parent, parents = [] } = this.run
    if (parent !== undefined) this.#tell(parent, answer, 'end')
    for (const [place, one] of parents.entries()) this.#tell(one, answer, `end.${place + 1}`)
  }

  /** Another one that started it: it is told the end, also when that has been. */
  joinParent(parent: string): void {
    const { run } = this
    if (run.parent === parent || run.parents?.includes(parent) === true) return
    run.parents = [...(run.parents ?? []), parent]
    const { state } = run
    if (!isEnded(run)) return
    const answer: SagaAnswer =
      state === 'completed'
        ? { outcome: 'output', data: run.output ?? null }
        : { outcome: 'declined', error: state, data: { state, reason: run.cause?.reason ?? state } }
    this.#tell(parent, answer, `end.${run.parents.length}`)
  }

  #tell(parent: string, answer: SagaAnswer, id: string): void {
    const to = readReplyTo(parent)
    if (!to) return
    const { saga, ...step } = to
    this.post(saga, { kind: 'answer', ...step, ...answer }, id)
  }

  #append(draft: Draft, more: { readonly id: string } & Partial<Record<string, string>>): void {
    const { run, delivery } = this
    const append = this.ports.append(draft, {
      source: `/sagas/${run.saga}`,
      correlationId: run.correlationId,
      causationId: delivery.messageId,
      ...(run.traceparent !== undefined && { traceparent: run.traceparent }),
      ...more,
    })
    this.#appends.push(append)
  }

  /**
   * Stops the run until a person, newer code or a late answer mends it, and tells who must know.
   */
  pause(problem: Omit<SagaProblem, 'atMs'>, owner?: Team): void {
    const { run, saga, nowMs } = this
    const message = this.mask(problem.message)
    run.problem = { ...problem, message, atMs: nowMs }
    run.state = 'paused'
    if (problem.kind === 'person') return
    this.raise(`${problem.kind}/${(problem.step ?? 'run').replace(/#\d+$/, '')}`, {
      title: `${saga.name} ${run.key} is paused: ${message}`,
      owner,
    })
    run.problemCause = this.#causeOf(problem)
  }

  #causeOf({ kind, step = 'run' }: Pick<SagaProblem, 'kind' | 'step'>): string {
    return `saga/${this.saga.name}/${kind}/${step.replace(/#\d+$/, '')}`
  }

  raise(
    what: string,
    {
      title,
      owner = this.saga.owner,
    }: { readonly title: string; readonly owner?: Team | undefined },
    severity: 'critical' | 'warning' = 'critical',
  ): void {
    const { saga, ports, nowMs } = this
    const target = owner === saga.owner ? saga.alert : owner.oncall
    const cause = `saga/${saga.name}/${what}`
    const told = { cause, title: this.mask(title), owner, target, severity, atMs: nowMs }
    this.#rows.push(...ports.raiseAlert(told))
  }

  /** What an effect or a function threw may hold what it was given. */
  mask(text: string): string {
    return this.ports.maskText(this.saga, text, this.run.input)
  }

  resolve(cause: string): void {
    this.#rows.push(...this.ports.resolveAlert(cause))
  }

  /** What kept it from going on is mended. */
  mended(): void {
    delete this.run.problem
    delete this.run.problemCause
    if (this.run.state === 'paused') {
      this.run.state = this.run.phase === 'forward' ? 'running' : 'compensating'
    }
  }

  ownerOf(contract: string | undefined): Team | undefined {
    const used = this.saga.uses.find(({ name }) => name === contract)
    return used?.owner
  }

  contractOf(name: string): AnyContract | undefined {
    const used = this.saga.uses.find((one) => one.name === name)
    return used?.part === 'contract' ? used : undefined
  }

  #take(): SagaWrites {
    const { run, saga } = this
    const rows = this.#rows
    const owner = timerOwnerOfSaga(saga.name)
    for (const [timer, dueAtMs] of this.#timers) {
      const reference = timerReference(run.key, timer)
      if (dueAtMs === undefined) rows.push(clearTimerRow(owner, reference))
      else {
        const row = { owner, reference, dueAtMs }
        rows.push(setTimerRow(row))
        this.#scheduled.push(row)
      }
    }
    const writes = { rows, appends: this.#appends }
    this.#rows = []
    this.#appends = []
    this.#timers = new Map()
    this.hasResult = false
    return writes
  }

  get #runRow(): RowWrite {
    const { run, saga } = this
    if (!this.isLook) {
      run.updatedAtMs = this.nowMs
      delete run.isQuiet
    }
    return { collection: 'sagaRuns', key: runKey(saga.name, run.key), row: rowOf(run) }
  }

  get #all(): SagaWrites {
    const runRow = this.#runRow
    const { rows, appends } = this.#take()
    return { rows: [runRow, ...rows], appends }
  }

  /** Everything so far becomes durable now, with the statements of the user where there are any. */
  async flush(tx?: SagaTx): Promise<void> {
    const { delivery, ports } = this
    if (delivery.signal.aborted) throw closed()
    if (!tx) {
      const outcome = await ports.committer.submit({ ...this.#all, isInternal: true })
      if (outcome.status === 'failed') throw outcome.error
    } else {
      const { hasResult } = this
      const { rows, appends } = this.#take()
      const outcome = await ports.committer.submit({
        isInternal: true,
        tx: async (db) => {
          if (delivery.signal.aborted) throw closed()
          await tx(db)
          return { rows: [this.#runRow, ...rows], appends }
        },
      })
      if (outcome.status === 'failed') {
        this.#rows.push(...rows)
        this.#appends.push(...appends)
        this.hasResult = hasResult
        throw outcome.error
      }
    }
    this.#tellTimers()
  }

  async complete(): Promise<void> {
    await this.delivery.complete(this.#all)
    this.#tellTimers()
  }

  #tellTimers(): void {
    for (const timer of this.#scheduled.splice(0)) this.ports.timers.scheduled(timer)
  }
}

export const closed = (): JuncturaError =>
  new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'The lane of this run' } })
