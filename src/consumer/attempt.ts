import type { BatchItem, Consumer, Database, Draft, EmittedMessage } from '../contract/index.ts'
import { isJuncturaError, JuncturaError, LIMITS, sleep } from '../kernel/index.ts'
import {
  type Append,
  type CommitUnit,
  positionText,
  type RowWrite,
  type UnitOutcome,
} from '../store/index.ts'
import { type AttemptActions, type AttemptWrites, createContext } from './attempt-context.ts'
import { Transaction, type TransactionHost } from './attempt-transaction.ts'
import type { AttemptCut, AttemptWatch, Watched } from './attempt-watch.ts'
import { findTwin, type PendingEmit, pendingEmit, settleEmits, twinOf } from './emitted.ts'
import { describeFailure } from './failure.ts'
import type { ConsumerPorts } from './ports.ts'
import { laneKey, type WorkItem } from './work-item.ts'

/** What became of one run of a handler. */
export type AttemptResult =
  /** `ctx.tx` committed: effects, emits and progress are durable. */
  | { readonly kind: 'completed' }
  /** The handler returned; what it emitted and the progress are still to be committed. */
  | { readonly kind: 'returned'; readonly unit: CommitUnit | undefined }
  | { readonly kind: 'failed'; readonly error: unknown; readonly timedOut: boolean }
  /** The store did not take it; that is not the handler's fault and does not count. */
  | { readonly kind: 'store'; readonly error: unknown }

/** What one run of a handler is about, and who is told how it ended. */
export interface AttemptRun {
  readonly ports: ConsumerPorts
  readonly consumer: Consumer
  /** Ends it at its deadline, and when the runtime stops without waiting. */
  readonly watch: AttemptWatch
  /** The message, or the first of a batch. */
  readonly item: WorkItem
  readonly data: unknown
  /** All of them, where there are several. */
  readonly batch: readonly BatchItem<unknown>[] | undefined
  readonly attempt: number
  readonly startedMs: number
  /** Results of `ctx.once` that earlier attempts kept; they go when the message is done. */
  readonly onceKeys: readonly string[]
  /** Whether success writes rows, and not only that the message is done. */
  readonly hasRows: boolean
  /** What success writes besides the handler's own; only the handler appends. */
  success(): SuccessParts
  /** Replaces personal data of the message in a text. */
  mask(text: string): string
  /** Called once. */
  ended(result: AttemptResult): void
}

export type SuccessParts = Pick<CommitUnit, 'marks' | 'rows'>

/**
 * Runs a handler once, under its deadline.
 *
 * `running` → `committing` while the callback of `ctx.tx` holds the transaction → `completed`, or
 * back to `running` when its statements failed. The deadline or a stop ends the attempt: at once
 * while running, after the transaction while committing. Whatever the handler does later is
 * refused, so a late attempt cannot have an effect beside its successor (F16).
 *
 * Most attempts emit nothing and keep nothing, so what they would need for that is made when it is
 * asked for; a promise, a closure or an array more for each is felt.
 */
export const beginAttempt = (run: AttemptRun): void => new Attempt(run).begin()

class Attempt implements Watched, AttemptActions, TransactionHost {
  readonly #run: AttemptRun
  dueMs = 0
  place = -1
  /** Made when the handler asks for its signal, which few do and which costs much. */
  #abort: AbortController | undefined
  #abortError: JuncturaError | undefined
  #emits: Append[] | undefined
  /** What the handler holds of each of `#emits`. */
  #pending: PendingEmit[] | undefined
  /** Rows that a handler of the runtime adds. */
  #rows: RowWrite[] | undefined
  #rowsBefore = 0
  /** Of at-most-once contracts: told when the attempt is done, never written. */
  #volatile: Append[] | undefined
  #onceKeys: Set<string> | undefined
  #state: 'running' | 'committing' | 'completed' | 'over' = 'running'
  #hasEnded = false
  /** A deadline or stop that came while the transaction was open. */
  #cut: AttemptCut | undefined
  #tx: Transaction | undefined
  /** How much was emitted when `ctx.tx` was called. */
  #emitsBefore = 0
  #volatileBefore = 0
  #storeError: unknown
  #logLines = 0
  #overReason = ''

  constructor(run: AttemptRun) {
    this.#run = run
  }

  begin(): void {
    const { watch, startedMs, ports } = this.#run
    watch.begin(this, startedMs)
    if (ports.observer.isTracing) return this.#settleWith(this.#traced())
    let returned: unknown
    try {
      returned = this.#call()
    } catch (error) {
      return this.#threw(error)
    }
    this.#settleWith(returned)
  }

  cutShort(why: AttemptCut): void {
    if (this.#state === 'over') return this.#storeError === undefined ? undefined : this.#giveBack()
    if (this.#state === 'committing') {
      // A transaction that has begun decides by itself how the attempt ends.
      this.#cut ??= why
      return
    }
    const isStop = why === 'stop'
    const { timeoutMs } = this.#run.consumer
    const reason = isStop ? 'the runtime stops' : `its deadline of ${timeoutMs} ms has passed`
    const error = this.#overError(reason)
    this.#abortError = error
    this.#abort?.abort(error)
    if (this.#state === 'completed') return this.#end(COMPLETED)
    this.#over(reason)
    if (!isStop) return this.#end({ kind: 'failed', error, timedOut: true })
    const closed = new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'The runtime' } })
    this.#end({ kind: 'store', error: closed })
  }

  /** The store did not take it and its handler goes on: the message is no longer its own. */
  #giveBack(): void {
    const error = this.#overError(this.#overReason)
    this.#abortError = error
    this.#abort?.abort(error)
    this.#end({ kind: 'store', error: this.#storeError })
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController()
    if (this.#abortError) this.#abort.abort(this.#abortError)
    return this.#abort.signal
  }

  #call(): unknown {
    const { consumer, item, data, batch, attempt } = this.#run
    const attemptsMax = consumer.retry?.attempts ?? 1
    const context = createContext(this, { item, attempt, attemptsMax })
    if (consumer.handleBatch) {
      return consumer.handleBatch(batch ?? [{ data, message: context.message }], context)
    }
    return consumer.handle(data, context)
  }

  /** The same inside a span. */
  #traced(): Promise<void> {
    const { consumer, ports, item } = this.#run
    return ports.observer.span(consumer.name, item.record.head.envelope, async (failed) => {
      try {
        await this.#call()
        if (this.#tx && !this.#tx.isOver) await this.#tx.promise
      } catch (error) {
        const { name, message, stack } = describeFailure(error, (text) => this.#run.mask(text))
        failed(Object.assign(new Error(message), { name, stack }))
        throw error
      }
    })
  }

  /** A transaction that nobody awaited still decides what becomes of the message. */
  #settleWith(returned: unknown): void {
    const threw = (error: unknown): void => this.#threw(error)
    Promise.resolve(returned).then(() => {
      const tx = this.#tx
      if (!tx || tx.isOver) return this.#returned()
      tx.promise.then(() => this.#returned(), threw)
    }, threw)
  }

  #end(result: AttemptResult): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    const { watch } = this.#run
    watch.end(this)
    this.#run.ended(result)
  }

  #returned(): void {
    if (this.#hasEnded) return
    if (this.#state === 'completed') return this.#end(COMPLETED)
    if (this.#storeError !== undefined) {
      return this.#end({ kind: 'store', error: this.#storeError })
    }
    this.#over('the handler has returned')
    this.#end(this.#hasWritten() ? { kind: 'returned', unit: this.#completion() } : RETURNED)
  }

  #threw(error: unknown): void {
    if (this.#hasEnded) return
    const { ports, consumer, item } = this.#run
    if (this.#state === 'completed') {
      // After its transaction the message is done; what follows can only be told.
      const messageId = item.record.head.envelope.id
      ports.kernel.log.warn(
        { consumer: consumer.name, messageId },
        'the handler threw after ctx.tx had completed the message',
      )
      return this.#end(COMPLETED)
    }
    this.#over('the handler has failed')
    if (this.#storeError !== undefined) {
      return this.#end({ kind: 'store', error: this.#storeError })
    }
    if (isStoreTrouble(error)) return this.#end({ kind: 'store', error })
    this.#end({ kind: 'failed', error, timedOut: false })
  }

  /** Whether success writes more than the progress. */
  #hasWritten(): boolean {
    const emits = this.#emits?.length ?? 0
    return emits > 0 || (this.#volatile?.length ?? 0) > 0 || this.#hasRows()
  }

  #hasRows(): boolean {
    if (this.#rows !== undefined) return true
    return this.#onceKeys !== undefined || this.#run.onceKeys.length > 0 || this.#run.hasRows
  }

  /** Everything that success writes. */
  #completion(): CommitUnit {
    const { marks, rows = [] } = this.#run.success()
    const { onceKeys } = this.#run
    const keys = this.#onceKeys ? [...onceKeys, ...this.#onceKeys] : onceKeys
    const forgotten = keys.map((key): RowWrite => ({
      collection: 'onceResults',
      key,
      row: undefined,
    }))
    return {
      ...(marks && { marks }),
      // A copy: what is emitted after this is not of this commit.
      appends: this.#emits ? [...this.#emits] : [],
      rows: this.#rows ? [...rows, ...forgotten, ...this.#rows] : [...rows, ...forgotten],
      volatile: this.volatile,
    }
  }

  get isBroughtBack(): boolean {
    const { letter, replay } = this.#run.item
    return letter !== undefined || replay !== undefined
  }

  write({ rows, appends }: AttemptWrites): void {
    this.#refuseWhenOver()
    for (const append of appends) {
      ;(this.#emits ??= []).push(append)
      ;(this.#pending ??= []).push(pendingEmit(append))
    }
    if (rows.length > 0) (this.#rows ??= []).push(...rows)
  }

  complete(): Promise<void> {
    return this.#transact<void>(undefined)
  }

  tx<T>(callback: (db: Database) => Promise<T>): Promise<T> {
    return this.#transact(callback)
  }

  #transact<T>(callback: ((db: Database) => Promise<T>) | undefined): Promise<T> {
    const { consumer, ports } = this.#run
    if (this.#tx) {
      const details = { consumer: consumer.name }
      return rejected(new JuncturaError('JUNCTURA_TX_TWICE', { details }))
    }
    if (this.#isOver) return rejected(this.#overError(this.#overReason))
    this.#emitsBefore = this.#emits?.length ?? 0
    this.#rowsBefore = this.#rows?.length ?? 0
    this.#volatile ??= []
    this.#volatileBefore = this.#volatile.length
    const tx = new Transaction(this, callback)
    this.#tx = tx
    ports.committer.enqueue(tx)
    // It settles with what this callback gives.
    return tx.promise as Promise<T>
  }

  get marks(): CommitUnit['marks'] {
    return this.#run.success().marks
  }

  get volatile(): readonly Append[] {
    return (this.#volatile ??= [])
  }

  entered(): void {
    if (this.#state !== 'committing') this.#refuseWhenOver()
    this.#state = 'committing'
    this.#forgetEmits()
  }

  written(): Pick<CommitUnit, 'appends' | 'rows'> {
    return this.#hasRows() || this.#emits ? this.#completion() : NOTHING
  }

  committed(outcome: UnitOutcome): Promise<void> | undefined {
    this.#afterTx('completed', 'ctx.tx has completed the message')
    if (!this.#emits || this.#emits.length === 0) return undefined
    const { ports, consumer, item } = this.#run
    return settleEmits(ports, {
      consumer: consumer.name,
      messageId: item.record.head.envelope.id,
      appends: this.#emits,
      pending: this.#pending ?? [],
      outcome,
    })
  }

  takenBack(outcome: UnitOutcome): unknown {
    this.#forgetEmits()
    this.#afterTx('running', '')
    return outcome.status === 'failed' ? outcome.error : this.#overError('its unit was refused')
  }

  storeFailed(error: unknown): void {
    this.#storeError = error
    this.#afterTx('over', 'the store did not take its commit')
  }

  /** What the callback has emitted. */
  #forgetEmits(): void {
    if (this.#emits) this.#emits.length = this.#emitsBefore
    if (this.#pending) this.#pending.length = this.#emitsBefore
    if (this.#rows) this.#rows.length = this.#rowsBefore
    if (this.#volatile) this.#volatile.length = this.#volatileBefore
  }

  /** The transaction is over; a deadline that waited for it now counts. */
  #afterTx(state: 'running' | 'completed' | 'over', reason: string): void {
    if (this.#state === 'over') return
    this.#state = state
    this.#overReason = reason
    const cut = this.#cut
    this.#cut = undefined
    if (cut) this.cutShort(cut)
  }

  async once<T>(name: string, effect: () => Promise<T>): Promise<T> {
    const { consumer, item, ports } = this.#run
    this.#refuseWhenOver()
    const { position, origin } = item
    // At-most-once messages have one attempt and no place in the log.
    if (origin === 'volatile') return effect()
    const key = `${laneKey(consumer.name, positionText(position))}\n${name}`
    const kept = await ports.store.row('onceResults', key)
    this.#onceKeys ??= new Set()
    this.#onceKeys.add(key)
    // Its type is the one that the same call gave when it was kept.
    if (kept) return kept.result as T
    this.#refuseWhenOver()
    const result = await effect()
    const row = { consumer: consumer.name, position, result }
    await this.#keepOnce({ collection: 'onceResults', key, row })
    return result
  }

  /** The effect has happened: while the store refuses its result, it is offered again. */
  async #keepOnce(row: RowWrite): Promise<void> {
    const { ports } = this.#run
    for (;;) {
      this.#refuseWhenOver()
      try {
        const outcome = await ports.committer.submit({ rows: [row], isInternal: true })
        if (outcome.status === 'failed') throw outcome.error
        return
      } catch (error) {
        if (!isStoreTrouble(error) || ports.committer.mode !== 'open') throw error
        await sleep(ports.kernel.clock, STORE_RETRY_MS, this.signal)
      }
    }
  }

  emit(draft: Draft): EmittedMessage {
    const { consumer, item, ports } = this.#run
    this.#refuseWhenOver()
    const emits = (this.#emits ??= [])
    const pending = (this.#pending ??= [])
    const volatile = (this.#volatile ??= [])
    const index = emits.length + volatile.length
    if (index >= LIMITS.emitsPerMessageMax) {
      const problem = `more than ${LIMITS.emitsPerMessageMax} emits`
      throw new JuncturaError('JUNCTURA_EMIT_INVALID', {
        details: { type: draft.contract.name, problem },
      })
    }
    const append = ports.prepareEmit(draft, {
      envelope: item.record.head.envelope,
      consumer: consumer.name,
      index,
      atMs: ports.kernel.clock.now(),
    })
    const twin = pending[findTwin(emits, append)]
    if (twin) return twinOf(twin)
    const emitted = pendingEmit(append)
    if (draft.contract.guarantee === 'at-most-once') volatile.push(append)
    else {
      emits.push(append)
      pending.push(emitted)
    }
    return emitted
  }

  log(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    const { consumer, item, ports } = this.#run
    if (++this.#logLines > LIMITS.attemptLogLinesMax) return
    const messageId = item.record.head.envelope.id
    const mask = (text: string): string => this.#run.mask(text)
    const masked = Object.fromEntries(
      Object.entries(fields).map(([name, value]) => [
        name,
        typeof value === 'string' ? mask(value) : value,
      ]),
    )
    const told = { consumer: consumer.name, messageId, message: mask(message), fields: masked }
    ports.observer.logged(told)
  }

  #over(reason: string): void {
    this.#state = 'over'
    this.#overReason = reason
  }

  #overError(reason: string): JuncturaError {
    return new JuncturaError('JUNCTURA_ATTEMPT_OVER', {
      details: { consumer: this.#run.consumer.name, reason },
    })
  }

  get #isOver(): boolean {
    return this.#state === 'over' || this.#state === 'completed'
  }

  #refuseWhenOver(): void {
    if (this.#isOver) throw this.#overError(this.#overReason)
  }
}

const COMPLETED: AttemptResult = { kind: 'completed' }
const RETURNED: AttemptResult = { kind: 'returned', unit: undefined }
const NOTHING: Pick<CommitUnit, 'appends' | 'rows'> = {}

/** A promise that the handler drops must not end the process. */
function rejected(error: JuncturaError): Promise<never> {
  const promise = Promise.reject(error)
  promise.catch(() => undefined)
  return promise
}

/** After the store refused, the same work is offered again after this. */
export const STORE_RETRY_MS = 500

/** Whether a store refused in a way that says nothing about the handler. */
export const isStoreTrouble = (error: unknown): boolean =>
  isJuncturaError(error, 'JUNCTURA_STORE_BUSY') ||
  isJuncturaError(error, 'JUNCTURA_STORE_FULL') ||
  isJuncturaError(error, 'JUNCTURA_STORE_FAILED') ||
  isJuncturaError(error, 'JUNCTURA_STORE_UNKNOWN') ||
  isJuncturaError(error, 'JUNCTURA_CLOSED')
