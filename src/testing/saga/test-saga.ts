import type {
  AnyCommand,
  AnyContract,
  AnySaga,
  Draft,
  Part,
  SagaUsesOf,
  SqlMigration,
} from '../../contract/index.ts'
import { type Duration, durationMs, JuncturaError } from '../../kernel/index.ts'
import { crashSagaEverywhere, type SagaCrashReport } from './crash-saga.ts'
import { playSaga } from './play-saga.ts'
import {
  type CheckAlternative,
  type SagaAlternativesOptions,
  type SagaAlternativesReport,
  trySagaAlternatives,
} from './saga-alternatives.ts'
import type { SagaTestResult } from './saga-result.ts'
import type { SagaScenario, ScenarioStep } from './saga-scenario.ts'
import type { StubAnswer } from './stub-answer.ts'

export interface SagaTestOptions {
  /** Child sagas, and handlers that run instead of stubs. @default none */
  readonly parts?: readonly Part[]
  /** Tables that they write; statements of `s.tx`. @default none */
  readonly tables?: readonly SqlMigration[]
  /** Of chance: ids and delays. @default 1 */
  readonly seed?: number
}

type UsedCommand<S extends AnySaga> = Extract<SagaUsesOf<S>, AnyCommand>

/**
 * A scenario: what happens to one run of a saga from outside, and how the other systems answer.
 * Each method gives a new scenario; nothing runs before `run`, `crashEverywhere` or `alternatives`.
 */
export interface SagaTest<S extends AnySaga> {
  /**
   * Publishes what starts the run, and lets a second pass.
   *
   * @throws JUNCTURA_USAGE for an event that does not start the saga.
   */
  given(event: Draft): SagaTest<S>
  /**
   * Says how a command of `uses` is answered: with an output, or `declines`, `fails`,
   * `neverAnswers`, `answersAfter`, `inTurn`, or a function of the input that gives one of those.
   * A command without an output is done when nothing is said; any other has to be stubbed.
   */
  stub<C extends UsedCommand<S>>(command: C, answer: StubAnswer<C>): SagaTest<S>
  /**
   * The same for a command that is not in `uses`: one that its owner declares as a compensation, or
   * one of a child saga.
   */
  stubCompensation<C extends AnyCommand>(command: C, answer?: StubAnswer<C>): SagaTest<S>
  /**
   * Lets virtual time pass.
   *
   * @throws JUNCTURA_DECLARATION when it is no duration.
   */
  advance(duration: Duration): SagaTest<S>
  /**
   * Publishes an event, and lets a second pass.
   *
   * @throws JUNCTURA_USAGE for an event that neither the saga nor a saga of `parts` hears.
   */
  emit(event: Draft): SagaTest<S>
  /**
   * Runs the scenario once. What is late is waited for.
   *
   * @throws AssertionError when the saga asks for what has no answer, a stub answers what its
   * command does not declare, or one idempotency key has two inputs.
   */
  run(): Promise<SagaTestResult>
  /**
   * Runs the scenario once, once with the function run anew at each step, and then once for each
   * commit with the process killed before it, and once killed after it. Each time the outcome, the
   * steps, the commands and compensations in order, the events and the alerts must be the same, and
   * every step must have one idempotency key with one input.
   *
   * @throws AssertionError that names the crash, what differs, and the timeline.
   * @throws JUNCTURA_USAGE for a scenario of more than 500 commits.
   */
  crashEverywhere(): Promise<SagaCrashReport>
  /**
   * Runs the scenario as it is written and in each way in which one thing goes otherwise: a command
   * that was asked for declines with each declared error, fails, never answers, answers late, or
   * just before and just after each timer of the run; an event never comes, or just before and just
   * after each timer. Each is also run always suspended, with the same result.
   *
   * @throws AssertionError that names the alternative, when `check` throws.
   */
  alternatives(
    check: CheckAlternative,
    options?: SagaAlternativesOptions,
  ): Promise<SagaAlternativesReport>
}

/**
 * Tests a saga without a server: on the runtime itself, the store in memory and virtual time, with
 * stubs in place of the other systems. For any test runner.
 *
 * @throws JUNCTURA_REFUSED_START from `run` and the others, when the saga would not start.
 * @example
 * const test = testSaga(orderSaga).stub(Reserve, { shelf: 'A1' }).given(OrderPlaced.of(order))
 * const { outcome } = await test.advance('15m').run()
 */
export const testSaga = <S extends AnySaga>(
  saga: S,
  options: SagaTestOptions = {},
): SagaTest<S> => {
  const { parts = [], tables = [], seed = 1 } = options
  return scenarioOf<S>({ saga, parts, tables, seed, stubs: [], steps: [] })
}

function scenarioOf<S extends AnySaga>(scenario: SagaScenario): SagaTest<S> {
  const { saga, stubs, steps } = scenario
  const then = (step: ScenarioStep): SagaTest<S> =>
    scenarioOf({ ...scenario, steps: [...steps, step] })
  const withStub = (command: AnyCommand, answer: unknown): SagaTest<S> => {
    const others = stubs.filter((stub) => stub.command.name !== command.name)
    return scenarioOf({ ...scenario, stubs: [...others, { command, answer, isGiven: true }] })
  }
  return {
    given(event) {
      refuseOther(saga.on, event)
      return then({ kind: 'publish', draft: event })
    },
    stub: (command, answer) => withStub(command, answer),
    stubCompensation: (command, answer) => withStub(command, answer),
    advance: (duration) => then({ kind: 'advance', ms: durationMs(duration, 'advance') }),
    emit(event) {
      refuseUnheard(scenario, event)
      return then({ kind: 'publish', draft: event })
    },
    run: async () => (await playSaga(scenario, {})).result,
    crashEverywhere: () => crashSagaEverywhere(scenario),
    alternatives: (check, how = {}) => trySagaAlternatives(scenario, check, how),
  }
}

function refuseOther(on: AnyContract, { contract }: Draft): void {
  if (contract.name === on.name) return
  const problem = `given ${contract.name}; the saga is started by ${on.name}. Use emit for other events`
  throw new JuncturaError('JUNCTURA_USAGE', { details: { problem } })
}

function refuseUnheard({ saga, parts }: SagaScenario, { contract }: Draft): void {
  const sagas = [saga, ...parts.flatMap((part) => (part.part === 'saga' ? [part] : []))]
  const heard = new Set(sagas.flatMap(({ on, uses }) => [on.name, ...uses.map(({ name }) => name)]))
  if (heard.has(contract.name)) return
  const problem = `emit ${contract.name}, which ${saga.name} does not hear; it hears: ${[...heard].join(', ')}`
  throw new JuncturaError('JUNCTURA_USAGE', { details: { problem } })
}
