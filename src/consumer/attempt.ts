import type {
  Consumer,
  ConsumedMessage,
  ConsumerContext,
  Database,
  Draft,
  EmittedMessage,
} from '../contract/index.ts'
import { isJuncturaError, JuncturaError, LIMITS, sleep } from '../kernel/index.ts'
import { type Append, type CommitUnit, positionText, type RowWrite } from '../store/index.ts'
import type { AttemptCut, AttemptWatch } from './attempt-watch.ts'
import { findTwin, type PendingEmit, pendingEmit, settleEmits, twinOf } from './emitted.ts'
import { describeFailure } from './failure.ts'
import type { ConsumerPorts } from './ports.ts'
import { laneKey, type WorkItem } from './work-item.ts'

/** What became of one run of a handler. */
export type AttemptResult =
  /** `ctx.tx` committed: effects, emits and progress are durable. */
  | { readonly kind: 'completed' }
  /** The handler returned; its emits and progress are still to be committed. */
  | { readonly kind: 'returned'; readonly unit: CommitUnit }
  | { readonly kind: 'failed'; readonly error: unknown; readonly timedOut: boolean }
  /** The store did not take it; that is not the handler's fault and does not count. */
  | { readonly kind: 'store'; readonly error: unknown }

export interface AttemptOptions {
  readonly ports: ConsumerPorts
  readonly consumer: Consumer
  /** One item, or the items of a batch. */
  readonly items: readonly [WorkItem, ...WorkItem[]]
  readonly data: readonly unknown[]
  readonly attempt: number
  /** What success writes besides the handler's own; only the handler appends. */
  readonly success: Omit<CommitUnit, 'appends'>
  /** Results of `ctx.once` that earlier attempts kept; they go when the message is done. */
  readonly onceKeys: readonly string[]
  /** Replaces personal data of the message in a text. */
  readonly mask: (text: string) => string
  /** Ends it at its deadline, and when the runtime stops without waiting. */
  readonly watch: AttemptWatch
}

/**
 * Runs a handler once, under its deadline.
 *
 * `running` → `committing` while the callback of `ctx.tx` holds the transaction → `completed`, or
 * back to `running` when its statements failed. The deadline or a stop ends the attempt: at once
 * while running, after the transaction while committing. Whatever the handler does later is
 * refused, so a late attempt cannot have an effect beside its successor (F16).
 */
export const runAttempt = (options: AttemptOptions): Promise<AttemptResult> =>
  new Attempt(options).run()

class Attempt {
  readonly #options: AttemptOptions
  /** Made when the handler asks for its signal, which few do and which costs much. */
  #abort: AbortController | undefined
  #abortError: JuncturaError | undefined
  readonly #emits: Append[] = []
  /** What the handler holds of each of `#emits`. */
  readonly #pending: PendingEmit[] = []
  /** Of at-most-once contracts: told when the attempt is done, never written. */
  readonly #volatile: Append[] = []
  readonly #onceKeys = new Set<string>()
  #state: 'running' | 'committing' | 'completed' | 'over' = 'running'
  #end: (result: AttemptResult) => void = () => undefined
  /** A deadline or stop that came while the transaction was open. */
  #cut: (() => void) | undefined
  #tx: Promise<unknown> | undefined
  #txCalled = false
  #storeError: unknown
  #logLines = 0
  #overReason = ''

  constructor(options: AttemptOptions) {
    this.#options = options
  }

  async run(): Promise<AttemptResult> {
    const end = new Promise<AttemptResult>((resolve) => {
      this.#end = resolve
    })
    const unwatch = this.#options.watch.begin((why) => this.#cutShort(why))
    this.#call().then(
      () => this.#end(this.#returned()),
      (error: unknown) => this.#end(this.#threw(error)),
    )
    const result = await end
    unwatch()
    return result
  }

  #cutShort(why: AttemptCut): void {
    if (why === 'stop') {
      const error = new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'The runtime' } })
      return this.#cutOff(this.#overError('the runtime stops'), { kind: 'store', error })
    }
    const { timeoutMs } = this.#options.consumer
    const error = this.#overError(`its deadline of ${timeoutMs} ms has passed`)
    this.#cutOff(error, { kind: 'failed', error, timedOut: true })
  }

  #signal(): AbortSignal {
    this.#abort ??= new AbortController()
    if (this.#abortError) this.#abort.abort(this.#abortError)
    return this.#abort.signal
  }

  async #call(): Promise<void> {
    const { consumer, items, data, ports, mask } = this.#options
    const context = this.#context()
    await ports.observer.span(consumer.name, items[0].record.head.envelope, async (failed) => {
      try {
        if (consumer.handleBatch) {
          const batch = items.map((item, index) => ({
            data: data[index],
            message: consumedMessage(item),
          }))
          await consumer.handleBatch(batch, context)
        } else await consumer.handle(data[0], context)
        // A transaction that nobody awaited still decides what becomes of the message.
        await this.#tx
      } catch (error) {
        const { name, message, stack } = describeFailure(error, mask)
        failed(Object.assign(new Error(message), { name, stack }))
        throw error
      }
    })
  }

  /** Ends the attempt from outside. What it has made durable stays done. */
  #cutOff(error: JuncturaError, result: AttemptResult): void {
    if (this.#state === 'over') return
    if (this.#state === 'committing') {
      // A transaction that has begun decides by itself how the attempt ends.
      this.#cut ??= () => this.#cutOff(error, result)
      return
    }
    this.#abortError = error
    this.#abort?.abort(error)
    if (this.#state === 'completed') return this.#end({ kind: 'completed' })
    this.#over(String(error.details['reason']))
    this.#end(result)
  }

  #returned(): AttemptResult {
    if (this.#state === 'completed') return { kind: 'completed' }
    if (this.#storeError !== undefined) return { kind: 'store', error: this.#storeError }
    this.#over('the handler has returned')
    return { kind: 'returned', unit: this.#completion() }
  }

  #threw(error: unknown): AttemptResult {
    const { ports, consumer, items } = this.#options
    if (this.#state === 'completed') {
      // After its transaction the message is done; what follows can only be told.
      const messageId = items[0].record.head.envelope.id
      ports.kernel.log.warn(
        { consumer: consumer.name, messageId },
        'the handler threw after ctx.tx had completed the message',
      )
      return { kind: 'completed' }
    }
    this.#over('the handler has failed')
    if (this.#storeError !== undefined) return { kind: 'store', error: this.#storeError }
    if (isStoreTrouble(error)) return { kind: 'store', error }
    return { kind: 'failed', error, timedOut: false }
  }

  /** Everything that success writes. */
  #completion(): CommitUnit {
    const { success } = this.#options
    const keys = [...this.#options.onceKeys, ...this.#onceKeys]
    const forgotten = keys.map((key): RowWrite => ({
      collection: 'onceResults',
      key,
      row: undefined,
    }))
    return {
      ...success,
      appends: [...this.#emits],
      rows: [...(success.rows ?? []), ...forgotten],
      volatile: this.#volatile,
    }
  }

  #context(): ConsumerContext {
    const { consumer, items, attempt } = this.#options
    const { replay } = items[0]
    const signal = (): AbortSignal => this.#signal()
    return {
      message: consumedMessage(items[0]),
      attempt,
      attemptsMax: consumer.retry?.attempts ?? 1,
      get signal() {
        return signal()
      },
      ...(replay && { replay }),
      tx: (callback) => {
        const isFirst = !this.#txCalled
        const running = this.#runTx(callback)
        if (isFirst) this.#tx = running
        const settled = (): void => {
          if (isFirst) this.#tx = undefined
        }
        // A promise that the handler drops must not end the process.
        running.then(settled, settled)
        return running
      },
      once: (name, effect) => this.#once(name, effect),
      emit: (draft) => this.#emit(draft),
      log: (message, fields) => this.#log(message, fields ?? {}),
    }
  }

  async #runTx<T>(callback: (db: Database) => Promise<T>): Promise<T> {
    const { consumer, ports, success, items } = this.#options
    if (this.#txCalled) {
      throw new JuncturaError('JUNCTURA_TX_TWICE', { details: { consumer: consumer.name } })
    }
    this.#refuseWhenOver()
    this.#txCalled = true
    const before = { emits: this.#emits.length, volatile: this.#volatile.length }
    const forget = (): void => {
      this.#emits.length = before.emits
      this.#pending.length = before.emits
      this.#volatile.length = before.volatile
    }
    let result: { readonly value: T } | undefined
    const outcome = await ports.committer
      .submit({
        ...success,
        appends: [],
        rows: [],
        volatile: this.#volatile,
        isInternal: true,
        tx: async (db) => {
          if (this.#state !== 'committing') this.#refuseWhenOver()
          this.#state = 'committing'
          // A store may run the callback again, for example after a conflict.
          forget()
          result = { value: await callback(db) }
          const { appends = [], rows = [] } = this.#completion()
          return { appends, rows }
        },
      })
      .catch((error: unknown) => {
        this.#storeError = error
        this.#afterTx('over', 'the store did not take its commit')
        throw error
      })
    if (outcome.status === 'committed' && result) {
      this.#afterTx('completed', 'ctx.tx has completed the message')
      if (this.#emits.length > 0) {
        const { id: messageId } = items[0].record.head.envelope
        const pending = this.#pending
        const emits = { consumer: consumer.name, messageId, appends: this.#emits, pending, outcome }
        await settleEmits(ports, emits)
      }
      return result.value
    }
    forget()
    this.#afterTx('running', '')
    throw outcome.status === 'failed' ? outcome.error : this.#overError('its unit was refused')
  }

  /** The transaction is over; a deadline that waited for it now counts. */
  #afterTx(state: 'running' | 'completed' | 'over', reason: string): void {
    if (this.#state === 'over') return
    this.#state = state
    this.#overReason = reason
    const cut = this.#cut
    this.#cut = undefined
    cut?.()
  }

  async #once<T>(name: string, effect: () => Promise<T>): Promise<T> {
    const { consumer, items, ports } = this.#options
    this.#refuseWhenOver()
    const [{ position, origin }] = items
    // At-most-once messages have one attempt and no place in the log.
    if (origin === 'volatile') return effect()
    const key = `${laneKey(consumer.name, positionText(position))}\n${name}`
    const kept = await ports.store.row('onceResults', key)
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
    const { ports } = this.#options
    for (;;) {
      this.#refuseWhenOver()
      try {
        const outcome = await ports.committer.submit({ rows: [row], isInternal: true })
        if (outcome.status === 'failed') throw outcome.error
        return
      } catch (error) {
        if (!isStoreTrouble(error) || ports.committer.mode !== 'open') throw error
        await sleep(ports.kernel.clock, STORE_RETRY_MS, this.#signal())
      }
    }
  }

  #emit(draft: Draft): EmittedMessage {
    const { consumer, items, ports } = this.#options
    this.#refuseWhenOver()
    const index = this.#emits.length + this.#volatile.length
    if (index >= LIMITS.emitsPerMessageMax) {
      const problem = `more than ${LIMITS.emitsPerMessageMax} emits`
      throw new JuncturaError('JUNCTURA_EMIT_INVALID', {
        details: { type: draft.contract.name, problem },
      })
    }
    const append = ports.prepareEmit(draft, {
      envelope: items[0].record.head.envelope,
      consumer: consumer.name,
      index,
      atMs: ports.kernel.clock.now(),
    })
    const twin = this.#pending[findTwin(this.#emits, append)]
    if (twin) return twinOf(twin)
    const emitted = pendingEmit(append)
    if (draft.contract.guarantee === 'at-most-once') this.#volatile.push(append)
    else {
      this.#emits.push(append)
      this.#pending.push(emitted)
    }
    return emitted
  }

  #log(message: string, fields: Readonly<Record<string, unknown>>): void {
    const { consumer, items, ports, mask } = this.#options
    if (++this.#logLines > LIMITS.attemptLogLinesMax) return
    const messageId = items[0].record.head.envelope.id
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
      details: { consumer: this.#options.consumer.name, reason },
    })
  }

  #refuseWhenOver(): void {
    if (this.#state === 'over' || this.#state === 'completed') {
      throw this.#overError(this.#overReason)
    }
  }
}

const consumedMessage = (item: WorkItem): ConsumedMessage => {
  const { envelope } = item.record.head
  return {
    id: envelope.id,
    type: envelope.type,
    version: envelope.contractversion,
    key: envelope.partitionkey,
    time: envelope.time,
    position: item.position,
    correlationId: envelope.correlationid,
    envelope,
  }
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
