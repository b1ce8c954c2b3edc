import { describe, expect, it } from 'vitest'
import { minimiseFaults } from './minimise-faults.ts'

const names = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `fault#${index}`)

describe('minimiseFaults', () => {
  it.each([
    ['one of many', ['fault#37']],
    ['three that belong together', ['fault#3', 'fault#50', 'fault#99']],
  ])('finds %s', async (_, culprits) => {
    const kept = await minimiseFaults(names(100), {
      runsMax: 1_000,
      fails: (some) => Promise.resolve(culprits.every((one) => some.includes(one))),
    })

    expect(kept).toEqual(culprits)
  })

  it('says that no fault is needed when the run fails without any', async () => {
    const fails = (): Promise<boolean> => Promise.resolve(true)

    expect(await minimiseFaults(names(10), { runsMax: 100, fails })).toEqual([])
  })

  it('stops after as many runs as it may have, with what still fails', async () => {
    let runs = 0
    const fails = (some: readonly string[]): Promise<boolean> => {
      runs += 1
      return Promise.resolve(some.includes('fault#7'))
    }

    const kept = await minimiseFaults(names(1_000), { runsMax: 5, fails })

    expect(runs).toBe(5)
    expect(kept).toContain('fault#7')
  })
})
