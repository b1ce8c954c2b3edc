/**
 * Finds few of the faults that still make a run fail: takes parts of the list away, larger ones
 * first, as long as what is left still fails. Delta debugging, bounded by a number of runs.
 *
 * @see "Simplifying and Isolating Failure-Inducing Input", Zeller and Hildebrandt, 2002.
 */
export const minimiseFaults = async (
  faults: readonly string[],
  options: {
    /** Whether the run still fails with only these faults. */
    readonly fails: (kept: readonly string[]) => Promise<boolean>
    readonly runsMax: number
  },
): Promise<readonly string[]> => {
  let kept = faults
  let runs = 0
  let parts = 2
  while (kept.length > 0 && runs < options.runsMax) {
    const size = Math.ceil(kept.length / parts)
    let isSmaller = false
    for (let start = 0; start < kept.length && runs < options.runsMax; start += size) {
      const rest = [...kept.slice(0, start), ...kept.slice(start + size)]
      runs += 1
      if (!(await options.fails(rest))) continue
      kept = rest
      parts = Math.max(2, parts - 1)
      isSmaller = true
      break
    }
    if (isSmaller) continue
    if (size === 1) break
    parts = Math.min(kept.length, parts * 2)
  }
  return kept
}
