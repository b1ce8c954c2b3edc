import type { AnySaga } from '../../contract/index.ts'
import { JuncturaError, LIMITS, messageOf } from '../../kernel/index.ts'
import { createSagaContext } from './create-saga-context.ts'
import type { Compensation } from './compensate.ts'
import { endRun } from './end-run.ts'
import { Effects } from './effects.ts'
import { asJson, copyOf, isEnded, isOver, isUndo, type SagaEntry } from './saga-run.ts'
import { causeOf, resultOf } from './step-result.ts'
import { takeBack } from './take-back.ts'
import type { Turn } from './turn.ts'

/** A step that the function has begun in this execution, and whoever waits for it. */
export interface LiveStep {
  readonly entry: SagaEntry
  readonly promise: Promise<unknown>
  /** Of a composite: the steps it is about. */
  readonly parts?: ReadonlyMap<string, LiveStep>
  /** Reads what it gives in a way of its own. */
  readonly read?: (entry: SagaEntry) => StepResult
  isDelivered: boolean
  resolve(value: unknown): void
  reject(error: unknown): void
}

export interface StepRequest {
  readonly kind: SagaEntry['kind']
  readonly name: string
  readonly contract?: string
  readonly owner?: string
  readonly parts?: ReadonlyMap<string, LiveStep>
  readonly read?: (entry: SagaEntry) => StepResult
  /** What the first begin of the step does: sends, sets timers. */
  readonly begin?: (entry: SagaEntry) => void
  /** The same for one that is to be asked for again. */
  readonly again?: (entry: SagaEntry) => void
}

export type StepResult =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: unknown }

export type Ending =
  | { readonly kind: 'returned'; readonly value: unknown }
  | { readonly kind: 'threw'; readonly error: unknown }

/**
 * One run of a saga's function against its journal. Results are given to it one at a time, in the
 * order in which they were given before, and each next one only when the function has come to rest:
 * so it takes the same way each time, whatever else goes on in the process.
 *
 * `replaying` until everything that the journal says was given is given again; a step that is new
 * before that, or missing after it, is a mismatch. Then `live`: what has come since is given, in
 * the order in which it came, until the function waits or ends.
 */
export class Execution {
  readonly turn: Turn
  readonly effects: Effects
  readonly steps: Map<string, LiveStep> = new Map()
  /** What takes each step back, as the code says it now. */
  readonly compensations: Map<string, Compensation> = new Map()
  readonly #known: ReadonlySet<string>
  readonly #occurrences = new Map<string, number>()
  #ending: Ending | undefined
  #mismatch: string | undefined
  #isClosed = false

  constructor(turn: Turn) {
    this.turn = turn
    this.effects = new Effects(this)
    const forward = turn.run.entries.filter((entry) => !isUndo(entry))
    this.#known = new Set(forward.map(({ step }) => step))
  }

  get ending(): Ending | undefined {
    return this.#ending
  }

  /** `again` where the function is to be run anew from the journal. */
  async run(): Promise<'rests' | 'again'> {
    this.#begin(this.turn.saga)
    try {
      for (;;) {
        await this.turn.ports.kernel.clock.yield()
        if (this.turn.delivery.signal.aborted) await this.effects.stop()
        if (this.turn.run.state === 'paused' && this.turn.run.phase === 'forward') {
          await this.effects.drain()
          return 'rests'
        }
        const isNew = this.#deliverNext()
        if (isNew === true && this.turn.ports.alwaysSuspend === true) {
          await this.effects.drain()
          return 'again'
        }
        if (isNew !== undefined) continue
        if (this.#findMismatch()) return 'rests'
        if (this.turn.run.phase === 'compensation' || this.#ending) break
        if (!(await this.effects.advance())) break
      }
      this.#settle()
      if (isEnded(this.turn.run)) this.effects.abortAll()
      else await this.effects.drain()
      return 'rests'
    } finally {
      this.#isClosed = true
    }
  }

  #begin(saga: AnySaga): void {
    const { run } = this.turn
    const late = run.late === undefined ? undefined : saga.late.get(run.late)
    const context = createSagaContext(this)
    const input = copyOf(run.input)
    const isLate = late !== undefined
    const given = isLate ? { id: run.startId, type: run.late, data: input, time: '' } : input
    const running = async (): Promise<unknown> => (late ?? saga.run)(context, given)
    running().then(
      (value) => void (this.#ending ??= { kind: 'returned', value }),
      (error: unknown) => void (this.#ending ??= { kind: 'threw', error }),
    )
  }

  /** Begins a step, or finds it in the journal. */
  step(request: StepRequest): LiveStep {
    const { kind, contract } = request
    this.#checkName(request.name)
    const occurrence = (this.#occurrences.get(request.name) ?? 0) + 1
    this.#occurrences.set(request.name, occurrence)
    const step = `${request.name}#${occurrence}`
    const { run, saga, nowMs } = this.turn
    const known = run.entries.find((entry) => entry.step === step)
    if (known) {
      if (known.kind === kind && known.contract === contract) {
        const isDue = known.state === 'open' && known.isDue === true
        if (isDue && run.phase === 'forward') {
          delete known.isDue
          request.again?.(known)
        }
        return this.#keep(known, request)
      }
      this.#mismatch ??= `step ${step} is ${describe(known)} in the journal, and ${describe({ kind, contract })} in the code`
      return this.#never(step, request)
    }
    if (this.#isClosed || run.phase === 'compensation') return this.#never(step, request)
    if (this.#isReplaying()) {
      const next = [...this.#known].filter((one) => !this.steps.has(one))
      this.#mismatch ??=
        `the code begins ${step} (${describe({ kind, contract })}), where the journal goes on with ` +
        (next.length > 0 ? next.join(', ') : 'what its last results led to')
      return this.#never(step, request)
    }
    if (run.entries.length >= saga.budget.steps) {
      this.#limit(`it has ${saga.budget.steps} steps`)
      return this.#never(step, request)
    }
    const entry: SagaEntry = { step, kind, state: 'open', startedAtMs: nowMs }
    if (contract !== undefined) entry.contract = contract
    if (request.owner !== undefined) entry.owner = request.owner
    request.begin?.(entry)
    run.entries.push(entry)
    return this.#keep(entry, request)
  }

  /** Timers, operations and compensations are found by it. */
  #checkName(name: string): void {
    if (name !== '' && !name.includes('\n') && !name.startsWith('undo:')) return
    const problem = "its name must not be empty, begin with 'undo:' or have a line feed"
    const details = { step: JSON.stringify(name), saga: this.turn.saga.name, problem }
    throw new JuncturaError('JUNCTURA_SAGA_STEP', { details })
  }

  #isReplaying(): boolean {
    for (const step of this.#known) if (!this.steps.has(step)) return true
    for (const { entry, isDelivered } of this.steps.values()) {
      if (entry.seq !== undefined && !isDelivered) return true
    }
    return false
  }

  #keep(entry: SagaEntry, request: StepRequest): LiveStep {
    const live = liveStep(entry, request)
    this.steps.set(entry.step, live)
    return live
  }

  /** What is begun when nothing may begin any more never ends. */
  #never(step: string, request: StepRequest): LiveStep {
    return liveStep({ step, kind: request.kind, state: 'dropped', startedAtMs: 0 }, request)
  }

  /** Undefined when there is nothing to give; true when it was never given before. */
  #deliverNext(): boolean | undefined {
    const replayed = this.#lowest(({ seq }) => seq)
    if (replayed) {
      this.#deliver(replayed)
      return false
    }
    const { run } = this.turn
    if (run.phase === 'compensation' || this.#findMismatch()) return undefined
    this.#endComposites()
    const next = this.#nextArrived()
    if (!next) return undefined
    run.deliveries += 1
    next.entry.seq = run.deliveries
    this.#deliver(next)
    return true
  }

  /** What has come first, of results and of events that somebody waits for. */
  #nextArrived(): LiveStep | undefined {
    const { run, nowMs } = this.turn
    const ended = this.#lowest(({ state, arrived }) => (ends(state) ? arrived : undefined))
    const waits = new Map<string | undefined, LiveStep>()
    for (const live of this.steps.values()) {
      const { kind, state, contract } = live.entry
      // Of several waits for one kind of event the one that was begun first has the next.
      if (kind === 'wait' && state === 'open' && !waits.has(contract)) waits.set(contract, live)
    }
    const place = run.inbox.findIndex(({ type }) => waits.has(type))
    const event = run.inbox[place]
    const wait = waits.get(event?.type)
    if (!event || !wait || (ended?.entry.arrived ?? Infinity) < event.arrived) return ended
    run.inbox.splice(place, 1)
    const { arrived, ...output } = event
    Object.assign(wait.entry, { state: 'done', arrived, endedAtMs: nowMs, output })
    return wait
  }

  #lowest(order: (entry: SagaEntry) => number | undefined): LiveStep | undefined {
    let lowest: LiveStep | undefined
    let least = Number.POSITIVE_INFINITY
    for (const live of this.steps.values()) {
      if (live.isDelivered) continue
      const place = order(live.entry) ?? Number.POSITIVE_INFINITY
      if (place >= least) continue
      least = place
      lowest = live
    }
    return lowest
  }

  #deliver(live: LiveStep): void {
    live.isDelivered = true
    const result = resultOf(live)
    if (result.ok) live.resolve(result.value)
    else live.reject(result.error)
  }

  /** Ends `first` and `gather` steps whose parts have been given. */
  #endComposites(): void {
    for (const live of this.steps.values()) {
      const { entry, parts } = live
      if (!parts || entry.state !== 'open') continue
      if (entry.kind === 'first') this.#endFirst(entry, parts)
      else this.#endGather(entry, parts)
    }
  }

  #endFirst(entry: SagaEntry, parts: ReadonlyMap<string, LiveStep>): void {
    let won: string | undefined
    let least = Number.POSITIVE_INFINITY
    for (const [tag, { entry: part, isDelivered }] of parts) {
      if (!isDelivered || (part.seq ?? least) >= least) continue
      least = part.seq ?? least
      won = tag
    }
    if (won === undefined) return
    this.turn.arrive(entry, 'done')
    // Before anything that has come since.
    entry.arrived = 0
    entry.output = won
    this.#drop(parts)
  }

  #endGather(entry: SagaEntry, parts: ReadonlyMap<string, LiveStep>): void {
    const all = [...parts.values()]
    const done = all.filter((part) => part.isDelivered && part.entry.state === 'done').length
    const ended = all.filter((part) => part.isDelivered).length
    const { atLeast = parts.size, isTimed = false } = readGather(entry.input)
    const isEnough = !isTimed && done >= atLeast
    const isHopeless = done + (all.length - ended) < atLeast
    if (ended < all.length && entry.reason !== 'time' && !isEnough && !isHopeless) return
    this.turn.clearTimer(`gather:${entry.step}`)
    this.turn.arrive(entry, done >= atLeast ? 'done' : 'declined')
    entry.arrived = 0
    entry.error = `${done} of ${atLeast} that are needed`
    entry.output = Object.fromEntries(
      [...parts].map(([tag, part]) => [tag, part.isDelivered ? part.entry.state : 'missing']),
    )
    this.#drop(parts)
  }

  #drop(parts: ReadonlyMap<string, LiveStep>): void {
    for (const { entry, isDelivered } of parts.values()) {
      if (isDelivered || isOver(entry)) continue
      entry.state = 'dropped'
      entry.endedAtMs = this.turn.nowMs
      this.turn.clearTimersOf(entry.step)
      this.effects.abort(entry.step)
      const inner = this.steps.get(entry.step)?.parts
      if (inner) this.#drop(inner)
    }
  }

  #findMismatch(): boolean {
    const { turn } = this
    const missing = [...this.#known].filter((step) => !this.steps.has(step))
    if (missing.length > 0 && this.#mismatch === undefined) {
      const what = missing.map((step) => {
        const entry = turn.run.entries.find((one) => one.step === step)
        return `${step} (${entry ? describe(entry) : 'unknown'})`
      })
      this.#mismatch = `the journal has ${what.join(', ')}, which the code does not reach any more`
    }
    if (this.#mismatch === undefined) return false
    turn.pause({
      kind: 'mismatch',
      message: `the code does not fit its journal: ${this.#mismatch}`,
      fix: `run code that takes the same steps for version ${turn.run.version}, or branch on s.version; then resume it`,
    })
    return true
  }

  /** The function waits, or has ended. */
  #settle(): void {
    const { turn } = this
    const { run } = turn
    if (run.state === 'paused') return
    const ending = this.#ending
    if (run.phase === 'compensation') return
    if (!ending) {
      const isWaiting = [...this.steps.values()].some(
        ({ isDelivered, entry }) => !isDelivered && !isOver(entry),
      )
      if (isWaiting) return this.#findFailed() ? undefined : this.#warnOfSize()
      turn.pause({
        kind: 'strayed',
        message: 'its function waits for something that is no step',
        fix: 'await only what s gives; put other work into s.run',
      })
      return
    }
    if (ending.kind === 'returned') return this.#complete(ending.value)
    this.#failed(ending.error)
  }

  /** A step that needs a person, beside one that has been seen to. */
  #findFailed(): boolean {
    const live = [...this.steps.values()].find(({ entry }) => NEEDS_PERSON.has(entry.state))
    if (!live) return false
    const { step, state, error = 'it failed', contract } = live.entry
    const inDoubt = state === 'in-doubt'
    const problem = {
      kind: inDoubt ? 'in-doubt' : 'step-failed',
      step,
      message: inDoubt ? `nobody knows whether ${step} ran` : `${step} failed for good: ${error}`,
      fix: 'mend the cause, then retry the step; or skip it with what it should have given',
    } as const
    this.turn.pause(problem, this.turn.ownerOf(contract))
    return true
  }

  #complete(value: unknown): void {
    const { turn } = this
    const { run } = turn
    run.output = asJson(value) ?? null
    endRun(turn, 'completed')
    turn.tellParent({ outcome: 'output', data: run.output })
  }

  #failed(error: unknown): void {
    const { turn } = this
    const cause = causeOf(error)
    if (!cause) {
      turn.pause({
        kind: 'code-failed',
        message: `its function threw ${messageOf(error)}`,
        fix: 'mend the function, start it, and resume the run; or cancel it',
      })
      return
    }
    if (turn.run.entries.some(({ kind }) => kind === 'pivot')) {
      turn.pause({
        kind: 'after-pivot',
        ...(cause.step !== undefined && { step: cause.step }),
        message: `it failed after its pivot: ${cause.reason}`,
        fix: 'mend the cause and retry the step, or skip it; it goes forward only',
      })
      return
    }
    takeBack(turn, cause)
  }

  #limit(problem: string): void {
    this.turn.pause({
      kind: 'limit',
      message: `${problem}, which is the most`,
      fix: 'cancel or terminate it; divide such work among child sagas',
    })
  }

  #warnOfSize(): void {
    const { turn } = this
    const { run, saga } = turn
    const steps = run.entries.length
    // Only long journals are measured; a short one cannot be large without large outputs.
    const bytes = steps % 16 === 0 ? JSON.stringify(run.entries).length : 0
    if (bytes > LIMITS.sagaJournalBytesMax) return this.#limit(`its journal has ${bytes} bytes`)
    const isNear =
      steps >= saga.budget.steps * WARN_AT || bytes >= LIMITS.sagaJournalBytesMax * WARN_AT
    if (!isNear || run.isWarned === true) return
    run.isWarned = true
    const title = `${saga.name} ${run.key} has ${steps} of ${saga.budget.steps} steps in its journal`
    turn.raise('limit', { title }, 'warning')
  }
}

const WARN_AT = 0.8

const NEEDS_PERSON: ReadonlySet<string> = new Set(['failed', 'in-doubt'])

const ends = (state: SagaEntry['state']): boolean => state === 'done' || state === 'declined'

function liveStep(entry: SagaEntry, { parts, read }: StepRequest): LiveStep {
  let resolve: LiveStep['resolve'] = ignore
  let reject: LiveStep['reject'] = ignore
  const promise = new Promise<unknown>((onDone, onFailed) => {
    resolve = onDone
    reject = onFailed
  })
  // A step that is not awaited must not end the process.
  promise.catch(ignore)
  // What a function is given at once is given as it is begun.
  const isDelivered = AT_ONCE.has(entry.kind)
  return {
    entry,
    promise,
    ...(parts && { parts }),
    ...(read && { read }),
    isDelivered,
    resolve,
    reject,
  }
}

const AT_ONCE: ReadonlySet<string> = new Set(['emit', 'pivot', 'now', 'id'])

const ignore = (): void => undefined

const readGather = (input: unknown): { readonly atLeast?: number; readonly isTimed?: boolean } =>
  typeof input === 'object' && input !== null ? input : {}

const describe = ({
  kind,
  contract,
}: {
  readonly kind: string
  readonly contract?: string | undefined
}): string => (contract === undefined ? kind : `${kind} ${contract}`)
