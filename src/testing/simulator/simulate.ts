import type { Integration } from '../../contract/index.ts'
import { JuncturaError } from '../../kernel/index.ts'
import type { Faults, ProfileName } from './faults.ts'
import { minimiseFaults } from './minimise-faults.ts'
import { SITUATION_NAMES, type SituationName } from './situations.ts'
import type { MakeBody } from './plan-traffic.ts'
import type { MakeEmitted } from './simulated-outboxes.ts'
import { type CheckWorld, type SeedOptions, type SeedReport, World } from './world.ts'

export interface SimulationOptions {
  /**
   * How many seeds, 1 and up, or the seeds themselves. The same seed gives the same run.
   *
   * @default 20
   */
  readonly seeds?: number | readonly number[]
  /**
   * What goes wrong: a profile, from which each seed draws faults and how often they happen, or
   * the faults themselves; then nothing else goes wrong.
   *
   * @default 'everything'
   */
  readonly faults?: ProfileName | Partial<Faults>
  /** Messages that partners send in each seed. @default 100 @minimum 1 @maximum 10_000 */
  readonly messages?: number
  /** Makes the body of one message. @default an example of the webhook's contract */
  readonly body?: MakeBody
  /** Makes the data of one message that a service emits. @default an example of the contract */
  readonly emitted?: MakeEmitted
  /** What must hold at the end of each seed besides the built-in checks. */
  readonly check?: CheckWorld
  /** Runs each seed twice and fails when the second run is another one. @default false */
  readonly replays?: boolean
  /** Told each event of the first run of each seed, with its virtual time in milliseconds. */
  readonly onEvent?: (line: string) => void
  /** Runs spent on finding the faults that matter, for each failed seed. @default 60 @minimum 0 */
  readonly minimiseRuns?: number
}

export interface SimulationReport {
  readonly seeds: number
  /** Of the seeds in which something did not hold; empty when everything did. */
  readonly failures: readonly SimulationFailure[]
  /** How often each rare situation was met, over all seeds. */
  readonly situations: Readonly<Partial<Record<SituationName, number>>>
  /** How often each fault happened, over all seeds. */
  readonly faults: Readonly<Record<string, number>>
  readonly accepted: number
  readonly effects: number
  readonly deadLetters: number
  /** Equal for equal runs. */
  readonly traceHash: string
}

export interface SimulationFailure {
  readonly seed: number
  readonly faults: ProfileName | Partial<Faults>
  /** What did not hold, in sentences. */
  readonly sentences: readonly string[]
  /** Faults without which it would have held; as few as the runs allowed. */
  readonly faultsNeeded: readonly string[]
  /** The latest events of the run that failed with only those faults. */
  readonly lastEvents: readonly string[]
}

const SEEDS_DEFAULT = 20
const MESSAGES_DEFAULT = 100
const MESSAGES_MAX = 10_000
const MINIMISE_RUNS_DEFAULT = 60

/**
 * Runs an integration in a world where processes die, sleep and wake up as zombies, disks fill up,
 * tear, lie and rot, clocks jump and drift, partners repeat and confuse themselves, handlers throw,
 * hang, block and crash, and people retry, drop and replay; then the faults stop, and everything
 * must come to its end within a bounded time.
 *
 * One real thread, virtual time, every chance drawn from the seed. Contracts, transforms and
 * handlers are the user's own; the runtime is the real one, on the memory store above a simulated
 * disk. After each commit it is checked that every message is for every consumer in exactly one of
 * pending, done, parked, dead and dropped, that no effect is there twice or out of order, that no
 * attempt is too many or too early, and that people are told once for each cause.
 *
 * What does not hold is in `failures`, and does not reject.
 *
 * @throws JUNCTURA_OPERATION_REFUSED when the integration has neither a webhook nor an outbox.
 * @example
 * ```ts
 * const report = await simulate(integration, { seeds: 50, faults: 'crashy' })
 * expect(report.failures).toEqual([])
 * ```
 */
export const simulate = async (
  integration: Integration,
  options: SimulationOptions = {},
): Promise<SimulationReport> => {
  if (integration.webhooks.length + integration.outboxes.length === 0) throw noSources()
  const totals = new Totals()
  const failures: SimulationFailure[] = []
  for (const seed of seedsOf(options.seeds ?? SEEDS_DEFAULT)) {
    const seedOptions = optionsOf(options, seed)
    const { onEvent } = options
    const report = await runSeed(integration, { ...seedOptions, ...(onEvent && { onEvent }) })
    totals.add(report)
    const sentences = [...report.failures]
    if (options.replays === true) {
      const again = await runSeed(integration, seedOptions)
      if (again.traceHash !== report.traceHash)
        sentences.push(`a second run of seed ${seed} was another one: ${again.traceHash}`)
    }
    if (sentences.length === 0) continue
    const needed = await explain(integration, seedOptions, {
      report,
      runsMax: options.minimiseRuns ?? MINIMISE_RUNS_DEFAULT,
    })
    failures.push({ seed, faults: seedOptions.faults, sentences, ...needed })
  }
  return totals.report(failures)
}

/** One seed, once. */
export const runSeed = (integration: Integration, options: SeedOptions): Promise<SeedReport> =>
  new World(integration, options).run()

/** A failure as text: what to run again, what did not hold, which faults it takes, the end. */
export const describeFailure = (failure: SimulationFailure): string => {
  const { seed, sentences, faultsNeeded, lastEvents } = failure
  const faults = faultsNeeded.length > 0 ? faultsNeeded.join(', ') : 'none'
  return [
    `seed ${seed} failed:`,
    ...sentences.map((sentence) => `  ${sentence}`),
    `it takes these faults: ${faults}`,
    'the latest events:',
    ...lastEvents.map((line) => `  ${line}`),
  ].join('\n')
}

const seedsOf = (seeds: number | readonly number[]): readonly number[] =>
  typeof seeds === 'number' ? Array.from({ length: seeds }, (_, index) => index + 1) : seeds

const optionsOf = (options: SimulationOptions, seed: number): SeedOptions => {
  const { body, emitted, check, faults = 'everything', messages = MESSAGES_DEFAULT } = options
  return {
    seed,
    faults,
    messages: Math.min(MESSAGES_MAX, Math.max(1, messages)),
    ...(body && { body }),
    ...(emitted && { emitted }),
    ...(check && { check }),
  }
}

async function explain(
  integration: Integration,
  options: SeedOptions,
  { report, runsMax }: { readonly report: SeedReport; readonly runsMax: number },
): Promise<Pick<SimulationFailure, 'faultsNeeded' | 'lastEvents'>> {
  if (report.failures.length === 0) return { faultsNeeded: [], lastEvents: report.lastEvents }
  let lastEvents = report.lastEvents
  const faultsNeeded = await minimiseFaults(report.faults, {
    runsMax,
    fails: async (kept) => {
      const keep = new Set(kept)
      const isSuppressed = (id: string): boolean => !keep.has(id)
      const again = await runSeed(integration, { ...options, isSuppressed })
      if (again.failures.length === 0) return false
      lastEvents = again.lastEvents
      return true
    },
  })
  return { faultsNeeded, lastEvents }
}

/** Sums over seeds. */
class Totals {
  readonly #situations = new Map<SituationName, number>()
  readonly #faults = new Map<string, number>()
  readonly #hashes: string[] = []
  #seeds = 0
  #accepted = 0
  #effects = 0
  #deadLetters = 0

  add(report: SeedReport): void {
    this.#seeds += 1
    this.#accepted += report.accepted
    this.#effects += report.effects
    this.#deadLetters += report.deadLetters
    this.#hashes.push(report.traceHash.slice(0, 16))
    for (const name of SITUATION_NAMES) {
      const count = report.situations[name] ?? 0
      this.#situations.set(name, (this.#situations.get(name) ?? 0) + count)
    }
    for (const id of report.faults) {
      const name = id.slice(0, id.indexOf('#'))
      this.#faults.set(name, (this.#faults.get(name) ?? 0) + 1)
    }
  }

  report(failures: readonly SimulationFailure[]): SimulationReport {
    const situations = Object.fromEntries(
      SITUATION_NAMES.map((name) => [name, this.#situations.get(name) ?? 0]),
    )
    return {
      seeds: this.#seeds,
      failures,
      situations,
      faults: Object.fromEntries(this.#faults),
      accepted: this.#accepted,
      effects: this.#effects,
      deadLetters: this.#deadLetters,
      traceHash: this.#hashes.join(' '),
    }
  }
}

const noSources = (): JuncturaError =>
  new JuncturaError('JUNCTURA_OPERATION_REFUSED', {
    details: {
      problem:
        'a simulation sends to the webhooks and writes to the outboxes of an integration, and this one has none',
      fix: 'simulate an integration with at least one webhook or outbox',
    },
  })
