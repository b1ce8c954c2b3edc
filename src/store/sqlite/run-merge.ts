import type { ClaimRun } from './claim-runs.ts'

export interface MergeOptions {
  readonly nowMs: number
  /** When a key was last added to a bucket. */
  readonly touchedMs: (bucket: number) => number
  /** A merged run has no more entries; its filter is made in memory. */
  readonly entriesMax: number
}

/**
 * The runs of one bucket to be merged next, none if it is not worth it. Of a bucket that still
 * takes keys, four of alike size, so that a key is written once per fourfold growth; of one that no
 * longer does, as many as fit, so that few filters are asked for each new key.
 */
export const chooseMerge = (
  runs: readonly ClaimRun[],
  { nowMs, touchedMs, entriesMax }: MergeOptions,
): readonly ClaimRun[] => {
  const byBucket = Map.groupBy(
    runs.filter((run) => run.endMs > nowMs && run.entries < entriesMax),
    ({ bucket }) => bucket,
  )
  let chosen: readonly ClaimRun[] = []
  for (const [bucket, members] of byBucket) {
    const isQuiet = nowMs - touchedMs(bucket) > spanMsOf(members) / QUIET_SHARE
    const inputs = smallestThatFit(isQuiet ? members : alike(members), entriesMax)
    const isCheaper = chosen.length === 0 || entriesOf(inputs) < entriesOf(chosen)
    if (inputs.length > 1 && isCheaper) chosen = inputs
  }
  return chosen
}

const RUNS_ALIKE = 4
/** A bucket that took no key for an eighth of its span is taken for complete. */
const QUIET_SHARE = 8

/** Four of one magnitude, the smallest there are. */
function alike(runs: readonly ClaimRun[]): readonly ClaimRun[] {
  const bySize = Map.groupBy(runs, ({ entries }) =>
    Math.floor(Math.log(Math.max(1, entries)) / Math.log(RUNS_ALIKE)),
  )
  const full = [...bySize].filter(([, members]) => members.length >= RUNS_ALIKE)
  const [smallest] = full.toSorted(([left], [right]) => left - right)
  return smallest?.[1].slice(0, RUNS_ALIKE) ?? []
}

function smallestThatFit(runs: readonly ClaimRun[], entriesMax: number): readonly ClaimRun[] {
  let entries = 0
  return runs
    .toSorted((left, right) => left.entries - right.entries)
    .filter((run) => (entries += run.entries) <= entriesMax)
}

const entriesOf = (runs: readonly ClaimRun[]): number =>
  runs.reduce((sum, { entries }) => sum + entries, 0)

const spanMsOf = ([run]: readonly ClaimRun[]): number => (run ? run.endMs - run.startMs : 0)
