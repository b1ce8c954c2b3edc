import { describe, expect, it } from 'vitest'
import {
  PROFILES,
  type ProfileName,
  simulate,
  type SimulationReport,
} from '../../src/testing/index.ts'
import { shop, shopBody } from './shop.fixture.ts'

const SEEDS_PER_PROFILE = 60

/** Seeds that once showed a defect: they stay. */
const REGRESSIONS: readonly { readonly seed: number; readonly profile: ProfileName }[] = [
  // A retry timer that came due before its consumer had registered was never looked at again.
  { seed: 229, profile: 'crashy' },
  { seed: 395, profile: 'everything' },
  // A successor whose commit was repeated was overtaken by the next one of its key.
  { seed: 902, profile: 'slow-disk' },
  { seed: 1079, profile: 'everything' },
  // Successors were added behind the back of a lane that had just been held: one was lost.
  { seed: 1649, profile: 'everything' },
]

const run = (seed: number, profile: ProfileName): Promise<SimulationReport> =>
  simulate(shop, { seed, profile, messages: 40, body: shopBody })

describe('the path of a message, simulated', () => {
  for (const profile of PROFILES) {
    it(`loses nothing, doubles nothing and keeps order under ${profile} faults`, async () => {
      const happened = new Map<string, number>()
      for (let seed = 1; seed <= SEEDS_PER_PROFILE; seed++) {
        const report = await run(seed, profile)
        const told = `seed ${seed} --profile ${profile}\n${report.lastEvents.join('\n')}`
        expect(report.failures, told).toEqual([])
        for (const [fault, count] of Object.entries(report.faults)) {
          happened.set(fault, (happened.get(fault) ?? 0) + count)
        }
      }
      // A profile that hits nothing proves nothing.
      expect(happened.size === 0).toBe(profile === 'calm')
    })
  }

  it('replays a seed exactly', async () => {
    for (const profile of PROFILES) {
      const first = await run(7, profile)
      const second = await run(7, profile)
      expect(second.traceHash).toBe(first.traceHash)
    }
  })

  it.each(REGRESSIONS)(
    'holds under seed $seed of $profile, which once found a defect',
    async (known) => {
      const report = await run(known.seed, known.profile)
      expect(report.failures).toEqual([])
    },
  )
})
