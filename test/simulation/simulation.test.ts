import { describe, expect, it } from 'vitest'
import orders from '../../examples/orders/integration.ts'
import { describeFailure, PROFILES, type ProfileName, simulate } from '../../src/testing/index.ts'
import { runSeed } from './run-seed.ts'

/** Each of them twice. */
const SEEDS_PER_PROFILE = 6

/** Seeds that once showed a defect: they stay. */
const REGRESSIONS: readonly { readonly seed: number; readonly profile: ProfileName }[] = [
  // A commit that was offered again brought an alert's row back as it had been when it was raised.
  { seed: 32, profile: 'slow-disk' },
  { seed: 56, profile: 'slow-disk' },
  // What was told of a resolved alert made its successor forgotten: nobody was told of that one.
  { seed: 2001, profile: 'clock-mad' },
  { seed: 2025, profile: 'clock-mad' },
  // An alert was resolved beside a dead letter whose commit was still being offered.
  { seed: 1199, profile: 'everything' },
  // Nobody resolved the alert of an outbox that was raised by a process which then died.
  { seed: 18, profile: 'outbox' },
  { seed: 149, profile: 'outbox' },
  // A commit under way when a partition was given back wrote its progress over the next holder's.
  { seed: 170, profile: 'cluster' },
  { seed: 224, profile: 'cluster' },
  // The same by a process that ended while it was opening one.
  { seed: 1023, profile: 'cluster' },
  // A partition went on being opened, and claimed, when the leases of a failed start were back.
  { seed: 2015, profile: 'cluster' },
  // A replay let a key go in memory only, whose last message another replay had given.
  { seed: 5288, profile: 'everything' },
  // A start that failed took for sound what the last run had in flight.
  { seed: 5378, profile: 'everything' },
  // A resolved alert was told by nobody, or one was never resolved, when who raised it was gone.
  { seed: 3452, profile: 'everything' },
  { seed: 5453, profile: 'cluster' },
  { seed: 5009, profile: 'cluster' },
  // The dead letter of a command was retried after its repeat had been answered: done twice.
  { seed: 10, profile: 'flows' },
]

describe('the path of a message, simulated', () => {
  it.each(PROFILES)(
    'loses nothing, doubles nothing, keeps order and comes to rest under %s faults, twice alike',
    async (profile) => {
      const happened = new Set<string>()
      for (let seed = 1; seed <= SEEDS_PER_PROFILE; seed++) {
        const report = await runSeed(seed, { profile, replays: true })
        expect(report.failures.map(describeFailure).join('\n')).toBe('')
        for (const fault of Object.keys(report.faults)) happened.add(fault)
      }
      // A profile that hits nothing proves nothing.
      expect(happened.size).toBeGreaterThan(3)
    },
  )

  it.each(REGRESSIONS)(
    'holds under seed $seed of $profile, which once found a defect',
    async ({ seed, profile }) => {
      const report = await runSeed(seed, { profile })
      expect(report.failures.map(describeFailure).join('\n')).toBe('')
    },
  )

  // A replay tried what takes the process down again after each start (F11, F13).
  it('holds for the orders example, with bodies made of its contract', async () => {
    const report = await simulate(orders, { seeds: 4, messages: 40, replays: true })
    expect(report.failures.map(describeFailure).join('\n')).toBe('')
    expect(report.effects).toBeGreaterThan(100)
  })
})
