import type { Random } from '../../kernel/index.ts'
import type { FaultName, Faults } from './faults.ts'
import type { RandomStreams } from './random-streams.ts'

/** A fault that comes at a moment, unless it is suppressed or the faults have stopped. */
export interface PlannedFault {
  readonly atMs: number
  take(): boolean
}

/**
 * Decides each time something could go wrong. Every fault that happens has a name: what it is, and
 * a number. A run can be repeated with only some of them, which is how the few that matter are
 * found.
 */
export class FaultDice {
  /** The names of the faults that happened, in order. */
  readonly happened: string[] = []
  readonly #streams: RandomStreams
  readonly #isSuppressed: (id: string) => boolean
  readonly #onFault: (name: FaultName, id: string) => void
  readonly #chances = new Map<FaultName, number>()
  readonly #randoms = new Map<FaultName, Random>()
  readonly faults: Faults
  #isOver = false

  constructor(options: {
    readonly faults: Faults
    readonly streams: RandomStreams
    readonly isSuppressed: (id: string) => boolean
    readonly onFault: (name: FaultName, id: string) => void
  }) {
    this.faults = options.faults
    this.#streams = options.streams
    this.#isSuppressed = options.isSuppressed
    this.#onFault = options.onFault
  }

  /** From now on nothing goes wrong. */
  stop(): void {
    this.#isOver = true
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** Chance for what belongs to a fault, such as how long it takes. */
  random(name: FaultName): Random {
    let random = this.#randoms.get(name)
    if (!random) this.#randoms.set(name, (random = this.#streams(`fault/${name}`)))
    return random
  }

  happens(name: FaultName): boolean {
    const chance = this.faults[name]
    if (chance <= 0 || this.#isOver) return false
    return this.random(name).next() < chance && this.#take(name)
  }

  /** Moments of a fault that comes a number of times in a run, each with its own name. */
  planned(name: FaultName, withinMs: number): readonly PlannedFault[] {
    const random = this.random(name)
    const moments: PlannedFault[] = []
    for (let left = this.faults[name]; left > 0; left--) {
      if (random.next() > left) continue
      const atMs = random.next() * withinMs
      moments.push({ atMs, take: () => !this.#isOver && this.#take(name) })
    }
    return moments
  }

  #take(name: FaultName): boolean {
    const count = (this.#chances.get(name) ?? 0) + 1
    this.#chances.set(name, count)
    const id = `${name}#${count}`
    if (this.#isSuppressed(id)) return false
    this.happened.push(id)
    this.#onFault(name, id)
    return true
  }
}
