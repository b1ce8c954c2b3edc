import {
  PROFILES,
  type ProfileName,
  simulate,
  type SimulationOptions,
  type SimulationReport,
} from '../../src/testing/index.ts'
import { checkLedger, sagaBody, shopWithSaga } from './order-saga.fixture.ts'
import { shop, shopBody, shopEmitted, shopWithOutboxes } from './shop.fixture.ts'

export const isProfile = (name: string | undefined): name is ProfileName =>
  PROFILES.some((profile) => profile === name)

/** Seeds take turns with the profiles, so that a range of seeds has some of each. */
export const profileOf = (seed: number): ProfileName =>
  PROFILES[seed % PROFILES.length] ?? 'everything'

const WITH_OUTBOXES: readonly ProfileName[] = ['outbox', 'cluster', 'everything']

/** The integration that a profile is about. */
export const shopOf = (profile: ProfileName): typeof shop =>
  WITH_OUTBOXES.includes(profile) ? shopWithOutboxes : shop

/** One seed of the shop. */
export const runSeed = (
  seed: number,
  options: Pick<SimulationOptions, 'messages' | 'minimiseRuns' | 'onEvent' | 'replays'> & {
    readonly profile?: ProfileName | undefined
  } = {},
): Promise<SimulationReport> => {
  const { profile = profileOf(seed), ...rest } = options
  if (profile === 'flows') return runFlows(seed, rest)
  return simulate(shopOf(profile), {
    seeds: [seed],
    faults: profile,
    messages: 200,
    body: shopBody,
    emitted: shopEmitted,
    ...rest,
  })
}

/** Half as many messages: each order is some twenty records. */
const runFlows = (
  seed: number,
  { messages = 200, ...rest }: Omit<Parameters<typeof runSeed>[1] & object, 'profile'>,
): Promise<SimulationReport> =>
  simulate(shopWithSaga, {
    seeds: [seed],
    faults: 'flows',
    messages: Math.ceil(messages / 2),
    body: sagaBody,
    check: checkLedger,
    ...rest,
  })
