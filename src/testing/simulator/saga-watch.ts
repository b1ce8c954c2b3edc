import type { AppliedCommit, SagaEntryRow, SagaRunRow } from '../../store/index.ts'

const ENDED: ReadonlySet<string> = new Set(['completed', 'compensated', 'resolved', 'terminated'])
/** Of steps that end by themselves, or by an answer: a wait alone may last for ever. */
const ANSWERED: ReadonlySet<string> = new Set(['call', 'run', 'tx', 'child'])

const isUndo = ({ step }: SagaEntryRow): boolean => step.startsWith('undo:')

/**
 * Runs of sagas as their durable rows say: the journal only grows, an end is an end, nothing new is
 * begun forward once a run is taken back, the last that was begun is taken back first, and only
 * what was taken back as a whole is called `compensated`.
 */
export class SagaWatch {
  readonly #runs = new Map<string, SagaRunRow>()
  readonly #fail: (sentence: string) => void

  constructor(fail: (sentence: string) => void) {
    this.#fail = fail
  }

  applied({ rows }: AppliedCommit): void {
    for (const write of rows) {
      if (write.collection !== 'sagaRuns') continue
      if (write.row) this.#write(write.key, write.row)
      else this.#runs.delete(write.key)
    }
  }

  /** What is still going to happen by itself; what waits for a person or for ever may rest. */
  *unrest(): Generator<string> {
    for (const run of this.#runs.values()) {
      if (run.state !== 'running' && run.state !== 'compensating') continue
      const isUnderWay = run.entries.some(
        ({ kind, state }) => state === 'open' && ANSWERED.has(kind),
      )
      if (isUnderWay || run.timers.length > 0) yield `${nameOf(run)} is ${run.state}`
    }
  }

  #write(key: string, run: SagaRunRow): void {
    const before = this.#runs.get(key)
    this.#runs.set(key, run)
    if (before?.id === run.id) this.#compare(before, run)
    this.#checkEnd(run)
    this.#checkOrder(run)
  }

  #compare(before: SagaRunRow, run: SagaRunRow): void {
    const fail = (what: string): void => this.#fail(`${nameOf(run)} ${what}`)
    if (ENDED.has(before.state) && run.state !== before.state)
      fail(`had ended as ${before.state}, and is ${run.state}`)
    if (before.phase === 'compensation' && run.phase === 'forward')
      fail('goes forward again after it was being taken back')
    for (const name of ['position', 'arrivals', 'deliveries'] as const) {
      if (run[name] < before[name]) fail(`went back from ${name} ${before[name]} to ${run[name]}`)
    }
    const known = new Map(before.entries.map((entry) => [entry.step, entry]))
    for (const { step } of before.entries) {
      if (!run.entries.some((entry) => entry.step === step)) fail(`has lost the step ${step}`)
    }
    if (before.phase !== 'compensation') return
    for (const entry of run.entries) {
      if (isUndo(entry)) continue
      const last = known.get(entry.step)
      if (!last) fail(`began ${entry.step} while it was being taken back`)
      else if ((entry.sent ?? 0) > (last.sent ?? 0))
        fail(`asked for ${entry.step} again while it was being taken back`)
    }
  }

  #checkEnd(run: SagaRunRow): void {
    const undos = run.entries.filter(isUndo)
    if (run.state === 'completed' && (undos.length > 0 || run.phase !== 'forward'))
      this.#fail(`${nameOf(run)} is completed, and was being taken back`)
    if (run.state !== 'compensated') return
    for (const { step, state } of undos) {
      if (state !== 'done') this.#fail(`${nameOf(run)} is compensated, and ${step} is ${state}`)
    }
    for (const { step, state, compensates } of run.entries) {
      const isLeft = compensates === true && state === 'done'
      if (isLeft && !undos.some((undo) => undo.step === `undo:${step}`))
        this.#fail(`${nameOf(run)} is compensated, and ${step} was not taken back`)
    }
  }

  /** Where in the journal each step stands that was taken back, in the order in which it was. */
  #checkOrder(run: SagaRunRow): void {
    const places = run.entries
      .filter(isUndo)
      .map((undo) => run.entries.findIndex(({ step }) => `undo:${step}` === undo.step))
    if (places.some((place, index) => index > 0 && place >= (places[index - 1] ?? 0)))
      this.#fail(`${nameOf(run)} was not taken back in reverse order`)
  }
}

const nameOf = ({ saga, key }: SagaRunRow): string => `the run ${key} of ${saga}`
