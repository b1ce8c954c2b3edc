import type { AnyCommand } from '../../contract/index.ts'
import { createSeededRandom, LIMITS, messageOf } from '../../kernel/index.ts'
import { makeExample } from '../../schema/index.ts'
import { AssertionError } from 'node:assert'
import { demandSuspended, named } from './crash-saga.ts'
import { playSaga } from './play-saga.ts'
import type { SagaTestResult } from './saga-result.ts'
import { type SagaScenario, stubsOf } from './saga-scenario.ts'
import { answersAfter, declines, fails, neverAnswers } from './stub-answer.ts'

/** One way in which the same scenario can go. */
export interface SagaAlternative {
  /** For example `stock.reserve declines OutOfStock`. */
  readonly name: string
  readonly result: SagaTestResult
}

export interface SagaAlternativesOptions {
  /** How late a late answer is. @default an hour after its request */
  readonly lateMs?: number
  /** @default 100 @maximum 100 */
  readonly max?: number
}

export interface SagaAlternativesReport {
  /** The scenario as it is written comes first. */
  readonly alternatives: readonly SagaAlternative[]
  /** Names of those that were not tried, because there were more than `max`. */
  readonly leftOut: readonly string[]
}

/** Throws where a result is not as it should be. */
export type CheckAlternative = (alternative: SagaAlternative) => void | Promise<void>

interface Variant {
  readonly name: string
  readonly scenario: SagaScenario
}

const HOUR_MS = 3_600_000

export const trySagaAlternatives = async (
  scenario: SagaScenario,
  check: CheckAlternative,
  options: SagaAlternativesOptions,
): Promise<SagaAlternativesReport> => {
  const { lateMs = HOUR_MS } = options
  const max = Math.min(options.max ?? Infinity, LIMITS.sagaTestAlternativesMax)
  const alternatives: SagaAlternative[] = []
  const leftOut: string[] = []
  const attempt = async ({ name, scenario: one }: Variant): Promise<SagaTestResult | undefined> => {
    if (alternatives.length >= max) {
      leftOut.push(name)
      return undefined
    }
    const alternative = { name, result: await playAlternative(name, one) }
    await checked(alternative, check)
    alternatives.push(alternative)
    return alternative.result
  }

  const base = await attempt({ name: 'as written', scenario })
  if (!base) return { alternatives, leftOut }
  const asked = new Set([...base.commands, ...base.compensations].map(({ type }) => type))
  for (const { command } of stubsOf(scenario).filter((stub) => asked.has(stub.command.name))) {
    for (const variant of refusals(scenario, command, lateMs)) await attempt(variant)
    const silent = replaceStub(scenario, command, neverAnswers)
    const without = await attempt({ name: `${command.name} never answers`, scenario: silent })
    if (!without) continue
    const sentAtMs = without.commands.find(({ type }) => type === command.name)?.atMs
    if (sentAtMs === undefined) continue
    for (const variant of races(scenario, { command, sentAtMs, without })) await attempt(variant)
  }
  for (const variant of await eventVariants(scenario)) await attempt(variant)
  return { alternatives, leftOut }
}

async function playAlternative(name: string, scenario: SagaScenario): Promise<SagaTestResult> {
  return named(`alternative "${name}"`, async () => {
    const { result } = await playSaga(scenario, {})
    await demandSuspended(scenario, result)
    return result
  })
}

async function checked(alternative: SagaAlternative, check: CheckAlternative): Promise<void> {
  try {
    await check(alternative)
  } catch (error) {
    const { name, result } = alternative
    const timeline = result.timeline.map((line) => `  ${line}`)
    throw new AssertionError({
      message: [`alternative "${name}": ${messageOf(error)}`, 'timeline', ...timeline].join('\n'),
    })
  }
}

const replaceStub = (
  scenario: SagaScenario,
  command: AnyCommand,
  answer: unknown,
): SagaScenario => ({
  ...scenario,
  stubs: [
    ...scenario.stubs.filter((stub) => stub.command.name !== command.name),
    { command, answer, isGiven: true },
  ],
})

const answerOf = ({ stubs }: SagaScenario, command: AnyCommand): unknown =>
  stubs.find((stub) => stub.command.name === command.name)?.answer ?? null

function refusals(scenario: SagaScenario, command: AnyCommand, lateMs: number): readonly Variant[] {
  const { name, answers } = command
  const random = createSeededRandom(scenario.seed)
  const declined = [...answers.errors].map(([error, schema]) => ({
    name: `${name} declines ${error}`,
    scenario: replaceStub(scenario, command, declines(error, makeExample(schema, random))),
  }))
  const given = answerOf(scenario, command)
  return [
    ...declined,
    {
      name: `${name} fails`,
      scenario: replaceStub(scenario, command, fails('an alternative lets it fail')),
    },
    {
      name: `${name} answers late`,
      scenario: replaceStub(scenario, command, answersAfter(lateMs, given)),
    },
  ]
}

/** The answer just before and just after each timer that runs while nothing is answered. */
function races(
  scenario: SagaScenario,
  {
    command,
    sentAtMs,
    without,
  }: { readonly command: AnyCommand; readonly sentAtMs: number; readonly without: SagaTestResult },
): readonly Variant[] {
  const given = answerOf(scenario, command)
  return timersOf(without).flatMap(({ step, dueAtMs }) => {
    const afterMs = dueAtMs - sentAtMs
    if (afterMs <= 1) return []
    return [
      { order: 'before', ms: afterMs - 1 },
      { order: 'after', ms: afterMs + 1 },
    ].map(({ order, ms }) => ({
      name: `${command.name} answers just ${order} ${step}`,
      scenario: replaceStub(scenario, command, answersAfter(ms, given)),
    }))
  })
}

/** Timers of the run, by when they fire, since the start of the scenario. */
function timersOf({ steps, run, startedAtMs }: SagaTestResult): readonly {
  readonly step: string
  readonly dueAtMs: number
}[] {
  if (!run) return []
  return steps.flatMap(({ step, kind, dueAtMs }) =>
    kind === 'sleep' && dueAtMs !== undefined ? [{ step, dueAtMs: dueAtMs - startedAtMs }] : [],
  )
}

/** Each event but the first: it never comes, or just before or after each timer. */
async function eventVariants(scenario: SagaScenario): Promise<readonly Variant[]> {
  const variants: Variant[] = []
  const places = scenario.steps.flatMap((step, at) => (step.kind === 'publish' ? [at] : []))
  for (const at of places.slice(1)) {
    const step = scenario.steps[at]
    if (step?.kind !== 'publish') continue
    const { draft } = step
    const name = draft.contract.name
    const before = scenario.steps.slice(0, at)
    const after = scenario.steps.slice(at + 1)
    const longMs = 2 * HOUR_MS
    const never = { ...scenario, steps: [...before, ...after, advance(longMs)] }
    variants.push({ name: `${name} never comes`, scenario: never })
    const silent = await playSaga(never, {})
    const { elapsedMs } = await playSaga({ ...scenario, steps: before }, {})
    for (const { step: timer, dueAtMs } of timersOf(silent.result)) {
      for (const [order, ms] of [
        ['before', dueAtMs - 1],
        ['after', dueAtMs + 1],
      ] as const) {
        const afterMs = ms - elapsedMs
        if (afterMs < 0) continue
        variants.push({
          name: `${name} comes just ${order} ${timer}`,
          scenario: { ...scenario, steps: [...before, { ...step, afterMs }, ...after] },
        })
      }
    }
  }
  return variants
}

const advance = (ms: number): { readonly kind: 'advance'; readonly ms: number } => ({
  kind: 'advance',
  ms,
})
