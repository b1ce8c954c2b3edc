import { AssertionError } from 'node:assert'
import { isDeepStrictEqual } from 'node:util'
import type { EffectRun } from './saga-scenario.ts'
import type { SagaTestResult } from './saga-result.ts'

/** What must not depend on where the process died, or on how often the function was run through. */
const sameOf = (result: SagaTestResult): Readonly<Record<string, unknown>> => ({
  outcome: result.outcome,
  output: result.output,
  cause: result.cause,
  problem: result.problem && {
    kind: result.problem.kind,
    step: result.problem.step,
    message: result.problem.message,
  },
  steps: result.steps
    .map(({ step, state, error }) => ({ step, state, ...(error !== undefined && { error }) }))
    .toSorted((a, b) => (a.step < b.step ? -1 : 1)),
  commands: result.commands.map(({ step, input }) => ({ step, input })),
  compensations: result.compensations.map(({ step, input }) => ({ step, input })),
  effects: [...new Set(result.effects.map(({ step }) => step))],
  emitted: result.emitted,
  alerts: result.alerts.map(({ cause, isOpen }) => ({ cause, isOpen })),
})

/**
 * Holds a run against the one that nothing disturbed.
 *
 * @throws AssertionError that names where it was disturbed, and each thing that differs.
 */
export const demandSame = (
  expected: SagaTestResult,
  { where, actual }: { readonly where: string; readonly actual: SagaTestResult },
): void => {
  const [want, have] = [sameOf(expected), sameOf(actual)]
  const different = Object.keys(want).filter((name) => !isDeepStrictEqual(want[name], have[name]))
  if (different.length === 0) return
  const lines = different.flatMap((name) => [
    `  ${name}`,
    `    undisturbed: ${JSON.stringify(want[name])}`,
    `    here:        ${JSON.stringify(have[name])}`,
  ])
  const timeline = actual.timeline.map((line) => `  ${line}`)
  throw new AssertionError({
    message: [`${where}: the saga went another way`, ...lines, 'timeline', ...timeline].join('\n'),
    actual: have,
    expected: want,
    operator: 'deepStrictEqual',
  })
}

/** Each step has one idempotency key, whoever died: that is what makes its effect happen once. */
export const demandOneKey = (effects: readonly EffectRun[], where: string): void => {
  const keys = new Map<string, string>()
  for (const { step, idempotencyKey } of effects) {
    const known = keys.get(step) ?? idempotencyKey
    keys.set(step, known)
    if (known === idempotencyKey) continue
    throw new AssertionError({
      message: `${where}: ${step} had its effect under two idempotency keys, ${known} and ${idempotencyKey}`,
      actual: idempotencyKey,
      expected: known,
      operator: 'strictEqual',
    })
  }
}
