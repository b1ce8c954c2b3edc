import { ok } from 'node:assert/strict'

/** Of vitest, node:test, jest or mocha. */
export interface SuiteRunner {
  readonly describe: (title: string, body: () => void) => unknown
  readonly it: (title: string, body: () => Promise<void>) => unknown
}

/** A case that is known not to hold, by its title. */
export interface SkippedCase {
  readonly test: string
  readonly reason: string
}

interface Registered<C extends Case<F>, F extends { readonly engine: string }> {
  readonly port: string
  readonly groups: readonly { readonly title: string; readonly cases: readonly C[] }[]
  readonly features: F
  readonly runner: SuiteRunner
  readonly skip?: readonly SkippedCase[]
  readonly run: (wanted: C) => Promise<void>
}

interface Case<F> {
  readonly title: string
  /** False leaves the case out for a driver that does not claim what it is about. */
  readonly needs?: (features: F) => boolean
}

/**
 * Hands the cases of a port to a test runner.
 *
 * @returns how many.
 * @throws AssertionError when `skip` names no case or gives no reason.
 */
export const registerCases = <C extends Case<F>, F extends { readonly engine: string }>(
  suite: Registered<C, F>,
): number => {
  const { port, groups, features, runner, skip = [], run } = suite
  const titles = new Set(groups.flatMap(({ cases }) => cases.map(({ title }) => title)))
  for (const { test, reason } of skip) {
    ok(titles.has(test), `there is no case to skip that is called: ${test}`)
    ok(reason.length > 0, `say why this case is skipped: ${test}`)
  }
  const skipped = new Set(skip.map(({ test }) => test))
  let registered = 0
  for (const { title, cases } of groups) {
    const wanted = cases.filter((one) => one.needs?.(features) !== false && !skipped.has(one.title))
    registered += wanted.length
    runner.describe(`${port} ${features.engine}: ${title}`, () => {
      for (const one of wanted) runner.it(one.title, () => run(one))
    })
  }
  ok(registered > 0, 'the conformance suite has cases')
  return registered
}
