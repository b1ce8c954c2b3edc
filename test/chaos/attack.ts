// What every attack tells: one line of the table, and in words what was not as it should be.
import type { Partner } from './partner.ts'
import type { Verdict } from './verdict.ts'

/** One line of the table. */
export interface AttackLine {
  readonly what: string
  readonly figures?: Figures
  /** Time to recover, and what else there is to say. */
  readonly recovery: string
  /** What was not as it should be, one sentence each; empty when the runtime held. */
  readonly faults: readonly string[]
}

export interface Figures {
  readonly acknowledged: number
  readonly effects: number
  readonly lost: number
  readonly doubled: number
  readonly outOfOrder: number
}

export const figuresOf = (verdict: Verdict): Figures => ({
  acknowledged: verdict.acknowledged,
  effects: verdict.effects,
  lost: verdict.lost.length,
  doubled: verdict.doubled.length,
  outOfOrder: verdict.outOfOrder.length,
})

export const sumFigures = (all: readonly Figures[]): Figures => ({
  acknowledged: sum(all.map((one) => one.acknowledged)),
  effects: sum(all.map((one) => one.effects)),
  lost: sum(all.map((one) => one.lost)),
  doubled: sum(all.map((one) => one.doubled)),
  outOfOrder: sum(all.map((one) => one.outOfOrder)),
})

/** Everything the verdict and the partner have to say against the runtime. */
export const faultsOf = (verdict: Verdict, partner: Partner): readonly string[] => {
  const { lost, doubled, foreign, outOfOrder, innocentDead, updatesMissing } = verdict
  return [
    ...lost.map((one) => `lost: ${one}`),
    ...doubled.map((one) => `doubled: ${one}`),
    ...foreign.map((one) => `nobody sent: ${one}`),
    ...outOfOrder.map((one) => `out of order: ${one}`),
    ...innocentDead.map((one) => `a dead letter that should not be: ${one}`),
    ...(updatesMissing === 0 ? [] : [`${updatesMissing} emitted messages have no effect`]),
    ...partner.complaints.map((one) => `the partner says: ${one}`),
  ]
}

/** `714 ms median, 1228 ms worst` */
export const spread = (valuesMs: readonly number[]): string => {
  const sorted = valuesMs.map(Math.round).sort((one, other) => one - other)
  return `${sorted[Math.floor(sorted.length / 2)] ?? 0} ms median, ${sorted.at(-1) ?? 0} ms worst`
}

/** Runs what is left to do in a few places at once; the results keep the order of the cases. */
export const runAtOnce = async <Case, Result>(
  cases: readonly Case[],
  places: number,
  run: (one: Case) => Promise<Result>,
): Promise<readonly Result[]> => {
  const results: Result[] = []
  let next = 0
  const work = async (): Promise<void> => {
    for (let index = next++; index < cases.length; index = next++) {
      const one = cases[index]
      if (one !== undefined) results[index] = await run(one)
    }
  }
  await Promise.all(Array.from({ length: places }, work))
  return results
}

const sum = (numbers: readonly number[]): number =>
  numbers.reduce((total, number) => total + number, 0)
