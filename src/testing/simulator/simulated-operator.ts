import { isJuncturaError, type Random } from '../../kernel/index.ts'
import type { OperationCommand, OperationResult, Runtime } from '../../runtime/index.ts'
import type { Scheduler } from './scheduler.ts'
import type { SituationBook } from './situations.ts'

export interface OperatorOptions {
  readonly scheduler: Scheduler
  readonly random: Random
  readonly situations: SituationBook
  readonly runtime: () => Runtime | undefined
  readonly fail: (sentence: string) => void
  readonly trace: (what: string) => void
}

interface Pace {
  readonly ratePerSecond: number
  readonly pauseMsMax: number
}

const ANSWER_MS_MAX = 20_000
const TRIES_MAX = 6

/**
 * The people who run the integration: they look, and then retry, drop, replay, pause and
 * acknowledge. What was not answered they ask for again under the same id.
 */
export class SimulatedOperator {
  readonly #options: OperatorOptions
  #count = 0
  /** Consumers that somebody has paused, to be resumed before the end. */
  readonly #paused = new Set<string>()

  constructor(options: OperatorOptions) {
    this.#options = options
  }

  /** Does something that could be done now. */
  async act(): Promise<void> {
    const { random } = this.#options
    const acts = [
      () => this.#retryLetter(),
      () => this.#retryPage(),
      () => this.#retryCause(),
      () => this.#dropLetter(),
      () => this.#replay('messages'),
      () => this.#replay('messages'),
      () => this.#replay('dead-letters'),
      () => this.#pauseConsumer(),
      () => this.#acknowledge(),
      () => this.#readmit(),
    ]
    await acts[Math.floor(random.next() * acts.length)]?.()
  }

  /** Replays so slowly that parts of the log go meanwhile, or pauses until they have. */
  async replaySlowly(): Promise<void> {
    const ratePerSecond = 1 + this.#options.random.next() * 2
    await this.#replay('messages', { ratePerSecond, pauseMsMax: 90_000 })
  }

  /** Puts right what people themselves have stopped: paused consumers and replays. */
  async goHome(): Promise<void> {
    for (const name of this.#paused) await this.#operate({ kind: 'consumer.resume', name })
    const page = await this.#look((runtime) => runtime.replays({ limit: 100 }))
    for (const { id, state } of page?.items ?? []) {
      if (state === 'paused') await this.#operate({ kind: 'replay.resume', id })
    }
  }

  async #retryLetter(): Promise<void> {
    const id = await this.#someLetter()
    if (id !== undefined) await this.#operate({ kind: 'dead-letter.retry', ids: [id] })
  }

  /** Of many at once some may be mended, and others not. */
  async #retryPage(): Promise<void> {
    const page = await this.#look((runtime) => runtime.deadLetters({ limit: 20 }))
    const ids = page?.items.map(({ id }) => id) ?? []
    if (ids.length > 0) await this.#operate({ kind: 'dead-letter.retry', ids })
  }

  async #retryCause(): Promise<void> {
    const groups = await this.#look((runtime) => runtime.deadLetterGroups())
    const cause = groups?.[0]?.cause
    if (cause !== undefined) await this.#operate({ kind: 'dead-letter.retry', cause })
  }

  async #dropLetter(): Promise<void> {
    const id = await this.#someLetter()
    if (id !== undefined) await this.#operate({ kind: 'dead-letter.drop', ids: [id] })
  }

  async #someLetter(): Promise<string | undefined> {
    const page = await this.#look((runtime) => runtime.deadLetters({ limit: 50 }))
    return this.#pick(page?.items)?.id
  }

  async #replay(from: 'messages' | 'dead-letters', pace?: Pace): Promise<void> {
    const { random, scheduler } = this.#options
    const consumers = this.#options.runtime()?.integration.consumers ?? []
    const guarded = consumers.filter(({ replay }) => replay === 'guarded')
    const willing = consumers.filter(({ replay }) => replay !== 'never')
    const isGuarded = from === 'messages' && guarded.length > 0 && random.next() < 0.6
    const consumer = this.#pick(isGuarded ? guarded : willing)?.name
    if (consumer === undefined) return
    const filter = { from, consumer }
    const { ratePerSecond, pauseMsMax } = pace ?? {
      ratePerSecond: random.next() < 0.25 ? 1 : 2 + random.next() * 18,
      pauseMsMax: 5_000,
    }
    const planned = await this.#operate({ kind: 'replay.plan', filter, ratePerSecond })
    if (!planned) return
    const { id, token }: { id?: unknown; token?: unknown } = { ...Object(planned.result) }
    if (typeof id !== 'string' || typeof token !== 'string') return
    await this.#operate({ kind: 'replay.run', id, token })
    if (random.next() < 0.5) return
    await scheduler.sleep(random.next() * 5_000)
    await this.#operate({ kind: 'replay.pause', id })
    await scheduler.sleep(random.next() * pauseMsMax)
    await this.#operate({ kind: random.next() < 0.8 ? 'replay.resume' : 'replay.abort', id })
  }

  async #pauseConsumer(): Promise<void> {
    const { random, scheduler } = this.#options
    const name = this.#pick(this.#options.runtime()?.integration.consumers ?? [])?.name
    if (name === undefined) return
    this.#paused.add(name)
    await this.#operate({ kind: 'consumer.pause', name })
    await scheduler.sleep(random.next() * 20_000)
    await this.#operate({ kind: 'consumer.resume', name })
  }

  async #acknowledge(): Promise<void> {
    const page = await this.#look((runtime) => runtime.alerts({ limit: 20, state: 'open' }))
    const id = this.#pick(page?.items)?.id
    if (id !== undefined) await this.#operate({ kind: 'alert.acknowledge', id })
  }

  async #readmit(): Promise<void> {
    const page = await this.#look((runtime) => runtime.invalid({ limit: 20 }))
    const id = this.#pick(page?.items)?.id
    if (id !== undefined) await this.#operate({ kind: 'invalid.readmit', ids: [id] })
  }

  #pick<T>(items: readonly T[] | undefined): T | undefined {
    return items?.[Math.floor(this.#options.random.next() * items.length)]
  }

  /** Reads something; undefined when nobody answers. */
  async #look<T>(read: (runtime: Runtime) => Promise<T>): Promise<T | undefined> {
    const runtime = this.#options.runtime()
    if (!runtime) return undefined
    return this.#inTime(read(runtime)).catch(() => undefined)
  }

  /** Asks until there is an answer, each time under the same id. */
  async #operate(command: OperationCommand): Promise<OperationResult | undefined> {
    const { runtime, scheduler, random, trace, situations, fail } = this.#options
    const by = {
      actor: 'simulated operator',
      reason: 'as the simulation goes',
      origin: 'simulator',
      operationId: `op-${++this.#count}`,
    }
    let result: OperationResult | undefined
    for (let tries = 1; tries <= TRIES_MAX; tries++) {
      const current = runtime()
      try {
        result = current && (await this.#inTime(current.operate(command, by)))
      } catch (error) {
        // Refused: what was true when somebody looked may not be so any more. Where several
        // processes run, another one may be the right one.
        const isElsewhere = isJuncturaError(error, 'JUNCTURA_ROLE_ELSEWHERE')
        if (isJuncturaError(error) && error.status < 500 && !isElsewhere) return undefined
      }
      trace(`operation ${command.kind} ${result?.state ?? 'no answer'}`)
      if (result) break
      await scheduler.sleep(1_000)
    }
    if (!result || random.next() > 0.3) return result
    const again = await this.#inTime(runtime()?.operate(command, by)).catch(() => undefined)
    if (again) {
      situations.hit('operation-repeated')
      if (!again.repeated || JSON.stringify(again.result) !== JSON.stringify(result.result))
        fail(`operation ${by.operationId} (${command.kind}) was done twice`)
    }
    return result
  }

  async #inTime<T>(work: Promise<T> | undefined): Promise<T | undefined> {
    let timer: { cancel(): void } | undefined
    const timeout = new Promise<undefined>((resolve) => {
      timer = this.#options.scheduler.at(ANSWER_MS_MAX, () => resolve(undefined))
    })
    try {
      return await Promise.race([work, timeout])
    } finally {
      timer?.cancel()
    }
  }
}
