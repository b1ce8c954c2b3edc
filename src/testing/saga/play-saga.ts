import { AssertionError } from 'node:assert'
import type { Draft } from '../../contract/index.ts'
import { LIMITS } from '../../kernel/index.ts'
import {
  createTestBench,
  type DeathPoint,
  supervise,
  type TestBench,
} from '../contract-tests/test-bench.ts'
import { type SagaTestResult, viewSaga } from './saga-result.ts'
import {
  type EffectRun,
  integrationOf,
  type SagaScenario,
  type ScenarioStep,
  stubsOf,
} from './saga-scenario.ts'
import { openStubDesk, type StubDesk } from './stub-desk.ts'

/** The process is killed at the nth commit, from 1. */
export interface CrashPoint {
  readonly nth: number
  readonly point: DeathPoint
}

export interface PlayOptions {
  readonly alwaysSuspend?: boolean
  readonly crash?: CrashPoint
}

/** One run through a scenario. */
export interface Played {
  readonly result: SagaTestResult
  /** Virtual time from the start to the end of the last step of the scenario. */
  readonly elapsedMs: number
  readonly commits: number
  /** Whether the process was killed where it was to be. */
  readonly hasCrashed: boolean
}

/** How long is waited for what a step of a scenario leads to at once. */
const SETTLE_MS = 1_000

/**
 * Plays a scenario from its start to its end. A process that dies is started again, and what the
 * test had not got into the log is published again, as a sender does that had no answer.
 *
 * @throws AssertionError when the scenario cannot be played.
 */
export const playSaga = async (scenario: SagaScenario, options: PlayOptions): Promise<Played> => {
  const effects: EffectRun[] = []
  let commits = 0
  let hasCrashed = false
  const isDeath = (point: DeathPoint): boolean => {
    if (point === 'before-commit') commits += 1
    const { crash } = options
    if (hasCrashed || crash?.point !== point || crash.nth !== commits) return false
    hasCrashed = true
    return true
  }
  const desk = openStubDesk(stubsOf(scenario), () => bench.clock.now())
  const bench: TestBench = createTestBench({
    integration: integrationOf(scenario, desk.consumers, (effect) => effects.push(effect)),
    seed: scenario.seed,
    seams: {},
    alwaysSuspend: options.alwaysSuspend === true,
    isDeath,
  })
  const stage = { bench, desk }
  await stayUp(stage)
  const startedAtMs = bench.clock.now()
  for (const step of scenario.steps) await act(stage, step)
  const elapsedMs = bench.clock.now() - startedAtMs
  await drainAnswers(stage)
  if (desk.problems.length > 0) throw broken(desk.problems.join('\n'))
  const result = await read(stage, { scenario, startedAtMs, effects })
  await bench.drive(bench.runtime.close())
  return { result, elapsedMs, commits, hasCrashed }
}

interface Stage {
  readonly bench: TestBench
  readonly desk: StubDesk
}

const broken = (message: string): AssertionError => new AssertionError({ message })

async function stayUp({ bench }: Stage): Promise<void> {
  if (bench.isUp || (await supervise(bench))) return
  throw broken('the runtime of the scenario does not stay up')
}

async function act(stage: Stage, step: ScenarioStep): Promise<void> {
  if (step.kind === 'advance') return pass(stage, step.ms)
  if (step.afterMs !== undefined) await pass(stage, step.afterMs)
  await publish(stage, step.draft)
  await pass(stage, SETTLE_MS)
}

/** Once, whatever dies meanwhile. */
async function publish(stage: Stage, draft: Draft): Promise<void> {
  const { bench } = stage
  const before = await count(stage, draft)
  for (let tries = 0; tries < LIMITS.crashesMax; tries++) {
    await stayUp(stage)
    if ((await count(stage, draft)) > before) return
    if ((await bench.drive(bench.runtime.publish(draft))) !== undefined) return
  }
  throw broken(`${draft.contract.name} was never taken`)
}

async function count(stage: Stage, { contract }: Draft): Promise<number> {
  for (;;) {
    await stayUp(stage)
    const { bench } = stage
    const page = await bench.drive(bench.runtime.messages({ type: contract.name, limit: 500 }))
    if (page) return page.items.length
  }
}

/** Time passes; answers come when they are due, and a process that dies comes back at once. */
async function pass(stage: Stage, ms: number): Promise<void> {
  const { bench, desk } = stage
  const { clock } = bench
  const endMs = clock.now() + ms
  for (;;) {
    await stayUp(stage)
    await answerDue(stage)
    const nowMs = clock.now()
    if (nowMs >= endMs) return
    await bench.passWhileUp(Math.min(endMs, desk.nextDueMs() ?? endMs) - nowMs)
  }
}

async function answerDue(stage: Stage): Promise<void> {
  const { bench, desk } = stage
  for (const { draft, done } of desk.due(bench.clock.now())) {
    await publish(stage, draft)
    done()
  }
}

/** Answers that are later than the scenario come all the same. */
async function drainAnswers(stage: Stage): Promise<void> {
  const { bench, desk } = stage
  for (let due = desk.nextDueMs(); due !== undefined; due = desk.nextDueMs()) {
    await pass(stage, Math.max(0, due - bench.clock.now()) + SETTLE_MS)
  }
  await pass(stage, SETTLE_MS)
}

async function read(
  stage: Stage,
  parts: {
    readonly scenario: SagaScenario
    readonly startedAtMs: number
    readonly effects: readonly EffectRun[]
  },
): Promise<SagaTestResult> {
  const { scenario, startedAtMs, effects } = parts
  const { desk } = stage
  for (;;) {
    await stayUp(stage)
    const { bench } = stage
    const result = await bench.drive(
      viewSaga(bench.runtime, { saga: scenario.saga, desk, startedAtMs, effects }),
    )
    if (result) return result
  }
}
