import type {
  Consumer,
  ConsumedMessage,
  ConsumerContext,
  Database,
  Draft,
} from '../contract/index.ts'
import { isJuncturaError, JuncturaError, LIMITS } from '../kernel/index.ts'
import type { Append, CommitUnit, RowWrite } from '../store/index.ts'
import type { ConsumerPorts } from './ports.ts'
import { laneKey, positionText, type WorkItem } from './work-item.ts'

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
  /** What success writes besides the handler's own. */
  readonly success: CommitUnit
  /** Aborts when the runtime stops without waiting. */
  readonly stop: AbortSignal
}

/**
 * Runs a handler once, under its deadline.
 *
 * `running` → `committing` while the callback of `ctx.tx` holds the transaction (the deadline waits
 * for it) → `completed`. The deadline or a stop takes `running` to `over`: whatever the handler
 * does later is refused, so a late attempt cannot have an effect beside its successor (F16).
 */
export const runAttempt = async (options: AttemptOptions): Promise<AttemptResult> => {
  const attempt = new Attempt(options)
  return attempt.run()
}

class Attempt {
  readonly #options: AttemptOptions
  readonly #abort = new AbortController()
  readonly #emits: Append[] = []
  readonly #onceKeys: string[] = []
  #state: 'running' | 'committing' | 'completed' | 'over' = 'running'
  #txCalled = false
  #storeError: unknown
  #logLines = 0
  #overReason = ''

  constructor(options: AttemptOptions) {
    this.#options = options
  }

  async run(): Promise<AttemptResult> {
    const { consumer, ports, stop } = this.#options
    let ended: (result: AttemptResult) => void = () => undefined
    const end = new Promise<AttemptResult>((resolve) => {
      ended = resolve
    })
    const cut = (reason: string, result: AttemptResult): void => {
      // A transaction that has begun decides by itself how the attempt ends.
      if (this.#state !== 'running') return
      this.#state = 'over'
      this.#overReason = reason
      this.#abort.abort(
        new JuncturaError('JUNCTURA_ATTEMPT_OVER', {
          details: { consumer: consumer.name, reason },
        }),
      )
      ended(result)
    }
    const deadline = ports.kernel.clock.setTimer(consumer.timeoutMs, () => {
      const reason = `its deadline of ${consumer.timeoutMs} ms has passed`
      const error = new JuncturaError('JUNCTURA_ATTEMPT_OVER', {
        details: { consumer: consumer.name, reason },
      })
      cut(reason, { kind: 'failed', error, timedOut: true })
    })
    const onStop = (): void => {
      cut('the runtime stops', {
        kind: 'store',
        error: new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'The runtime' } }),
      })
    }
    stop.addEventListener('abort', onStop, { once: true })
    this.#call().then(
      () => ended(this.#returned()),
      (error: unknown) => ended(this.#threw(error)),
    )
    const result = await end
    deadline.cancel()
    stop.removeEventListener('abort', onStop)
    return result
  }

  #call(): Promise<void> {
    const { consumer, items, data, ports } = this.#options
    const context = this.#context()
    return ports.observer.span(consumer.name, items[0].record.head.envelope, async () => {
      if (consumer.handleBatch) {
        const batch = items.map((item, index) => ({ data: data[index], message: messageOf(item) }))
        await consumer.handleBatch(batch, context)
      } else await consumer.handle(data[0], context)
    })
  }

  #returned(): AttemptResult {
    if (this.#state === 'completed') return { kind: 'completed' }
    if (this.#storeError !== undefined) return { kind: 'store', error: this.#storeError }
    const { success } = this.#options
    this.#state = 'over'
    this.#overReason = 'the handler has returned'
    return {
      kind: 'returned',
      unit: {
        ...success,
        appends: [...(success.appends ?? []), ...this.#emits],
        rows: [...(success.rows ?? []), ...this.#forgetOnce()],
      },
    }
  }

  #threw(error: unknown): AttemptResult {
    const { ports, consumer, items } = this.#options
    if (this.#state === 'completed') {
      // After its transaction the message is done; what follows can only be told.
      ports.kernel.log.warn(
        { consumer: consumer.name, messageId: items[0].record.head.envelope.id },
        'the handler threw after ctx.tx had completed the message',
      )
      return { kind: 'completed' }
    }
    this.#state = 'over'
    this.#overReason = 'the handler has failed'
    if (this.#storeError !== undefined) return { kind: 'store', error: this.#storeError }
    return { kind: 'failed', error, timedOut: false }
  }

  #context(): ConsumerContext {
    const { consumer, items, attempt } = this.#options
    const replay = items[0].replay
    return {
      message: messageOf(items[0]),
      attempt,
      attemptsMax: consumer.retry?.attempts ?? 1,
      signal: this.#abort.signal,
      ...(replay && { replay: { runId: replay.runId, startedAtMs: replay.startedAtMs } }),
      tx: (callback) => this.#tx(callback),
      once: (name, effect) => this.#once(name, effect),
      emit: (draft) => this.#emit(draft),
      log: (message, fields) => this.#log(message, fields ?? {}),
    }
  }

  async #tx<T>(callback: (db: Database) => Promise<T>): Promise<T> {
    const { consumer, ports, success } = this.#options
    if (this.#txCalled) {
      throw new JuncturaError('JUNCTURA_TX_TWICE', { details: { consumer: consumer.name } })
    }
    this.#txCalled = true
    this.#refuseWhenOver()
    const results: T[] = []
    const unit: CommitUnit = {
      ...success,
      appends: [],
      rows: [],
      tx: async (db) => {
        this.#refuseWhenOver()
        this.#state = 'committing'
        results.push(await callback(db))
        return {
          appends: [...(success.appends ?? []), ...this.#emits],
          rows: [...(success.rows ?? []), ...this.#forgetOnce()],
        }
      },
    }
    const outcome = await ports.committer.submit(unit).catch((error: unknown) => {
      this.#storeError = error
      this.#state = 'over'
      this.#overReason = 'the store did not take its commit'
      throw error
    })
    if (outcome.status === 'committed') {
      this.#state = 'completed'
      return results[0] as T
    }
    if (this.#state === 'committing') this.#state = 'running'
    if (outcome.status === 'failed') throw outcome.error
    this.#state = 'completed'
    throw new JuncturaError('JUNCTURA_ATTEMPT_OVER', {
      details: { consumer: consumer.name, reason: 'this message was done before' },
    })
  }

  async #once<T>(name: string, effect: () => Promise<T>): Promise<T> {
    const { consumer, items, ports } = this.#options
    this.#refuseWhenOver()
    const [{ position }] = items
    const key = `${laneKey(consumer.name, positionText(position))}\n${name}`
    this.#onceKeys.push(key)
    const kept = await ports.store.row('onceResults', key)
    if (kept) return kept.result as T
    const result = await effect()
    this.#refuseWhenOver()
    const row = { consumer: consumer.name, position, result: result ?? null }
    await ports.committer.submit({ rows: [{ collection: 'onceResults', key, row }] })
    return result
  }

  /** The message is done: what `ctx.once` kept for its later attempts is not needed any more. */
  #forgetOnce(): readonly RowWrite[] {
    return this.#onceKeys.map((key) => ({ collection: 'onceResults', key, row: undefined }))
  }

  #emit(draft: Draft): void {
    const { consumer, items, ports } = this.#options
    this.#refuseWhenOver()
    if (this.#emits.length >= LIMITS.emitsPerMessageMax) {
      throw new JuncturaError('JUNCTURA_EMIT_INVALID', {
        details: {
          type: draft.contract.name,
          problem: `more than ${LIMITS.emitsPerMessageMax} emits`,
        },
      })
    }
    this.#emits.push(
      ports.prepareEmit(draft, {
        envelope: items[0].record.head.envelope,
        consumer: consumer.name,
        index: this.#emits.length,
        atMs: ports.kernel.clock.now(),
      }),
    )
  }

  #log(message: string, fields: Readonly<Record<string, unknown>>): void {
    const { consumer, items, ports } = this.#options
    if (++this.#logLines > LIMITS.attemptLogLinesMax) return
    const messageId = items[0].record.head.envelope.id
    ports.observer.logged({ consumer: consumer.name, messageId, message, fields })
  }

  #refuseWhenOver(): void {
    if (this.#state !== 'over' && this.#state !== 'completed') return
    throw new JuncturaError('JUNCTURA_ATTEMPT_OVER', {
      details: { consumer: this.#options.consumer.name, reason: this.#overReason },
    })
  }
}

export const messageOf = (item: WorkItem): ConsumedMessage => {
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

/** Whether a store refused in a way that says nothing about the handler. */
export const isStoreTrouble = (error: unknown): boolean =>
  isJuncturaError(error, 'JUNCTURA_STORE_BUSY') ||
  isJuncturaError(error, 'JUNCTURA_STORE_FULL') ||
  isJuncturaError(error, 'JUNCTURA_STORE_FAILED') ||
  isJuncturaError(error, 'JUNCTURA_STORE_UNKNOWN') ||
  isJuncturaError(error, 'JUNCTURA_CLOSED')
