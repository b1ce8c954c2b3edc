import {
  PROFILES,
  type ProfileName,
  simulate,
  type SimulationOptions,
  type SimulationReport,
} from '../../src/testing/index.ts'
import { shop, shopBody } from './shop.fixture.ts'

export const isProfile = (name: string | undefined): name is ProfileName =>
  PROFILES.some((profile) => profile === name)

/** Seeds take turns with the profiles, so that a range of seeds has some of each. */
export const profileOf = (seed: number): ProfileName =>
  PROFILES[seed % PROFILES.length] ?? 'everything'

/** One seed of the shop. */
export const runSeed = (
  seed: number,
  options: Pick<SimulationOptions, 'messages' | 'minimiseRuns' | 'onEvent' | 'replays'> & {
    readonly profile?: ProfileName | undefined
  } = {},
): Promise<SimulationReport> => {
  const { profile = profileOf(seed), ...rest } = options
  return simulate(shop, { seeds: [seed], faults: profile, messages: 200, body: shopBody, ...rest })
}
