import {
  type AnyCommand,
  type AnyContract,
  type AnySaga,
  type Compensated,
  type Database,
  type Draft,
  type EffectContext,
  type SagaCallOptions,
  type SagaContext,
  type SagaRunOptions,
} from '../../contract/index.ts'
import { assert, type Duration, durationMs, JuncturaError } from '../../kernel/index.ts'
import { resolveRetryPolicy, retryPresets } from '../../policy/index.ts'
import type { Execution, LiveStep, StepRequest, StepResult } from './execution.ts'
import { replyToText } from './saga-record.ts'
import { copyOf, type SagaEntry } from './saga-run.ts'
import { EFFECT_RETRY, timeoutOfCall } from './step-policy.ts'

const EFFECT_TIMEOUT_MS = 30_000

interface Named {
  readonly name?: string
}

/** What a saga's function is given: each method begins a step, or finds it in the journal. */
export const createSagaContext = (execution: Execution): SagaContext<AnyContract | AnySaga> => {
  const context: unknown = new Steps(execution)
  assert(isContext(context), 'the steps are a context')
  return context
}

/** Its methods take what `uses` lists, which the types of the declaration have checked. */
const isContext = (context: unknown): context is SagaContext<AnyContract | AnySaga> =>
  context instanceof Steps

type Untyped = { readonly [Name in keyof SagaContext<AnyContract | AnySaga>]: unknown }

class Steps implements Untyped {
  readonly #execution: Execution
  readonly #lives = new WeakMap<Promise<unknown>, LiveStep>()
  readonly key: string
  readonly runId: string
  readonly version: number
  readonly correlationId: string

  constructor(execution: Execution) {
    this.#execution = execution
    const { run } = execution.turn
    this.key = run.key
    this.runId = run.id
    this.version = run.version
    this.correlationId = run.correlationId
  }

  #begin(request: StepRequest): Promise<unknown> {
    const live = this.#execution.step(request)
    this.#lives.set(live.promise, live)
    return live.promise
  }

  #used(used: AnyContract | AnySaga): void {
    const { saga } = this.#execution.turn
    if (saga.uses.some(({ name }) => name === used.name)) return
    throw this.#wrong(used.name, 'it is not in `uses`')
  }

  #wrong(step: string, problem: string): JuncturaError {
    const details = { step, saga: this.#execution.turn.saga.name, problem }
    return new JuncturaError('JUNCTURA_SAGA_STEP', { details })
  }

  readonly call = (
    command: AnyCommand,
    input: unknown,
    options: SagaCallOptions<AnyCommand> = {},
  ): Promise<unknown> => this.#call(command, input, options)

  readonly try = (
    command: AnyCommand,
    input: unknown,
    options: SagaCallOptions<AnyCommand> = {},
  ): Promise<unknown> => this.#call(command, input, options, readTried)

  #call(
    command: AnyCommand,
    input: unknown,
    options: SagaCallOptions<AnyCommand>,
    read?: (entry: SagaEntry) => StepResult,
  ): Promise<unknown> {
    this.#used(command)
    const { turn, compensations } = this.#execution
    const own = options.compensate
    const make = own === null ? undefined : (own ?? command.answers.compensate)
    const send = (entry: SagaEntry): void => {
      entry.sent = (entry.sent ?? 0) + 1
      const data = entry.input === undefined ? input : entry.input
      turn.send({ contract: command, data }, entry)
      const timeoutMs = timeoutOfCall(turn, entry)
      if (timeoutMs !== undefined) turn.setTimer(`timeout:${entry.step}`, turn.nowMs + timeoutMs)
    }
    const live = this.#execution.step({
      kind: 'call',
      name: options.name ?? command.name,
      contract: command.name,
      ...(command.owner && { owner: command.owner.name }),
      ...(read && { read }),
      begin: (entry) => {
        if (make) entry.compensates = true
        send(entry)
      },
      again: send,
    })
    this.#lives.set(live.promise, live)
    const given = live.entry.input === undefined ? copyOf(input) : live.entry.input
    if (make) compensations.set(live.entry.step, { kind: 'message', input: given, make })
    return live.promise
  }

  readonly run = (
    name: string,
    effect: (context: EffectContext) => Promise<unknown>,
    options: SagaRunOptions<unknown> = {},
  ): Promise<unknown> => {
    const { effects, compensations } = this.#execution
    const { compensate, effect: mode = 'normal', verify } = options
    const timeoutMs =
      options.timeout === undefined
        ? EFFECT_TIMEOUT_MS
        : durationMs(options.timeout, `step ${name}.timeout`)
    const retry = options.retry
      ? resolveRetryPolicy(options.retry, `step ${name}.retry`)
      : mode === 'once'
        ? resolveRetryPolicy(retryPresets.none, name)
        : EFFECT_RETRY
    const live = this.#execution.step({
      kind: 'run',
      name,
      begin: (entry) => {
        if (compensate) entry.compensates = true
      },
    })
    this.#lives.set(live.promise, live)
    const { entry } = live
    if (compensate) {
      const undo = (done: Compensated<undefined, unknown>, by: EffectContext): Promise<unknown> =>
        compensate(done, by)
      compensations.set(entry.step, { kind: 'effect', timeoutMs, run: undo })
    }
    effects.add({ entry, mode, timeoutMs, retry, effect, verify })
    return live.promise
  }

  readonly tx = (name: string, callback: (db: Database) => Promise<unknown>): Promise<unknown> => {
    const live = this.#execution.step({ kind: 'tx', name })
    this.#lives.set(live.promise, live)
    this.#execution.effects.addTx({ entry: live.entry, retry: EFFECT_RETRY, callback })
    return live.promise
  }

  readonly wait = (event: AnyContract, options: Named = {}): Promise<unknown> => {
    this.#used(event)
    const name = options.name ?? event.name
    return this.#begin({ kind: 'wait', name, contract: event.name })
  }

  readonly sleep = (duration: Duration, options: Named = {}): Promise<unknown> => {
    const { turn } = this.#execution
    const ms = durationMs(duration, 's.sleep')
    return this.#begin({
      kind: 'sleep',
      name: options.name ?? 'sleep',
      begin: (entry) => {
        entry.dueAtMs = turn.nowMs + ms
        turn.setTimer(`sleep:${entry.step}`, entry.dueAtMs)
      },
    })
  }

  readonly first = (
    steps: Readonly<Record<string, Promise<unknown>>>,
    options: Named = {},
  ): Promise<unknown> => {
    const name = options.name ?? 'first'
    return this.#begin({ kind: 'first', name, parts: this.#parts(name, steps) })
  }

  readonly gather = (
    steps: Readonly<Record<string, Promise<unknown>>>,
    options: Named & { readonly atLeast?: number; readonly within?: Duration } = {},
  ): Promise<unknown> => {
    const { turn } = this.#execution
    const { name = 'gather', within } = options
    const parts = this.#parts(name, steps)
    const atLeast = options.atLeast ?? parts.size
    if (atLeast > parts.size)
      throw this.#wrong(name, `atLeast is more than its ${parts.size} steps`)
    return this.#begin({
      kind: 'gather',
      name,
      parts,
      begin: (entry) => {
        entry.input = { atLeast, isTimed: within !== undefined }
        if (within === undefined) return
        entry.dueAtMs = turn.nowMs + durationMs(within, 's.gather.within')
        turn.setTimer(`gather:${entry.step}`, entry.dueAtMs)
      },
    })
  }

  #parts(
    name: string,
    steps: Readonly<Record<string, Promise<unknown>>>,
  ): ReadonlyMap<string, LiveStep> {
    const parts = new Map<string, LiveStep>()
    for (const [tag, promise] of Object.entries(steps)) {
      const live = this.#lives.get(promise)
      if (!live) throw this.#wrong(name, `${tag} is no step; give what a method of s gave`)
      parts.set(tag, live)
    }
    if (parts.size === 0) throw this.#wrong(name, 'it has no steps')
    return parts
  }

  readonly child = (
    saga: AnySaga,
    input: unknown,
    options: Named & { readonly key?: string } = {},
  ): Promise<unknown> => {
    this.#used(saga)
    const { turn, compensations } = this.#execution
    const { run } = turn
    const name = options.name ?? saga.name
    let key = options.key
    const live = this.#execution.step({
      kind: 'child',
      name,
      contract: saga.name,
      owner: saga.owner.name,
      read: readChild,
      begin: (entry) => {
        entry.compensates = true
        const id = `${run.id}.${entry.step}`
        entry.reason = key ?? id
        const { saga: own, key: ownKey, id: ownId } = run
        const parent = replyToText({ saga: own, key: ownKey, step: entry.step, run: ownId })
        const { correlationId } = run
        const start = { kind: 'start', id, type: saga.on.name, data: input, correlationId, parent }
        turn.post(saga.name, { ...start, key: entry.reason }, entry.step)
      },
    })
    this.#lives.set(live.promise, live)
    const { step, reason } = live.entry
    key = reason
    compensations.set(step, {
      kind: 'child',
      cancel: () => {
        const id = `${run.id}.${step}.cancel`
        const by = { actor: `saga ${run.saga}`, reason: `${run.key} is taken back` }
        turn.post(saga.name, { kind: 'operate', act: 'cancel', key, id, ...by }, `${step}.cancel`)
      },
    })
    return live.promise
  }

  readonly emit = (draft: Draft, options: Named = {}): void => {
    const { contract } = draft
    const { turn } = this.#execution
    if (!turn.saga.emits.some(({ name }) => name === contract.name)) {
      throw this.#wrong(contract.name, 'it is not in `emits`')
    }
    const name = options.name ?? contract.name
    void this.#begin({
      kind: 'emit',
      name,
      contract: contract.name,
      begin: (entry) => {
        turn.emit(draft, entry.step)
        entry.state = 'done'
      },
    })
  }

  readonly fail = (reason: string): never => {
    throw new JuncturaError('JUNCTURA_SAGA_FAILED', { details: { reason } })
  }

  readonly pivot = (): void => {
    const begin = (entry: SagaEntry): void => {
      entry.state = 'done'
    }
    void this.#begin({ kind: 'pivot', name: 'pivot', begin })
  }

  readonly now = (): number => {
    const { turn } = this.#execution
    return Number(this.#given('now', () => turn.nowMs))
  }

  readonly id = (): string => {
    const { ids } = this.#execution.turn.ports.kernel
    return String(this.#given('id', () => ids.next('run')))
  }

  #given(kind: 'now' | 'id', make: () => unknown): unknown {
    const begin = (entry: SagaEntry): void => {
      entry.state = 'done'
      entry.output = make()
    }
    const { entry } = this.#execution.step({ kind, name: kind, begin })
    return entry.output ?? make()
  }
}

function readTried({ state, error, output }: SagaEntry): StepResult {
  const value =
    state === 'declined'
      ? { ok: false, error, data: copyOf(output) }
      : { ok: true, output: copyOf(output) }
  return { ok: true, value }
}

function readChild({ state, output }: SagaEntry): StepResult {
  if (state !== 'declined') return { ok: true, value: { ok: true, output: copyOf(output) } }
  const ended = typeof output === 'object' && output !== null ? output : {}
  return { ok: true, value: { ok: false, ...ended } }
}
