import { describe, expect, it } from 'vitest'
import { shopOf } from '../../../test/simulation/run-seed.ts'
import { shopBody, shopEmitted } from '../../../test/simulation/shop.fixture.ts'
import { PROFILES } from './faults.ts'
import { PLANTED_BUGS, type PlantedBug } from './planted-bugs.fixture.ts'
import { runSeed } from './simulate.ts'
import type { Tamper } from './simulated-node.ts'
import type { SeedReport } from './world.ts'

/** The bound on the search for one bug. */
const CPU_MS_MAX = 300_000

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

const run = (seed: number, tamper?: Tamper): Promise<SeedReport> => {
  const faults = PROFILES[seed % PROFILES.length] ?? 'everything'
  return runSeed(shopOf(faults), {
    seed,
    faults,
    messages: 200,
    body: shopBody,
    emitted: shopEmitted,
    ...(tamper && { tamper }),
  })
}

/** Runs seeds until one says what is wrong, or the time is up. */
const search = async (bug: PlantedBug): Promise<SeedReport | undefined> => {
  const startMs = cpuMs()
  for (let seed = 0; cpuMs() - startMs < CPU_MS_MAX; seed++) {
    const report = await run(seed, bug.tamper)
    if (report.failures.some((sentence) => bug.seen.test(sentence))) return report
  }
  return undefined
}

describe('the eyes of the simulator', () => {
  it.each(PLANTED_BUGS.map((bug) => [bug.name, bug] as const))(
    'see %s within five minutes of CPU, and nothing once it is taken away',
    async (_, bug) => {
      const found = await search(bug)

      expect(found?.failures ?? []).not.toEqual([])
      expect((await run(found?.seed ?? 0)).failures).toEqual([])
    },
    CPU_MS_MAX * 4,
  )
})
